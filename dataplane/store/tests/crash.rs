//! `kill -9`, and a disk that is full: what was answered is there.
//!
//! The tests start this very binary again as a child: [`child`] is a test that does nothing unless told what by its
//! environment.

#![allow(clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "a test ends where it fails")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::{Key, Op, WriteBatch};
use sluice_dataplane_store::{Answer, Durability, MinFree, Options, Store};

const WORKERS: u16 = 3;

/// Changes of each batch: a block and a counter that names it, so that half a batch would be seen.
fn ops(worker: u16, number: u64) -> WriteBatch {
    let value = Bytes::from(number.to_be_bytes().repeat(40));
    let mut ops = vec![
        Op::Put(Key::Block(ShardId(worker), number), value),
        Op::Put(Key::Shard(ShardId(worker)), Bytes::copy_from_slice(&number.to_be_bytes())),
    ];
    if number > KEPT {
        ops.push(Op::Drop(Key::Block(ShardId(worker), number - KEPT)));
    }
    WriteBatch { ops }
}

/// Blocks a worker keeps behind its newest.
const KEPT: u64 = 50;

fn spawn(path: &Path, mode: &str, durability: &str) -> Child {
    Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env("STORE_TEST_PATH", path)
        .env("STORE_TEST_MODE", mode)
        .env("STORE_TEST_DURABILITY", durability)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

#[test]
fn child() {
    let Some(path) = env::var_os("STORE_TEST_PATH") else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mode = env::var("STORE_TEST_MODE").expect("a mode");
    let durability = match env::var("STORE_TEST_DURABILITY").as_deref() {
        Ok("async") => Durability::Async,
        _ => Durability::Fsync,
    };
    let min_free = if mode == "careful" { MinFree::Bytes(40 << 20) } else { MinFree::Bytes(0) };
    let output = Mutex::new(std::io::stdout());
    let bases = Arc::new([const { AtomicU64::new(0) }; WORKERS as usize]);
    let bases_of_answers = bases.clone();
    let answers = move |answer| {
        let mut output = output.lock().expect("not poisoned");
        match answer {
            Answer::Stored { worker, batch } => {
                let number = bases_of_answers[worker.index()].load(Ordering::Relaxed) + batch;
                writeln!(output, "stored {worker} {number}").expect("writes");
            }
            Answer::Writable(writable) => writeln!(output, "writable {writable}").expect("writes"),
            Answer::Loaded { .. } | Answer::LoadedRetained { .. } => {}
        }
        output.flush().expect("flushes");
    };
    let memtable_bytes = if mode == "careful" { 8 << 20 } else { 1 << 20 };
    let options = Options { durability, min_free, memtable_bytes, ..Options::default() };
    let store = Store::open(path, options, Arc::new(answers)).expect("opens");
    for (worker, number) in found(&store).1 {
        bases[usize::from(worker)].store(number, Ordering::Relaxed);
    }
    let value = noise(256 << 10);
    for number in 1.. {
        for worker in 0..WORKERS {
            let ops = match mode.as_str() {
                "queue" => ops(worker, bases[usize::from(worker)].load(Ordering::Relaxed) + number),
                _ => WriteBatch { ops: vec![Op::Put(Key::Block(ShardId(worker), number), value.clone())] },
            };
            store.submit(WorkerId(worker), number, ops);
        }
        if mode == "careful" {
            thread::sleep(Duration::from_millis(20));
        }
        while store.pending_bytes() > 1 << 20 {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// What no compression makes smaller.
fn noise(bytes: usize) -> Bytes {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// What the child said was stored, by worker, until its end.
fn stored(child: &mut Child, until: impl Fn(&BTreeMap<u16, u64>) -> bool) -> BTreeMap<u16, u64> {
    let mut highest = BTreeMap::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        // The test harness prints its own lines, perhaps in front of one of ours.
        let Some(at) = line.find("stored ") else { continue };
        let mut words = line[at..].split(' ').skip(1);
        let (Some(worker), Some(batch)) = (words.next(), words.next()) else { continue };
        // A line may be cut off by the kill; one with a number too small is no lie.
        let (Ok(worker), Ok(batch)) = (worker.parse(), batch.parse::<u64>()) else { continue };
        let known = highest.entry(worker).or_insert(0);
        *known = batch.max(*known);
        if !killed && until(&highest) {
            child.kill().expect("kills");
            killed = true;
        }
    }
    child.wait().expect("ends");
    highest
}

/// The blocks and the counter of each worker.
fn found(store: &Store) -> (BTreeMap<u16, Vec<u64>>, BTreeMap<u16, u64>) {
    let (mut blocks, mut counters) = (BTreeMap::<u16, Vec<u64>>::new(), BTreeMap::new());
    let sink = |key, value: Bytes| {
        match key {
            Key::Block(shard, first) => {
                assert_eq!(value, first.to_be_bytes().repeat(40), "a block holds what was put there");
                blocks.entry(shard.0).or_default().push(first);
            }
            Key::Shard(shard) => {
                counters.insert(shard.0, u64::from_be_bytes(value[..].try_into().expect("eight bytes")));
            }
            other => panic!("{other:?} was never stored"),
        }
        Ok(())
    };
    store.recover(|_| true, sink).expect("recovers");
    (blocks, counters)
}

fn check(path: &Path, answered: &BTreeMap<u16, u64>) {
    let store =
        Store::open(path, Options { memtable_bytes: 1 << 20, ..Options::default() }, Arc::new(|_| {})).expect("opens");
    let (blocks, counters) = found(&store);
    for (worker, answered) in answered {
        let found = counters.get(worker).copied().unwrap_or(0);
        assert!(found >= *answered, "worker {worker}: batch {answered} was answered, {found} was found");
        let oldest = found.saturating_sub(KEPT - 1).max(1);
        let expected = (oldest..=found).collect::<Vec<_>>();
        assert_eq!(blocks.get(worker), Some(&expected), "worker {worker}: each batch is whole, and all before it too");
    }
}

fn kill_again_and_again(durability: &str, kills: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut before = 0;
    for kill in 0..kills {
        let mut child = spawn(folder.path(), "queue", durability);
        let enough = before + 1 + kill * kill * 150;
        let answered = stored(&mut child, |highest| highest.values().any(|batch| *batch >= enough));
        assert!(!answered.is_empty(), "the child stored something");
        check(folder.path(), &answered);
        before = answered.values().copied().max().unwrap_or(before);
    }
}

#[test]
fn whatever_was_answered_is_there_after_kill_9() {
    kill_again_and_again("fsync", 12);
}

#[test]
fn a_crash_of_the_process_loses_nothing_without_fsync_either() {
    kill_again_and_again("async", 6);
}

/// A file system of its own, of 96 MiB; `None` where this user may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "none"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_before_it_is_full_and_then_ends_the_process_with_a_reason() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut child = spawn(&disk.0.path().join("store"), "careful", "fsync");
    let mut errors = child.stderr.take().expect("piped");
    let reader = thread::spawn(move || {
        let mut said = String::new();
        errors.read_to_string(&mut said).expect("text");
        said
    });
    let mut refused = false;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        refused |= line.expect("text").contains("writable false");
    }
    let status = child.wait().expect("ends");
    assert!(!status.success(), "the process does not go on without a disk");
    let said = reader.join().expect("reads");
    assert!(refused, "the workers were told while there was room");
    assert!(said.contains("the disk is nearly full; refusing new durable work"), "{said}");
    assert!(said.contains("nothing can be acknowledged any more"), "{said}");
}
