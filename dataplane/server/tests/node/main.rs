//! A whole node, over real sockets: what the driver does, whatever the broker in it decides.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod client;
mod handshake;
mod lifecycle;
mod limits;
mod stream;

use std::{net::SocketAddr, time::Duration};

use sluice_dataplane_server::{
    OnDamage, RunningNode,
    config::{Bind, Listener, NodeConfig, Protocol},
    start,
};
use tempfile::TempDir;

/// A node with a store of its own, gone with the test.
struct Node {
    running: RunningNode,
    data: TempDir,
}

impl Node {
    /// A node whose configuration is the default one, changed.
    fn start(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = NodeConfig::default();
        config.node.data = data.path().to_path_buf();
        config.listeners = vec![local(Protocol::Mqtt)];
        change(&mut config);
        Self { running: start(&config, OnDamage::Refuse).unwrap(), data }
    }

    fn address(&self) -> SocketAddr {
        self.running.address(0).unwrap()
    }

    /// Waits until as many connections are open.
    fn settles_at(&self, connections: usize) {
        for _ in 0..2000 {
            if self.running.connections() == connections {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} connections instead of {connections}", self.running.connections());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.shutdown(0, Duration::from_secs(1), None);
    }
}

/// A listener on any free port of this machine.
fn local(protocol: Protocol) -> Listener {
    Listener::at(Bind::Tcp("127.0.0.1:0".parse().unwrap()), protocol)
}
