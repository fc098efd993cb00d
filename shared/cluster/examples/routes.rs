//! Measures the routing table at the size that the design asks for: 1 M exact and 100 K wildcard filters over 20 nodes.
//!
//! `cargo run --release -p sluice-cluster --example routes`. Half of the nodes are in another region. A tenth of the exact
//! filters is covered by a wildcard filter of their node, a tenth of all filters is wanted at a second node.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use sluice_cluster::interest::{Incarnation, Interest, InterestLimits, InterestSource, Position, Sequence};
use sluice_cluster::routing::{BaseTable, BuildReport, Matched, RouteBuilder, RoutingTable};
use sluice_cluster::{NodeId, Version};
use sluice_topic::{Limits, ParsedFilter};

const NODES: u64 = 20;
const EXACT: u64 = 1_000_000;
const WILD: u64 = 100_000;
const LOOKUPS: u64 = 2_000_000;
const ANNOUNCED: u64 = 100_000;

type Rows = Vec<(Arc<ParsedFilter>, Interest)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let interest = interest()?;
    let rows: usize = interest.iter().map(Vec::len).sum();
    println!("{rows} rows of interest, {NODES} nodes in 2 regions");
    let started = Instant::now();
    let (base, report) = build(&interest);
    println!("build: {:.2} s", started.elapsed().as_secs_f64());
    println!("{} filters in the table, {} rows covered, {} sets of targets", base.len(), report.covered, report.sets);
    let (memory, encoded) = (base.memory_bytes(), base.encoded_bytes());
    let each = |bytes: usize| bytes as f64 / base.len() as f64;
    println!("memory: {:.1} MB, {:.1} bytes a filter", memory as f64 / 1e6, each(memory));
    println!("plain encoding: {:.1} MB, {:.1} bytes a filter", encoded as f64 / 1e6, each(encoded));
    measure_matches(base)?;
    measure_announcements()
}

/// What each node wants, by filter as a source has it.
fn interest() -> Result<Vec<Rows>, Box<dyn std::error::Error>> {
    let mut nodes = vec![Vec::new(); NODES as usize];
    let mut want = |at: u64, text: String, i: u64| -> Result<(), Box<dyn std::error::Error>> {
        let filter = Arc::new(ParsedFilter::parse(&text, &Limits::default())?);
        let interest = Interest { durable: i.is_multiple_of(4), members: 0 };
        nodes[(at % NODES) as usize].push((filter.clone(), interest));
        if i.is_multiple_of(10) {
            nodes[((at + 7) % NODES) as usize].push((filter, interest));
        }
        Ok(())
    };
    for i in 0..WILD {
        let text = if i % 2 == 0 { format!("site/{i}/line/+/state") } else { format!("device/{i}/#") };
        want(i, text, i)?;
    }
    for i in 0..EXACT {
        // The first tenth lies below `device/{odd}/#` of the same node, and is as durable at most.
        let below = i < EXACT / 10 && i % 2 == 1;
        let text = if below { format!("device/{i}/cmd/reboot") } else { format!("device/x{i}/cmd/reboot") };
        want(i, text, i)?;
    }
    nodes.iter_mut().for_each(|rows| rows.sort());
    Ok(nodes)
}

fn build(interest: &[Rows]) -> (BaseTable, BuildReport) {
    let mut builder = RouteBuilder::new("eu".into());
    for (node, rows) in (0..).zip(interest) {
        let region = if node < NODES / 2 { "eu" } else { "us" };
        let upto = Position { incarnation: Incarnation(1), sequence: Sequence(rows.len() as u64) };
        builder.add(NodeId(node), &region.into(), upto, rows.iter().map(|(filter, interest)| (filter, *interest)));
    }
    builder.build(Version::new(1, 1))
}

fn measure_matches(base: BaseTable) -> Result<(), Box<dyn std::error::Error>> {
    let limits = InterestLimits::default();
    let mut table = RoutingTable::new(NodeId(99), "eu".into(), Incarnation(1), &limits);
    table.install(Arc::new(base), std::time::Duration::ZERO)?;
    let mut matched = Matched::default();
    let topics: Vec<String> = (0..1 << 16).map(|i| format!("device/x{}/cmd/reboot", i * 15 % EXACT)).collect();
    let started = Instant::now();
    for i in 0..LOOKUPS {
        table.find(&topics[(i & 0xffff) as usize], &mut matched);
        black_box(matched.targets().len());
    }
    println!("match: {:.0} ns", started.elapsed().as_nanos() as f64 / LOOKUPS as f64);
    Ok(())
}

fn measure_announcements() -> Result<(), Box<dyn std::error::Error>> {
    let limits = InterestLimits::default();
    let mut source = InterestSource::new(Incarnation(1), limits);
    let mut table = RoutingTable::new(NodeId(99), "eu".into(), Incarnation(1), &limits);
    let (owner, me, now) = (NodeId(1), NodeId(99), std::time::Duration::ZERO);
    table.join(owner, &"eu".into(), sluice_cluster::routing::Reach::Direct);
    table.linked(owner, now);
    let filters: Result<Vec<_>, _> =
        (0..ANNOUNCED).map(|i| ParsedFilter::parse(&format!("device/x{i}/cmd/reboot"), &Limits::default())).collect();
    let filters = filters?;
    let started = Instant::now();
    for filter in &filters {
        source.set(filter, Some(Interest::default()));
        while let Some(frame) = table.poll_transmit(owner, now) {
            source.handle(me, &frame, now);
        }
        while let Some(frame) = source.poll_transmit(me, now) {
            table.handle(owner, &frame, now);
        }
    }
    let each = started.elapsed().as_nanos() as f64 / ANNOUNCED as f64;
    println!(
        "one subscription, announced, taken in and acknowledged: {each:.0} ns ({} in the overlay)",
        table.overlay_len()
    );
    Ok(())
}
