//! What finding filters and topics costs: nanoseconds a match at 1 K to 1 M filters, bytes a filter at 10 M, and the
//! retained topic tree at 1 M topics. Prints one Markdown table a section.
//!
//! `cargo run --release -p sluice-benches-micro --bin match_cost [SECTION…]`, the sections being `match`, `memory`, `tree`,
//! `check` and `hostile`; all without an argument. Topics are asked for at random over the whole index, so the larger ones answer
//! from main memory and not from a cache: a broker that sees some topics more often than others does better. Times are CPU
//! time of the thread, so that other work on the machine counts only where it takes caches and memory bandwidth away.

use std::hint::black_box;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};
use sluice_topic::{FilterIndex, Limits, TopicFilter, TopicTree, check_topic, covers, matches};

#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

fn main() -> io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |section: &str| wanted.is_empty() || wanted.iter().any(|name| name == section);
    let mut out = io::stdout().lock();
    if is_wanted("match") {
        match_section(&mut out)?;
    }
    if is_wanted("memory") {
        memory_section(&mut out)?;
    }
    if is_wanted("tree") {
        tree_section(&mut out)?;
    }
    if is_wanted("check") {
        check_section(&mut out)?;
    }
    if is_wanted("hostile") {
        hostile_section(&mut out)?;
    }
    Ok(())
}

/// A family of filters, the n-th for each n, and for each a topic name that it matches.
struct Shape {
    name: &'static str,
    filter: fn(u64) -> String,
    topic: fn(u64) -> String,
}

const EXACT: Shape = Shape {
    name: "exact `site/{i}/dev/{j}/state`",
    filter: |n| format!("site/{}/dev/{}/state", n / 100, n % 100),
    topic: |n| format!("site/{}/dev/{}/state", n / 100, n % 100),
};

const PLUS: Shape = Shape {
    name: "`site/{i}/dev/{j}/+`",
    filter: |n| format!("site/{}/dev/{}/+", n / 100, n % 100),
    topic: |n| format!("site/{}/dev/{}/temp", n / 100, n % 100),
};

const PLUS_FIRST: Shape = Shape {
    name: "`+/{id of 12}/state`",
    filter: |n| format!("+/{:012x}/state", scramble(n) >> 16),
    topic: |n| format!("plant/{:012x}/state", scramble(n) >> 16),
};

const HASH: Shape = Shape {
    name: "`site/{i}/dev/{j}/#`",
    filter: |n| format!("site/{}/dev/{}/#", n / 100, n % 100),
    topic: |n| format!("site/{}/dev/{}/motor/temp", n / 100, n % 100),
};

/// Five shapes in one index; a topic meets literals and wildcards side by side on the way down.
const MIXED: Shape = Shape {
    name: "mixed: five shapes",
    filter: |n| match n % 5 {
        0 => format!("site/{}/dev/{}/+", n / 100, n % 100),
        1 => format!("site/{}/+/{}/#", n / 100, n % 100),
        2 => format!("+/{}/dev/{}/state", n / 100, n % 100),
        3 => format!("site/+/dev/d{n}/#"),
        _ => format!("+/line{n}/#"),
    },
    topic: |n| match n % 5 {
        3 => format!("site/{}/dev/d{n}/temp", n / 100),
        4 => format!("plant/line{n}/dev/7/temp"),
        _ => format!("site/{}/dev/{}/state", n / 100, n % 100),
    },
};

fn match_section(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| filters | number | match ns, median (least) | matches a topic | no match ns |\n|---|--:|--:|--:|--:|"
    )?;
    for shape in [EXACT, PLUS, PLUS_FIRST, HASH, MIXED] {
        for number in [1_000, 100_000, 1_000_000] {
            let index = build(&shape, number).0;
            let hits = Queries::new(|random| (shape.topic)(random % number));
            let misses = Queries::new(|random| format!("other/{}/dev/{}/state", random % number, random % 97));
            let mut found = 0_u64;
            hits.texts().for_each(|topic| index.for_each_match(topic, |_| found += 1));
            let (median, least) = hits.time(|topic| sum_of_matches(&index, topic));
            let (miss, _) = misses.time(|topic| sum_of_matches(&index, topic));
            let per_topic = found as f64 / QUERIES as f64;
            writeln!(out, "| {} | {number} | {median:.0} ({least:.0}) | {per_topic:.2} | {miss:.0} |", shape.name)?;
        }
    }
    writeln!(out)
}

