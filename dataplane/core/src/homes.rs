//! Where sessions and retained messages have their home, and whether this node can talk to it.

use std::{collections::BTreeSet, sync::Arc};

use sluice_cluster::{KeyspaceId, NodeId, Placement, Replicas};

use crate::steering::{Comer, Decision, Steering};

/// What a worker knows of homes: an immutable state, given anew when something changes.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    me: NodeId,
    /// Whether there are other nodes at all.
    is_clustered: bool,
    placement: Option<Arc<Placement>>,
    reachable: BTreeSet<NodeId>,
    steering: Arc<Steering>,
}

/// Where something has its home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// At this node.
    Here,
    /// At another node, to which there is a link.
    Away(NodeId),
    /// At another node, to which there is none, or nobody knows where.
    Unreachable,
}

impl Homes {
    /// What node `me` of a cluster knows. The default is that of a node that is alone: everything is at home here.
    #[must_use]
    pub fn new(me: NodeId, placement: Option<Arc<Placement>>, reachable: BTreeSet<NodeId>) -> Self {
        Self { me, is_clustered: true, placement, reachable, steering: Arc::default() }
    }

    /// The same, with what is known of where clients may go.
    #[must_use]
    pub(crate) fn with_steering(self, steering: Arc<Steering>) -> Self {
        Self { steering, ..self }
    }

    /// What to do with a client that may be served here.
    pub(crate) fn decide(&self, comer: &Comer<'_>) -> Decision {
        self.steering.decide(&self.reachable, comer)
    }

    /// Whether clients shall leave the node that they are connected to; `None`: this one.
    pub(crate) fn is_left(&self, entrance: Option<NodeId>) -> bool {
        self.steering.is_left(entrance.unwrap_or(self.me), &self.reachable)
    }

    /// Whether any node is drained.
    pub(crate) fn has_draining(&self) -> bool {
        self.steering.has_draining()
    }

    /// Where a client of a node that is drained may go; empty: nothing is known that it could use.
    pub(crate) fn references(&self, comer: &Comer<'_>) -> String {
        self.steering.references(&self.reachable, comer)
    }

    /// The home of a client's session.
    #[must_use]
    pub fn of_client(&self, client_id: &str) -> Home {
        self.home(|placement| placement.of_client(client_id).1)
    }

    /// The home of a topic's retained message.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> Home {
        self.home(|placement| placement.of_topic(topic).1)
    }

    /// The node that has a topic's retained message, if there is one and it is another.
    pub(crate) fn node_of_topic(&self, topic: &str) -> Option<NodeId> {
        let voter = self.placement.as_deref().and_then(|placement| first_voter(placement.of_topic(topic).1));
        voter.filter(|&node| node != self.me)
    }

    /// Whether a node has retained messages. Taken to be so while nobody knows.
    pub(crate) fn has_topics(&self, node: NodeId) -> bool {
        self.placement.as_deref().is_none_or(|placement| homes_of_topics(placement).any(|home| home == node))
    }

    /// Other nodes that have retained messages.
    pub(crate) fn of_topics(&self) -> BTreeSet<NodeId> {
        let homes = self.placement.as_deref().into_iter().flat_map(homes_of_topics);
        homes.filter(|&node| node != self.me).collect()
    }

    fn home<'a>(&'a self, find: impl Fn(&'a Placement) -> Option<&'a Replicas>) -> Home {
        if !self.is_clustered {
            return Home::Here;
        }
        match self.placement.as_deref().and_then(|placement| first_voter(find(placement))) {
            Some(node) if node == self.me => Home::Here,
            Some(node) if self.reachable.contains(&node) => Home::Away(node),
            Some(_) | None => Home::Unreachable,
        }
    }
}

fn homes_of_topics(placement: &Placement) -> impl Iterator<Item = NodeId> {
    let shards = placement.shards().iter().filter(|(key, _)| key.keyspace != KeyspaceId::SESSIONS);
    shards.filter_map(|(_, replicas)| first_voter(Some(replicas)))
}

fn first_voter(replicas: Option<&Replicas>) -> Option<NodeId> {
    replicas?.voters().first().copied()
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{Keyspaces, ShardKey, Version};

    use super::*;

    #[test]
    fn a_home_is_here_or_away_or_out_of_reach_and_what_nobody_has_is_out_of_reach_too() {
        let keyspaces = Keyspaces::default();
        let key = |client| keyspaces.shard_of_client(client);
        let at = |node| Replicas::first([NodeId(node)]).unwrap();
        let shards = [(key("a"), at(1)), (key("b"), at(2)), (key("c"), at(3))].into_iter().collect();
        let placement = Placement::new(Version::default(), keyspaces.clone(), shards).unwrap();
        let homes = Homes::new(NodeId(1), Some(Arc::new(placement)), [NodeId(2)].into_iter().collect());
        let of = ["a", "b", "c", "d"].map(|client| homes.of_client(client));
        assert_eq!(of, [Home::Here, Home::Away(NodeId(2)), Home::Unreachable, Home::Unreachable]);
        assert_eq!(Homes::default().of_client("b"), Home::Here, "a node that is alone");
        assert_eq!(Homes::new(NodeId(1), None, BTreeSet::new()).of_client("a"), Home::Unreachable, "not told yet");
        assert_ne!(ShardKey { keyspace: KeyspaceId::TOPICS, ..key("a") }, key("a"));
        assert_eq!(homes.of_topic("a"), Home::Unreachable);
    }
}
