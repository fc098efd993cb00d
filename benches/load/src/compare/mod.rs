//! All workloads against all brokers of this machine, in turns, and a table of the medians.
//!
//! Machines drift, so brokers take turns within each repetition (A B C, then B C A, …) and every run starts a fresh
//! broker with an empty store. The broker has one core and the generator another.

mod across;
mod broker;
mod calendar;
mod certificate;
mod cluster;
mod running;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use crate::catalogue::{self, Workload};
use crate::metric::{Metric, Outcome};
use crate::process;
use crate::scenario::Timing;
pub(crate) use across::{AcrossPlan, run as across};
use broker::Broker;
use running::Running;

/// What to compare, and how long.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// The sluice program; left out of the table if it is not there.
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Only these workloads, by name (see `load list`); a name that ends in * stands for all that start so.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    workloads: Vec<String>,
    /// Only these brokers, by name.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    brokers: Vec<String>,
    /// Another broker: a command line in which {port} and {dir} are filled in. May be given several times.
    #[arg(long = "broker", value_name = "NAME=COMMAND", value_parser = broker::parse_custom)]
    custom: Vec<Broker>,
    /// How long each run measures, in seconds.
    #[arg(long, default_value_t = 4.0, value_parser = crate::cli::seconds)]
    seconds: f64,
    /// How long each run warms up, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = crate::cli::seconds)]
    warm_up: f64,
    /// Runs of each workload and broker; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    repetitions: u32,
    /// One second, one repetition: a check that everything works, not a measurement.
    #[arg(long)]
    quick: bool,
    /// The core of the brokers.
    #[arg(long, default_value_t = 0)]
    broker_core: usize,
    /// The core of the generator.
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// Also compare sluice with one and with two workers.
    #[arg(long)]
    scaling: bool,
    /// Where the table (Markdown) and the figures (JSON) go.
    #[arg(long, default_value = "benches/results")]
    output: PathBuf,
}

/// Workloads that are run with one and with two workers.
const SCALING_WORKLOADS: [&str; 2] = ["p2p-qos0", "fan-out-100"];

/// What one broker did in one workload.
#[derive(Debug, Default, Serialize)]
struct Cell {
    broker: String,
    /// Median of the runs; empty when the broker could not do it.
    median: Outcome,
    runs: Vec<Outcome>,
    /// Why the broker could not do it.
    error: Option<String>,
}

/// One workload.
#[derive(Debug, Serialize)]
struct Row {
    workload: String,
    about: String,
    cells: Vec<Cell>,
}

/// Everything a comparison found.
#[derive(Debug, Serialize)]
struct Comparison {
    date: String,
    machine: String,
    /// Load average of the last minute before the start: above 0.5 something else was running.
    load_average: String,
    seconds: f64,
    repetitions: u32,
    brokers: Vec<Version>,
    rows: Vec<Row>,
    /// Sluice alone, with one and with two workers.
    scaling: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Version {
    name: String,
    version: String,
}

/// Runs the comparison and writes `compare-DATE.md` and `compare-DATE.json`.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let workloads = plan.chosen_workloads()?;
    let brokers = plan.chosen_brokers()?;
    if !brokers.iter().any(|broker| broker.name == broker::SLUICE) && plan.brokers.is_empty() {
        say(&format!("sluice is left out: there is no {}", plan.sluice.display()))?;
    }
    process::pin(&[plan.generator_core])?;
    let mut comparison = Comparison {
        date: calendar::today(),
        machine: machine(),
        load_average: load_average(),
        seconds: plan.timing().measure.as_secs_f64(),
        repetitions: plan.repetitions(),
        brokers: brokers
            .iter()
            .map(|broker| Version { name: broker.name.clone(), version: broker.version() })
            .collect(),
        rows: Vec::new(),
        scaling: Vec::new(),
    };
    for workload in &workloads {
        let row = measure(workload, &brokers, plan, &[plan.broker_core])?;
        comparison.rows.push(row);
        // After every workload, so that an interrupted comparison leaves what it has found.
        write_results(plan, &comparison)?;
    }
    if plan.scaling {
        let workers = [Broker::sluice(&plan.sluice, 1)?, Broker::sluice(&plan.sluice, 2)?];
        for workload in SCALING_WORKLOADS.iter().filter_map(|name| catalogue::find(name)) {
            let row = measure(&workload, &workers, plan, &[plan.broker_core, plan.generator_core])?;
            comparison.scaling.push(row);
        }
    }
    let path = write_results(plan, &comparison)?;
    say(&format!("the table is in {}", path.display()))
}

