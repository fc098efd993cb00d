//! Policies: put, deleted, and brought back.

use std::collections::BTreeMap;

use sluice_cluster::{
    HYBRID_THRESHOLD_BYTES_DEFAULT, Home, Keyspace, KeyspaceId, Label, Policy, RemoteSubscribers, ReplicaCount,
    SHARDS_DEFAULT, Spread, Steer,
};
use sluice_topic::TopicFilter;

use super::{Author, Match, Refusal, changed_policies, default_keyspace, readable, write_policies};
use crate::{
    record::{Commit, Intent, PolicyChange, RecordKey},
    view::View,
};

/// A policy as operators write it: everything but the number of its keyspace, which control gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicySpec {
    /// What it is called. `sessions` and `topics` are about what no other policy claims.
    pub name: Label,
    /// Of which topics.
    pub filters: Vec<TopicFilter>,
    /// How many shards; as many as it has, or the default.
    pub shards: Option<u16>,
    /// Where.
    pub home: Home,
    /// How many replicas.
    pub replicas: ReplicaCount,
    /// What they must not share.
    pub spread: Spread,
    /// Where while the home has no node.
    pub fallback: Vec<Label>,
    /// Below how many bytes retained messages travel whole.
    pub hybrid_threshold_bytes: u32,
    /// What subscribers elsewhere get.
    pub remote_subscribers: RemoteSubscribers,
    /// Which clients are told to connect elsewhere; of the policy `sessions` only.
    pub steer: Steer,
}

impl PolicySpec {
    /// What a policy says.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            name: policy.name.clone(),
            filters: policy.keyspace.filters().to_vec(),
            shards: Some(policy.keyspace.shards()),
            home: policy.home.clone(),
            replicas: policy.replicas,
            spread: policy.spread.clone(),
            fallback: policy.fallback.clone(),
            hybrid_threshold_bytes: policy.hybrid_threshold_bytes,
            remote_subscribers: policy.remote_subscribers,
            steer: policy.steer,
        }
    }

    /// One replica, anywhere.
    #[must_use]
    pub fn new(name: Label, filters: Vec<TopicFilter>) -> Self {
        Self {
            name,
            filters,
            shards: None,
            home: Home::Anywhere,
            replicas: ReplicaCount::default(),
            spread: Spread::default(),
            fallback: Vec::new(),
            hybrid_threshold_bytes: HYBRID_THRESHOLD_BYTES_DEFAULT,
            remote_subscribers: RemoteSubscribers::Forward,
            steer: Steer::default(),
        }
    }
}

/// A change as operators write it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpecChange {
    /// It shall be so.
    Put(PolicySpec),
    /// It shall not be.
    Delete(Label),
}

/// Puts a policy. `None`: it is so already.
///
/// # Errors
/// It is not what the change was made from, or contradicts another policy, or is outside of its bounds.
pub fn put(view: &View, spec: &PolicySpec, at: Match, author: &Author) -> Result<Option<Commit>, Refusal> {
    readable(view)?;
    at.check(view, &RecordKey::Policy(spec.name.clone()))?;
    let (changes, intent) = resolve(view, &[SpecChange::Put(spec.clone())])?;
    let what = format!("put the policy {}", spec.name);
    Ok((!changes.is_empty()).then(|| write_policies(view, intent, &changes, what, author)))
}

/// Deletes a policy. Its keyspace goes when its shards are empty.
///
/// # Errors
/// There is none, or it is not what the change was made from.
pub fn delete(view: &View, name: &Label, at: Match, author: &Author) -> Result<Commit, Refusal> {
    readable(view)?;
    at.check(view, &RecordKey::Policy(name.clone()))?;
    let (changes, intent) = resolve(view, &[SpecChange::Delete(name.clone())])?;
    Ok(write_policies(view, intent, &changes, format!("deleted the policy {name}"), author))
}

