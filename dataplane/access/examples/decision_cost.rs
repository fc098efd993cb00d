//! What a decision costs, in nanoseconds, for rule files of several shapes and sizes.
//!
//! `cargo run --release -p sluice-dataplane-access --example decision_cost`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{fmt::Write, hint::black_box, sync::Arc, time::Instant};

use sluice_dataplane_access::{Principal, Rules};

fn main() {
    println!("{:<34} {:>10} {:>10} {:>12}", "rules", "publish", "deliver", "subscribe #");
    report("3 with placeholders", &templated(3));
    for count in [10, 1_000, 100_000] {
        report(&format!("{count} for everyone"), &for_everyone(count));
        report(&format!("{count} users, one rule each"), &per_user(count));
    }
}

fn report(name: &str, source: &str) {
    let rules = Rules::parse(source, 1).unwrap();
    let groups: [Arc<str>; 2] = ["devices".into(), "fleet".into()];
    let client = Principal::new("device-7").with_username(Some("user7".into())).with_groups(groups);
    let topics: Vec<String> = (0..64).map(|n| format!("site/{}/dev/device-7/s{n}", n % 8)).collect();
    let mut turn = 0;
    let mut topic = || {
        turn = (turn + 1) % topics.len();
        &topics[turn]
    };
    let publish = nanoseconds(1_000_000, || rules.publish(&client, topic(), 1, false).allowed);
    let deliver = nanoseconds(1_000_000, || rules.deliver(&client, &topics[5]));
    let subscribe = nanoseconds(20, || rules.subscribe(&client, "site/7/#", 1, None).allowed);
    println!("{name:<34} {publish:>10.0} {deliver:>10.0} {subscribe:>12.0}");
}

fn nanoseconds(times: u32, mut question: impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        black_box(question());
    }
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

fn templated(count: usize) -> String {
    let mut source = String::from("rules:\n");
    for number in 0..count {
        let topic = if number + 1 == count { "site/+/dev/%c/#" } else { "other/%u/+/%c/#" };
        writeln!(source, "  - {{allow: all, everyone: true, topics: ['{topic}']}}").unwrap();
    }
    source
}

fn for_everyone(count: usize) -> String {
    let mut source = String::from("rules:\n");
    for number in 1..count {
        let effect = if number % 10 == 0 { "deny" } else { "allow" };
        writeln!(source, "  - {{{effect}: all, everyone: true, topics: ['site/+/dev/other-{number}/#']}}").unwrap();
    }
    source + "  - {allow: all, everyone: true, topics: ['site/#']}\n"
}

fn per_user(count: usize) -> String {
    let mut source = String::from("rules:\n");
    for number in 0..count {
        writeln!(source, "  - {{allow: all, users: [user{number}], topics: ['site/+/dev/device-{number}/#']}}")
            .unwrap();
    }
    source
}
