//! Which nodes take in what other regions send to their own.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{Liveness, Node, NodeId, NodePhase};

/// Chooses gateways: of each region at most [`GATEWAYS_MAX`] nodes that serve and are heard of. Those that were chosen stay
/// while they can; a region none of whose nodes is heard of keeps what it had, since nobody better is known.
pub(super) fn choose(nodes: &[Node], before: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let mut regions: BTreeMap<Option<&sluice_cluster::Label>, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        regions.entry(node.region()).or_default().push(node);
    }
    regions.into_values().flat_map(|nodes| choose_of_region(nodes, before)).collect()
}

fn choose_of_region(mut nodes: Vec<&Node>, before: &BTreeSet<NodeId>) -> Vec<NodeId> {
    // Those that were chosen first, then those that stay, then by id, which is the same on every replica.
    nodes.sort_by_key(|node| (unfitness(node.phase), !before.contains(&node.id), node.id));
    let heard: Vec<NodeId> = nodes.iter().filter(|node| node.liveness == Liveness::Live).map(|node| node.id).collect();
    let candidates = if heard.is_empty() {
        nodes.iter().map(|node| node.id).filter(|id| before.contains(id)).collect()
    } else {
        heard
    };
    candidates.into_iter().take(GATEWAYS_MAX).collect()
}

/// A node that leaves is chosen only while no other is there.
fn unfitness(phase: NodePhase) -> u8 {
    match phase {
        NodePhase::Active | NodePhase::Cordoned => 0,
        NodePhase::Draining => 1,
        NodePhase::Joining => 2,
        NodePhase::Gone => 3,
    }
}

/// Two of a region: one that takes over at once, without spreading links over all pairs of nodes.
pub(super) const GATEWAYS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use sluice_cluster::{Label, Labels, Weight};

    use super::*;

    fn node(id: u64, region: &str, phase: NodePhase, liveness: Liveness) -> Node {
        let labels = Labels::new([(Label::parse("region").unwrap(), Label::parse(region).unwrap())]).unwrap();
        Node { id: NodeId(id), labels, weight: Weight::default(), phase, liveness }
    }

    fn ids(set: &BTreeSet<NodeId>) -> Vec<u64> {
        set.iter().map(|id| id.0).collect()
    }

    const SILENT: Liveness = Liveness::Silent { since_ms: 0 };

    #[test]
    fn two_of_each_region_are_chosen_and_stay_until_they_are_not_heard_of() {
        use NodePhase::{Active, Draining};
        let live = |id, region| node(id, region, Active, Liveness::Live);
        let mut nodes = vec![live(1, "eu"), live(2, "eu"), live(3, "eu"), live(9, "us")];
        let first = choose(&nodes, &BTreeSet::new());
        assert_eq!(ids(&first), [1, 2, 9]);
        nodes[0].liveness = SILENT;
        let second = choose(&nodes, &first);
        assert_eq!(ids(&second), [2, 3, 9]);
        nodes[0].liveness = Liveness::Live;
        assert_eq!(choose(&nodes, &second), second, "who came back does not push anybody out");
        nodes[1].phase = Draining;
        assert_eq!(ids(&choose(&nodes, &second)), [1, 3, 9]);
        nodes[3].liveness = SILENT;
        assert!(choose(&nodes, &second).contains(&NodeId(9)), "nobody better is known");
    }
}
