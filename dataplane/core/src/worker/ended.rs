//! The end of a session, and what it leaves to its shared groups.
//!
//! ```text
//!   end ──nothing left to groups──────────────────► forgotten
//!    └──messages of groups──► ended, but stored ──all passed on──┘
//! ```
//! Messages of a shared group that an ended session did not acknowledge go to other members, except those of QoS 2 that
//! were sent already [MQTT-4.8.2-5]. Until each is with another member the session stays in the store, marked as ended:
//! no CONNECT finds it, and a crash on the way loses nothing.

use std::sync::Arc;

use super::Worker;
use crate::{
    Now,
    record::{Key, Op},
    session::outbound::{Awaits, Body, DUP, Inflight, Outbound, PASSED_ON, RETAIN},
};

/// How long the end of a session waits at the start for the other workers to tell who their members are.
const UNHEARD_WAIT_MS: u64 = 100;
/// How long it waits when another worker could not take a message.
pub(super) const REFUSED_WAIT_MS: u64 = 1_000;

impl Worker {
    /// Ends a session: its will is published, its subscriptions and messages are gone.
    pub(super) fn end_session(&mut self, now: Now, place: u32) {
        // Its own will is nothing it could get.
        self.remove_all_subscriptions(place);
        self.publish_will(now, place);
        let Some(session) = self.sessions.peek(place) else { return };
        if self.by_client.get(session.client_id()) == Some(&place) {
            self.by_client.remove(session.client_id());
        }
        if session.claim != 0 {
            let (client, claim) = (Arc::clone(session.client_id()), session.claim);
            self.unclaim(&client, claim);
        }
        let Some(session) = self.sessions.peek(place) else { return };
        if let Some(durable) = &session.durable {
            if durable.detached_wall_ms != 0 {
                self.stats.sessions_offline = self.stats.sessions_offline.saturating_sub(1);
            }
            let shard = durable.shard;
            if let Some(name) = session.principal.username().cloned() {
                self.count_session(&name, -1);
            }
            self.shard(shard).session_ended_in = self.journal.open_batch();
            self.keep_for_groups(now, place);
            self.redistribute(now, place);
        } else {
            self.forget_session(now, place);
        }
    }

    /// Whether a session is over and only what it leaves is stored.
    pub(super) fn has_ended(&self, place: u32) -> bool {
        self.sessions.peek(place).and_then(|s| s.durable.as_ref()).is_some_and(|durable| durable.ended)
    }

    /// Goes on passing on what an ended session left: after a restart, once it is known to whom, and when nobody took it.
    pub(super) fn pass_on_again(&mut self, now: Now, place: u32) {
        if self.greet_unknown() {
            self.pass_on_later(now, place, UNHEARD_WAIT_MS);
        } else {
            self.redistribute(now, place);
        }
    }

    /// Tries again in a while.
    pub(super) fn pass_on_later(&mut self, now: Now, place: u32, in_ms: u64) {
        self.arm_session(place, now.mono_ms + in_ms);
    }

    /// Marks a session as ended, and keeps in its queue, as never sent, what others of its groups may have.
    fn keep_for_groups(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        let old = std::mem::take(&mut session.outbound);
        self.uncount_queue(old.queue.len(), old.queue_bytes);
        let Outbound { window, queue, .. } = old;
        let sent = window.into_iter().map(|inflight| (inflight.group != 0 && inflight.awaits == Awaits::Ack, inflight));
        let sent = sent.map(|(goes_on, inflight)| (goes_on, inflight.into_queued()));
        let waited = queue.into_iter().map(|q| (q.group != 0 && !(q.qos == 2 && q.flags & DUP != 0), q));
        let mut left = Vec::new();
        for (goes_on, mut queued) in sent.chain(waited) {
            match queued.body {
                Body::Stored(_) if goes_on => {
                    queued.flags &= RETAIN | PASSED_ON;
                    left.push(queued);
                }
                Body::Stored(seq) => self.settle(place, seq),
                Body::Memory(_) | Body::Sent => {}
            }
        }
        self.stats.queued_messages += left.len() as u64;
        let Some(session) = self.sessions.at(place) else { return };
        session.received.clear();
        for queued in left {
            self.stats.queued_bytes += u64::from(queued.bytes);
            session.outbound.push(queued);
        }
        if let Some(durable) = &mut session.durable {
            durable.ended = true;
            durable.detached_wall_ms = now.wall_ms.max(1);
            durable.ends_ms = now.mono_ms;
            durable.armed_ms = 0;
            durable.expiry_s = 0;
        }
        if !session.outbound.queue.is_empty() {
            self.write_identity(place);
            self.note_progress(place);
        }
    }

    /// Forgets an ended session once nothing of it is on its way to another member or could go to one.
    pub(super) fn forget_if_done(&mut self, now: Now, place: u32) {
        if self.has_ended(place) && !self.may_pass_on(now, place) {
            self.forget_session(now, place);
        }
    }

    /// Takes a session out of memory and store, with all that waits in it.
    fn forget_session(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.remove(place) else { return };
        self.uncount_queue(session.outbound.queue.len(), session.outbound.queue_bytes);
        if let Some(durable) = &session.durable {
            self.by_uid.remove(&durable.uid);
            let (shard, uid) = (durable.shard, durable.uid);
            let mut ops = std::mem::take(&mut self.journal.ops);
            ops.push(Op::Drop(Key::Session(shard, uid)));
            ops.push(Op::Drop(Key::Progress(shard, uid)));
            for subscription in &session.subscriptions {
                ops.push(Op::Drop(Key::Subscription(shard, uid, subscription.filter.clone())));
            }
            for queued in &session.outbound.queue {
                if let Body::Stored(seq) = queued.body {
                    self.shard(shard).settle(seq, &mut ops);
                }
            }
            self.journal.ops = ops;
        }
        self.redispatch(now, session.outbound);
    }

    /// What a transient session leaves to its groups is in memory and goes to other members at once.
    fn redispatch(&mut self, now: Now, outbound: Outbound) {
        let sent =
            outbound.window.into_iter().filter(|i| i.group != 0 && i.awaits == Awaits::Ack).map(Inflight::into_queued);
        let waited = outbound.queue.into_iter().filter(|q| q.group != 0);
        for queued in sent.chain(waited) {
            if let Body::Memory(bytes) = queued.body {
                self.route_to_group(now, queued.group - 1, &bytes);
            }
        }
    }
}
