//! What each kind of workload does, one module each.

pub(crate) mod adjust;
pub(crate) mod connect;
pub(crate) mod idle;
pub(crate) mod offline;
pub(crate) mod open_loop;
pub(crate) mod read_retained;
pub(crate) mod retained;
pub(crate) mod subscribe;
pub(crate) mod takeover;
pub(crate) mod throughput;

#[cfg(test)]
mod tests;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::dial::{Client, dial};
use crate::metric::{Metric, Outcome};
use crate::process::Usage;
use crate::target::Target;

/// How long a workload runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Before anything counts.
    pub(crate) warm_up: Duration,
    /// While it counts.
    pub(crate) measure: Duration,
}

/// A kind of workload with its parameters.
#[derive(Clone, Debug)]
pub(crate) enum Scenario {
    /// Closed loop between publishers and subscribers.
    Throughput(throughput::Throughput),
    /// Messages at a fixed rate.
    OpenLoop(open_loop::OpenLoop),
    /// Connections that do nothing.
    Idle(idle::Idle),
    /// Connect, be accepted, close, again.
    Connect(connect::Connect),
    /// Subscribe to one filter after the other.
    Subscribe(subscribe::Subscribe),
    /// Come under a client id that is connected.
    Takeover(takeover::Takeover),
    /// Read retained messages one by one.
    ReadRetained(read_retained::ReadRetained),
    /// Store retained messages, then fetch them all by wildcard.
    Retained(retained::Retained),
    /// Queue messages for sessions that are away, then drain the queues.
    Offline(offline::Offline),
}

impl Scenario {
    /// Whether the broker must speak TLS for it.
    pub(crate) fn needs_tls(&self) -> bool {
        matches!(self, Self::Idle(idle) if idle.tls)
    }

    /// Runs it against `target`.
    pub(crate) fn run(&self, target: &Target, timing: Timing) -> Result<Outcome> {
        match self {
            Self::Throughput(scenario) => scenario.run(target, timing),
            Self::OpenLoop(scenario) => scenario.run(target, timing),
            Self::Idle(scenario) => scenario.run(target),
            Self::Connect(scenario) => scenario.run(target, timing),
            Self::Subscribe(scenario) => scenario.run(target),
            Self::Takeover(scenario) => scenario.run(target),
            Self::ReadRetained(scenario) => scenario.run(target),
            Self::Retained(scenario) => scenario.run(target),
            Self::Offline(scenario) => scenario.run(target),
        }
    }
}

/// A reading of the wall clock, the broker and the generator, to subtract from a later one.
struct Reading {
    at: Instant,
    broker: Option<Usage>,
    generator: Usage,
}

impl Reading {
    fn take(target: &Target) -> Result<Self> {
        Ok(Self { at: Instant::now(), broker: target.usage()?, generator: Usage::of_self()? })
    }

    fn seconds_until(&self, later: &Self) -> f64 {
        later.at.duration_since(self.at).as_secs_f64()
    }

    fn broker_cpu_until(&self, later: &Self) -> Option<f64> {
        Some(later.broker?.cpu_seconds - self.broker?.cpu_seconds)
    }

    /// Growth of the broker's memory in bytes; shrinking counts as zero.
    fn growth_until(&self, later: &Self) -> Option<f64> {
        Some(later.broker?.rss_bytes.saturating_sub(self.broker?.rss_bytes) as f64)
    }

    /// Adds rate, CPU of both sides and memory for `deliveries` between the two readings.
    fn report(&self, later: &Self, deliveries: u64, outcome: &mut Outcome) -> Result<()> {
        anyhow::ensure!(deliveries > 0, "nothing was delivered");
        let millions = deliveries as f64 / 1e6;
        outcome.set(Metric::DeliveriesPerSecond, deliveries as f64 / self.seconds_until(later));
        if let Some(cpu) = self.broker_cpu_until(later) {
            outcome.set(Metric::BrokerCpuPerMillion, cpu / millions);
        }
        let generator = later.generator.cpu_seconds - self.generator.cpu_seconds;
        outcome.set(Metric::GeneratorCpuPerMillion, generator / millions);
        later.report_rss(outcome);
        Ok(())
    }

    fn report_rss(&self, outcome: &mut Outcome) {
        if let Some(usage) = self.broker {
            outcome.set(Metric::RssMib, usage.rss_bytes as f64 / (1_024.0 * 1_024.0));
        }
    }
}

/// A client id that no other run uses.
fn client_id(kind: &str, index: usize) -> String {
    format!("load-{}-{kind}{index}", std::process::id())
}

/// Connects `clients` and then ends their sessions, so that none outlives the run.
fn forget_sessions(target: &Target, clients: &[Client]) -> Result<()> {
    let away: Vec<Client> = clients.iter().map(|client| Client::new(client.id.clone())).collect();
    dial(target, &away).map(drop).context("cannot remove the sessions of the run")
}

/// Connects the clients of a workload, subscribers first.
fn connect(target: &Target, subscribers: &[Client], publishers: &[Client]) -> Result<Vec<TcpStream>> {
    let mut sockets = dial(target, subscribers).context("subscribers")?;
    sockets.extend(dial(&target.of_publishers(), publishers).context("publishers")?);
    Ok(sockets)
}

fn publishers(count: usize) -> Vec<Client> {
    (0..count).map(|index| Client::new(client_id("p", index))).collect()
}
