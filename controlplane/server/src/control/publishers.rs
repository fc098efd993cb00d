//! What the reconciler puts out as resources: one publisher for each region, since each region has its own routes.
//!
//! All regions count together, so that whatever a node holds of one region, what is published to another later is newer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{Epoch, NodeId, Version, routing::Region, wire::resources};
use sluice_controlplane_core::reconciler::Publication;
use sluice_discovery::{Body, Limits, Name, PublishError, Publisher, ResourceType, Snapshot, Warming};
use tokio::sync::watch;
use tracing::error;

type Wanted = BTreeMap<Name, Body>;

/// The publishers of one leadership.
pub(super) struct Publishers {
    epoch: Epoch,
    limits: Limits,
    counter: u64,
    is_warm: bool,
    /// What is the same in all regions.
    shared: BTreeMap<ResourceType, Wanted>,
    regions: BTreeMap<Region, OfRegion>,
    /// Which placement each version of the push carries: nodes say which push they have applied.
    placements: BTreeMap<Version, Version>,
    /// The placement that is put out.
    placement: Version,
    failures: BTreeMap<ResourceType, String>,
}

struct OfRegion {
    publisher: Publisher,
    routes: Option<Wanted>,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Publishers {
    pub(super) fn new(epoch: Epoch, limits: Limits) -> Self {
        Self {
            epoch,
            limits,
            counter: 0,
            is_warm: false,
            shared: BTreeMap::new(),
            regions: BTreeMap::new(),
            placements: BTreeMap::new(),
            placement: Version::ZERO,
            failures: BTreeMap::new(),
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last count given: what a node holds beyond is not from here.
    pub(super) fn counter(&self) -> u64 {
        self.counter
    }

    /// Types that cannot be pushed, and why.
    pub(super) fn failures(&self) -> &BTreeMap<ResourceType, String> {
        &self.failures
    }

    /// The placement that a push carried; the first of all, if it is none of this leader's.
    pub(super) fn placement_of(&self, push: Version) -> Version {
        self.placements.get(&push).copied().unwrap_or(Version::ZERO)
    }

    /// The version of a type that is published to a region.
    pub(super) fn published(&self, region: &Region, kind: ResourceType) -> Option<Version> {
        let version = self.regions.get(region)?.publisher.snapshot().of(kind).version();
        (version > Version::ZERO).then_some(version)
    }

    /// What the nodes of a region are to hold.
    pub(super) fn subscribe(&mut self, region: &Region) -> watch::Receiver<Arc<Snapshot>> {
        if !self.regions.contains_key(region) {
            self.begin(region.clone(), None);
        }
        let found = self.regions.get(region).map(|of| of.snapshots.subscribe());
        found.unwrap_or_else(|| unreachable!("it was begun above"))
    }

    /// Publishes all of a region once more under versions above all others, for a node that comes from another region.
    pub(super) fn renew(&mut self, region: &Region) {
        if let Some(of) = self.regions.remove(region) {
            self.begin(region.clone(), Some(of));
        }
    }

    pub(super) fn publish(&mut self, publication: &Publication) {
        match publication {
            Publication::Nodes(members) if members.is_empty() => {}
            Publication::Nodes(members) => {
                self.publish_shared(ResourceType::Nodes, resources::write_nodes(members.iter()))
            }
            Publication::Placement(placement) => {
                self.placement = placement.version();
                self.publish_shared(ResourceType::Placement, resources::write_placement(placement));
            }
            Publication::Policy(policies) => {
                self.publish_shared(ResourceType::Policy, resources::write_policies(policies))
            }
            Publication::Routes(region, table) => {
                let Some(wanted) = self.named(ResourceType::Routes, resources::write_table(table)) else { return };
                if !self.regions.contains_key(region) {
                    self.begin(region.clone(), None);
                }
                self.publish_one(region, ResourceType::Routes, &wanted);
                self.regions.entry(region.clone()).and_modify(|of| of.routes = Some(wanted));
            }
        }
    }

    /// Everything is known from here on: nodes may let go of what is not published.
    pub(super) fn warm(&mut self) {
        if std::mem::replace(&mut self.is_warm, true) {
            return;
        }
        for of in self.regions.values_mut() {
            of.publisher.skip_to(self.counter);
            of.publisher.warming_mut().on_reported(NOBODY);
            if of.publisher.finish_warming(Duration::ZERO) {
                of.send();
            }
            // Each type may have taken a count.
            self.counter += ResourceType::ALL.len() as u64;
        }
    }

    fn publish_shared(&mut self, kind: ResourceType, resources: resources::Resources) {
        let Some(wanted) = self.named(kind, resources) else { return };
        for region in self.regions.keys().cloned().collect::<Vec<_>>() {
            self.publish_one(&region, kind, &wanted);
        }
        self.shared.insert(kind, wanted);
    }

    fn publish_one(&mut self, region: &Region, kind: ResourceType, wanted: &Wanted) {
        let Some(of) = self.regions.get_mut(region) else { return };
        of.publisher.skip_to(self.counter);
        let published = of.publisher.publish(kind, wanted);
        if let Ok(Some(version)) = published {
            self.counter = version.counter;
            of.send();
            if kind == ResourceType::Placement {
                self.placements.insert(version, self.placement);
                while self.placements.len() > PLACEMENTS_MAX {
                    self.placements.pop_first();
                }
            }
        }
        self.note(kind, published.err());
    }

    fn note(&mut self, kind: ResourceType, failure: Option<PublishError>) {
        match failure {
            Some(failure) => {
                error!(?kind, error = %failure, "a table cannot be pushed; nodes keep the one they have");
                self.failures.insert(kind, failure.to_string());
            }
            None => drop(self.failures.remove(&kind)),
        }
    }

    /// Begins publishing to a region, in the place of what was there.
    fn begin(&mut self, region: Region, before: Option<OfRegion>) {
        let until = if self.is_warm { None } else { Some((NOBODY, Duration::MAX)) };
        let mut publisher = Publisher::new(self.epoch.0, Warming::new(until), self.limits);
        publisher.skip_to(self.counter);
        let (routes, snapshots) = match before {
            Some(before) => (before.routes, before.snapshots),
            None => (None, watch::Sender::new(publisher.snapshot())),
        };
        self.regions.insert(region.clone(), OfRegion { publisher, routes: routes.clone(), snapshots });
        let shared = self.shared.clone();
        let of_routes = routes.map(|routes| (ResourceType::Routes, routes));
        for (kind, wanted) in shared.into_iter().chain(of_routes) {
            self.publish_one(&region, kind, &wanted);
        }
    }

    /// Resources by their names. They come from this cluster's own nouns, whose names are short.
    fn named(&mut self, kind: ResourceType, resources: resources::Resources) -> Option<Wanted> {
        let name = |(name, body): (String, Vec<u8>)| {
            Ok::<_, sluice_discovery::NameError>((Name::new(&name)?, Body::from(body)))
        };
        match resources.into_iter().map(name).collect() {
            Ok(wanted) => Some(wanted),
            Err(failure) => {
                self.failures.insert(kind, failure.to_string());
                None
            }
        }
    }
}

impl OfRegion {
    fn send(&self) {
        self.snapshots.send_replace(self.publisher.snapshot());
    }
}

/// Stands for everybody that the reconciler waits for.
const NOBODY: NodeId = NodeId(0);
/// Pushes of placements whose placements are remembered: more than are on their way at any time.
const PLACEMENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use sluice_cluster::{Placement, Policies, routing::RouteBuilder};

    use super::*;

    fn routes(region: &str, counter: u64) -> Publication {
        let (table, _) = RouteBuilder::new(region.into()).build(Version::new(3, counter));
        Publication::Routes(region.into(), Arc::new(table))
    }

    fn highest(snapshot: &Snapshot) -> Version {
        ResourceType::ALL.into_iter().map(|kind| snapshot.of(kind).version()).max().unwrap()
    }

    fn publishers() -> Publishers {
        let mut publishers = Publishers::new(Epoch(3), Limits::default());
        publishers.publish(&Publication::Placement(Arc::new(Placement::default())));
        publishers.publish(&Publication::Policy(Arc::new(Policies::default())));
        publishers
    }

    #[test]
    fn each_region_has_its_routes_and_all_have_the_rest() {
        let mut publishers = publishers();
        let (eu, us) = (publishers.subscribe(&"eu".into()), publishers.subscribe(&"us".into()));
        publishers.publish(&routes("eu", 1));
        let versions = |of: &watch::Receiver<Arc<Snapshot>>| {
            ResourceType::ALL.map(|kind| of.borrow().of(kind).version() > Version::ZERO)
        };
        assert_eq!((versions(&eu), versions(&us)), ([false, true, true, true], [false, true, false, true]));
    }

    #[test]
    fn what_a_node_gets_in_another_region_is_newer_than_all_it_has() {
        let mut publishers = publishers();
        let us = publishers.subscribe(&"us".into());
        publishers.publish(&routes("us", 1));
        let eu = publishers.subscribe(&"eu".into());
        (1..9).for_each(|counter| publishers.publish(&routes("eu", counter)));
        assert!(highest(&eu.borrow()) > highest(&us.borrow()));
        publishers.renew(&"us".into());
        let lowest = us.borrow().of(ResourceType::Placement).version();
        assert!(lowest > highest(&eu.borrow()), "{lowest}");
        assert_eq!(publishers.counter(), highest(&us.borrow()).counter);
    }

    #[test]
    fn a_push_of_the_placement_is_known_by_its_version() {
        let mut publishers = publishers();
        let eu = publishers.subscribe(&"eu".into());
        let placed =
            Placement::new(Version::new(3, 17), sluice_cluster::Keyspaces::default(), BTreeMap::new()).unwrap();
        let first = eu.borrow().of(ResourceType::Placement).version();
        let key = sluice_cluster::ShardKey::default();
        let shards = BTreeMap::from([(key, sluice_cluster::Replicas::first([NodeId(1)]).unwrap())]);
        let placed = Placement::new(placed.version(), placed.keyspaces().clone(), shards).unwrap();
        publishers.publish(&Publication::Placement(Arc::new(placed)));
        let second = eu.borrow().of(ResourceType::Placement).version();
        assert_eq!(
            [first, second, Version::new(9, 9)].map(|push| publishers.placement_of(push)),
            [Version::ZERO, Version::new(3, 17), Version::ZERO]
        );
    }

    #[test]
    fn nodes_let_go_of_nothing_before_everything_is_known() {
        let mut publishers = publishers();
        let eu = publishers.subscribe(&"eu".into());
        assert!(!eu.borrow().is_complete());
        publishers.warm();
        assert!(eu.borrow().is_complete() && publishers.subscribe(&"new".into()).borrow().is_complete());
    }
}
