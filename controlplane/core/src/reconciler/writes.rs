//! What is to be written next: one transaction at a time, each worked out from what the store says then.
//!
//! In the order of urgency: the epoch of a new leadership; nodes that register, become active, or have been gone for long;
//! what was given up and is settled; the next placement.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sluice_cluster::{
    Epoch, KeyspaceId, Labels, Liveness, NODES_MAX, NodeId, NodePhase, Placement, Registration, Replicas, ShardId,
    ShardKey,
};
use sluice_discovery::ResourceType;

use super::{Clock, Office, Output, Reconciler};
use crate::{
    KnownNode, PlanInput, check,
    ledger::Revision,
    plan,
    record::{Commit, Leadership, NodeRecord, PlacementHead, Record, RecordKey},
    view::{View, planned_node},
};

/// Whether a write is under way, and when the next one may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Writing {
    /// Nothing is under way.
    Idle,
    /// It was asked for.
    Asked,
    /// It was answered; the next one is worked out when the store has shown this revision.
    Seen(Revision),
    /// It failed; the next one is worked out then.
    Again(Duration),
}

impl Writing {
    pub(super) fn is_idle(self) -> bool {
        self == Self::Idle
    }

    pub(super) fn on_view(&mut self, revision: Revision) {
        if matches!(self, Self::Seen(at) if *at <= revision) {
            *self = Self::Idle;
        }
    }

    /// The store is another one, which will not come to the revision that was waited for.
    pub(super) fn on_other_store(&mut self) {
        if matches!(self, Self::Seen(_)) {
            *self = Self::Idle;
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        if matches!(self, Self::Again(at) if *at <= now) {
            *self = Self::Idle;
        }
    }

    pub(super) fn poll_timeout(self) -> Option<Duration> {
        match self {
            Self::Again(at) => Some(at),
            Self::Idle | Self::Asked | Self::Seen(_) => None,
        }
    }
}

impl Reconciler {
    pub(super) fn advance_writes(&mut self, clock: Clock) {
        if let Some(view) = &self.view {
            self.writing.on_view(view.revision());
        }
        self.writing.handle_timeout(self.now);
        self.let_go_of_the_dead();
        if !self.writing.is_idle() {
            return;
        }
        if let Some(commit) = self.next_commit(clock) {
            self.writing = Writing::Asked;
            self.outputs.push_back(Output::Commit(commit));
        }
    }

    fn next_commit(&mut self, clock: Clock) -> Option<Commit> {
        let view = self.view.as_ref()?;
        match self.office {
            Office::Following => None,
            Office::Elected => Some(self.lead(view)),
            Office::Leading { epoch, fence } => {
                let fenced = || Commit::new().expect(RecordKey::Leadership, fence);
                let nodes = self.node_changes(view, epoch, clock.wall_ms);
                if !nodes.is_empty() {
                    return Some(write_nodes(fenced(), view, nodes));
                }
                settle_given_up(fenced(), view).or_else(|| self.next_placement(epoch, fence))
            }
        }
    }

    /// The next leadership, expecting the one that is stored.
    fn lead(&self, view: &View) -> Commit {
        let stored = view.leadership().map_or(Epoch(0), |leadership| leadership.epoch);
        let leadership = Leadership { epoch: stored.next(), leader: self.me.clone() };
        let key = RecordKey::Leadership;
        Commit::new().expect(key.clone(), view.modified(&key)).put(key, Record::Leadership(leadership))
    }

    /// What becomes of nodes; `None`: the record goes.
    fn node_changes(&self, view: &View, epoch: Epoch, wall_ms: u64) -> BTreeMap<NodeId, Option<NodeRecord>> {
        let mut changes = BTreeMap::new();
        let mut count = view.nodes().filter(|(_, record)| !record.is_gone()).count();
        for (id, state) in self.fleet.iter().filter(|(_, state)| state.is_connected) {
            let record = view.node(id);
            if record.is_none() && count >= NODES_MAX {
                continue;
            }
            count += usize::from(record.is_none());
            let registered = registered(record, state.registration.as_ref(), wall_ms);
            let holds_nodes = state.held.of(ResourceType::Nodes).leadership >= epoch;
            let active = registered.clone().or_else(|| record.cloned()).filter(|node| {
                // It is in the table that it holds: it was put out after it had registered.
                node.phase == NodePhase::Joining && holds_nodes && record.is_some()
            });
            let active = active.map(|node| NodeRecord { phase: NodePhase::Active, since_ms: wall_ms, ..node });
            changes.extend(active.or(registered).map(|node| (id, Some(node))));
        }
        let forgotten = view.nodes().filter(|(id, record)| is_forgettable(view, *id, record, wall_ms));
        changes.extend(forgotten.map(|(id, _)| (id, None)));
        changes.into_iter().take(NODES_AT_ONCE).collect()
    }

