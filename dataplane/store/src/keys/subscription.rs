//! A subscription: `shard u16 · uid u64 · filter`, so that those of a session stand together, by filter.

use std::str;

use sluice_cluster::ShardId;
use sluice_dataplane_core::{Key, SessionUid};

use super::{put_shard_and_uid, split_number, split_shard};

pub(super) fn encode(shard: ShardId, uid: SessionUid, filter: &str, out: &mut Vec<u8>) {
    put_shard_and_uid(shard, uid, out);
    out.extend_from_slice(filter.as_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (shard, rest) = split_shard(bytes)?;
    let (uid, filter) = split_number(rest)?;
    Some(Key::Subscription(shard, SessionUid(uid), str::from_utf8(filter).ok()?.into()))
}
