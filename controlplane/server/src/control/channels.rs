//! What this replica publishes while it leads, as channels: one for each region, from which the streams of its nodes take
//! what they push. What is published is decided by [`Publishers`].

use std::{collections::BTreeMap, sync::Arc};

use sluice_cluster::{Epoch, routing::Region};
use sluice_controlplane_core::{
    publishers::{Failure, Publishers},
    reconciler::Publication,
};
use sluice_discovery::{Limits, ResourceType, Snapshot};
use tokio::sync::watch;
use tracing::error;

/// The channels of one leadership. Dropping them ends the streams that read them.
pub(super) struct Channels {
    publishers: Publishers,
    snapshots: BTreeMap<Region, watch::Sender<Arc<Snapshot>>>,
    /// Failures that were said.
    said: BTreeMap<ResourceType, Failure>,
}

impl Channels {
    pub(super) fn new(epoch: Epoch, limits: Limits) -> Self {
        Self { publishers: Publishers::new(epoch, limits), snapshots: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// What is behind the channels.
    pub(super) fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    /// What the nodes of a region are to hold, and will be.
    pub(super) fn subscribe(&mut self, region: &Region) -> watch::Receiver<Arc<Snapshot>> {
        let snapshot = self.publishers.snapshot(region);
        self.snapshots.entry(region.clone()).or_insert_with(|| watch::Sender::new(snapshot)).subscribe()
    }

    pub(super) fn publish(&mut self, publication: &Publication) {
        self.publishers.publish(publication);
        self.send();
    }

    /// As [`Publishers::renew`].
    pub(super) fn renew(&mut self, region: &Region) {
        self.publishers.renew(region);
        self.send();
    }

    /// As [`Publishers::warm`].
    pub(super) fn warm(&mut self) {
        self.publishers.warm();
        self.send();
    }

    fn send(&mut self) {
        for (region, channel) in &self.snapshots {
            let snapshot = self.publishers.snapshot(region);
            channel.send_if_modified(|held| {
                let is_new = !Arc::ptr_eq(held, &snapshot);
                *held = snapshot;
                is_new
            });
        }
        if self.said != *self.publishers.failures() {
            self.said.clone_from(self.publishers.failures());
            for (kind, failure) in &self.said {
                error!(?kind, error = %failure, "a table cannot be pushed; nodes keep the one they have");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{Placement, Version, routing::RouteBuilder};

    use super::*;

    fn routes(region: &str, counter: u64) -> Publication {
        let (table, _) = RouteBuilder::new(region.into()).build(Version::new(3, counter));
        Publication::Routes(region.into(), Arc::new(table))
    }

    #[test]
    fn streams_hear_of_what_concerns_their_region_and_of_nothing_else() {
        let mut channels = Channels::new(Epoch(3), Limits::default());
        let [mut eu, mut us] = ["eu", "us"].map(|region| channels.subscribe(&region.into()));
        let mut heard = || {
            [&mut eu, &mut us].map(|of| {
                let changed = of.has_changed().unwrap();
                of.mark_unchanged();
                changed
            })
        };
        assert_eq!(heard(), [false, false]);
        channels.publish(&Publication::Placement(Arc::new(Placement::default())));
        assert_eq!(heard(), [true, true]);
        channels.publish(&routes("eu", 1));
        assert_eq!(heard(), [true, false]);
        channels.publish(&routes("eu", 1));
        assert_eq!(heard(), [false, false], "nothing is new");
        channels.renew(&"us".into());
        assert_eq!(heard(), [false, true]);
        channels.warm();
        assert_eq!(heard(), [true, true]);
        channels.warm();
        assert_eq!(heard(), [false, false], "it was warm");
    }
}
