//! The store's twin in memory, driven step by step: for simulations and tests.
//!
//! Nothing happens by itself: batches wait until [`MemoryStore::sync`] says how many become durable, reads until
//! [`MemoryStore::serve`]. So a test decides what is slow, and a crash ([`MemoryStore::crash`]) finds any state that a
//! real disk could be left in: all that was answered, and perhaps some of what was not.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::{Key, Op, RestoreError, WriteBatch};

use crate::Answer;

/// Stored values in memory; makes the promises of [`crate::Store`], when told to.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    /// What survives a crash for certain.
    stable: BTreeMap<Key, Bytes>,
    /// What reads see: `stable` and all batches that wait.
    applied: BTreeMap<Key, Bytes>,
    waiting: VecDeque<Batch>,
    /// Answers that wait to be given.
    reads: VecDeque<Answer>,
    submitted: BTreeMap<WorkerId, u64>,
    writable: bool,
}

#[derive(Clone, Debug)]
struct Batch {
    worker: WorkerId,
    number: u64,
    ops: WriteBatch,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::holding(BTreeMap::new())
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn holding(stable: BTreeMap<Key, Bytes>) -> Self {
        Self {
            applied: stable.clone(),
            stable,
            waiting: VecDeque::new(),
            reads: VecDeque::new(),
            submitted: BTreeMap::new(),
            writable: true,
        }
    }

    /// As [`crate::Store::submit`]: the batch waits for [`Self::sync`].
    ///
    /// # Panics
    /// When a worker's batches are not numbered 1, 2, 3, …
    pub fn submit(&mut self, worker: WorkerId, batch: u64, ops: WriteBatch) {
        let last = self.submitted.entry(worker).or_default();
        assert!(batch == *last + 1, "batch {batch} of worker {worker} after {last}");
        *last = batch;
        apply(&ops, &mut self.applied);
        self.waiting.push_back(Batch { worker, number: batch, ops });
    }

    /// As [`crate::Store::load`]: the answer waits for [`Self::serve`]. It is the block as it is at this moment.
    pub fn load(&mut self, worker: WorkerId, shard: ShardId, first: u64) {
        let block = self.applied.get(&Key::Block(shard, first)).cloned();
        self.reads.push_back(Answer::Loaded { worker, shard, first, block });
    }

    /// As [`crate::Store::load_retained`]: the answer waits for [`Self::serve`]. It is what is stored at this moment.
    pub fn load_retained(&mut self, worker: WorkerId, read: u64, topics: Vec<(ShardId, Box<str>)>) {
        let value = |(shard, topic)| self.applied.get(&Key::Retained(shard, topic)).cloned();
        let messages = topics.into_iter().map(value).collect();
        self.reads.push_back(Answer::LoadedRetained { worker, read, messages });
    }

    /// Makes the oldest `batches` that wait durable, or all when there are fewer, as one group: one answer for each
    /// worker in it, in the order in which they came.
    pub fn sync(&mut self, batches: usize) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::new();
        for Batch { worker, number, ops } in self.waiting.drain(..batches.min(self.waiting.len())) {
            apply(&ops, &mut self.stable);
            let stored = Answer::Stored { worker, batch: number };
            match answers.iter_mut().find(|answer| answer.worker() == Some(worker)) {
                Some(answer) => *answer = stored,
                None => answers.push(stored),
            }
        }
        answers
    }

    /// Answers the oldest `reads` that wait, or all when there are fewer.
    pub fn serve(&mut self, reads: usize) -> Vec<Answer> {
        self.reads.drain(..reads.min(self.reads.len())).collect()
    }

    /// The disk fills up, or has room again. An answer only when that is news.
    pub fn set_writable(&mut self, writable: bool) -> Option<Answer> {
        let news = self.writable != writable;
        self.writable = writable;
        news.then_some(Answer::Writable(writable))
    }

    /// The process dies, or the machine: the store that is found afterwards. Of the batches that waited the oldest
    /// `survivors` had reached the disk although nobody was told; the one after them, if any, is torn, which is found
    /// out, so that it leaves no trace. Batches are numbered from 1 again.
    #[must_use]
    pub fn crash(self, survivors: usize) -> Self {
        let mut stable = self.stable;
        for batch in self.waiting.iter().take(survivors) {
            apply(&batch.ops, &mut stable);
        }
        Self::holding(stable)
    }

    /// As [`crate::Store::recover`]. Reads what is applied, as a running store does.
    ///
    /// # Errors
    /// The sink refused a value.
    pub fn recover(
        &self,
        wanted: impl Fn(ShardId) -> bool,
        mut sink: impl FnMut(Key, Bytes) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        for (key, value) in &self.applied {
            if wanted(key.shard()) {
                sink(key.clone(), value.clone())?;
            }
        }
        Ok(())
    }

    /// Batches that wait to become durable.
    #[must_use]
    pub fn batches_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Reads that wait for their answer.
    #[must_use]
    pub fn reads_waiting(&self) -> usize {
        self.reads.len()
    }
}

