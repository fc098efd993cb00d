//! What a node reports to control beside what it holds: itself, its interest, its load, its replicas, and whom it hears.

use std::{collections::BTreeMap, time::Duration};

use sluice_topic::TopicFilter;

use crate::{Epoch, Label, NodeId, Registration, ShardKey, Version, interest::InterestFrame};

/// Most shards of one report.
pub const REPORTED_SHARDS_MAX: usize = 1 << 16;

/// Most rows of deliveries of one report: the heaviest are in it.
pub const REPORTED_DELIVERIES_MAX: usize = 4096;

/// One report. Each kind replaces what the node's last report of the kind said, but for interest, which numbers itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// Who it is and how to reach it: the first report of a stream.
    Registration(Registration),
    /// What its clients want, in answer to control's questions.
    Interest(InterestFrame),
    /// What it carries.
    Load(Load),
    /// What it knows of its replicas.
    Replicas(NodeReport),
    /// Whom it hears.
    Peers(Vec<PeerStatus>),
}

/// What a node carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Since the report before; milliseconds on the wire. Zero: there was none, and nothing is counted.
    pub period: Duration,
    /// Clients that are connected.
    pub connections: u64,
    /// Of clients, in the period.
    pub traffic: Traffic,
    /// What there is at its end.
    pub holdings: Holdings,
    /// By shard, of those it serves; at most [`REPORTED_SHARDS_MAX`].
    pub shards: BTreeMap<ShardKey, ShardLoad>,
    /// Where messages went, by topic prefix and region; at most [`REPORTED_DELIVERIES_MAX`].
    pub deliveries: Vec<Deliveries>,
}

/// What went between a node and its clients in a period. What goes to and from other nodes is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Messages that clients published.
    pub messages_received: u64,
    /// Messages that were queued for clients.
    pub messages_sent: u64,
    /// Messages that somebody wanted and did not get.
    pub messages_dropped: u64,
    /// MQTT bytes of all packets received.
    pub bytes_received: u64,
    /// MQTT bytes of all packets sent.
    pub bytes_sent: u64,
}

/// What a node has at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Their subscriptions.
    pub subscriptions: u64,
    /// Retained messages that are at home there.
    pub retained_messages: u64,
    /// Messages that wait for sessions.
    pub queued_messages: u64,
    /// Bytes accounted to the memory budget.
    pub memory_bytes: u64,
}

/// What a shard had to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardLoad {
    /// Messages it has stored.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Deliveries of messages whose topics a filter matches, to subscribers in a region, lately: the older a delivery is, the less
/// it counts. Filters of one report overlap: what is counted below `a/b/#` is counted below `a/#` as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deliveries {
    /// The topics.
    pub prefix: TopicFilter,
    /// The subscribers' region; `None` is that of the nodes without one.
    pub region: Option<Label>,
    /// How many at least, as far as a node can tell that samples its messages.
    pub count: u64,
}

/// What a node reports of its replicas.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeReport {
    /// The placement it works with.
    pub applied: Version,
    /// Its replicas.
    pub shards: BTreeMap<ShardKey, ShardStatus>,
}

/// What a node reports of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardStatus {
    /// Of the configuration that is in force.
    pub epoch: Epoch,
    /// Whether it has all that was committed a moment ago, so that it could vote.
    pub is_caught_up: bool,
    /// Whether there is nothing in the shard.
    pub is_empty: bool,
}

/// What a node knows of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// For how long nothing was heard of it; `None` = nothing ever.
    pub silent: Option<Duration>,
    /// The smoothed round trip; `None` = not measured.
    pub round_trip: Option<Duration>,
    /// What goes to it.
    pub flow: Flow,
}

/// What goes from a node to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    /// Bytes that wait for the peer, or for its answer.
    pub queue_bytes: u64,
    /// Bytes of UDP payload sent a second, since the report before.
    pub sent_bytes_per_s: u64,
    /// Of a million packets sent since then, how many were lost; at most a million.
    pub lost_per_million: u32,
}
