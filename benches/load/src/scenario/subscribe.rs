//! Subscriptions, one after the other: each waits for its SUBACK. In a cluster that comes when all nodes route to it.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};

use super::client_id;
use crate::codec;
use crate::dial::{Client, dial, with_packet};
use crate::latency::Latencies;
use crate::metric::{Metric, Outcome};
use crate::target::Target;

/// The parameters of subscriptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribe {
    /// How many there are.
    pub(crate) filters: u32,
}

/// A client that subscribes more than a thousand times in a second is taken for one that does harm.
const PER_CLIENT: u32 = 500;

impl Subscribe {
    /// Subscribes at the subscribers' node.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let clients: Vec<Client> =
            (0..self.filters.div_ceil(PER_CLIENT) as usize).map(|index| Client::new(client_id("u", index))).collect();
        let mut sockets = dial(target, &clients)?;
        let mut latencies = Latencies::new()?;
        for number in 0..self.filters {
            let socket = sockets.get_mut((number / PER_CLIENT) as usize).context("no connection")?;
            let filter = format!("load/{}/new/{number}", std::process::id());
            let mut packet = Vec::new();
            codec::subscribe(&mut packet, 1, &[filter], 1);
            let start = Instant::now();
            socket.write_all(&packet).context("cannot send SUBSCRIBE")?;
            with_packet(socket, |frame| frame.expect_suback())?;
            latencies.record_duration(start.elapsed());
        }
        let mut outcome = Outcome::default();
        outcome.set_quantiles([Metric::SubscribedP50, Metric::SubscribedP99], &latencies);
        Ok(outcome)
    }
}
