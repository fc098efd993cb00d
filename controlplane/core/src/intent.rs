//! What operators ask for, as transactions: checked against the store as it is, and written only if it is still so.
//!
//! Pure: from a [`View`] to a [`Commit`] or a [`Refusal`]. Any replica of control may write it; the leader finds it in the
//! store.

mod node;
mod plan;
mod policy;

use std::collections::BTreeMap;

use sluice_cluster::{KeyspaceId, Label, NodeId, NodePhase, Policies, Policy, PolicyError, Version};

pub use self::{
    node::{drain_progress, relabel, remove, set_phase},
    plan::{Preview, apply, make, preview},
    policy::{PolicySpec, SpecChange, delete, put, resolve, restore},
};
use crate::{
    ledger::Revision,
    record::{Commit, HISTORY_MAX, History, Intent, PlanId, PolicyChange, Record, RecordKey},
    view::View,
};

/// Who asks, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    /// What the asking one is called.
    pub by: Label,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// Which state of an entry a change was made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// Whatever is there.
    Any,
    /// That of this revision; [`Revision::ABSENT`]: it must not be there.
    At(Revision),
}

impl Match {
    fn check(self, view: &View, key: &RecordKey) -> Result<(), Refusal> {
        match self {
            Self::At(at) if at != view.modified(key) => Err(Refusal::Modified { at: view.modified(key) }),
            Self::At(_) | Self::Any => Ok(()),
        }
    }
}

/// Why something that was asked for is not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no {what}")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// It has changed since.
    #[error("it has changed since: it is of revision {at}")]
    Modified {
        /// When it was modified; 0: it is not there.
        at: Revision,
    },
    /// The policies would contradict each other or be outside of their bounds.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A keyspace would change its number of shards.
    #[error("the policy {name} has {shards} shards, and keeps them")]
    Shards {
        /// Which policy.
        name: Label,
        /// How many shards it has.
        shards: u16,
    },
    /// The default keyspaces always have a policy, and no filters.
    #[error("the policy {name} is about what no other claims: it has no topics of its own")]
    Default {
        /// Which policy.
        name: Label,
    },
    /// All numbers of keyspaces have been used.
    #[error("all numbers of keyspaces have been used")]
    Keyspaces,
    /// All topic filters together are too long.
    #[error("the topic filters of all policies have {bytes} bytes, more than {FILTER_BYTES_MAX}")]
    FilterBytes {
        /// Bytes they would have.
        bytes: usize,
    },
    /// Too much at once.
    #[error("{changes} policies at once, more than {CHANGES_MAX}")]
    TooMany {
        /// How many.
        changes: usize,
    },
    /// A plan was made from another intent or placement than those which are.
    #[error(
        "the plan {id} was made from intent {planned_intent} and placement {planned}; it is {intent} and {placement}: plan again"
    )]
    ParentMoved {
        /// Which plan.
        id: PlanId,
        /// The intent it was made from.
        planned_intent: u64,
        /// The placement it was made from.
        planned: Version,
        /// The intent that is.
        intent: u64,
        /// The placement that is.
        placement: Version,
    },
    /// How it was then is not known any more.
    #[error("how it was at intent {number} is not known: changes are remembered back to {since}")]
    Forgotten {
        /// Which intent.
        number: u64,
        /// The oldest that is known.
        since: u64,
    },
    /// The node is not in a phase from which this can be done.
    #[error("node {node} is {phase}")]
    Phase {
        /// Which node.
        node: NodeId,
        /// Its phase.
        phase: NodePhase,
    },
    /// The node still has shards.
    #[error("node {node} still has {shards} shards: drain it first, or say that what only it has is lost")]
    NotEmpty {
        /// Which node.
        node: NodeId,
        /// How many shards name it.
        shards: usize,
    },
    /// The store cannot be read whole.
    #[error("nothing can be changed while the store cannot be read: {reason}")]
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

/// Pauses planning, or goes on: what is under way goes on in either case. `None`: it is so already.
///
/// # Errors
/// The store cannot be read whole.
pub fn pause(view: &View, is_paused: bool, author: &Author) -> Result<Option<Commit>, Refusal> {
    readable(view)?;
    let intent = view.intent();
    if intent.is_paused == is_paused {
        return Ok(None);
    }
    let what = if is_paused { "paused" } else { "resumed" };
    Ok(Some(write_intent(view, Intent { is_paused, ..intent }, what.into(), BTreeMap::new(), author)))
}

