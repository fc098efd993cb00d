//! The latest changes of a worker's own registers, for those who keep copies and have missed some.
//!
//! A change has a number, and a number is never used twice in a life of the worker. Which topics the latest ones were of is
//! remembered within a bound; who has missed more is shown all registers.

use std::collections::VecDeque;

/// Changes that are remembered.
const CHANGES_MAX: usize = 16 * 1024;
/// Bytes of their topics.
const BYTES_MAX: usize = 1024 * 1024;

/// Counts changes and remembers the latest.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The number of the last one.
    version: u64,
    /// The topics of the last ones, in their order.
    topics: VecDeque<Box<str>>,
    bytes: usize,
}

impl Changes {
    /// A topic's register has changed: the number of the change.
    pub(crate) fn note(&mut self, topic: &str) -> u64 {
        self.version += 1;
        self.bytes += topic.len();
        self.topics.push_back(topic.into());
        while self.topics.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            self.bytes -= self.topics.pop_front().map_or(0, |topic| topic.len());
        }
        self.version
    }

    /// The number of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Which topics have changed since a change, with the number of each change; `None` when that is not known.
    pub(crate) fn since(&self, version: u64) -> Option<impl Iterator<Item = (u64, &str)>> {
        let missed = usize::try_from(self.version.checked_sub(version)?).ok()?;
        let first = self.topics.len().checked_sub(missed)?;
        let topics = self.topics.range(first..);
        Some((version + 1..).zip(topics.map(|topic| &**topic)))
    }

    /// Bytes of memory they take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes + self.topics.len() * size_of::<Box<str>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_known_up_to_a_bound() {
        let mut changes = Changes::default();
        assert_eq!(changes.since(0).map(Iterator::count), Some(0));
        for topic in ["a", "b", "c"] {
            changes.note(topic);
        }
        let since = |version| changes.since(version).map(|found| found.collect::<Vec<_>>());
        assert_eq!(since(1), Some(vec![(2, "b"), (3, "c")]));
        assert_eq!(since(3), Some(vec![]));
        assert_eq!(since(4), None, "a number of another life");
        for _ in 0..CHANGES_MAX {
            changes.note("x");
        }
        assert_eq!(changes.since(2).map(Iterator::count), None);
        assert_eq!(changes.since(3).map(Iterator::count), Some(CHANGES_MAX));
    }

    #[test]
    fn long_topics_count_by_their_bytes() {
        let mut changes = Changes::default();
        let long = "x".repeat(60_000);
        for _ in 0..100 {
            changes.note(&long);
        }
        assert!(changes.memory_bytes() < 2 * BYTES_MAX);
        assert_eq!(changes.version(), 100);
        assert!(changes.since(90).is_some() && changes.since(50).is_none());
    }
}
