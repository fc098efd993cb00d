//! Group commit: everything that waits becomes one write and, with what was written meanwhile, one sync.
//!
//! Two threads take turns in two roles. Holding `writing`, a thread takes all that waits and gives it to RocksDB as
//! one batch, without a sync: log and memtable have it then. Holding `syncing`, it syncs the log and answers. It takes
//! the second role before it gives up the first, so that groups are answered in the order they were written; and
//! while it waits for the disk the other thread already writes the next group.
//!
//! ```text
//!  thread A   take ─ write ─ sync ────────── answer │ take ─ write ─ …
//!  thread B          …wait   take ─ write ─ …wait   sync ────────── answer
//! ```

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use rocksdb::{ColumnFamily, WriteBatch as Group, WriteOptions};
use sluice_cluster::WorkerId;
use sluice_dataplane_core::{Op, WriteBatch};

use crate::{
    Answer, Durability, Kind,
    fatal::{AbortOnPanic, fatal},
    keys,
    queue::{Queue, lock},
    reader::{Read, Wanted},
    store::Shared,
    wal,
};

/// What a worker asked for, in its order.
pub(crate) enum Request {
    Write { worker: WorkerId, batch: u64, ops: WriteBatch, bytes: usize },
    Load(Read),
}

/// The queue and the two roles.
pub(crate) struct Committer {
    pub(crate) requests: Queue<Request>,
    writing: Mutex<Scratch>,
    syncing: Mutex<()>,
}

/// Buffers of whoever writes, kept from group to group.
#[derive(Default)]
struct Scratch {
    taken: Vec<Request>,
    key: Vec<u8>,
}

/// What a written group is still owed: answers, and its bytes taken off the account.
#[derive(Default)]
struct Written {
    highest: Vec<(WorkerId, u64)>,
    bytes: usize,
}

impl Committer {
    pub(crate) fn new() -> Self {
        Self { requests: Queue::new(), writing: Mutex::new(Scratch::default()), syncing: Mutex::new(()) }
    }
}

/// The life of either thread. Ends when the queue is closed and empty.
pub(crate) fn run(shared: &Arc<Shared>) {
    let _guard = AbortOnPanic;
    let committer = &shared.committer;
    loop {
        let mut scratch = lock(&committer.writing);
        let mut taken = std::mem::take(&mut scratch.taken);
        if !committer.requests.take_all(&mut taken) {
            return;
        }
        let written = write(shared, &mut taken, &mut scratch.key);
        scratch.taken = taken;
        if written.highest.is_empty() {
            continue;
        }
        let syncing = lock(&committer.syncing);
        drop(scratch);
        if shared.options.durability == Durability::Fsync {
            sync(shared);
        }
        answer(shared, &written);
        drop(syncing);
    }
}

/// Makes everything written so far durable.
pub(crate) fn sync(shared: &Shared) {
    let begun = Instant::now();
    let through = shared.db.latest_sequence_number();
    if let Err(error) = shared.db.flush_wal(true) {
        fatal("syncing its log", &error);
    }
    shared.synced.fetch_max(through, Ordering::Relaxed);
    let counters = &shared.counters;
    counters.syncs.fetch_add(1, Ordering::Relaxed);
    counters.sync_nanos.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

fn write(shared: &Shared, taken: &mut Vec<Request>, key: &mut Vec<u8>) -> Written {
    let families = Kind::ALL.map(|kind| shared.family(kind));
    let mut written = Written::default();
    let mut loads = Vec::new();
    let mut group = begin(shared);
    let mut group_bytes = 0;
    for request in taken.drain(..) {
        match request {
            Request::Load(load) => loads.push(load),
            Request::Write { worker, batch, ops, bytes } => {
                if group_bytes > 0 && group_bytes + bytes > GROUP_BYTES_MAX {
                    apply(shared, std::mem::replace(&mut group, begin(shared)));
                    group_bytes = 0;
                }
                add(&families, &mut group, &ops, key);
                group_bytes += bytes;
                written.note(worker, batch, bytes);
            }
        }
    }
    if group_bytes > 0 {
        apply(shared, group);
    }
    // Only here have all earlier batches of the workers that read been applied.
    if !loads.is_empty() {
        shared.reads.extend(loads);
    }
    written
}

/// A group that bears witness of what is synced, and so far of nothing else.
fn begin(shared: &Shared) -> Group {
    let mut group = Group::new();
    wal::witness(&mut group, shared.synced.load(Ordering::Relaxed));
    group
}

/// Writes a group that is nothing but a witness.
pub(crate) fn write_witness(shared: &Shared) {
    write_group(shared, begin(shared));
}

fn add(families: &[&ColumnFamily; Kind::ALL.len()], group: &mut Group, ops: &WriteBatch, key: &mut Vec<u8>) {
    for op in &ops.ops {
        let (Op::Put(about, _) | Op::Drop(about)) = op;
        let family = families[Kind::of(about).index()];
        keys::encode(about, key);
        match op {
            Op::Put(_, value) => group.put_cf(&family, &*key, value),
            Op::Drop(_) => group.delete_cf(&family, &*key),
        }
    }
}

fn apply(shared: &Shared, group: Group) {
    let counters = &shared.counters;
    counters.groups.fetch_add(1, Ordering::Relaxed);
    counters.ops.fetch_add(group.len() as u64, Ordering::Relaxed);
    counters.log_bytes.fetch_add(group.size_in_bytes() as u64, Ordering::Relaxed);
    write_group(shared, group);
}

fn write_group(shared: &Shared, group: Group) {
    if let Err(error) = shared.db.write_opt(group, &WriteOptions::default()) {
        fatal("writing", &error);
    }
}

fn answer(shared: &Shared, written: &Written) {
    shared.pending_bytes.fetch_sub(written.bytes, Ordering::Relaxed);
    for &(worker, batch) in &written.highest {
        (shared.answers)(Answer::Stored { worker, batch });
    }
}

impl Written {
    fn note(&mut self, worker: WorkerId, batch: u64, bytes: usize) {
        self.bytes += bytes;
        match self.highest.iter_mut().find(|(known, _)| *known == worker) {
            Some((_, highest)) => {
                assert!(*highest < batch, "batch {batch} of worker {worker} after {highest}");
                *highest = batch;
            }
            None => self.highest.push((worker, batch)),
        }
    }
}

/// What a batch weighs while it waits: its values, and about what keys and bookkeeping take.
pub(crate) fn weight(ops: &WriteBatch) -> usize {
    ops.ops.iter().map(|op| OP_BYTES + if let Op::Put(_, value) = op { value.len() } else { 0 }).sum::<usize>()
        + OP_BYTES
}

impl Request {
    pub(crate) fn load(worker: WorkerId, wanted: Wanted) -> Self {
        Self::Load(Read { worker, wanted })
    }
}

/// A group beyond this is written in pieces, so that RocksDB need not copy more than this at a time.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// The size of an [`Op`] and a typical key.
const OP_BYTES: usize = 96;
