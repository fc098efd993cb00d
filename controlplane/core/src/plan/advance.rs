//! Takes moves that are under way one step on.
//!
//! ```text
//!              bring                    caught up                 successor votes, everybody knows
//!   at rest ──────────► learner copies ───────────► both vote ──────────────────────────────────────► at rest
//!                             │
//!                             │ the learner's node dies, drains, or the policy changes
//!                             └──────────► at rest, as before
//! ```

use std::collections::BTreeSet;

use sluice_cluster::{NodeId, Replicas, ShardKey};

use super::draft::Draft;
use crate::{
    Presence,
    report::{Change, StepReport, Wait, Why},
};

pub(super) fn run(draft: &mut Draft<'_>) -> StepReport {
    let mut step = StepReport::default();
    for (key, replicas) in draft.unchanged() {
        if draft.input.is_given_up(key, &replicas) {
            force(draft, key, &replicas, &mut step);
        } else if replicas.is_moving() {
            advance(draft, key, &replicas, &mut step);
        }
    }
    step
}

fn advance(draft: &mut Draft<'_>, key: ShardKey, replicas: &Replicas, step: &mut StepReport) {
    if let Err(wait) = draft.ready(key, replicas) {
        return step.wait(wait, key);
    }
    if let Some(node) = replicas.learners().iter().copied().find(|id| !may_finish(draft, key, *id)) {
        draft.apply(key, replicas.drop_learner(node), Change::Cancel { node }, Why::Unfit, step);
    } else if let Some(node) = replicas.learners().iter().copied().find(|id| has_caught_up(draft, key, replicas, *id)) {
        draft.apply(key, replicas.promote(node), Change::Promote { node }, Why::CaughtUp, step);
    } else if let Some(&node) = replicas.learners().first() {
        step.wait(Wait::CatchUp { node }, key);
    } else {
        let aimed = aim(draft, key, replicas);
        remove_leaving(draft, key, &aimed, Why::Succeeded, step);
    }
}

/// Whether a learner can still become a voter: it is not dead, not on its way out, and where it may be.
fn may_finish(draft: &Draft<'_>, key: ShardKey, id: NodeId) -> bool {
    let place = draft.fleet.place(id);
    let sheds = place.is_some_and(|place| draft.fleet.node(place).phase.sheds_shards());
    draft.input.presence(id) != Presence::Dead && !sheds && draft.rule(key.keyspace).allows(place)
}

fn has_caught_up(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas, id: NodeId) -> bool {
    draft.input.status(id, key).is_some_and(|status| status.is_caught_up && status.epoch == replicas.epoch())
}

/// If one that was to stay has died meanwhile, it leaves in place of one that was to leave.
fn aim(draft: &mut Draft<'_>, key: ShardKey, replicas: &Replicas) -> Replicas {
    let is_dead = |id: &NodeId| draft.input.presence(*id) == Presence::Dead;
    let dead = replicas.voters().iter().filter(|id| is_dead(id));
    let others = replicas.leaving().iter().filter(|id| !is_dead(id));
    let leaving: BTreeSet<NodeId> = dead.chain(others).copied().take(replicas.leaving().len()).collect();
    match replicas.with_leaving(leaving) {
        Ok(aimed) if aimed != *replicas => {
            draft.set(key, aimed.clone());
            aimed
        }
        Ok(_) | Err(_) => replicas.clone(),
    }
}

/// Removes one voter that is to leave, one that is not there first, once those who stay have all the data and are
/// known to every node.
pub(super) fn remove_leaving(
    draft: &mut Draft<'_>,
    key: ShardKey,
    replicas: &Replicas,
    why: Why,
    step: &mut StepReport,
) {
    let Some(&node) = replicas.leaving().iter().min_by_key(|id| draft.input.presence(**id)) else { return };
    let behind = replicas.target().find(|id| !has_caught_up(draft, key, replicas, *id));
    if let Some(node) = behind {
        return step.wait(Wait::CatchUp { node }, key);
    }
    if let Some(node) = draft.behind {
        return step.wait(Wait::Applied { node }, key);
    }
    // Those who are left can decide: all who stay are there, and of those who leave the one that is there least goes first.
    draft.apply(key, replicas.remove_voter(node), Change::Remove { node }, why, step);
}

/// Starts a shard anew on the voters that are left, or elsewhere if none is.
fn force(draft: &mut Draft<'_>, key: ShardKey, replicas: &Replicas, step: &mut StepReport) {
    if let Err(wait) = draft.is_up_to_date(key, replicas) {
        return step.wait(wait, key);
    }
    let reachable = |id: &&NodeId| draft.input.presence(**id) == Presence::Reachable;
    let mut voters: BTreeSet<NodeId> = replicas.voters().iter().filter(reachable).copied().collect();
    if voters.is_empty() {
        let Some(place) = draft.choose_for_new(key, &[]) else { return step.wait(Wait::NoNode, key) };
        voters.insert(draft.fleet.node(place).id);
    }
    draft.apply(key, replicas.force(voters.clone()), Change::Force { voters }, Why::GivenUp, step);
}
