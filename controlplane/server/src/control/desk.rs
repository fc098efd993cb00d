//! What the driver knows, for those who ask.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use sluice_cluster::{Liveness, Load, NodeId, Version, routing::Target};
use sluice_controlplane_core::reconciler::{Office, Reconciler};
use sluice_controlplane_store::{Status, StoreError};
use sluice_discovery::ResourceType;

use super::{channels::Channels, streams::Stream};
use crate::NodeStatus;

/// What the driver knows.
pub struct Desk {
    pub(super) reconciler: Reconciler,
    pub(super) streams: BTreeMap<NodeId, Stream>,
    pub(super) channels: Option<Channels>,
    pub(super) store_status: Option<Result<Status, StoreError>>,
    pub(super) began: Instant,
    /// How many reports nodes have sent, and how often they have come, gone or held something else.
    pub(super) heard: (u64, u64),
}

impl Desk {
    /// How many reports nodes have sent, and how often they have come, gone or held something else.
    pub(crate) fn heard(&self) -> (u64, u64) {
        self.heard
    }

    /// The reconciler.
    #[must_use]
    pub fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// Whether this replica leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self.reconciler.office(), Office::Leading { .. })
    }

    /// How the store is, as it was last asked.
    pub(crate) fn store_status(&self) -> Option<&Result<Status, StoreError>> {
        self.store_status.as_ref()
    }

    /// Whether a node is heard of.
    pub(crate) fn liveness(&self, id: NodeId) -> Liveness {
        let input = self.reconciler.plan_input();
        input.and_then(|input| Some(input.nodes.get(&id)?.node.liveness)).unwrap_or(Liveness::Silent { since_ms: 0 })
    }

    /// Where a node's stream comes from.
    pub(crate) fn remote(&self, id: NodeId) -> Option<SocketAddr> {
        self.streams.get(&id)?.remote
    }

    /// What a node holds and refuses.
    pub(crate) fn status(&self, id: NodeId) -> Option<&NodeStatus> {
        self.streams.get(&id).map(|stream| &stream.status)
    }

    /// The version of a type that a node should hold.
    pub(crate) fn published(&self, id: NodeId, kind: ResourceType) -> Option<Version> {
        let region = &self.streams.get(&id)?.region;
        self.channels.as_ref()?.publishers().published(region, kind)
    }

    /// What a node carries, as long as it is connected and has said so.
    pub(crate) fn load(&self, id: NodeId) -> Option<&Load> {
        self.reconciler.fleet().node(id).filter(|state| state.is_connected)?.load.as_ref()
    }

    /// What all nodes carry that say so.
    pub(crate) fn loads(&self) -> impl Iterator<Item = &Load> {
        self.reconciler.fleet().iter().filter_map(|(id, _)| self.load(id))
    }

    /// Nodes that should say something and do not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let Some(view) = self.reconciler.view() else { return Vec::new() };
        let present = view.nodes().filter(|(_, node)| !node.is_gone()).map(|(id, _)| id);
        present.filter(|id| !self.streams.contains_key(id)).map(|id| id.to_string()).collect()
    }

    /// To whom a message of a topic would go, by the routes of each region.
    pub(crate) fn subscribers(&self, topic: &str) -> Vec<String> {
        let targets = self.reconciler.routes().flat_map(|table| table.targets(topic));
        // Targets in another region are named by that region's own table.
        let node = |target| if let Target::Node(id) = target { Some(id.to_string()) } else { None };
        let mut found: Vec<String> = targets.filter_map(node).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Whether a node's stream is open to this replica.
    pub(crate) fn is_connected(&self, id: NodeId) -> bool {
        self.streams.contains_key(&id)
    }

    /// How many streams are open, and of how many the node does not hold all that is published.
    pub(crate) fn streams(&self) -> (usize, usize) {
        let stale = self.streams.values().filter(|stream| !stream.status.is_current).count();
        (self.streams.len(), stale)
    }

    /// Since when a node's stream is open, as time since this process started.
    pub(crate) fn connected_since(&self, id: NodeId) -> Option<Duration> {
        self.streams.get(&id).map(|stream| stream.since)
    }

    /// Types that cannot be pushed, and why.
    pub(crate) fn push_failures(&self) -> Vec<String> {
        let failures = self.channels.iter().flat_map(|channels| channels.publishers().failures());
        failures.map(|(kind, reason)| format!("{kind:?}: {reason}")).collect()
    }

    /// Time since this process started.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
