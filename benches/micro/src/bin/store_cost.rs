//! What durability costs: entries a second through group commit, blocks that come and go, and how fast a node has its
//! state back. Prints one Markdown table a section.
//!
//! `cargo run --release -p sluice-benches-micro --bin store_cost [SECTION…]`, the sections being `open`, `latency`,
//! `entries`, `blocks`, `queue`, `recover` and `retained`; all without an argument. The store is made in the folder that
//! `TMPDIR` names, which should be on the disk that is asked about. CPU is that of all threads of the process, the
//! kernel's part included; what is read back was just written, so that it comes from the page cache.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::{Key, Op, SessionUid, WriteBatch};
use sluice_dataplane_store::{Answer, Counters, MinFree, Options, Store};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

type Section = fn(&mut dyn Write) -> Result<()>;

const SECTIONS: [(&str, Section); 7] = [
    ("open", open_section),
    ("latency", latency_section),
    ("entries", entries_section),
    ("blocks", blocks_section),
    ("queue", queue_section),
    ("recover", recover_section),
    ("retained", retained_section),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            section(&mut out)?;
        }
    }
    Ok(())
}

fn open_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\n| opening | ms | CPU ms | RSS grows by, KiB | threads |\n|---|---|---|---|---|")?;
    let folder = TempDir::new()?;
    for what in ["a new store", "an empty store"] {
        let (rss, threads) = (status("VmRSS:")?, status("Threads:")?);
        let run = Run::open(folder.path())?;
        let (ms, cpu) = (run.begun.elapsed().as_secs_f64() * 1e3, (cpu_seconds()? - run.cpu) * 1e3);
        let (rss, threads) = (status("VmRSS:")? - rss, status("Threads:")? - threads);
        writeln!(out, "| {what} | {ms:.1} | {cpu:.0} | {rss} | {threads} |")?;
    }
    Ok(())
}

/// One batch at a time: what a publisher waits for its acknowledgement.
fn latency_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\n| one entry of 200 B at a time | p50 µs | p99 µs | CPU µs an entry |\n|---|---|---|---|")?;
    let folder = TempDir::new()?;
    let mut run = Run::open(folder.path())?;
    let mut waits = Vec::new();
    for number in 0..5000 {
        let begun = Instant::now();
        run.submit(vec![put(number, 200)]);
        run.wait_for_all()?;
        waits.push(begun.elapsed());
    }
    waits.sort();
    let at = |share: usize| waits[waits.len() * share / 100].as_secs_f64() * 1e6;
    let cpu = (cpu_seconds()? - run.cpu) * 1e6 / waits.len() as f64;
    writeln!(out, "| submit → stored | {:.0} | {:.0} | {cpu:.0} |", at(50), at(99))?;
    Ok(())
}

fn entries_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nEntries of 200 B, 64 batches of one worker under way:\n")?;
    heading(out, "entries a batch")?;
    for (a_batch, total) in [(1, 200_000), (4, 400_000), (16, 1_000_000), (64, 2_000_000), (256, 4_000_000)] {
        let folder = TempDir::new()?;
        let mut run = Run::open(folder.path())?;
        let mut number = 0;
        while number < total {
            run.submit((number..number + a_batch).map(|number| put(number, 200)).collect());
            number += a_batch;
            run.wait_until_under_way(64)?;
        }
        run.wait_for_all()?;
        run.report(out, &a_batch.to_string(), total, 200)?;
    }
    Ok(())
}

/// Blocks of 64 KiB that stay, and blocks that are dropped while so many newer ones stay.
fn blocks_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nBlocks of 64 KiB, one a batch, 16 batches under way:\n")?;
    heading(out, "blocks kept")?;
    const TOTAL: u64 = 32_000;
    for kept in [100, 2_000, 16_000, TOTAL] {
        let folder = TempDir::new()?;
        let mut run = Run::open(folder.path())?;
        for number in 0..TOTAL {
            let mut ops = vec![put(number, 64 << 10)];
            if let Some(oldest) = number.checked_sub(kept) {
                ops.push(Op::Drop(key(oldest)));
            }
            run.submit(ops);
            run.wait_until_under_way(16)?;
        }
        run.wait_for_all()?;
        run.report(out, &kept.to_string(), TOTAL, 64 << 10)?;
    }
    Ok(())
}

