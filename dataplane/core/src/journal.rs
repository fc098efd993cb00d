//! What a worker has to make durable, batch by batch.
//!
//! Ops gather in the open batch. At the end of a turn it is sealed and given to the store, unless two batches are
//! already on their way: then it goes on gathering, so that the slower the disk, the larger the batches. What waits for
//! a batch is kept here by its number and comes out when the store reports it.

use std::collections::VecDeque;

use sluice_cluster::WorkerId;
use sluice_mqtt::ReasonCode;

use crate::{
    ConnId,
    record::{Op, SessionUid},
};

/// The open batch and what waits for batches.
#[derive(Default)]
pub(crate) struct Journal {
    /// Changes of the open batch.
    pub(crate) ops: Vec<Op>,
    /// Shards (by index) with an open block.
    pub(crate) open_shards: Vec<u16>,
    /// Sessions whose progress the open batch must write.
    pub(crate) dirty: Vec<u32>,
    /// Sessions that the open batch appends to.
    pub(crate) touched: Vec<u32>,
    /// Highest batch on stable storage.
    stored: u64,
    /// Batches given to the store.
    sealed: u64,
    commits: VecDeque<Commit>,
    waiting: VecDeque<(u64, Waiter)>,
    /// How many of those are frames, by worker.
    frames: Vec<u32>,
}

/// What is true once a batch is stored.
pub(crate) struct Commit {
    /// The batch.
    batch: u64,
    /// Shards and the last sequence number stored of each.
    pub(crate) shards: Vec<(u16, u64)>,
    /// Sessions with something to deliver.
    pub(crate) touched: Vec<u32>,
    /// Sessions whose progress it stores, and how many messages that knows they were sent.
    pub(crate) progressed: Vec<(u32, SessionUid, u64)>,
}

/// Who waits for a batch.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// Replies of a connection.
    Replies(ConnId),
    /// Another worker's ticket.
    Peer {
        /// The worker.
        worker: WorkerId,
        /// Its ticket.
        ticket: u64,
        /// What it is to be told.
        matched: bool,
        /// Why part of it was refused.
        refused: Option<ReasonCode>,
    },
    /// Frames that may leave only once the batch is stored.
    Frames(WorkerId, Vec<u8>),
    /// A page of retained messages, of which the batch holds some.
    RetainedRead(u64),
}

/// Batches on their way to the store at a time.
const IN_FLIGHT_MAX: u64 = 2;

impl Journal {
    /// The number of the open batch: what is added now is stored with it.
    pub(crate) fn open_batch(&self) -> u64 {
        self.sealed + 1
    }

    /// Highest batch on stable storage.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether there are changes that are not on stable storage yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.stored < self.sealed || self.has_changes()
    }

    fn has_changes(&self) -> bool {
        !(self.ops.is_empty() && self.open_shards.is_empty() && self.dirty.is_empty())
    }

    /// Whether there is something to seal and the store can take it.
    pub(crate) fn may_seal(&self) -> bool {
        let awaited = self.waiting.back().is_some_and(|(batch, _)| *batch > self.sealed);
        (awaited || self.has_changes()) && self.sealed - self.stored < IN_FLIGHT_MAX
    }

    /// Closes the open batch: its number and its ops.
    pub(crate) fn seal(&mut self, shards: Vec<(u16, u64)>, progressed: Vec<(u32, SessionUid, u64)>) -> (u64, Vec<Op>) {
        self.sealed += 1;
        let touched = std::mem::take(&mut self.touched);
        self.commits.push_back(Commit { batch: self.sealed, shards, touched, progressed });
        (self.sealed, std::mem::take(&mut self.ops))
    }

    /// Lets something wait for a batch. Batches are named in ascending order.
    pub(crate) fn wait(&mut self, batch: u64, waiter: Waiter) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= batch));
        if let Waiter::Frames(worker, _) = &waiter {
            self.frames.resize(self.frames.len().max(worker.index() + 1), 0);
            self.frames[worker.index()] += 1;
        }
        self.waiting.push_back((batch, waiter));
    }

    /// Everything up to this batch is stored.
    pub(crate) fn on_stored(&mut self, batch: u64) {
        assert!(batch <= self.sealed, "I4: stored {batch}, but only {} were written", self.sealed);
        self.stored = self.stored.max(batch);
    }

    /// The next commit that has happened.
    pub(crate) fn pop_commit(&mut self) -> Option<Commit> {
        self.commits.pop_front_if(|commit| commit.batch <= self.stored)
    }

    /// The next waiter whose batch is stored.
    pub(crate) fn pop_waiter(&mut self) -> Option<Waiter> {
        let stored = self.stored;
        let (_, waiter) = self.waiting.pop_front_if(|(batch, _)| *batch <= stored)?;
        if let Waiter::Frames(worker, _) = &waiter {
            self.frames[worker.index()] -= 1;
        }
        Some(waiter)
    }

    /// Whether frames for a worker wait: what must not overtake them waits, too.
    pub(crate) fn holds_frames_for(&self, worker: WorkerId) -> bool {
        self.frames.get(worker.index()).is_some_and(|&count| count > 0)
    }
}
