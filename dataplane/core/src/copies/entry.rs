//! A register as it travels to the nodes that keep a copy of it, and as they store it.
//!
//! Layout, little endian: kind (1) · of an empty register: its topic; of a small message: its encoding; of a large one:
//! expiry (8; 0 = never) · version (4) · length of its encoding (4) · topic.

use std::borrow::Cow;

use crate::{
    message::{MessageRef, Reader, expiry_of, set_expiry, time_left, time_over},
    retained::{Held, OnDisk},
};

/// What a register holds, as far as other nodes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// Nothing.
    Gone {
        /// Its topic.
        topic: &'a str,
    },
    /// A message, whole.
    Small(MessageRef<'a>),
    /// What is known of a message that only its home has.
    Large {
        /// Its topic.
        topic: &'a str,
        /// Length, expiry and version.
        known: OnDisk,
    },
}

/// A small payload may have long properties: what is longer than this travels as a large message does.
const SMALL_BYTES_MAX: usize = 64 * 1024;

const GONE: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

impl<'a> Entry<'a> {
    /// What a topic's register holds.
    pub(crate) fn of(topic: &'a str, held: Option<Held<'a>>) -> Self {
        match held {
            None => Self::Gone { topic },
            Some(Held::Here(message)) if message.encoded_len() <= SMALL_BYTES_MAX => Self::Small(message),
            Some(Held::Here(message)) => {
                let (len, expires_wall_ms) = (message.encoded_len() as u32, message.expires_wall_ms);
                Self::Large { topic, known: OnDisk { version: 0, len, expires_wall_ms } }
            }
            Some(Held::OnDisk(known)) => Self::Large { topic, known },
        }
    }

    /// Its topic.
    pub(crate) fn topic(&self) -> &'a str {
        match self {
            Self::Gone { topic } | Self::Large { topic, .. } => topic,
            Self::Small(message) => message.topic,
        }
    }

    /// Whether the time of what it holds has passed.
    pub(crate) fn is_expired(&self, wall_ms: u64) -> bool {
        match self {
            Self::Gone { .. } => false,
            Self::Small(message) => message.is_expired(wall_ms),
            Self::Large { known, .. } => known.expires_wall_ms != 0 && known.expires_wall_ms <= wall_ms,
        }
    }

    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gone { topic } => {
                out.push(GONE);
                out.extend_from_slice(topic.as_bytes());
            }
            Self::Small(message) => {
                out.push(SMALL);
                message.encode(out);
            }
            Self::Large { topic, known } => {
                out.push(LARGE);
                out.extend_from_slice(&known.expires_wall_ms.to_le_bytes());
                out.extend_from_slice(&known.version.to_le_bytes());
                out.extend_from_slice(&known.len.to_le_bytes());
                out.extend_from_slice(topic.as_bytes());
            }
        }
    }

    /// Reads an encoding back; `None` when the bytes are none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let topic = |bytes| std::str::from_utf8(bytes).ok().filter(|topic| !topic.is_empty());
        match kind {
            GONE => Some(Self::Gone { topic: topic(reader.bytes)? }),
            SMALL => {
                let message = MessageRef::decode(reader.bytes).filter(|message| !message.topic.is_empty())?;
                Some(Self::Small(MessageRef { id: None, ..message }))
            }
            LARGE => {
                let (expires_wall_ms, version, len) = (reader.u64()?, reader.u32()?, reader.u32()?);
                Some(Self::Large { topic: topic(reader.bytes)?, known: OnDisk { version, len, expires_wall_ms } })
            }
            _ => None,
        }
    }
}

/// An encoded entry as it leaves the node: with what is left of its time, since no two clocks agree.
pub(crate) fn to_wire(entry: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift(entry, |expires| time_left(expires, wall_ms))
}

/// An encoded entry as it came, by this node's clock.
pub(crate) fn from_wire(entry: &[u8], wall_ms: u64) -> Cow<'_, [u8]> {
    shift(entry, |left| time_over(left, wall_ms))
}

fn shift(entry: &[u8], shift: impl Fn(u64) -> u64) -> Cow<'_, [u8]> {
    let expiry = match entry.split_first() {
        Some((&SMALL, message)) => expiry_of(message),
        Some((&LARGE, rest)) => Reader::new(rest).u64().filter(|&expires| expires != 0),
        Some(_) | None => None,
    };
    let Some(expires) = expiry else { return Cow::Borrowed(entry) };
    let mut shifted = entry.to_vec();
    if entry.first() == Some(&SMALL) {
        set_expiry(&mut shifted[1..], shift(expires));
    } else if let Some(place) = shifted.get_mut(1..9) {
        place.copy_from_slice(&shift(expires).to_le_bytes());
    }
    Cow::Owned(shifted)
}

#[cfg(test)]
mod tests {
    use sluice_mqtt::QoS;

    use super::*;

    fn message(payload: &[u8], expires_wall_ms: u64) -> MessageRef<'_> {
        MessageRef {
            topic: "a/b",
            forward: b"",
            payload,
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_wall_ms,
            id: None,
        }
    }

    fn large(expires_wall_ms: u64) -> Entry<'static> {
        Entry::Large { topic: "a/b", known: OnDisk { version: 7, len: 70_000, expires_wall_ms } }
    }

    fn encoded(entry: &Entry<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        bytes
    }

    #[test]
    fn entries_are_read_back_and_cut_ones_are_none() {
        for entry in [Entry::Gone { topic: "a/b" }, Entry::Small(message(b"21", 9)), large(0), large(9)] {
            let bytes = encoded(&entry);
            assert_eq!(Entry::decode(&bytes), Some(entry));
            assert_eq!(Entry::decode(&bytes[..1]), None);
        }
        assert_eq!(Entry::decode(&[9, b'a']), None, "there is no such kind");
    }

    #[test]
    fn an_entry_crosses_between_clocks_that_do_not_agree() {
        for entry in [Entry::Small(message(b"21", 10_000)), large(10_000)] {
            let wire = to_wire(&encoded(&entry), 4_000).into_owned();
            let there = from_wire(&wire, 1_000_000).into_owned();
            let there = Entry::decode(&there).unwrap();
            assert!(!there.is_expired(1_005_999) && there.is_expired(1_006_000));
        }
        let unending = encoded(&large(0));
        assert!(matches!(to_wire(&unending, 4_000), Cow::Borrowed(_)));
    }

    #[test]
    fn a_small_payload_with_long_properties_travels_as_a_large_message() {
        let properties = vec![0; SMALL_BYTES_MAX];
        let long = MessageRef { forward: &properties, ..message(b"1", 0) };
        assert!(matches!(Entry::of("a/b", Some(Held::Here(long))), Entry::Large { .. }));
        assert!(matches!(Entry::of("a/b", Some(Held::Here(message(b"1", 0)))), Entry::Small(_)));
    }
}
