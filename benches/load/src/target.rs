//! The broker that is measured.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;

use crate::process::Usage;

/// Where a broker listens, and which process it is if that is known.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens for MQTT.
    pub(crate) address: SocketAddr,
    /// How clients encrypt there; `None` for plain TCP.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The broker's process, on this machine.
    pub(crate) pid: Option<u32>,
}

impl Target {
    /// What the broker's process uses; `None` when the process is not known.
    pub(crate) fn usage(&self) -> Result<Option<Usage>> {
        self.pid.map(Usage::of).transpose()
    }
}
