//! What one subscriber's session received, held against what was promised.
//!
//! The account is of a client that does everything right, so whatever it finds wrong is the server's fault:
//! - each stream's messages come first in the order of publishing and without gaps (none lost, order kept);
//! - at QoS 2 none comes a second time (none doubled);
//! - on a new connection, what the client has not acknowledged comes again before anything new, in order, under the
//!   same packet ids and with DUP;
//! - nothing comes twice on one connection; a packet id that is in use is not used for another message.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};

use super::message::{Message, Stream};

/// The account of one session.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The next number that each stream's first deliveries must have.
    next: BTreeMap<Stream, u64>,
    /// The last message of each stream on this connection.
    here: BTreeMap<Stream, Message>,
    /// The last message of each stream, in the order of publishing.
    latest: BTreeMap<Stream, Message>,
    /// Deliveries that the client has not acknowledged, in the order of the server: it sends them again in that order.
    open: VecDeque<(u16, Message)>,
    /// How many of them, at the front, came on this connection.
    arrived: usize,
    /// Those of them that must come again on this connection before anything new.
    due: VecDeque<(u16, Message)>,
    /// QoS 2 messages with the client that are not released.
    held: BTreeMap<u16, Message>,
    /// What the members of this one's shared group received; for them there is no order.
    group: Option<Group>,
}

/// What all members of a shared group received, copies counted as one.
pub type Group = Arc<Mutex<HashSet<Message>>>;

/// A PUBLISH as the account sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// QoS of the delivery.
    pub qos: u8,
    /// The DUP flag.
    pub dup: bool,
    /// The packet id.
    pub packet_id: u16,
}

/// Whether the client has a message for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is new.
    First,
    /// It came before, as it may.
    Again,
}

/// What must not happen.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each says in words what it is")]
pub enum Violation {
    SessionLost,
    Lost { missing: Message, instead: Option<Message> },
    Doubled(Message),
    TwiceOnOneConnection(Message),
    NotAgain { missing: Message, instead: Message },
    OtherPacketId { message: Message, before: u16, after: u16 },
    WithoutDup(Message),
    PacketIdInUse { packet_id: u16, message: Message, before: Message },
    Foreign(String),
    Refused(String),
    RetainedLost(String),
    Stopped(String),
    Stuck(String),
}

impl Account {
    /// The account of a member of a shared group.
    #[must_use]
    pub fn of_group(group: Group) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    /// A new connection to the same session.
    pub fn on_connect(&mut self) {
        self.here.clear();
        self.arrived = 0;
        self.due = self.open.clone();
    }

    /// A PUBLISH arrived.
    ///
    /// # Errors
    /// What it breaks.
    pub fn on_publish(&mut self, entry: Entry) -> Result<Verdict, Violation> {
        let message = entry.message;
        self.check_redelivery(entry)?;
        if self.group.is_none() {
            let last = self.here.insert(message.stream, message);
            if last.is_some_and(|last| last.place() >= message.place()) {
                return Err(Violation::TwiceOnOneConnection(message));
            }
            let latest = self.latest.entry(message.stream).or_insert(message);
            if latest.place() < message.place() {
                *latest = message;
            }
        }
        let verdict = match self.held.get(&entry.packet_id) {
            Some(before) if entry.qos == 2 && *before == message => Verdict::Again,
            Some(before) => {
                let (packet_id, before) = (entry.packet_id, *before);
                return Err(Violation::PacketIdInUse { packet_id, message, before });
            }
            None => self.judge(entry)?,
        };
        // Also what was acknowledged comes again where the acknowledgement was lost: before what came after it.
        self.forget(entry.packet_id);
        self.open.insert(self.arrived, (entry.packet_id, message));
        self.arrived += 1;
        Ok(verdict)
    }

