//! The end of a turn, and what follows when the store has caught up.

use bytes::Bytes;
use sluice_cluster::ShardId;

use super::Worker;
use crate::{
    Now, Output, WriteBatch,
    journal::Waiter,
    record::{Key, Op, SessionUid},
    session::progress::Progress,
};

impl Worker {
    /// Ends a turn: frames to other workers leave, and the open batch goes to the store if it can take one.
    pub(super) fn seal_turn(&mut self) {
        self.retained_reads.begin_turn();
        while let Some((worker, frames)) = self.peers.pop_outgoing() {
            self.outputs.push_back(Output::ToWorker { worker, frames });
        }
        if !self.journal.may_seal() {
            return;
        }
        let mut ops = std::mem::take(&mut self.journal.ops);
        let mut shards = Vec::new();
        for number in std::mem::take(&mut self.journal.open_shards) {
            let shard = self.shard(ShardId(number));
            shard.seal(&mut ops);
            if let Some(last) = shard.take_sealed() {
                shards.push((number, last));
            }
        }
        let mut progressed = Vec::new();
        for place in std::mem::take(&mut self.journal.dirty) {
            progressed.extend(self.write_progress(place, &mut ops));
        }
        for &place in &self.journal.touched {
            if let Some(durable) = self.sessions.at(place).and_then(|s| s.durable.as_mut()) {
                durable.touched = false;
            }
        }
        self.journal.ops = ops;
        self.store_copy_positions();
        let (batch, ops) = self.journal.seal(shards, progressed);
        self.outputs.push_back(Output::Write { batch, ops: WriteBatch { ops } });
    }

    fn write_progress(&mut self, place: u32, ops: &mut Vec<Op>) -> Option<(u32, SessionUid, u64)> {
        let durable = self.sessions.at(place)?.durable.as_mut()?;
        durable.dirty = false;
        let (shard, uid) = (durable.shard, durable.uid);
        let last_seq = self.shard(shard).last_seq();
        let session = self.sessions.peek(place)?;
        let durable = session.durable.as_ref()?;
        ops.push(Op::Put(Key::Progress(shard, uid), Progress::of(session, durable, last_seq).encode()));
        Some((place, uid, durable.sent))
    }

    /// It is stored that a session was sent so many messages: more may follow.
    fn on_progress_stored(&mut self, now: Now, place: u32, uid: SessionUid, sent: u64) {
        let Some(durable) = self.sessions.at(place).and_then(|s| s.durable.as_mut()) else { return };
        if durable.uid != uid {
            return;
        }
        let was_ahead = durable.is_ahead();
        durable.sent_stored = sent;
        if was_ahead {
            self.pump(now, place);
        }
    }

    /// Notes that a persistent session's progress must be written with the open batch.
    pub(super) fn note_progress(&mut self, place: u32) {
        if let Some(durable) = self.sessions.at(place).and_then(|s| s.durable.as_mut())
            && !durable.dirty
        {
            durable.dirty = true;
            self.journal.dirty.push(place);
        }
    }

    /// Everything up to a batch is on stable storage: what waited for it happens.
    pub(super) fn on_stored(&mut self, now: Now, batch: u64) {
        self.journal.on_stored(batch);
        let (mut touched, mut progressed) = (Vec::new(), Vec::new());
        while let Some(commit) = self.journal.pop_commit() {
            for (number, last) in commit.shards {
                self.shard(ShardId(number)).stored(last);
            }
            touched.extend(commit.touched);
            progressed.extend(commit.progressed);
        }
        while let Some(waiter) = self.journal.pop_waiter() {
            match waiter {
                Waiter::Replies(conn) => self.drain_replies(now, conn),
                Waiter::Peer { worker, ticket, matched, refused } => {
                    self.send_answer(now, worker, ticket, matched, refused);
                }
                Waiter::Frames(worker, frames) => self.peers.send_encoded(worker, &frames),
                Waiter::RetainedRead(read) => self.load_retained(read),
            }
        }
        for (place, uid, sent) in progressed {
            self.on_progress_stored(now, place, uid, sent);
        }
        for place in touched {
            self.pump(now, place);
            if self.has_ended(place) {
                self.redistribute(now, place);
            }
        }
        self.forget_unsent();
        self.evict_blocks();
    }

    /// A block that was asked for.
    pub(super) fn on_loaded(&mut self, now: Now, shard: ShardId, first: u64, block: Option<Bytes>) {
        let waiting = self.housekeeping.take_loading(shard, first);
        assert!(
            self.shard(shard).loaded(first, block),
            "I13: block {first} of shard {} is missing or damaged in the store",
            shard.0
        );
        for place in waiting {
            self.pump(now, place);
            self.redistribute(now, place);
        }
        self.evict_blocks();
    }

    /// Keeps the bodies in memory within their bound, whatever the number of shards.
    fn evict_blocks(&mut self) {
        let held: usize = self.shards.iter().flatten().map(crate::shard::Shard::cached_bytes).sum();
        let Some(mut spare) = held.checked_sub(self.settings.block_cache_bytes_max) else { return };
        for shard in self.shards.iter_mut().flatten() {
            let before = shard.cached_bytes();
            shard.evict(spare);
            spare = spare.saturating_sub(before - shard.cached_bytes());
            if spare == 0 {
                break;
            }
        }
    }

    /// Refuses new durable work when the disk is nearly full.
    pub(super) fn may_store(&self) -> bool {
        self.store_writable
    }

    /// Drops a stored key with the open batch.
    pub(super) fn drop_stored(&mut self, key: Key) {
        self.journal.ops.push(Op::Drop(key));
    }
}