/// One workload with every broker in turn, `repetitions` times.
fn measure(workload: &Workload, brokers: &[Broker], plan: &Plan, cores: &[usize]) -> Result<Row> {
    let mut cells: Vec<Cell> =
        brokers.iter().map(|broker| Cell { broker: broker.name.clone(), ..Cell::default() }).collect();
    for repetition in 0..plan.repetitions() as usize {
        for turn in 0..brokers.len() {
            let at = (turn + repetition) % brokers.len();
            let (broker, cell) = (&brokers[at], &mut cells[at]);
            if cell.error.is_some() {
                continue;
            }
            match run_once(workload, broker, plan.timing(), cores) {
                Ok(outcome) => {
                    say(&format!("{:<16} {:<12} {}", workload.name, broker.name, brief(&outcome)))?;
                    cell.runs.push(outcome);
                }
                Err(error) => {
                    say(&format!("{:<16} {:<12} - {error:#}", workload.name, broker.name))?;
                    cell.error = Some(format!("{error:#}"));
                }
            }
        }
    }
    for cell in &mut cells {
        cell.median = Outcome::median(&cell.runs);
    }
    Ok(Row { workload: workload.name.clone(), about: workload.about.clone(), cells })
}

fn run_once(workload: &Workload, broker: &Broker, timing: Timing, cores: &[usize]) -> Result<Outcome> {
    let running = Running::start(broker, workload.scenario.needs_tls(), cores)?;
    let outcome = workload.scenario.run(running.target(), timing);
    let started = running.start_time();
    running.stop()?;
    let mut outcome = outcome?;
    outcome.set(Metric::StartMs, started.as_secs_f64() * 1_000.0);
    Ok(outcome)
}

impl Plan {
    fn timing(&self) -> Timing {
        let (warm_up, measure) = if self.quick { (0.3, 1.0) } else { (self.warm_up, self.seconds) };
        Timing { warm_up: Duration::from_secs_f64(warm_up), measure: Duration::from_secs_f64(measure) }
    }

    fn repetitions(&self) -> u32 {
        if self.quick { 1 } else { self.repetitions }
    }

    fn chosen_workloads(&self) -> Result<Vec<Workload>> {
        let all = catalogue::workloads();
        let fits = |pattern: &String, workload: &Workload| match pattern.strip_suffix('*') {
            Some(start) => workload.name.starts_with(start),
            None => workload.name == *pattern,
        };
        if let Some(unknown) = self.workloads.iter().find(|pattern| !all.iter().any(|it| fits(pattern, it))) {
            bail!("there is no workload {unknown:?}: `load list` shows what there is");
        }
        let chosen = |workload: &Workload| {
            self.workloads.is_empty() || self.workloads.iter().any(|pattern| fits(pattern, workload))
        };
        Ok(all.into_iter().filter(chosen).collect())
    }

    fn chosen_brokers(&self) -> Result<Vec<Broker>> {
        let mut all = broker::installed();
        all.extend(self.custom.iter().cloned());
        all.push(Broker::forwarder()?);
        if self.sluice.is_file() {
            all.push(Broker::sluice(&self.sluice, 1)?);
        }
        if let Some(unknown) = self.brokers.iter().find(|name| !all.iter().any(|broker| broker.name == **name)) {
            let names: Vec<&str> = all.iter().map(|broker| broker.name.as_str()).collect();
            bail!("there is no broker {unknown:?} here: found {}", names.join(", "));
        }
        all.retain(|broker| self.brokers.is_empty() || self.brokers.contains(&broker.name));
        Ok(all)
    }
}

fn write_results(plan: &Plan, comparison: &Comparison) -> Result<PathBuf> {
    let output = &plan.output;
    fs::create_dir_all(output).with_context(|| format!("cannot create {}", output.display()))?;
    let json = serde_json::to_string_pretty(comparison).context("cannot write the figures as JSON")?;
    let path = output.join(format!("compare-{}.md", comparison.date));
    for (path, text) in [(path.with_extension("json"), json), (path.clone(), table::render(comparison))] {
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

/// The two or three figures that matter most, for a line of progress.
fn brief(outcome: &Outcome) -> String {
    let minor = [Metric::AckP50, Metric::AckP99, Metric::RssMib, Metric::StartMs];
    let figures = Metric::ALL.iter().filter(|metric| !minor.contains(metric)).filter_map(|metric| {
        outcome.figure(*metric).map(|value| format!("{} {}", table::number(value), metric.title()))
    });
    figures.take(3).collect::<Vec<_>>().join(", ")
}

/// Processor, number of cores and kernel.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

fn load_average() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split_ascii_whitespace().next().unwrap_or("unknown").to_owned()
}

fn say(line: &str) -> Result<()> {
    writeln!(io::stderr(), "{line}").context("cannot write to standard error")
}
