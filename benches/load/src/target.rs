//! The broker that is measured.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;

use crate::process::Usage;

/// Where a broker listens, and which processes it is if that is known.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens for MQTT.
    pub(crate) address: SocketAddr,
    /// Where publishers connect: another node of a cluster, or the same one.
    pub(crate) publish_address: SocketAddr,
    /// How clients encrypt there; `None` for plain TCP.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The broker's processes, on this machine; none = not known.
    pub(crate) pids: Vec<u32>,
}

impl Target {
    /// One process or none that listens at one address for everybody.
    pub(crate) fn single(address: SocketAddr, tls: Option<Arc<ClientConfig>>, pid: Option<u32>) -> Self {
        Self { address, publish_address: address, tls, pids: pid.into_iter().collect() }
    }

    /// The same broker, with all clients where the publishers are.
    pub(crate) fn of_publishers(&self) -> Self {
        Self { address: self.publish_address, ..self.clone() }
    }

    /// What the broker's processes use together; `None` when they are not known.
    pub(crate) fn usage(&self) -> Result<Option<Usage>> {
        let mut sum = None;
        for &pid in &self.pids {
            let usage = Usage::of(pid)?;
            let so_far: Usage = sum.unwrap_or_default();
            sum = Some(Usage {
                cpu_seconds: so_far.cpu_seconds + usage.cpu_seconds,
                rss_bytes: so_far.rss_bytes + usage.rss_bytes,
            });
        }
        Ok(sum)
    }
}
