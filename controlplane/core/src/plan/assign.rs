//! Gives shards the replicas they lack: all of them if they are new, one if a node has died or the policy wants more.

use std::collections::BTreeSet;

use sluice_cluster::{Keyspaces, NodeId, Replicas, ShardKey};

use super::draft::Draft;
use crate::{
    Presence,
    report::{Change, StepReport, Wait, Why},
};

pub(super) fn run(draft: &mut Draft<'_>, keyspaces: &Keyspaces) -> StepReport {
    let mut step = StepReport::default();
    for (key, replicas) in draft.at_rest() {
        repair(draft, key, &replicas, &mut step);
    }
    // Those that may go to few nodes come first: the others fill up what is left.
    let mut choosy: Vec<_> = keyspaces.iter().collect();
    choosy.sort_by_key(|keyspace| draft.rule(keyspace.id()).candidates.len());
    for key in choosy.into_iter().flat_map(|keyspace| keyspace.shard_keys()) {
        if draft.replicas(key).is_none() {
            create(draft, key, &mut step);
        }
    }
    step
}

fn repair(draft: &mut Draft<'_>, key: ShardKey, replicas: &Replicas, step: &mut StepReport) {
    let presence = |id: &NodeId| draft.input.presence(*id);
    let has = replicas.voters().len();
    if let Some(&node) = replicas.voters().iter().find(|id| presence(id) == Presence::Dead) {
        // One too many is not replaced: the step that looks for those takes the dead first.
        if draft.rule(key.keyspace).wanted.is_none_or(|wanted| has <= wanted) {
            draft.bring(key, Some(node), Why::Dead { node }, step);
        }
    } else if let Some(wanted) = draft.rule(key.keyspace).wanted.filter(|wanted| has < *wanted) {
        draft.bring(key, None, Why::TooFew { has, wanted }, step);
    } else if let Some(&node) = replicas.voters().iter().find(|id| presence(id) == Presence::Silent) {
        step.wait(Wait::Silent { node }, key);
    }
}

/// Places a shard that has no data: nothing is copied, so that the budget does not matter.
fn create(draft: &mut Draft<'_>, key: ShardKey, step: &mut StepReport) {
    let wanted = draft.rule(key.keyspace).wanted.unwrap_or(1);
    let mut voters: BTreeSet<NodeId> = BTreeSet::new();
    let mut places = Vec::new();
    while voters.len() < wanted
        && let Some(place) = draft.choose_for_new(key, &places)
    {
        voters.insert(draft.fleet.node(place).id);
        places.push(place);
    }
    if voters.is_empty() {
        return step.wait(Wait::NoNode, key);
    }
    draft.apply(key, Replicas::first(voters.clone()), Change::Create { voters }, Why::New, step);
}