    /// Whether enough is known for a plan: a new leader waits for what the nodes report.
    pub(super) fn may_plan(&self) -> bool {
        matches!(self.office, Office::Leading { .. }) && self.warming.is_over()
    }

    /// When the next plan may be made.
    pub(super) fn plan_from(&self) -> Duration {
        let placement = self.view.as_ref().and_then(|view| view.placement().ok());
        let is_first = placement.is_some_and(|placement| placement.shards().is_empty());
        let gathered = self.fleet.last_new_at().filter(|_| is_first).map(|at| at + self.settings.gather);
        gathered.map_or(self.plan_at, |gathered| gathered.max(self.plan_at))
    }

    /// The next placement, if there is another one than that which is.
    fn next_placement(&mut self, epoch: Epoch, fence: Revision) -> Option<Commit> {
        if !self.may_plan() || !self.is_plan_due || self.now < self.plan_from() {
            return None;
        }
        // What cannot be read now is planned with when the store has changed.
        self.is_plan_due = false;
        let input = self.plan_input()?;
        self.plan_at = self.now + self.settings.plan_every;
        let proposed = plan(&input);
        self.last_plan = Some(proposed.report);
        self.refused_plan = None;
        let next = fitting(&input.parent, &proposed.placement);
        if next == input.parent {
            return None;
        }
        // What did not fit is planned again.
        self.is_plan_due = true;
        if let Err(violations) = check(&input, &next) {
            self.is_plan_due = false;
            self.refused_plan = Some(violations);
            return None;
        }
        debug_assert!(next.version().leadership >= epoch);
        Some(write_placement(self.view.as_ref()?, fence, &input.parent, &next))
    }

    /// What a plan is made from here and now; `None` while something in the store cannot be read.
    #[must_use]
    pub fn plan_input(&self) -> Option<PlanInput> {
        let view = self.view.as_ref()?;
        let leadership = view.leadership().map_or(Epoch::default(), |leadership| leadership.epoch);
        let known = |(id, record): (NodeId, &NodeRecord)| {
            let report = self.fleet.node(id).and_then(|state| state.replicas.clone());
            (id, KnownNode { node: planned_node(id, record, self.liveness(id)), report })
        };
        Some(PlanInput {
            policies: view.policies().ok()?.as_ref().clone(),
            nodes: view.nodes().map(known).collect(),
            parent: view.placement().ok()?.as_ref().clone(),
            budget: view.budget(),
            leadership,
            now_ms: super::fleet::millis(self.now),
            dead_after_ms: self.settings.dead_after_ms,
            force_recover: view.given_up(),
        })
    }

