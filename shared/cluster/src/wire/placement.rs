//! Keyspaces, and the replicas of shards in blocks.

use std::collections::BTreeMap;

use sluice_proto::cluster::v1 as pb;

use super::basic::{filter, node_id, shard_key};
use super::{InField, WireError, each, each_plain, narrow};
use crate::{
    Epoch, FILTERS_MAX, KEYSPACES_MAX, Keyspace, KeyspaceId, Keyspaces, NodeId, REPLICAS_MAX, Replicas, SHARDS_MAX,
    ShardKey,
};

/// Shards of one resource: few enough that a move of one costs little, many enough that a large cluster has thousands of
/// resources and not a hundred thousand.
pub const BLOCK_SHARDS: u16 = 64;

/// The shards of a keyspace from `BLOCK_SHARDS * block` on, as far as they are placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacementBlock {
    /// Whose shards they are.
    pub keyspace: KeyspaceId,
    /// Which of its blocks.
    pub block: u16,
    /// By shard.
    pub shards: BTreeMap<ShardKey, Replicas>,
}

impl From<&Keyspaces> for pb::Keyspaces {
    fn from(keyspaces: &Keyspaces) -> Self {
        Self { keyspaces: keyspaces.iter().map(Into::into).collect() }
    }
}

impl TryFrom<pb::Keyspaces> for Keyspaces {
    type Error = WireError;

    fn try_from(message: pb::Keyspaces) -> Result<Self, WireError> {
        let all = each("keyspaces", message.keyspaces, KEYSPACES_MAX, Keyspace::try_from)?;
        Self::new(all).field("keyspaces")
    }
}

impl From<&Keyspace> for pb::Keyspace {
    fn from(keyspace: &Keyspace) -> Self {
        Self {
            id: keyspace.id().0.into(),
            filters: keyspace.filters().iter().map(ToString::to_string).collect(),
            shards: keyspace.shards().into(),
        }
    }
}

impl TryFrom<pb::Keyspace> for Keyspace {
    type Error = WireError;

    fn try_from(message: pb::Keyspace) -> Result<Self, WireError> {
        let id = KeyspaceId(narrow("id", message.id)?);
        let parse = |text: String| filter("filter", &text);
        let filters = each("filters", message.filters, FILTERS_MAX, parse)?;
        Self::new(id, filters, narrow("shards", message.shards)?).field("shards")
    }
}

impl From<&PlacementBlock> for pb::PlacementBlock {
    fn from(block: &PlacementBlock) -> Self {
        let shard = |(key, replicas): (&ShardKey, &Replicas)| {
            let ids = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
            pb::PlacementShard {
                shard: key.shard.0.into(),
                epoch: replicas.epoch().0,
                voters: ids(replicas.voters()),
                learners: ids(replicas.learners()),
                leaving: ids(replicas.leaving()),
            }
        };
        Self {
            keyspace: block.keyspace.0.into(),
            block: block.block.into(),
            shards: block.shards.iter().map(shard).collect(),
        }
    }
}

impl TryFrom<pb::PlacementBlock> for PlacementBlock {
    type Error = WireError;

    fn try_from(message: pb::PlacementBlock) -> Result<Self, WireError> {
        let keyspace = KeyspaceId(narrow("keyspace", message.keyspace)?);
        let block: u16 = narrow("block", message.block)?;
        if block >= SHARDS_MAX / BLOCK_SHARDS {
            return Err(WireError::new("block", format_args!("{block} is not below {}", SHARDS_MAX / BLOCK_SHARDS)));
        }
        let number = message.keyspace;
        let entry = |shard: pb::PlacementShard| {
            let key = shard_key(number, shard.shard)?;
            if key.shard.0 / BLOCK_SHARDS != block {
                return Err(WireError::new("shard", format_args!("{} belongs to another block", key.shard)));
            }
            Ok((key, replicas(shard)?))
        };
        let list = each("shards", message.shards, usize::from(BLOCK_SHARDS), entry)?;
        let entries = list.len();
        let shards: BTreeMap<_, _> = list.into_iter().collect();
        if shards.len() < entries {
            return Err(WireError::new("shards", "a shard is there twice"));
        }
        Ok(Self { keyspace, block, shards })
    }
}

fn replicas(message: pb::PlacementShard) -> Result<Replicas, WireError> {
    let ids = |field, list| each_plain(field, list, REPLICAS_MAX, |id| node_id("id", id));
    let voters = ids("voters", message.voters)?;
    let learners = ids("learners", message.learners)?;
    let leaving = ids("leaving", message.leaving)?;
    Replicas::new(voters, learners, leaving, Epoch(message.epoch)).field("voters")
}
