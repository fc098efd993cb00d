//! Which clients are told to connect to another node, and to which (Server Reference, MQTT 4.11).
//!
//! A table of what is known of the nodes, and decisions of it. What it cannot know is that a client does not follow:
//! [`Pointed`] remembers who was told, so that nobody is told for ever.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::BuildHasher as _,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_cluster::{
    Carrier, ClientAddress, Home as Area, KeyspaceId, Node, NodeId, NodePhase, Policies, Steer, SteerTo,
    routing::Region, stable_hash,
};
use sluice_mqtt::Version;

use crate::{
    gate::region_of,
    homes::Home,
    stats::{Steered, Unsteered},
};

/// What a node knows of where clients may go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Steering {
    me: NodeId,
    steer: Steer,
    nodes: BTreeMap<NodeId, Post>,
}

/// What clients find at a node.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Post {
    /// Whether clients may be sent there.
    takes_clients: bool,
    /// Whether operators want its clients to leave it.
    is_draining: bool,
    /// Whether the home in the policy of sessions includes it.
    in_area: bool,
    region: Region,
    addresses: Vec<ClientAddress>,
}

/// A client that may be served: authenticated, and with a right to its client id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comer<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) version: Version,
    /// Whether its session ends with its connection.
    pub(crate) is_transient: bool,
    /// What it came by; `None`: something that no other machine has.
    pub(crate) carrier: Option<Carrier>,
    /// The node it is connected to, if it is another one.
    pub(crate) via: Option<NodeId>,
    /// Where its session has its home.
    pub(crate) home: Home,
}

/// What to do with a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// It is where it should be.
    Serve,
    /// It is served here, though it should be elsewhere.
    Stay(Unsteered),
    /// It is told to connect elsewhere.
    Go {
        /// Where; empty: nothing is known that it could use.
        reference: String,
        /// Why.
        cause: Steered,
    },
}

impl Steering {
    /// What node `me` knows.
    pub(crate) fn new(
        me: NodeId,
        policies: &Policies,
        nodes: &BTreeMap<NodeId, Node>,
        addresses: &BTreeMap<NodeId, Vec<ClientAddress>>,
    ) -> Self {
        let policy = policies.of(KeyspaceId::SESSIONS);
        let area = policy.map_or(Area::Anywhere, |policy| policy.home.clone());
        let post = |(&id, node): (&NodeId, &Node)| {
            let post = Post {
                takes_clients: node.takes_work(),
                is_draining: node.phase == NodePhase::Draining,
                in_area: area.includes(node),
                region: region_of(node),
                addresses: addresses.get(&id).cloned().unwrap_or_default(),
            };
            (id, post)
        };
        let steer = policy.map(|policy| policy.steer).unwrap_or_default();
        Self { me, steer, nodes: nodes.iter().map(post).collect() }
    }

    /// What to do with a client, who has all rights that it needs to be served here. `reachable`: the nodes that this one
    /// has a link to.
    pub(crate) fn decide(&self, reachable: &BTreeSet<NodeId>, comer: &Comer<'_>) -> Decision {
        let entrance = comer.via.unwrap_or(self.me);
        if self.is_left(entrance, reachable) {
            let reference = self.references(reachable, comer);
            return Decision::Go { reference, cause: Steered::DrainConnect };
        }
        let in_area = |id: NodeId| self.nodes.get(&id).is_some_and(|post| post.in_area);
        let cause = match self.steer.to {
            SteerTo::Nowhere => return Decision::Serve,
            SteerTo::Area if in_area(entrance) => return Decision::Serve,
            SteerTo::Area => Steered::Area,
            SteerTo::Home => Steered::Home,
        };
        let home = self.node_of(comer.home);
        if home == Some(entrance) {
            return Decision::Serve;
        }
        if comer.version != Version::V5 {
            return Decision::Stay(Unsteered::OldProtocol);
        }
        if comer.is_transient && !self.steer.transient {
            return Decision::Stay(Unsteered::Transient);
        }
        let goes = |id: &NodeId| self.is_open(*id, reachable) && (cause == Steered::Home || in_area(*id));
        let Some(home) = home.filter(goes) else { return Decision::Stay(Unsteered::Unavailable) };
        match self.address(home, comer.carrier) {
            Some(reference) => Decision::Go { reference: reference.to_owned(), cause },
            None => Decision::Stay(Unsteered::NoAddress),
        }
    }

    /// Whether clients shall leave a node: it is drained, and another one can take them.
    pub(crate) fn is_left(&self, entrance: NodeId, reachable: &BTreeSet<NodeId>) -> bool {
        let is_draining = self.nodes.get(&entrance).is_some_and(|post| post.is_draining);
        is_draining && self.nodes.keys().any(|id| *id != entrance && self.is_open(*id, reachable))
    }