/// A long life of a queue: ten million puts, nearly as many drops.
fn queue_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nTen million entries of 200 B put, all but the last dropped, then recovered:\n")?;
    heading(out, "entries kept")?;
    let mut recoveries = Vec::new();
    for kept in [1_000, 300_000] {
        let folder = TempDir::new()?;
        let mut run = Run::open(folder.path())?;
        const TOTAL: u64 = 10_000_000;
        for number in (0..TOTAL).step_by(256) {
            let numbers = number..(number + 256).min(TOTAL);
            let drops = numbers.clone().filter_map(|number| number.checked_sub(kept)).map(key).map(Op::Drop);
            run.submit(numbers.clone().map(|number| put(number, 200)).chain(drops).collect());
            run.wait_until_under_way(64)?;
        }
        run.wait_for_all()?;
        run.report(out, &kept.to_string(), TOTAL, 200)?;
        recoveries.push((format!("queue of {kept} after 10 M"), folder, run));
    }
    recovery_heading(out)?;
    for (what, folder, run) in recoveries {
        report_recovery(out, &what, &folder, run)?;
    }
    Ok(())
}

fn recover_section(out: &mut dyn Write) -> Result<()> {
    recovery_heading(out)?;
    type Make = fn(u64) -> Key;
    let session: Make = |number| Key::Session(ShardId((number % 64) as u16), SessionUid(number));
    let subscription: Make = |number| {
        let filter = format!("site/{}/device/{number}/#", number % 1000);
        Key::Subscription(ShardId((number % 64) as u16), SessionUid(number), filter.into())
    };
    for (what, make, value, total) in [
        ("1 M sessions of 80 B", session, 80, 1_000_000),
        ("1 M subscriptions of 16 B", subscription, 16, 1_000_000),
        ("1 M blocks of 200 B", key as Make, 200, 1_000_000),
        ("20 K blocks of 64 KiB", key as Make, 64 << 10, 20_000),
    ] {
        let folder = TempDir::new()?;
        let mut run = Run::open(folder.path())?;
        let a_batch = if value > 10_000 { 4 } else { 256 };
        for number in (0..total).step_by(a_batch) {
            let ops = (number..number + a_batch as u64).map(|number| Op::Put(make(number), text(number, value)));
            run.submit(ops.collect());
            run.wait_until_under_way(16)?;
        }
        run.wait_for_all()?;
        report_recovery(out, what, &folder, run)?;
    }
    Ok(())
}

fn retained_section(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nRetained messages of 100 B, 64 a batch, 64 batches under way; then all replaced three times:\n")?;
    heading(out, "messages")?;
    const TOTAL: u64 = 1_000_000;
    let folder = TempDir::new()?;
    let mut run = Run::open(folder.path())?;
    let retained = |number: u64| {
        let topic = format!("site/{}/device/{number}/state", number % 1000);
        Op::Put(Key::Retained(ShardId((number % 64) as u16), topic.into()), text(number, 100))
    };
    for _ in 0..4 {
        for number in (0..TOTAL).step_by(64) {
            run.submit((number..(number + 64).min(TOTAL)).map(retained).collect());
            run.wait_until_under_way(64)?;
        }
    }
    run.wait_for_all()?;
    run.report(out, "1 M × 4", 4 * TOTAL, 100)?;
    recovery_heading(out)?;
    report_recovery(out, "1 M retained of 100 B", &folder, run)?;
    Ok(())
}

fn heading(out: &mut dyn Write, what: &str) -> io::Result<()> {
    writeln!(out, "| {what} | a second | MB/s | CPU µs each | each sync | sync µs | log MB | disk at the end, MB |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")
}

