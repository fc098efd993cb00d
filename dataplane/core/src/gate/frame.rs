//! What one node's gate says to another's, inside the numbered frames of a link (`docs/protocol/peer.md`).
//!
//! A message travels in the encoding it has everywhere inside Sluice, but for its expiry: no two clocks agree, so that the
//! link carries what is left of its time.

use std::borrow::Cow;

use crate::{
    message::{Reader, put_text, time_left, time_over},
    peers::{map_page, take_page_message},
};

/// An application frame of the lane for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerFrame<'a> {
    /// A message for the subscribers of the node.
    Publish {
        /// The node is to pass it on within its region.
        relay: bool,
        /// Whether it was routed before, so that only those who store it, and know it then, may get it.
        again: bool,
        /// The message.
        message: &'a [u8],
    },
    /// A retained message (or its deletion) whose home is the node.
    Retain {
        /// The message.
        message: &'a [u8],
    },
    /// A message for one member of a shared group.
    Shared {
        /// The node may choose another node of its region.
        relay: bool,
        /// The group.
        group: &'a str,
        /// Its filter.
        filter: &'a str,
        /// The message.
        message: &'a [u8],
    },
    /// A client id is in use at the sender, and the node is its home.
    Claim {
        /// Whether it was so before, so that it gives way to whoever came since.
        renew: bool,
        /// Tells two attachments of the client at the sender apart.
        serial: u64,
        /// The client.
        client: &'a str,
        /// Its user; empty = none.
        user: &'a str,
    },
    /// It is not in use there any more.
    Unclaim {
        /// As it was claimed.
        serial: u64,
        /// The client.
        client: &'a str,
    },
    /// Somebody else has the client id: the node is to end its attachment.
    Evict {
        /// As it was claimed.
        serial: u64,
        /// The client.
        client: &'a str,
    },
}

/// A frame of the lane for bulk: retained messages for a new subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkFrame<'a> {
    /// Asks for a page of what one worker of the node has.
    Query {
        /// Names the answer.
        query: u64,
        /// Which worker, from 0.
        worker: u16,
        /// The filter.
        filter: &'a str,
        /// The topic to begin behind; empty = from the start.
        after: &'a str,
    },
    /// Some retained messages.
    Page {
        /// The question.
        query: u64,
        /// How many workers the node has.
        workers: u16,
        /// The topic that the next page begins behind; empty = these were the last of this worker.
        after: &'a str,
        /// A run of length-prefixed messages.
        messages: &'a [u8],
    },
}

impl<'a> PeerFrame<'a> {
    /// Appends the frame.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Publish { relay, again, message } => {
                out.extend_from_slice(&[1, u8::from(relay) | u8::from(again) << 1]);
                out.extend_from_slice(message);
            }
            Self::Retain { message } => {
                out.push(2);
                out.extend_from_slice(message);
            }
            Self::Shared { relay, group, filter, message } => {
                out.extend_from_slice(&[3, u8::from(relay)]);
                put_text(out, group);
                put_text(out, filter);
                out.extend_from_slice(message);
            }
            Self::Claim { renew, serial, client, user } => {
                out.extend_from_slice(&[4, u8::from(renew)]);
                out.extend_from_slice(&serial.to_le_bytes());
                put_text(out, client);
                put_text(out, user);
            }
            Self::Unclaim { serial, client } => put_numbered(out, 5, serial, client),
            Self::Evict { serial, client } => put_numbered(out, 6, serial, client),
        }
    }

    /// Reads a frame; `None` when the bytes are none.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(match reader.u8()? {
            1 => {
                let flags = reader.u8().filter(|flags| flags & !3 == 0)?;
                Self::Publish { relay: flags & 1 != 0, again: flags & 2 != 0, message: reader.bytes }
            }
            2 => Self::Retain { message: reader.bytes },
            3 => {
                let relay = flag(&mut reader)?;
                let (group, filter) = (reader.text()?, reader.text()?);
                Self::Shared { relay, group, filter, message: reader.bytes }
            }
            4 => Self::Claim {
                renew: flag(&mut reader)?,
                serial: reader.u64()?,
                client: reader.text()?,
                user: reader.text()?,
            },
            5 => Self::Unclaim { serial: reader.u64()?, client: reader.text()? },
            6 => Self::Evict { serial: reader.u64()?, client: reader.text()? },
            _ => return None,
        })
    }
}

