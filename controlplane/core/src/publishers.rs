//! What one leadership publishes: from the reconciler's [`Publication`]s to what the nodes of each region are to hold.
//!
//! Each region has a publisher of its own, since it has its own routes. All of them count together, so that whatever a node
//! holds of one region, what is published to another one later is newer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{
    Epoch, NodeId, Version,
    routing::Region,
    wire::resources::{self, Resources},
};
use sluice_discovery::{Body, Limits, Name, NameError, PublishError, Publisher, ResourceType, Snapshot, Warming};
use thiserror::Error;

use crate::reconciler::Publication;

/// The publishers of one leadership.
#[derive(Debug)]
pub struct Publishers {
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
    failures: BTreeMap<ResourceType, Failure>,
}

/// The resources of a type.
type Wanted = BTreeMap<Name, Body>;

#[derive(Debug)]
struct OfRegion {
    publisher: Publisher,
    routes: Option<Wanted>,
}

/// Why a type cannot be pushed: nodes keep what they have of it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Failure {
    /// A resource is called what none may be called.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is too large.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Publishers {
    /// Publishers of the leadership `epoch`, which hold nothing yet and are not warm. No type may be larger than `limits`.
    #[must_use]
    pub fn new(epoch: Epoch, limits: Limits) -> Self {
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

    /// The leadership that they are of.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether a version that a node holds was never published by this leadership or one before it.
    #[must_use]
    pub fn is_foreign(&self, version: Version) -> bool {
        version > Version::new(self.epoch.0, self.counter)
    }

    /// Types that cannot be pushed, and why.
    #[must_use]
    pub fn failures(&self) -> &BTreeMap<ResourceType, Failure> {
        &self.failures
    }

    /// The placement that a push carried; the first of all, if it is none of this leadership's.
    #[must_use]
    pub fn placement_of(&self, push: Version) -> Version {
        self.placements.get(&push).copied().unwrap_or(Version::ZERO)
    }

    /// The version of a type that is published to a region.
    #[must_use]
    pub fn published(&self, region: &Region, kind: ResourceType) -> Option<Version> {
        let version = self.regions.get(region)?.publisher.snapshot().of(kind).version();
        (version > Version::ZERO).then_some(version)
    }

    /// What the nodes of a region are to hold. A region that was not published to before is from here on.
    pub fn snapshot(&mut self, region: &Region) -> Arc<Snapshot> {
        self.begin_if_new(region);
        self.regions.get(region).map(|of| of.publisher.snapshot()).unwrap_or_default()
    }

    /// Publishes all of a region once more under versions above all others, for a node that comes from another region.
    pub fn renew(&mut self, region: &Region) {
        if let Some(of) = self.regions.remove(region) {
            self.begin(region, of.routes);
        }
    }

    /// Takes what the reconciler puts out. What cannot be pushed stands in [`Self::failures`] until it can be.
    pub fn publish(&mut self, publication: &Publication) {
        match publication {
            // Nodes refuse to know nobody: there is nobody to tell.
            Publication::Nodes(members) if members.is_empty() => {}
            Publication::Nodes(members) => self.share(ResourceType::Nodes, resources::write_nodes(members.iter())),
            Publication::Placement(placement) => {
                self.placement = placement.version();
                self.share(ResourceType::Placement, resources::write_placement(placement));
            }
            Publication::Policy(policies) => self.share(ResourceType::Policy, resources::write_policies(policies)),
            Publication::Routes(region, table) => {
                let Some(wanted) = self.named(ResourceType::Routes, resources::write_table(table)) else { return };
                self.begin_if_new(region);
                self.publish_one(region, ResourceType::Routes, &wanted);
                self.regions.entry(region.clone()).and_modify(|of| of.routes = Some(wanted));
            }
        }
    }

    /// Everything is known from here on: nodes may let go of what is not published.
    pub fn warm(&mut self) {
        if std::mem::replace(&mut self.is_warm, true) {
            return;
        }
        for of in self.regions.values_mut() {
            of.publisher.skip_to(self.counter);
            of.publisher.warming_mut().on_reported(NOBODY);
            of.publisher.finish_warming(Duration::ZERO);
            // Each type may have taken a count.
            self.counter += ResourceType::ALL.len() as u64;
        }
    }

    fn share(&mut self, kind: ResourceType, resources: Resources) {
        let Some(wanted) = self.named(kind, resources) else { return };
        for region in self.regions.keys().cloned().collect::<Vec<_>>() {
            self.publish_one(&region, kind, &wanted);
        }
        self.shared.insert(kind, wanted);
    }

    fn publish_one(&mut self, region: &Region, kind: ResourceType, wanted: &Wanted) {
        let Some(of) = self.regions.get_mut(region) else { return };
        of.publisher.skip_to(self.counter);
        match of.publisher.publish(kind, wanted) {
            Ok(Some(version)) => {
                self.failures.remove(&kind);
                self.counter = version.counter;
                if kind == ResourceType::Placement {
                    self.placements.insert(version, self.placement);
                    while self.placements.len() > PLACEMENTS_MAX {
                        self.placements.pop_first();
                    }
                }
            }
            Ok(None) => drop(self.failures.remove(&kind)),
            Err(failure) => drop(self.failures.insert(kind, failure.into())),
        }
    }

    fn begin_if_new(&mut self, region: &Region) {
        if !self.regions.contains_key(region) {
            self.begin(region, None);
        }
    }

    /// Begins publishing to a region, in the place of what was there.
    fn begin(&mut self, region: &Region, routes: Option<Wanted>) {
        let until = if self.is_warm { None } else { Some((NOBODY, Duration::MAX)) };
        let publisher = Publisher::new(self.epoch.0, Warming::new(until), self.limits);
        self.regions.insert(region.clone(), OfRegion { publisher, routes: routes.clone() });
        let of_routes = routes.map(|routes| (ResourceType::Routes, routes));
        for (kind, wanted) in self.shared.clone().into_iter().chain(of_routes) {
            self.publish_one(region, kind, &wanted);
        }
    }

    /// Resources by their names. They come from this cluster's own nouns, whose names are short.
    fn named(&mut self, kind: ResourceType, resources: Resources) -> Option<Wanted> {
        let name = |(name, body): (String, Vec<u8>)| Ok::<_, NameError>((Name::new(&name)?, Body::from(body)));
        match resources.into_iter().map(name).collect() {
            Ok(wanted) => Some(wanted),
            Err(failure) => {
                self.failures.insert(kind, failure.into());
                None
            }
        }
    }
}

/// Stands for everybody that the reconciler waits for.
const NOBODY: NodeId = NodeId(0);
/// Pushes of placements whose placements are remembered: more than are on their way at any time.
const PLACEMENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