    /// What is not acknowledged must come again, first and unchanged.
    fn check_redelivery(&mut self, entry: Entry) -> Result<(), Violation> {
        let message = entry.message;
        if let Some((before, _)) = self.open.iter().find(|(_, open)| *open == message) {
            if *before != entry.packet_id {
                return Err(Violation::OtherPacketId { message, before: *before, after: entry.packet_id });
            }
            if !entry.dup {
                return Err(Violation::WithoutDup(message));
            }
        } else if let Some((packet_id, before)) = self.open.iter().find(|(id, _)| *id == entry.packet_id) {
            return Err(Violation::PacketIdInUse { packet_id: *packet_id, message, before: *before });
        }
        match self.due.front() {
            Some((_, due)) if *due == message => {
                self.due.pop_front();
            }
            Some((_, due)) if self.is_new(message) || self.due.iter().any(|(_, due)| *due == message) => {
                return Err(Violation::NotAgain { missing: *due, instead: message });
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn is_new(&self, message: Message) -> bool {
        match &self.group {
            Some(group) => !group.lock().expect("a group").contains(&message.sent_on(0)),
            None => self.latest.get(&message.stream).is_none_or(|latest| latest.place() < message.place()),
        }
    }

    fn judge(&mut self, entry: Entry) -> Result<Verdict, Violation> {
        let message = entry.message;
        let again = if entry.qos == 2 { Err(Violation::Doubled(message)) } else { Ok(Verdict::Again) };
        if let Some(group) = &self.group {
            let first = group.lock().expect("a group").insert(message.sent_on(0));
            return if first || self.open.iter().any(|(_, open)| *open == message) {
                Ok(Verdict::First)
            } else {
                again
            };
        }
        let next = self.next.entry(message.stream).or_default();
        if message.number > *next {
            let missing = Message { stream: message.stream, number: *next, copy: 0 };
            return Err(Violation::Lost { missing, instead: Some(message) });
        }
        if message.number == *next {
            *next += 1;
            return Ok(Verdict::First);
        }
        // A QoS 2 message that was not acknowledged was not passed on either: it is still the first time.
        if self.open.iter().any(|(_, open)| *open == message) { Ok(Verdict::Again) } else { again }
    }

    /// The client sent PUBACK.
    pub fn on_acknowledged(&mut self, packet_id: u16) {
        self.forget(packet_id);
        self.due.retain(|(due, _)| *due != packet_id);
    }

    fn forget(&mut self, packet_id: u16) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == packet_id) else { return };
        self.open.remove(at);
        self.arrived -= usize::from(at < self.arrived);
    }

    /// The client sent PUBREC: from here on the packet id stands for this message until PUBREL.
    pub fn on_taken(&mut self, packet_id: u16) {
        if let Some((_, message)) = self.open.iter().find(|(open, _)| *open == packet_id) {
            self.held.insert(packet_id, *message);
        }
        self.on_acknowledged(packet_id);
    }

    /// PUBREL arrived: the packet id is free.
    pub fn on_released(&mut self, packet_id: u16) {
        self.held.remove(&packet_id);
        self.on_acknowledged(packet_id);
    }

    /// How many messages of a stream arrived; for a group's member, of all of them together.
    #[must_use]
    pub fn received(&self, stream: Stream) -> u64 {
        match &self.group {
            Some(group) => group.lock().expect("a group").iter().filter(|m| m.stream == stream).count() as u64,
            None => self.next.get(&stream).copied().unwrap_or(0),
        }
    }

    /// The first message of a stream that did not arrive.
    #[must_use]
    pub fn missing(&self, stream: Stream) -> Message {
        let number = match &self.group {
            Some(group) => {
                let group = group.lock().expect("a group");
                (0..).find(|number| !group.contains(&Message { stream, number: *number, copy: 0 })).unwrap_or(0)
            }
            None => self.received(stream),
        };
        Message { stream, number, copy: 0 }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionLost => f.write_str("LOST SESSION: the server had one and says that it has none"),
            Self::Lost { missing, instead: Some(instead) } => {
                write!(f, "LOST or OUT OF ORDER: {missing}; {instead} came")
            }
            Self::Lost { missing, instead: None } => write!(f, "LOST: {missing} never came"),
            Self::Doubled(message) => write!(f, "DOUBLED at QoS 2: {message}"),
            Self::TwiceOnOneConnection(message) => write!(f, "AGAIN or OUT OF ORDER on one connection: {message}"),
            Self::NotAgain { missing, instead } => {
                write!(f, "NOT AGAIN: {missing} is unacknowledged and oldest; {instead} came instead")
            }
            Self::OtherPacketId { message, before, after } => {
                write!(f, "OTHER PACKET ID: {message} came again as {after}, was {before}")
            }
            Self::WithoutDup(message) => write!(f, "WITHOUT DUP: {message} came again"),
            Self::PacketIdInUse { packet_id, message, before } => {
                write!(f, "PACKET ID IN USE: {packet_id} for {message}, while it stands for {before}")
            }
            Self::Foreign(what) => write!(f, "FOREIGN: {what} was never published"),
            Self::Refused(what) => write!(f, "REFUSED: {what}"),
            Self::RetainedLost(what) => write!(f, "RETAINED: {what}"),
            Self::Stopped(what) => write!(f, "the node STOPPED by itself: {what}"),
            Self::Stuck(what) => write!(f, "STUCK: {what}"),
        }
    }
}
