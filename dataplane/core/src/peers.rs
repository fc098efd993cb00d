//! Between the workers of a node: the same fan-out as between nodes, one level down.
//!
//! Each worker tells the others which filters it wants; a message crosses once to each worker that wants it. What must
//! be known before a reply may leave (a message stored elsewhere, an interest heard by everybody) is asked with a
//! ticket and answered with [`Frame::Done`].

use std::borrow::Cow;

use hashbrown::HashMap;
use sluice_cluster::{NodeId, WorkerId};
use sluice_mqtt::ReasonCode;

use crate::{
    ConnId,
    message::{MessageRef, Reader, put_blob, put_text},
    record::SessionUid,
    subscriptions::{Interest, MemberCount},
};

/// What one worker tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A message for this worker's subscribers.
    Publish {
        /// Answer with `Done`; 0 = no answer wanted.
        ticket: u64,
        /// Whether it was routed before, so that only those who store it, and know it then, may get it.
        again: bool,
        /// The message.
        message: &'a [u8],
    },
    /// A retained message (or its deletion) whose home is this worker.
    Retain {
        /// Answer with `Done`; 0 = no answer wanted.
        ticket: u64,
        /// The message.
        message: &'a [u8],
    },
    /// A message for one member of a shared group.
    Shared {
        /// Answer with `Done`; 0 = no answer wanted.
        ticket: u64,
        /// Whether it comes back to who sent it, because nobody was there to take it.
        bounced: bool,
        /// The group.
        group: &'a str,
        /// Its filter.
        filter: &'a str,
        /// The message.
        message: &'a [u8],
    },
    /// What the sender wants of a filter from now on.
    Interest {
        /// Answer with `Done`; 0 = no answer wanted.
        ticket: u64,
        /// What it wants.
        interest: Interest,
        /// The filter.
        filter: &'a str,
    },
    /// How many members of a shared group the sender has from now on.
    Members {
        /// Answer with `Done`; 0 = no answer wanted.
        ticket: u64,
        /// How many.
        count: MemberCount,
        /// The group.
        group: &'a str,
        /// Its filter.
        filter: &'a str,
    },
    /// Asks whether the sender has been told what this worker wants: the answer comes behind all of that.
    Hello {
        /// Answer with `Done`.
        ticket: u64,
    },
    /// How many persistent sessions of a principal the sender has from now on.
    Sessions {
        /// How many.
        count: u32,
        /// The principal.
        principal: &'a str,
    },
    /// The answer to a ticket.
    Done {
        /// The ticket.
        ticket: u64,
        /// Whether somebody got the message.
        matched: bool,
        /// Why it was refused.
        refused: Option<ReasonCode>,
    },
    /// Asks for retained messages.
    Query {
        /// Names the answer.
        query: u64,
        /// The filter.
        filter: &'a str,
        /// The topic to begin behind; empty = from the start.
        after: &'a str,
    },
    /// Some retained messages, or none though there are more: `messages` is a run of length-prefixed encodings.
    Page {
        /// The question.
        query: u64,
        /// The topic that the next page begins behind; empty = these were the last.
        after: &'a str,
        /// The messages.
        messages: &'a [u8],
    },
    /// From the gate: whether peers may want anything at all, because it is not known what they want.
    Everything {
        /// Whether they may.
        wanted: bool,
    },
    /// A client id is in use, and its home is another node: to the gate for that node, or from the gate of the other one.
    Claim {
        /// Answer with `Done`, refused if the client may not have it; 0 = no answer wanted.
        ticket: u64,
        /// The other node: where the home is, or where the client is.
        node: NodeId,
        /// Whether it was claimed before, so that it gives way to whoever came since.
        renew: bool,
        /// Tells two attachments of the client at its node apart.
        serial: u64,
        /// The client.
        client: &'a str,
        /// Its user; empty = none.
        user: &'a str,
    },
    /// It is in use no more.
    Unclaim {
        /// The other node.
        node: NodeId,
        /// As it was claimed.
        serial: u64,
        /// The client.
        client: &'a str,
    },
    /// The client id belongs to somebody else from now on.
    Evict {
        /// The other node.
        node: NodeId,
        /// As it was claimed.
        serial: u64,
        /// The client.
        client: &'a str,
    },
    /// From the gate: claim again what has its home at this node, which may have forgotten.
    RenewClaims {
        /// The node.
        node: NodeId,
    },
    /// From the gate: a node is gone, and with it all it has claimed.
    Forget {
        /// The node.
        node: NodeId,
    },
    /// What a worker of another node and this one say to each other of copies of registers: to the gate for that node, or for
    /// all of them by the default of its id; or from the gate, of that node.
    Copying {
        /// The other node.
        node: NodeId,
        /// A [`crate::copies::CopyFrame`].
        frame: &'a [u8],
    },
    /// From the gate: asks for copies of another node's registers; the answer is a [`Self::Page`].
    Copies {
        /// Names the answer.
        query: u64,
        /// The other node.
        node: NodeId,
        /// The filter.
        filter: &'a str,
        /// The topic to begin behind; empty = from the start.
        after: &'a str,
    },
    /// From the gate: there is a link to a node that tells what its registers hold, or there is none any more.
    Linked {
        /// The node.
        node: NodeId,
        /// Whether there is one.
        up: bool,
        /// Whether registers of that node were read over the link that was.
        was_read: bool,
    },
    /// The message of the next frame is timed.
    Timed {
        /// Since when, in nanoseconds of the clock that all workers read.
        since_ns: u64,
    },
}

