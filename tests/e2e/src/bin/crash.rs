//! Kills a node under load as often as told, and says what became of the messages.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use sluice_tests_e2e::crash::{Plan, run};

/// Kills a node under load again and again and accounts for every acknowledged message.
#[derive(Parser)]
struct Options {
    /// How often to kill it
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Decides everything random; without it another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// How many workers the node may have: one of these at each start
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    workers: Vec<u16>,
    /// Publishers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    publishers: u8,
    /// Messages a second of each publisher
    #[arg(long, default_value_t = 250)]
    rate: u64,
    /// Two of the subscribers share a subscription; with several workers, QoS 2 does not hold for them yet
    #[arg(long)]
    group: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = Plan {
        seed: options.seed.unwrap_or_else(|| fastrand::u64(..)),
        kills: options.kills,
        workers: options.workers,
        publishers: options.publishers,
        rate_per_publisher: options.rate,
        shared_group: options.group,
    };
    let (text, code) = match run(&plan) {
        Ok(report) => (format!("seed {}: {report}", plan.seed), ExitCode::SUCCESS),
        Err(failure) => (failure, ExitCode::FAILURE),
    };
    // Nobody reads on: then there is nobody to tell.
    let _ = writeln!(io::stdout(), "{text}");
    code
}
