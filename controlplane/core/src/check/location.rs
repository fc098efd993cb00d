//! Whether the policies are kept no worse than before.

use std::collections::BTreeMap;

use sluice_cluster::{KeyspaceId, Liveness, Node, NodeId, Policy, Replicas, ShardKey, Spread};

use super::Violation;
use crate::{PlanInput, Presence};

/// Where shards may go, by what the policies say.
pub(super) struct Sites<'a> {
    input: &'a PlanInput,
    /// Whether the home of a keyspace has a node that takes shards, and if not the fallback in use.
    regions: BTreeMap<KeyspaceId, Region<'a>>,
}

enum Region<'a> {
    Home(&'a Policy),
    Fallback(&'a Policy, &'a str),
    Nowhere,
}

impl<'a> Sites<'a> {
    pub(super) fn new(input: &'a PlanInput) -> Self {
        let regions = input.policies.iter().map(|policy| (policy.keyspace.id(), region(input, policy))).collect();
        Self { input, regions }
    }

    /// A member that comes goes to a node that takes it. Who stays is no closer together than before, unless one that went
    /// had to go.
    pub(super) fn check_step(&self, key: ShardKey, before: &Replicas, after: &Replicas, found: &mut Vec<Violation>) {
        let was_member = |id: &NodeId| before.voters().contains(id) || before.learners().contains(id);
        let members = after.voters().union(after.learners());
        for node in members.copied().filter(|id| !was_member(id)) {
            self.check_arrival(key, node, found);
        }
        let old: Vec<NodeId> = before.target().collect();
        let new: Vec<NodeId> = after.target().collect();
        let had_to_go = old.iter().filter(|id| !new.contains(id)).any(|id| self.must_go(key, *id));
        let is_swap = new.len() <= old.len() && new != old;
        if is_swap && !had_to_go && self.pairs(key, &new) > self.pairs(key, &old) {
            found.push(Violation::Crowded { key });
        }
    }

    /// Checks that a node may get a shard.
    pub(super) fn check_arrival(&self, key: ShardKey, id: NodeId, found: &mut Vec<Violation>) {
        let node = self.input.nodes.get(&id).map(|known| &known.node);
        if !node.is_some_and(takes) {
            found.push(Violation::NoTaker { key, node: id });
        }
        let is_inside = match self.regions.get(&key.keyspace) {
            None => true,
            Some(Region::Nowhere) => false,
            Some(Region::Home(policy)) => node.is_some_and(|node| policy.home.includes(node)),
            Some(Region::Fallback(_, region)) => node.is_some_and(|node| is_in(node, region)),
        };
        if !is_inside {
            found.push(Violation::Misplaced { key, node: id });
        }
    }

    /// Whether a member cannot stay where it is.
    fn must_go(&self, key: ShardKey, id: NodeId) -> bool {
        let Some(node) = self.input.nodes.get(&id).map(|known| &known.node) else { return false };
        let is_outside = match self.regions.get(&key.keyspace) {
            None => false,
            Some(Region::Home(policy)) => !policy.home.includes(node),
            Some(Region::Fallback(policy, region)) => !policy.home.includes(node) && !is_in(node, region),
            Some(Region::Nowhere) => true,
        };
        is_outside || node.phase.sheds_shards() || self.input.presence(id) == Presence::Dead
    }

    /// How many pairs of members would fail together.
    fn pairs(&self, key: ShardKey, members: &[NodeId]) -> usize {
        let spread = self.input.policies.of(key.keyspace).map(|policy| policy.spread.clone()).unwrap_or_default();
        let nodes: Vec<&Node> =
            members.iter().filter_map(|id| self.input.nodes.get(id)).map(|known| &known.node).collect();
        let together = |(at, a): (usize, &&Node)| nodes[..at].iter().filter(|b| fail_together(&spread, a, b)).count();
        nodes.iter().enumerate().map(together).sum()
    }
}

fn region<'a>(input: &'a PlanInput, policy: &'a Policy) -> Region<'a> {
    let any =
        |wanted: &dyn Fn(&Node) -> bool| input.nodes.values().any(|known| takes(&known.node) && wanted(&known.node));
    if any(&|node| policy.home.includes(node)) {
        return Region::Home(policy);
    }
    let used = policy.fallback.iter().find(|region| any(&|node| is_in(node, region.as_str())));
    used.map_or(Region::Nowhere, |region| Region::Fallback(policy, region.as_str()))
}

fn takes(node: &Node) -> bool {
    node.phase.takes_shards() && node.liveness == Liveness::Live
}

fn is_in(node: &Node, region: &str) -> bool {
    node.region().is_some_and(|of| of.as_str() == region)
}

fn fail_together(spread: &Spread, a: &Node, b: &Node) -> bool {
    let key = match spread {
        Spread::Node => return a.id == b.id,
        Spread::Zone => "zone",
        Spread::Label(key) => key.as_str(),
    };
    let values = (a.labels.value(key), b.labels.value(key));
    a.region() == b.region() && matches!(values, (Some(a), Some(b)) if a == b)
}