impl<'a> Frame<'a> {
    /// Appends the frame with its length in front.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match *self {
            Self::Publish { ticket, again, message } => put(out, 1, ticket, &[u8::from(again)], message),
            Self::Retain { ticket, message } => put(out, 2, ticket, &[], message),
            Self::Shared { ticket, bounced, group, filter, message } => {
                put(out, 3, ticket, &[u8::from(bounced)], b"");
                put_text(out, group);
                put_text(out, filter);
                out.extend_from_slice(message);
            }
            Self::Interest { ticket, interest, filter } => {
                put(out, 4, ticket, &[u8::from(interest.wanted), u8::from(interest.durable)], filter.as_bytes());
            }
            Self::Members { ticket, count, group, filter } => {
                put(out, 5, ticket, &count.connected.to_le_bytes(), &count.waiting.to_le_bytes());
                put_text(out, group);
                put_text(out, filter);
            }
            Self::Sessions { count, principal } => put(out, 11, u64::from(count), &[], principal.as_bytes()),
            Self::Done { ticket, matched, refused } => {
                put(out, 6, ticket, &[u8::from(matched), refused.map_or(0, ReasonCode::code)], b"");
            }
            Self::Query { query, filter, after } => {
                put(out, 7, query, &[], b"");
                put_text(out, filter);
                put_text(out, after);
            }
            Self::Page { query, after, messages } => {
                put(out, 8, query, &[], b"");
                put_text(out, after);
                out.extend_from_slice(messages);
            }
            Self::Hello { ticket } => put(out, 9, ticket, &[], b""),
            Self::Timed { since_ns } => put(out, 10, since_ns, &[], b""),
            Self::Everything { wanted } => put(out, 12, u64::from(wanted), &[], b""),
            Self::Claim { ticket, node, renew, serial, client, user } => {
                put(out, 13, ticket, &node.0.to_le_bytes(), &[u8::from(renew)]);
                out.extend_from_slice(&serial.to_le_bytes());
                put_text(out, client);
                put_text(out, user);
            }
            Self::Unclaim { node, serial, client } => {
                put(out, 14, serial, &node.0.to_le_bytes(), client.as_bytes());
            }
            Self::Evict { node, serial, client } => put(out, 15, serial, &node.0.to_le_bytes(), client.as_bytes()),
            Self::RenewClaims { node } => put(out, 16, node.0, &[], b""),
            Self::Forget { node } => put(out, 17, node.0, &[], b""),
            Self::Copying { node, frame } => put(out, 18, node.0, &[], frame),
            Self::Copies { query, node, filter, after } => {
                put(out, 19, query, &node.0.to_le_bytes(), b"");
                put_text(out, filter);
                put_text(out, after);
            }
            Self::Linked { node, up, was_read } => put(out, 20, node.0, &[u8::from(up), u8::from(was_read)], b""),
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads the first frame and what follows it; `None` at the end or at bytes that are no frame.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut outer = Reader::new(bytes);
        let mut body = Reader::new(outer.blob()?);
        let kind = body.u8()?;
        let ticket = body.u64()?;
        let frame = match kind {
            1 => {
                let again = body.u8()? != 0;
                Self::Publish { ticket, again, message: body.bytes }
            }
            2 => Self::Retain { ticket, message: body.bytes },
            3 => {
                let bounced = body.u8()? != 0;
                let (group, filter) = (body.text()?, body.text()?);
                Self::Shared { ticket, bounced, group, filter, message: body.bytes }
            }
            4 => {
                let interest = Interest { wanted: body.u8()? != 0, durable: body.u8()? != 0 };
                Self::Interest { ticket, interest, filter: std::str::from_utf8(body.bytes).ok()? }
            }
            5 => {
                let count = MemberCount { connected: body.u32()?, waiting: body.u32()? };
                Self::Members { ticket, count, group: body.text()?, filter: body.text()? }
            }
            6 => {
                let matched = body.u8()? != 0;
                let refused = ReasonCode::from_u8(body.u8()?).filter(|reason| reason.is_error());
                Self::Done { ticket, matched, refused }
            }
            7 => Self::Query { query: ticket, filter: body.text()?, after: body.text()? },
            8 => Self::Page { query: ticket, after: body.text()?, messages: body.bytes },
            9 => Self::Hello { ticket },
            10 => Self::Timed { since_ns: ticket },
            11 => {
                Self::Sessions { count: u32::try_from(ticket).ok()?, principal: std::str::from_utf8(body.bytes).ok()? }
            }
            12 => Self::Everything { wanted: ticket != 0 },
            13 => {
                let (node, renew, serial) = (NodeId(body.u64()?), body.u8()? != 0, body.u64()?);
                Self::Claim { ticket, node, renew, serial, client: body.text()?, user: body.text()? }
            }
            14 | 15 => {
                let (node, serial) = (NodeId(body.u64()?), ticket);
                let client = std::str::from_utf8(body.bytes).ok()?;
                if kind == 14 { Self::Unclaim { node, serial, client } } else { Self::Evict { node, serial, client } }
            }
            16 => Self::RenewClaims { node: NodeId(ticket) },
            17 => Self::Forget { node: NodeId(ticket) },
            18 => Self::Copying { node: NodeId(ticket), frame: body.bytes },
            19 => {
                let node = NodeId(body.u64()?);
                Self::Copies { query: ticket, node, filter: body.text()?, after: body.text()? }
            }
            20 => Self::Linked { node: NodeId(ticket), up: body.u8()? != 0, was_read: body.u8()? != 0 },
            _ => return None,
        };
        Some((frame, outer.bytes))
    }
}

