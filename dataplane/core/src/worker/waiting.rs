//! What waits for sessions that are away: it expires, and a shared group's messages go to members that are there.

use super::{Worker, deliver::Found, ended::REFUSED_WAIT_MS, route::Routed};
use crate::{
    Now,
    message::MessageRef,
    peers::Asker,
    record::{Op, SessionUid, publisher::is_brief},
    session::{
        Session,
        outbound::{Body, DUP, PASSED_ON, Queued},
    },
    shard::Record,
    stats::Dropped,
    subscriptions::GroupId,
};

/// Queued messages looked at in a round of housekeeping.
const LOOKED_AT_MAX: usize = 20_000;
/// How long after a publisher's session can have ended at the latest its message ids are forgotten.
const GRACE_MS: u64 = 24 * 3_600_000;
/// How long after a will was published it may be published again under its id: a crash may have come before everybody
/// had it, and is followed by that at once.
const WILL_GRACE_MS: u64 = 3_600_000;

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
        let since = |uid| now.wall_ms.saturating_sub(if is_brief(uid) { WILL_GRACE_MS } else { age_ms });
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
            if !session.stalled {
                session.stalled = true;
                self.tell_groups(place);
            }
            self.redistribute(now, place);
        }
    }

    /// Passes over a member whose queue is full, until it acknowledges something. `false` when that was so already, or it
    /// has no connection.
    pub(super) fn set_aside(&mut self, now: Now, place: u32) -> bool {
        let Some(session) = self.sessions.at(place) else { return false };
        if session.conn.is_none() || session.stalled {
            return false;
        }
        session.stalled = true;
        session.stalled_since_ms = now.mono_ms.max(1);
        self.tell_groups(place);
        true
    }

    /// A session has acknowledged something.
    pub(super) fn note_acknowledging(&mut self, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        session.stalled_since_ms = 0;
        if session.stalled {
            session.stalled = false;
            self.tell_groups(place);
        }
    }

    /// Gives the waiting group messages of a session that is away, stalled or over to other members, oldest first.
    pub(super) fn redistribute(&mut self, now: Now, place: u32) {
        let groups = self.groups_to_pass_on_to(now, place);
        let mut at = 0;
        while let Some(queued) = self.sessions.peek(place).and_then(|s| s.outbound.queue.get(at)).cloned() {
            if !can_go_on(&queued) || !groups.contains(&queued.group) {
                at += 1;
                continue;
            }
            let record = match queued.body {
                Body::Stored(seq) => match self.find_record(place, seq) {
                    Found::Record(record) => Some(record),
                    // This goes on when it can be read.
                    Found::NotYet => return,
                    Found::Gone => None,
                },
                Body::Memory(_) | Body::Sent => None,
            };
            let message = match (&queued.body, record.as_ref().and_then(|bytes| Record::parse(bytes))) {
                (Body::Memory(bytes), _) => MessageRef::decode(bytes),
                (Body::Stored(_) | Body::Sent, record) => record.map(|record| record.message),
            };
            let mut routed = Routed::default();
            if let Some(mut message) = message {
                // By its id a shard tells that it has a message already, while the publisher's exchange lasts: not now.
                message.id = None;
                self.route_shared(now, &message, queued.group - 1, None, &mut routed);
            }
            if routed.refused.is_some() {
                // It stays where it is stored.
                at += 1;
                continue;
            }
            self.note_passed_on(place, at, &queued, &routed);
        }
        self.forget_if_done(now, place);
    }

    /// The groups (plus 1) whose waiting messages should leave a session's queue, because another member can take them.
    fn groups_to_pass_on_to(&mut self, now: Now, place: u32) -> Vec<u32> {
        let Some(session) = self.sessions.peek(place) else { return Vec::new() };
        let since_ms = session.stalled_since_ms;
        let stalled = since_ms != 0 && now.mono_ms - since_ms >= self.settings.shared_stall_ms;
        if session.conn.is_some() && !stalled {
            return Vec::new();
        }
        let mut groups: Vec<u32> = session.outbound.queue.iter().filter(|q| can_go_on(q)).map(|q| q.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|&group| self.has_other_member(now, group - 1, place));
        groups
    }

    /// Whether a message of an ended session is on its way to another member, or could go to one.
    pub(super) fn may_pass_on(&mut self, now: Now, place: u32) -> bool {
        let session = self.sessions.peek(place);
        session.is_some_and(|s| s.outbound.queue.iter().any(|q| q.flags & PASSED_ON != 0))
            || !self.groups_to_pass_on_to(now, place).is_empty()
    }

    /// The waiting message in place `at` was routed to another member. If that is here too, it leaves this queue in one
    /// batch with its new place. If it is on another worker, it stays until that has it.
    fn note_passed_on(&mut self, place: u32, at: usize, queued: &Queued, routed: &Routed) {
        let Some(session) = self.sessions.at(place) else { return };
        let uid = session.durable.as_ref().map(|durable| durable.uid);
        if let (Body::Stored(seq), Some(uid), true) = (&queued.body, uid, routed.answers > 0) {
            session.outbound.queue[at].flags |= PASSED_ON;
            self.peers.expect(routed.ticket, Asker::PassedOn(uid, *seq), routed.answers);
            return;
        }
        let taken = session.outbound.take_at(at);
        self.settle_taken(place, taken.as_slice());
    }

    /// Another worker has a message that waited here, or has not.
    pub(super) fn on_passed_on(&mut self, now: Now, uid: SessionUid, seq: u64, taken: bool) {
        let Some(&place) = self.by_uid.get(&uid) else { return };
        let Some(session) = self.sessions.at(place) else { return };
        if taken {
            let queued = session.outbound.take_stored(seq);
            self.settle_taken(place, queued.as_slice());
        } else {
            let found = session.outbound.queue.iter_mut().find(|q| q.body == Body::Stored(seq));
            found.into_iter().for_each(|q| q.flags &= !PASSED_ON);
            if self.has_ended(place) {
                self.pass_on_later(now, place, REFUSED_WAIT_MS);
                return;
            }
        }
        self.pump(now, place);
        self.forget_if_done(now, place);
    }

    /// Whether a group has a member besides this one that takes messages: one that is connected, or, for a session that
    /// is over, one that can keep them.
    fn has_other_member(&mut self, now: Now, group: GroupId, but: u32) -> bool {
        let stall_ms = self.settings.shared_stall_ms;
        let is_over = self.has_ended(but);
        let Some(group) = self.subscriptions.group(group) else { return false };
        let sessions = &self.sessions;
        let takes =
            |s: &Session| s.conn.is_some() && (s.stalled_since_ms == 0 || now.mono_ms - s.stalled_since_ms < stall_ms);
        let connected = group.count().connected as usize;
        if is_over {
            return !group.is_empty();
        }
        group.count_elsewhere().connected > 0
            || group.members.keys().take(connected).any(|&m| m != but && sessions.peek(m).is_some_and(takes))
    }

    /// Messages that were taken out of a queue are settled.
    fn settle_taken(&mut self, place: u32, taken: &[Queued]) {
        if taken.is_empty() {
            return;
        }
        if let Some(durable) = self.sessions.at(place).and_then(|s| s.durable.as_mut()) {
            let stored = taken.iter().filter_map(|q| if let Body::Stored(seq) = q.body { Some(seq) } else { None });
            durable.gap_seq = stored.fold(durable.gap_seq, u64::max);
        }
        self.uncount_queue(taken.len(), taken.iter().map(|q| q.bytes as usize).sum());
        for queued in taken {
            if let Body::Stored(seq) = queued.body {
                self.settle(place, seq);
            }
        }
    }
}

/// Whether a waiting message may go to another member of its group: it was not sent, and is not on its way to one.
fn can_go_on(queued: &Queued) -> bool {
    queued.group != 0 && queued.flags & (DUP | PASSED_ON) == 0
}
