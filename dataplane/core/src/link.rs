//! A link between two nodes: frames there and back over a connection that may break at any byte.
//!
//! One [`Link`] at each end, for both directions. What the frames say is not its business; it numbers those that must
//! arrive, keeps them until the peer has said what became of them, and begins again where the peer left off. The format
//! stands in docs/protocol/peer.md. The driver brings connections, whose peer it has proved, and moves bytes.
//!
//! ```text
//!            connected                    the peer's Hello
//!   Down ──────────────► Greeting ─────────────────────────► Up
//!    ▲  ◄───────────────────┘                                │
//!    │      disconnected, or another connection              │
//!    └───────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants: a reliable frame is given to each life of the peer at most once, and frames are given in the order in
//! which they were sent. Its outcome is given once. What is kept, waits or is remembered is bounded by [`LinkLimits`]
//! and [`WINDOW_MAX`] on both sides, whatever the peer says.

mod answers;
mod bytes;
mod client;
mod error;
mod hello;
mod kept;
mod limits;
mod wire;

use std::time::Duration;

use sluice_cluster::{NodeId, interest::Incarnation};
use sluice_mqtt::ReasonCode;

use self::{
    answers::Answers,
    bytes::ByteQueue,
    hello::{Hello, Known, Life},
    kept::Kept,
};
use crate::message::Reader;

pub use self::{
    client::{CLIENT_HEADER_BYTES_MAX, ClientHeader, ClientHeaderError},
    error::LinkError,
    hello::{Identity, Versions},
    limits::{FRAME_BYTES_MAX, LinkLimits, WINDOW_MAX},
};

/// Where bytes of a link go: each lane is one ordered stream in each direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Greetings, outcomes, and small things that repeat themselves.
    Control,
    /// Frames in the order in which they were sent.
    Messages,
    /// Large answers that nobody waits behind.
    Bulk,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 3] = [Self::Control, Self::Messages, Self::Bulk];

    /// The lane's place in an array with one entry per lane, and the first byte of its streams.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The lane of a stream's first byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.index() == usize::from(byte))
    }
}

/// Numbers the reliable frames that a link sends: 1, 2, 3, …
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

/// Names a reliable frame that the peer sent, for its answer. It means nothing to any other link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Receipt {
    /// Counts the lives of the peer: an answer to one that is over goes nowhere.
    life: u64,
    sequence: u64,
}

/// What became of a reliable frame at the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Whether somebody got the message.
    pub matched: bool,
    /// Why it was refused, if it was; an error code.
    pub refused: Option<ReasonCode>,
}

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It waits for its turn. A reliable one has a number, under which its outcome will come.
    Queued(Option<Sequence>),
    /// It is dropped: a bound is reached, the frame is longer than either side takes, or it is unreliable and the link
    /// is down.
    Refused,
}

/// What the peer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The link is up: the peer has said who it is. Held back bytes of the other lanes can be received.
    Up {
        /// The peer's life.
        incarnation: Incarnation,
        /// Whether it knows nothing of what was said before: it was restarted, or it had given this node up.
        new_life: bool,
        /// The version that both speak.
        protocol: u16,
    },
    /// A frame of [`Link::send`]. Every reliable one has to be answered once.
    Received {
        /// How to answer it; `None` for an unreliable one.
        receipt: Option<Receipt>,
        /// Whether an earlier life of this node may have taken it, so that only those who store it, and know it then,
        /// may get it.
        again: bool,
        /// The frame.
        frame: &'a [u8],
    },
    /// A frame of [`Link::send_control`].
    Control(&'a [u8]),
    /// A frame of [`Link::send_bulk`].
    Bulk(&'a [u8]),
    /// What became of reliable frames. In any order, each number once.
    Answered {
        /// The first of them.
        first: Sequence,
        /// How many.
        count: u32,
        /// What became of each.
        outcome: Outcome,
    },
}

/// What waits and what is kept, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkLoad {
    /// Bytes of frames that wait to be sent or to be answered.
    pub window_bytes: usize,
    /// Reliable frames without an outcome.
    pub unanswered: usize,
    /// Frames of the peer that were not answered yet.
    pub to_answer: usize,
    /// Bytes of frames of the lane Control that wait to be sent.
    pub control_bytes: usize,
    /// Frames of the lane Bulk that wait, in bytes.
    pub bulk_bytes: usize,
    /// Frames that came a second time, since the link was made.
    pub duplicates: u64,
    /// Unreliable frames that were dropped because the link went down while they waited, since the link was made.
    pub dropped: u64,
}