fn put(out: &mut Vec<u8>, kind: u8, ticket: u64, fixed: &[u8], rest: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&ticket.to_le_bytes());
    out.extend_from_slice(fixed);
    out.extend_from_slice(rest);
}

/// Appends a message to the messages of a page.
pub(crate) fn put_page_message(out: &mut Vec<u8>, message: &MessageRef<'_>) {
    out.extend_from_slice(&(message.encoded_len() as u32).to_le_bytes());
    message.encode(out);
}

/// Appends an encoded message to the messages of a page.
pub(crate) fn put_page_bytes(out: &mut Vec<u8>, message: &[u8]) {
    put_blob(out, message);
}

/// Takes a message off the messages of a page.
pub(crate) fn take_page_message<'a>(messages: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut reader = Reader::new(messages);
    let message = reader.blob()?;
    *messages = reader.bytes;
    Some(message)
}

/// A run of messages of a page, each replaced, or left out.
pub(crate) fn map_page<'a>(messages: &'a [u8], map: impl Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>) -> Vec<u8> {
    let (mut rest, mut mapped) = (messages, Vec::with_capacity(messages.len()));
    while let Some(message) = take_page_message(&mut rest) {
        if let Some(message) = map(message) {
            put_page_bytes(&mut mapped, &message);
        }
    }
    mapped
}

/// The other workers: what waits to be told to them, and what they were asked.
pub(crate) struct Peers {
    id: WorkerId,
    outgoing: Vec<Vec<u8>>,
    last_ticket: u64,
    /// A bit for each worker that has not told yet what its restored sessions want.
    unheard: u64,
    tickets: HashMap<u64, (Asker, u16), foldhash::fast::FixedState>,
}

/// Who waits for the answers to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A reply of a connection, by its number.
    Reply {
        /// The connection.
        conn: ConnId,
        /// The reply's number.
        number: u64,
    },
    /// A connection whose client id was claimed at its home.
    Claim(ConnId),
    /// A stored will that was published and may be forgotten.
    Will(SessionUid),
    /// A message that waited for a session and was passed on to another member of its group.
    PassedOn(SessionUid, u64),
}

impl Peers {
    /// Of worker `id` among `workers`, and a gate if there are other nodes: it has the number behind the last worker's.
    pub(crate) fn new(id: WorkerId, workers: u16, has_gate: bool) -> Self {
        let outgoing = (0..workers + u16::from(has_gate)).map(|_| Vec::new()).collect();
        let mut peers = Self { id, outgoing, last_ticket: 0, unheard: 0, tickets: HashMap::default() };
        peers.unheard = peers.everyone();
        peers
    }

