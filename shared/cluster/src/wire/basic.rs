//! Versions, labels, ids, and the keys of shards.

use sluice_proto::cluster::v1 as pb;
use sluice_topic::TopicFilter;

use super::{InField, TOPIC_LIMITS, WireError, at_most, narrow};
use crate::{Epoch, KeyspaceId, LABELS_MAX, Label, Labels, NodeId, SHARDS_MAX, ShardId, ShardKey, Version};

impl From<Version> for pb::Version {
    fn from(version: Version) -> Self {
        Self { leadership: version.leadership.0, counter: version.counter }
    }
}

impl From<pb::Version> for Version {
    fn from(message: pb::Version) -> Self {
        Self { leadership: Epoch(message.leadership), counter: message.counter }
    }
}

/// An id that somebody has.
///
/// # Errors
/// It is 0.
pub fn node_id(field: &str, id: u64) -> Result<NodeId, WireError> {
    if id == 0 { Err(WireError::new(field, "the id 0 is nobody's")) } else { Ok(NodeId(id)) }
}

pub(super) fn label(field: &str, text: &str) -> Result<Label, WireError> {
    Label::parse(text).field(field)
}

/// The value of a region's label, or nothing for the region of nodes without one.
pub(super) fn region(field: &str, text: &str) -> Result<Option<Label>, WireError> {
    if text.is_empty() { Ok(None) } else { label(field, text).map(Some) }
}

pub(super) fn labels(field: &str, list: Vec<pb::Label>) -> Result<Labels, WireError> {
    at_most(field, list.len(), LABELS_MAX)?;
    let pair = |(at, pair): (usize, pb::Label)| {
        let within = |error: WireError| error.within(&format!("{field}[{at}]"));
        Ok((label("key", &pair.key).map_err(within)?, label("value", &pair.value).map_err(within)?))
    };
    let pairs: Vec<_> = list.into_iter().enumerate().map(pair).collect::<Result<_, WireError>>()?;
    Labels::new(pairs).field(field)
}

pub(super) fn write_labels(labels: &Labels) -> Vec<pb::Label> {
    labels.iter().map(|(key, value)| pb::Label { key: key.to_string(), value: value.to_string() }).collect()
}

pub(super) fn filter(field: &str, text: &str) -> Result<TopicFilter, WireError> {
    TopicFilter::parse(text, &TOPIC_LIMITS).field(field)
}

pub(super) fn shard_key(keyspace: u32, shard: u32) -> Result<ShardKey, WireError> {
    let keyspace = KeyspaceId(narrow("keyspace", keyspace)?);
    if shard >= u32::from(SHARDS_MAX) {
        return Err(WireError::new("shard", format_args!("{shard} is not below {SHARDS_MAX}")));
    }
    Ok(ShardKey { keyspace, shard: ShardId(narrow("shard", shard)?) })
}
