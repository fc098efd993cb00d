//! Where sessions and retained messages have their home, and whether this node can talk to it.

use std::{collections::BTreeSet, sync::Arc};

use sluice_cluster::{NodeId, Placement, Replicas};

/// What a worker knows of homes: an immutable state, given anew when something changes.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    me: NodeId,
    placement: Option<Arc<Placement>>,
    reachable: BTreeSet<NodeId>,
}

/// Where something has its home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// At this node.
    Here,
    /// At another node, to which there is a link.
    Away(NodeId),
    /// At another node, to which there is none.
    Unreachable(NodeId),
}

impl Homes {
    /// What node `me` knows. Without a placement everything is at home here.
    #[must_use]
    pub fn new(me: NodeId, placement: Option<Arc<Placement>>, reachable: BTreeSet<NodeId>) -> Self {
        Self { me, placement, reachable }
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

    /// A shard that nobody has been given yet is served where its clients are.
    fn home<'a>(&'a self, find: impl Fn(&'a Placement) -> Option<&'a Replicas>) -> Home {
        let replicas = self.placement.as_deref().and_then(find);
        let Some(&node) = replicas.and_then(|replicas| replicas.voters().first()) else { return Home::Here };
        if node == self.me {
            Home::Here
        } else if self.reachable.contains(&node) {
            Home::Away(node)
        } else {
            Home::Unreachable(node)
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{KeyspaceId, Keyspaces, ShardKey, Version};

    use super::*;

    #[test]
    fn a_home_is_here_or_away_or_out_of_reach_and_what_nobody_has_is_here() {
        let keyspaces = Keyspaces::default();
        let key = |client| keyspaces.shard_of_client(client);
        let at = |node| Replicas::first([NodeId(node)]).unwrap();
        let shards = [(key("a"), at(1)), (key("b"), at(2)), (key("c"), at(3))].into_iter().collect();
        let placement = Placement::new(Version::default(), keyspaces.clone(), shards).unwrap();
        let homes = Homes::new(NodeId(1), Some(Arc::new(placement)), [NodeId(2)].into_iter().collect());
        let of = ["a", "b", "c", "d"].map(|client| homes.of_client(client));
        assert_eq!(of, [Home::Here, Home::Away(NodeId(2)), Home::Unreachable(NodeId(3)), Home::Here]);
        assert_eq!(Homes::default().of_client("b"), Home::Here);
        assert_ne!(ShardKey { keyspace: KeyspaceId::TOPICS, ..key("a") }, key("a"));
        assert_eq!(homes.of_topic("a"), Home::Here);
    }
}
