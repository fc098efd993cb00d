//! Everything a plan may depend on.

use std::collections::BTreeMap;

use sluice_cluster::{
    Epoch, Liveness, Node, NodeId, NodePhase, NodeReport, Placement, Policies, Replicas, ShardKey, ShardStatus,
};

/// After how long a silent node counts as dead unless configured otherwise: longer than it takes to restart a machine, since
/// bringing its shards elsewhere costs a copy of each.
pub const DEAD_AFTER_MS_DEFAULT: u64 = 300_000;

/// Moves that may be under way unless configured otherwise.
pub const MOVES_MAX_DEFAULT: u32 = 16;

/// What [`plan`](crate::plan) is made from. Nothing else enters into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanInput {
    /// What operators want.
    pub policies: Policies,
    /// The nodes there are. One that was removed stays here, as gone, while a shard still names it.
    pub nodes: BTreeMap<NodeId, KnownNode>,
    /// The placement as it is.
    pub parent: Placement,
    /// How much may move at a time.
    pub budget: MoveBudget,
    /// Under whose leadership the plan is made.
    pub leadership: Epoch,
    /// The time, in milliseconds of control's clock.
    pub now_ms: u64,
    /// After how many milliseconds of silence a node counts as dead.
    pub dead_after_ms: u64,
    /// Shards that have lost too many of their disks, and whose missing data an operator has given up, each with the epoch
    /// that the operator saw: what is said of one configuration is not said of the next.
    pub force_recover: BTreeMap<ShardKey, Epoch>,
}

impl Default for PlanInput {
    /// An empty cluster that nobody has said anything about.
    fn default() -> Self {
        Self {
            policies: Policies::default(),
            nodes: BTreeMap::new(),
            parent: Placement::default(),
            budget: MoveBudget::default(),
            leadership: Epoch::default(),
            now_ms: 0,
            dead_after_ms: DEAD_AFTER_MS_DEFAULT,
            force_recover: BTreeMap::new(),
        }
    }
}

/// A node and the last that was heard of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownNode {
    /// The node.
    pub node: Node,
    /// What it reported last; `None` before its first report.
    pub report: Option<NodeReport>,
}

/// How much may move at a time. With `moves_max` 0 what is under way goes on, and nothing new begins: a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveBudget {
    /// Shards that may be changing their replicas in the cluster. Those that cannot go on, because too many of their
    /// voters are away, do not count.
    pub moves_max: u32,
    /// Shards that may be on their way to one node.
    pub incoming_max: u32,
}

impl MoveBudget {
    /// No bound: for previews.
    pub const UNBOUNDED: Self = Self { moves_max: u32::MAX, incoming_max: u32::MAX };
}

impl Default for MoveBudget {
    fn default() -> Self {
        Self { moves_max: MOVES_MAX_DEFAULT, incoming_max: 2 }
    }
}

/// Whether a node is there; the less it is, the smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Presence {
    /// It has been silent for too long, or was removed.
    Dead,
    /// It is not heard of, or nothing is known about it. It may come back.
    Silent,
    /// It is heard of.
    Reachable,
}

impl PlanInput {
    /// Whether a node is there.
    #[must_use]
    pub fn presence(&self, id: NodeId) -> Presence {
        let Some(known) = self.nodes.get(&id) else { return Presence::Silent };
        match (known.node.phase, known.node.liveness) {
            (NodePhase::Gone, _) => Presence::Dead,
            (_, Liveness::Live) => Presence::Reachable,
            (_, Liveness::Silent { since_ms }) if self.now_ms.saturating_sub(since_ms) >= self.dead_after_ms => {
                Presence::Dead
            }
            (_, Liveness::Silent { .. }) => Presence::Silent,
        }
    }

    /// What a node that is there reports of a shard.
    #[must_use]
    pub fn status(&self, id: NodeId, key: ShardKey) -> Option<ShardStatus> {
        let known = self.nodes.get(&id).filter(|_| self.presence(id) == Presence::Reachable)?;
        known.report.as_ref()?.shards.get(&key).copied()
    }

    /// Whether enough voters are there to decide.
    #[must_use]
    pub fn has_quorum(&self, replicas: &Replicas) -> bool {
        let reachable = replicas.voters().iter().filter(|id| self.presence(**id) == Presence::Reachable);
        reachable.count() >= replicas.quorum()
    }

    /// Whether an operator has given up what these replicas lack, and they cannot go on by themselves.
    #[must_use]
    pub fn is_given_up(&self, key: ShardKey, replicas: &Replicas) -> bool {
        self.force_recover.get(&key) == Some(&replicas.epoch()) && !self.has_quorum(replicas)
    }

    /// A node that serves and does not work with the parent placement yet.
    #[must_use]
    pub fn node_behind(&self) -> Option<NodeId> {
        let serves = |known: &&KnownNode| {
            known.node.phase != NodePhase::Joining && self.presence(known.node.id) == Presence::Reachable
        };
        let applied = |known: &KnownNode| known.report.as_ref().map(|report| report.applied);
        let mut serving = self.nodes.values().filter(serves);
        serving.find(|known| applied(known).is_none_or(|version| version < self.parent.version())).map(|of| of.node.id)
    }
}