fn sum_of_matches(index: &FilterIndex<u32>, topic: &str) -> u64 {
    let mut sum = 0;
    index.for_each_match(topic, |&value| sum += u64::from(value));
    sum
}

fn memory_section(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| 10 M filters, value u32 | text bytes | bytes a filter, text and value included | of it in the index's own count | insert ns | slowest 1,000 inserts µs |\n|---|--:|--:|--:|--:|--:|"
    )?;
    let number = 10_000_000;
    for shape in [EXACT, PLUS, PLUS_FIRST, HASH, MIXED] {
        let before = ALLOCATOR.allocated();
        let (index, spent, slowest) = build(&shape, number);
        let per_filter = (ALLOCATOR.allocated() - before) as f64 / number as f64;
        let counted = index.memory_bytes() as f64 / number as f64;
        let text: usize = (0..1_000).map(|n| (shape.filter)(n * 9_973).len()).sum();
        writeln!(
            out,
            "| {} | {:.0} | {per_filter:.1} | {counted:.1} | {:.0} | {:.0} |",
            shape.name,
            text as f64 / 1_000.0,
            spent.as_nanos() as f64 / number as f64,
            slowest.as_nanos() as f64 / 1_000.0
        )?;
    }
    writeln!(out)
}

/// The index of the first `number` filters of a shape, the time to insert them, and the time of the slowest batch.
fn build(shape: &Shape, number: u64) -> (FilterIndex<u32>, Duration, Duration) {
    let mut index = FilterIndex::with_seed(0x5EED);
    let parsed = |n| (n, parse(&(shape.filter)(n)));
    let (spent, slowest) = insert_in_batches(number, parsed, |(n, filter)| {
        index.get_or_insert_with(&filter, || n as u32);
    });
    assert_eq!(index.len() as u64, number, "the filters of a shape are distinct");
    (index, spent, slowest)
}

/// Times the insertion of `number` items, made outside the time measured: all together, and the slowest batch of them.
fn insert_in_batches<T>(number: u64, make: impl Fn(u64) -> T, mut insert: impl FnMut(T)) -> (Duration, Duration) {
    let (mut spent, mut slowest) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..number / BATCH {
        let items: Vec<T> = (batch * BATCH..(batch + 1) * BATCH).map(&make).collect();
        let start = cpu_time();
        items.into_iter().for_each(&mut insert);
        let took = cpu_time() - start;
        spent += took;
        slowest = slowest.max(took);
    }
    (spent, slowest)
}

