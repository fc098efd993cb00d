//! A retained message: `shard u16 · topic`.

use std::str;

use sluice_cluster::ShardId;
use sluice_dataplane_core::Key;

use super::{prefix, split_shard};

pub(super) fn encode(shard: ShardId, topic: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&prefix(shard));
    out.extend_from_slice(topic.as_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (shard, topic) = split_shard(bytes)?;
    Some(Key::Retained(shard, str::from_utf8(topic).ok()?.into()))
}
