//! How tables are cut into named resources, and put together again.
//!
//! | type | names | bodies |
//! |---|---|---|
//! | Nodes | the id, 16 hexadecimal digits | `Node` |
//! | Placement | `keyspaces`; `shards/KEYSPACE/BLOCK` | `Keyspaces`; `PlacementBlock` |
//! | Routes | `head`; `part/NUMBER` | `RoutesHead`; `RoutesPart` |
//! | Policy | `policy/NAME` | `Policy` |
//!
//! A name that is not one of these is passed over: it comes from a control that is newer than its nodes. A body must be
//! what its name says.

use std::collections::BTreeMap;

use prost::Message;
use sluice_proto::cluster::v1 as pb;

use super::{InField, WireError, decode};
use crate::routing::{BaseTable, RouteRows, RoutesHead, RoutesPart, TableAssembler};
use crate::{Keyspaces, Member, NODES_MAX, NodeId, Placement, Policies, Policy, ShardKey, Version};

pub use super::placement::{BLOCK_SHARDS, PlacementBlock};

/// The resources of one type, by name.
pub type Resources = BTreeMap<String, Vec<u8>>;

/// The nodes' table.
pub fn write_nodes<'a>(members: impl IntoIterator<Item = &'a Member>) -> Resources {
    let row = |member: &Member| (member.node.id.to_string(), pb::Node::from(member).encode_to_vec());
    members.into_iter().map(row).collect()
}

/// The nodes' table, by id.
///
/// # Errors
/// A body is no node, not the node of its name, or there are more than [`NODES_MAX`].
pub fn read_nodes<'a>(
    resources: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<BTreeMap<NodeId, Member>, WireError> {
    let mut members = BTreeMap::new();
    for (name, body) in resources {
        if let Some(member) = read_node(name, body)? {
            members.insert(member.node.id, member);
        }
    }
    super::at_most("nodes", members.len(), NODES_MAX)?;
    Ok(members)
}

/// One node; `None` if the name is no node's.
///
/// # Errors
/// The body is no node, or not that of its name.
pub fn read_node(name: &str, body: &[u8]) -> Result<Option<Member>, WireError> {
    if name.len() != 16 || u64::from_str_radix(name, 16).is_err() {
        return Ok(None);
    }
    let member: Member = read::<pb::Node, _>(name, body)?;
    is_named(name, &member.node.id.to_string())?;
    Ok(Some(member))
}

/// The placement, without its version, which is that of the push.
#[must_use]
pub fn write_placement(placement: &Placement) -> Resources {
    let mut blocks: BTreeMap<String, PlacementBlock> = BTreeMap::new();
    for (key, replicas) in placement.shards() {
        let block = key.shard.0 / BLOCK_SHARDS;
        let empty = || PlacementBlock { keyspace: key.keyspace, block, shards: BTreeMap::new() };
        let block = blocks.entry(block_name(*key)).or_insert_with(empty);
        block.shards.insert(*key, replicas.clone());
    }
    let rows = blocks.iter().map(|(name, block)| (name.clone(), pb::PlacementBlock::from(block).encode_to_vec()));
    let keyspaces = pb::Keyspaces::from(placement.keyspaces()).encode_to_vec();
    rows.chain([(KEYSPACES.into(), keyspaces)]).collect()
}

/// The placement at a version. Of equal names the first counts.
///
/// # Errors
/// A body is not what its name says, or a shard is outside its keyspace, or there are no keyspaces.
pub fn read_placement<'a>(
    version: Version,
    resources: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Placement, WireError> {
    let mut keyspaces: Option<Keyspaces> = None;
    let mut blocks: BTreeMap<&str, PlacementBlock> = BTreeMap::new();
    for (name, body) in resources {
        if name == KEYSPACES && keyspaces.is_none() {
            keyspaces = Some(read::<pb::Keyspaces, _>(name, body)?);
        } else if name.starts_with(SHARDS) && !blocks.contains_key(name) {
            blocks.insert(name, read_block(name, body)?);
        }
    }
    let keyspaces = keyspaces.ok_or_else(|| WireError::new(KEYSPACES, "is missing"))?;
    let shards = blocks.into_values().flat_map(|block| block.shards).collect();
    Placement::new(version, keyspaces, shards).field(SHARDS)
}

