//! The greeting of connections that need one before MQTT begins: PROXY header, TLS handshake, WebSocket upgrade.
//!
//! A greeter is a thread with an epoll loop of its own, so that the cryptography of a handshake delays no worker. It
//! accepts on its listeners, takes each connection through what the listener asks for, within a deadline, and gives
//! it to a worker with all the state it has by then. Unix sockets come in here too: there is one socket for all
//! workers.

mod greeting;

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use mio::{Events, Poll, Token};
use slab::Slab;
use sluice_dataplane_core::{Opened, Stats};
use sluice_service::tls::TlsContext;

use self::greeting::{Greeting, Progress};
use crate::{
    clock::Clock,
    event_log::EventLog,
    listener::{Accepted, Acceptor, Admission},
    mailbox::{Arrival, Letter, Mailbox, Report},
    proxy_protocol::Expect,
    stats::{DriverStats, GreetingFailed, Shed},
    transport::Scratch,
    ws::Policy,
};

/// What a listener asks of a connection before MQTT begins.
pub(crate) struct Manners {
    /// The name of the listener, for the log.
    pub(crate) name: String,
    /// Whether a PROXY header comes first.
    pub(crate) proxy: Expect,
    /// From where a PROXY header is believed.
    pub(crate) trusts: Box<dyn Fn(std::net::IpAddr) -> bool + Send + Sync>,
    /// Encryption.
    pub(crate) tls: Option<Arc<TlsContext>>,
    /// WebSocket.
    pub(crate) ws: Option<Policy>,
}

/// What a greeter is made of.
pub(crate) struct Parts {
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) mailbox: Mailbox,
    pub(crate) workers: Arc<[Mailbox]>,
    /// By listener.
    pub(crate) manners: Arc<[Manners]>,
    pub(crate) acceptors: Vec<Acceptor>,
    pub(crate) admission: Admission,
    pub(crate) log: EventLog,
    /// Greetings at one time.
    pub(crate) greetings_max: usize,
    /// From accept to the end of the greeting, in milliseconds.
    pub(crate) deadline_ms: u64,
}

/// One greeter and all it owns.
pub(crate) struct Greeter {
    parts: Parts,
    letters: Vec<Letter>,
    greetings: Slab<Place>,
    /// When to give up, by key and serial; of those that are done already too.
    deadlines: VecDeque<(u64, usize, u64)>,
    serial: u64,
    next_worker: usize,
    /// Acceptors whose queue was not emptied.
    accepting: Vec<usize>,
    scratch: Scratch,
    now_ms: u64,
    stats: DriverStats,
    stopped: bool,
}

struct Place {
    serial: u64,
    greeting: Greeting,
}

impl Greeter {
    /// Puts the parts together and listens.
    ///
    /// # Errors
    /// The kernel refuses readiness events for a listener.
    pub(crate) fn new(mut parts: Parts) -> io::Result<Self> {
        for (index, acceptor) in parts.acceptors.iter_mut().enumerate() {
            acceptor.register(parts.poll.registry(), Token(ACCEPTORS | index))?;
        }
        Ok(Self {
            parts,
            letters: Vec::new(),
            greetings: Slab::new(),
            deadlines: VecDeque::new(),
            serial: 0,
            next_worker: 0,
            accepting: Vec::new(),
            scratch: Scratch::new(),
            now_ms: 0,
            stats: DriverStats::default(),
            stopped: false,
        })
    }