fn apply(ops: &WriteBatch, values: &mut BTreeMap<Key, Bytes>) {
    for op in &ops.ops {
        match op {
            Op::Put(key, value) => values.insert(key.clone(), value.clone()),
            Op::Drop(key) => values.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkerId = WorkerId(0);
    const B: WorkerId = WorkerId(1);

    fn put(first: u64) -> WriteBatch {
        WriteBatch { ops: vec![Op::Put(Key::Block(ShardId(3), first), Bytes::from(vec![first as u8]))] }
    }

    fn firsts(store: &MemoryStore) -> Vec<u64> {
        let mut firsts = Vec::new();
        let given = store.recover(
            |shard| shard == ShardId(3),
            |key, _| {
                if let Key::Block(_, first) = key {
                    firsts.push(first);
                }
                Ok(())
            },
        );
        assert!(given.is_ok());
        firsts
    }

    #[test]
    fn a_group_is_answered_once_for_each_worker() {
        let mut store = MemoryStore::new();
        store.submit(A, 1, put(1));
        store.submit(B, 1, put(2));
        store.submit(A, 2, put(3));
        store.submit(A, 3, put(4));
        let stored = |worker, batch| Answer::Stored { worker, batch };
        assert_eq!(store.sync(3), [stored(A, 2), stored(B, 1)]);
        assert_eq!(store.sync(9), [stored(A, 3)]);
        assert_eq!(store.sync(9), []);
    }

    #[test]
    fn a_crash_keeps_what_was_answered_and_a_prefix_of_the_rest() {
        let mut store = MemoryStore::new();
        for batch in 1..=4 {
            store.submit(A, batch, put(batch));
        }
        let _ = store.sync(2);
        assert_eq!(firsts(&store.clone().crash(0)), [1, 2]);
        assert_eq!(firsts(&store.clone().crash(1)), [1, 2, 3]);
        assert_eq!(firsts(&store.crash(9)), [1, 2, 3, 4]);
    }

    #[test]
    fn a_read_sees_what_was_submitted_before_it_and_waits_to_be_served() {
        let mut store = MemoryStore::new();
        store.load(A, ShardId(3), 1);
        store.submit(A, 1, put(1));
        store.load(A, ShardId(3), 1);
        let loaded = |block| Answer::Loaded { worker: A, shard: ShardId(3), first: 1, block };
        assert_eq!(store.serve(1), [loaded(None)]);
        assert_eq!(store.serve(1), [loaded(Some(Bytes::from_static(&[1])))]);
    }

    #[test]
    fn a_full_disk_is_news_once() {
        let mut store = MemoryStore::new();
        assert_eq!(store.set_writable(true), None);
        assert_eq!(store.set_writable(false), Some(Answer::Writable(false)));
        assert_eq!(store.set_writable(false), None);
        assert_eq!(store.set_writable(true), Some(Answer::Writable(true)));
    }
}
