//! One value per topic name, in order, and all topic names that match a filter: what retained messages need.
//!
//! Three parts, each for one job. Entries (topic, value) live in a pool and never move. A hash table finds an entry by its
//! exact topic. Leaves hold the ids of up to `LEAF_MAX` neighbouring entries in order, and a B-tree finds a leaf by the
//! least key that belongs in it.
//!
//! The order is that of the topic's bytes with `/` below every other byte, so that a topic and all topics under it stand
//! together. A *key* is a topic written in that order: `/` replaced by a zero byte, which no topic name contains.

mod order;
mod scan;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use self::order::{Cursor, Order};
use self::scan::Scan;
use crate::filter::TopicFilter;
use crate::hash::KeyedHash;
use crate::id_table::IdTable;
use crate::pool::Pool;

/// An ordered map from topic names to values that can be searched by filter.
///
/// A topic takes some 40 bytes besides its text and value. No call stalls to grow the tree: an insertion moves a bounded
/// number of entries at any size.
pub struct TopicTree<V> {
    hash: KeyedHash,
    table: IdTable,
    entries: Entries<V>,
    order: Order,
    text_bytes: usize,
}

impl<V> TopicTree<V> {
    /// An empty tree with a fixed hash seed, for topics that nobody hostile chooses. See [`Self::with_seed`].
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty tree whose hash function is picked by `seed`. With a secret, random seed clients that choose topics
    /// cannot make hashes collide. The seed changes no result.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            table: IdTable::new(),
            entries: Entries { pool: Pool::new() },
            order: Order::new(),
            text_bytes: 0,
        }
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.entries.pool.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores the value of a topic and returns the one it had. `topic` is a valid topic name.
    pub fn insert(&mut self, topic: &str, value: V) -> Option<V> {
        let hashed = self.hash.text(topic.as_bytes());
        if let Some(old) = self.find(hashed, topic).and_then(|id| self.entries.value_mut(id)) {
            return Some(std::mem::replace(old, value));
        }
        let id = self.entries.pool.add(Some(Entry { topic: topic.into(), value }));
        self.table.insert(hashed, id);
        self.order.insert(&self.entries, topic, id);
        self.text_bytes += topic.len();
        None
    }

    /// Removes a topic and returns its value. Its memory serves the next topics; the last one's removal frees all.
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let hashed = self.hash.text(topic.as_bytes());
        let id = self.find(hashed, topic)?;
        self.order.remove(&self.entries, topic, id);
        assert!(self.table.remove(hashed, id), "a topic that was found is in the table");
        self.text_bytes -= topic.len();
        self.entries.pool.take(id).map(|entry| entry.value)
    }

    /// The value of exactly this topic.
    pub fn get(&self, topic: &str) -> Option<&V> {
        let id = self.find(self.hash.text(topic.as_bytes()), topic)?;
        self.entries.pool.at(id).as_ref().map(|entry| &entry.value)
    }

    /// The value of exactly this topic, to change it.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut V> {
        let id = self.find(self.hash.text(topic.as_bytes()), topic)?;
        self.entries.value_mut(id)
    }

    /// Calls `f` for each topic that matches `filter` and stands after `after`, in the tree's order, until it breaks.
    /// Returns whether it came to the end.
    ///
    /// The order depends on the topics only, so a scan that was broken off resumes with `after` set to the last topic it
    /// was given, whatever was inserted or removed meanwhile, that topic included.
    pub fn scan(&self, filter: &TopicFilter, after: Option<&str>, f: impl FnMut(&str, &V) -> ControlFlow<()>) -> bool {
        self.scan_some(filter, after, usize::MAX, f) == ScanEnd::Complete
    }

    /// As [`Self::scan`], but looks at no more than `visits_max` topics (at least one), whether they match or not, so that
    /// a filter such as `+/+/x` cannot hold its caller up.
    pub fn scan_some(
        &self,
        filter: &TopicFilter,
        after: Option<&str>,
        visits_max: usize,
        mut f: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> ScanEnd {
        if !filter.is_exact() {
            return Scan::new(self, filter.as_str(), after).run(visits_max.max(1), f);
        }
        let topic = filter.as_str();
        let is_due = after.is_none_or(|after| order::key(after) < order::key(topic));
        match self.get(topic).filter(|_| is_due).map(|value| f(topic, value)) {
            Some(ControlFlow::Break(())) => ScanEnd::Stopped,
            Some(ControlFlow::Continue(())) | None => ScanEnd::Complete,
        }
    }

    /// Looks at up to `visits_max` topics (at least one) that stand behind `after`, whatever they are, in the tree's order,
    /// until `f` breaks. A topic that it broke at is not passed: what goes on there is up to the caller.
    pub fn walk(
        &self,
        after: Option<&str>,
        visits_max: usize,
        mut f: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> ScanEnd {
        // Nothing is between a key and the same key with a zero byte more.
        let start = after.map_or_else(Vec::new, |after| [&order::key(after)[..], &[0]].concat());
        let mut cursor = Cursor::new(&self.entries, &self.order, &start);
        let mut visits = 0;
        while let Some(id) = cursor.next() {
            let Some(entry) = self.entries.pool.at(id) else { continue };
            if f(&entry.topic, &entry.value).is_break() {
                return ScanEnd::Stopped;
            }
            visits += 1;
            if visits >= visits_max {
                return ScanEnd::Paused { after: entry.topic.to_string() };
            }
        }
        ScanEnd::Complete
    }

    /// Bytes allocated, without what the values own elsewhere.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.entries.pool.memory_bytes() + self.order.memory_bytes() + self.text_bytes
    }

    fn find(&self, hashed: u32, topic: &str) -> Option<u32> {
        self.table.find(hashed, |id| self.entries.topic(id) == topic)
    }
}

/// How two topics stand in the order of a [`TopicTree`].
pub fn topic_order(one: &str, other: &str) -> Ordering {
    one.bytes().map(order::key_byte).cmp(other.bytes().map(order::key_byte))
}

/// How a scan ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScanEnd {
    /// No further topic matches.
    Complete,
    /// The callback broke.
    Stopped,
    /// It looked at as many topics as it may. It goes on behind this one, which need not match.
    Paused {
        /// What to resume with.
        after: String,
    },
}

impl<V> Default for TopicTree<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// The stored topics by id.
struct Entries<V> {
    pool: Pool<Option<Entry<V>>>,
}

impl<V> Entries<V> {
    /// The topic of a stored entry.
    #[inline]
    fn topic(&self, id: u32) -> &str {
        self.pool.at(id).as_ref().map_or("", |entry| &entry.topic)
    }

    fn value_mut(&mut self, id: u32) -> Option<&mut V> {
        self.pool.at_mut(id).as_mut().map(|entry| &mut entry.value)
    }
}

struct Entry<V> {
    topic: Box<str>,
    value: V,
}