    /// Refuses nodes that were removed, and forgets what nodes wanted that are no more or count as dead.
    fn let_go_of_the_dead(&mut self) {
        let Some(view) = &self.view else { return };
        let Office::Leading { .. } = self.office else { return };
        let mut count = view.nodes().filter(|(_, record)| !record.is_gone()).count();
        let mut refused = Vec::new();
        for (id, state) in self.fleet.iter() {
            let record = view.node(id);
            count += usize::from(record.is_none() && state.is_connected);
            let is_surplus = record.is_none() && count > NODES_MAX;
            if state.is_connected && (record.is_some_and(NodeRecord::is_gone) || is_surplus) {
                refused.push(id);
            }
        }
        for id in refused {
            self.outputs.push_back(Output::Refuse(id));
            self.fleet.closed(id, self.now);
        }
        let is_dead =
            |id: NodeId| matches!(self.liveness(id), Liveness::Silent { since_ms } if self.is_dead_since(since_ms));
        let is_over = |(id, record): &(NodeId, &NodeRecord)| record.is_gone() || is_dead(*id);
        let over: Vec<(NodeId, bool)> =
            view.nodes().filter(is_over).map(|(id, record)| (id, record.is_gone())).collect();
        for (id, is_gone) in over {
            self.routes.forget(id);
            self.warming.on_reported(id);
            if is_gone {
                self.fleet.forget(id);
            }
        }
    }
}

/// The record of a node that has registered, if that is another one than the store has.
fn registered(record: Option<&NodeRecord>, said: Option<&Registration>, wall_ms: u64) -> Option<NodeRecord> {
    let said = said?.clone();
    match record {
        None => Some(NodeRecord {
            registration: said,
            labels: Labels::default(),
            weight: None,
            phase: NodePhase::Joining,
            since_ms: wall_ms,
        }),
        Some(record) if !record.is_gone() && record.registration != said => {
            Some(NodeRecord { registration: said, ..record.clone() })
        }
        Some(_) => None,
    }
}

/// Whether a node has been gone for so long that nobody can come back as it, and nothing names it.
fn is_forgettable(view: &View, id: NodeId, record: &NodeRecord, wall_ms: u64) -> bool {
    let is_named = || {
        view.placement().map_or(true, |placement| {
            placement.shards().values().any(|of| of.voters().contains(&id) || of.learners().contains(&id))
        })
    };
    record.is_gone() && wall_ms.saturating_sub(record.since_ms) >= GONE_KEPT_MS && !is_named()
}

fn write_nodes(commit: Commit, view: &View, nodes: BTreeMap<NodeId, Option<NodeRecord>>) -> Commit {
    nodes.into_iter().fold(commit, |commit, (id, record)| {
        let key = RecordKey::Node(id);
        let commit = commit.expect(key.clone(), view.modified(&key));
        match record {
            Some(record) => commit.put(key, Record::Node(record)),
            None => commit.delete(key),
        }
    })
}

/// Takes what was given up from the list once its shard has gone on, or is no more.
fn settle_given_up(commit: Commit, view: &View) -> Option<Commit> {
    let given_up = view.given_up();
    let placement = view.placement().ok()?;
    let is_open = |key: &ShardKey, epoch: &Epoch| placement.replicas(*key).is_some_and(|of| of.epoch() <= *epoch);
    let open: BTreeMap<ShardKey, Epoch> =
        given_up.iter().filter(|(key, epoch)| is_open(key, epoch)).map(|(key, epoch)| (*key, *epoch)).collect();
    if open == given_up {
        return None;
    }
    let key = RecordKey::Recover;
    let commit = commit.expect(key.clone(), view.modified(&key));
    Some(if open.is_empty() { commit.delete(key) } else { commit.put(key, Record::Recover(open)) })
}

/// As much of a placement as one transaction takes: whole keyspaces, at least one that changes. Each shard's step stands for
/// itself, so that a part of a plan is a plan.
fn fitting(parent: &Placement, next: &Placement) -> Placement {
    let mut shards = parent.shards().clone();
    let (mut bytes, mut keyspaces) = (0, 0);
    for id in changed(parent, next) {
        let of = shards_of(next, id);
        bytes += of.values().map(stored_bytes).sum::<usize>();
        keyspaces += 1;
        if keyspaces > 1 && (bytes > BYTES_AT_ONCE || keyspaces > KEYSPACES_AT_ONCE) {
            break;
        }
        shards.retain(|key, _| key.keyspace != id);
        shards.extend(of.into_iter().map(|(shard, of)| (ShardKey { keyspace: id, shard }, of)));
    }
    // The entries are the parent's and the plan's own, and the plan's keyspaces hold both.
    Placement::new(next.version(), next.keyspaces().clone(), shards).unwrap_or_else(|error| unreachable!("{error}"))
}

fn write_placement(view: &View, fence: Revision, parent: &Placement, next: &Placement) -> Commit {
    let head = PlacementHead { version: next.version(), keyspaces: next.keyspaces().clone() };
    let mut commit = Commit::new().expect(RecordKey::Leadership, fence);
    for key in [RecordKey::Intent, RecordKey::Placement] {
        commit = commit.expect(key.clone(), view.modified(&key));
    }
    commit = commit.put(RecordKey::Placement, Record::Placement(head));
    for id in changed(parent, next) {
        let key = RecordKey::Shards(id);
        let shards = shards_of(next, id);
        commit = commit.expect(key.clone(), view.modified(&key));
        commit = if shards.is_empty() { commit.delete(key) } else { commit.put(key, Record::Shards(shards)) };
    }
    commit
}

/// Keyspaces of which a shard is different.
fn changed(parent: &Placement, next: &Placement) -> BTreeSet<KeyspaceId> {
    let differs = |key: &&ShardKey| parent.replicas(**key) != next.replicas(**key);
    let keys = parent.shards().keys().chain(next.shards().keys());
    keys.filter(differs).map(|key| key.keyspace).collect()
}

fn shards_of(placement: &Placement, id: KeyspaceId) -> BTreeMap<ShardId, Replicas> {
    let of = placement.shards().iter().filter(|(key, _)| key.keyspace == id);
    of.map(|(key, replicas)| (key.shard, replicas.clone())).collect()
}

/// What a shard takes in the store, at most: its number and epoch, and 19 bytes for each mention of a node.
fn stored_bytes(replicas: &Replicas) -> usize {
    96 + 19 * (replicas.voters().len() + replicas.learners().len() + replicas.leaving().len())
}

/// After a conflict that says nothing about when.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(200);
/// After a write of which nobody knows whether it is there: the store has some time to show it.
pub(super) const UNKNOWN_AFTER: Duration = Duration::from_secs(1);
/// After a write that the store does not take: somebody has to do something first.
pub(super) const REFUSED_AFTER: Duration = Duration::from_secs(5);
/// Nodes that one transaction changes, of the 128 entries that it may have.
const NODES_AT_ONCE: usize = 64;
/// Of the 1.4 MB that one transaction may have.
const BYTES_AT_ONCE: usize = 1_000_000;
const KEYSPACES_AT_ONCE: usize = 64;
/// Longer than any certificate lasts: whoever shows one is still known to be gone.
const GONE_KEPT_MS: u64 = 30 * 24 * 3_600_000;