/// Makes the leadership one that is above all that was seen, so that a store that was restored is taken as it is.
///
/// What nodes did after the backup was made stays with them; shards that moved since are told as outdated.
///
/// # Errors
/// Nobody has led yet.
pub fn accept_store(view: &View, above: sluice_cluster::Epoch) -> Result<Commit, Refusal> {
    let leadership = view.leadership().ok_or_else(|| Refusal::Unknown { what: "leader".into() })?;
    let epoch = above.max(leadership.epoch.next());
    let key = RecordKey::Leadership;
    let next = crate::record::Leadership { epoch, ..leadership.clone() };
    let mut commit = Commit::new().expect(key.clone(), view.modified(&key)).put(key, Record::Leadership(next));
    if let Some(head) = view.placement_head() {
        let key = RecordKey::Placement;
        let next = crate::record::PlacementHead { version: head.version.next(epoch), ..head.clone() };
        commit = commit.expect(key.clone(), view.modified(&key)).put(key, Record::Placement(next));
    }
    Ok(commit)
}

/// Writes the next intent and what it was before, expecting the one that is. Whatever else changes goes into the same
/// transaction.
fn write_intent(
    view: &View,
    intent: Intent,
    what: String,
    before: BTreeMap<Label, Option<Policy>>,
    author: &Author,
) -> Commit {
    let number = view.intent().number + 1;
    let key = RecordKey::Intent;
    let entry = History { intent: number, by: author.by.clone(), at_ms: author.at_ms, what, before };
    let mut commit = Commit::new()
        .expect(key.clone(), view.modified(&key))
        .put(key, Record::Intent(Intent { number, ..intent }))
        .put(RecordKey::History(number), Record::History(entry));
    let surplus = (view.history().count() + 1).saturating_sub(HISTORY_MAX);
    for oldest in view.history().take(surplus) {
        commit = commit.delete(RecordKey::History(oldest.intent));
    }
    commit
}

/// Writes changes of policies, with what they were before.
fn write_policies(view: &View, intent: Intent, changes: &[PolicyChange], what: String, author: &Author) -> Commit {
    let before = changes.iter().map(|change| (change.name().clone(), view.policy(change.name()).cloned()));
    let mut commit = write_intent(view, intent, what, before.collect(), author);
    for change in changes {
        let key = RecordKey::Policy(change.name().clone());
        commit = commit.expect(key.clone(), view.modified(&key));
        commit = match change {
            PolicyChange::Put(policy) => commit.put(key, Record::Policy(policy.clone())),
            PolicyChange::Delete(_) => commit.delete(key),
        };
    }
    commit
}

/// The policies with these changes, if they are good together.
fn changed_policies(view: &View, changes: &[PolicyChange]) -> Result<Policies, Refusal> {
    if changes.len() > CHANGES_MAX {
        return Err(Refusal::TooMany { changes: changes.len() });
    }
    let mut own: BTreeMap<Label, Policy> =
        view.own_policies().map(|policy| (policy.name.clone(), policy.clone())).collect();
    for change in changes {
        match change {
            PolicyChange::Put(policy) => own.insert(policy.name.clone(), policy.clone()),
            PolicyChange::Delete(name) => own.remove(name),
        };
    }
    let filters = own.values().flat_map(|policy| policy.keyspace.filters());
    let bytes = filters.map(|filter| filter.as_str().len()).sum();
    if bytes > FILTER_BYTES_MAX {
        return Err(Refusal::FilterBytes { bytes });
    }
    Ok(Policies::new(own.into_values())?)
}

fn readable(view: &View) -> Result<(), Refusal> {
    if let Some((key, broken)) = view.vital_broken() {
        return Err(Refusal::Unreadable { reason: format!("{key}: {}", broken.reason) });
    }
    let contradiction = view.policies().err().or(view.placement().err());
    contradiction.map_or(Ok(()), |reason| Err(Refusal::Unreadable { reason: reason.to_owned() }))
}

/// The default keyspace that a name is for.
fn default_keyspace(name: &Label) -> Option<KeyspaceId> {
    match name.as_str() {
        "sessions" => Some(KeyspaceId::SESSIONS),
        "topics" => Some(KeyspaceId::TOPICS),
        _ => None,
    }
}

/// All topic filters together: they stand in one entry of the store, with the placement.
pub const FILTER_BYTES_MAX: usize = 256 << 10;

/// Policies that one plan or one return to an earlier state changes: with their history they make one transaction.
pub const CHANGES_MAX: usize = 100;

#[cfg(test)]
mod tests;
