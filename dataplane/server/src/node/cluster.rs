//! What a node of a cluster has besides: the gate to the other nodes, and the links it speaks over.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::Context as _;
use sluice_cluster::{ClusterId, NodeId, interest::Incarnation, interest::InterestLimits, routing::Region};
use sluice_dataplane_core::{
    Gate, GateSettings, GateStats, Now, Settings,
    link::{LinkLimits, Versions},
    settings::ListenerSettings,
};
use sluice_service::tls::PeerTls;
use sluice_topic::Limits;
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    config::Peers,
    gate_driver::{ForGate, GateDriver, Parts, Uplink},
    links::{LinkStats, Links, LinksConfig, LinksHandle},
    listener::Seats,
    mailbox::{Letter, Mailbox},
    worker_thread::Away,
};

/// Who a node is among the others.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Itself.
    pub(crate) node: NodeId,
    /// This life of it.
    pub(crate) incarnation: Incarnation,
    /// Where it stands.
    pub(crate) region: Region,
    /// How it proves that.
    pub(crate) tls: Arc<PeerTls>,
}

/// The gate's thread, and the ways to it.
pub(super) struct Gateway {
    mailbox: Mailbox,
    links: Links,
    listeners: Arc<[ListenerSettings]>,
}

impl Gateway {
    /// Opens the port for other nodes and starts the thread. It links to nobody before it is told to.
    pub(super) fn start(
        member: &Member,
        peers: &Peers,
        settings: &Settings,
        seats: &Arc<Seats>,
        workers: &Arc<[Mailbox]>,
        clock: Clock,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let wake = Arc::new(Notify::new());
        let mailbox = Mailbox::of_task(Arc::clone(&wake));
        let listeners: Arc<[ListenerSettings]> = settings.listeners.as_slice().into();
        let gate = gate_settings(member, peers, settings, workers.len() as u16, seed);
        let parts = Parts {
            mailbox: mailbox.clone(),
            workers: Arc::clone(workers),
            clock,
            listeners: Arc::clone(&listeners),
            seats: Arc::clone(seats),
        };
        let config = LinksConfig {
            keep_alive: Duration::from_millis(peers.keep_alive.as_millis()),
            idle_timeout: Duration::from_millis(peers.idle_timeout.as_millis()),
            mtu_max: peers.mtu_max,
            clients_max: peers.proxied_max as usize,
            ..LinksConfig::new(member.node, peers.bind)
        };
        let links =
            Links::start(config, Arc::clone(&member.tls), wake, move || GateDriver::new(Gate::new(gate), parts))
                .with_context(|| format!("the port for other nodes at {} cannot be opened", peers.bind))?;
        Ok(Self { mailbox, links, listeners })
    }

    /// The gate's mailbox, for the workers.
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The way to other nodes for connections.
    pub(super) fn away(&self) -> Away {
        Away { links: self.links.handle(), listeners: Arc::clone(&self.listeners) }
    }

    /// The way to the links.
    pub(super) fn links(&self) -> LinksHandle {
        self.links.handle()
    }

    /// Where it listens for other nodes.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.links.local_addr()
    }

    /// A way to give the gate things, from any thread.
    pub(super) fn teller(&self) -> Teller {
        Teller { mailbox: self.mailbox.clone() }
    }

    /// What is seen of each link.
    pub(super) fn stats(&self) -> Vec<LinkStats> {
        self.links.handle().stats()
    }

    /// What the gate has counted; `None`: its thread does not answer in time.
    pub(super) fn counted(&self) -> Option<GateStats> {
        let (sender, answer) = mpsc::channel();
        self.teller().tell(move |gate, _| {
            // Who asked may have given up.
            let _ = sender.send(*gate.stats());
        });
        answer.recv_timeout(ANSWER_DEADLINE).ok()
    }
}

/// Gives the gate things; cheap to clone.
#[derive(Clone)]
pub(super) struct Teller {
    mailbox: Mailbox,
}

impl Teller {
    /// Gives the gate's thread its way to control.
    pub(super) fn set_uplink(&self, uplink: Uplink) {
        self.mailbox.post(Letter::ForGate(ForGate::Uplink(uplink)));
    }

    /// Has the gate's thread do something with the gate.
    pub(super) fn tell(&self, tell: impl FnOnce(&mut Gate, Now) + Send + 'static) {
        self.mailbox.post(Letter::ForGate(ForGate::Tell(Box::new(tell))));
    }
}

fn gate_settings(member: &Member, peers: &Peers, settings: &Settings, workers: u16, seed: u64) -> GateSettings {
    GateSettings {
        node: member.node,
        region: member.region.clone(),
        incarnation: member.incarnation,
        workers,
        shards: settings.shards,
        topic_limits: Limits { topic_bytes_max: settings.topic_bytes_max, levels_max: settings.topic_levels_max },
        cluster: member.cluster,
        link_limits: LinkLimits {
            window_bytes_max: usize::try_from(peers.queue.0).unwrap_or(usize::MAX),
            ..LinkLimits::default()
        },
        interest_limits: InterestLimits::default(),
        barrier_ms: BARRIER_MS,
        lost_after_ms: peers.lost_after.as_millis(),
        versions: Versions::THIS,
        seed,
    }
}

/// A turn of the gate takes milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// SUBACK waits no longer for nodes that do not answer (SEMANTICS: bounded wait of 5 s).
const BARRIER_MS: u64 = 5_000;

#[cfg(test)]
mod tests;
