//! Everything about a node that can be decided and opened before its first thread starts.

use std::sync::Arc;

use sluice_dataplane_core::{Settings, settings::ListenerSettings};

use super::{access::AccessFile, credentials::CredentialSources, listeners::Listeners};
use crate::{
    auth_pool::Door,
    config::NodeConfig,
    connect_rate::{ConnectRate, Pace},
    listener::{Admission, Seats},
};

/// A node on paper, with its listeners open.
pub(super) struct Plan {
    pub(super) workers: u16,
    pub(super) settings: Arc<Settings>,
    pub(super) listeners: Listeners,
    pub(super) access: AccessFile,
    pub(super) credentials: CredentialSources,
    pub(super) seats: Arc<Seats>,
    /// Greetings at one time of one greeter.
    pub(super) greetings_max: usize,
    /// Shares of one accepting thread, in connections a second.
    accept_rate: u32,
    accept_rate_per_address: u32,
}

impl Plan {
    /// Reads the files that the configuration names and opens its listeners.
    pub(super) fn of(config: &NodeConfig) -> anyhow::Result<Self> {
        let workers = config.workers().min(WORKERS_MAX);
        let seats = Seats::new(config.limits.connections_max as usize, None);
        let credentials = CredentialSources::load(config)?;
        let access = AccessFile::load(config.access.file.clone())?;
        let listeners = Listeners::open(config, usize::from(workers), &seats)?;
        let mut settings = config.settings();
        for (settings, bound) in settings.listeners.iter_mut().zip(&listeners.bound) {
            settings.name.clone_from(&bound.name);
        }
        // The kernel spreads connections evenly over the workers' sockets, so that each holds its share to the bound.
        let threads = u32::from(workers);
        Ok(Self {
            workers,
            settings: Arc::new(settings),
            greetings_max: (config.limits.handshakes_max as usize).div_ceil(listeners.greeters.len().max(1)),
            listeners,
            access,
            credentials,
            seats,
            accept_rate: config.limits.accept_rate.div_ceil(threads),
            accept_rate_per_address: config.limits.accept_rate_per_address.div_ceil(threads),
        })
    }

    /// What stands before the listeners of one thread.
    pub(super) fn admission(&self) -> Admission {
        // One source may come in with two seconds' worth at once.
        let per_address = self.accept_rate_per_address;
        Admission::new(ConnectRate::new(per_address, per_address.saturating_mul(2)), Pace::new(self.accept_rate))
    }

    /// By listener: what it asks of clients.
    pub(super) fn doors(&self) -> Arc<[Door]> {
        let door = |listener: &ListenerSettings| Door {
            allow_anonymous: listener.allow_anonymous,
            identity_as_username: listener.identity_as_username,
        };
        self.settings.listeners.iter().map(door).collect()
    }
}

/// The core's bound.
const WORKERS_MAX: u16 = 64;
