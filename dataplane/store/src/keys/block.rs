//! A run of messages: `shard u16 · first sequence number u64`, 10 bytes. Ascending, so that a shard's queue is read
//! front to back and new blocks go to its end.

use sluice_cluster::ShardId;
use sluice_dataplane_core::Key;

use super::{prefix, split_number, split_shard};

pub(super) fn encode(shard: ShardId, first: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&prefix(shard));
    out.extend_from_slice(&first.to_be_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (shard, rest) = split_shard(bytes)?;
    let (first, rest) = split_number(rest)?;
    rest.is_empty().then_some(Key::Block(shard, first))
}
