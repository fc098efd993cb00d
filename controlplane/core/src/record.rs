//! What control keeps in its metadata store, as values: the encoding is the store's.
//!
//! Every record is written by compare-and-swap on the revision it was computed from. [`Intent`] is the record that every
//! change of what operators want writes too, so that two of them cannot pass each other unseen.

use std::collections::BTreeMap;

use sluice_cluster::{
    Epoch, KeyspaceId, Keyspaces, Label, Labels, NodeId, NodePhase, Policy, Registration, Replicas, ShardId, ShardKey,
    Version, Weight,
};

use crate::{MoveBudget, ledger::Transaction};

/// Where a record stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RecordKey {
    /// [`Leadership`].
    Leadership,
    /// [`Intent`].
    Intent,
    /// [`NodeRecord`].
    Node(NodeId),
    /// What operators want of a keyspace, by the policy's name.
    Policy(Label),
    /// [`PlacementHead`].
    Placement,
    /// Who has the shards of a keyspace.
    Shards(KeyspaceId),
    /// [`PlanRecord`].
    Plan(PlanId),
    /// [`History`], by the intent's number.
    History(u64),
    /// What operators have given up.
    Recover,
}

/// What stands there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Who leads.
    Leadership(Leadership),
    /// The number of what operators want.
    Intent(Intent),
    /// A node.
    Node(NodeRecord),
    /// What operators want of a keyspace.
    Policy(Policy),
    /// The placement, without its shards.
    Placement(PlacementHead),
    /// The shards of one keyspace that are placed.
    Shards(BTreeMap<ShardId, Replicas>),
    /// A plan that somebody may apply.
    Plan(PlanRecord),
    /// What somebody changed.
    History(History),
    /// Shards whose missing data is given up, each with the epoch that the operator saw.
    Recover(BTreeMap<ShardKey, Epoch>),
}

impl Record {
    /// Whether a record of this kind may stand at a key.
    #[must_use]
    pub fn belongs_to(&self, key: &RecordKey) -> bool {
        match self {
            Self::Leadership(_) => *key == RecordKey::Leadership,
            Self::Intent(_) => *key == RecordKey::Intent,
            Self::Node(_) => matches!(key, RecordKey::Node(_)),
            Self::Policy(policy) => *key == RecordKey::Policy(policy.name.clone()),
            Self::Placement(_) => *key == RecordKey::Placement,
            Self::Shards(_) => matches!(key, RecordKey::Shards(_)),
            Self::Plan(plan) => *key == RecordKey::Plan(plan.id.clone()),
            Self::History(entry) => *key == RecordKey::History(entry.intent),
            Self::Recover(_) => *key == RecordKey::Recover,
        }
    }
}

/// Writes of records that happen all together, or not at all.
pub type Commit = Transaction<RecordKey, Record>;

/// Who leads, since when it says so. The epoch grows with every leadership and fences what a leader publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// Grows with every leadership.
    pub epoch: Epoch,
    /// Which replica of control.
    pub leader: ReplicaId,
}

/// A process of control: its name, which survives it, and a number that does not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReplicaId {
    /// What operators call it.
    pub name: Label,
    /// Of this start of it; unlikely to be the same twice.
    pub life: u64,
}

/// The number of what operators want, and what they want of control itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// Grows by one with every change of what operators want.
    pub number: u64,
    /// Whether nothing new may begin to move.
    pub is_paused: bool,
    /// How much may move at a time, when it is not paused.
    pub budget: MoveBudget,
    /// The number for the next keyspace. Numbers never come back.
    pub next_keyspace: u16,
}

impl Default for Intent {
    fn default() -> Self {
        Self { number: 0, is_paused: false, budget: MoveBudget::default(), next_keyspace: KeyspaceId::TOPICS.0 + 1 }
    }
}

/// A node: what it says of itself, and what operators do with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRecord {
    /// What it says of itself.
    pub registration: Registration,
    /// Labels that operators have given it, which hold instead of its own.
    pub labels: Labels,
    /// The weight that operators have given it.
    pub weight: Option<Weight>,
    /// What operators do with it.
    pub phase: NodePhase,
    /// Since when it is in this phase, in milliseconds since 1970.
    pub since_ms: u64,
}

impl NodeRecord {
    /// Its labels: its own, and those of operators instead where they have given some.
    #[must_use]
    pub fn effective_labels(&self) -> Labels {
        let own = self.registration.labels.iter().filter(|(key, _)| self.labels.value(key.as_str()).is_none());
        let all = own.chain(self.labels.iter()).map(|(key, value)| (key.clone(), value.clone()));
        // Together they may be more than a node may have: then those of operators hold alone.
        Labels::new(all).unwrap_or_else(|_| self.labels.clone())
    }

    /// Whether it was removed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.phase == NodePhase::Gone
    }

    /// How much it takes.
    #[must_use]
    pub fn effective_weight(&self) -> Weight {
        self.weight.unwrap_or(self.registration.weight)
    }
}

/// A placement without its shards, which stand by keyspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacementHead {
    /// Its version.
    pub version: Version,
    /// How clients and topics fall into shards.
    pub keyspaces: Keyspaces,
}

/// The name of a plan.
pub type PlanId = Label;

/// A change of policies that was planned and not applied yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanRecord {
    /// What it is called.
    pub id: PlanId,
    /// The intent it was made from.
    pub parent_intent: u64,
    /// The placement it was made from.
    pub parent_placement: Version,
    /// Who made it.
    pub by: Label,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it would change.
    pub changes: Vec<PolicyChange>,
}

/// A policy that is put, or taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyChange {
    /// It shall be so.
    Put(Policy),
    /// It shall not be.
    Delete(Label),
}

impl PolicyChange {
    /// The name of the policy.
    #[must_use]
    pub fn name(&self) -> &Label {
        match self {
            Self::Put(policy) => &policy.name,
            Self::Delete(name) => name,
        }
    }
}

/// A change of what operators want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The intent that it made.
    pub intent: u64,
    /// Who.
    pub by: Label,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// In words, for people.
    pub what: String,
    /// The policies that it changed, as they were before; `None`: there was none.
    pub before: BTreeMap<Label, Option<Policy>>,
}

/// Changes that are remembered, and can be undone.
pub const HISTORY_MAX: usize = 256;

/// Plans that are kept. The oldest goes when another is made.
pub const PLANS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use sluice_cluster::{Process, ProtocolRange};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let parse = |text: &str| Label::parse(text).unwrap();
        Labels::new(pairs.iter().map(|(key, value)| (parse(key), parse(value)))).unwrap()
    }

    #[test]
    fn labels_of_operators_hold_instead_of_the_nodes_own() {
        let registration = Registration {
            labels: labels(&[("region", "eu"), ("disk", "nvme")]),
            weight: Weight::default(),
            process: Process {
                peer_addresses: vec!["10.0.0.1:7070".parse().unwrap()],
                client_addresses: Vec::new(),
                build: "0.1.0".parse().unwrap(),
                peer_protocol: ProtocolRange::new(1, 1).unwrap(),
                workers: 2,
            },
        };
        let operators = labels(&[("region", "us"), ("rack", "r7")]);
        let node = NodeRecord { registration, labels: operators, weight: None, phase: NodePhase::Active, since_ms: 0 };
        assert_eq!(node.effective_labels(), labels(&[("region", "us"), ("disk", "nvme"), ("rack", "r7")]));
    }
}
