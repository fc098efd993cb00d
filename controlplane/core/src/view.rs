//! The store as control sees it: the records that can be read, and what cannot.
//!
//! What cannot be read is kept by name. Nothing is planned while something that a plan depends on is among it: a placement
//! that cannot be read is not an empty one.

use std::{collections::BTreeMap, sync::Arc};

use sluice_cluster::{Label, Liveness, Node, NodeId, Placement, Policies, Policy, Replicas, ShardKey, Version};

use crate::{
    MoveBudget,
    ledger::{Revision, Versioned},
    record::{History, Intent, Leadership, NodeRecord, PlacementHead, PlanRecord, Record, RecordKey},
};

/// A change of one entry of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The key as the store has it.
    pub raw_key: String,
    /// What it is; `None`: it is none of those that this version knows.
    pub key: Option<RecordKey>,
    /// What stands there, `None` if nothing does; or why that cannot be read.
    pub found: Result<Option<Versioned<Record>>, String>,
}

/// Something in the store that cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Broken {
    /// Why.
    pub reason: String,
    /// Whether plans depend on it.
    pub is_vital: bool,
}

/// The store at a revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    revision: Revision,
    records: BTreeMap<RecordKey, Versioned<Record>>,
    broken: BTreeMap<String, Broken>,
    /// What the records of policies and of the placement come to together; made again when one of them changes.
    policies: Derived<Policies>,
    placement: Derived<Placement>,
}

/// A value that several records make, or why they do not.
type Derived<T> = Result<Arc<T>, String>;

impl Default for View {
    fn default() -> Self {
        Self {
            revision: Revision::default(),
            records: BTreeMap::new(),
            broken: BTreeMap::new(),
            policies: Ok(Arc::default()),
            placement: Ok(Arc::default()),
        }
    }
}

impl View {
    /// Everything there is at a revision.
    #[must_use]
    pub fn listed(revision: Revision, readings: impl IntoIterator<Item = Reading>) -> Self {
        let mut view = Self { revision, ..Self::default() };
        view.read_all(readings);
        view
    }

    /// A later revision, and what it changed.
    pub fn changed(&mut self, revision: Revision, readings: impl IntoIterator<Item = Reading>) {
        self.revision = self.revision.max(revision);
        self.read_all(readings);
    }

    /// The revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What cannot be read, by the store's key.
    #[must_use]
    pub fn broken(&self) -> &BTreeMap<String, Broken> {
        &self.broken
    }

    /// Something that cannot be read and that plans depend on.
    #[must_use]
    pub fn vital_broken(&self) -> Option<(&String, &Broken)> {
        self.broken.iter().find(|(_, broken)| broken.is_vital)
    }

    /// When a record was modified; [`Revision::ABSENT`] if there is none.
    #[must_use]
    pub fn modified(&self, key: &RecordKey) -> Revision {
        self.records.get(key).map_or(Revision::ABSENT, |held| held.modified)
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<RecordKey, Versioned<Record>> {
        &self.records
    }

    /// Who leads.
    #[must_use]
    pub fn leadership(&self) -> Option<&Leadership> {
        let Some(Record::Leadership(leadership)) = self.value(&RecordKey::Leadership) else { return None };
        Some(leadership)
    }

    /// The number of what operators want; the first, before anybody wanted something.
    #[must_use]
    pub fn intent(&self) -> Intent {
        let Some(Record::Intent(intent)) = self.value(&RecordKey::Intent) else { return Intent::default() };
        intent.clone()
    }

    /// How much may move.
    #[must_use]
    pub fn budget(&self) -> MoveBudget {
        let intent = self.intent();
        if intent.is_paused { MoveBudget { moves_max: 0, ..intent.budget } } else { intent.budget }
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        let Some(Record::Node(node)) = self.value(&RecordKey::Node(id)) else { return None };
        Some(node)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.records.iter().filter_map(|(key, held)| {
            let (RecordKey::Node(id), Record::Node(node)) = (key, &held.value) else { return None };
            Some((*id, node))
        })
    }

    /// A policy that operators have put.
    #[must_use]
    pub fn policy(&self, name: &Label) -> Option<&Policy> {
        let Some(Record::Policy(policy)) = self.value(&RecordKey::Policy(name.clone())) else { return None };
        Some(policy)
    }

    /// All policies that operators have put, by name.
    pub fn own_policies(&self) -> impl Iterator<Item = &Policy> {
        self.records.values().filter_map(|held| {
            let Record::Policy(policy) = &held.value else { return None };
            Some(policy)
        })
    }

    /// All policies, those of the default keyspaces among them.
    ///
    /// # Errors
    /// They contradict each other, which no change that control makes brings about.
    pub fn policies(&self) -> Result<&Arc<Policies>, &str> {
        self.policies.as_ref().map_err(String::as_str)
    }

    /// The placement; the empty one before anything was placed.
    ///
    /// # Errors
    /// Its parts do not belong together, which no change that control makes brings about.
    pub fn placement(&self) -> Result<&Arc<Placement>, &str> {
        self.placement.as_ref().map_err(String::as_str)
    }

    /// The placement without its shards.
    #[must_use]
    pub fn placement_head(&self) -> Option<&PlacementHead> {
        let Some(Record::Placement(head)) = self.value(&RecordKey::Placement) else { return None };
        Some(head)
    }

    /// The placement's version.
    #[must_use]
    pub fn placement_version(&self) -> Version {
        self.placement_head().map_or(Version::ZERO, |head| head.version)
    }

    /// A plan.
    #[must_use]
    pub fn plan(&self, id: &Label) -> Option<&PlanRecord> {
        let Some(Record::Plan(plan)) = self.value(&RecordKey::Plan(id.clone())) else { return None };
        Some(plan)
    }

    /// All plans.
    pub fn plans(&self) -> impl Iterator<Item = &PlanRecord> {
        self.records.values().filter_map(|held| {
            let Record::Plan(plan) = &held.value else { return None };
            Some(plan)
        })
    }

    /// What operators have changed, the oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &History> {
        self.records.values().filter_map(|held| {
            let Record::History(entry) = &held.value else { return None };
            Some(entry)
        })
    }