fn recovery_heading(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n| after a crash | open s | recover s | values | MB/s | CPU s |\n|---|---|---|---|---|---|")
}

/// Closing writes nothing but what was submitted: what is found is what a crash leaves.
fn report_recovery(out: &mut dyn Write, what: &str, folder: &TempDir, run: Run) -> Result<()> {
    drop(run);
    let run = Run::open(folder.path())?;
    let opened = run.begun.elapsed().as_secs_f64();
    let (mut values, mut bytes) = (0, 0);
    run.store.recover(
        |_| true,
        |_, value| {
            values += 1;
            bytes += value.len();
            Ok(())
        },
    )?;
    let recovered = run.begun.elapsed().as_secs_f64() - opened;
    let (rate, cpu) = (bytes as f64 / 1e6 / recovered, cpu_seconds()? - run.cpu);
    writeln!(out, "| {what} | {opened:.2} | {recovered:.2} | {values} | {rate:.0} | {cpu:.2} |")?;
    Ok(())
}

/// A store with one worker, and what it cost so far.
struct Run {
    store: Store,
    stored: mpsc::Receiver<u64>,
    submitted: u64,
    answered: u64,
    begun: Instant,
    cpu: f64,
}

impl Run {
    fn open(path: &Path) -> Result<Self> {
        let (cpu, begun) = (cpu_seconds()?, Instant::now());
        let (sender, stored) = mpsc::channel();
        let answers = move |answer| {
            if let Answer::Stored { batch, .. } = answer {
                // Nobody listens when the run is over.
                let _ = sender.send(batch);
            }
        };
        let options = Options { min_free: MinFree::Bytes(0), ..Options::default() };
        let store = Store::open(path, options, Arc::new(answers))?;
        Ok(Self { store, stored, submitted: 0, answered: 0, begun, cpu })
    }

    fn submit(&mut self, ops: Vec<Op>) {
        self.submitted += 1;
        self.store.submit(WorkerId(0), self.submitted, WriteBatch { ops });
    }

    fn wait_until_under_way(&mut self, at_most: u64) -> Result<()> {
        while self.submitted - self.answered > at_most {
            self.answered = self.stored.recv_timeout(Duration::from_secs(60))?;
        }
        Ok(())
    }

    fn wait_for_all(&mut self) -> Result<()> {
        self.wait_until_under_way(0)
    }

    fn report(&self, out: &mut dyn Write, what: &str, total: u64, value_bytes: u64) -> Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu = (cpu_seconds()? - self.cpu) * 1e6 / total as f64;
        let Counters { syncs, sync_nanos, log_bytes, .. } = self.store.counters();
        let rate = total as f64 / seconds;
        let sync_micros = sync_nanos as f64 / 1e3 / syncs as f64;
        let disk: u64 = self.store.usage().kinds.iter().map(|kind| kind.disk_bytes).sum();
        writeln!(
            out,
            "| {what} | {rate:.0} | {:.1} | {cpu:.2} | {:.1} | {sync_micros:.0} | {:.0} | {:.0} |",
            rate * value_bytes as f64 / 1e6,
            total as f64 / syncs as f64,
            log_bytes as f64 / 1e6,
            disk as f64 / 1e6,
        )?;
        Ok(())
    }
}

fn key(number: u64) -> Key {
    Key::Block(ShardId((number % 64) as u16), number)
}

fn put(number: u64, bytes: usize) -> Op {
    Op::Put(key(number), text(number, bytes))
}

/// A value of its own memory, as a worker makes it; half of it compresses.
fn text(number: u64, bytes: usize) -> Bytes {
    let mut value = vec![b'v'; bytes];
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in value[bytes / 2..].chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    value.into()
}

/// User and kernel time of this process.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<std::result::Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

fn status(field: &str) -> Result<i64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.split_whitespace().next().unwrap_or("0").parse()?)
}
