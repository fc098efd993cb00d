//! Client ids that somebody else has: each is connected at the publishers' node, and then comes at the subscribers' node.

use anyhow::{Context, Result};

use super::{client_id, forget_sessions};
use crate::dial::{Client, dial, greet};
use crate::latency::Latencies;
use crate::metric::{Metric, Outcome};
use crate::target::Target;

/// The parameters of takeovers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takeover {
    /// How many clients come.
    pub(crate) clients: usize,
    /// Whether their sessions outlive their connections.
    pub(crate) persistent: bool,
}

impl Takeover {
    /// Measures from CONNECT to CONNACK of the second connection, one client after the other. The first is open until then.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let client = |index| Client::new(client_id("t", index)).persistent(self.persistent);
        let clients: Vec<Client> = (0..self.clients).map(client).collect();
        let first = dial(&target.of_publishers(), &clients).context("those who are there first")?;
        let mut latencies = Latencies::new()?;
        let mut second = Vec::new();
        for client in &clients {
            let (socket, took) = greet(target, client)?;
            latencies.record_duration(took);
            second.push(socket);
        }
        drop((first, second));
        if self.persistent {
            forget_sessions(target, &clients)?;
        }
        let mut outcome = Outcome::default();
        outcome.set_quantiles([Metric::TakeoverP50, Metric::TakeoverP99], &latencies);
        Ok(outcome)
    }
}
