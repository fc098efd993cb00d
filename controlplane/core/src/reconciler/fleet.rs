//! What the nodes say of themselves and of each other, as long as this replica leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sluice_cluster::{Flow, Liveness, Load, NodeId, NodeReport, PeerStatus, Registration, Report};

use super::Versions;

/// All nodes that were heard of, or should be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fleet {
    nodes: BTreeMap<NodeId, NodeState>,
    /// Those that were silent when time was looked at last.
    silent: BTreeSet<NodeId>,
    /// Those of them that counted as dead.
    dead: BTreeSet<NodeId>,
    /// When a node came that had not been heard of.
    last_new_at: Option<Duration>,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeState {
    /// Whether its stream is open.
    pub is_connected: bool,
    /// When it was last heard of, by control or by a peer.
    pub heard_at: Duration,
    /// What it holds.
    pub held: Versions,
    /// What it says of itself.
    pub registration: Option<Registration>,
    /// What it says of its replicas.
    pub replicas: Option<NodeReport>,
    /// What it carries, once it has said so on this stream.
    pub load: Option<Load>,
    /// What it says of its peers.
    pub peers: BTreeMap<NodeId, PeerState>,
}

/// What a node says of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerState {
    /// When the node last heard it; `None`: never.
    pub heard_at: Option<Duration>,
    /// The smoothed round trip; `None`: not measured.
    pub round_trip: Option<Duration>,
    /// What goes to it.
    pub flow: Flow,
}

impl Fleet {
    /// A node, if it was heard of or should be.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&NodeState> {
        self.nodes.get(&id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &NodeState)> {
        self.nodes.iter().map(|(id, state)| (*id, state))
    }

    /// Those whose stream is open.
    #[must_use]
    pub fn connected(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, state)| state.is_connected).map(|(id, _)| *id).collect()
    }

    /// When a node came that had not been heard of.
    pub(super) fn last_new_at(&self) -> Option<Duration> {
        self.last_new_at
    }

    /// Whether a node is heard of: its stream is open, or it or a peer of it was heard within `silent_after`.
    #[must_use]
    pub fn liveness(&self, id: NodeId, now: Duration, silent_after: Duration) -> Liveness {
        match self.nodes.get(&id) {
            None => Liveness::Silent { since_ms: 0 },
            Some(state) if state.is_connected || now < state.heard_at + silent_after => Liveness::Live,
            Some(state) => Liveness::Silent { since_ms: millis(state.heard_at) },
        }
    }

    /// These nodes should be heard of from here on.
    pub(super) fn expect(&mut self, nodes: impl IntoIterator<Item = NodeId>, now: Duration) {
        for id in nodes {
            self.nodes.entry(id).or_insert_with(|| NodeState { heard_at: now, ..NodeState::default() });
        }
    }

    /// A node is no more.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        self.silent.remove(&id);
        self.dead.remove(&id);
    }

    pub(super) fn opened(&mut self, id: NodeId, held: Versions, now: Duration) {
        if !self.nodes.contains_key(&id) {
            self.last_new_at = Some(now);
        }
        let state = self.nodes.entry(id).or_default();
        (state.is_connected, state.heard_at, state.held) = (true, now, held);
        // A process that has started anew reports again.
        (state.replicas, state.load) = (None, None);
    }

    pub(super) fn holds(&mut self, id: NodeId, held: Versions) {
        if let Some(state) = self.nodes.get_mut(&id) {
            state.held = held;
        }
    }

    pub(super) fn closed(&mut self, id: NodeId, now: Duration) {
        if let Some(state) = self.nodes.get_mut(&id) {
            state.is_connected = false;
            state.heard_at = state.heard_at.max(now);
        }
    }

    /// Takes a report; whether a plan may depend on what is new in it.
    pub(super) fn reported(&mut self, id: NodeId, report: Report, now: Duration) -> bool {
        let Some(state) = self.nodes.get_mut(&id) else { return false };
        match report {
            Report::Registration(registration) => state.registration = Some(registration),
            Report::Load(load) => state.load = Some(load),
            Report::Replicas(replicas) => {
                let replicas = Some(replicas);
                let is_new = state.replicas != replicas;
                state.replicas = replicas;
                return is_new;
            }
            Report::Peers(peers) => self.heard(id, &peers, now),
            // Kept with the routes.
            Report::Interest(_) => {}
        }
        false
    }

    fn heard(&mut self, by: NodeId, peers: &[PeerStatus], now: Duration) {
        let heard_at = |peer: &PeerStatus| peer.silent.map(|silent| now.saturating_sub(silent));
        for peer in peers {
            if let Some(state) = self.nodes.get_mut(&peer.node) {
                state.heard_at = state.heard_at.max(heard_at(peer).unwrap_or_default());
            }
        }
        if let Some(state) = self.nodes.get_mut(&by) {
            let of = |peer: &PeerStatus| PeerState {
                heard_at: heard_at(peer),
                round_trip: peer.round_trip,
                flow: peer.flow,
            };
            state.peers = peers.iter().map(|peer| (peer.node, of(peer))).collect();
        }
    }

    /// Whether a node has fallen silent, counts as dead from here on, or was heard again.
    pub(super) fn handle_timeout(&mut self, now: Duration, silent_after: Duration, dead_after_ms: u64) -> bool {
        let is_silent = |id: &NodeId| self.liveness(*id, now, silent_after) != Liveness::Live;
        let silent: BTreeSet<NodeId> = self.nodes.keys().copied().filter(is_silent).collect();
        let heard_at = |id: &NodeId| self.nodes.get(id).map_or(Duration::ZERO, |state| state.heard_at);
        let is_dead = |id: &NodeId| now >= heard_at(id) + Duration::from_millis(dead_after_ms);
        let dead: BTreeSet<NodeId> = silent.iter().copied().filter(is_dead).collect();
        let has_changed = silent != self.silent || dead != self.dead;
        (self.silent, self.dead) = (silent, dead);
        has_changed
    }

    /// When a node falls silent next.
    pub(super) fn poll_timeout(&self, silent_after: Duration) -> Option<Duration> {
        let waiting = self.nodes.iter().filter(|(id, state)| !state.is_connected && !self.silent.contains(id));
        waiting.map(|(_, state)| state.heard_at + silent_after).min()
    }

    /// When a silent node counts as dead next.
    pub(super) fn next_death(&self, now: Duration, dead_after_ms: u64) -> Option<Duration> {
        let deaths = self.silent.iter().filter_map(|id| self.nodes.get(id));
        deaths.map(|state| state.heard_at + Duration::from_millis(dead_after_ms)).filter(|at| *at > now).min()
    }
}

