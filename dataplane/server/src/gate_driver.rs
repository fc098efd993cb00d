//! What the links' thread asks: the core's gate to other nodes, and the mailboxes between it and the workers.

use std::{collections::VecDeque, os::unix::net::UnixStream, sync::Arc, time::Duration};

use sluice_cluster::{NodeId, WorkerId, interest::InterestFrame};
use sluice_dataplane_core::{
    Certificate, Gate, GateOutput, Input, Now, Opened,
    link::{ClientHeader, Lane, LinkError},
    settings::ListenerSettings,
};

use crate::{
    clock::Clock,
    links::Exchange,
    listener::Seats,
    mailbox::{Arrival, Letter, Mailbox},
    transport::{Transport, Wire},
};

/// The gate, its mailbox and those of the workers.
pub(crate) struct GateDriver {
    gate: Gate,
    parts: Parts,
    letters: Vec<Letter>,
    /// Frames that workers had no room for, in order.
    undelivered: VecDeque<(WorkerId, Vec<u8>)>,
    /// Connections that the gate wants closed.
    closing: Vec<(NodeId, u64, LinkError)>,
    /// The way to control, if there is one.
    uplink: Option<Uplink>,
    /// The node's time when the thread's began.
    offset_ms: u64,
    /// The worker that gets the next client of another node.
    next_worker: usize,
}

/// What connects a gate with the rest of the node.
pub(crate) struct Parts {
    /// The gate's mailbox.
    pub(crate) mailbox: Mailbox,
    /// The workers'.
    pub(crate) workers: Arc<[Mailbox]>,
    /// The node's time.
    pub(crate) clock: Clock,
    /// The listeners, in the order of the configuration.
    pub(crate) listeners: Arc<[ListenerSettings]>,
    /// Places for connections.
    pub(crate) seats: Arc<Seats>,
}

/// Takes a frame about the node's interest for control; says whether there is room for another one.
pub(crate) type Uplink = Box<dyn Fn(InterestFrame) -> bool + Send>;

/// Does something with the gate, on its thread.
pub(crate) type Telling = Box<dyn FnOnce(&mut Gate, Now) + Send>;

/// Something for the gate from the node's own threads.
pub(crate) enum ForGate {
    /// Give it something.
    Tell(Telling),
    /// This is the way to control from here on.
    Uplink(Uplink),
}

impl GateDriver {
    /// A driver of `gate`, made on the thread of the links.
    pub(crate) fn new(gate: Gate, parts: Parts) -> Self {
        let mut driver = Self {
            offset_ms: parts.clock.mono_ms(),
            gate,
            parts,
            letters: Vec::new(),
            undelivered: VecDeque::new(),
            closing: Vec::new(),
            uplink: None,
            next_worker: 0,
        };
        // The first letters may be there; only a reader that sleeps is woken.
        driver.work();
        driver
    }

    /// Takes what the workers have sent, unless links are so full that it has to wait. Whether the reader may sleep.
    fn take_mail(&mut self, now: Now) -> bool {
        if self.gate.wants_pause() {
            return true;
        }
        let mut letters = std::mem::take(&mut self.letters);
        self.parts.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            match letter {
                Letter::Input(Input::FromWorker { from, frames }) => self.gate.from_worker(now, from, &frames),
                Letter::ForGate(ForGate::Tell(tell)) => tell(&mut self.gate, now),
                Letter::ForGate(ForGate::Uplink(uplink)) => self.uplink = Some(uplink),
                Letter::Input(_) | Letter::Arrival(_) | Letter::Report(_) | Letter::StopAccepting | Letter::Stop => {}
            }
        }
        self.letters = letters;
        self.deliver();
        self.parts.mailbox.fall_asleep()
    }

    /// Gives the workers what the gate has for them.
    fn deliver(&mut self) {
        for (worker, frames) in std::mem::take(&mut self.undelivered) {
            self.send_frames(worker, frames);
        }
        while let Some(output) = self.gate.poll_output() {
            match output {
                GateOutput::ToWorker { worker, frames } => self.send_frames(worker, frames),
                GateOutput::Homes(homes) => self.tell_all(|| Input::Homes(Arc::clone(&homes))),
                GateOutput::Routes(routes) => self.tell_all(|| Input::Routes(Arc::clone(&routes))),
                GateOutput::Close { node, connection, error } => self.closing.push((node, connection, error)),
                GateOutput::Reach { node, up: true } => tracing::info!(%node, "there is a link to a node"),
                GateOutput::Reach { node, up: false } => tracing::info!(%node, "the link to a node is down"),
                GateOutput::Lost { node } => {
                    tracing::warn!(%node, "a node does not come back: what it would have stored is refused");
                }
            }
        }
    }

    fn send_frames(&mut self, to: WorkerId, frames: Vec<u8>) {
        let waits = self.undelivered.iter().any(|(worker, _)| *worker == to);
        let refused = match waits {
            true => Err(frames),
            false => self.parts.workers[to.index()].post_frames(self.gate.id(), frames, &self.parts.mailbox),
        };
        if let Err(frames) = refused {
            self.undelivered.push_back((to, frames));
        }
    }

    fn tell_all(&self, input: impl Fn() -> Input) {
        for worker in self.parts.workers.iter() {
            worker.post(Letter::Input(input()));
        }
    }

    /// A turn may have left letters, or what waits for workers: it is called again until all is done.
    fn work(&mut self) {
        let now = self.parts.clock.now();
        while !self.take_mail(now) {}
        self.deliver();
        self.tell_control(now);
    }

    /// Passes on what control is to hear of the node's interest, as long as there is room.
    fn tell_control(&mut self, now: Now) {
        let Some(uplink) = &self.uplink else { return };
        while let Some(frame) = self.gate.poll_control(now) {
            if !uplink(frame) {
                return;
            }
        }
    }
}

