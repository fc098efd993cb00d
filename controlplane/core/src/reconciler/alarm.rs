//! What operators should know. Nothing is remembered here: an alarm is there as long as its cause is.

use std::fmt;

use sluice_cluster::{Epoch, Liveness, NodeId, ShardKey, Version};

use super::{Reconciler, fleet::millis};
use crate::Violation;

/// Something that somebody may have to do something about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// The store is not heard of. What is there goes on; nothing can change.
    StoreUnreachable {
        /// What was found.
        reason: String,
    },
    /// Something in the store cannot be read.
    StoreBroken {
        /// Which entry.
        key: String,
        /// Why.
        reason: String,
        /// Whether nothing is planned because of it.
        is_halting: bool,
    },
    /// The entries of the store contradict each other. Nothing is planned.
    StoreContradicts {
        /// What they say.
        reason: String,
    },
    /// The store is an older one than was seen before: a backup. Nothing is planned or pushed.
    StoreWentBack {
        /// The epoch in the store.
        stored: Epoch,
        /// The epoch that was seen.
        seen: Epoch,
    },
    /// The store does not take a write.
    WriteRefused {
        /// What it says.
        reason: String,
    },
    /// A plan broke a rule, and was not carried out: a bug.
    PlanRefused {
        /// What it broke.
        violations: Vec<Violation>,
    },
    /// A node is not heard of.
    NodeSilent {
        /// Which.
        node: NodeId,
        /// For how many milliseconds.
        silent_ms: u64,
        /// Whether it counts as dead.
        is_dead: bool,
    },
    /// A node has a shard in a later configuration than the placement says: the placement is an old one.
    ShardOutdated {
        /// Which node.
        node: NodeId,
        /// Which shard.
        key: ShardKey,
    },
    /// A node works with a later placement than there is.
    PlacementOutdated {
        /// Which node.
        node: NodeId,
        /// What it works with.
        applied: Version,
    },
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Somebody may have to look.
    Warning,
    /// Somebody has to.
    Critical,
}

impl Alarm {
    /// A name for it that stays the same, for rules and runbooks.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::StoreUnreachable { .. } => "store.unreachable",
            Self::StoreBroken { .. } => "store.broken",
            Self::StoreContradicts { .. } => "store.contradicts",
            Self::StoreWentBack { .. } => "store.went_back",
            Self::WriteRefused { .. } => "store.refuses",
            Self::PlanRefused { .. } => "plan.refused",
            Self::NodeSilent { .. } => "node.silent",
            Self::ShardOutdated { .. } => "shard.outdated",
            Self::PlacementOutdated { .. } => "placement.outdated",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::StoreBroken { is_halting: false, .. } | Self::NodeSilent { is_dead: false, .. } => Severity::Warning,
            Self::StoreUnreachable { .. }
            | Self::StoreBroken { .. }
            | Self::StoreContradicts { .. }
            | Self::StoreWentBack { .. }
            | Self::WriteRefused { .. }
            | Self::PlanRefused { .. }
            | Self::NodeSilent { .. }
            | Self::ShardOutdated { .. }
            | Self::PlacementOutdated { .. } => Severity::Critical,
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreUnreachable { reason } => write!(f, "nothing can change: {reason}"),
            Self::StoreBroken { key, reason, is_halting } => {
                let effect = if *is_halting { "; nothing is planned until it can" } else { "" };
                write!(f, "{key} in the store cannot be read: {reason}{effect}")
            }
            Self::StoreContradicts { reason } => {
                write!(f, "nothing is planned: the store contradicts itself: {reason}")
            }
            Self::StoreWentBack { stored, seen } => write!(
                f,
                "nothing is planned or pushed: the store is of leadership {stored}, and {seen} was seen: restore a later \
                 backup, or accept this one"
            ),
            Self::WriteRefused { reason } => write!(f, "the store does not take a write: {reason}"),
            Self::PlanRefused { violations } => {
                let first = violations.first().map(ToString::to_string).unwrap_or_default();
                write!(f, "a plan broke {} rules and is not carried out: {first}", violations.len())
            }
            Self::NodeSilent { node, silent_ms, is_dead } => {
                let effect = if *is_dead { "; it counts as dead" } else { "" };
                write!(f, "node {node} has not been heard of for {} s{effect}", silent_ms / 1000)
            }
            Self::ShardOutdated { node, key } => {
                write!(f, "node {node} has shard {key} in a later configuration than the placement")
            }
            Self::PlacementOutdated { node, applied } => {
                write!(f, "node {node} works with placement {applied}, later than there is")
            }
        }
    }
}

/// Why nothing is written or published, if so.
pub(super) fn halting(of: &Reconciler) -> Option<Alarm> {
    let Some(view) = &of.view else {
        return Some(Alarm::StoreUnreachable { reason: "the store has not been read yet".into() });
    };
    let stored = view.leadership().map_or(Epoch(0), |leadership| leadership.epoch);
    if of.witness.contradicts(stored) {
        return Some(Alarm::StoreWentBack { stored, seen: of.witness.seen() });
    }
    if let Some((key, broken)) = view.vital_broken() {
        return Some(Alarm::StoreBroken { key: key.clone(), reason: broken.reason.clone(), is_halting: true });
    }
    let contradiction = view.policies().err().or(view.placement().err());
    contradiction.map(|reason| Alarm::StoreContradicts { reason: reason.to_owned() })
}

/// All that is to be told, the worst first.
pub(super) fn all(of: &Reconciler) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = halting(of).into_iter().collect();
    if of.view.is_some() {
        alarms.extend(of.unreachable.clone().map(|reason| Alarm::StoreUnreachable { reason }));
    }
    let broken = of.view.iter().flat_map(|view| view.broken());
    let told = alarms.clone();
    alarms.extend(
        broken
            .map(|(key, broken)| Alarm::StoreBroken {
                key: key.clone(),
                reason: broken.reason.clone(),
                is_halting: broken.is_vital,
            })
            .filter(|alarm| !told.contains(alarm)),
    );
    alarms.extend(of.refused_write.clone().map(|reason| Alarm::WriteRefused { reason }));
    alarms.extend(of.refused_plan.clone().map(|violations| Alarm::PlanRefused { violations }));
    if matches!(of.office, super::Office::Leading { .. }) {
        alarms.extend(of_nodes(of));
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity()));
    alarms
}

fn of_nodes(of: &Reconciler) -> Vec<Alarm> {
    let Some((view, placement)) = of.view.as_ref().and_then(|view| Some((view, view.placement().ok()?))) else {
        return Vec::new();
    };
    let mut alarms = Vec::new();
    for (node, _) in view.nodes().filter(|(_, record)| !record.is_gone()) {
        if let Liveness::Silent { since_ms } = of.liveness(node) {
            let silent_ms = millis(of.now).saturating_sub(since_ms);
            alarms.push(Alarm::NodeSilent { node, silent_ms, is_dead: of.is_dead_since(since_ms) });
        }
        let Some(report) = of.fleet.node(node).and_then(|state| state.replicas.as_ref()) else { continue };
        if report.applied > placement.version() {
            alarms.push(Alarm::PlacementOutdated { node, applied: report.applied });
        }
        let outdated = report
            .shards
            .iter()
            .find(|(key, status)| placement.replicas(**key).is_some_and(|replicas| status.epoch > replicas.epoch()));
        alarms.extend(outdated.map(|(key, _)| Alarm::ShardOutdated { node, key: *key }));
    }
    alarms
}