/// Brings back the policies as they were when the intent had a number.
///
/// # Errors
/// That is not known any more, or has not been yet, or the policies are too many at once.
pub fn restore(view: &View, number: u64, author: &Author) -> Result<Option<Commit>, Refusal> {
    readable(view)?;
    let intent = view.intent();
    if number > intent.number {
        return Err(Refusal::Unknown { what: format!("intent {number}") });
    }
    let since = view.history().next().map_or(intent.number, |oldest| oldest.intent - 1);
    if number < since {
        return Err(Refusal::Forgotten { number, since });
    }
    // What the oldest of the later changes found is what was there.
    let mut then = BTreeMap::new();
    for entry in view.history().rev().take_while(|entry| entry.intent > number) {
        then.extend(entry.before.clone());
    }
    let changes: Vec<PolicyChange> = then
        .into_iter()
        .filter(|(name, policy)| view.policy(name) != policy.as_ref())
        .map(|(name, policy)| policy.map_or(PolicyChange::Delete(name), PolicyChange::Put))
        .collect();
    changed_policies(view, &changes)?;
    let what = format!("brought back the policies of intent {number}");
    Ok((!changes.is_empty()).then(|| write_policies(view, intent, &changes, what, author)))
}

/// Changes with the numbers of their keyspaces, those that change nothing left out, and the intent that has given new
/// numbers.
///
/// # Errors
/// They are not possible.
pub fn resolve(view: &View, changes: &[SpecChange]) -> Result<(Vec<PolicyChange>, Intent), Refusal> {
    let mut intent = view.intent();
    let mut resolved = Vec::new();
    for change in changes {
        match change {
            SpecChange::Delete(name) if view.policy(name).is_none() => {
                return Err(Refusal::Unknown { what: format!("policy {name}") });
            }
            SpecChange::Delete(name) => resolved.push(PolicyChange::Delete(name.clone())),
            SpecChange::Put(spec) => {
                let policy = resolve_one(view, spec, &mut intent)?;
                if view.policy(&spec.name) != Some(&policy) {
                    resolved.push(PolicyChange::Put(policy));
                }
            }
        }
    }
    changed_policies(view, &resolved)?;
    Ok((resolved, intent))
}

fn resolve_one(view: &View, spec: &PolicySpec, intent: &mut Intent) -> Result<Policy, Refusal> {
    let held = view.policy(&spec.name).map(|policy| &policy.keyspace);
    let default = default_keyspace(&spec.name);
    if default.is_some() && !spec.filters.is_empty() {
        return Err(Refusal::Default { name: spec.name.clone() });
    }
    let id = match held.map(Keyspace::id).or(default) {
        Some(id) => id,
        None => next_keyspace(intent)?,
    };
    let shards = fixed_shards(view, id, held);
    if let Some(shards) = shards.filter(|shards| spec.shards.is_some_and(|asked| asked != *shards)) {
        return Err(Refusal::Shards { name: spec.name.clone(), shards });
    }
    let shards = shards.or(spec.shards).unwrap_or(SHARDS_DEFAULT);
    let keyspace = Keyspace::new(id, spec.filters.clone(), shards).map_err(sluice_cluster::PolicyError::from)?;
    Ok(Policy {
        name: spec.name.clone(),
        keyspace,
        home: spec.home.clone(),
        replicas: spec.replicas,
        spread: spec.spread.clone(),
        fallback: spec.fallback.clone(),
        hybrid_threshold_bytes: spec.hybrid_threshold_bytes,
        remote_subscribers: spec.remote_subscribers,
        steer: spec.steer,
    })
}

/// The number of shards that a keyspace has and keeps: once it is placed, or has a policy.
fn fixed_shards(view: &View, id: KeyspaceId, held: Option<&Keyspace>) -> Option<u16> {
    let placement = view.placement().ok()?;
    let placed = placement.keyspaces().keyspace(id).filter(|_| placement.placed_shards(id) > 0);
    placed.or(held).map(Keyspace::shards)
}

fn next_keyspace(intent: &mut Intent) -> Result<KeyspaceId, Refusal> {
    let id = intent.next_keyspace;
    intent.next_keyspace = id.checked_add(1).ok_or(Refusal::Keyspaces)?;
    Ok(KeyspaceId(id))
}
