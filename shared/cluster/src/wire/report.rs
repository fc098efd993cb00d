//! What nodes report.

use std::{collections::BTreeMap, time::Duration};

use sluice_proto::cluster::v1 as pb;

use super::basic::{filter, node_id, region, shard_key};
use super::{WireError, each};
use crate::{
    Deliveries, Epoch, Flow, Holdings, Load, NODES_MAX, NodeReport, PeerStatus, REPORTED_DELIVERIES_MAX,
    REPORTED_SHARDS_MAX, ShardKey, ShardLoad, ShardStatus, Traffic,
};

impl From<&Load> for pb::Load {
    fn from(load: &Load) -> Self {
        let shard = |(key, load): (&ShardKey, &ShardLoad)| pb::ShardLoad {
            keyspace: key.keyspace.0.into(),
            shard: key.shard.0.into(),
            messages: load.messages,
            bytes: load.bytes,
        };
        let deliveries = |row: &Deliveries| pb::Deliveries {
            prefix: row.prefix.to_string(),
            region: row.region.as_ref().map(ToString::to_string).unwrap_or_default(),
            count: row.count,
        };
        Self {
            period_ms: milliseconds(load.period),
            connections: load.connections,
            shards: load.shards.iter().map(shard).collect(),
            deliveries: load.deliveries.iter().map(deliveries).collect(),
            traffic: Some((&load.traffic).into()),
            holdings: Some((&load.holdings).into()),
        }
    }
}

impl TryFrom<pb::Load> for Load {
    type Error = WireError;

    fn try_from(message: pb::Load) -> Result<Self, WireError> {
        let shard = |row: pb::ShardLoad| {
            let load = ShardLoad { messages: row.messages, bytes: row.bytes };
            Ok((shard_key(row.keyspace, row.shard)?, load))
        };
        let deliveries = |row: pb::Deliveries| {
            let prefix = filter("prefix", &row.prefix)?;
            Ok(Deliveries { prefix, region: region("region", &row.region)?, count: row.count })
        };
        Ok(Self {
            period: Duration::from_millis(message.period_ms.into()),
            connections: message.connections,
            // A node of an earlier version does not say.
            traffic: message.traffic.map(Traffic::from).unwrap_or_default(),
            holdings: message.holdings.map(Holdings::from).unwrap_or_default(),
            shards: by_key(each("shards", message.shards, REPORTED_SHARDS_MAX, shard)?)?,
            deliveries: each("deliveries", message.deliveries, REPORTED_DELIVERIES_MAX, deliveries)?,
        })
    }
}

impl From<&Traffic> for pb::Traffic {
    fn from(traffic: &Traffic) -> Self {
        let Traffic { messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent } = *traffic;
        Self { messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent }
    }
}

impl From<pb::Traffic> for Traffic {
    fn from(message: pb::Traffic) -> Self {
        let pb::Traffic { messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent } = message;
        Self { messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent }
    }
}

impl From<&Holdings> for pb::Holdings {
    fn from(holdings: &Holdings) -> Self {
        let Holdings { sessions, subscriptions, retained_messages, queued_messages, memory_bytes } = *holdings;
        Self { sessions, subscriptions, retained_messages, queued_messages, memory_bytes }
    }
}

impl From<pb::Holdings> for Holdings {
    fn from(message: pb::Holdings) -> Self {
        let pb::Holdings { sessions, subscriptions, retained_messages, queued_messages, memory_bytes } = message;
        Self { sessions, subscriptions, retained_messages, queued_messages, memory_bytes }
    }
}

impl From<&NodeReport> for pb::Replicas {
    fn from(report: &NodeReport) -> Self {
        let shard = |(key, status): (&ShardKey, &ShardStatus)| pb::ShardStatus {
            keyspace: key.keyspace.0.into(),
            shard: key.shard.0.into(),
            epoch: status.epoch.0,
            is_caught_up: status.is_caught_up,
            is_empty: status.is_empty,
        };
        Self { applied: Some(report.applied.into()), shards: report.shards.iter().map(shard).collect() }
    }
}

impl TryFrom<pb::Replicas> for NodeReport {
    type Error = WireError;

    fn try_from(message: pb::Replicas) -> Result<Self, WireError> {
        let shard = |row: pb::ShardStatus| {
            let status =
                ShardStatus { epoch: Epoch(row.epoch), is_caught_up: row.is_caught_up, is_empty: row.is_empty };
            Ok((shard_key(row.keyspace, row.shard)?, status))
        };
        let applied = message.applied.ok_or_else(|| WireError::new("applied", "is missing"))?;
        let shards = by_key(each("shards", message.shards, REPORTED_SHARDS_MAX, shard)?)?;
        Ok(Self { applied: applied.into(), shards })
    }
}

fn by_key<T>(rows: Vec<(ShardKey, T)>) -> Result<BTreeMap<ShardKey, T>, WireError> {
    let len = rows.len();
    let by_key: BTreeMap<_, _> = rows.into_iter().collect();
    if by_key.len() < len { Err(WireError::new("shards", "a shard is there twice")) } else { Ok(by_key) }
}

/// What is said of all peers.
#[must_use]
pub fn write_peers(peers: &[PeerStatus]) -> pb::Peers {
    let peer = |peer: &PeerStatus| pb::Peer {
        node: peer.node.0,
        silent_ms: peer.silent.map(milliseconds),
        round_trip_us: peer.round_trip.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
        queue_bytes: peer.flow.queue_bytes,
        sent_bytes_per_s: peer.flow.sent_bytes_per_s,
        lost_per_million: peer.flow.lost_per_million,
    };
    pb::Peers { peers: peers.iter().map(peer).collect() }
}

/// What is said of all peers.
///
/// # Errors
/// There are more than [`NODES_MAX`], or one is nobody.
pub fn read_peers(message: pb::Peers) -> Result<Vec<PeerStatus>, WireError> {
    each("peers", message.peers, NODES_MAX, |peer| {
        Ok(PeerStatus {
            node: node_id("node", peer.node)?,
            silent: peer.silent_ms.map(|ms| Duration::from_millis(ms.into())),
            round_trip: peer.round_trip_us.map(|us| Duration::from_micros(us.into())),
            flow: Flow {
                queue_bytes: peer.queue_bytes,
                sent_bytes_per_s: peer.sent_bytes_per_s,
                lost_per_million: peer.lost_per_million.min(MILLION),
            },
        })
    })
}

const MILLION: u32 = 1_000_000;

/// A longer time than can be said counts as the longest, seven weeks.
fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
