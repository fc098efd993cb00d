//! What a placement changes against another: for previews, which show it before anybody decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use sluice_cluster::{NodeId, Placement, Replicas, ShardKey};

/// What is different between two placements.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlacementDiff {
    /// Shards whose replicas are different, with both.
    pub shards: BTreeMap<ShardKey, ShardChange>,
    /// Nodes that have another number of shards.
    pub nodes: BTreeMap<NodeId, NodeChange>,
}

/// The replicas of a shard, before and after; `None`: it is not placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardChange {
    /// Before.
    pub before: Option<Replicas>,
    /// After.
    pub after: Option<Replicas>,
}

impl ShardChange {
    /// Nodes that will have the shard and did not.
    #[must_use]
    pub fn gaining(&self) -> BTreeSet<NodeId> {
        target(self.after.as_ref()).difference(&target(self.before.as_ref())).copied().collect()
    }

    /// Nodes that had the shard and will not.
    #[must_use]
    pub fn losing(&self) -> BTreeSet<NodeId> {
        target(self.before.as_ref()).difference(&target(self.after.as_ref())).copied().collect()
    }
}

/// How many shards a node has when all that is under way is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeChange {
    /// Before.
    pub before: u32,
    /// After.
    pub after: u32,
}

impl PlacementDiff {
    /// Shards that have to be copied to a node that did not have them; new ones are not.
    #[must_use]
    pub fn copies(&self) -> usize {
        let copied = self.shards.values().filter(|change| change.before.is_some());
        copied.map(|change| change.gaining().len()).sum()
    }
}

/// Compares two placements.
#[must_use]
pub fn diff(old: &Placement, new: &Placement) -> PlacementDiff {
    let keys: BTreeSet<ShardKey> = old.shards().keys().chain(new.shards().keys()).copied().collect();
    let mut changes = PlacementDiff::default();
    for key in keys {
        let (before, after) = (old.replicas(key).cloned(), new.replicas(key).cloned());
        for node in target(before.as_ref()) {
            changes.nodes.entry(node).or_default().before += 1;
        }
        for node in target(after.as_ref()) {
            changes.nodes.entry(node).or_default().after += 1;
        }
        if before != after {
            changes.shards.insert(key, ShardChange { before, after });
        }
    }
    changes.nodes.retain(|_, change| change.before != change.after);
    changes
}

impl fmt::Display for PlacementDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} shards change, {} copies", self.shards.len(), self.copies())?;
        for (key, change) in &self.shards {
            let signed = |sign: &str, nodes: BTreeSet<NodeId>| -> String {
                nodes.iter().map(|node| format!(" {sign}{node}")).collect()
            };
            writeln!(f, "  {key}{}{}", signed("+", change.gaining()), signed("-", change.losing()))?;
        }
        self.nodes.iter().try_for_each(|(node, change)| {
            writeln!(f, "  node {node}: {} shards, {} then", change.before, change.after)
        })
    }
}

fn target(replicas: Option<&Replicas>) -> BTreeSet<NodeId> {
    replicas.map(|replicas| replicas.target().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{Keyspaces, Version};

    use super::*;

    fn placement(entries: &[(u16, &[u64])]) -> Placement {
        let entry = |(shard, nodes): &(u16, &[u64])| {
            let key = ShardKey { shard: sluice_cluster::ShardId(*shard), ..ShardKey::default() };
            (key, Replicas::first(nodes.iter().map(|node| NodeId(*node))).unwrap())
        };
        Placement::new(Version::default(), Keyspaces::default(), entries.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_diff_says_who_gains_and_loses_which_shard_and_what_that_makes_of_each_node() {
        let old = placement(&[(0, &[1]), (1, &[1, 2]), (2, &[2])]);
        let new = placement(&[(0, &[1]), (1, &[1, 3]), (3, &[3])]);
        let changes = diff(&old, &new);
        assert_eq!(changes.copies(), 1, "a new shard is not copied");
        let text = changes.to_string().replace("00000000000000", "");
        assert_eq!(
            text,
            "3 shards change, 1 copies\n  sessions/1 +03 -02\n  sessions/2 -02\n  sessions/3 +03\n  \
             node 02: 2 shards, 0 then\n  node 03: 0 shards, 2 then\n"
        );
        assert_eq!(diff(&old, &old), PlacementDiff::default());
    }
}
