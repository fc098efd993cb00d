//! What a leader publishes, as control's process does it: one publisher for each region, and one count for all of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{
    Epoch, NodeId, Version,
    routing::Region,
    wire::resources::{self, Resources},
};
use sluice_controlplane_core::reconciler::Publication;
use sluice_discovery::{Body, Limits, Name, PublishError, Publisher, ResourceType, Snapshot, Warming};

type Wanted = BTreeMap<Name, Body>;

/// Stands for everybody that the reconciler waits for.
const NOBODY: NodeId = NodeId(0);

/// The publishers of one leadership.
pub(crate) struct Publishers {
    epoch: Epoch,
    counter: u64,
    is_warm: bool,
    shared: BTreeMap<ResourceType, Wanted>,
    regions: BTreeMap<Region, Publisher>,
    routes: BTreeMap<Region, Wanted>,
    /// Which placement each push carries.
    placements: BTreeMap<Version, Version>,
    placement: Version,
}

impl Publishers {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            counter: 0,
            is_warm: false,
            shared: BTreeMap::new(),
            regions: BTreeMap::new(),
            routes: BTreeMap::new(),
            placements: BTreeMap::new(),
            placement: Version::ZERO,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The placement that a push carried.
    pub(crate) fn placement_of(&self, push: Version) -> Version {
        self.placements.get(&push).copied().unwrap_or(Version::ZERO)
    }

    /// Whether a version was never published by this leader or one before it.
    pub(crate) fn is_foreign(&self, version: Version) -> bool {
        version.leadership > self.epoch || (version.leadership == self.epoch && version.counter > self.counter)
    }

    /// What the nodes of a region are to hold.
    pub(crate) fn snapshot(&mut self, region: &Region) -> Arc<Snapshot> {
        if !self.regions.contains_key(region) {
            // Nothing was refused that is published already.
            let _ = self.begin(region);
        }
        self.regions.get(region).map(Publisher::snapshot).unwrap_or_default()
    }

    pub(crate) fn publish(&mut self, publication: &Publication) -> Result<(), PublishError> {
        match publication {
            Publication::Nodes(members) => self.share(ResourceType::Nodes, resources::write_nodes(members.iter())),
            Publication::Placement(placement) => {
                self.placement = placement.version();
                self.share(ResourceType::Placement, resources::write_placement(placement))
            }
            Publication::Policy(policies) => self.share(ResourceType::Policy, resources::write_policies(policies)),
            Publication::Routes(region, table) => {
                let wanted = named(resources::write_table(table));
                if !self.regions.contains_key(region) {
                    self.begin(region)?;
                }
                self.publish_one(region, ResourceType::Routes, &wanted)?;
                self.routes.insert(region.clone(), wanted);
                Ok(())
            }
        }
    }

    /// Nodes may let go of what is not published.
    pub(crate) fn warm(&mut self) {
        if std::mem::replace(&mut self.is_warm, true) {
            return;
        }
        for publisher in self.regions.values_mut() {
            publisher.skip_to(self.counter);
            publisher.warming_mut().on_reported(NOBODY);
            publisher.finish_warming(Duration::ZERO);
            self.counter += ResourceType::ALL.len() as u64;
        }
    }

    fn share(&mut self, kind: ResourceType, resources: Resources) -> Result<(), PublishError> {
        let wanted = named(resources);
        for region in self.regions.keys().cloned().collect::<Vec<_>>() {
            self.publish_one(&region, kind, &wanted)?;
        }
        self.shared.insert(kind, wanted);
        Ok(())
    }

    fn publish_one(&mut self, region: &Region, kind: ResourceType, wanted: &Wanted) -> Result<(), PublishError> {
        let Some(publisher) = self.regions.get_mut(region) else { return Ok(()) };
        publisher.skip_to(self.counter);
        if let Some(version) = publisher.publish(kind, wanted)? {
            self.counter = version.counter;
            if kind == ResourceType::Placement {
                self.placements.insert(version, self.placement);
            }
        }
        Ok(())
    }

    fn begin(&mut self, region: &Region) -> Result<(), PublishError> {
        let until = if self.is_warm { None } else { Some((NOBODY, Duration::MAX)) };
        let publisher = Publisher::new(self.epoch.0, Warming::new(until), Limits::default());
        self.regions.insert(region.clone(), publisher);
        let routes = self.routes.get(region).map(|routes| (ResourceType::Routes, routes.clone()));
        for (kind, wanted) in self.shared.clone().into_iter().chain(routes) {
            self.publish_one(region, kind, &wanted)?;
        }
        Ok(())
    }
}

fn named(resources: Resources) -> Wanted {
    let name = |(name, body): (String, Vec<u8>)| Some((Name::new(&name).ok()?, Body::from(body)));
    resources.into_iter().filter_map(name).collect()
}