/// One end of a link. See the module.
#[derive(Debug)]
pub struct Link {
    me: Identity,
    peer: NodeId,
    limits: LinkLimits,
    /// The longest frame that both take.
    frame_bytes_max: usize,
    connection: Option<Connection>,
    /// What is known of the peer, in its life of this moment.
    peer_life: Option<Life>,
    /// Counts its lives, in numbers that no link of an earlier generation of this side has.
    lives: u64,
    /// The last reliable frame of the peer that was taken.
    taken: u64,
    to_answer: usize,
    duplicates: u64,
    /// Runs of outcomes of the peer that were taken, and those of them that it knows were.
    runs_taken: u64,
    runs_confirmed: u64,
    kept: Kept,
    answers: Answers,
    control: ByteQueue,
    bulk: ByteQueue,
    scratch: Vec<u8>,
}

/// The connection of this moment.
#[derive(Debug)]
struct Connection {
    id: u64,
    greet_until: Duration,
    greeted: bool,
    /// The version both speak; `None` until the peer has said Hello.
    protocol: Option<u16>,
    /// The number of the next reliable frame, and whether it and those behind it may have been taken by an earlier life.
    next: Option<(u64, bool)>,
}

impl Link {
    /// A link of `me` to `peer` that is down. Panics when the limits do not fit each other.
    #[must_use]
    pub fn new(me: Identity, peer: NodeId, limits: LinkLimits) -> Self {
        assert!(limits.are_sound(), "the longest frame fits into each queue");
        assert!(me.generation > 0 && me.versions.min <= me.versions.max, "an identity that can be told");
        Self {
            lives: u64::from(me.generation) << 32,
            me,
            peer,
            limits,
            frame_bytes_max: limits.frame_bytes_max,
            connection: None,
            peer_life: None,
            taken: 0,
            to_answer: 0,
            duplicates: 0,
            runs_taken: 0,
            runs_confirmed: 0,
            kept: Kept::new(limits.window_bytes_max),
            answers: Answers::default(),
            control: ByteQueue::default(),
            bulk: ByteQueue::default(),
            scratch: Vec::new(),
        }
    }

    /// A connection with this peer is there, which has proved who it is; an older one is void. `connection` is a number
    /// of the driver's choice that it uses once. Says whether the link was up until now: it is down.
    pub fn connected(&mut self, now: Duration, connection: u64) -> bool {
        let was_up = self.close();
        let greet_until = now + self.limits.greeting_max;
        self.connection = Some(Connection { id: connection, greet_until, greeted: false, protocol: None, next: None });
        was_up
    }

    /// A connection is gone. Says whether the link was up until now: it is down. Nothing happens when it was void.
    pub fn disconnected(&mut self, connection: u64) -> bool {
        self.connection.as_ref().is_some_and(|current| current.id == connection) && self.close()
    }

    fn close(&mut self) -> bool {
        let was_up = self.is_up();
        self.connection = None;
        self.control.clear();
        self.bulk.clear();
        self.kept.disconnected();
        was_up
    }

