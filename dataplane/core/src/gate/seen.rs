//! Which QoS 2 messages have come in this life of the node, so that its transient sessions get each once (I15).
//!
//! A message that may have come before is marked so. Whoever stores messages knows by itself whether it has one; for the
//! others the gate knows, as long as it lives, and they live no longer.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{message::MessageId, record::SessionUid};

/// Publishers that are remembered, at least. Those that were quiet for longest are forgotten first.
const PUBLISHERS_MAX: usize = 16 * 1024;

/// Numbers of each publisher's messages whose exchanges are not over, ascending.
pub(super) struct Seen {
    recent: HashMap<SessionUid, Vec<u64>, FixedState>,
    older: HashMap<SessionUid, Vec<u64>, FixedState>,
}

impl Seen {
    pub(super) fn new(seed: u64) -> Self {
        let map = || HashMap::with_hasher(FixedState::with_seed(seed));
        Self { recent: map(), older: map() }
    }

    /// Notes a message. Whether it is the first time.
    pub(super) fn note(&mut self, id: &MessageId) -> bool {
        if self.recent.len() >= PUBLISHERS_MAX {
            self.older = std::mem::replace(&mut self.recent, HashMap::with_hasher(self.older.hasher().clone()));
        }
        let older = &mut self.older;
        let numbers =
            self.recent.entry(id.publisher).or_insert_with(|| older.remove(&id.publisher).unwrap_or_default());
        numbers.retain(|&number| number >= id.lowest);
        match numbers.binary_search(&id.number) {
            Ok(_) => false,
            Err(at) => {
                numbers.insert(at, id.number);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(publisher: u64, number: u64, lowest: u64) -> MessageId {
        MessageId { publisher: SessionUid(publisher), number, lowest }
    }

    #[test]
    fn a_message_is_new_once_for_as_long_as_its_exchange_lasts() {
        let mut seen = Seen::new(1);
        assert!(seen.note(&id(1, 5, 4)) && seen.note(&id(1, 4, 4)) && seen.note(&id(2, 5, 5)));
        assert!(!seen.note(&id(1, 5, 4)) && !seen.note(&id(1, 4, 4)));
        assert!(seen.note(&id(1, 9, 9)));
        assert_eq!(seen.recent[&SessionUid(1)], [9]);
    }

    #[test]
    fn publishers_that_are_heard_are_not_forgotten_for_those_that_are_not() {
        let mut seen = Seen::new(1);
        for other in 0..3 * PUBLISHERS_MAX as u64 {
            let is_first = seen.note(&id(1 << 32, 7, 7));
            assert_eq!(is_first, other == 0);
            seen.note(&id(other, 1, 1));
        }
        assert!(seen.recent.len() + seen.older.len() <= 2 * PUBLISHERS_MAX);
    }
}
