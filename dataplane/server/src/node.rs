//! A whole node: opens what the configuration names, starts the threads, and ends them in good order.
//!
//! ```text
//!  greeters ──arrivals──► worker 0..N-1 ◄──verdicts── auth pool
//!                           │   ▲ │ ▲
//!                  batches  ▼   │ └─┴── frames between workers
//!                          store┘
//! ```

mod access;
mod cluster;
mod control;
mod credentials;
mod listeners;
mod load;
mod plan;
mod pulse;
mod standing;
mod start;
mod system;
mod threads;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sluice_dataplane_core::{GateStats, Input, Stats};
use sluice_dataplane_store::Store;
use sluice_service::{reload::Reloader, tls::TlsContext};

use self::{
    cluster::{Gateway, Member},
    control::Control,
    start::Starting,
};
use crate::{
    config::{Bind, NodeConfig},
    control::ControlStatus,
    links::LinkStats,
    listener::Seats,
    mailbox::{Letter, Mailbox},
    stats::DriverStats,
};

/// A node that serves clients, until [`Self::shutdown`]. Its store is closed when it is dropped.
pub struct RunningNode {
    bound: Vec<Bound>,
    certificates: Vec<(usize, Arc<TlsContext>)>,
    workers: Arc<[Mailbox]>,
    greeters: Vec<Mailbox>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    seats: Arc<Seats>,
    reloader: Reloader,
    store: Arc<Store>,
    control: Option<Control>,
    gateway: Option<Gateway>,
    /// Its end ends the `$SYS` thread.
    _ticking: mpsc::Sender<()>,
}

/// A listener that is open.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The name in logs and metrics.
    pub name: String,
    /// Where it listens, with the port it really has.
    pub bind: Bind,
}

/// What happens when the log of the store is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDamage {
    /// The node does not start.
    #[default]
    Refuse,
    /// It starts with what stands before the damage. For an operator who decides so, this once: no configuration says it.
    AcceptLoss,
}

impl OnDamage {
    /// What a flag of the command line says.
    #[must_use]
    pub fn of_flag(accept_loss: bool) -> Self {
        if accept_loss { Self::AcceptLoss } else { Self::Refuse }
    }
}

/// Starts a node and returns once it serves.
///
/// # Errors
/// What cannot be opened or read, in words for the operator. Nothing is left running then.
pub fn start(config: &NodeConfig, on_damage: OnDamage) -> anyhow::Result<RunningNode> {
    if !config.is_clustered() {
        return start_as(config, on_damage, None);
    }
    system::raise_descriptor_limit();
    let joined = control::join_cluster(config)?;
    let starting = Starting::prepare(config)?.link(config, &joined.member)?;
    starting.control(config, joined)?.start(config, on_damage)
}

/// As [`start`], one node of several if it is a `member`.
fn start_as(config: &NodeConfig, on_damage: OnDamage, member: Option<&Member>) -> anyhow::Result<RunningNode> {
    system::raise_descriptor_limit();
    let mut starting = Starting::prepare(config)?;
    if let Some(member) = member {
        starting = starting.link(config, member)?;
    }
    starting.start(config, on_damage)
}

impl RunningNode {
    /// The listeners, in the order of the configuration.
    #[must_use]
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The TCP address of a listener, by its place in the configuration; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self, listener: usize) -> Option<SocketAddr> {
        match self.bound.get(listener)?.bind {
            Bind::Tcp(address) => Some(address),
            Bind::Unix(_) => None,
        }
    }

    /// The counters of all threads. Waits for their present turns to end, a second at most; a thread that does not
    /// answer is missing from the sum.
    #[must_use]
    pub fn stats(&self) -> (Stats, DriverStats) {
        pulse::sum(pulse::ask(self.all(), STATS_PATIENCE))
    }

    /// Whether every worker ends its turn within `patience`.
    #[must_use]
    pub fn turns(&self, patience: Duration) -> bool {
        pulse::ask(self.workers.iter(), patience).len() == self.workers.len()
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seats.taken()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The names of encrypted listeners and when the certificate that each uses expires, in seconds since the Unix
    /// epoch.
    pub fn certificates(&self) -> impl Iterator<Item = (&str, i64)> {
        self.certificates.iter().map(|(listener, tls)| (self.bound[*listener].name.as_str(), tls.expires()))
    }

    /// Has all files read again soon: rules, credentials, certificates.
    pub fn reload(&self) {
        self.reloader.reload_now();
    }

    /// What is seen of the links to other nodes; none without a cluster.
    #[must_use]
    pub fn links(&self) -> Vec<LinkStats> {
        self.gateway.as_ref().map(Gateway::stats).unwrap_or_default()
    }

    /// What was exchanged with other nodes; `None` without a cluster, and when the links do not answer.
    #[must_use]
    pub fn exchanged(&self) -> Option<GateStats> {
        self.gateway.as_ref().and_then(Gateway::counted)
    }

    /// How it stands with control; `None` without a cluster.
    #[must_use]
    pub fn control(&self) -> Option<ControlStatus> {
        self.control.as_ref().map(Control::status)
    }

    /// Whether operators drain this node: its clients are sent to other nodes.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.control.as_ref().is_some_and(Control::is_drained)
    }

    /// The names of what could not be read again when it was last tried.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        self.reloader.failing()
    }

    /// Takes no new clients, disconnects those that are there, and ends the node's threads.
    ///
    /// `per_second` clients are disconnected each second, 0 = all at once; after `patience` the rest goes at once.
    /// Version 5 clients are told `server_reference`, or the other nodes of the cluster.
    pub fn shutdown(&self, per_second: u32, patience: Duration, server_reference: Option<&str>) {
        self.all().for_each(|mailbox| mailbox.post(Letter::StopAccepting));
        self.remove_socket_files();
        self.drain(per_second, server_reference);
        if !self.empties_within(patience) {
            self.drain(0, server_reference);
            self.empties_within(LAST_CLOSE);
        }
        self.all().for_each(|mailbox| mailbox.post(Letter::Stop));
        threads::join(std::mem::take(&mut self.threads.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn all(&self) -> impl Iterator<Item = &Mailbox> {
        self.workers.iter().chain(&self.greeters)
    }

    fn drain(&self, per_second: u32, server_reference: Option<&str>) {
        for worker in self.workers.iter() {
            let server_reference = server_reference.map(Arc::from);
            worker.post(Letter::Input(Input::Drain { per_second, server_reference }));
        }
    }

    fn empties_within(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.seats.taken() > 0 {
            if start.elapsed() >= patience {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn remove_socket_files(&self) {
        for bound in &self.bound {
            if let Bind::Unix(path) = &bound.bind {
                // Somebody may have removed it by hand.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Turns are bounded and take milliseconds.
const STATS_PATIENCE: Duration = Duration::from_secs(1);
/// For last words and their lingering.
const LAST_CLOSE: Duration = Duration::from_secs(3);
