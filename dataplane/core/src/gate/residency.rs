//! Data that stays where it lives: topics whose messages do not go to other regions.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{
    KeyspaceId, Keyspaces, Node, NodeId, Policies, Policy, RemoteSubscribers, routing::Region, stable_hash,
};

use super::region_of;
use crate::message::put_text;

/// Which regions may have the messages of a topic.
#[derive(Debug, Default)]
pub(super) struct Residency {
    keyspaces: Keyspaces,
    /// Of the keyspaces that are bound to regions: which.
    bound: BTreeMap<KeyspaceId, BTreeSet<Region>>,
    digest: u64,
}

impl Residency {
    /// Takes the policies, and the nodes by which a home is found in regions. Whether that changes which topics are bound to
    /// what.
    pub(super) fn bind(&mut self, policies: &Policies, nodes: &BTreeMap<NodeId, Node>) -> bool {
        let before = self.digest;
        let denying = policies.iter().filter(|policy| policy.remote_subscribers == RemoteSubscribers::Deny);
        let regions = |policy: &Policy| {
            let nodes = nodes.values().filter(|node| policy.home.includes(node));
            nodes.map(region_of).collect::<BTreeSet<Region>>()
        };
        self.bound = denying.map(|policy| (policy.keyspace.id(), regions(policy))).collect();
        self.keyspaces.clone_from(policies.keyspaces());
        self.digest = self.digested();
        self.digest != before
    }

    /// Whether no topic is bound.
    pub(super) fn is_open(&self) -> bool {
        self.bound.is_empty()
    }

    /// Tells one state of which topics are bound to what from others; 0 when none is.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether messages of a topic may go to a region.
    pub(super) fn allows(&self, topic: &str, region: &Region) -> bool {
        if self.is_open() {
            return true;
        }
        let keyspace = self.keyspaces.shard_of_topic(topic).keyspace;
        self.bound.get(&keyspace).is_none_or(|regions| regions.contains(region))
    }

    fn digested(&self) -> u64 {
        if self.is_open() {
            return 0;
        }
        let mut said = Vec::new();
        for keyspace in self.keyspaces.iter() {
            said.extend_from_slice(&keyspace.id().0.to_le_bytes());
            keyspace.filters().iter().for_each(|filter| put_text(&mut said, filter.as_str()));
            let regions = self.bound.get(&keyspace.id()).into_iter().flatten();
            regions.for_each(|region| put_text(&mut said, region));
        }
        stable_hash(&said)
    }
}
