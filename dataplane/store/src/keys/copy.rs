//! A copy of a register of another node: `shard u16 · node u64 · topic`, so that those of a node stand together. Without a
//! topic, and so before all of them, how far they go.

use std::str;

use sluice_cluster::{NodeId, ShardId};
use sluice_dataplane_core::Key;

use super::{prefix, split_number, split_shard};

pub(super) fn encode(shard: ShardId, node: NodeId, topic: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&prefix(shard));
    out.extend_from_slice(&node.0.to_be_bytes());
    out.extend_from_slice(topic.as_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (shard, rest) = split_shard(bytes)?;
    let (node, topic) = split_number(rest)?;
    Some(Key::Copy(shard, NodeId(node), str::from_utf8(topic).ok()?.into()))
}
