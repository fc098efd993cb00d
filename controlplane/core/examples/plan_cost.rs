//! What planning costs, in milliseconds of processor time, for large clusters.
//!
//! `cargo run --release -p sluice-controlplane-core --example plan_cost`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, hint::black_box};

use sluice_cluster::{
    Keyspace, KeyspaceId, Label, Labels, Liveness, Node, NodeId, NodePhase, Policies, Policy, ReplicaCount, Weight,
};
use sluice_controlplane_core::{
    KnownNode, Loss, MoveBudget, NodeReport, PlanInput, ShardStatus, check, diff, plan, simulate,
};

fn main() {
    println!("{:<62} {:>9} {:>9} {:>8}", "case", "plan ms", "check ms", "actions");
    let zones = |id| id % 9;
    for (nodes, shards, replicas) in [(100, 1024, 3), (1_000, 2048, 1), (1_000, 2048, 3)] {
        run(&format!("{nodes} nodes, {} shards x {replicas}", 2 * shards), cluster(nodes, shards, replicas, zones));
    }
    // One node in ten is in a zone that every shard needs: those stay the fullest, and find no taker.
    run("1000 nodes, 4096 shards x 2, small zone", cluster(1_000, 2048, 2, |id| u64::from(id % 10 == 0)));
}

/// Two keyspaces of `shards` shards each: placed anew, at rest, after a node was added, and with a zone of nodes dead.
fn run(shape: &str, mut input: PlanInput) {
    measure(&format!("{shape}, new"), &mut input);
    measure(&format!("{shape}, at rest"), &mut input);
    let nodes = input.nodes.len() as u64;
    (1..=10).for_each(|more| add(&mut input, nodes + more, more % 9));
    measure(&format!("{shape}, 10 nodes join"), &mut input);
    let before = input.parent.clone();
    input.nodes.values_mut().filter(|known| known.node.id.0 % 100 == 7).for_each(|known| {
        known.node.phase = NodePhase::Draining;
    });
    measure(&format!("{shape}, 1 in 100 drains"), &mut input);
    let compared = milliseconds(|| diff(&before, &input.parent));
    let simulated = milliseconds(|| simulate(&input, &Loss::Node(NodeId(3))));
    println!("{:<62} {compared:>9.1} {simulated:>9.1}", format!("{shape}, diff and loss of a node"));
}

fn measure(name: &str, input: &mut PlanInput) {
    let next = plan(input);
    let planned = milliseconds(|| plan(input));
    let checked = milliseconds(|| check(input, &next.placement));
    assert_eq!(check(input, &next.placement), Ok(()));
    println!("{name:<62} {planned:>9.1} {checked:>9.1} {:>8}", next.report.actions());
    input.parent = next.placement;
    report(input);
}

fn cluster(nodes: u64, shards: u16, replicas: u8, zone: impl Fn(u64) -> u64) -> PlanInput {
    let keyspace = |id| Keyspace::new(id, Vec::new(), shards).unwrap();
    let policy = |name, id| {
        let policy = Policy::new(Label::parse(name).unwrap(), keyspace(id));
        Policy { replicas: ReplicaCount::new(replicas).unwrap(), ..policy }
    };
    let policies = [policy("sessions", KeyspaceId::SESSIONS), policy("topics", KeyspaceId::TOPICS)];
    let mut input = PlanInput {
        policies: Policies::new(policies).unwrap(),
        budget: MoveBudget { moves_max: 64, incoming_max: 2 },
        ..PlanInput::default()
    };
    (1..=nodes).for_each(|id| add(&mut input, id, zone(id)));
    input
}

fn add(input: &mut PlanInput, id: u64, zone: u64) {
    let label = |text: &str| Label::parse(text).unwrap();
    let zone = format!("z{zone}");
    let labels = [("region", "eu"), ("zone", zone.as_str())].map(|(key, value)| (label(key), label(value)));
    let node = Node {
        id: NodeId(id),
        labels: Labels::new(labels).unwrap(),
        weight: Weight::default(),
        phase: NodePhase::Active,
        liveness: Liveness::Live,
    };
    let report = Some(NodeReport { applied: input.parent.version(), shards: BTreeMap::new() });
    input.nodes.insert(node.id, KnownNode { node, report });
}

/// All nodes have done what the parent placement says.
fn report(input: &mut PlanInput) {
    for known in input.nodes.values_mut() {
        known.report = Some(NodeReport { applied: input.parent.version(), shards: BTreeMap::new() });
    }
    for (key, replicas) in input.parent.shards() {
        let status = ShardStatus { epoch: replicas.epoch(), is_caught_up: true, is_empty: false };
        for id in replicas.voters().union(replicas.learners()) {
            let report = input.nodes.get_mut(id).and_then(|known| known.report.as_mut()).unwrap();
            report.shards.insert(*key, status);
        }
    }
}

/// Processor time of one call, over so many that the kernel's counting in ticks does not matter.
fn milliseconds<T>(call: impl Fn() -> T) -> f64 {
    let (before, mut calls) = (processor_ns(), 0u32);
    loop {
        black_box(call());
        calls += 1;
        let spent = processor_ns() - before;
        if spent >= SPENT_NS_MIN {
            return spent as f64 / 1e6 / f64::from(calls);
        }
    }
}

/// Nanoseconds that this thread has been on a processor, as Linux counts them.
fn processor_ns() -> u64 {
    let line = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of one measurement: fifty ticks of 4 ms.
const SPENT_NS_MIN: u64 = 200_000_000;