    /// Whether the peer has said Hello on the connection of this moment.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.protocol().is_some()
    }

    fn protocol(&self) -> Option<u16> {
        self.connection.as_ref().and_then(|connection| connection.protocol)
    }

    /// The connection of this moment.
    #[must_use]
    pub fn connection(&self) -> Option<u64> {
        self.connection.as_ref().map(|connection| connection.id)
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Whether so much waits for the peer that its senders should hold back: half of a bound. Only while the link is up;
    /// when it is down, what waits may wait long, and senders are refused at the bound.
    #[must_use]
    pub fn wants_pause(&self) -> bool {
        let half = self.kept.bytes() > self.limits.window_bytes_max / 2 || self.kept.unanswered() > WINDOW_MAX / 2;
        half && self.is_up()
    }

    /// What waits and what is kept.
    #[must_use]
    pub fn load(&self) -> LinkLoad {
        LinkLoad {
            window_bytes: self.kept.bytes(),
            unanswered: self.kept.unanswered(),
            to_answer: self.to_answer,
            control_bytes: self.control.len(),
            bulk_bytes: self.bulk.len(),
            duplicates: self.duplicates,
            dropped: self.kept.dropped(),
        }
    }

    /// Queues a frame on the lane Messages, behind all before it. A reliable one is kept until its outcome is known,
    /// through any number of connections; an unreliable one is sent once, if the link is up.
    #[inline]
    pub fn send(&mut self, frame: &[u8], reliable: bool) -> Sent {
        if frame.len() > self.frame_bytes_max || !reliable && !self.is_up() {
            return Sent::Refused;
        }
        self.kept.push(frame, reliable)
    }

    /// Queues a frame on the lane Control; it is lost with the connection.
    pub fn send_control(&mut self, frame: &[u8]) -> Sent {
        let room = self.limits.control_bytes_max.saturating_sub(self.control.len());
        if !self.is_up() || frame.len() > self.frame_bytes_max.min(room) {
            return Sent::Refused;
        }
        self.control.push(wire::control::APPLICATION, frame);
        Sent::Queued(None)
    }

    /// Queues a frame on the lane Bulk; it is lost with the connection.
    pub fn send_bulk(&mut self, frame: &[u8]) -> Sent {
        let room = self.limits.bulk_bytes_max.saturating_sub(self.bulk.len());
        if !self.is_up() || frame.len() > self.frame_bytes_max.min(room) {
            return Sent::Refused;
        }
        self.bulk.push(wire::bulk::APPLICATION, frame);
        Sent::Queued(None)
    }

    /// What became of a reliable frame of the peer. To be said once for each; it reaches the peer through any number of
    /// connections, unless its life ends.
    #[inline]
    pub fn answer(&mut self, receipt: Receipt, outcome: Outcome) {
        if receipt.life == self.lives {
            assert!(self.to_answer > 0, "a frame is answered once");
            self.to_answer -= 1;
            self.answers.add(receipt.sequence, outcome);
        }
    }

    /// Appends what is ready on a lane to `out`: as much as fits into `max` bytes, and beyond that no more than one frame
    /// or 128 KiB. `false` = nothing.
    pub fn transmit(&mut self, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        let start = out.len();
        let end = start + max;
        match lane {
            Lane::Control => self.transmit_control(out, end),
            Lane::Messages if self.is_up() => self.kept.transmit(out, end),
            Lane::Bulk if self.is_up() => self.bulk.transmit(out, end),
            Lane::Messages | Lane::Bulk => {}
        }
        out.len() > start
    }

    fn transmit_control(&mut self, out: &mut Vec<u8>, end: usize) {
        let start = out.len();
        let Some(connection) = &mut self.connection else { return };
        if !std::mem::replace(&mut connection.greeted, true) {
            let hello = Hello {
                identity: self.me.clone(),
                frame_bytes_max: self.limits.frame_bytes_max as u32,
                known: self.peer_life.map(|life| Known { life, frames: self.taken, runs: self.runs_taken }),
            };
            wire::put_with(out, &mut self.scratch, wire::control::HELLO, |body| hello.encode(body));
            self.runs_confirmed = self.runs_taken;
        }
        if connection.protocol.is_none() {
            return;
        }
        while self.answers.is_due() && out.len() < end {
            self.answers.transmit(out, &mut self.scratch);
        }
        self.control.transmit(out, end);
        let unconfirmed = self.runs_taken - self.runs_confirmed;
        if unconfirmed >= CONFIRM_RUNS || unconfirmed > 0 && out.len() > start {
            wire::put(out, wire::control::TAKEN, &self.runs_taken.to_le_bytes());
            self.runs_confirmed = self.runs_taken;
        }
    }

    /// When [`Self::tick`] has something to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.connection.as_ref().filter(|it| it.protocol.is_none()).map(|it| it.greet_until)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The peer does not say Hello: the connection is to be closed.
    pub fn tick(&mut self, now: Duration) -> Result<(), LinkError> {
        if self.poll_timeout().is_some_and(|due| now >= due) { Err(LinkError::Silent) } else { Ok(()) }
    }

    /// Takes the whole frames at the front of `bytes`, of which the events are made, and says how many bytes they were. The rest is to be offered again,
    /// in front of what comes next; on the lanes Messages and Bulk also when [`Event::Up`] has come.
    ///
    /// # Errors
    /// Bytes that cannot be: the connection is to be closed. What was taken before them stays taken.
    pub fn receive<'b>(
        &mut self,
        connection: u64,
        lane: Lane,
        bytes: &'b [u8],
        on: &mut impl FnMut(Event<'b>),
    ) -> Result<usize, LinkError> {
        if self.connection.as_ref().is_none_or(|current| current.id != connection) {
            return Err(LinkError::Replaced);
        }
        if lane != Lane::Control && !self.is_up() {
            return Ok(0);
        }
        let mut taken = 0;
        while let Some(frame) = wire::split(&bytes[taken..], self.limits.frame_bytes_max.max(CONTROL_BYTES_MIN))? {
            match lane {
                Lane::Control => self.on_control(frame.kind, frame.body, on)?,
                Lane::Messages => self.on_message(frame.kind, frame.body, on)?,
                Lane::Bulk if frame.kind == wire::bulk::APPLICATION => on(Event::Bulk(frame.body)),
                Lane::Bulk => return Err(LinkError::Kind { kind: frame.kind }),
            }
            taken += frame.bytes;
        }
        Ok(taken)
    }

    #[inline]
    fn on_message<'b>(&mut self, kind: u8, frame: &'b [u8], on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        match kind {
            wire::messages::RELIABLE => self.on_reliable(frame, on),
            wire::messages::UNRELIABLE => {
                on(Event::Received { receipt: None, again: false, frame });
                Ok(())
            }
            wire::messages::START => self.on_start(frame),
            kind => Err(LinkError::Kind { kind }),
        }
    }

    fn on_reliable<'b>(&mut self, frame: &'b [u8], on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        let next = self.connection.as_mut().and_then(|connection| connection.next.as_mut());
        let Some((next, again)) = next else { return Err(LinkError::OutOfPlace { what: "a frame before Start" }) };
        let (sequence, again) = (*next, *again);
        *next += 1;
        if sequence <= self.taken {
            self.duplicates += 1;
            return Ok(());
        }
        if self.to_answer == WINDOW_MAX {
            return Err(LinkError::Window { what: "frames without an answer", max: WINDOW_MAX });
        }
        self.taken = sequence;
        self.to_answer += 1;
        on(Event::Received { receipt: Some(Receipt { life: self.lives, sequence }), again, frame });
        Ok(())
    }

    fn on_start(&mut self, body: &[u8]) -> Result<(), LinkError> {
        let (sequence, again) = wire::read_start(body)?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let lowest = connection.next.map_or(1, |(next, _)| next);
        if !(lowest..SEQUENCES_END).contains(&sequence) {
            return Err(LinkError::Number { what: "frames" });
        }
        connection.next = Some((sequence, again));
        Ok(())
    }

    fn on_control<'b>(&mut self, kind: u8, body: &'b [u8], on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        match (kind, self.is_up()) {
            (wire::control::HELLO, false) => self.on_hello(&Hello::decode(body)?, on),
            (wire::control::HELLO, true) => Err(LinkError::OutOfPlace { what: "a second Hello" }),
            (_, false) => Err(LinkError::OutOfPlace { what: "a frame before Hello" }),
            (wire::control::OUTCOMES, true) => self.on_outcomes(body, on),
            (wire::control::TAKEN, true) => self.answers.confirm(wire::read_taken(body)?),
            (wire::control::APPLICATION, true) => {
                on(Event::Control(body));
                Ok(())
            }
            (kind, true) => Err(LinkError::Kind { kind }),
        }
    }

    fn on_outcomes<'b>(&mut self, body: &'b [u8], on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        self.answers.check()?;
        let mut reader = Reader::new(body);
        let mut expected = 0;
        while !reader.bytes.is_empty() {
            let run = wire::take_run(&mut reader, expected)?;
            expected = run.first.saturating_add(u64::from(run.count));
            self.kept.resolve(run, on)?;
            self.runs_taken += 1;
        }
        Ok(())
    }

    fn on_hello<'b>(&mut self, hello: &Hello, on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        let them = &hello.identity;
        if them.cluster != self.me.cluster {
            return Err(LinkError::Cluster { cluster: them.cluster });
        }
        if them.node != self.peer {
            return Err(LinkError::Node { node: them.node });
        }
        let (ours, theirs) = (self.me.versions, them.versions);
        let protocol = ours.agree(theirs).ok_or(LinkError::Version { theirs, ours })?;
        if self.peer_life.is_some_and(|known| hello.life() < known) {
            return Err(LinkError::EarlierLife);
        }
        let new_life = self.peer_life != Some(hello.life());
        if new_life {
            self.begin_life(hello.life());
        }
        let known = hello.known.filter(|known| known.life == self.me.life());
        self.answers.resume(known.map_or(0, |known| known.runs))?;
        self.kept.resume(known.map_or(0, |known| known.frames))?;
        self.frame_bytes_max = self.limits.frame_bytes_max.min(hello.frame_bytes_max as usize);
        if let Some(connection) = &mut self.connection {
            connection.protocol = Some(protocol);
        }
        on(Event::Up { incarnation: them.incarnation, new_life, protocol });
        self.kept.refuse_longer(self.frame_bytes_max, on);
        Ok(())
    }

    fn begin_life(&mut self, life: Life) {
        self.peer_life = Some(life);
        self.lives += 1;
        self.taken = 0;
        self.to_answer = 0;
        self.runs_taken = 0;
        self.runs_confirmed = 0;
        self.answers.clear();
        self.kept.renew();
    }

    /// Gives the peer up: the numbers of all reliable frames whose outcome will not be known, ascending. A link that is
    /// made to the same peer later must have a higher generation.
    pub fn into_unanswered(self) -> impl Iterator<Item = Sequence> {
        self.kept.into_unanswered()
    }

    /// Gives the peer up and begins anew, as `me` with a higher generation: nothing of what was sent comes back, and
    /// receipts mean nothing any more.
    ///
    /// # Panics
    /// When the generation is not higher.
    pub fn begin_anew(&mut self, me: Identity) {
        assert!(me.generation > self.me.generation, "a link that begins anew is told from the one before");
        *self = Self::new(me, self.peer, self.limits);
    }
}

/// Runs of outcomes that are confirmed at once even when nothing else is to be said: 16 KiB at the peer.
const CONFIRM_RUNS: u64 = 1_024;
/// A frame of the lane Control that the link itself makes is no longer.
const CONTROL_BYTES_MIN: usize = 128 * 1024;
/// No number comes near: it would take nine years at a million frames a second.
const SEQUENCES_END: u64 = 1 << 48;

#[cfg(test)]
mod tests;
