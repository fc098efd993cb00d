//! Brings replicas to where their policy wants them, and lets go of those it does not want.

use std::cmp::Reverse;

use sluice_cluster::{NodeId, Replicas, ShardKey};

use super::{advance::remove_leaving, draft::Draft};
use crate::report::{StepReport, Wait, Why};

pub(super) fn run(draft: &mut Draft<'_>) -> StepReport {
    let mut step = StepReport::default();
    for (key, replicas) in draft.at_rest() {
        if let Some(wanted) = draft.rule(key.keyspace).wanted.filter(|wanted| replicas.voters().len() > *wanted) {
            remove_surplus(draft, key, &replicas, wanted, &mut step);
        } else if let Some(node) = misplaced(draft, key, &replicas) {
            draft.bring(key, Some(node), Why::Misplaced { node }, &mut step);
        } else if let Some(node) = crowded(draft, key, &replicas) {
            draft.bring(key, Some(node), Why::Crowded { node }, &mut step);
        }
    }
    step
}

fn misplaced(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas) -> Option<NodeId> {
    let rule = draft.rule(key.keyspace);
    replicas.voters().iter().copied().find(|id| !rule.allows(draft.fleet.place(*id)))
}

/// The member that shares its failure domain with the most others, if somewhere it would share it with fewer.
fn crowded(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas) -> Option<NodeId> {
    let (id, crowding) = most_crowded(draft, key, replicas).filter(|(_, crowding)| *crowding > 0)?;
    let better = draft.choose(key, replicas, Some(id)).ok().and_then(|to| draft.fleet.place(to))?;
    let after = draft.rule(key.keyspace).crowding(better, &draft.staying(replicas, Some(id)));
    (after < crowding).then_some(id)
}

fn most_crowded(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas) -> Option<(NodeId, usize)> {
    let rule = draft.rule(key.keyspace);
    let crowding = |id: NodeId| {
        let place = draft.fleet.place(id)?;
        Some((id, rule.crowding(place, &draft.staying(replicas, Some(id)))))
    };
    replicas.target().filter_map(crowding).max_by_key(|(_, crowding)| *crowding)
}

/// Says who is to leave, and lets the first of them go at once: what is at rest has nothing to wait for.
fn remove_surplus(draft: &mut Draft<'_>, key: ShardKey, replicas: &Replicas, wanted: usize, step: &mut StepReport) {
    let has = replicas.voters().len();
    if let Err(wait) = draft.ready(key, replicas) {
        return step.wait(wait, key);
    }
    if !draft.has_budget() {
        return step.wait(Wait::Budget, key);
    }
    match replicas.with_leaving(leavers(draft, key, replicas, has - wanted)) {
        Ok(marked) => {
            draft.set(key, marked.clone());
            remove_leaving(draft, key, &marked, Why::TooMany { has, wanted }, step);
        }
        Err(error) => step.wait(Wait::Refused(error), key),
    }
}

/// The members one would miss least: not there, misplaced, on their way out, crowded, on a full node.
fn leavers(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas, count: usize) -> Vec<NodeId> {
    let rule = draft.rule(key.keyspace);
    let mut staying: Vec<NodeId> = replicas.target().collect();
    let mut leavers = Vec::new();
    while leavers.len() < count {
        let places: Vec<usize> = staying.iter().filter_map(|id| draft.fleet.place(*id)).collect();
        let missed_least = staying.iter().copied().max_by(|a, b| {
            let faults = |id: NodeId| {
                let place = draft.fleet.place(id);
                let sheds = place.is_some_and(|place| draft.fleet.node(place).phase.sheds_shards());
                let crowding = place.map_or(0, |place| rule.crowding(place, &places));
                (Reverse(draft.input.presence(id)), !rule.allows(place), sheds, crowding)
            };
            let by_fullness = || match (draft.fleet.place(*a), draft.fleet.place(*b)) {
                (Some(a), Some(b)) => draft.fleet.by_fullness(a, b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            };
            faults(*a).cmp(&faults(*b)).then_with(by_fullness)
        });
        let Some(leaver) = missed_least else { break };
        staying.retain(|id| *id != leaver);
        leavers.push(leaver);
    }
    leavers
}
