//! What other workers say.

use sluice_cluster::WorkerId;
use sluice_mqtt::ReasonCode;
use sluice_topic::TopicFilter;

use super::{Worker, claims::Claim, route::Routed};
use crate::{
    Now,
    connection::replies::Replies,
    journal::Waiter,
    message::MessageRef,
    peers::{Asker, Frame},
    subscriptions::MemberCount,
};

impl Worker {
    /// Handles the frames of another worker in the order it sent them.
    ///
    /// # Panics
    /// On bytes that are no frame: they come from this process.
    pub(super) fn on_peer_frames(&mut self, now: Now, from: WorkerId, frames: &[u8]) {
        let mut rest = frames;
        while !rest.is_empty() {
            let Some((frame, after)) = Frame::decode(rest) else {
                panic!("worker {from} sent bytes that are no frame")
            };
            rest = after;
            // Up to the frame behind the one that says so.
            let timed = self.sampling.is_timing();
            self.on_frame(now, from, frame);
            if timed {
                self.end_timing();
            }
        }
    }

    fn on_frame(&mut self, now: Now, from: WorkerId, frame: Frame<'_>) {
        match frame {
            Frame::Publish { ticket, again, message } => self.on_forwarded(now, from, ticket, again, message),
            Frame::Shared { ticket, bounced, group, filter, message } => {
                self.on_shared(now, from, ticket, bounced, (group, filter), message);
            }
            Frame::Retain { ticket, message } => self.on_retain(now, from, ticket, message),
            Frame::Interest { ticket, interest, filter } => {
                if let Ok(filter) = TopicFilter::parse(filter, &self.topic_limits) {
                    self.subscriptions.set_peer(&filter, from, interest);
                }
                self.answer(now, from, ticket, &Routed::default());
            }
            Frame::Members { ticket, count, group, filter } => {
                self.on_members(now, from, count, group, filter);
                self.answer(now, from, ticket, &Routed::default());
            }
            Frame::Everything { wanted } => self.subscriptions.set_peer_wants_everything(from, wanted),
            Frame::Claim { ticket, node, renew, serial, client, user } => {
                self.on_claim(now, from, ticket, &Claim { node, renew, serial, client, user });
            }
            Frame::Unclaim { node, serial, client } => self.on_unclaim(node, serial, client),
            Frame::Evict { serial, client, .. } => self.on_evict(now, serial, client),
            Frame::RenewClaims { node } => self.renew_claims(node),
            Frame::Forget { node } => self.claims.forget(node),
            Frame::Copying { node, frame } => self.on_copying(now, node, frame),
            Frame::Copies { query, node, filter, after } => self.on_copies(now, query, node, filter, after),
            Frame::Linked { node, up, was_read } => self.on_linked(node, up, was_read),
            Frame::Timed { since_ns } => self.begin_timing_since(since_ns),
            Frame::Hello { ticket } => self.answer(now, from, ticket, &Routed::default()),
            Frame::Sessions { count, principal } => self.quotas.set_peer(principal, from, count),
            Frame::Done { ticket, matched, refused } => {
                self.peers.heard(from);
                self.on_done(now, ticket, matched, refused);
                if self.wills_asked && self.peers.unheard() == 0 {
                    self.publish_orphaned_wills(now);
                }
            }
            Frame::Query { query, filter, after } => self.on_query(now, from, query, filter, after),
            Frame::Page { query, after, messages } => {
                self.on_page(now, query, Some(after).filter(|after| !after.is_empty()), messages);
            }
        }
    }

    fn on_forwarded(&mut self, now: Now, from: WorkerId, ticket: u64, again: bool, bytes: &[u8]) {
        let Some(message) = MessageRef::decode(bytes) else { return };
        let mut routed = Routed::default();
        let matched = self.match_topic(message.topic);
        if again {
            self.route_here_again(now, &message, &matched, &mut routed);
        } else {
            self.route_here(now, &message, &matched, None, &mut routed);
        }
        self.end_overflowing(now);
        self.answer(now, from, ticket, &routed);
    }

    fn on_shared(
        &mut self,
        now: Now,
        from: WorkerId,
        ticket: u64,
        bounced: bool,
        (name, filter): (&str, &str),
        bytes: &[u8],
    ) {
        let (Some(message), Ok(parsed)) = (MessageRef::decode(bytes), TopicFilter::parse(filter, &self.topic_limits))
        else {
            return;
        };
        if bounced {
            self.on_bounced(now, ticket, &message, name, &parsed);
            self.end_overflowing(now);
            return;
        }
        let mut routed = Routed::default();
        if self.route_shared_here(now, &message, name, &parsed, &mut routed) {
            self.end_overflowing(now);
            self.answer(now, from, ticket, &routed);
        } else {
            self.peers.send(from, &Frame::Shared { ticket, bounced: true, group: name, filter, message: bytes });
        }
    }

    fn on_retain(&mut self, now: Now, from: WorkerId, ticket: u64, bytes: &[u8]) {
        let Some(message) = MessageRef::decode(bytes) else { return };
        let mut routed = Routed::default();
        match self.set_retained_once(now, &message) {
            Ok(stored) => routed.stored = stored,
            Err(reason) => routed.refused = Some(reason),
        }
        self.answer(now, from, ticket, &routed);
    }

    fn on_members(&mut self, now: Now, from: WorkerId, count: MemberCount, name: &str, filter: &str) {
        let Ok(filter) = TopicFilter::parse(filter, &self.topic_limits) else { return };
        let id = self.subscriptions.group_for(name, &filter);
        if let Some(group) = self.subscriptions.group(id) {
            let had_connected = group.has_connected();
            group.set_peer(from, count);
            if !had_connected && group.has_connected() {
                self.hand_over_waiting(now, &[id]);
            }
        }
        self.subscriptions.drop_group_if_empty(id);
    }

    /// Answers a ticket, once what was stored for it is on stable storage.
    pub(super) fn answer(&mut self, now: Now, to: WorkerId, ticket: u64, routed: &Routed) {
        if ticket == 0 {
            return;
        }
        let (matched, refused) = (routed.matched, routed.refused);
        if routed.stored {
            let batch = self.journal.open_batch();
            self.journal.wait(batch, Waiter::Peer { worker: to, ticket, matched, refused });
        } else {
            self.send_answer(now, to, ticket, matched, refused);
        }
    }

    /// The answer to a ticket, which may be this worker's own: of a message that came back to it.
    pub(super) fn send_answer(
        &mut self,
        now: Now,
        to: WorkerId,
        ticket: u64,
        matched: bool,
        refused: Option<ReasonCode>,
    ) {
        if to == self.id {
            self.on_done(now, ticket, matched, refused);
        } else {
            self.peers.send(to, &Frame::Done { ticket, matched, refused });
        }
    }

    fn on_done(&mut self, now: Now, ticket: u64, matched: bool, refused: Option<ReasonCode>) {
        let Some((asker, last)) = self.peers.answered(ticket) else { return };
        match asker {
            Asker::Reply { conn, number } => {
                let replies: Option<&mut Box<Replies>> = self.conns.at(conn).and_then(|c| c.replies.as_mut());
                if let Some(replies) = replies {
                    replies.answered(number, matched, refused);
                    self.drain_replies(now, conn);
                }
            }
            Asker::Will(uid) if last => self.on_will_settled(uid),
            Asker::Will(_) => {}
            Asker::Claim(conn) => self.on_claimed(now, conn, refused),
            Asker::PassedOn(uid, seq) => self.on_passed_on(now, uid, seq, matched && refused.is_none()),
        }
    }
}
