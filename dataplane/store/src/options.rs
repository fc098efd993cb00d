//! What a store may be told when it is opened.

use sluice_cluster::SHARDS_DEFAULT;

/// When a batch counts as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When it is on stable storage. Survives loss of power.
    #[default]
    Fsync,
    /// When the kernel has it. Survives a crash of the process; a loss of power may cost the last half second.
    Async,
}

/// How much of the file system is kept free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MinFree {
    /// 2 % of the file system, but no less than 256 MiB and no more than 4 GiB.
    #[default]
    Auto,
    /// This many bytes.
    Bytes(u64),
}

impl MinFree {
    /// The bound in bytes for a file system of `total` bytes.
    #[must_use]
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Auto => (total / 50).clamp(AUTO_BYTES_MIN, AUTO_BYTES_MAX),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// How a store is opened. The defaults suit a node of a few gigabytes; an idle store touches almost none of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// When a batch counts as stored.
    pub durability: Durability,
    /// The number of shards; fixed when the store is created.
    pub shards: u16,
    /// Memory for writes that are not yet in a table file, bytes, all kinds together. The log on disk, and with it
    /// the time to recover, grows with it.
    pub memtable_bytes: usize,
    /// Memory for parts of table files that were read, bytes.
    pub cache_bytes: usize,
    /// Open the store although its log is damaged, and go on with what stands before the damage: what was acknowledged
    /// after it is lost. For an operator who has no better copy.
    pub accept_loss: bool,
    /// Free space below which the store answers that it is not writable.
    pub min_free: MinFree,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            shards: SHARDS_DEFAULT,
            memtable_bytes: MEMTABLE_BYTES_DEFAULT,
            cache_bytes: CACHE_BYTES_DEFAULT,
            accept_loss: false,
            min_free: MinFree::Auto,
        }
    }
}

/// A queue of blocks that is emptied within this much data never reaches a table file.
const MEMTABLE_BYTES_DEFAULT: usize = 64 << 20;

/// Blocks are read about once; what is left is large retained messages, for clients that come one after the other.
const CACHE_BYTES_DEFAULT: usize = 8 << 20;

/// Room for a log and a flush while the last work ends.
const AUTO_BYTES_MIN: u64 = 256 << 20;

/// What is enough for that on any disk.
const AUTO_BYTES_MAX: u64 = 4 << 30;
