//! Runs simulated clusters, seed by seed, and says which one went wrong and how.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use sluice_tests_sim::run;

/// Runs clusters in virtual time and checks what must always hold.
#[derive(Parser)]
struct Options {
    /// The first seed, or the only one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds from..to, the last one not included
    #[arg(long, value_parser = parse_seeds, conflicts_with = "seed")]
    seeds: Option<std::ops::Range<u64>>,
    /// What clients do and what goes wrong until everything heals
    #[arg(long, default_value_t = 300)]
    steps: u32,
    /// Goes on behind a seed that went wrong
    #[arg(long)]
    all: bool,
    /// How many of the last events to say
    #[arg(long, default_value_t = 60)]
    lines: usize,
}

fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("such as 1..200")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seeds = options.seeds.clone().unwrap_or(options.seed..options.seed + 1);
    // A panic of a machine is told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = io::stdout().lock();
    let (mut wrong, mut messages) = (0, 0);
    let count = seeds.end.saturating_sub(seeds.start);
    for seed in seeds {
        let report = run(seed, options.steps, false);
        messages += report.messages;
        let Some(violation) = report.violation else { continue };
        wrong += 1;
        // Nobody reads on: then there is nobody to tell.
        let _ = writeln!(out, "seed {seed}: {}: {}", violation.invariant, violation.what);
        if options.lines > 0 {
            let _ = writeln!(out, "  {}", report.shape);
            let lines = run(seed, options.steps, true).lines;
            let last = &lines[lines.len().saturating_sub(options.lines)..];
            last.iter().for_each(|line| drop(writeln!(out, "  {line}")));
        }
        if !options.all {
            break;
        }
    }
    let _ = writeln!(out, "{count} seeds of {} steps, {messages} messages: {wrong} wrong", options.steps);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
