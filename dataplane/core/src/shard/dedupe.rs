//! Which QoS 2 messages of a publisher a shard already holds.
//!
//! A publisher's exchange that was interrupted by a crash is routed again under the same message id; the shards that
//! had stored the message recognise it here (I15). A publisher says with every message which exchanges are over, so the
//! list is as short as its window.

use bytes::Bytes;

use crate::message::{MessageId, Reader};

/// Numbers of one publisher's messages that were stored and whose exchange may not be over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dedupe {
    /// Ascending.
    numbers: Vec<u64>,
    /// When the publisher was last heard of, in ms since the Unix epoch.
    last_wall_ms: u64,
}

impl Dedupe {
    /// Whether this message is new; it no longer is afterwards.
    pub(crate) fn admit(&mut self, id: &MessageId, wall_ms: u64) -> bool {
        self.last_wall_ms = wall_ms;
        self.numbers.retain(|&number| number >= id.lowest);
        match self.numbers.binary_search(&id.number) {
            Ok(_) => false,
            Err(at) => {
                self.numbers.insert(at, id.number);
                true
            }
        }
    }

    /// Whether this message was admitted before.
    pub(crate) fn knows(&self, id: &MessageId) -> bool {
        self.numbers.binary_search(&id.number).is_ok()
    }

    /// When the publisher was last heard of.
    pub(crate) fn last_wall_ms(&self) -> u64 {
        self.last_wall_ms
    }

    /// For the store.
    pub(crate) fn encode(&self) -> Bytes {
        std::iter::once(&self.last_wall_ms)
            .chain(&self.numbers)
            .flat_map(|n| n.to_le_bytes())
            .collect::<Vec<u8>>()
            .into()
    }

    /// From the store.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let last_wall_ms = reader.u64()?;
        let numbers = std::iter::from_fn(|| reader.u64()).collect();
        reader.bytes.is_empty().then_some(Self { numbers, last_wall_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SessionUid;

    fn id(number: u64, lowest: u64) -> MessageId {
        MessageId { publisher: SessionUid(1), number, lowest }
    }

    #[test]
    fn a_message_is_admitted_once_until_its_exchange_is_over() {
        let mut dedupe = Dedupe::default();
        assert!(dedupe.admit(&id(5, 5), 7));
        assert!(dedupe.admit(&id(4, 4), 7));
        assert!(!dedupe.admit(&id(5, 4), 7));
        assert!(dedupe.admit(&id(9, 9), 7));
        assert_eq!(dedupe.numbers, [9]);
        assert_eq!(Dedupe::decode(&dedupe.encode()), Some(dedupe));
    }
}
