//! A node by itself that can be killed at any moment and started again on what it left on disk.

use std::{fs, net::SocketAddr, process::ExitStatus};

use tempfile::TempDir;

use crate::service::{Service, free_address};

/// A node with a folder and an address that outlive its process.
#[derive(Debug)]
pub struct Node {
    service: Service,
    folder: TempDir,
    address: SocketAddr,
}

impl Node {
    /// A node that was not started yet, with room for whatever the tests queue.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-crash-").tempdir().expect("a folder");
        let service = Service::sluice("node", &folder.path().join("sluice.yaml"), folder.path().join("node.log"));
        Self { service, folder, address: free_address() }
    }

    /// Where it listens whenever it runs.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the process with this many workers and returns at once.
    ///
    /// # Panics
    /// When it runs.
    pub fn start(&mut self, workers: u16) {
        let file = self.folder.path().join("sluice.yaml");
        fs::write(&file, configuration(self.address, workers)).expect("a configuration file");
        self.service.start();
    }

    /// Kills the process (SIGKILL). `Err`: it had ended by itself.
    ///
    /// # Errors
    /// How it ended.
    pub fn kill(&mut self) -> Result<(), ExitStatus> {
        self.service.kill()
    }

    /// The last lines that the node printed, over all its lives.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.service.log_tail(lines)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// Clients come back as often as they like, and queue as much as they like: neither is what is tested.
fn configuration(address: SocketAddr, workers: u16) -> String {
    format!(
        "node: {{data: data}}\n\
         workers: {workers}\n\
         admin: {{bind: '127.0.0.1:0'}}\n\
         listeners: [{{bind: '{address}'}}]\n\
         mqtt: {{inbox: {{messages_max: 5000000, bytes_max: 4GiB}}}}\n\
         limits: {{takeovers_per_minute: 0, memory_budget: off}}\n"
    )
}
