//! Measures what it costs to push a large routing table: 1 M exact and 100 K wildcard filters of 20 nodes, to one node over
//! TLS, and then a delta of one filter.
//!
//! `cargo run --release -p sluice-tests-push --example cost`. Times are of the processor, of this process, which has both ends.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made fails")]

use std::{collections::BTreeMap, fs, sync::Arc};

use sluice_cluster::NodeId;
use sluice_cluster::interest::{Incarnation, Interest, Position, Sequence};
use sluice_cluster::routing::{RouteBuilder, RouteRows};
use sluice_cluster::wire::resources::{Resources, write_routes};
use sluice_discovery::ResourceType;
use sluice_tests_push::{Control, TestNode, eventually};
use sluice_topic::{Limits, ParsedFilter};

const NODES: u64 = 20;
const EXACT: u64 = 1_000_000;
const WILD: u64 = 100_000;

type Rows = BTreeMap<Arc<ParsedFilter>, Interest>;

fn main() {
    let mut owners: Vec<Rows> = vec![Rows::new(); NODES as usize];
    let mut want = |at: u64, text: String| {
        let filter = Arc::new(ParsedFilter::parse(&text, &Limits::default()).unwrap());
        owners[(at % NODES) as usize].insert(filter, Interest { durable: at.is_multiple_of(4), members: 0 });
    };
    (0..WILD)
        .for_each(|i| want(i, if i % 2 == 0 { format!("site/{i}/line/+/state") } else { format!("device/{i}/#") }));
    (0..EXACT).for_each(|i| want(i, format!("device/x{i}/cmd/reboot")));

    let control = Control::new();
    let replica = control.start();
    let mut node = TestNode::join(&[replica.address()], &control.token()).unwrap();
    node.start(&[replica.address()]);

    let first = cut(&owners, "the table");
    publish(&control, &node, first.clone(), "full state");
    let added = ParsedFilter::parse("device/new/cmd/reboot", &Limits::default()).unwrap();
    owners[3].insert(Arc::new(added), Interest::default());
    let second = cut(&owners, "the table with one filter more");
    let changed = second.iter().filter(|(name, body)| first.get(*name) != Some(*body));
    let (resources, bytes) = changed.fold((0, 0), |(n, bytes), (name, body)| (n + 1, bytes + name.len() + body.len()));
    println!("delta of one filter: {resources} resources, {bytes} bytes");
    publish(&control, &node, second, "delta");
}

fn cut(owners: &[Rows], what: &str) -> Resources {
    let before = cpu_ms();
    let mut builder = RouteBuilder::new("".into());
    for (id, rows) in (1..).zip(owners) {
        let upto = Position { incarnation: Incarnation(1), sequence: Sequence(rows.len() as u64) };
        builder.add(NodeId(id), &"".into(), upto, rows.iter().map(|(filter, interest)| (filter, *interest)));
    }
    let rows: RouteRows<'_> = builder.finish();
    let decided = cpu_ms();
    let resources = write_routes(&rows);
    let bytes: usize = resources.iter().map(|(name, body)| name.len() + body.len()).sum();
    println!(
        "{what}: {} resources, {:.1} MB; decided in {} ms, cut and encoded in {} ms",
        resources.len(),
        bytes as f64 / 1e6,
        decided - before,
        cpu_ms() - decided
    );
    resources
}

fn publish(control: &Control, node: &TestNode, resources: Resources, what: &str) {
    let before = cpu_ms();
    let version = control.publish(ResourceType::Routes, resources);
    let published = cpu_ms();
    eventually("the node has acknowledged it", || control.are_current(&[node.id()]));
    let acknowledged = cpu_ms();
    eventually("the node has the table", || {
        node.seen().routes.as_ref().is_some_and(|table| table.version() == version)
    });
    println!(
        "{what}: published in {} ms; sent, checked and acknowledged in {} ms; put together in {} ms more",
        published - before,
        acknowledged - published,
        cpu_ms() - acknowledged
    );
}

/// Processor time of this process, in milliseconds.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}
