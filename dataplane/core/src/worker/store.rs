//! A message for a persistent session: into its shard's log.

use sluice_cluster::ShardId;

use super::Worker;
use crate::{
    Event, Now, Output,
    message::MessageRef,
    record::{Key, Op, publisher},
    session::outbound::{Body, Outbound, Queued, RETAIN, expires_s},
    settings::Overflow,
    shard::{Admission, Ids, Recipient},
    stats::{Closed, Dropped},
};

/// What became of storing a message for a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// It is in the open batch, or in one before it.
    Stored,
    /// It was left out, as the session's overflow rule says; nothing is owed for it.
    LeftOut,
    /// The store takes nothing: the publisher must be told.
    Refused,
}

/// How a message is kept for one session.
#[derive(Clone, Copy)]
pub(super) struct Keep<'a> {
    /// Place of the session.
    pub(super) place: u32,
    /// QoS of the delivery, 1 or 2.
    pub(super) qos: u8,
    /// Whether the delivery carries RETAIN.
    pub(super) retain: bool,
    /// Subscription identifiers.
    pub(super) ids: &'a [u32],
    /// The shared group it came through, plus 1; 0 = none.
    pub(super) group: u32,
}

impl Worker {
    /// Appends a message to the log for one persistent session. `self.message_number` names the message, so that
    /// its further recipients join its record.
    pub(super) fn keep(&mut self, now: Now, message: &MessageRef<'_>, keep: &Keep<'_>) -> Kept {
        if !self.store_writable {
            return Kept::Refused;
        }
        let size = message.encoded_len() as u32;
        if !self.make_room(keep.place, size as usize) {
            return Kept::LeftOut;
        }
        let number = self.message_number;
        let Some(session) = self.sessions.at(keep.place) else { return Kept::LeftOut };
        let Some(durable) = session.durable.as_mut() else { return Kept::LeftOut };
        let (shard, uid) = (durable.shard, durable.uid);
        // Also a session that is away: it may come back before the batch is stored.
        if !durable.touched {
            durable.touched = true;
            self.journal.touched.push(keep.place);
        }
        if !self.admit(now, shard, number, message, keep.group) {
            // Its first copy may still be on its way to the disk.
            return Kept::Stored;
        }
        let Some(session) = self.sessions.at(keep.place) else { return Kept::LeftOut };
        let packet_id = session.outbound.next_packet_id();
        let to = Recipient {
            session: uid,
            packet_id,
            qos: keep.qos,
            retain: keep.retain,
            shared: keep.group != 0,
            ids: Ids::Numbers(keep.ids),
        };
        let log = self.shard(shard);
        let seq = log.append(number, message, &to);
        let full = log.is_full();
        self.note_open(shard);
        if full {
            self.seal_early(shard);
        }
        let queued = Queued {
            body: Body::Stored(seq),
            packet_id,
            qos: keep.qos,
            flags: if keep.retain { RETAIN } else { 0 },
            bytes: size,
            expires_s: expires_s(message.expires_wall_ms),
            subscription_ids: None,
            group: keep.group,
        };
        if let Some(session) = self.sessions.at(keep.place) {
            session.outbound.push(queued);
            if session.conn.is_some() {
                self.sampling.await_stored(keep.place, shard, seq);
            }
        }
        self.stats.queued_messages += 1;
        self.stats.queued_bytes += u64::from(size);
        Kept::Stored
    }

    /// Whether a message is new to a shard. A QoS 2 message that was stored there before a crash is not (I15). What comes
    /// through a group, given by its number plus 1, is another message than what does not, or comes through another group.
    fn admit(&mut self, now: Now, shard: ShardId, number: u64, message: &MessageRef<'_>, group: u32) -> bool {
        let Some(mut id) = message.id else { return true };
        if let Some(group) = group.checked_sub(1).and_then(|group| self.subscriptions.group(group)) {
            id.publisher = publisher::to_group(id.publisher, group.name(), group.filter().as_str());
        }
        match self.shard(shard).admit(number, &id, now.wall_ms) {
            Admission::Known(fresh) => fresh,
            Admission::Duplicate => false,
            Admission::Fresh(value) => {
                self.journal.ops.push(Op::Put(Key::Dedupe(shard, id.publisher), value));
                true
            }
        }
    }

