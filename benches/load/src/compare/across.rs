//! What messages cost that cross from one node of a cluster to another, against those that stay at one node.
//!
//! Nodes and control share one core, the generator has another. CPU is that of both nodes together.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::broker::Broker;
use super::cluster::Cluster;
use super::running::Running;
use super::{brief, calendar, load_average, machine, say, table};
use crate::catalogue::{self, Workload};
use crate::metric::{Metric, Outcome};
use crate::process;
use crate::scenario::throughput::{Shape, Throughput};
use crate::scenario::{Scenario, Timing};
use crate::target::Target;

/// What to measure, and how long.
#[derive(Args, Debug)]
pub(crate) struct AcrossPlan {
    /// The sluice program.
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// How long each run measures, in seconds.
    #[arg(long, default_value_t = 4.0, value_parser = crate::cli::seconds)]
    seconds: f64,
    /// How long each run warms up, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = crate::cli::seconds)]
    warm_up: f64,
    /// Runs of each workload and place; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    repetitions: u32,
    /// Only workloads whose names contain this, and no table.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The core of the nodes.
    #[arg(long, default_value_t = 0)]
    node_core: usize,
    /// The core of the generator.
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// Where the table goes.
    #[arg(long, default_value = "benches/results")]
    output: PathBuf,
}

/// A workload at two places in turn.
struct Row {
    name: String,
    about: String,
    local: Outcome,
    across: Outcome,
}

impl AcrossPlan {
    fn wants(&self, workload: &Workload) -> bool {
        self.only.as_ref().is_none_or(|only| workload.name.contains(only))
    }
}

/// Runs the workloads and writes `across-DATE.md`.
pub(crate) fn run(plan: &AcrossPlan) -> Result<()> {
    process::pin(&[plan.generator_core])?;
    let load_before = load_average();
    let timing =
        Timing { warm_up: Duration::from_secs_f64(plan.warm_up), measure: Duration::from_secs_f64(plan.seconds) };
    let cores = [plan.node_core];
    let mut rows = Vec::new();
    // On paths for jumbo frames a packet holds several messages.
    let wide = Cluster::start(&plan.sluice, 2, &cores, MTU_WIDE)?;
    for mut workload in messages() {
        workload.name += "-jumbo";
        if !plan.wants(&workload) {
            continue;
        }
        rows.push(in_turn(&workload, (&wide.target(0, 0), &wide.target(1, 0)), timing, plan.repetitions)?);
    }
    drop(wide);
    let cluster = Cluster::start(&plan.sluice, 2, &cores, MTU_USUAL)?;
    let (local, across) = (cluster.target(0, 0), cluster.target(1, 0));
    let meetings = MEETINGS.iter().filter_map(|name| catalogue::find(name));
    for workload in messages().into_iter().chain(meetings).filter(|workload| plan.wants(workload)) {
        rows.push(in_turn(&workload, (&local, &across), timing, plan.repetitions)?);
    }
    // Connections and subscriptions of a cluster of two, against those of a node by itself.
    let alone = Running::start(&Broker::sluice(&plan.sluice, 1)?, false, &cores)?;
    let entries = ["connect", "subscribe"].iter().filter_map(|name| catalogue::find(name));
    for workload in entries.filter(|workload| plan.wants(workload)) {
        rows.push(in_turn(&workload, (alone.target(), &local), timing, plan.repetitions)?);
    }
    alone.stop()?;
    if plan.only.is_some() {
        return Ok(());
    }
    let text = render(&rows, plan, &load_before);
    fs::create_dir_all(&plan.output).with_context(|| format!("cannot create {}", plan.output.display()))?;
    let path = plan.output.join(format!("across-{}.md", calendar::today()));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("the table is in {}", path.display()))
}

