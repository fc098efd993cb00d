//! What operators do with nodes.

use std::collections::BTreeMap;

use sluice_cluster::{Epoch, Labels, NodeId, NodePhase, ShardKey, Weight};

use super::{Author, Match, Refusal, readable, write_intent};
use crate::{
    PlanInput,
    record::{Commit, NodeRecord, Record, RecordKey},
    view::View,
};

/// Cordons, uncordons, drains, or ends a drain. `None`: it is so already.
///
/// # Errors
/// There is no such node, or it cannot come from its phase to that one; removing is [`remove`].
pub fn set_phase(
    view: &View,
    id: NodeId,
    phase: NodePhase,
    at: Match,
    author: &Author,
) -> Result<Option<Commit>, Refusal> {
    let node = node(view, id, at)?;
    let may = match (node.phase, phase) {
        (_, NodePhase::Gone | NodePhase::Joining) | (NodePhase::Gone | NodePhase::Joining, _) => false,
        (
            NodePhase::Active | NodePhase::Cordoned | NodePhase::Draining,
            NodePhase::Active | NodePhase::Cordoned | NodePhase::Draining,
        ) => true,
    };
    if !may {
        return Err(Refusal::Phase { node: id, phase: node.phase });
    }
    let next = NodeRecord { phase, since_ms: author.at_ms, ..node.clone() };
    let what = format!("node {id}: {} to {phase}", node.phase);
    Ok((node.phase != phase).then(|| write(view, id, next, what, author)))
}

/// Gives a node labels that hold instead of its own, and a weight. `None`: it is so already.
///
/// # Errors
/// There is no such node.
pub fn relabel(
    view: &View,
    id: NodeId,
    labels: Labels,
    weight: Option<Weight>,
    at: Match,
    author: &Author,
) -> Result<Option<Commit>, Refusal> {
    let node = node(view, id, at)?;
    if node.is_gone() {
        return Err(Refusal::Phase { node: id, phase: node.phase });
    }
    let next = NodeRecord { labels, weight, ..node.clone() };
    let what = format!("node {id}: labels or weight");
    Ok((next != *node).then(|| write(view, id, next, what, author)))
}

/// Removes a node for ever: nobody can come back as it. With `is_lost`, shards that cannot go on without it start anew from
/// what is left, and what only it had is lost.
///
/// # Errors
/// There is no such node, or it has shards and is not said to be lost.
pub fn remove(view: &View, input: &PlanInput, id: NodeId, is_lost: bool, author: &Author) -> Result<Commit, Refusal> {
    let node = node(view, id, Match::Any)?;
    if node.is_gone() {
        return Err(Refusal::Phase { node: id, phase: node.phase });
    }
    let shards = drain_progress(input, id);
    if shards > 0 && !is_lost {
        return Err(Refusal::NotEmpty { node: id, shards });
    }
    let next = NodeRecord { phase: NodePhase::Gone, since_ms: author.at_ms, ..node.clone() };
    let what = format!("node {id}: removed{}", if is_lost { ", its data given up" } else { "" });
    let commit = write(view, id, next, what, author);
    let given_up = given_up(input, id);
    if given_up.is_empty() {
        return Ok(commit);
    }
    let (recover, placement) = (RecordKey::Recover, RecordKey::Placement);
    let all = view.given_up().into_iter().chain(given_up).collect();
    let commit = commit.expect(placement.clone(), view.modified(&placement));
    Ok(commit.expect(recover.clone(), view.modified(&recover)).put(recover, Record::Recover(all)))
}

/// How many shards still name a node.
#[must_use]
pub fn drain_progress(input: &PlanInput, id: NodeId) -> usize {
    let shards = input.parent.shards().values();
    shards.filter(|of| of.voters().contains(&id) || of.learners().contains(&id)).count()
}

/// Shards that cannot go on without a node, as far as is known.
fn given_up(input: &PlanInput, id: NodeId) -> BTreeMap<ShardKey, Epoch> {
    let mut without = input.clone();
    if let Some(known) = without.nodes.get_mut(&id) {
        known.node.phase = NodePhase::Gone;
    }
    let stopped = input.parent.shards().iter().filter(|(_, of)| of.voters().contains(&id) && !without.has_quorum(of));
    stopped.map(|(key, of)| (*key, of.epoch())).collect()
}

fn node(view: &View, id: NodeId, at: Match) -> Result<&NodeRecord, Refusal> {
    readable(view)?;
    let node = view.node(id).ok_or_else(|| Refusal::Unknown { what: format!("node {id}") })?;
    at.check(view, &RecordKey::Node(id))?;
    Ok(node)
}

/// A change of a node is one of what operators want: no placement is written that was planned without it.
fn write(view: &View, id: NodeId, record: NodeRecord, what: String, author: &Author) -> Commit {
    let key = RecordKey::Node(id);
    let commit = write_intent(view, view.intent(), what, BTreeMap::new(), author);
    commit.expect(key.clone(), view.modified(&key)).put(key, Record::Node(record))
}
