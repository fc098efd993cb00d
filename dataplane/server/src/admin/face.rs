//! What the operators' port says of a node before it serves, while it does, and while it goes down.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sluice_dataplane_core::Stats;

use super::{Build, ClusterStatus, ListenerStatus, NodeSnapshot, PeerStatus, Phase, StatusSource, StoreStatus};
use crate::{config::NodeConfig, links::LinkStats, node::RunningNode, stats::DriverStats};

/// A node as seen from outside, through all of its life.
pub struct NodeFace {
    name: String,
    memory_budget_bytes: u64,
    store_reserve_bytes: u64,
    since: Instant,
    node: Mutex<Option<(Phase, Arc<RunningNode>)>>,
}

impl NodeFace {
    /// A node that is about to start.
    #[must_use]
    pub fn new(config: &NodeConfig) -> Arc<Self> {
        Arc::new(Self {
            name: config.name(),
            memory_budget_bytes: config.limits.memory_budget.bytes(),
            store_reserve_bytes: config.storage.reserve.0,
            since: Instant::now(),
            node: Mutex::new(None),
        })
    }

    /// The node serves.
    pub fn serving(&self, node: Arc<RunningNode>) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some((Phase::Serving, node));
    }

    /// The node sends its clients away.
    pub fn draining(&self) {
        if let Some((phase, _)) = &mut *self.node.lock().unwrap_or_else(PoisonError::into_inner) {
            *phase = Phase::Draining;
        }
    }

    fn of_start(&self) -> NodeSnapshot {
        NodeSnapshot {
            name: self.name.clone(),
            build: Build::THIS,
            phase: Phase::Starting,
            uptime: self.since.elapsed(),
            stats: Stats::default(),
            driver: DriverStats::default(),
            listeners: Vec::new(),
            store: StoreStatus { writable: true, disk_bytes: Vec::new() },
            workers_answer: true,
            cluster: None,
            reload_failing: Vec::new(),
            memory_budget_bytes: self.memory_budget_bytes,
        }
    }

    fn of_node(&self, phase: Phase, node: &RunningNode) -> NodeSnapshot {
        let workers_answer = node.turns(PATIENCE);
        let (stats, driver) = node.stats();
        let certificate_expires =
            |name: &str| node.certificates().find(|(listener, _)| *listener == name).map(|(_, expires)| expires);
        let listener =
            |name: &String| ListenerStatus { name: name.clone(), certificate_expires: certificate_expires(name) };
        let usage = node.store().usage();
        NodeSnapshot {
            phase: if node.is_drained() { Phase::Draining } else { phase },
            stats,
            driver,
            listeners: node.bound().iter().map(|bound| listener(&bound.name)).collect(),
            store: StoreStatus {
                writable: usage.free_bytes >= self.store_reserve_bytes,
                disk_bytes: usage.kinds.iter().map(|kind| (kind.kind.name(), kind.disk_bytes)).collect(),
            },
            workers_answer,
            cluster: node.control().map(|control| ClusterStatus {
                peers: node.links().iter().map(peer_status).collect(),
                exchanged: node.exchanged(),
                without_control_for: control.without_for(Instant::now()),
                held: control.held,
                shards: control.shards,
            }),
            reload_failing: node.failing(),
            ..self.of_start()
        }
    }
}

impl StatusSource for NodeFace {
    fn snapshot(&self) -> NodeSnapshot {
        // The lock is not held while the workers are asked.
        let node = self.node.lock().unwrap_or_else(PoisonError::into_inner).clone();
        node.map_or_else(|| self.of_start(), |(phase, node)| self.of_node(phase, &node))
    }
}

fn peer_status(link: &LinkStats) -> PeerStatus {
    PeerStatus {
        node: link.peer.to_string(),
        round_trip: link.connected_for.map(|_| link.round_trip),
        queue_bytes: link.queued_bytes,
        sent_bytes: link.bytes.0,
        received_bytes: link.bytes.1,
    }
}

/// For a worker to end its turn; turns are bounded and take milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
