//! How RocksDB is tuned: the whole database, and the column family of each kind.
//!
//! One rule stands behind most of it: a node has many small families and one that carries the messages. Nothing is
//! looked up by key but blocks and large retained messages; everything else is only read in order, when a node starts.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, InfoLogger, LogLevel,
    Options as RocksOptions,
};

use crate::{Kind, Options};

/// Options of the whole database.
pub(crate) fn database(options: &Options) -> RocksOptions {
    let mut rocks = RocksOptions::default();
    rocks.create_if_missing(true);
    rocks.create_missing_column_families(true);
    rocks.set_paranoid_checks(true);
    // A torn record at the end of the log is what was never acknowledged; all before it is kept.
    rocks.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    rocks.set_track_and_verify_wals_in_manifest(true);
    rocks.set_db_write_buffer_size(options.memtable_bytes);
    // The log is replayed at start: three memtables of it take a fraction of a second.
    rocks.set_max_total_wal_size(3 * options.memtable_bytes as u64);
    // One thread writes at a time (see `commit`): what RocksDB does for concurrent writers only costs.
    rocks.set_allow_concurrent_memtable_write(false);
    rocks.set_enable_write_thread_adaptive_yield(false);
    rocks.set_max_background_jobs(2);
    rocks.set_max_subcompactions(1);
    rocks.set_max_open_files(OPEN_FILES_MAX);
    rocks.set_max_file_opening_threads(1);
    // Spread write-back of table files out, so that it does not stand in the way of a sync of the log.
    rocks.set_bytes_per_sync(1 << 20);
    rocks.set_stats_dump_period_sec(0);
    rocks.set_stats_persist_period_sec(0);
    rocks.set_skip_stats_update_on_db_open(true);
    rocks.set_max_manifest_file_size(4 << 20);
    rocks.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
    rocks
}

/// The column families: the nameless one, which holds the format, and one for each kind.
pub(crate) fn all(options: &Options) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.cache_bytes);
    let mut families = vec![ColumnFamilyDescriptor::new("default", small(&cache))];
    families.extend(Kind::ALL.map(|kind| ColumnFamilyDescriptor::new(kind.name(), of(kind, options, &cache))));
    families
}

fn of(kind: Kind, options: &Options, cache: &Cache) -> RocksOptions {
    match kind {
        Kind::Block => blocks(options, cache),
        Kind::Retained | Kind::Copy | Kind::Subscription | Kind::Session => records(options, cache),
        Kind::Progress | Kind::Dedupe | Kind::Will | Kind::Shard => small(cache),
    }
}

/// Blocks: large values, written once, deleted in about the order they came. Most die in the memtable: a flush drops
/// the value of a deleted key, so that a large memtable turns a short queue into log traffic alone.
fn blocks(options: &Options, cache: &Cache) -> RocksOptions {
    let mut rocks = family(cache, options.memtable_bytes);
    // Compaction falls behind in a burst; slowing writers down for that would stall every acknowledgement.
    rocks.set_level_zero_slowdown_writes_trigger(40);
    rocks.set_level_zero_stop_writes_trigger(64);
    rocks
}

/// Many middle-sized values that stay: sessions, subscriptions, retained messages.
fn records(options: &Options, cache: &Cache) -> RocksOptions {
    family(cache, options.memtable_bytes / 2)
}

/// Little data, often replaced.
fn small(cache: &Cache) -> RocksOptions {
    family(cache, SMALL_MEMTABLE_BYTES)
}

fn family(cache: &Cache, memtable_bytes: usize) -> RocksOptions {
    let mut rocks = RocksOptions::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Little is looked up by key: larger pieces compress better and need a smaller index in memory.
    table.set_block_size(16 << 10);
    rocks.set_block_based_table_factory(&table);
    rocks.set_write_buffer_size(memtable_bytes);
    rocks.set_max_write_buffer_number(4);
    // A memtable takes memory in pieces of this size: small, because a node has ten of them and most stay empty.
    rocks.set_arena_block_size(64 << 10);
    rocks.set_level_compaction_dynamic_level_bytes(true);
    rocks.set_compression_type(DBCompressionType::Lz4);
    compact_what_is_mostly_deleted(&mut rocks);
    rocks
}

/// A table file in which half of a long run of entries are deletions is compacted soon, so that what was deleted long
/// ago costs neither space nor time when the family is read in order.
fn compact_what_is_mostly_deleted(rocks: &mut RocksOptions) {
    rocks.add_compact_on_deletion_collector_factory(DELETIONS_WINDOW, DELETIONS_TRIGGER, 0.5);
}

fn log(level: LogLevel, message: &str) {
    let message = message.trim_end();
    match level {
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => tracing::debug!(target: "rocksdb", "{message}"),
        LogLevel::Warn => tracing::warn!(target: "rocksdb", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{message}"),
    }
}

/// Descriptors are what connections need: the process has 20,000 on common systems.
const OPEN_FILES_MAX: i32 = 256;

/// Small states are written often: this much of them is a fraction of a second to replay.
const SMALL_MEMTABLE_BYTES: usize = 8 << 20;

/// Entries in the window in which deletions are counted.
const DELETIONS_WINDOW: usize = 4096;

/// Deletions in the window that make a table file worth compacting.
const DELETIONS_TRIGGER: usize = 2048;
