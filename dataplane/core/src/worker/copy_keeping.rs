//! Copies of registers of other nodes: kept as their homes say, and shown while a home is out of reach.

use sluice_cluster::{NodeId, ShardId};
use sluice_topic::TopicFilter;

use super::Worker;
use crate::{
    Now,
    copies::{Class, CopyFrame, Entry, Keeping},
    peers::Frame,
    retained::Scan,
};

/// Copies looked at in a round for those that have expired.
const SWEPT_AT_ONCE: usize = 2_000;
/// What part of the memory budget copies take at most.
const BUDGET_SHARE: usize = 4;

impl Worker {
    /// What a worker of another node says.
    pub(super) fn on_copying(&mut self, now: Now, node: NodeId, frame: &[u8]) {
        let Some(decoded) = CopyFrame::decode(frame) else { return };
        match decoded {
            CopyFrame::Ask(_) => self.on_ask(now, node, frame),
            CopyFrame::Answer(answer) => {
                self.keep_copies(now, |copies, keeping| copies.on_answer(node, &answer, keeping));
            }
            CopyFrame::Change { from, life, version, entry } => {
                let Some(entry) = Entry::decode(entry) else { return };
                self.keep_copies(now, |copies, keeping| {
                    copies.on_change(node, (from, life, version), &entry, keeping);
                });
                return;
            }
            CopyFrame::Lost { from } => self.copies.lost(node, from),
        }
        self.ask_for_copies();
    }

    /// There is a link to a node, or there is none any more.
    pub(super) fn on_linked(&mut self, node: NodeId, up: bool, was_read: bool) {
        if self.own_shard().is_none() {
            // No topic falls to this worker.
            return;
        }
        if up {
            self.copies.linked(node)
        } else {
            self.copies.unlinked(node, was_read)
        }
        self.ask_for_copies();
    }

    fn ask_for_copies(&mut self) {
        let class = Class { sharding: self.sharding, worker: self.id.0 };
        while let Some((node, frame)) = self.copies.next_ask(class) {
            self.peers.send(self.gate(), &Frame::Copying { node, frame: &frame });
        }
        self.count_copies();
    }

    fn keep_copies(&mut self, now: Now, keep: impl FnOnce(&mut crate::copies::Copies, &mut Keeping<'_>)) {
        let Some(first) = self.own_shard() else { return };
        let may_store = self.may_store();
        let settings = &self.settings;
        let share = settings.retained_copies_bytes_max / usize::from(self.sharding.workers());
        let bytes_max = match settings.memory_bytes_max {
            0 => share,
            budget => share.min(budget / BUDGET_SHARE),
        };
        let mut keeping = Keeping {
            sharding: self.sharding,
            first,
            ops: &mut self.journal.ops,
            wall_ms: now.wall_ms,
            bytes_max,
            may_store,
        };
        keep(&mut self.copies, &mut keeping);
    }

    /// The first shard of this worker; with fewer shards than workers some have none.
    fn own_shard(&self) -> Option<ShardId> {
        Some(ShardId(self.id.0)).filter(|shard| shard.0 < self.sharding.shards())
    }

    /// Stores how far the copies go, in the batch that is about to be sealed.
    pub(super) fn store_copy_positions(&mut self) {
        // Nothing of it depends on the time.
        self.keep_copies(Now::default(), |copies, keeping| copies.store_positions(keeping));
    }

    /// The gate wants copies of a node that is out of reach.
    pub(super) fn on_copies(&mut self, now: Now, query: u64, node: NodeId, filter: &str, after: &str) {
        if self.retained_reads.may_scan() {
            self.answer_copies(now, query, node, filter, after);
        } else {
            let (filter, after) = (filter.into(), after.into());
            self.retained_reads.put_off(Scan::Copies { query, node, filter, after });
        }
    }

    /// Answers such a question.
    pub(super) fn answer_copies(&mut self, now: Now, query: u64, node: NodeId, filter: &str, after: &str) {
        let gate = self.gate();
        let Ok(filter) = TopicFilter::parse(filter, &self.topic_limits) else {
            self.peers.send(gate, &Frame::Page { query, after: "", messages: &[] });
            return;
        };
        let after = Some(after).filter(|after| !after.is_empty());
        let (page, passed_over) = self.copies.page(node, &filter, after, now.wall_ms);
        self.retained_reads.count(page.visits);
        self.stats.retained_copies_passed_over += passed_over;
        self.stats.retained_copies_shown += page.count() as u64;
        let after = page.after.as_deref().unwrap_or_default();
        self.peers.send(gate, &Frame::Page { query, after, messages: &page.messages });
    }

    /// Drops copies that have expired, and those of nodes that are no home any more.
    pub(super) fn sweep_copies(&mut self, now: Now) {
        let mut cursor = self.housekeeping.copies_cursor.take();
        let homes = std::sync::Arc::clone(&self.homes);
        self.keep_copies(now, |copies, keeping| {
            copies.sweep(&mut cursor, SWEPT_AT_ONCE, |node| homes.has_topics(node), keeping);
        });
        self.housekeeping.copies_cursor = cursor;
        self.count_copies();
    }

    fn count_copies(&mut self) {
        self.stats.retained_copies = self.copies.len() as u64;
        self.stats.retained_copies_bytes = self.copies.memory_bytes() as u64;
        self.stats.retained_copies_behind = self.copies.behind() as u64;
        self.stats.retained_copies_left_out = self.copies.left_out();
    }
}