    /// Whether any node is drained.
    pub(crate) fn has_draining(&self) -> bool {
        self.nodes.values().any(|post| post.is_draining)
    }

    /// Where a client of a node that is drained may go, the best first, separated by spaces: to the home of its session,
    /// then to nodes of the region it came to, then to others. Which of these comes first is spread over the clients.
    pub(crate) fn references(&self, reachable: &BTreeSet<NodeId>, comer: &Comer<'_>) -> String {
        let entrance = comer.via.unwrap_or(self.me);
        let region = self.nodes.get(&entrance).map(|post| &post.region);
        let serves =
            |id: NodeId| id != entrance && self.is_open(id, reachable) && self.address(id, comer.carrier).is_some();
        let (mut near, mut far): (Vec<NodeId>, Vec<NodeId>) = (Vec::new(), Vec::new());
        for (id, post) in self.nodes.iter().filter(|(id, _)| serves(**id)) {
            if Some(&post.region) == region { near.push(*id) } else { far.push(*id) }
        }
        for nodes in [&mut near, &mut far] {
            let turn = stable_hash(comer.client_id.as_bytes()) % nodes.len().max(1) as u64;
            nodes.rotate_left(turn as usize);
        }
        let mut all = if near.is_empty() { far } else { near };
        if let Some(home) = self.node_of(comer.home).filter(|home| serves(*home)) {
            all.retain(|id| *id != home);
            all.insert(0, home);
        }
        let texts = all.iter().filter_map(|id| self.address(*id, comer.carrier)).take(REFERENCES_MAX);
        texts.collect::<Vec<_>>().join(" ")
    }

    fn node_of(&self, home: Home) -> Option<NodeId> {
        match home {
            Home::Here => Some(self.me),
            Home::Away(node) => Some(node),
            Home::Unreachable => None,
        }
    }

    /// Whether clients may be sent to a node.
    fn is_open(&self, id: NodeId, reachable: &BTreeSet<NodeId>) -> bool {
        let takes = self.nodes.get(&id).is_some_and(|post| post.takes_clients);
        takes && (id == self.me || reachable.contains(&id))
    }

    /// Where clients that come by a carrier find a node.
    fn address(&self, id: NodeId, carrier: Option<Carrier>) -> Option<&str> {
        let of_kind = |address: &&ClientAddress| Some(address.carrier) == carrier;
        Some(self.nodes.get(&id)?.addresses.iter().find(of_kind)?.address.as_str())
    }
}

/// Who was told to go elsewhere a short time ago. Who comes back all the same cannot follow, and is served.
///
/// Bounded: while too many are remembered, nobody else is told.
pub(crate) struct Pointed {
    hash: FixedState,
    until_ms: HashMap<u64, u64, FixedState>,
    /// In the order in which they are forgotten. One that was forgotten earlier is still in it.
    due: VecDeque<(u64, u64)>,
}

impl Pointed {
    /// Nobody. `seed` keys the hashes of client ids.
    pub(crate) fn new(seed: u64) -> Self {
        let hash = FixedState::with_seed(seed);
        Self { until_ms: HashMap::with_hasher(hash.clone()), hash, due: VecDeque::new() }
    }

    /// Whether a client may be told, which is then remembered.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn point(&mut self, now_ms: u64, client_id: &str) -> Result<(), Unsteered> {
        self.forget_old(now_ms);
        let client = self.hash.hash_one(client_id);
        if self.until_ms.contains_key(&client) {
            return Err(Unsteered::CameBack);
        }
        if self.due.len() >= POINTED_MAX {
            return Err(Unsteered::TooMany);
        }
        let until_ms = now_ms + POINTED_MS;
        self.until_ms.insert(client, until_ms);
        self.due.push_back((until_ms, client));
        Ok(())
    }

    /// A client has come to where it should be: it can follow.
    pub(crate) fn arrived(&mut self, client_id: &str) {
        if !self.until_ms.is_empty() {
            self.until_ms.remove(&self.hash.hash_one(client_id));
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        while let Some(&(until_ms, client)) = self.due.front()
            && until_ms <= now_ms
        {
            self.due.pop_front();
            if self.until_ms.get(&client) == Some(&until_ms) {
                self.until_ms.remove(&client);
            }
        }
    }
}

/// References of a client whose node is drained: one to use, and two if that one does not answer.
const REFERENCES_MAX: usize = 3;

/// How long it is remembered that a client was told: many times what clients wait between two tries, and short against the
/// life of a connection.
const POINTED_MS: u64 = 10 * 60 * 1000;

/// Clients of a worker that are remembered: at most 2 MiB.
const POINTED_MAX: usize = 1 << 15;

#[cfg(test)]
mod tests;