fn read_block(name: &str, body: &[u8]) -> Result<PlacementBlock, WireError> {
    let block: PlacementBlock = read::<pb::PlacementBlock, _>(name, body)?;
    is_named(name, &format!("{SHARDS}{}/{}", block.keyspace.0, block.block))?;
    Ok(block)
}

fn block_name(key: ShardKey) -> String {
    format!("{SHARDS}{}/{}", key.keyspace.0, key.shard.0 / BLOCK_SHARDS)
}

/// A base table.
#[must_use]
pub fn write_routes(rows: &RouteRows<'_>) -> Resources {
    let head = (HEAD.to_owned(), pb::RoutesHead::from(rows.head()).encode_to_vec());
    let part = |part: RoutesPart| (part_name(part.number()), pb::RoutesPart::from(&part).encode_to_vec());
    rows.parts().map(part).chain([head]).collect()
}

/// A base table that was built whole.
#[must_use]
pub fn write_table(table: &BaseTable) -> Resources {
    table.with_rows(write_routes)
}

/// The base table of a version. Of equal names both count, as do those of an older table beside it.
///
/// # Errors
/// A body is not what its name says, or the head is missing.
pub fn read_routes<'a>(
    version: Version,
    resources: impl IntoIterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<BaseTable, WireError> {
    let head = resources.clone().into_iter().find(|(name, _)| *name == HEAD);
    let (name, body) = head.ok_or_else(|| WireError::new(HEAD, "is missing"))?;
    let mut table = TableAssembler::new(version, read::<pb::RoutesHead, _>(name, body)?);
    for (name, body) in resources {
        if let Some(part) = read_part(name, body)? {
            table.add(&part);
        }
    }
    Ok(table.finish())
}

/// The head of a base table; `None` if the name is not its.
///
/// # Errors
/// The body is none.
pub fn read_head(name: &str, body: &[u8]) -> Result<Option<RoutesHead>, WireError> {
    (name == HEAD).then(|| read::<pb::RoutesHead, _>(name, body)).transpose()
}

/// A part of a base table; `None` if the name is no part's.
///
/// # Errors
/// The body is no part, or not that of its name.
pub fn read_part(name: &str, body: &[u8]) -> Result<Option<RoutesPart>, WireError> {
    if !name.starts_with(PART) {
        return Ok(None);
    }
    let part: RoutesPart = read::<pb::RoutesPart, _>(name, body)?;
    is_named(name, &part_name(part.number()))?;
    Ok(Some(part))
}

fn part_name(number: u16) -> String {
    format!("{PART}{number}")
}

/// All policies.
#[must_use]
pub fn write_policies(policies: &Policies) -> Resources {
    let row = |policy: &Policy| (policy_name(policy), pb::Policy::from(policy).encode_to_vec());
    policies.iter().map(row).collect()
}

/// All policies.
///
/// # Errors
/// A body is not what its name says, or they do not go together.
pub fn read_policies<'a>(resources: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Policies, WireError> {
    let mut policies = Vec::new();
    for (name, body) in resources.into_iter().filter(|(name, _)| name.starts_with(POLICY)) {
        let policy: Policy = read::<pb::Policy, _>(name, body)?;
        is_named(name, &policy_name(&policy))?;
        policies.push(policy);
    }
    Policies::new(policies).field(POLICY)
}

fn policy_name(policy: &Policy) -> String {
    format!("{POLICY}{}", policy.name)
}

fn read<M: Message + Default, T: TryFrom<M, Error = WireError>>(name: &str, body: &[u8]) -> Result<T, WireError> {
    decode::<M>(body).and_then(T::try_from).map_err(|error| error.within(name))
}

fn is_named(name: &str, is: &str) -> Result<(), WireError> {
    if name == is { Ok(()) } else { Err(WireError::new(name, format_args!("its body is that of {is}"))) }
}

const KEYSPACES: &str = "keyspaces";
const SHARDS: &str = "shards/";
const HEAD: &str = "head";
const PART: &str = "part/";
const POLICY: &str = "policy/";
