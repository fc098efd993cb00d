//! The interest of all nodes, and the tables that are built from it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{
    Epoch, NodeId, SetDigest, Version,
    interest::{Incarnation, InterestFrame, InterestLimits, InterestMirror, InterestReceiver},
    routing::{BaseTable, Region, RouteBuilder},
};

use super::Publication;
use crate::{record::ReplicaId, view::View};

/// What is wanted, as far as it was heard.
#[derive(Debug)]
pub(super) struct Routes {
    receiver: InterestReceiver,
    mirror: InterestMirror,
    is_changed: bool,
    /// No build before.
    rest_until: Duration,
    counter: u64,
    tables: BTreeMap<Region, Arc<BaseTable>>,
    /// Of the regions whose tables were put out under this leadership.
    put_out: BTreeMap<Region, SetDigest>,
}

impl Routes {
    pub(super) fn new(me: &ReplicaId) -> Self {
        Self {
            receiver: InterestReceiver::new(Incarnation(me.life), &InterestLimits::default()),
            mirror: InterestMirror::default(),
            is_changed: true,
            rest_until: Duration::ZERO,
            counter: 0,
            tables: BTreeMap::new(),
            put_out: BTreeMap::new(),
        }
    }

    pub(super) fn linked(&mut self, id: NodeId, now: Duration) {
        self.receiver.linked(id, None, now);
    }

    pub(super) fn on_frame(&mut self, id: NodeId, frame: &InterestFrame, now: Duration) {
        let before = self.receiver.have(id);
        self.receiver.handle(id, frame, &mut self.mirror, now);
        self.is_changed |= self.receiver.have(id) != before;
    }

    pub(super) fn is_caught_up(&self, id: NodeId) -> bool {
        self.receiver.is_caught_up(id)
    }

    /// A node is no more, or has been away for too long: nobody sends to it.
    pub(super) fn forget(&mut self, id: NodeId) {
        if self.receiver.have(id).is_some() {
            self.receiver.forget(id);
            self.mirror.forget(id);
            self.is_changed = true;
        }
    }

    pub(super) fn poll_transmit(&mut self, id: NodeId, now: Duration) -> Option<InterestFrame> {
        self.receiver.poll_transmit(id, now)
    }

    /// Questions to nodes whose streams are closed wait for the next stream, not for time.
    pub(super) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        self.receiver.poll_timeout().map(|at| at.max(now + LOOK_AGAIN))
    }

    /// The regions have changed, or the leadership has.
    pub(super) fn publish_again(&mut self) {
        self.put_out.clear();
        self.is_changed = true;
    }

    pub(super) fn regions_changed(&mut self) {
        self.is_changed = true;
    }

    pub(super) fn build_at(&self) -> Option<Duration> {
        self.is_changed.then_some(self.rest_until)
    }

    pub(super) fn rest_until(&mut self, at: Duration) {
        self.rest_until = at;
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<BaseTable>> {
        self.tables.values()
    }

    /// Builds all tables; returns those that say something new.
    pub(super) fn build(&mut self, view: &View, epoch: Epoch) -> Vec<Publication> {
        self.is_changed = false;
        let nodes: BTreeMap<NodeId, Region> =
            view.nodes().filter(|(_, node)| !node.is_gone()).map(|(id, node)| (id, region_of(node))).collect();
        let mut regions: Vec<Region> = nodes.values().cloned().collect();
        regions.sort();
        regions.dedup();
        self.tables.retain(|region, _| regions.contains(region));
        self.put_out.retain(|region, _| regions.contains(region));
        regions.into_iter().filter_map(|region| self.build_one(&nodes, region, epoch)).collect()
    }

    fn build_one(&mut self, nodes: &BTreeMap<NodeId, Region>, region: Region, epoch: Epoch) -> Option<Publication> {
        let mut builder = RouteBuilder::new(region.clone());
        for (owner, of) in nodes {
            if let Some(upto) = self.receiver.have(*owner) {
                builder.add(*owner, of, upto, self.mirror.rows(*owner));
            }
        }
        let version = Version { leadership: epoch, counter: self.counter + 1 };
        let (table, _) = builder.build(version);
        if self.put_out.get(&region) == Some(&table.digest()) {
            return None;
        }
        self.counter += 1;
        self.put_out.insert(region.clone(), table.digest());
        let table = Arc::new(table);
        self.tables.insert(region.clone(), table.clone());
        Some(Publication::Routes(region, table))
    }
}

/// The region of a node; that of all nodes without one is empty.
pub(super) fn region_of(node: &crate::record::NodeRecord) -> Region {
    node.effective_labels().region().map_or_else(|| "".into(), |region| region.as_str().into())
}

const LOOK_AGAIN: Duration = Duration::from_millis(100);