impl Exchange for GateDriver {
    fn turn(&mut self, _: Duration) {
        self.work();
    }

    fn connected(&mut self, _: Duration, peer: NodeId, connection: u64) {
        self.gate.connected(self.parts.clock.now(), peer, connection);
        self.deliver();
    }

    fn disconnected(&mut self, _: Duration, peer: NodeId, connection: u64) {
        self.gate.disconnected(self.parts.clock.now(), peer, connection);
        self.deliver();
    }

    fn receive(
        &mut self,
        _: Duration,
        peer: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError> {
        let consumed = self.gate.receive(self.parts.clock.now(), peer, connection, lane, bytes);
        self.deliver();
        // Answers may have made room for what the workers have.
        self.work();
        consumed
    }

    fn transmit(&mut self, _: Duration, peer: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        let any = self.gate.transmit(self.parts.clock.now(), peer, lane, out, max);
        if any && lane == Lane::Bulk {
            // What had no room is asked for again.
            self.deliver();
        }
        any
    }

    fn next_dirty(&mut self) -> Option<NodeId> {
        self.gate.next_dirty()
    }

    fn accepts(&self, _: NodeId) -> bool {
        self.undelivered.is_empty()
    }

    fn queued_bytes(&self, peer: NodeId) -> usize {
        self.gate.queued_bytes(peer)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        if !self.closing.is_empty() {
            return Some(Duration::ZERO);
        }
        // A millisecond later, so that it has come for certain by the node's time.
        let due_ms = self.gate.poll_timeout()?;
        Some(Duration::from_millis((due_ms + 1).saturating_sub(self.offset_ms)))
    }

    fn tick(&mut self, _: Duration, close: &mut dyn FnMut(NodeId, u64, LinkError)) {
        self.gate.tick(self.parts.clock.now());
        self.work();
        for (node, connection, error) in std::mem::take(&mut self.closing) {
            close(node, connection, error);
        }
    }

    fn client(&mut self, _: Duration, from: NodeId, header: ClientHeader, socket: UnixStream) {
        let listener = listener_for(&header, &self.parts.listeners).unwrap_or_else(|| {
            tracing::warn!(node = %from, listener = header.listener, "a client of another node came through a listener whose like this node does not have, and is asked for credentials: give listeners the same names and terms on all nodes");
            // Of one that is not there, the core assumes the worst.
            usize::from(u16::MAX)
        });
        let Some(seat) = self.parts.seats.take() else { return };
        let opened = Opened {
            listener: listener as u16,
            peer: header.address,
            transport: header.transport,
            certificate: header.certificate.as_deref().and_then(unpacked).map(Arc::new),
            via: Some(from),
        };
        let wire = Wire::Unix(mio::net::UnixStream::from_std(socket));
        let arrival = Arrival { transport: Transport::new(wire, None, None, seat), opened, bytes: Vec::new() };
        self.next_worker = (self.next_worker + 1) % self.parts.workers.len();
        self.parts.workers[self.next_worker].post(Letter::Arrival(Box::new(arrival)));
    }
}

/// The listener whose terms are those of the one that a client of another node came through, and the one of the same name
/// among several: names may differ from node to node, as ports do, but nobody comes in at one node on better terms than
/// at the other.
fn listener_for(header: &ClientHeader, listeners: &[ListenerSettings]) -> Option<usize> {
    let is_alike = |listener: &ListenerSettings| {
        listener.allow_anonymous == header.allow_anonymous
            && listener.identity_as_username == header.identity_as_username
    };
    let mut alike = listeners.iter().enumerate().filter(|(_, listener)| is_alike(listener));
    let first = alike.clone().next();
    alike.find(|(_, listener)| listener.name == header.listener).or(first).map(|(nth, _)| nth)
}

/// A client's certificate and who vouches for it, as [`crate::worker_thread`] packs them for another node.
fn unpacked(bytes: &[u8]) -> Option<Certificate> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (authority, der) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some(Certificate { der: der.into(), authority: authority.into() })
}

#[cfg(test)]
mod tests {
    use sluice_dataplane_core::link::ClientHeader;

    use super::*;

    #[test]
    fn a_client_of_another_node_comes_in_on_the_terms_that_it_came_there() {
        let listener = |name: &str, allow_anonymous, identity_as_username| ListenerSettings {
            name: name.into(),
            allow_anonymous,
            identity_as_username,
            ..ListenerSettings::default()
        };
        let listeners = [
            listener("tcp-1883", false, false),
            listener("inside", true, false),
            listener("tls-8883", false, true),
            listener("tcp-1884", false, false),
        ];
        let found = |name: &str, allow_anonymous, identity_as_username| {
            let header = ClientHeader {
                listener: name.into(),
                allow_anonymous,
                identity_as_username,
                transport: sluice_dataplane_core::Transport::Tcp,
                address: None,
                certificate: None,
            };
            listener_for(&header, &listeners)
        };
        assert_eq!(found("tcp-1884", false, false), Some(3), "of its name");
        assert_eq!(found("tcp-2000", false, false), Some(0), "of its kind");
        assert_eq!(found("tcp-2000", true, false), Some(1));
        assert_eq!(found("inside", false, false), Some(0), "not of its name: that one asks for less");
        assert_eq!(found("tls-8883", true, true), None);
    }
}
