//! The loop of one worker: moves bytes between sockets and the core, and does what the core asks.
//!
//! One readiness batch is one turn: read what the ready connections have, take the mailbox, let the core do what is
//! due, then carry out what it asked and write each connection that has something to say once. Nothing here knows what
//! the bytes mean.
//!
//! Events are edge-triggered in both directions and registered once. So a connection that is not served to the end of
//! its readiness must be remembered ([`WorkerThread::enqueue`]), and one that never reads or is half closed costs no
//! turns at all.

mod accept;
mod close;
mod connections;
mod flush;
mod lingering;
mod outputs;
mod serve;
mod warm;

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use mio::{Events, Poll, Token, event::Event};
use sluice_cluster::WorkerId;
use sluice_dataplane_core::{ConnId, Now, Worker, settings::ListenerSettings};

use self::{connections::Connections, lingering::Lingering};
use crate::{
    auth_pool::AuthPool,
    clock::{self, Clock},
    event_log::EventLog,
    links::LinksHandle,
    listener::{Acceptor, Admission},
    mailbox::{Letter, Mailbox, Report},
    stats::DriverStats,
    storage::Storage,
    transport::Scratch,
};

/// One worker and all it owns.
pub(crate) struct WorkerThread {
    id: WorkerId,
    worker: Worker,
    poll: Poll,
    clock: Clock,
    now: Now,
    mailbox: Mailbox,
    letters: Vec<Letter>,
    /// The mailboxes of all workers, this one's among them, and behind them the gate's if there are other nodes.
    peers: Vec<Mailbox>,
    /// The way for clients whose session lives at another node.
    away: Option<Away>,
    /// Frames that other workers had no room for, in order. While there are any, no client is read.
    undelivered: VecDeque<(WorkerId, Vec<u8>)>,
    acceptors: Vec<Acceptor>,
    admission: Admission,
    connections: Connections,
    /// Connections to be served though no event announces them.
    ready: Vec<ConnId>,
    /// Acceptors whose queue was not emptied.
    accepting: Vec<usize>,
    /// Connections whose last bytes wait to be written, and when to give up.
    closing: VecDeque<(u64, ConnId)>,
    lingering: Lingering,
    warm: warm::Warm,
    scratch: Scratch,
    storage: Box<dyn Storage>,
    auth: AuthPool,
    log: EventLog,
    stats: DriverStats,
    /// Bytes read since the last [`Self::settle`].
    unsettled_bytes: usize,
    stopped: bool,
}

/// The way to other nodes for a connection.
#[derive(Clone)]
pub(crate) struct Away {
    /// The links.
    pub(crate) links: LinksHandle,
    /// The listeners, for the other node to find its own.
    pub(crate) listeners: Arc<[ListenerSettings]>,
}

/// What a worker's thread is made of.
pub(crate) struct Parts {
    pub(crate) id: WorkerId,
    pub(crate) worker: Worker,
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) peers: Vec<Mailbox>,
    pub(crate) away: Option<Away>,
    pub(crate) acceptors: Vec<Acceptor>,
    pub(crate) admission: Admission,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) auth: AuthPool,
    pub(crate) log: EventLog,
}

