//! What waits for sessions that are away: it expires, and a shared group's messages go to members that are there.

use super::{Worker, deliver::Found, route::Routed};
use crate::{
    Now,
    message::MessageRef,
    record::Op,
    session::{
        Session,
        outbound::{Body, DUP, Queued},
    },
    shard::Record,
    stats::Dropped,
    subscriptions::GroupId,
};

/// Queued messages looked at in a round of housekeeping.
const LOOKED_AT_MAX: usize = 20_000;
/// How long after a publisher's session can have ended at the latest its message ids are forgotten.
const GRACE_MS: u64 = 24 * 3_600_000;

impl Worker {
    /// Drops expired messages from queues, some sessions a round.
    pub(super) fn drop_expired_queued(&mut self, now: Now) {
        let now_s = u32::try_from(now.wall_ms / 1000).unwrap_or(u32::MAX);
        let places = self.sessions.len() as u32;
        let mut looked_at = 0;
        let mut place = self.housekeeping.queue_cursor;
        for _ in 0..places {
            place = if place >= self.sessions.places() { 0 } else { place + 1 };
            if let Some(session) = self.sessions.at(place) {
                looked_at += session.outbound.queue.len() + 1;
                let is_over = |q: &Queued| q.expires_s != 0 && q.expires_s < now_s && q.flags & DUP == 0;
                let over = session.outbound.take_from_queue(is_over);
                self.stats.dropped[Dropped::Expired as usize] += over.len() as u64;
                self.settle_taken(place, &over);
                self.watch_stall(now, place);
            }
            if looked_at >= LOOKED_AT_MAX {
                break;
            }
        }
        self.housekeeping.queue_cursor = place;
    }

    /// Forgets the message ids of publishers whose sessions must have ended.
    pub(super) fn forget_old_publishers(&mut self, now: Now) {
        let age_ms = u64::from(self.settings.session_expiry_max_s) * 1000 + GRACE_MS;
        let since = now.wall_ms.saturating_sub(age_ms);
        let mut ops: Vec<Op> = std::mem::take(&mut self.journal.ops);
        for shard in self.shards.iter_mut().flatten() {
            shard.forget_publishers(since, &mut ops);
        }
        self.journal.ops = ops;
    }

    /// A member of these groups can take messages: what waits in the queues of members that are away goes to it.
    pub(super) fn hand_over_waiting(&mut self, now: Now, groups: &[GroupId]) {
        for &id in groups {
            let members: Vec<u32> =
                self.subscriptions.group(id).map(|g| g.members.keys().copied().collect()).unwrap_or_default();
            for place in members.into_iter().take(LOOKED_AT_MAX) {
                self.redistribute(now, place);
            }
        }
    }

    /// Passes over a member that is connected but acknowledges nothing: what waits behind its full window goes to others
    /// (BAD_INPUT H1).
    fn watch_stall(&mut self, now: Now, place: u32) {
        let stall_ms = self.settings.shared_stall_ms;
        let Some(session) = self.sessions.at(place) else { return };
        let stuck = session.conn.is_some() && !session.has_window() && !session.outbound.queue.is_empty();
        if !stuck {
            return;
        }
        if session.stalled_since_ms == 0 {
            session.stalled_since_ms = now.mono_ms.max(1);
        } else if now.mono_ms - session.stalled_since_ms >= stall_ms {
            self.redistribute(now, place);
        }
    }

    /// Gives the waiting group messages of a session that is away or stalled to members that are there, oldest first.
    pub(super) fn redistribute(&mut self, now: Now, place: u32) {
        let stall_ms = self.settings.shared_stall_ms;
        loop {
            let Some(session) = self.sessions.peek(place) else { return };
            let since_ms = session.stalled_since_ms;
            if session.conn.is_some() && (since_ms == 0 || now.mono_ms - since_ms < stall_ms) {
                return;
            }
            let waiting = |q: &Queued| q.group != 0 && q.flags & DUP == 0;
            let Some(at) = session.outbound.queue.iter().position(waiting) else { return };
            let queued = session.outbound.queue[at].clone();
            let group = queued.group - 1;
            if !self.has_other_member(now, group, place) {
                return;
            }
            let record = match queued.body {
                Body::Stored(seq) => match self.find_record(place, seq) {
                    Found::Record(record) => Some(record),
                    Found::NotYet | Found::Gone => return,
                },
                Body::Memory(_) | Body::Sent => None,
            };
            let Some(session) = self.sessions.at(place) else { return };
            let mut taken_one = false;
            let taken = session.outbound.take_from_queue(|q| {
                let this = !taken_one && q.body == queued.body;
                taken_one |= this;
                this
            });
            let message = match (&queued.body, record.as_ref().and_then(|bytes| Record::parse(bytes))) {
                (Body::Memory(bytes), _) => MessageRef::decode(bytes),
                (Body::Stored(_) | Body::Sent, record) => record.map(|record| record.message),
            };
            if let Some(message) = message {
                self.route_shared(now, &message, group, None, &mut Routed::default());
            }
            // In one batch with its new place, if that is on disk too: it is never in none.
            self.settle_taken(place, &taken);
        }
    }

    /// Whether a group has a member besides this one that is connected and takes messages.
    fn has_other_member(&mut self, now: Now, group: GroupId, but: u32) -> bool {
        let stall_ms = self.settings.shared_stall_ms;
        let Some(group) = self.subscriptions.group(group) else { return false };
        let sessions = &self.sessions;
        let takes =
            |s: &Session| s.conn.is_some() && (s.stalled_since_ms == 0 || now.mono_ms - s.stalled_since_ms < stall_ms);
        !group.peers.is_empty() || group.members.keys().any(|&m| m != but && sessions.peek(m).is_some_and(takes))
    }

    /// Messages that were taken out of a queue are settled.
    fn settle_taken(&mut self, place: u32, taken: &[Queued]) {
        if taken.is_empty() {
            return;
        }
        self.uncount_queue(taken.len(), taken.iter().map(|q| q.bytes as usize).sum());
        for queued in taken {
            if let Body::Stored(seq) = queued.body {
                self.settle(place, seq);
            }
        }
    }
}
