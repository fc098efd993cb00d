//! Whether not too much moves at a time.

use std::collections::BTreeMap;

use sluice_cluster::{NodeId, Placement};

use super::Violation;
use crate::PlanInput;

/// Moves under way are within the budget, or no more than they were: a budget that was made smaller stops no move.
pub(super) fn check(input: &PlanInput, new: &Placement, found: &mut Vec<Violation>) {
    let (before, after) = (moves(input, &input.parent), moves(input, new));
    let max = input.budget.moves_max;
    if after > max.max(before) {
        found.push(Violation::Budget { moves: after, max });
    }
    let (before, after) = (incoming(input, &input.parent), incoming(input, new));
    let max = input.budget.incoming_max;
    for (node, moves) in after {
        if moves > max.max(before.get(&node).copied().unwrap_or(0)) {
            found.push(Violation::Incoming { node, moves, max });
        }
    }
}

/// Shards that are changing their replicas and can go on.
fn moves(input: &PlanInput, placement: &Placement) -> u32 {
    let is_moving = |of: &&sluice_cluster::Replicas| {
        (!of.learners().is_empty() || !of.leaving().is_empty()) && input.has_quorum(of)
    };
    u32::try_from(placement.shards().values().filter(is_moving).count()).unwrap_or(u32::MAX)
}

fn incoming(input: &PlanInput, placement: &Placement) -> BTreeMap<NodeId, u32> {
    let mut counts = BTreeMap::new();
    let able = placement.shards().values().filter(|replicas| input.has_quorum(replicas));
    for node in able.flat_map(|replicas| replicas.learners()) {
        *counts.entry(*node).or_insert(0) += 1;
    }
    counts
}
