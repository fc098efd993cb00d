//! QoS 2 messages of a publisher that a shard already holds: `shard u16 · uid u64`, 10 bytes.

use sluice_cluster::ShardId;
use sluice_dataplane_core::{Key, SessionUid};

use super::{put_shard_and_uid, shard_and_uid};

pub(super) fn encode(shard: ShardId, uid: SessionUid, out: &mut Vec<u8>) {
    put_shard_and_uid(shard, uid, out);
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    shard_and_uid(bytes).map(|(shard, uid)| Key::Dedupe(shard, uid))
}
