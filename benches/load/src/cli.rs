//! The command line.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::catalogue::{self, Workload};
use crate::compare::{self, AcrossPlan, Plan};
use crate::metric::Outcome;
use crate::scenario::Timing;
use crate::scenario::adjust::Adjust;
use crate::target::Target;
use crate::{forwarder, process, tls};

/// Load generator and comparison of MQTT brokers.
#[derive(Parser, Debug)]
#[command(name = "load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run one workload against a broker that is running, and print the result as JSON.
    ///
    /// Use a broker you can throw away: retained messages of the workload stay in it.
    Run(Run),
    /// List the workloads.
    List,
    /// Be the bare forwarder: move bytes from publishers to subscribers without knowing MQTT.
    Limit {
        /// Where to listen.
        #[arg(long, value_name = "HOST:PORT", value_parser = address)]
        addr: SocketAddr,
    },
    /// Run all workloads against every broker on this machine, in turns, and write a table.
    Compare(Plan),
    /// Start a cluster of Sluice and compare messages that cross from node to node with those that stay.
    Across(AcrossPlan),
}

#[derive(Args, Debug)]
struct Run {
    /// The workload's name; `load list` shows them.
    workload: String,
    /// Where the broker listens for MQTT over TCP.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    addr: SocketAddr,
    /// The certificate (PEM) of the authority behind the broker's, if it speaks TLS there.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Where publishers connect, if at another node than the subscribers.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    publish_addr: Option<SocketAddr>,
    /// The broker's processes on this machine, for CPU and memory.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// How long to run before measuring, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// The core the generator stays on.
    #[arg(long)]
    core: Option<usize>,
    #[command(flatten)]
    adjust: Adjust,
}

/// A number of seconds between nothing and an hour.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give a number of seconds from 0 to 3600".to_owned()),
    }
}

/// The first address of HOST:PORT.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("{error}; write HOST:PORT"))?;
    addresses.next().ok_or_else(|| "the host has no address".to_owned())
}

/// Runs the program with the process's arguments.
pub fn run() -> Result<()> {
    process::raise_open_files()?;
    match Cli::parse().command {
        Command::Run(run) => run_one(&run),
        Command::List => list(),
        Command::Limit { addr } => forwarder::serve(addr),
        Command::Compare(plan) => compare::run(&plan),
        Command::Across(plan) => compare::across(&plan),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    workload: &'a str,
    about: &'a str,
    seconds: f64,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

fn run_one(run: &Run) -> Result<()> {
    let mut workload = catalogue::find(&run.workload)
        .with_context(|| format!("there is no workload {:?}: `load list` shows what there is", run.workload))?;
    run.adjust.apply(&mut workload.scenario)?;
    if let Some(core) = run.core {
        process::pin(&[core])?;
    }
    let tls = run.tls_ca.as_deref().map(tls::client).transpose()?;
    let publish_address = run.publish_addr.unwrap_or(run.addr);
    let target = Target { address: run.addr, publish_address, tls, pids: run.pid.clone() };
    let timing =
        Timing { warm_up: Duration::from_secs_f64(run.warm_up), measure: Duration::from_secs_f64(run.seconds) };
    let outcome = workload.scenario.run(&target, timing)?;
    let report = Report { workload: &workload.name, about: &workload.about, seconds: run.seconds, outcome: &outcome };
    let text = serde_json::to_string_pretty(&report).context("cannot write the result as JSON")?;
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}

fn list() -> Result<()> {
    let mut out = io::stdout().lock();
    for Workload { name, about, .. } in catalogue::workloads() {
        writeln!(out, "{name:<18} {about}").context("cannot write to standard output")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(seconds("-1").is_err());
        assert!(seconds("NaN").is_err());
    }

    #[test]
    fn addresses_may_be_names() {
        assert_eq!(address("127.0.0.1:1883"), Ok(SocketAddr::from(([127, 0, 0, 1], 1_883))));
        assert!(address("localhost:1883").is_ok_and(|address| address.ip().is_loopback()));
        assert!(address("127.0.0.1").is_err());
    }
}