/// Milliseconds of control's clock.
pub(super) fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT_AFTER: Duration = Duration::from_secs(10);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn status(node: u64, silent: Option<u64>) -> PeerStatus {
        PeerStatus { node: NodeId(node), silent: silent.map(secs), round_trip: None, flow: Flow::default() }
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        fleet.opened(NodeId(1), Versions::default(), secs(0));
        fleet.opened(NodeId(2), Versions::default(), secs(0));
        fleet.closed(NodeId(2), secs(100));
        fleet
    }

    #[test]
    fn a_node_is_live_while_its_stream_is_open_and_some_time_after() {
        let fleet = fleet();
        let at = |now| fleet.liveness(NodeId(2), secs(now), SILENT_AFTER);
        assert_eq!((at(109), at(110)), (Liveness::Live, Liveness::Silent { since_ms: 100_000 }));
        assert_eq!(fleet.liveness(NodeId(1), secs(9_999), SILENT_AFTER), Liveness::Live);
        assert_eq!(fleet.liveness(NodeId(3), secs(0), SILENT_AFTER), Liveness::Silent { since_ms: 0 });
    }

    #[test]
    fn a_node_whose_stream_is_cut_is_live_while_a_peer_hears_it() {
        let mut fleet = fleet();
        fleet.reported(NodeId(1), Report::Peers(vec![status(2, Some(1))]), secs(150));
        assert_eq!(fleet.liveness(NodeId(2), secs(158), SILENT_AFTER), Liveness::Live);
        fleet.reported(NodeId(1), Report::Peers(vec![status(2, Some(11)), status(3, None)]), secs(160));
        assert_eq!(fleet.liveness(NodeId(2), secs(160), SILENT_AFTER), Liveness::Silent { since_ms: 149_000 });
    }

    #[test]
    fn the_time_of_the_next_silence_and_death_is_known() {
        let mut fleet = fleet();
        assert_eq!(fleet.poll_timeout(SILENT_AFTER), Some(secs(110)));
        let has_changed = |now, fleet: &mut Fleet| fleet.handle_timeout(secs(now), SILENT_AFTER, 60_000);
        assert!(!has_changed(109, &mut fleet) && has_changed(110, &mut fleet));
        assert_eq!((fleet.poll_timeout(SILENT_AFTER), fleet.next_death(secs(110), 60_000)), (None, Some(secs(160))));
        assert!(!has_changed(159, &mut fleet) && has_changed(160, &mut fleet));
        assert_eq!(fleet.next_death(secs(160), 60_000), None);
    }

    #[test]
    fn a_report_that_says_nothing_new_is_no_reason_to_plan() {
        let mut fleet = fleet();
        let report = Report::Replicas(NodeReport::default());
        assert!(fleet.reported(NodeId(1), report.clone(), secs(1)) && !fleet.reported(NodeId(1), report, secs(2)));
    }
}
