//! Why a plan does what it does, and what the rest waits for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use sluice_cluster::{KeyspaceId, NodeId, ReplicasError, ShardKey};

/// What each step of planning did, in the order in which they are taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanReport {
    /// Moves that are under way.
    pub advance: StepReport,
    /// Keyspaces that are no more.
    pub retire: StepReport,
    /// Shards that lack a replica.
    pub assign: StepReport,
    /// Replicas that are where their policy does not want them.
    pub constraints: StepReport,
    /// Nodes that give away what they have.
    pub drain: StepReport,
    /// Nodes that have more than others.
    pub balance: StepReport,
}

impl PlanReport {
    /// All steps with their names.
    #[must_use]
    pub fn steps(&self) -> [(&'static str, &StepReport); 6] {
        [
            ("advance", &self.advance),
            ("retire", &self.retire),
            ("assign", &self.assign),
            ("constraints", &self.constraints),
            ("drain", &self.drain),
            ("balance", &self.balance),
        ]
    }

    /// How many shards the plan changes.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.steps().iter().map(|(_, step)| step.actions.len()).sum()
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let busy = self.steps().into_iter().filter(|(_, step)| !step.is_idle());
        busy.into_iter().try_for_each(|(name, step)| write!(f, "{name}:\n{step}"))
    }
}

/// What one step did, and what it left and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StepReport {
    /// What it changed, in the order in which it did.
    pub actions: Vec<Action>,
    /// What it would have changed, by what that waits for.
    pub waits: BTreeMap<Wait, BTreeSet<ShardKey>>,
}

impl StepReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.actions.is_empty() && self.waits.is_empty()
    }

    pub(crate) fn wait(&mut self, wait: Wait, key: ShardKey) {
        self.waits.entry(wait).or_default().insert(key);
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| writeln!(f, "  {action}"))?;
        for (wait, keys) in &self.waits {
            let shown = keys.iter().take(SHOWN_MAX).map(ShardKey::to_string).collect::<Vec<_>>().join(" ");
            let more = keys.len().saturating_sub(SHOWN_MAX);
            write!(f, "  waits: {wait} ({shown}")?;
            if more > 0 {
                write!(f, " and {more} more")?;
            }
            writeln!(f, ")")?;
        }
        Ok(())
    }
}

/// One change of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// The shard.
    pub key: ShardKey,
    /// What changes.
    pub change: Change,
    /// For what reason.
    pub why: Why,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.key, self.change, self.why)
    }
}

/// A change of a shard's replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is placed for the first time.
    Create {
        /// Where.
        voters: BTreeSet<NodeId>,
    },
    /// A node begins to copy it.
    Bring {
        /// Which node.
        to: NodeId,
        /// Who goes for it.
        from: Option<NodeId>,
    },
    /// A learner becomes a voter.
    Promote {
        /// Which node.
        node: NodeId,
    },
    /// A voter goes.
    Remove {
        /// Which node.
        node: NodeId,
    },
    /// A learner goes before it has become a voter.
    Cancel {
        /// Which node.
        node: NodeId,
    },
    /// It starts anew from what is left.
    Force {
        /// Where.
        voters: BTreeSet<NodeId>,
    },
    /// It is no more.
    Retire,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &BTreeSet<NodeId>| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Create { voters } => write!(f, "placed on {}", list(voters)),
            Self::Bring { to, from: None } => write!(f, "copied to {to}"),
            Self::Bring { to, from: Some(from) } => write!(f, "copied to {to} for {from}"),
            Self::Promote { node } => write!(f, "{node} votes"),
            Self::Remove { node } => write!(f, "{node} removed"),
            Self::Cancel { node } => write!(f, "copy to {node} ended"),
            Self::Force { voters } => write!(f, "restarted on {}", list(voters)),
            Self::Retire => f.write_str("retired"),
        }
    }
}

/// Why something changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Why {
    /// The shard had no place.
    #[error("it is new")]
    New,
    /// The learner has all the data.
    #[error("it has caught up")]
    CaughtUp,
    /// Who takes over votes, and every node knows.
    #[error("its successor votes")]
    Succeeded,
    /// The learner cannot become a voter.
    #[error("it can no longer take the shard")]
    Unfit,
    /// A voter has been away for too long, or was removed.
    #[error("{node} is dead")]
    Dead {
        /// Which node.
        node: NodeId,
    },
    /// The policy wants more replicas.
    #[error("{has} of {wanted} replicas")]
    TooFew {
        /// Replicas there are.
        has: usize,
        /// Replicas wanted.
        wanted: usize,
    },
    /// The policy wants fewer replicas.
    #[error("{has} replicas where {wanted} are wanted")]
    TooMany {
        /// Replicas there are.
        has: usize,
        /// Replicas wanted.
        wanted: usize,
    },
    /// The policy does not want it there.
    #[error("{node} is outside the home")]
    Misplaced {
        /// Which node.
        node: NodeId,
    },
    /// Another replica would fail with it.
    #[error("{node} shares a failure domain")]
    Crowded {
        /// Which node.
        node: NodeId,
    },
    /// The node gives away what it has.
    #[error("{node} is draining")]
    Draining {
        /// Which node.
        node: NodeId,
    },
    /// One node has more than another, for its weight.
    #[error("{from_shards} shards there, {to_shards} here")]
    Uneven {
        /// Shards of the one that gives, before.
        from_shards: u32,
        /// Shards of the one that takes, before.
        to_shards: u32,
    },
    /// An operator has given up what is missing.
    #[error("an operator gave up what is missing")]
    GivenUp,
    /// Nothing falls into its keyspace, and nothing is in it.
    #[error("its keyspace is gone and it is empty")]
    Empty,
}

/// What something waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Wait {
    /// Too few voters are there. Nobody else has the data.
    #[error("for its voters: a majority is away and nobody else has all the data")]
    Quorum,
    /// The last change is not in force yet.
    #[error("for its voters to take up the last change")]
    InForce,
    /// A node reports a later configuration than the parent placement has: the placement is an old one.
    #[error("for an operator: {node} reports a later epoch, so this placement is out of date")]
    Outdated {
        /// Which node.
        node: NodeId,
    },
    /// A learner or voter is still copying.
    #[error("for {node} to catch up")]
    CatchUp {
        /// Which node.
        node: NodeId,
    },
    /// Somebody would still look for the shard where it was.
    #[error("for {node} to apply the parent placement")]
    Applied {
        /// Which node.
        node: NodeId,
    },
    /// A voter is away, and not for long enough.
    #[error("for {node}, silent, to return or to count as dead")]
    Silent {
        /// Which node.
        node: NodeId,
    },
    /// Enough is moving.
    #[error("for other moves: the budget is used up")]
    Budget,
    /// The nodes that may take it are taking others.
    #[error("for the nodes that may take it: they are copying others")]
    Incoming,
    /// No node may take it.
    #[error("for a node: none that takes shards is where the policy wants it")]
    NoNode,
    /// The keyspace is gone and its shard is not empty.
    #[error("for the data of a removed keyspace to be moved")]
    Data,
    /// A keyspace cannot change its number of shards.
    #[error("for ever: keyspace {id} has {shards} shards and keeps them")]
    ShardCount {
        /// Which keyspace.
        id: KeyspaceId,
        /// Shards it has.
        shards: u16,
    },
    /// The placement has no such step.
    #[error("for ever: {0}")]
    Refused(#[from] ReplicasError),
}

/// Shards of one cause that are printed.
const SHOWN_MAX: usize = 8;