    /// Runs until a letter says stop.
    ///
    /// # Errors
    /// The kernel gives no readiness events.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while !self.stopped {
            let timeout = self.timeout();
            match self.parts.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.now_ms = self.parts.clock.mono_ms();
            self.parts.log.set_now(self.now_ms);
            self.stats.turns += 1;
            for event in &events {
                match event.token().0 {
                    MAILBOX => {}
                    token if token & ACCEPTORS != 0 => self.accept(token & !ACCEPTORS),
                    key => self.step(key),
                }
            }
            self.accept_more();
            self.read_mail();
            self.give_up();
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.parts.mailbox.fall_asleep() || !self.accepting.is_empty() {
            return Some(Duration::ZERO);
        }
        let rests = self.parts.acceptors.iter().filter_map(|acceptor| acceptor.rests_until_ms).min();
        let due = [self.deadlines.front().map(|(at, ..)| *at), rests].into_iter().flatten().min()?;
        Some(Duration::from_millis(due.saturating_sub(self.parts.clock.mono_ms())))
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = self.parts.acceptors.get_mut(index) else { return };
            let listener = acceptor.listener;
            let (cause, peer) = match acceptor.accept(&mut self.parts.admission, self.now_ms) {
                Accepted::Connection(wire, peer, seat) if self.greetings.len() < self.parts.greetings_max => {
                    self.welcome(Greeting::new(wire, seat, listener, peer));
                    continue;
                }
                Accepted::Connection(_, peer, _) => (Shed::Greetings, peer),
                Accepted::Shed(cause, peer) => (cause, peer),
                Accepted::None | Accepted::Rest => return,
            };
            self.stats.shed[cause as usize] += 1;
            self.parts.log.shed(cause, peer);
        }
        self.accepting.push(index);
    }

    fn accept_more(&mut self) {
        for index in std::mem::take(&mut self.accepting) {
            self.accept(index);
        }
        for index in 0..self.parts.acceptors.len() {
            if self.parts.acceptors[index].rests_until_ms.is_some_and(|until| until <= self.now_ms) {
                self.accept(index);
            }
        }
    }

    /// Takes a connection in. The first event comes at once if there is something to read.
    fn welcome(&mut self, mut greeting: Greeting) {
        let entry = self.greetings.vacant_entry();
        let key = entry.key();
        if greeting.register(self.parts.poll.registry(), Token(key)).is_err() {
            return;
        }
        self.serial += 1;
        self.deadlines.push_back((self.now_ms + self.parts.deadline_ms, key, self.serial));
        entry.insert(Place { serial: self.serial, greeting });
        self.step(key);
    }

    /// Goes on with a greeting as far as its bytes reach.
    fn step(&mut self, key: usize) {
        let Some(place) = self.greetings.get_mut(key) else { return };
        let manners = &self.parts.manners[usize::from(place.greeting.listener)];
        match place.greeting.advance(manners, &mut self.scratch) {
            Progress::Waits => {}
            Progress::Done => self.introduce(key),
            Progress::Failed(cause, why) => {
                let peer = place.greeting.peer;
                self.parts.log.greeting_failed(&manners.name, peer, cause, &why);
                self.stats.greeting_failed[cause as usize] += 1;
                if !place.greeting.has_last_words() {
                    self.greetings.remove(key);
                }
            }
            Progress::Over => drop(self.greetings.remove(key)),
        }
    }

    /// Gives a connection whose greeting is done to a worker.
    fn introduce(&mut self, key: usize) {
        let greeting = self.greetings.remove(key).greeting;
        let (listener, peer) = (greeting.listener, greeting.peer);
        let Some((transport, bytes, certificate)) = greeting.finish(self.parts.poll.registry(), self.now_ms) else {
            self.stats.greeting_failed[GreetingFailed::Gone as usize] += 1;
            return;
        };
        let opened = Opened { listener, peer, transport: transport.kind(), certificate, via: None };
        let worker = self.next_worker % self.parts.workers.len();
        self.next_worker = worker + 1;
        self.parts.workers[worker].post(Letter::Arrival(Box::new(Arrival { transport, opened, bytes })));
    }

    fn read_mail(&mut self) {
        let mut letters = std::mem::take(&mut self.letters);
        self.parts.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            match letter {
                Letter::Report(answer) => {
                    let driver = DriverStats { sockets: self.greetings.len() as u64, ..self.stats };
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(Report { stats: Stats::default(), driver, busy: Vec::new() });
                }
                Letter::StopAccepting => {
                    self.parts.acceptors.clear();
                    // Whoever is not a client yet tries elsewhere.
                    self.greetings.clear();
                }
                Letter::Stop => self.stopped = true,
                Letter::Input(_) | Letter::Arrival(_) | Letter::ForGate(_) => {}
            }
        }
        self.letters = letters;
    }

    /// Ends greetings that take too long.
    fn give_up(&mut self) {
        while let Some(&(due, key, serial)) = self.deadlines.front()
            && due <= self.now_ms
        {
            self.deadlines.pop_front();
            let Some(place) = self.greetings.get_mut(key).filter(|place| place.serial == serial) else { continue };
            let listener = &self.parts.manners[usize::from(place.greeting.listener)].name;
            if let Some((cause, why)) = place.greeting.too_late() {
                self.parts.log.greeting_failed(listener, place.greeting.peer, cause, &why);
                self.stats.greeting_failed[cause as usize] += 1;
            }
            self.greetings.remove(key);
        }
    }
}

/// The token of the waker that ends a greeter's sleep.
pub(crate) fn mailbox_token() -> Token {
    Token(MAILBOX)
}

const MAILBOX: usize = usize::MAX;
const ACCEPTORS: usize = 1 << 62;
/// A handshake takes some 300 µs of a core: the queue is looked at again after about 20 ms.
const ACCEPTS_PER_TURN: usize = 64;