    /// Shards whose missing data is given up.
    #[must_use]
    pub fn given_up(&self) -> BTreeMap<ShardKey, sluice_cluster::Epoch> {
        let Some(Record::Recover(given_up)) = self.value(&RecordKey::Recover) else { return BTreeMap::new() };
        given_up.clone()
    }

    fn value(&self, key: &RecordKey) -> Option<&Record> {
        self.records.get(key).map(|held| &held.value)
    }

    fn read_all(&mut self, readings: impl IntoIterator<Item = Reading>) {
        let (mut policies, mut placement) = (false, false);
        for reading in readings {
            policies |= matches!(reading.key, Some(RecordKey::Policy(_)));
            placement |= matches!(reading.key, Some(RecordKey::Placement | RecordKey::Shards(_)));
            self.read(reading);
        }
        if policies {
            let own = self.own_policies().cloned();
            self.policies = Policies::new(own).map(Arc::new).map_err(|error| error.to_string());
        }
        if placement {
            self.placement = self.assemble().map(Arc::new);
        }
    }

    fn assemble(&self) -> Result<Placement, String> {
        let mut shards: BTreeMap<ShardKey, Replicas> = BTreeMap::new();
        for (key, held) in &self.records {
            let (RecordKey::Shards(keyspace), Record::Shards(of)) = (key, &held.value) else { continue };
            let placed = of.iter().map(|(shard, replicas)| (ShardKey { keyspace: *keyspace, shard: *shard }, replicas));
            shards.extend(placed.map(|(key, replicas)| (key, replicas.clone())));
        }
        match self.placement_head() {
            Some(head) => {
                Placement::new(head.version, head.keyspaces.clone(), shards).map_err(|error| error.to_string())
            }
            None if shards.is_empty() => Ok(Placement::default()),
            None => Err("there are shards, and no placement that they belong to".into()),
        }
    }

    fn read(&mut self, reading: Reading) {
        let Reading { raw_key, key, found } = reading;
        self.broken.remove(&raw_key);
        let mut broken = |reason: String, is_vital| {
            self.broken.insert(raw_key.clone(), Broken { reason, is_vital });
        };
        match (key, found) {
            (Some(key), Ok(Some(held))) if held.value.belongs_to(&key) => {
                self.records.insert(key, held);
            }
            (Some(key), found) => {
                match found {
                    Ok(None) => {}
                    Ok(Some(_)) => broken("something else stands there".into(), is_vital(&key)),
                    Err(reason) => broken(reason, is_vital(&key)),
                }
                self.records.remove(&key);
            }
            (None, Ok(None)) => {}
            (None, Ok(Some(_))) => broken("this version does not know such a key".into(), false),
            (None, Err(reason)) => broken(reason, false),
        }
    }
}

/// A node as plans see it.
#[must_use]
pub fn planned_node(id: NodeId, record: &NodeRecord, liveness: Liveness) -> Node {
    let (labels, weight) = (record.effective_labels(), record.effective_weight());
    Node { id, labels, weight, phase: record.phase, liveness }
}

fn is_vital(key: &RecordKey) -> bool {
    match key {
        RecordKey::Leadership
        | RecordKey::Intent
        | RecordKey::Node(_)
        | RecordKey::Policy(_)
        | RecordKey::Placement
        | RecordKey::Shards(_)
        | RecordKey::Recover => true,
        RecordKey::Plan(_) | RecordKey::History(_) => false,
    }
}
