//! Nodes as control sees them: where one stands, how much it takes, and what is planned with it.

use std::fmt;

use crate::{Label, Labels, NodeId};

/// The largest weight of a node.
pub const WEIGHT_MAX: u16 = 10_000;

/// One node of the data plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Who it is.
    pub id: NodeId,
    /// What operators say about it, region and zone among them.
    pub labels: Labels,
    /// How much it takes compared with the others.
    pub weight: Weight,
    /// What operators do with it.
    pub phase: NodePhase,
    /// Whether it is heard of.
    pub liveness: Liveness,
}

impl Node {
    /// Its region, if it has one.
    #[must_use]
    pub fn region(&self) -> Option<&Label> {
        self.labels.region()
    }

    /// Whether shards and clients may be brought to it: it is there, and operators want nothing else.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.phase.takes_shards() && self.liveness == Liveness::Live
    }
}

/// How much a node takes compared with others: a node of weight 200 gets twice the shards of one of weight 100.
///
/// It is never 0: a node that shall take nothing is cordoned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Weight(u16);

impl Weight {
    /// A weight of 1 to [`WEIGHT_MAX`].
    ///
    /// # Errors
    /// It is outside these bounds.
    pub fn new(weight: u16) -> Result<Self, WeightError> {
        if (1..=WEIGHT_MAX).contains(&weight) { Ok(Self(weight)) } else { Err(WeightError { weight }) }
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

/// A weight outside its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a weight is 1 to {WEIGHT_MAX}, not {weight}")]
pub struct WeightError {
    /// The number given.
    pub weight: u16,
}

/// What is planned with a node.
///
/// ```text
///              ready            cordon                drain               empty, or given up
///   Joining ─────────► Active ─────────► Cordoned ─────────► Draining ─────────────────────► Gone
///                         ▲  ◄──────────────┘                    │                            (for ever: who comes
///                         │       uncordon                       │                             back is a new node)
///                         └──────────────────────────────────────┘
///                                        abort
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum NodePhase {
    /// It has registered and holds no table yet: it gets no shard.
    #[default]
    Joining,
    /// It takes shards.
    Active,
    /// It keeps what it has and takes nothing new.
    Cordoned,
    /// It gives away what it has.
    Draining,
    /// It is removed. What only it had is lost.
    Gone,
}

impl NodePhase {
    /// Whether shards may be brought to it.
    #[must_use]
    pub fn takes_shards(self) -> bool {
        self == Self::Active
    }

    /// Whether the shards it has shall leave it.
    #[must_use]
    pub fn sheds_shards(self) -> bool {
        matches!(self, Self::Draining | Self::Gone)
    }
}

impl fmt::Display for NodePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Gone => "gone",
        })
    }
}

/// Whether a node is heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Liveness {
    /// Its stream is open, or its peers hear it.
    #[default]
    Live,
    /// Nobody has heard it.
    Silent {
        /// Since when, in milliseconds of control's clock.
        since_ms: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_neither_nothing_nor_boundless() {
        assert_eq!(Weight::new(0), Err(WeightError { weight: 0 }));
        assert_eq!(Weight::new(10_001).map_err(|e| e.to_string()), Err("a weight is 1 to 10000, not 10001".into()));
        assert_eq!(Weight::new(1).map(Weight::value), Ok(1));
    }

    #[test]
    fn only_an_active_node_takes_shards_and_only_a_leaving_one_sheds_them() {
        use NodePhase::{Active, Cordoned, Draining, Gone, Joining};
        let phases = [Joining, Active, Cordoned, Draining, Gone];
        assert_eq!(phases.map(NodePhase::takes_shards), [false, true, false, false, false]);
        assert_eq!(phases.map(NodePhase::sheds_shards), [false, false, false, true, true]);
    }
}
