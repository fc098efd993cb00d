//! Subscriptions, one after the other: each waits for its SUBACK. In a cluster that comes when all nodes route to it.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};

use super::client_id;
use crate::codec;
use crate::dial::{Client, dial, with_packet};
use crate::latency::Latencies;
use crate::metric::Outcome;
use crate::target::Target;

/// The parameters of subscriptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribe {
    /// How many there are.
    pub(crate) filters: u32,
}

impl Subscribe {
    /// Subscribes at the subscribers' node.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let mut sockets = dial(target, &[Client::new(client_id("u", 0))])?;
        let socket = sockets.first_mut().context("no connection")?;
        let mut latencies = Latencies::new()?;
        for number in 0..self.filters {
            let filter = format!("load/{}/new/{number}", std::process::id());
            let mut packet = Vec::new();
            codec::subscribe(&mut packet, 1, &[filter], 1);
            let start = Instant::now();
            socket.write_all(&packet).context("cannot send SUBSCRIBE")?;
            with_packet(socket, |frame| frame.expect_suback())?;
            latencies.record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        let mut outcome = Outcome::default();
        outcome.set_subscriptions(&latencies);
        Ok(outcome)
    }
}