    /// The workers that may want what nobody here knows of yet.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard
    }

    /// A worker has answered, so all it said before has been heard.
    pub(crate) fn heard(&mut self, worker: WorkerId) {
        self.unheard &= !(1 << worker.0);
    }

    /// The bits of all other workers.
    pub(crate) fn everyone(&self) -> u64 {
        let all = if self.outgoing.len() == 64 { u64::MAX } else { (1u64 << self.outgoing.len()) - 1 };
        all & !(1 << self.id.0)
    }

    /// How many other workers there are.
    pub(crate) fn others(&self) -> u16 {
        self.outgoing.len() as u16 - 1
    }

    /// Tells a worker something at the end of the turn.
    pub(crate) fn send(&mut self, to: WorkerId, frame: &Frame<'_>) {
        frame.encode(&mut self.outgoing[to.index()]);
    }

    /// Appends encoded frames for a worker.
    pub(crate) fn send_encoded(&mut self, to: WorkerId, frames: &[u8]) {
        self.outgoing[to.index()].extend_from_slice(frames);
    }

    /// Frames for the next worker that has any.
    pub(crate) fn pop_outgoing(&mut self) -> Option<(WorkerId, Vec<u8>)> {
        let at = self.outgoing.iter().position(|frames| !frames.is_empty())?;
        Some((WorkerId(at as u16), std::mem::take(&mut self.outgoing[at])))
    }

    /// A fresh ticket.
    pub(crate) fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// So many answers to a ticket are for this asker.
    pub(crate) fn expect(&mut self, ticket: u64, asker: Asker, answers: u16) {
        if answers > 0 {
            self.tickets.insert(ticket, (asker, answers));
        }
    }

    /// An answer has come: whose it is, and whether it was the last.
    pub(crate) fn answered(&mut self, ticket: u64) -> Option<(Asker, bool)> {
        let (asker, left) = self.tickets.get_mut(&ticket)?;
        let asker = *asker;
        *left -= 1;
        let last = *left == 0;
        if last {
            self.tickets.remove(&ticket);
        }
        Some((asker, last))
    }
}

/// The workers of a bit set, ascending.
pub(crate) fn workers_of(mut bits: u64) -> impl Iterator<Item = WorkerId> {
    std::iter::from_fn(move || {
        let worker = (bits != 0).then(|| WorkerId(bits.trailing_zeros() as u16))?;
        bits &= bits - 1;
        Some(worker)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_one_after_the_other() {
        let frames = [
            Frame::Publish { ticket: 7, again: true, message: b"m" },
            Frame::Retain { ticket: 0, message: b"" },
            Frame::Shared { ticket: 1, bounced: true, group: "g", filter: "a/#", message: b"xyz" },
            Frame::Interest { ticket: 2, interest: Interest { wanted: true, durable: false }, filter: "f" },
            Frame::Members { ticket: 3, count: MemberCount { connected: 9, waiting: 1 }, group: "g", filter: "f" },
            Frame::Sessions { count: 3, principal: "alice" },
            Frame::Done { ticket: 4, matched: true, refused: Some(ReasonCode::QuotaExceeded) },
            Frame::Done { ticket: 4, matched: false, refused: None },
            Frame::Query { query: 5, filter: "#", after: "" },
            Frame::Timed { since_ns: 1 << 60 },
            Frame::Page { query: 6, after: "a/b", messages: b"12" },
            Frame::Page { query: 6, after: "", messages: b"" },
            Frame::Hello { ticket: 7 },
            Frame::Everything { wanted: true },
            Frame::Claim { ticket: 8, node: NodeId(5), renew: true, serial: 6, client: "c", user: "" },
            Frame::Unclaim { node: NodeId(5), serial: 6, client: "c" },
            Frame::Evict { node: NodeId(5), serial: 7, client: "d" },
            Frame::RenewClaims { node: NodeId(1 << 63) },
            Frame::Forget { node: NodeId(2) },
            Frame::Copying { node: NodeId(3), frame: b"frame" },
            Frame::Copies { query: 9, node: NodeId(3), filter: "a/#", after: "a/b" },
            Frame::Linked { node: NodeId(3), up: true, was_read: false },
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        let mut rest = &bytes[..];
        for frame in frames {
            let (read, after) = Frame::decode(rest).unwrap();
            assert_eq!(read, frame);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn workers_come_out_of_a_bit_set_in_order() {
        assert_eq!(workers_of(0b1010_0001).map(|w| w.0).collect::<Vec<_>>(), [0, 5, 7]);
        assert_eq!(Peers::new(WorkerId(1), 3, false).everyone(), 0b101);
        assert_eq!(Peers::new(WorkerId(1), 3, true).everyone(), 0b1101, "the gate is one more");
        assert_eq!(Peers::new(WorkerId(63), 64, false).everyone(), u64::MAX >> 1);
    }
}