fn tree_section(out: &mut impl Write) -> io::Result<()> {
    let number = 1_000_000;
    let topic = |n: u64| format!("site/{:05}/dev/{:03}/motor/temp", n / 100, n % 100);
    for in_order in [true, false] {
        let before = ALLOCATOR.allocated();
        let mut tree = TopicTree::with_seed(0x5EED);
        let mut text = 0;
        // A prime far from any power of two visits all numbers once, in no useful order.
        let nth = |n| (n, topic(if in_order { n } else { n * 7_368_787 % number }));
        let (spent, slowest) = insert_in_batches(number, nth, |(n, topic)| {
            text += topic.len();
            tree.insert(&topic, n as u32);
        });
        let overhead = (ALLOCATOR.allocated() - before - text) as f64 / number as f64 - size_of::<u32>() as f64;
        let order = if in_order { "in order" } else { "at random" };
        writeln!(out, "| 1 M topics of {} bytes, inserted {order} | |\n|---|--:|", text as u64 / number)?;
        writeln!(out, "| bytes a topic besides text and value | {overhead:.1} |")?;
        writeln!(
            out,
            "| insert ns (slowest 1,000 µs) | {} ({}) |",
            spent.as_nanos() as u64 / number,
            slowest.as_micros()
        )?;
        let queries = Queries::new(|random| topic(random % number));
        let (median, least) = queries.time(|topic| tree.get(topic).copied().map_or(0, u64::from));
        writeln!(out, "| exact get ns, median (least) | {median:.0} ({least:.0}) |")?;
        for filter in ["#", "site/+/dev/+/motor/temp", "site/+/dev/007/motor/temp", "site/04242/#", "site/+/z"] {
            let (found, took) = scan(&tree, &parse(filter));
            let rate = found as f64 / took.as_secs_f64() / 1e6;
            writeln!(out, "| scan `{filter}`: topics, µs, M topics/s | {found}, {:.1}, {rate:.1} |", micros(took))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The matches of a filter and the median time of a scan.
fn scan(tree: &TopicTree<u32>, filter: &TopicFilter) -> (u64, Duration) {
    let mut found = 0;
    let mut times = [Duration::ZERO; ROUNDS];
    for time in &mut times {
        found = 0;
        let start = cpu_time();
        let ended = tree.scan(filter, None, |topic, value| {
            black_box((topic, value));
            found += 1;
            ControlFlow::Continue(())
        });
        *time = cpu_time() - start;
        assert!(ended, "nothing broke the scan");
    }
    times.sort_unstable();
    (found, times[ROUNDS / 2])
}

fn check_section(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| one call, topics of 30 bytes | ns, median (least) |\n|---|--:|")?;
    let queries = Queries::new(|random| format!("site/{:05}/dev/{:03}/motor/temp", random % 100_000, random % 1_000));
    let limits = Limits::default();
    let mut row = |name: &str, (median, least): (f64, f64)| writeln!(out, "| {name} | {median:.1} ({least:.1}) |");
    row("check_topic", queries.time(|topic| u64::from(check_topic(topic, &limits).is_ok())))?;
    row(
        "matches, `site/+/dev/+/motor/temp`",
        queries.time(|topic| u64::from(matches("site/+/dev/+/motor/temp", topic))),
    )?;
    row("covers, by `site/+/dev/#`", queries.time(|topic| u64::from(covers("site/+/dev/#", topic))))?;
    row("TopicFilter::parse", queries.time(|topic| parse(topic).as_str().len() as u64))?;
    writeln!(out)
}

/// What the filters of one client can cost a publish at worst: every combination of a literal and `+` in the first levels,
/// then `+` down to the last level allowed. No two filters share a node behind the first levels, and all of them match.
fn hostile_section(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| hostile filters | levels | matches a topic | µs a topic | ns a match |\n|---|--:|--:|--:|--:|")?;
    for levels in [16_usize, 32, 128] {
        let mut index = FilterIndex::with_seed(0x5EED);
        for combination in 0..1_u32 << 13 {
            let level = |at: usize| if at < 13 && combination >> at & 1 == 1 { "a" } else { "+" };
            let filter: Vec<&str> = (0..levels).map(level).collect();
            index.get_or_insert_with(&parse(&filter.join("/")), || combination);
        }
        let topic = vec!["a"; levels].join("/");
        let mut times = [Duration::ZERO; ROUNDS];
        for time in &mut times {
            let start = cpu_time();
            black_box(sum_of_matches(&index, black_box(&topic)));
            *time = cpu_time() - start;
        }
        times.sort_unstable();
        let median = micros(times[ROUNDS / 2]);
        let number = index.len();
        writeln!(out, "| {number} | {levels} | {number} | {median:.0} | {:.0} |", median * 1_000.0 / number as f64)?;
    }
    writeln!(out)
}

/// Texts to ask for, in one run of memory so that reading them costs next to nothing.
struct Queries {
    text: String,
    ends: Vec<usize>,
}

impl Queries {
    fn new(text_of: impl Fn(u64) -> String) -> Self {
        let mut queries = Self { text: String::new(), ends: Vec::with_capacity(QUERIES) };
        for n in 0..QUERIES as u64 {
            queries.text.push_str(&text_of(scramble(n) >> 8));
            queries.ends.push(queries.text.len());
        }
        queries
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.text[std::mem::replace(&mut start, end)..end])
    }

    /// Nanoseconds a call: the median and the least over `ROUNDS` rounds of all texts.
    fn time(&self, call: impl Fn(&str) -> u64) -> (f64, f64) {
        let mut rounds = [0.0; ROUNDS];
        for round in &mut rounds {
            let start = cpu_time();
            let sum: u64 = self.texts().map(|text| call(black_box(text))).fold(0, u64::wrapping_add);
            *round = (cpu_time() - start).as_nanos() as f64 / QUERIES as f64;
            black_box(sum);
        }
        rounds.sort_unstable_by(f64::total_cmp);
        (rounds[ROUNDS / 2], rounds[0])
    }
}

fn parse(filter: &str) -> TopicFilter {
    TopicFilter::parse(filter, &Limits::default()).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

/// CPU time of this thread since it began.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}

/// A one-to-one mix of 64 bits (the finaliser of `SplitMix64`): random numbers that are the same in every run.
fn scramble(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const QUERIES: usize = 200_000;
const BATCH: u64 = 1_000;
const ROUNDS: usize = 7;
