//! What a node says of itself at one moment.

use std::time::Duration;

use sluice_cluster::Version;
use sluice_dataplane_core::{GateStats, Stats};
use sluice_discovery::PerType;

use crate::stats::DriverStats;

/// Who can say what the node is doing. Called from a thread that may wait: a snapshot may take as long as the workers need
/// to answer, within a second.
pub trait StatusSource: Send + Sync + 'static {
    /// The node at this moment.
    fn snapshot(&self) -> NodeSnapshot;
}

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct NodeSnapshot {
    /// Its name.
    pub name: String,
    /// What it is built from.
    pub build: Build,
    /// Where in its life it is.
    pub phase: Phase,
    /// How long it has been running.
    pub uptime: Duration,
    /// What its workers count, summed.
    pub stats: Stats,
    /// What its driver counts, summed.
    pub driver: DriverStats,
    /// Its listeners, in the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// Its store.
    pub store: StoreStatus,
    /// Whether every worker answered within a second; one that does not hangs, and so do its clients.
    pub workers_answer: bool,
    /// Its place in a cluster; `None` without one.
    pub cluster: Option<ClusterStatus>,
    /// What could not be read again after it changed, by name.
    pub reload_failing: Vec<String>,
    /// The memory budget in bytes; 0 = none.
    pub memory_budget_bytes: u64,
}

/// What a binary is built from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Build {
    /// The version, such as `0.1.0`.
    pub version: &'static str,
    /// The revision of the source, where the build knew it.
    pub revision: &'static str,
}

/// Where in its life a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It reads its store.
    Starting,
    /// It takes clients.
    Serving,
    /// It sends its clients away and takes no new ones.
    Draining,
}

/// One listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// When the first of its certificates expires, in seconds since the Unix epoch.
    pub certificate_expires: Option<i64>,
}

/// What a node knows of its cluster, with control and without.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    /// The other nodes.
    pub peers: Vec<PeerStatus>,
    /// What was exchanged with them; `None` when the links do not answer.
    pub exchanged: Option<GateStats>,
    /// How long control has not been heard; `None` = it has a stream to this node.
    pub without_control_for: Option<Duration>,
    /// The version held of each table.
    pub held: PerType<Version>,
    /// Shards that the placement held has a home for.
    pub shards: usize,
}

impl ClusterStatus {
    /// Whether it was ever said where sessions and retained messages live. Before, neither can be served.
    #[must_use]
    pub fn has_placement(&self) -> bool {
        self.shards > 0
    }

    /// The nodes that there is no link to.
    pub fn unlinked(&self) -> impl Iterator<Item = &PeerStatus> {
        self.peers.iter().filter(|peer| peer.round_trip.is_none())
    }
}

/// Another node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Its id.
    pub node: String,
    /// Round trip time of the link; `None` = there is no link.
    pub round_trip: Option<Duration>,
    /// Bytes that wait for it, or for its answer.
    pub queue_bytes: usize,
    /// Bytes of UDP payload to it.
    pub sent_bytes: u64,
    /// Bytes of UDP payload from it.
    pub received_bytes: u64,
}

/// The store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreStatus {
    /// Whether it takes durable work; not when the disk is nearly full.
    pub writable: bool,
    /// Bytes on disk by column family.
    pub disk_bytes: Vec<(&'static str, u64)>,
}

/// Whether a node takes clients, and whether something is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// It serves and nothing is wrong.
    Nominal,
    /// It serves, and an operator should look.
    Degraded,
    /// It serves those it has and takes no more.
    Draining,
    /// It does not serve.
    NotReady,
}

impl Build {
    /// This build. The revision is taken from `SLUICE_REVISION` in the environment of the compiler.
    pub const THIS: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("SLUICE_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        },
    };
}

impl NodeSnapshot {
    /// Whether the node takes clients, and whether something is wrong with it.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.phase {
            Phase::Starting => Readiness::NotReady,
            Phase::Draining => Readiness::Draining,
            Phase::Serving if !self.workers_answer => Readiness::NotReady,
            Phase::Serving if self.cluster.as_ref().is_some_and(|cluster| !cluster.has_placement()) => {
                Readiness::NotReady
            }
            Phase::Serving if self.is_hurt() => Readiness::Degraded,
            Phase::Serving => Readiness::Nominal,
        }
    }

    /// Whether something is away that it can serve without.
    fn is_hurt(&self) -> bool {
        let is_alone =
            |cluster: &ClusterStatus| cluster.without_control_for.is_some() || cluster.unlinked().next().is_some();
        !self.store.writable || !self.reload_failing.is_empty() || self.cluster.as_ref().is_some_and(is_alone)
    }
}

impl Readiness {
    /// Whether a load balancer should send clients.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Nominal | Self::Degraded)
    }

    /// The word in `/ready`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::NotReady => "not_ready",
        }
    }
}
