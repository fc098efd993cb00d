//! What may happen to the replicas of one shard from one placement to the next.

use std::collections::BTreeSet;

use sluice_cluster::{NodeId, Replicas, ShardKey};

use super::Violation;
use crate::{PlanInput, Presence};

/// Checks the step from one set of replicas to the next.
pub(super) fn check_step(
    input: &PlanInput,
    key: ShardKey,
    before: &Replicas,
    after: &Replicas,
    found: &mut Vec<Violation>,
) {
    let is_same = before.voters() == after.voters() && before.learners() == after.learners();
    let grown = after.epoch().0.checked_sub(before.epoch().0);
    if grown != Some(u64::from(!is_same)) {
        // A forced restart on the same voters is a change too.
        let is_forced = is_same && grown == Some(1) && may_force(input, key, before);
        if !is_forced {
            found.push(Violation::Epoch { key, before: before.epoch(), after: after.epoch() });
        }
    }
    check_target(input, key, before, after, found);
    if is_same {
        return;
    }
    if may_force(input, key, before) {
        return check_forced(input, key, before, after, found);
    }
    check_change(input, key, before, after, found);
}

/// A new start is made by the voters that are there, or by others if none is.
fn check_forced(input: &PlanInput, key: ShardKey, before: &Replicas, after: &Replicas, found: &mut Vec<Violation>) {
    if after.is_moving() {
        found.push(Violation::Steps { key });
    }
    let knows_later = |id: &NodeId| input.status(*id, key).is_some_and(|status| status.epoch > before.epoch());
    if before.voters().union(before.learners()).any(knows_later) {
        found.push(Violation::Unsettled { key });
    }
    let there: BTreeSet<NodeId> =
        before.voters().iter().copied().filter(|id| input.presence(*id) == Presence::Reachable).collect();
    if !there.is_empty() && *after.voters() != there {
        found.push(Violation::Forced { key });
    }
}

/// The members that stay in the end become fewer only where the policy wants fewer.
fn check_target(input: &PlanInput, key: ShardKey, before: &Replicas, after: &Replicas, found: &mut Vec<Violation>) {
    let had = before.target().count();
    let wanted = input.policies.of(key.keyspace).map_or(had, |policy| policy.replicas.value());
    // A copy that is given up leaves the voters that were there, which is where the move began.
    let is_cancelled = after.voters() == before.voters() && after.learners().is_subset(before.learners());
    let enough = if is_cancelled { had.min(before.voters().len()).min(wanted) } else { had.min(wanted) };
    if after.target().count() < enough && !may_force(input, key, before) {
        found.push(Violation::Needed { key });
    }
}

fn check_change(input: &PlanInput, key: ShardKey, before: &Replicas, after: &Replicas, found: &mut Vec<Violation>) {
    let joined: Vec<NodeId> = after.voters().difference(before.voters()).copied().collect();
    let left: Vec<NodeId> = before.voters().difference(after.voters()).copied().collect();
    let copies = |of: &Replicas, but: &Replicas| -> Vec<NodeId> {
        of.learners().iter().filter(|id| !but.learners().contains(id) && !but.voters().contains(id)).copied().collect()
    };
    let begun = copies(after, before);
    let ended = copies(before, after);
    // Who was a voter and is a learner has left and begun.
    let demoted = after.learners().intersection(before.voters()).count();
    if joined.len() + left.len() + begun.len() + ended.len() + demoted != 1 {
        found.push(Violation::Steps { key });
    }
    if !intersect(before, after) {
        found.push(Violation::Apart { key });
    }
    let in_force = |id: &&NodeId| input.status(**id, key).is_some_and(|status| status.epoch == before.epoch());
    if before.voters().iter().filter(in_force).count() < before.voters().len() / 2 + 1 {
        found.push(Violation::Unsettled { key });
    }
    if !is_able(input, after) {
        found.push(Violation::Stalled { key });
    }
    for node in joined {
        if !before.learners().contains(&node) || !has_data(input, key, before, node) {
            found.push(Violation::Unready { key, node });
        }
    }
    for node in left {
        check_removal(input, key, before, after, node, found);
    }
}

/// A voter goes when all that stay have the data, so many as are wanted stay, and everybody knows.
fn check_removal(
    input: &PlanInput,
    key: ShardKey,
    before: &Replicas,
    after: &Replicas,
    node: NodeId,
    found: &mut Vec<Violation>,
) {
    let staying: BTreeSet<NodeId> = after.voters().difference(after.leaving()).copied().collect();
    if !staying.iter().all(|id| has_data(input, key, before, *id)) {
        found.push(Violation::TooEarly { key, node });
    }
    let had = before.target().count();
    let wanted = input.policies.of(key.keyspace).map_or(had, |policy| policy.replicas.value());
    if after.voters().len() < wanted.min(had) {
        found.push(Violation::Needed { key });
    }
    if input.node_behind().is_some() {
        found.push(Violation::Unannounced { key, node });
    }
}

/// Checks that a shard that is gone was of no use: its keyspace is no more, all its voters say that it is empty, and nobody
/// looks for it.
pub(super) fn check_retired(input: &PlanInput, key: ShardKey, before: &Replicas, found: &mut Vec<Violation>) {
    let is_empty =
        |id: &NodeId| input.status(*id, key).is_some_and(|status| status.is_empty && status.epoch == before.epoch());
    let is_claimed = input.policies.of(key.keyspace).is_some();
    if is_claimed || !before.voters().iter().all(is_empty) || input.node_behind().is_some() {
        found.push(Violation::Lost { key });
    }
}

/// Whether any majority of the one and any of the other have a member in common: two sets of votes out of all who vote in
/// either cannot be disjoint.
fn intersect(before: &Replicas, after: &Replicas) -> bool {
    let all = before.voters().union(after.voters()).count();
    let majority = |of: &Replicas| of.voters().len() / 2 + 1;
    majority(before) + majority(after) > all
}

fn has_data(input: &PlanInput, key: ShardKey, before: &Replicas, id: NodeId) -> bool {
    input.status(id, key).is_some_and(|status| status.is_caught_up && status.epoch == before.epoch())
}

/// Whether a new start is allowed: an operator has given up what is missing, and too few voters are there to go on.
fn may_force(input: &PlanInput, key: ShardKey, before: &Replicas) -> bool {
    input.force_recover.get(&key) == Some(&before.epoch()) && !is_able(input, before)
}

/// Whether more than half of the voters are there.
fn is_able(input: &PlanInput, replicas: &Replicas) -> bool {
    let there = replicas.voters().iter().filter(|id| input.presence(**id) == Presence::Reachable).count();
    there * 2 > replicas.voters().len()
}
