//! Shards: the unit of placement, replication and failover.
//!
//! A session shard owns the sessions whose client id hashes to it, a topic shard the retained messages of its part of
//! the topic space. Shards are fixed in number for the life of a cluster: they move, they never split. The hash is
//! therefore part of the stored format: it must give the same answer on every machine and in every version.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::{KeyspaceId, WorkerId};

/// Shards of a keyspace unless configured otherwise.
pub const SHARDS_DEFAULT: u16 = 64;

/// The largest number of shards a keyspace may have.
pub const SHARDS_MAX: u16 = 4096;

/// One shard of a keyspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's place in an array with one entry per shard.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The shard of a keyspace of `shards` shards that a client id or a topic falls to.
    pub(crate) fn of(key: &str, shards: u16) -> Self {
        // Multiply-shift maps the hash onto 0..shards without the bias and cost of a division.
        let wide = u128::from(stable_hash(key.as_bytes())) * u128::from(shards);
        Self((wide >> 64) as u16)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard of the cluster: which of its keyspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShardKey {
    /// Whose shard it is.
    pub keyspace: KeyspaceId,
    /// Which one, below the keyspace's number of shards.
    pub shard: ShardId,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.keyspace, self.shard)
    }
}

/// How client ids and topics fall into shards, and shards onto the workers of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sharding {
    shards: u16,
    workers: u16,
}

impl Sharding {
    /// `shards` is 1 to [`SHARDS_MAX`], `workers` at least 1.
    ///
    /// # Panics
    /// When a number is outside its bounds: both come from validated configuration.
    #[must_use]
    pub fn new(shards: u16, workers: u16) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards), "1 to {SHARDS_MAX} shards, not {shards}");
        assert!(workers >= 1, "a node has at least one worker");
        Self { shards, workers }
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> u16 {
        self.workers
    }

    /// The shard that owns the session of a client.
    #[must_use]
    pub fn of_client(&self, client_id: &str) -> ShardId {
        ShardId::of(client_id, self.shards)
    }

    /// The shard that owns the retained message of a topic.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> ShardId {
        ShardId::of(topic, self.shards)
    }

    /// The worker of this node that runs a shard.
    #[must_use]
    pub fn worker_of(&self, shard: ShardId) -> WorkerId {
        WorkerId(shard.0 % self.workers)
    }

    /// The hash that shards come from, for other choices that must be the same everywhere.
    #[must_use]
    pub fn hash(&self, key: &str) -> u64 {
        stable_hash(key.as_bytes())
    }
}

/// A hash that is the same on every machine and in every version, for what is stored. Not keyed: where a client gains
/// by a collision, use another.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_part_of_the_stored_format_and_never_changes() {
        let sharding = Sharding::new(64, 4);
        let of = |id| sharding.of_client(id).0;
        assert_eq!([of("sensor-1"), of("sensor-2"), of(""), of("a/b/c")], [46, 61, 11, 10]);
    }

    #[test]
    fn client_ids_spread_evenly_over_the_shards() {
        let sharding = Sharding::new(64, 2);
        let mut counts = [0u32; 64];
        for i in 0..64_000 {
            counts[sharding.of_client(&format!("device-{i}")).index()] += 1;
        }
        assert!(counts.iter().all(|&n| (800..1200).contains(&n)), "{counts:?}");
    }
}
