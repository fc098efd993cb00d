//! Reads values for the workers, off their turns.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::ReadOptions;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::Key;

use crate::{
    Answer, Kind,
    fatal::{AbortOnPanic, fatal},
    keys,
    store::Shared,
};

/// What a worker waits for.
pub(crate) struct Read {
    pub(crate) worker: WorkerId,
    pub(crate) wanted: Wanted,
}

/// What is to be read.
pub(crate) enum Wanted {
    /// The block of a shard that begins with this sequence number.
    Block(ShardId, u64),
    /// Retained messages, under the number the worker gave them.
    Retained { read: u64, topics: Vec<(ShardId, Box<str>)> },
}

/// The life of the reading thread. Ends when the queue is closed and empty.
pub(crate) fn run(shared: &Arc<Shared>) {
    let _guard = AbortOnPanic;
    let mut taken = Vec::new();
    while shared.reads.take_all(&mut taken) {
        for Read { worker, wanted } in taken.drain(..) {
            let answer = match wanted {
                Wanted::Block(shard, first) => {
                    Answer::Loaded { worker, shard, first, block: block(shared, shard, first) }
                }
                Wanted::Retained { read, topics } => {
                    Answer::LoadedRetained { worker, read, messages: retained(shared, topics) }
                }
            };
            (shared.answers)(answer);
        }
    }
}

fn block(shared: &Shared, shard: ShardId, first: u64) -> Option<Bytes> {
    let mut options = ReadOptions::default();
    // A block is read about once: it would only push out what is read often.
    options.fill_cache(false);
    let mut key = Vec::new();
    keys::encode(&Key::Block(shard, first), &mut key);
    match shared.db.get_pinned_cf_opt(shared.family(Kind::Block), &key, &options) {
        Ok(found) => found.map(|value| Bytes::copy_from_slice(&value)),
        // Saying that there is no such block would lose messages silently.
        Err(error) => fatal("reading a block", &error),
    }
}

/// The values of some topics, in their order. They stay in the cache: who subscribes next wants the same.
fn retained(shared: &Shared, topics: Vec<(ShardId, Box<str>)>) -> Vec<Option<Bytes>> {
    let keys = topics.into_iter().map(|(shard, topic)| {
        let mut key = Vec::new();
        keys::encode(&Key::Retained(shard, topic), &mut key);
        key
    });
    let keys = keys.collect::<Vec<_>>();
    let found = shared.db.batched_multi_get_cf(shared.family(Kind::Retained), &keys, false);
    let value = |found: Result<Option<rocksdb::DBPinnableSlice<'_>>, rocksdb::Error>| match found {
        Ok(found) => found.map(|value| Bytes::copy_from_slice(&value)),
        Err(error) => fatal("reading a retained message", &error),
    };
    found.into_iter().map(value).collect()
}