/// The messages of issue and design: pairs at three sizes and two levels, and one publisher for many.
fn messages() -> Vec<Workload> {
    let closed = |name: String, about: String, shape, window, qos, payload_len| Workload {
        name,
        about,
        scenario: Scenario::Throughput(Throughput {
            shape,
            window,
            qos,
            payload_len,
            persistent: false,
            filters: None,
        }),
        goals: Vec::new(),
    };
    let mut all = Vec::new();
    for qos in [0, 1] {
        for bytes in [64, 200, 1_024] {
            let (name, about) =
                (format!("p2p-qos{qos}-{bytes}"), format!("10 pairs, window 100, QoS {qos}, {bytes} B"));
            all.push(closed(name, about, Shape::Pairs(10), 100, qos, bytes));
        }
    }
    for bytes in [64, 1_024] {
        let (name, about) = (format!("fan-out-100-{bytes}"), format!("1 → 100, window 50, QoS 0, {bytes} B"));
        all.push(closed(name, about, Shape::FanOut(100), 50, 0, bytes));
    }
    all
}

/// What crosses every network, in bytes of UDP payload.
const MTU_USUAL: u16 = 1_452;
/// What crosses a network of jumbo frames, and in ten segments fits into one call of the system.
const MTU_WIDE: u16 = 6_000;
/// After a run, messages of publishers that were reset may be on their way for a moment, to topics of the next run.
const SETTLE: Duration = Duration::from_millis(500);

/// What somebody has left at one node, and somebody else asks for at the other.
const MEETINGS: [&str; 4] = ["takeover", "takeover-persistent", "read-retained", "read-retained-16k"];

/// Runs a workload at both places in turns, and keeps the medians.
fn in_turn(workload: &Workload, places: (&Target, &Target), timing: Timing, repetitions: u32) -> Result<Row> {
    let mut runs = [Vec::new(), Vec::new()];
    for repetition in 0..repetitions as usize {
        for turn in 0..2 {
            let at = (turn + repetition) % 2;
            let (place, name) = if at == 0 { (places.0, "local") } else { (places.1, "across") };
            let outcome = workload.scenario.run(place, timing).with_context(|| workload.name.clone())?;
            say(&format!("{:<18} {name:<8} {}", workload.name, brief(&outcome)))?;
            thread::sleep(SETTLE);
            runs[at].push(outcome);
        }
    }
    let [local, across] = runs.map(|runs| Outcome::median(&runs));
    Ok(Row { name: workload.name.clone(), about: workload.about.clone(), local, across })
}

fn render(rows: &[Row], plan: &AcrossPlan, load_before: &str) -> String {
    let mut lines = vec![
        format!("# Messages across nodes, {}", calendar::today()),
        String::new(),
        format!("{}; load average before: {load_before}.", machine()),
        format!(
            "Two nodes of one worker each and control on one core, the generator on another; {} s a run, medians of {}.",
            plan.seconds, plan.repetitions
        ),
        "*Local*: publishers and subscribers at one node, or a node by itself. *Across*: publishers at one node and".into(),
        "subscribers at the other, over QUIC with mutual TLS, or clients of one node of the two. CPU is that of both nodes.".into(),
        format!("Links try UDP payloads of up to {MTU_USUAL} bytes, where it says *jumbo* up to {MTU_WIDE}."),
        String::new(),
        "| workload | | figure | local | across | ratio |".into(),
        "|---|---|---|---|---|---|".into(),
    ];
    let figures = [
        Metric::BrokerCpuPerMillion,
        Metric::DeliveriesPerSecond,
        Metric::DeliveryP50,
        Metric::DeliveryP99,
        Metric::ConnectsPerSecond,
        Metric::CpuPerConnect,
        Metric::SubscribedP50,
        Metric::SubscribedP99,
        Metric::TakeoverP50,
        Metric::TakeoverP99,
        Metric::ReadP50,
        Metric::ReadP99,
        Metric::Lost,
    ];
    for row in rows {
        for metric in figures {
            let (Some(local), Some(across)) = (row.local.figure(metric), row.across.figure(metric)) else { continue };
            let ratio = if local > 0.0 { table::number(across / local) } else { "–".into() };
            lines.push(format!(
                "| {} | {} | {} | {} | {} | {ratio} |",
                row.name,
                row.about,
                metric.title(),
                table::number(local),
                table::number(across)
            ));
        }
    }
    lines.join("\n") + "\n"
}
