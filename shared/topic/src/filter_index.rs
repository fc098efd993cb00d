//! One value per distinct topic filter, and all values whose filters match a topic name.
//!
//! Filters without wildcards live in one hash table and cost a match one look-up. Filters with wildcards live in a trie
//! of levels. Nothing here is shared between threads; each worker has its own index.

mod exact;
mod node;
mod trie;

use std::ops::ControlFlow;

use self::exact::ExactFilters;
use self::trie::FilterTrie;
use crate::filter::TopicFilter;
use crate::hash::KeyedHash;

/// A map from topic filters to values that can be searched by topic name.
///
/// A filter takes 50 to 90 bytes, its text included, besides what the value owns elsewhere; more if it has levels of its
/// own of over 15 bytes. A match allocates nothing for topic names of up
/// to 16 levels and takes time in proportion to the filters whose beginnings match: at most one step per level of each
/// of them, however wildcards are combined, since every step is at a different node of the trie. No call stalls to grow
/// the index: an insertion moves a bounded number of entries at any size.
pub struct FilterIndex<V> {
    hash: KeyedHash,
    exact: ExactFilters<V>,
    wild: FilterTrie<V>,
}

impl<V> FilterIndex<V> {
    /// An empty index with a fixed hash seed, for filters that nobody hostile chooses. See [`Self::with_seed`].
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty index whose hash function is picked by `seed`. With a secret, random seed clients that choose topics
    /// and filters cannot make hashes collide. The seed changes no result.
    pub fn with_seed(seed: u64) -> Self {
        Self { hash: KeyedHash::new(seed), exact: ExactFilters::new(), wild: FilterTrie::new() }
    }

    /// The number of distinct filters.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there is no filter.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of exactly this filter.
    pub fn get(&self, filter: &TopicFilter) -> Option<&V> {
        if filter.is_exact() {
            self.exact.get(&self.hash, filter.as_str())
        } else {
            self.wild.get(&self.hash, filter.as_str())
        }
    }

    /// The value of exactly this filter, to change it.
    pub fn get_mut(&mut self, filter: &TopicFilter) -> Option<&mut V> {
        if filter.is_exact() {
            self.exact.get_mut(&self.hash, filter.as_str())
        } else {
            self.wild.get_mut(&self.hash, filter.as_str())
        }
    }

    /// The value of this filter, which is made by `make` if the filter is new.
    pub fn get_or_insert_with(&mut self, filter: &TopicFilter, make: impl FnOnce() -> V) -> &mut V {
        if filter.is_exact() {
            self.exact.get_or_insert_with(&self.hash, filter.as_str(), make)
        } else {
            self.wild.get_or_insert_with(&self.hash, filter.as_str(), make)
        }
    }

    /// Removes a filter and returns its value. Its memory serves the next filters; the last one's removal frees all.
    pub fn remove(&mut self, filter: &TopicFilter) -> Option<V> {
        if filter.is_exact() {
            self.exact.remove(&self.hash, filter.as_str())
        } else {
            self.wild.remove(&self.hash, filter.as_str())
        }
    }

    /// Calls `f` once for each filter that matches `topic`, in no particular order. See [`matches`](fn@crate::matches).
    #[inline]
    pub fn for_each_match(&self, topic: &str, mut f: impl FnMut(&V)) {
        let all = self.visit(topic, |value| {
            f(value);
            ControlFlow::Continue(())
        });
        debug_assert!(all.is_continue());
    }

    /// Whether any filter matches `topic`.
    pub fn matches_any(&self, topic: &str) -> bool {
        self.visit(topic, |_| ControlFlow::Break(())).is_break()
    }

    /// All filters with their values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (String, &V)> {
        let exact = self.exact.iter().map(|(filter, value)| (filter.to_owned(), value));
        exact.chain(self.wild.iter())
    }

    /// Bytes allocated, without what the values own elsewhere.
    pub fn memory_bytes(&self) -> usize {
        self.exact.memory_bytes() + self.wild.memory_bytes()
    }

    #[inline]
    fn visit(&self, topic: &str, mut f: impl FnMut(&V) -> ControlFlow<()>) -> ControlFlow<()> {
        if let Some(value) = self.exact.get(&self.hash, topic) {
            f(value)?;
        }
        self.wild.visit(&self.hash, topic, f)
    }
}

impl<V> Default for FilterIndex<V> {
    fn default() -> Self {
        Self::new()
    }
}
