//! Connections that do nothing: what one costs the broker in memory.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Reading, client_id, forget_sessions};
use crate::dial::{Client, dial};
use crate::metric::{Metric, Outcome};
use crate::target::Target;

/// The parameters of idle connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// How many.
    pub(crate) connections: usize,
    /// Whether each has a session that outlives it and one subscription.
    pub(crate) persistent: bool,
    /// Whether each is encrypted.
    pub(crate) tls: bool,
}

/// After its start, and after the last connection, a broker may still be busy with itself.
const SETTLE: Duration = Duration::from_secs(1);

impl Idle {
    /// Opens all connections, waits, and compares the broker's memory with before.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        ensure!(self.tls == target.tls.is_some(), "encrypted connections, and only those, need the broker's --tls-ca");
        ensure!(!target.pids.is_empty(), "idle connections are measured in the broker's memory: give its --pid");
        let clients: Vec<Client> = (0..self.connections).map(|index| self.client(index)).collect();
        thread::sleep(SETTLE);
        let before = Reading::take(target)?;
        let sockets = dial(target, &clients)?;
        thread::sleep(SETTLE);
        let after = Reading::take(target)?;
        let growth = before.growth_until(&after).context("the broker's memory is not known")?;
        let mut outcome = Outcome::default();
        outcome.set(Metric::BytesPerConnection, growth / self.connections as f64);
        after.report_rss(&mut outcome);
        drop(sockets);
        if self.persistent {
            forget_sessions(target, &clients)?;
        }
        Ok(outcome)
    }

    fn client(&self, index: usize) -> Client {
        let client = Client::new(client_id("i", index)).persistent(self.persistent);
        if self.persistent { client.subscribing(format!("load/idle/{index}"), 1) } else { client }
    }
}
