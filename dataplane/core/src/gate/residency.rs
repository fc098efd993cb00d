//! Data that stays where it lives: topics whose messages do not go to other regions.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{KeyspaceId, Node, NodeId, Policies, RemoteSubscribers, routing::Region};

use super::region_of;

/// Which regions may have the messages of a topic.
#[derive(Debug, Default)]
pub(super) struct Residency {
    policies: Policies,
    nodes: BTreeMap<NodeId, Node>,
    /// Of the keyspaces that are bound to regions: which.
    bound: BTreeMap<KeyspaceId, BTreeSet<Region>>,
}

impl Residency {
    /// Takes the nodes, by which a home is found in regions.
    pub(super) fn set_nodes(&mut self, nodes: &BTreeMap<NodeId, Node>) {
        self.nodes.clone_from(nodes);
        self.bind();
    }

    /// Takes the policies.
    pub(super) fn set_policies(&mut self, policies: Policies) {
        self.policies = policies;
        self.bind();
    }

    /// Whether no topic is bound.
    pub(super) fn is_open(&self) -> bool {
        self.bound.is_empty()
    }

    /// Whether messages of a topic may go to a region.
    pub(super) fn allows(&self, topic: &str, region: &Region) -> bool {
        if self.is_open() {
            return true;
        }
        let keyspace = self.policies.keyspaces().shard_of_topic(topic).keyspace;
        self.bound.get(&keyspace).is_none_or(|regions| regions.contains(region))
    }

    fn bind(&mut self) {
        let denying = self.policies.iter().filter(|policy| policy.remote_subscribers == RemoteSubscribers::Deny);
        let regions = |policy: &sluice_cluster::Policy| {
            let nodes = self.nodes.values().filter(|node| policy.home.includes(node));
            nodes.map(region_of).collect::<BTreeSet<Region>>()
        };
        self.bound = denying.map(|policy| (policy.keyspace.id(), regions(policy))).collect();
    }
}
