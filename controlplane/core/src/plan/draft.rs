//! The placement while it is being planned.
//!
//! Invariant: a shard is changed at most once, and only if what came before is in force on a majority of its voters.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{Epoch, KeyspaceId, Keyspaces, NodeId, Replicas, ReplicasError, ShardKey};

use super::{fleet::Fleet, rule::Rule};
use crate::{
    PlanInput,
    report::{Action, Change, StepReport, Wait, Why},
};

pub(super) struct Draft<'a> {
    pub input: &'a PlanInput,
    pub fleet: Fleet<'a>,
    rules: BTreeMap<KeyspaceId, Rule>,
    without_policy: Rule,
    shards: BTreeMap<ShardKey, Replicas>,
    changed: BTreeSet<ShardKey>,
    /// Shards that are changing their replicas and can go on.
    moving: u32,
    /// A node that does not know the parent placement yet.
    pub behind: Option<NodeId>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(input: &'a PlanInput, keyspaces: &Keyspaces) -> Self {
        let mut fleet = Fleet::new(input);
        let policies = keyspaces.iter().filter_map(|keyspace| input.policies.of(keyspace.id()));
        let rules = policies.map(|policy| (policy.keyspace.id(), Rule::new(policy, &fleet))).collect();
        let without_policy = Rule::without_policy(&fleet);
        let shards = input.parent.shards().clone();
        shards.values().for_each(|replicas| fleet.add(replicas, input.has_quorum(replicas)));
        let (changed, behind) = (BTreeSet::new(), input.node_behind());
        let mut draft = Self { input, fleet, rules, without_policy, shards, changed, moving: 0, behind };
        draft.moving = draft.shards.values().map(|replicas| draft.weighs(replicas)).sum();
        draft
    }

    pub(super) fn into_shards(self) -> BTreeMap<ShardKey, Replicas> {
        self.shards
    }

    pub(super) fn rule(&self, id: KeyspaceId) -> &Rule {
        self.rules.get(&id).unwrap_or(&self.without_policy)
    }

    pub(super) fn replicas(&self, key: ShardKey) -> Option<&Replicas> {
        self.shards.get(&key)
    }

    /// Shards that nobody has changed in this plan.
    pub(super) fn unchanged(&self) -> Vec<(ShardKey, Replicas)> {
        let unchanged = self.shards.iter().filter(|(key, _)| !self.changed.contains(key));
        unchanged.map(|(key, replicas)| (*key, replicas.clone())).collect()
    }

    /// Shards whose replicas nobody is changing.
    pub(super) fn at_rest(&self) -> Vec<(ShardKey, Replicas)> {
        let mut shards = self.unchanged();
        shards.retain(|(_, replicas)| !replicas.is_moving());
        shards
    }

    /// Members that stay, as places; members that nothing is known about are left out.
    pub(super) fn places(&self, replicas: &Replicas) -> Vec<usize> {
        replicas.target().filter_map(|id| self.fleet.place(id)).collect()
    }

    /// Whether a shard can take a step: a majority is there, and has taken the last one.
    pub(super) fn ready(&self, key: ShardKey, replicas: &Replicas) -> Result<(), Wait> {
        if !self.input.has_quorum(replicas) {
            return Err(Wait::Quorum);
        }
        self.is_up_to_date(key, replicas)?;
        let in_force = replicas.voters().iter().filter(|id| self.epoch(**id, key) == Some(replicas.epoch()));
        if in_force.count() >= replicas.quorum() { Ok(()) } else { Err(Wait::InForce) }
    }

    /// Whether no member knows of a later configuration than the placement does.
    pub(super) fn is_up_to_date(&self, key: ShardKey, replicas: &Replicas) -> Result<(), Wait> {
        let mut members = replicas.voters().union(replicas.learners());
        let ahead = members.find(|id| self.epoch(**id, key) > Some(replicas.epoch()));
        ahead.map_or(Ok(()), |&node| Err(Wait::Outdated { node }))
    }

    fn epoch(&self, id: NodeId, key: ShardKey) -> Option<Epoch> {
        self.input.status(id, key).map(|status| status.epoch)
    }

    /// The best node to bring a shard to, in place of a member or as one more.
    pub(super) fn choose(
        &self,
        key: ShardKey,
        replicas: &Replicas,
        instead_of: Option<NodeId>,
    ) -> Result<NodeId, Wait> {
        let is_member = |id| replicas.voters().contains(&id) || replicas.learners().contains(&id);
        let free = |place: &usize| !is_member(self.fleet.node(*place).id);
        let open = |place: &usize| self.fleet.incoming(*place) < self.input.budget.incoming_max;
        match self.best(key, &self.staying(replicas, instead_of), |place| free(place) && open(place)) {
            Some(place) => Ok(self.fleet.node(place).id),
            None if self.rule(key.keyspace).candidates.iter().any(free) => Err(Wait::Incoming),
            None => Err(Wait::NoNode),
        }
    }

    /// The best place for one more voter of a shard that has no data, beside the voters at `places`.
    pub(super) fn choose_for_new(&self, key: ShardKey, places: &[usize]) -> Option<usize> {
        self.best(key, places, |place| !places.contains(place))
    }

    /// Of the places that pass, the one that shares its failure domain with the fewest of `others`, and then the least full.
    fn best(&self, key: ShardKey, others: &[usize], passes: impl Fn(&usize) -> bool) -> Option<usize> {
        let rule = self.rule(key.keyspace);
        let crowding = |place| rule.crowding(place, others);
        rule.candidates.iter().copied().filter(passes).min_by(|&a, &b| {
            let by_crowding = crowding(a).cmp(&crowding(b));
            by_crowding.then_with(|| self.fleet.by_fullness_after(a, b)).then_with(|| self.scatter(key, a, b))
        })
    }

    /// Members that stay when `leaver` has left, as places.
    pub(super) fn staying(&self, replicas: &Replicas, leaver: Option<NodeId>) -> Vec<usize> {
        replicas.target().filter(|id| Some(*id) != leaver).filter_map(|id| self.fleet.place(id)).collect()
    }

    /// Of nodes that are equally good, each shard prefers others: so the shards of one node have their other replicas all
    /// over, and take over work all over when it dies.
    fn scatter(&self, key: ShardKey, a: usize, b: usize) -> std::cmp::Ordering {
        let mixed = |place: usize| mix(self.fleet.node(place).id.0 ^ mix(shard_number(key)));
        mixed(a).cmp(&mixed(b)).then(a.cmp(&b))
    }

    /// Whether one more shard may begin to change its replicas.
    pub(super) fn has_budget(&self) -> bool {
        self.moving < self.input.budget.moves_max
    }

    /// Begins to bring a shard to another node, if it can take a step and the budget allows it.
    pub(super) fn bring(&mut self, key: ShardKey, from: Option<NodeId>, why: Why, step: &mut StepReport) {
        let Some(replicas) = self.shards.get(&key).cloned() else { return };
        let target = self.ready(key, &replicas).and_then(|()| {
            let to = self.choose(key, &replicas, from)?;
            if self.has_budget() { Ok(to) } else { Err(Wait::Budget) }
        });
        match target {
            Ok(to) => self.apply(key, replicas.add_learner(to, from), Change::Bring { to, from }, why, step),
            Err(wait) => step.wait(wait, key),
        }
    }

    /// Changes a shard and says so.
    pub(super) fn apply(
        &mut self,
        key: ShardKey,
        next: Result<Replicas, ReplicasError>,
        change: Change,
        why: Why,
        step: &mut StepReport,
    ) {
        match next {
            Ok(replicas) => {
                self.set(key, replicas);
                self.changed.insert(key);
                step.actions.push(Action { key, change, why });
            }
            Err(error) => step.wait(Wait::Refused(error), key),
        }
    }

    /// Replaces a shard's replicas without saying so: for what is no step, as who is to leave.
    pub(super) fn set(&mut self, key: ShardKey, replicas: Replicas) {
        self.forget(key);
        self.moving += self.weighs(&replicas);
        self.fleet.add(&replicas, self.input.has_quorum(&replicas));
        self.shards.insert(key, replicas);
    }

    pub(super) fn retire(&mut self, key: ShardKey, step: &mut StepReport) {
        self.forget(key);
        step.actions.push(Action { key, change: Change::Retire, why: Why::Empty });
    }

    fn forget(&mut self, key: ShardKey) {
        if let Some(before) = self.shards.remove(&key) {
            self.moving -= self.weighs(&before);
            self.fleet.take(&before, self.input.has_quorum(&before));
        }
    }

    /// What a shard takes of the budget. One that cannot go on takes nothing, or lost nodes would stop all other moves.
    fn weighs(&self, replicas: &Replicas) -> u32 {
        u32::from(replicas.is_moving() && self.input.has_quorum(replicas))
    }
}

fn shard_number(key: ShardKey) -> u64 {
    u64::from(key.keyspace.0) << 16 | u64::from(key.shard.0)
}

/// Spreads a number over all 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