impl<'a> BulkFrame<'a> {
    /// Appends the frame.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Query { query, worker, filter, after } => {
                out.push(1);
                out.extend_from_slice(&query.to_le_bytes());
                out.extend_from_slice(&worker.to_le_bytes());
                put_text(out, filter);
                put_text(out, after);
            }
            Self::Page { query, workers, after, messages } => {
                out.push(2);
                out.extend_from_slice(&query.to_le_bytes());
                out.extend_from_slice(&workers.to_le_bytes());
                put_text(out, after);
                out.extend_from_slice(messages);
            }
        }
    }

    /// Reads a frame; `None` when the bytes are none.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let (query, number) = (reader.u64()?, reader.u16()?);
        match kind {
            1 => Some(Self::Query { query, worker: number, filter: reader.text()?, after: reader.text()? }),
            2 => {
                let after = reader.text()?;
                Some(Self::Page { query, workers: number, after, messages: reader.bytes })
            }
            _ => None,
        }
    }
}

/// A message as it leaves: what is left of its time instead of when it is over.
pub(super) fn to_wire(message: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift_expiry(message, |expires| time_left(expires, wall_ms))
}

/// A message as it came, by this node's clock.
pub(super) fn from_wire(message: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift_expiry(message, |left| time_over(left, wall_ms))
}

fn shift_expiry(message: &[u8], shift: impl Fn(u64) -> u64) -> Cow<'_, [u8]> {
    let expiry = crate::message::expiry_of(message);
    let Some(expires) = expiry else { return Cow::Borrowed(message) };
    let mut shifted = message.to_vec();
    crate::message::set_expiry(&mut shifted, shift(expires));
    Cow::Owned(shifted)
}

/// A run of length-prefixed messages as it leaves.
pub(super) fn run_to_wire(messages: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift_run(messages, |message| to_wire(message, wall_ms))
}

/// A run of length-prefixed messages as it came, by this node's clock.
pub(super) fn run_from_wire(messages: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift_run(messages, |message| from_wire(message, wall_ms))
}

fn shift_run(messages: &[u8], shift: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let mut rest = messages;
    let mut any = false;
    while let Some(message) = take_page_message(&mut rest) {
        any |= crate::message::expiry_of(message).is_some();
    }
    if !any {
        return Cow::Borrowed(messages);
    }
    Cow::Owned(map_page(messages, |message| Some(shift(message))))
}

fn put_numbered(out: &mut Vec<u8>, kind: u8, serial: u64, client: &str) {
    out.push(kind);
    out.extend_from_slice(&serial.to_le_bytes());
    put_text(out, client);
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sluice_mqtt::QoS;

    use super::*;
    use crate::message::MessageRef;

    #[test]
    fn frames_are_read_back_and_cut_ones_are_none() {
        let frames = [
            PeerFrame::Publish { relay: true, again: false, message: b"m" },
            PeerFrame::Retain { message: b"" },
            PeerFrame::Shared { relay: false, group: "g", filter: "a/#", message: b"xyz" },
            PeerFrame::Claim { renew: true, serial: 9, client: "c", user: "" },
            PeerFrame::Unclaim { serial: 9, client: "c" },
            PeerFrame::Evict { serial: 1 << 40, client: "c" },
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(PeerFrame::decode(&bytes), Some(frame));
        }
        let bulk = [
            BulkFrame::Query { query: 5, worker: 3, filter: "#", after: "" },
            BulkFrame::Page { query: 6, workers: 2, after: "a/b", messages: b"12" },
        ];
        for frame in bulk {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(BulkFrame::decode(&bytes), Some(frame));
            assert_eq!(BulkFrame::decode(&bytes[..9]), None);
        }
        assert_eq!(PeerFrame::decode(&[9]), None);
        assert_eq!(PeerFrame::decode(&[1, 4]), None, "no flag has this bit");
    }

    #[test]
    fn a_message_crosses_between_clocks_that_do_not_agree() {
        let message = MessageRef {
            topic: "a",
            forward: b"",
            payload: b"p",
            qos: QoS::AtLeastOnce,
            retain: false,
            expires_wall_ms: 10_000,
            id: None,
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let wire = to_wire(&bytes, 4_000);
        let there = from_wire(&wire, 1_000_000);
        assert_eq!(MessageRef::decode(&there).map(|m| m.expires_wall_ms), Some(1_006_000));
    }
}