impl WorkerThread {
    /// Puts the parts together and listens.
    ///
    /// # Errors
    /// The kernel refuses readiness events for a listener.
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { id, mut worker, poll, clock, peers, away, mut acceptors, admission, storage, auth, log } = parts;
        worker.set_clock(Some(clock::stopwatch_ns));
        for (index, acceptor) in acceptors.iter_mut().enumerate() {
            acceptor.register(poll.registry(), Place::Acceptor(index).token())?;
        }
        Ok(Self {
            id,
            worker,
            poll,
            now: clock.now(),
            clock,
            mailbox: peers[id.index()].clone(),
            letters: Vec::new(),
            peers,
            away,
            undelivered: VecDeque::new(),
            acceptors,
            admission,
            connections: Connections::default(),
            ready: Vec::new(),
            accepting: Vec::new(),
            closing: VecDeque::new(),
            lingering: Lingering::default(),
            warm: warm::Warm::default(),
            scratch: Scratch::new(),
            storage,
            auth,
            log,
            stats: DriverStats::default(),
            unsettled_bytes: 0,
            stopped: false,
        })
    }

    /// Runs until a letter says stop.
    ///
    /// # Errors
    /// The kernel gives no readiness events.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stopped {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.turn(&events);
        }
        Ok(())
    }

    /// How long to wait for events.
    fn timeout(&mut self) -> Option<Duration> {
        let work_is_left = (!self.ready.is_empty() && self.undelivered.is_empty()) || !self.accepting.is_empty();
        if !self.mailbox.fall_asleep() || work_is_left {
            return Some(Duration::ZERO);
        }
        let acceptor_rests = self.acceptors.iter().filter_map(|acceptor| acceptor.rests_until_ms).min();
        let give_up = self.closing.front().map(|(at, _)| *at);
        let due = [self.worker.poll_timeout(), acceptor_rests, give_up, self.lingering.due(), self.warm.due()];
        let due = due.into_iter().flatten().min()?;
        Some(Duration::from_millis(due.saturating_sub(self.clock.mono_ms())))
    }

    fn turn(&mut self, events: &Events) {
        self.now = self.clock.now();
        self.log.set_now(self.now.mono_ms);
        self.stats.turns += 1;
        let ready = std::mem::take(&mut self.ready);
        for event in events {
            self.on_event(event);
        }
        for id in ready {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.queued = false;
            }
            self.serve(id);
        }
        self.accept_more();
        self.read_mail();
        self.deliver_frames();
        if self.worker.poll_timeout().is_some_and(|due| due <= self.now.mono_ms) {
            self.worker.tick(self.now);
        }
        self.settle();
        self.give_up_closing();
        self.lingering.give_up(self.now.mono_ms);
        self.cool_down();
    }

    fn on_event(&mut self, event: &Event) {
        match Place::of(event.token()) {
            Place::Mailbox => {}
            Place::Acceptor(index) => self.accept(index),
            Place::Lingering(key) => self.lingering.read_on(key, &mut self.scratch),
            Place::Connection(id) => self.on_connection_event(id, event),
        }
    }

    fn read_mail(&mut self) {
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            match letter {
                Letter::Input(input) => self.worker.handle(self.now, input),
                Letter::Arrival(arrival) => self.admit(*arrival),
                Letter::Report(answer) => {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(self.report());
                }
                Letter::ForGate(_) => tracing::error!("a worker was given what is for the gate"),
                Letter::StopAccepting => self.acceptors.clear(),
                Letter::Stop => self.stopped = true,
            }
        }
        self.letters = letters;
    }

    fn report(&self) -> Report {
        let sockets = self.connections.len() + self.lingering.len();
        let driver = DriverStats { sockets: sockets as u64, ..self.stats };
        Report { stats: self.worker.stats().clone(), driver, busy: self.worker.busy_prefixes() }
    }

    /// Carries out what the core asked for and writes what it wants written, until it wants nothing more or it has
    /// wanted something too often in a row for one turn.
    fn settle(&mut self) {
        self.unsettled_bytes = 0;
        for _ in 0..SETTLE_ROUNDS_MAX {
            let asked = self.carry_out();
            let wrote = self.flush();
            if !asked && !wrote {
                return;
            }
        }
        // The rest is done in the next turn, which must come at once.
        self.mailbox.nudge();
    }

    /// Has a connection served in the next turn.
    fn enqueue(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push(id);
        }
    }
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Mailbox,
    Acceptor(usize),
    Lingering(usize),
    Connection(ConnId),
}

impl Place {
    /// Connections have their generation in the upper half, so that a late event of a place's former user is none of
    /// its present one. The highest generations stand for everything else.
    fn token(self) -> Token {
        let (generation, index) = match self {
            Self::Mailbox => (GENERATION_OF_MAILBOX, 0),
            Self::Acceptor(index) => (GENERATION_OF_ACCEPTORS, index),
            Self::Lingering(key) => (GENERATION_OF_LINGERING, key),
            Self::Connection(id) => (id.generation, id.index as usize),
        };
        Token((generation as usize) << 32 | index)
    }

    fn of(token: Token) -> Self {
        let (generation, index) = ((token.0 >> 32) as u32, token.0 & 0xFFFF_FFFF);
        match generation {
            GENERATION_OF_MAILBOX => Self::Mailbox,
            GENERATION_OF_ACCEPTORS => Self::Acceptor(index),
            GENERATION_OF_LINGERING => Self::Lingering(index),
            _ => Self::Connection(ConnId { index: index as u32, generation }),
        }
    }
}

/// The token of the waker that ends a worker's sleep.
pub(crate) fn mailbox_token() -> Token {
    Place::Mailbox.token()
}

const GENERATION_OF_MAILBOX: u32 = u32::MAX;
const GENERATION_OF_ACCEPTORS: u32 = u32::MAX - 1;
const GENERATION_OF_LINGERING: u32 = u32::MAX - 2;
/// Readiness events of one turn. More wait with the kernel.
const EVENTS_PER_TURN: usize = 1024;
/// Rounds of asking and writing in one turn; more than two are rare.
const SETTLE_ROUNDS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_places() {
        let connection = Place::Connection(ConnId { index: u32::MAX, generation: 7 });
        for place in [Place::Mailbox, Place::Acceptor(3), Place::Lingering(9), connection] {
            assert_eq!(Place::of(place.token()), place);
        }
    }
}