    fn note_open(&mut self, shard: ShardId) {
        if !self.journal.open_shards.contains(&shard.0) {
            self.journal.open_shards.push(shard.0);
        }
    }

    /// Seals a block that has grown large; it is stored with the open batch like the rest.
    fn seal_early(&mut self, shard: ShardId) {
        let mut ops = std::mem::take(&mut self.journal.ops);
        self.shard(shard).seal(&mut ops);
        self.journal.ops = ops;
    }

    /// Makes room for a message in a session's queue, as the overflow rule says. `false` = the message is left out.
    pub(super) fn make_room(&mut self, place: u32, size: usize) -> bool {
        loop {
            let Some(session) = self.sessions.peek(place) else { return false };
            let outbound = &session.outbound;
            let messages = outbound.queue.len() < self.settings.inbox_messages_max;
            if messages && outbound.queue_bytes + size <= self.settings.inbox_bytes_max {
                self.pressing |= session.conn.is_some() && self.is_filling(outbound);
                return true;
            }
            match self.settings.inbox_overflow {
                Overflow::DropNewest => {
                    self.stats.dropped[Dropped::QueueFull as usize] += 1;
                    return false;
                }
                Overflow::DropOldest if !outbound.queue.is_empty() => {
                    self.stats.dropped[Dropped::QueueFull as usize] += 1;
                    self.drop_oldest(place);
                }
                Overflow::DropOldest | Overflow::EndSession => {
                    if !self.overflowing.contains(&place) {
                        self.overflowing.push(place);
                    }
                    return false;
                }
            }
        }
    }

    /// Whether a queue has come near its bounds: time to press back on who fills it.
    fn is_filling(&self, outbound: &Outbound) -> bool {
        outbound.queue.len() > self.settings.inbox_messages_max / 4 * 3
            || outbound.queue_bytes > self.settings.inbox_bytes_max / 4 * 3
    }

    fn drop_oldest(&mut self, place: u32) {
        let Some(queued) = self.sessions.at(place).and_then(|s| s.outbound.pop()) else { return };
        self.uncount_queue(1, queued.bytes as usize);
        if let Body::Stored(seq) = queued.body {
            self.settle(place, seq);
        }
    }

    /// Ends the sessions whose queues ran over. Not while a message is being routed: their wills are messages too.
    pub(super) fn end_overflowing(&mut self, now: Now) {
        while let Some(place) = self.overflowing.pop() {
            self.overflow(now, place);
        }
    }

    /// The promise cannot be kept any longer, so the session ends, visibly: at its next CONNECT there is none.
    fn overflow(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        let (client_id, messages) = (std::sync::Arc::clone(session.client_id()), session.outbound.queue.len());
        self.stats.dropped[Dropped::QueueFull as usize] += messages as u64 + 1;
        let conn = session.conn;
        if let Some(durable) = &mut session.durable {
            durable.expiry_s = 0;
        }
        self.outputs.push_back(Output::Log(Event::InboxOverflow { client_id, messages }));
        match conn {
            Some(conn) => self.disconnect(now, conn, sluice_mqtt::ReasonCode::QuotaExceeded, Closed::QuotaExceeded),
            None => self.end_session(now, place),
        }
    }

    /// One recipient is done with a stored message.
    pub(super) fn settle(&mut self, place: u32, seq: u64) {
        let Some(shard) = self.sessions.peek(place).and_then(|s| s.durable.as_ref()).map(|d| d.shard) else { return };
        let mut ops = std::mem::take(&mut self.journal.ops);
        self.shard(shard).settle(seq, &mut ops);
        self.journal.ops = ops;
        self.note_progress(place);
    }

    /// Takes messages out of the count of what waits.
    pub(super) fn uncount_queue(&mut self, messages: usize, bytes: usize) {
        self.stats.queued_messages = self.stats.queued_messages.saturating_sub(messages as u64);
        self.stats.queued_bytes = self.stats.queued_bytes.saturating_sub(bytes as u64);
    }
}
