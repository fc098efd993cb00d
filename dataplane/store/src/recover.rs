//! Reads everything back, in the order in which workers take it.

use bytes::Bytes;
use rocksdb::{DBRawIterator, ReadOptions};
use sluice_cluster::ShardId;
use sluice_dataplane_core::{Key, RestoreError};

use crate::{Kind, StoreError, keys, store::Shared};

/// Gives the sink every value of the wanted shards: kind by kind in the order of [`Key`]'s variants, each kind in the
/// order of its keys.
pub(crate) fn recover(
    shared: &Shared,
    wanted: &dyn Fn(ShardId) -> bool,
    sink: &mut dyn FnMut(Key, Bytes) -> Result<(), RestoreError>,
) -> Result<(), StoreError> {
    for kind in Kind::ALL {
        recover_kind(shared, kind, wanted, sink)?;
    }
    Ok(())
}

fn recover_kind(
    shared: &Shared,
    kind: Kind,
    wanted: &dyn Fn(ShardId) -> bool,
    sink: &mut dyn FnMut(Key, Bytes) -> Result<(), RestoreError>,
) -> Result<(), StoreError> {
    let mut iterator = shared.db.raw_iterator_cf_opt(shared.family(kind), scan_options());
    iterator.seek_to_first();
    let mut known = None;
    while let Some((key, value)) = iterator.item() {
        let damaged = || StoreError::Key { kind: kind.name(), key: key.into() };
        let shard = keys::shard_of(key).ok_or_else(damaged)?;
        if known != Some(shard) && !wanted(shard) {
            skip_to_wanted(&mut iterator, shard, shared.options.shards, wanted);
            continue;
        }
        known = Some(shard);
        let key = kind.decode(key).ok_or_else(damaged)?;
        sink(key, Bytes::copy_from_slice(value))?;
        iterator.next();
    }
    iterator.status().map_err(|source| StoreError::Database { path: shared.path.clone(), source })
}

/// Moves to the first key of the next wanted shard after `shard`, or behind the end.
fn skip_to_wanted(iterator: &mut DBRawIterator<'_>, shard: ShardId, shards: u16, wanted: &dyn Fn(ShardId) -> bool) {
    let next = (shard.0.saturating_add(1)..shards).map(ShardId).find(|&shard| wanted(shard));
    iterator.seek(keys::prefix(next.unwrap_or(ShardId(u16::MAX))));
}

fn scan_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    options
}

/// A spinning disk's worth of one rotation; more gains nothing on a fast one.
const READAHEAD_BYTES: usize = 2 << 20;
