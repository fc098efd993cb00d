//! Wills: published once, unless the client said goodbye or came back in time (I21).

use std::sync::Arc;

use sluice_dataplane_access::Principal;

use super::{Worker, route::Routed};
use crate::{
    Event, Key, Now, Op, Output,
    message::{MessageId, MessageRef},
    peers::Asker,
    record::{SessionUid, publisher},
    session::{Will, progress::encode_will},
    stats::Dropped,
};

impl Worker {
    /// Publishes a session's will, if it has one.
    pub(super) fn publish_will(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        let Some(will) = session.will.take() else {
            self.forget_stored_will(place);
            return;
        };
        let principal = Arc::clone(&session.principal);
        let stored = session.stored_will.take();
        if let Some(uid) = stored
            && self.peers.unheard() != 0
        {
            // Due right after the start, before it is known who wants it.
            self.orphaned_wills.push((uid, *will, Principal::clone(&principal)));
            self.settle_orphaned_wills_at(now);
            return;
        }
        self.send_will(now, &principal, *will, stored);
    }

    /// Routes a will as a message of its client and takes it out of the store.
    pub(super) fn send_will(&mut self, now: Now, principal: &Principal, mut will: Will, stored: Option<SessionUid>) {
        let routed = self.route_will(now, principal, &will, stored);
        let Some(uid) = stored else { return };
        if routed.answers > 0 {
            // A crash before the other workers have it publishes it again, under the same id, whatever became of its
            // session.
            will.fired = true;
            let value = encode_will(principal, &will);
            self.journal.ops.push(Op::Put(Key::Will(uid.shard(), uid), value));
            self.peers.expect(routed.ticket, Asker::Will(uid), routed.answers);
        } else {
            // In the same batch as what the will put into inboxes: it is published once whatever happens.
            self.drop_stored(Key::Will(uid.shard(), uid));
        }
    }

    fn route_will(&mut self, now: Now, principal: &Principal, will: &Will, stored: Option<SessionUid>) -> Routed {
        let Some(mut message) = MessageRef::decode(&will.message) else { return Routed::default() };
        // Checked again: the right may have been taken since CONNECT (BAD_INPUT W5).
        if !self.rules.publish(principal, message.topic, message.qos.bits(), message.retain).allowed {
            self.stats.dropped[Dropped::Denied as usize] += 1;
            self.stats.denied[1] += 1;
            let client_id = Arc::clone(principal.client_id());
            let event = Event::Denied { client_id, action: "publish", topic: message.topic.into() };
            self.outputs.push_back(Output::Log(event));
            return Routed::default();
        }
        if will.expiry_s > 0 {
            message.expires_wall_ms = now.wall_ms + u64::from(will.expiry_s) * 1000;
        }
        self.note_will(now, principal.client_id());
        let matched = self.subscriptions.matched(message.topic);
        let kept_elsewhere = message.retain && self.home_of_topic(message.topic) != self.id;
        if will.fired || kept_elsewhere || matched.durable_peers != 0 || !matched.groups.is_empty() {
            // Under its own number, so that every inbox takes it once, whoever wants it when it is published again.
            message.id = stored.map(|uid| MessageId {
                publisher: publisher::of_will(uid),
                number: will.number,
                lowest: will.number,
            });
        }
        self.publish_to(now, &message, &matched, None)
    }

    /// Takes a will that no longer exists out of the store.
    pub(super) fn forget_stored_will(&mut self, place: u32) {
        let Some(uid) = self.sessions.at(place).and_then(|s| s.stored_will.take()) else { return };
        self.drop_stored(Key::Will(uid.shard(), uid));
    }

    /// Every other worker has what a stored will put there: it may be forgotten.
    pub(super) fn on_will_settled(&mut self, uid: SessionUid) {
        self.drop_stored(Key::Will(uid.shard(), uid));
    }
}
