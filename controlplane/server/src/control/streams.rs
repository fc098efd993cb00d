//! Nodes' streams, between the push service and the reconciler.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sluice_cluster::{NodeId, Registration, Report, Version, interest::InterestFrame, routing::Region};
use sluice_controlplane_core::{
    reconciler::{NodeEvent, Office, Publication, Versions},
    record::NodeRecord,
};
use sluice_controlplane_store::schema::LEADER;
use sluice_discovery::Limits;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

use super::{channels::Channels, desk::Desk, driver::Driver};
use crate::{Event, NodeStatus, Refused, StreamId, Tables};

/// A stream that was let in. Dropping it ends it.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) region: Region,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) status: NodeStatus,
    /// Since when, as time since the process started.
    pub(crate) since: Duration,
    interest: mpsc::Sender<InterestFrame>,
}

impl Driver {
    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Report { .. } => self.desk.heard.0 += 1,
            Event::Connected { .. } | Event::Status { .. } | Event::Gone { .. } => self.desk.heard.1 += 1,
        }
        match event {
            Event::Connected { stream, node, remote, registration, status, reply } => {
                self.on_connected(stream, node, (remote, registration, status), reply);
            }
            Event::Status { stream, node, status } if self.desk.is_latest(node, stream) => self.on_status(node, status),
            Event::Report { stream, node, report } if self.desk.is_latest(node, stream) => {
                let report = self.desk.translated(report);
                let now = self.now();
                self.desk.reconciler.on_node(node, NodeEvent::Report(report), now);
            }
            Event::Gone { stream, node, reason } if self.desk.is_latest(node, stream) => {
                info!(%node, reason, "a node's stream is over");
                self.desk.streams.remove(&node);
                let now = self.now();
                self.desk.reconciler.on_node(node, NodeEvent::Closed, now);
            }
            // Of a stream that another one has replaced, or that was ended here.
            Event::Status { node, .. } | Event::Report { node, .. } | Event::Gone { node, .. } => {
                debug!(%node, "a word of an earlier stream");
            }
        }
    }

    fn on_connected(
        &mut self,
        id: StreamId,
        node: NodeId,
        (remote, registration, status): (Option<SocketAddr>, Registration, NodeStatus),
        reply: oneshot::Sender<Result<Tables, Refused>>,
    ) {
        if !matches!(self.desk.reconciler.office(), Office::Leading { .. }) {
            return self.send_away(reply);
        }
        let record = self.desk.reconciler.view().and_then(|view| view.node(node));
        if record.is_some_and(NodeRecord::is_gone) {
            let reason = format!("node {node} was removed; a machine comes back as a new node, with a new token");
            return drop(reply.send(Err(Refused::NotMember { reason })));
        }
        let region = region_of(record, &registration);
        let Some(channels) = &mut self.desk.channels else { return self.send_away(reply) };
        let (interest, frames) = mpsc::channel(INTEREST_FRAMES_MAX);
        let tables = Tables { snapshots: channels.subscribe(&region), interest: frames };
        if reply.send(Ok(tables)).is_err() {
            return;
        }
        let now = self.desk.began.elapsed();
        let held = versions(&status);
        self.desk.streams.insert(node, Stream { id, region, remote, status: status.clone(), since: now, interest });
        self.desk.reconciler.on_node(node, NodeEvent::Opened(held), now);
        self.desk.reconciler.on_node(node, NodeEvent::Report(Report::Registration(registration)), now);
        self.on_status(node, status);
    }

    fn on_status(&mut self, node: NodeId, status: NodeStatus) {
        let now = self.now();
        self.desk.reconciler.on_node(node, NodeEvent::Holds(versions(&status)), now);
        let ahead = status.behind.map(|(_, version)| version).filter(|version| self.desk.is_not_from_here(*version));
        if let Some(version) = ahead {
            self.desk.reconciler.on_node(node, NodeEvent::Ahead(version), now);
        }
        if let Some(stream) = self.desk.streams.get_mut(&node) {
            stream.status = status;
        }
    }

    /// Tells a node where the leader is, as far as the store says.
    fn send_away(&self, reply: oneshot::Sender<Result<Tables, Refused>>) {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let entry = store.get(LEADER).await.ok().flatten();
            let leader = entry.and_then(|entry| String::from_utf8(entry.value).ok()?.parse().ok());
            let _ = reply.send(Err(Refused::NotLeader { leader }));
        });
    }
}

impl Desk {
    /// Begins with channels of its own when this replica leads, or leads under another epoch.
    pub(super) fn lead_or_follow(&mut self, led: bool) {
        match self.reconciler.office() {
            Office::Leading { epoch, .. } => {
                if self.channels.as_ref().is_none_or(|channels| channels.publishers().epoch() != epoch) {
                    info!(%epoch, "this replica leads");
                    // Streams of another epoch's channels end with them, and come again.
                    self.streams.clear();
                    self.channels = Some(Channels::new(epoch, Limits::default()));
                }
                if self.reconciler.warming().next().is_none() {
                    self.channels.iter_mut().for_each(Channels::warm);
                }
            }
            Office::Following | Office::Elected => {
                if led {
                    self.channels = None;
                }
            }
        }
    }

    pub(super) fn publish(&mut self, publication: &Publication) {
        let Some(channels) = &mut self.channels else { return };
        channels.publish(publication);
        let Publication::Nodes(members) = publication else { return };
        for member in members.iter() {
            let region: Region = member.node.region().map_or_else(|| "".into(), |region| region.as_str().into());
            // A node whose region has changed comes again, and gets what is published there.
            if self.streams.get(&member.node.id).is_some_and(|stream| stream.region != region) {
                channels.renew(&region);
                self.streams.remove(&member.node.id);
            }
        }
    }

    pub(super) fn send_interest(&mut self, node: NodeId, frame: InterestFrame) {
        // What does not fit is asked again by itself.
        if let Some(stream) = self.streams.get(&node) {
            let _ = stream.interest.try_send(frame);
        }
    }

    fn is_latest(&self, node: NodeId, id: StreamId) -> bool {
        self.streams.get(&node).is_some_and(|stream| stream.id == id)
    }

    /// Nodes say which push of the placement they work with; plans know placements by their own versions.
    fn translated(&self, report: Report) -> Report {
        match report {
            Report::Replicas(mut replicas) => {
                let channels = self.channels.as_ref();
                replicas.applied = channels.map_or(Version::ZERO, |of| of.publishers().placement_of(replicas.applied));
                Report::Replicas(replicas)
            }
            report @ (Report::Registration(_) | Report::Interest(_) | Report::Load(_) | Report::Peers(_)) => report,
        }
    }

    /// Whether a version was never published by this leader or one before it.
    fn is_not_from_here(&self, version: Version) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.publishers().is_foreign(version))
    }
}

fn versions(status: &NodeStatus) -> Versions {
    Versions::from_fn(|kind| status.types.of(kind).version)
}

fn region_of(record: Option<&NodeRecord>, registration: &Registration) -> Region {
    let region = match record {
        Some(record) => {
            NodeRecord { registration: registration.clone(), ..record.clone() }.effective_labels().region().cloned()
        }
        None => registration.labels.region().cloned(),
    };
    region.map_or_else(|| "".into(), |region| region.as_str().into())
}

/// Questions and acknowledgements that wait for a stream.
const INTEREST_FRAMES_MAX: usize = 16;
