//! Evens out how full the nodes are, one shard at a time, from the fullest.
//!
//! A shard moves only if its old node was fuller than the new one is then, each for its weight, and if the replicas do not
//! end up closer together. So between two nodes that may have the same shards the difference is at most one shard: for
//! equal weights the fullest has at most one more than the emptiest.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{KeyspaceId, Replicas, ShardKey};

use super::draft::Draft;
use crate::report::{Change, StepReport, Wait, Why};

pub(super) fn run(draft: &mut Draft<'_>) -> StepReport {
    let mut step = StepReport::default();
    let mut movable = Movable::of(draft);
    // A node that found no taker may find one after another node has given something away.
    while pass(draft, &mut movable, &mut step) {}
    step
}

/// Moves shards off the fullest nodes until none of them finds a taker. Says whether it moved any.
fn pass(draft: &mut Draft<'_>, movable: &mut Movable, step: &mut StepReport) -> bool {
    let mut has_moved = false;
    let mut stuck = BTreeSet::new();
    while let Some(from) = fullest(draft, &stuck) {
        let Some(best) = movable.best(draft, from) else {
            stuck.insert(from);
            continue;
        };
        if !draft.has_budget() {
            step.wait(Wait::Budget, best.key);
            return false;
        }
        movable.take(from, &best);
        move_shard(draft, from, &best, step);
        has_moved = true;
    }
    has_moved
}

/// Of the nodes that take shards, the fullest that is not stuck.
fn fullest(draft: &Draft<'_>, stuck: &BTreeSet<usize>) -> Option<usize> {
    let sources = (0..draft.fleet.len()).filter(|place| draft.fleet.takes_shards(*place) && !stuck.contains(place));
    sources.max_by(|&a, &b| draft.fleet.by_fullness(a, b).then(b.cmp(&a)))
}

fn move_shard(draft: &mut Draft<'_>, from: usize, best: &Move, step: &mut StepReport) {
    let why = Why::Uneven { from_shards: draft.fleet.shards(from), to_shards: draft.fleet.shards(best.to) };
    let (to, from) = (draft.fleet.node(best.to).id, draft.fleet.node(from).id);
    let Some(next) = draft.replicas(best.key).map(|replicas| replicas.add_learner(to, Some(from))) else { return };
    let change = Change::Bring { to, from: Some(from) };
    draft.apply(best.key, next, change, why, step);
}

struct Move {
    key: ShardKey,
    to: usize,
}

/// Shards that could move at once, by the place of a member.
struct Movable {
    shards: Vec<Vec<(ShardKey, Replicas)>>,
    /// By keyspace and place: how many of them are there.
    counts: BTreeMap<KeyspaceId, Vec<u32>>,
}

impl Movable {
    fn of(draft: &Draft<'_>) -> Self {
        let mut movable = Self { shards: vec![Vec::new(); draft.fleet.len()], counts: BTreeMap::new() };
        for (key, replicas) in draft.at_rest() {
            if draft.ready(key, &replicas).is_err() {
                continue;
            }
            let counts = movable.counts.entry(key.keyspace).or_insert_with(|| vec![0; draft.fleet.len()]);
            for place in draft.places(&replicas) {
                counts[place] += 1;
                movable.shards[place].push((key, replicas.clone()));
            }
        }
        movable
    }

    /// The move off a node that improves most: to the emptiest node, and of a keyspace that the other has least of.
    fn best(&self, draft: &Draft<'_>, from: usize) -> Option<Move> {
        let mut emptiest: BTreeMap<KeyspaceId, bool> = BTreeMap::new();
        let mut best: Option<(Move, i64)> = None;
        for (key, replicas) in &self.shards[from] {
            let improves = emptiest.entry(key.keyspace).or_insert_with(|| has_taker(draft, key.keyspace, from));
            let Some(to) = improves.then(|| taker(draft, *key, replicas, from)).flatten() else { continue };
            let counts = self.counts.get(&key.keyspace);
            let excess = counts.map_or(0, |counts| i64::from(counts[from]) - i64::from(counts[to]));
            let is_better = best.as_ref().is_none_or(|(other, most)| {
                draft.fleet.by_fullness_after(to, other.to).then(most.cmp(&excess)).is_lt()
            });
            if is_better {
                best = Some((Move { key: *key, to }, excess));
            }
        }
        best.map(|(found, _)| found)
    }

    /// A shard that moves is no longer movable, off any of its members.
    fn take(&mut self, from: usize, taken: &Move) {
        self.shards.iter_mut().for_each(|shards| shards.retain(|(key, _)| *key != taken.key));
        if let Some(counts) = self.counts.get_mut(&taken.key.keyspace) {
            counts[from] -= 1;
            counts[taken.to] += 1;
        }
    }
}

/// Whether any shard of a keyspace could find a taker: most nodes are told here that none can.
fn has_taker(draft: &Draft<'_>, id: KeyspaceId, from: usize) -> bool {
    draft.rule(id).candidates.iter().any(|&to| draft.fleet.improves(from, to))
}

/// The emptiest node that may take a shard off another, if that improves.
fn taker(draft: &Draft<'_>, key: ShardKey, replicas: &Replicas, from: usize) -> Option<usize> {
    let rule = draft.rule(key.keyspace);
    let staying = draft.staying(replicas, Some(draft.fleet.node(from).id));
    let crowding = rule.crowding(from, &staying);
    let passes = |to: &usize| {
        *to != from
            && draft.fleet.improves(from, *to)
            && draft.fleet.incoming(*to) < draft.input.budget.incoming_max
            && !staying.contains(to)
            && rule.crowding(*to, &staying) <= crowding
    };
    rule.candidates.iter().copied().filter(passes).min_by(|&a, &b| draft.fleet.by_fullness_after(a, b).then(a.cmp(&b)))
}
