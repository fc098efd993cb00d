//! What a store holds and does, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::properties::{
    BLOCK_CACHE_USAGE, CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_NUM_KEYS, ESTIMATE_TABLE_READERS_MEM, PropName,
    TOTAL_SST_FILES_SIZE,
};

use crate::{Kind, store::Shared};

/// What one kind of key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KindUsage {
    /// The kind.
    pub kind: Kind,
    /// Bytes of its files on disk, without the log that all kinds share.
    pub disk_bytes: u64,
    /// Bytes of memory of what is not yet in a file.
    pub memtable_bytes: u64,
    /// About how many keys there are.
    pub keys: u64,
}

/// What a store takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Each kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<KindUsage>,
    /// Bytes of memory that hold parts of files, and what is needed to find something in them.
    pub cache_bytes: u64,
    /// Free bytes of the file system, a quarter of a second old at most.
    pub free_bytes: u64,
    /// Bytes of batches that wait to become durable.
    pub pending_bytes: u64,
}

/// What a store has done since it was opened. All only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Syncs of the log.
    pub syncs: u64,
    /// Time spent in them, nanoseconds.
    pub sync_nanos: u64,
    /// Writes to the log, each one group of batches.
    pub groups: u64,
    /// Changes written.
    pub ops: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
}

/// [`Counters`] while the threads count.
#[derive(Default)]
pub(crate) struct LiveCounters {
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_nanos: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) ops: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
}

impl LiveCounters {
    pub(crate) fn read(&self) -> Counters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            syncs: of(&self.syncs),
            sync_nanos: of(&self.sync_nanos),
            groups: of(&self.groups),
            ops: of(&self.ops),
            log_bytes: of(&self.log_bytes),
        }
    }
}

pub(crate) fn usage(shared: &Shared) -> Usage {
    let number = |kind, property: &PropName| {
        // A property that RocksDB does not know reads as nothing used: metrics are no reason to stop.
        shared.db.property_int_value_cf(shared.family(kind), property).ok().flatten().unwrap_or(0)
    };
    let kinds = Kind::ALL.map(|kind| KindUsage {
        kind,
        disk_bytes: number(kind, TOTAL_SST_FILES_SIZE),
        memtable_bytes: number(kind, CUR_SIZE_ALL_MEM_TABLES),
        keys: number(kind, ESTIMATE_NUM_KEYS),
    });
    let readers: u64 = Kind::ALL.map(|kind| number(kind, ESTIMATE_TABLE_READERS_MEM)).iter().sum();
    Usage {
        kinds: kinds.into(),
        cache_bytes: readers + number(Kind::Block, BLOCK_CACHE_USAGE),
        free_bytes: shared.free_bytes.load(Ordering::Relaxed),
        pending_bytes: shared.pending_bytes.load(Ordering::Relaxed) as u64,
    }
}
