//! Nodes as control meets them: they hold what was pushed, never go back, and report what they do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{
    Flow, Label, Labels, Member, NodeId, NodeReport, PeerStatus, Placement, Process, ProtocolRange, Registration,
    Report, ShardStatus, Version, Weight,
    interest::{Incarnation, Interest, InterestFrame, InterestLimits, InterestSource},
    routing::BaseTable,
};
use sluice_controlplane_core::reconciler::{Publication, Versions};
use sluice_discovery::ResourceType;
use sluice_topic::{Limits, ParsedFilter};

/// A node.
pub(crate) struct SimNode {
    pub(crate) id: NodeId,
    pub(crate) region: &'static str,
    pub(crate) is_up: bool,
    /// Which replica its stream is open to.
    pub(crate) stream: Option<usize>,
    pub(crate) held: Versions,
    pub(crate) members: Option<Arc<Vec<Member>>>,
    pub(crate) placement: Option<Arc<Placement>>,
    pub(crate) routes: Option<Arc<BaseTable>>,
    pub(crate) interest: InterestSource,
    /// Whether it does what the placement says; a lazy one reports without having copied anything.
    pub(crate) is_lazy: bool,
    lives: u64,
}

impl SimNode {
    pub(crate) fn new(id: u64, region: &'static str) -> Self {
        let mut node = Self {
            id: NodeId(id),
            region,
            is_up: true,
            stream: None,
            held: Versions::default(),
            members: None,
            placement: None,
            routes: None,
            interest: InterestSource::new(Incarnation(1), InterestLimits::default()),
            is_lazy: false,
            lives: 1,
        };
        node.want(&format!("of/{id}"));
        node
    }

    pub(crate) fn want(&mut self, filter: &str) {
        let filter = ParsedFilter::parse(filter, &Limits::default()).unwrap();
        self.interest.set(&filter, Some(Interest::default()));
    }

    /// Its process starts anew, with what it had on its disk.
    pub(crate) fn restart(&mut self) {
        self.lives += 1;
        self.is_up = true;
        self.stream = None;
        self.interest = InterestSource::new(Incarnation(self.lives), InterestLimits::default());
        self.want(&format!("of/{}", self.id.0));
    }

    pub(crate) fn registration(&self) -> Registration {
        let label = |text: &str| Label::parse(text).unwrap();
        let process = Process {
            peer_addresses: vec![format!("10.0.0.{}:7070", self.id.0).parse().unwrap()],
            client_addresses: vec![],
            build: "0.1.0".parse().unwrap(),
            peer_protocol: ProtocolRange::new(1, 1).unwrap(),
            workers: 2,
        };
        let labels = Labels::new([(label("region"), label(self.region))]).unwrap();
        Registration { labels, weight: Weight::default(), process }
    }

    /// Takes what is pushed, under the version that the push has.
    pub(crate) fn apply(&mut self, publication: &Publication, version: Version) {
        let kind = match publication {
            Publication::Nodes(_) => ResourceType::Nodes,
            Publication::Placement(_) => ResourceType::Placement,
            Publication::Routes(region, _) if **region != *self.region => return,
            Publication::Routes(..) => ResourceType::Routes,
            Publication::Policy(_) => ResourceType::Policy,
        };
        let held = self.held.of_mut(kind);
        assert!(version >= *held, "I26: {kind:?} of {} would go from {held} back to {version}", self.id);
        *held = version;
        match publication {
            Publication::Nodes(members) => self.members = Some(members.clone()),
            Publication::Placement(placement) => {
                let before = self.placement.as_ref().map_or(Version::ZERO, |before| before.version());
                assert!(placement.version() >= before, "I26: placement {} after {before}", placement.version());
                self.placement = Some(placement.clone());
            }
            Publication::Routes(_, table) => self.routes = Some(table.clone()),
            Publication::Policy(_) => {}
        }
    }

    /// What it says of its replicas.
    pub(crate) fn replicas(&self) -> Report {
        let Some(placement) = &self.placement else { return Report::Replicas(NodeReport::default()) };
        let of_me = placement
            .shards()
            .iter()
            .filter(|(_, of)| of.voters().contains(&self.id) || of.learners().contains(&self.id));
        let status = |of: &sluice_cluster::Replicas| ShardStatus {
            epoch: of.epoch(),
            is_caught_up: of.voters().contains(&self.id) || !self.is_lazy,
            is_empty: false,
        };
        let shards: BTreeMap<_, _> = of_me.map(|(key, of)| (*key, status(of))).collect();
        Report::Replicas(NodeReport { applied: placement.version(), shards })
    }

    /// Whom it hears: all that are up.
    pub(crate) fn peers(&self, up: &[NodeId]) -> Report {
        let heard = |node: &NodeId| PeerStatus {
            node: *node,
            silent: Some(Duration::ZERO),
            round_trip: None,
            flow: Flow::default(),
        };
        Report::Peers(up.iter().filter(|node| **node != self.id).map(heard).collect())
    }

    pub(crate) fn on_interest(&mut self, control: NodeId, frame: &InterestFrame, now: Duration) {
        self.interest.handle(control, frame, now);
    }
}
