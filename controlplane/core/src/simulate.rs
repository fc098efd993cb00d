//! What the loss of a node or a region would do: asked before it happens.

use std::{collections::BTreeSet, fmt};

use sluice_cluster::{Label, Liveness, NodeId, Replicas, ShardKey};

use crate::{MoveBudget, PlanInput, Presence, rehearse};

/// What is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// One node.
    Node(NodeId),
    /// All nodes of a region.
    Region(Label),
}

/// What happens when it is lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Simulation {
    /// Nodes that are lost.
    pub nodes: BTreeSet<NodeId>,
    /// Shards that notice nothing.
    pub unaffected: usize,
    /// Shards that lose a voter and go on, after an election if it was their leader.
    pub fail_over: BTreeSet<ShardKey>,
    /// Shards that stop until enough of the lost nodes return, or an operator gives up their data.
    pub stop: BTreeSet<ShardKey>,
    /// Moves that wait for a lost node: they are ended once it counts as dead.
    pub wait: BTreeSet<ShardKey>,
    /// Shards that go on and have all their replicas again, elsewhere, after the nodes have counted as dead and the copies
    /// are made.
    pub repaired: BTreeSet<ShardKey>,
    /// Shards that go on and stay without a replica, since no node may take it.
    pub short: BTreeSet<ShardKey>,
    /// After how many milliseconds the repair begins.
    pub repair_after_ms: u64,
}

/// Works out what the loss would do, at once and after repair. Changes nothing.
#[must_use]
pub fn simulate(input: &PlanInput, loss: &Loss) -> Simulation {
    let mut lossy = input.clone();
    let mut simulation = Simulation { repair_after_ms: input.dead_after_ms, ..Simulation::default() };
    for known in lossy.nodes.values_mut() {
        let is_lost = match loss {
            Loss::Node(id) => known.node.id == *id,
            Loss::Region(region) => known.node.region() == Some(region),
        };
        if is_lost && input.presence(known.node.id) == Presence::Reachable {
            known.node.liveness = Liveness::Silent { since_ms: input.now_ms };
            simulation.nodes.insert(known.node.id);
        }
    }
    for (key, replicas) in input.parent.shards() {
        simulation.sort(&lossy, *key, replicas, input.has_quorum(replicas));
    }
    simulation.repair(lossy);
    simulation
}

impl Simulation {
    /// Says what happens to a shard at once.
    fn sort(&mut self, lossy: &PlanInput, key: ShardKey, replicas: &Replicas, was_able: bool) {
        let is_lost = |id: &NodeId| self.nodes.contains(id);
        let waits = replicas.learners().iter().any(is_lost);
        if !replicas.voters().iter().any(is_lost) {
            self.unaffected += usize::from(!waits);
        } else if lossy.has_quorum(replicas) {
            self.fail_over.insert(key);
        } else if was_able {
            self.stop.insert(key);
        }
        if waits {
            self.wait.insert(key);
        }
    }

    /// Says what becomes of the shards that go on.
    fn repair(&mut self, mut lossy: PlanInput) {
        lossy.now_ms = lossy.now_ms.saturating_add(lossy.dead_after_ms);
        lossy.budget = MoveBudget::UNBOUNDED;
        let repaired = rehearse(lossy).input;
        for key in self.fail_over.clone() {
            let is_there = |id: &NodeId| repaired.presence(*id) == Presence::Reachable;
            let there =
                repaired.parent.replicas(key).map_or(0, |of| of.voters().iter().filter(|id| is_there(id)).count());
            let wanted = repaired.policies.of(key.keyspace).map_or(there, |policy| policy.replicas.value());
            let outcome = if there >= wanted { &mut self.repaired } else { &mut self.short };
            outcome.insert(key);
        }
    }
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes lost: {} shards do not notice", self.nodes.len(), self.unaffected)?;
        let repair = format!("after {} s and the copies: all replicas again", self.repair_after_ms / 1000);
        for (what, shards) in [
            ("fail over", &self.fail_over),
            ("stop until enough nodes return", &self.stop),
            ("wait with a copy under way", &self.wait),
            (repair.as_str(), &self.repaired),
            ("stay without a replica", &self.short),
        ] {
            if !shards.is_empty() {
                let shown: Vec<_> = shards.iter().take(SHOWN_MAX).map(ShardKey::to_string).collect();
                let more = if shards.len() > SHOWN_MAX { ", …" } else { "" };
                writeln!(f, "  {} {what}: {}{more}", shards.len(), shown.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Shards of one kind that are printed.
const SHOWN_MAX: usize = 8;
