//! Counters of a shard: `shard u16`, 2 bytes.

use sluice_cluster::ShardId;
use sluice_dataplane_core::Key;

use super::{prefix, split_shard};

pub(super) fn encode(shard: ShardId, out: &mut Vec<u8>) {
    out.extend_from_slice(&prefix(shard));
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (shard, rest) = split_shard(bytes)?;
    rest.is_empty().then_some(Key::Shard(shard))
}
