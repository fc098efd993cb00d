//! What a policy says about each node.

use std::collections::BTreeMap;

use sluice_cluster::{Home, Label, Node, NodeId, Policy, Spread};

use super::fleet::Fleet;

/// A policy, worked out for the nodes there are. Nodes are places in the fleet.
pub(super) struct Rule {
    /// Replicas wanted; `None`: as many as there are.
    pub wanted: Option<usize>,
    /// Where replicas may be brought.
    pub candidates: Vec<usize>,
    /// By place: whether a replica may stay.
    allowed: Vec<bool>,
    /// By place: what fails together has one number.
    domains: Vec<u32>,
}

impl Rule {
    pub(super) fn new(policy: &Policy, fleet: &Fleet<'_>) -> Self {
        let candidates = candidates(policy, fleet);
        let mut allowed: Vec<_> = nodes(fleet).map(|node| policy.home.includes(node)).collect();
        candidates.iter().for_each(|&place| allowed[place] = true);
        let wanted = Some(policy.replicas.value());
        Self { wanted, candidates, allowed, domains: domains(&policy.spread, fleet) }
    }

    /// For shards that no policy is about: anywhere, as many as there are.
    pub(super) fn without_policy(fleet: &Fleet<'_>) -> Self {
        let candidates = (0..fleet.len()).filter(|&place| fleet.takes_shards(place)).collect();
        let domains = domains(&Spread::default(), fleet);
        Self { wanted: None, candidates, allowed: vec![true; fleet.len()], domains }
    }

    /// Whether a replica may stay on a node. Of an unknown node nothing is known.
    pub(super) fn allows(&self, place: Option<usize>) -> bool {
        place.is_none_or(|place| self.allowed[place])
    }

    /// How many of `others` would fail together with a node.
    pub(super) fn crowding(&self, place: usize, others: &[usize]) -> usize {
        others.iter().filter(|&&other| self.domains[other] == self.domains[place]).count()
    }
}

/// Nodes of the home; while it has none that takes shards, those of the first fallback region that has some.
fn candidates(policy: &Policy, fleet: &Fleet<'_>) -> Vec<usize> {
    let homes = [policy.home.clone()].into_iter().chain(policy.fallback.iter().cloned().map(Home::Region));
    let takers = |home: &Home| -> Vec<usize> {
        (0..fleet.len()).filter(|&place| fleet.takes_shards(place) && home.includes(fleet.node(place))).collect()
    };
    homes.map(|home| takers(&home)).find(|places| !places.is_empty()).unwrap_or_default()
}

fn domains(spread: &Spread, fleet: &Fleet<'_>) -> Vec<u32> {
    let mut numbers = BTreeMap::new();
    let number = |node| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(domain(spread, node)).or_insert(next)
    };
    nodes(fleet).map(number).collect()
}

/// What a node fails together with. Zones of different regions may have one name.
fn domain<'a>(spread: &Spread, node: &'a Node) -> (Option<&'a Label>, Option<&'a Label>, Option<NodeId>) {
    let label = match spread {
        Spread::Node => None,
        Spread::Zone => node.labels.zone(),
        Spread::Label(key) => node.labels.value(key.as_str()),
    };
    match label {
        Some(label) => (node.region(), Some(label), None),
        None => (None, None, Some(node.id)),
    }
}

fn nodes<'a>(fleet: &Fleet<'a>) -> impl Iterator<Item = &'a Node> {
    (0..fleet.len()).map(|place| fleet.node(place))
}
