//! A node as tests see it: in a cluster of two, with something to show everywhere.

use std::time::Duration;

use sluice_cluster::{Epoch, Version};
use sluice_dataplane_core::{GateStats, Stats};
use sluice_discovery::PerType;

use super::{Build, ClusterStatus, ListenerStatus, NodeSnapshot, PeerStatus, Phase, StoreStatus};
use crate::stats::DriverStats;

/// A node that serves and misses nothing.
pub(crate) fn node() -> NodeSnapshot {
    let mut stats = Stats {
        connections: vec![[1, 2, 3], [0, 4, 0]],
        connections_opened: vec![9],
        sessions_connected: 10,
        sessions_offline: 2,
        subscriptions_exact: 3,
        subscriptions_wildcard: 4,
        retained_messages: 5,
        ..Stats::default()
    };
    stats.publish_duration.observe(20_000);
    NodeSnapshot {
        name: "b1".into(),
        build: Build { version: "1.2.3", revision: "abc" },
        phase: Phase::Serving,
        uptime: Duration::from_secs(7),
        stats,
        driver: DriverStats::default(),
        listeners: vec![ListenerStatus { name: "tls-8883".into(), certificate_expires: Some(1_800_000_000) }],
        store: StoreStatus { writable: true, disk_bytes: vec![("blocks", 1_000_000), ("retained", 500_000)] },
        workers_answer: true,
        cluster: Some(cluster()),
        reload_failing: Vec::new(),
        memory_budget_bytes: 0,
    }
}

/// Its place in the cluster.
pub(crate) fn cluster() -> ClusterStatus {
    ClusterStatus {
        peers: vec![PeerStatus {
            node: "a1".into(),
            round_trip: Some(Duration::from_millis(2)),
            queue_bytes: 7,
            sent_bytes: 8,
            received_bytes: 9,
        }],
        exchanged: Some(GateStats {
            forwarded: 5,
            relayed: 2,
            arrived: 4,
            dropped: 1,
            refused: 3,
            ..GateStats::default()
        }),
        without_control_for: None,
        held: PerType::from_fn(|_| Version { leadership: Epoch(2), counter: 41 }),
        shards: 64,
    }
}
