//! Moves frames between the workers' mailboxes and the core's gate to other nodes. The links' thread runs it.

use std::{collections::VecDeque, sync::Arc};

use sluice_cluster::{NodeId, WorkerId};
use sluice_dataplane_core::{
    Gate, GateOutput, Input, Now,
    link::{Lane, LinkError},
};

use crate::mailbox::{Arrival, Letter, Mailbox};

/// The gate, its mailbox and those of the workers.
pub(crate) struct GateDriver {
    gate: Gate,
    id: WorkerId,
    mailbox: Mailbox,
    workers: Arc<[Mailbox]>,
    letters: Vec<Letter>,
    /// Frames that workers had no room for, in order.
    undelivered: VecDeque<(WorkerId, Vec<u8>)>,
    /// What is asked of the links.
    asked: VecDeque<Asked>,
}

/// What the links are asked to do.
pub(crate) enum Asked {
    /// Close the connection to a node.
    Close(NodeId),
    /// Pass a client's connection on to a node.
    Proxy(NodeId, Box<Arrival>),
    /// End.
    Stop,
}

impl GateDriver {
    /// A driver of `gate`. `mailbox` is the gate's own, which its reader sleeps at.
    pub(crate) fn new(gate: Gate, mailbox: Mailbox, workers: Arc<[Mailbox]>) -> Self {
        Self {
            id: gate.id(),
            gate,
            mailbox,
            workers,
            letters: Vec::new(),
            undelivered: VecDeque::new(),
            asked: VecDeque::new(),
        }
    }

    /// The gate, to give it tables. Call [`Self::deliver`] afterwards.
    pub(crate) fn gate_mut(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// The gate.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next thing that the links are asked.
    pub(crate) fn poll_asked(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// Whether the reader may sleep until its mailbox has something.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.mailbox.fall_asleep()
    }

    /// Takes what the workers have sent, unless links are so full that it has to wait.
    pub(crate) fn take_mail(&mut self, now: Now) {
        if self.gate.wants_pause() {
            return;
        }
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            match letter {
                Letter::Input(Input::FromWorker { from, frames }) => self.gate.from_worker(now, from, &frames),
                Letter::Proxy { node, arrival } => self.asked.push_back(Asked::Proxy(node, arrival)),
                Letter::Stop => self.asked.push_back(Asked::Stop),
                Letter::Input(_) | Letter::Arrival(_) | Letter::Report(_) | Letter::StopAccepting => {}
            }
        }
        self.letters = letters;
        self.deliver(now);
    }

    /// Gives the workers what the gate has for them.
    pub(crate) fn deliver(&mut self, _: Now) {
        for (worker, frames) in std::mem::take(&mut self.undelivered) {
            self.send_frames(worker, frames);
        }
        while let Some(output) = self.gate.poll_output() {
            match output {
                GateOutput::ToWorker { worker, frames } => self.send_frames(worker, frames),
                GateOutput::Homes(homes) => self.tell_all(|| Input::Homes(Arc::clone(&homes))),
                GateOutput::Routes(routes) => self.tell_all(|| Input::Routes(Arc::clone(&routes))),
                GateOutput::Close { node, error } => {
                    tracing::warn!(%node, %error, "the link to a node is closed");
                    self.asked.push_back(Asked::Close(node));
                }
                GateOutput::Reach { node, up: true } => tracing::info!(%node, "there is a link to a node"),
                GateOutput::Reach { node, up: false } => tracing::info!(%node, "the link to a node is down"),
                GateOutput::Lost { node } => {
                    tracing::warn!(%node, "a node does not come back: what it would have stored is refused");
                }
            }
        }
    }

    /// Whether workers have so much to read that nothing more should be taken from links.
    pub(crate) fn is_stuffed(&self) -> bool {
        !self.undelivered.is_empty()
    }

    /// There is a connection to a node.
    pub(crate) fn connected(&mut self, now: Now, node: NodeId, connection: u64) {
        self.gate.connected(now, node, connection);
        self.deliver(now);
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, now: Now, node: NodeId, connection: u64) {
        self.gate.disconnected(now, node, connection);
        self.deliver(now);
    }

    /// Takes bytes of a lane; says how many are done with.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        node: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError> {
        let consumed = self.gate.receive(now, node, connection, lane, bytes);
        self.deliver(now);
        consumed
    }

    /// Appends what a lane has to send.
    pub(crate) fn transmit(&mut self, now: Now, node: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        self.gate.transmit(now, node, lane, out, max)
    }

    /// When [`Self::tick`] is due, in monotonic milliseconds.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.gate.poll_timeout()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Now) {
        self.gate.tick(now);
        self.deliver(now);
    }

    fn send_frames(&mut self, to: WorkerId, frames: Vec<u8>) {
        let waits = self.undelivered.iter().any(|(worker, _)| *worker == to);
        let refused = match waits {
            true => Err(frames),
            false => self.workers[to.index()].post_frames(self.id, frames, &self.mailbox),
        };
        if let Err(frames) = refused {
            self.undelivered.push_back((to, frames));
        }
    }

    fn tell_all(&self, input: impl Fn() -> Input) {
        for worker in self.workers.iter() {
            worker.post(Letter::Input(input()));
        }
    }
}
