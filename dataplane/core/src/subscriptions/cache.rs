//! From topics to finished matches, for the topics that come again.
//!
//! An entry is good for one version of the index. A topic is kept when it is seen for the second time, so that a flood
//! of topics published once each costs one look and no memory. Bounded: a full cache starts afresh.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Matched;

/// The cache.
pub(super) struct TopicCache {
    hasher: FixedState,
    table: HashTable<Kept>,
    /// Fingerprints of topics seen once.
    seen: Vec<u32>,
}

struct Kept {
    topic: Box<str>,
    version: u64,
    matched: Arc<Matched>,
}

/// Topics kept at most: with long topics and few targets each, some 4 MB.
const TOPICS_MAX: usize = 16_384;
const SEEN: usize = 4_096;

impl TopicCache {
    /// An empty cache; `seed` keys the hash of topics, which clients choose.
    pub(super) fn new(seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(seed), table: HashTable::new(), seen: Vec::new() }
    }

    /// The match of this topic if it is known for this version.
    pub(super) fn find(&self, topic: &str, version: u64) -> Option<Arc<Matched>> {
        let kept = self.table.find(self.hash(topic), |kept| *kept.topic == *topic)?;
        (kept.version == version).then(|| Arc::clone(&kept.matched))
    }

    /// Keeps a match for the next time.
    pub(super) fn keep(&mut self, topic: &str, version: u64, matched: &Arc<Matched>) {
        let hash = self.hash(topic);
        if let Some(kept) = self.table.find_mut(hash, |kept| *kept.topic == *topic) {
            kept.version = version;
            kept.matched = Arc::clone(matched);
            return;
        }
        self.seen.resize(SEEN, 0);
        let seen = &mut self.seen[hash as usize % SEEN];
        let fingerprint = (hash >> 32) as u32 | 1;
        if *seen != fingerprint {
            *seen = fingerprint;
            return;
        }
        if self.table.len() >= TOPICS_MAX {
            self.table.clear();
        }
        let kept = Kept { topic: topic.into(), version, matched: Arc::clone(matched) };
        let hasher = &self.hasher;
        self.table.insert_unique(hash, kept, |kept| hash_with(hasher, &kept.topic));
    }

    fn hash(&self, topic: &str) -> u64 {
        hash_with(&self.hasher, topic)
    }
}

fn hash_with(state: &FixedState, topic: &str) -> u64 {
    state.hash_one(topic)
}
