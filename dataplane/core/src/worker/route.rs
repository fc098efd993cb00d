//! A message goes to everybody who wants it: sessions of this worker, shared groups, other workers, its register.

use std::sync::Arc;

use sluice_cluster::WorkerId;
use sluice_mqtt::{QoS, ReasonCode};

use super::{
    Worker,
    connect::is_reserved,
    deliver::Delivery,
    store::{Keep, Kept},
};
use crate::{
    Now,
    homes::Home,
    journal::Waiter,
    message::MessageRef,
    peers::{Frame, workers_of},
    record::publisher::is_transient,
    stats::Dropped,
    subscriptions::{Matched, Target},
};

/// What routing a message came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Routed {
    /// Whether somebody wants it.
    pub(super) matched: bool,
    /// Whether its acknowledgement waits for the open batch.
    pub(super) stored: bool,
    /// The ticket other workers answer.
    pub(super) ticket: u64,
    /// How many of them will.
    pub(super) answers: u16,
    /// Why part of it was refused: the publisher must not believe that everybody has it.
    pub(super) refused: Option<ReasonCode>,
}

impl Worker {
    /// Routes a message that enters the broker here: a client's PUBLISH, a will, a `$SYS` value. `from` is the
    /// publisher's session.
    pub(super) fn publish_message(&mut self, now: Now, message: &MessageRef<'_>, from: Option<u32>) -> Routed {
        let matched = self.subscriptions.matched(message.topic);
        self.publish_to(now, message, &matched, from)
    }

    /// As [`Self::publish_message`], to a match that is known.
    pub(super) fn publish_to(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        matched: &Arc<Matched>,
        from: Option<u32>,
    ) -> Routed {
        let mut routed = Routed::default();
        if message.retain {
            self.retain_message(message, &mut routed);
        }
        self.route_here(now, message, matched, from, &mut routed);
        if !matched.groups.is_empty() {
            for &group in &matched.groups {
                self.route_shared(now, message, group, from, &mut routed);
            }
        }
        if matched.peers != 0 {
            self.route_to_peers(message, matched, false, &mut routed);
        }
        if !routed.matched && !is_reserved(message.topic) {
            self.stats.dropped[Dropped::NoSubscriber as usize] += 1;
        }
        if !self.overflowing.is_empty() {
            self.end_overflowing(now);
        }
        routed
    }

    /// Routes a QoS 2 message under its id once more, to those who store it: a crash may have come between. The others
    /// had it, or are gone.
    pub(super) fn publish_again(&mut self, now: Now, message: &MessageRef<'_>, matched: &Matched) -> Routed {
        let mut routed = Routed { matched: true, ..Routed::default() };
        if message.retain && self.home_of_topic(message.topic) != self.id {
            // A register here was written in one batch with the packet id.
            self.retain_message(message, &mut routed);
        }
        self.route_here_again(now, message, matched, &mut routed);
        for &group in &matched.groups {
            self.route_shared(now, message, group, None, &mut routed);
        }
        let storing =
            Matched { peers: matched.durable_peers, durable_peers: matched.durable_peers, ..Matched::default() };
        if storing.peers != 0 {
            self.route_to_peers(message, &storing, true, &mut routed);
        }
        self.end_overflowing(now);
        routed
    }

    /// To the sessions of this worker that store a message, and so know whether they have it.
    pub(super) fn route_here_again(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        matched: &Matched,
        routed: &mut Routed,
    ) {
        self.message_number += 1;
        self.encoder.begin(self.message_number);
        for target in matched.targets.iter().filter(|t| t.options.is_persistent() && t.options.qos() > 0) {
            routed.matched = true;
            self.route_to_target(now, message, target, target.ids(matched), true, routed);
        }
    }

    /// To the sessions of this worker that match outside of groups.
    #[inline]
    pub(super) fn route_here(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        matched: &Matched,
        from: Option<u32>,
        routed: &mut Routed,
    ) {
        self.message_number += 1;
        self.encoder.begin(self.message_number);
        if self.prefixes.is_due() {
            self.count_deliveries(message, matched, from);
        }
        let several = matched.targets.len() > 1;
        for target in &matched.targets {
            if from == Some(target.session) && self.leaves_out_own(target) {
                self.stats.dropped[Dropped::NoLocal as usize] += 1;
                continue;
            }
            routed.matched = true;
            self.route_to_target(now, message, target, target.ids(matched), several, routed);
        }
    }

    /// Counts a message for what is told of the traffic.
    fn count_deliveries(&mut self, message: &MessageRef<'_>, matched: &Matched, from: Option<u32>) {
        let gets = |target: &&Target| from != Some(target.session) || !self.leaves_out_own(target);
        let deliveries = matched.targets.iter().filter(gets).count();
        self.prefixes.count(message.topic, deliveries);
    }

    /// Whether a session does not want what it published itself: No Local, or it is a bridge, which would send it back.
    fn leaves_out_own(&self, target: &Target) -> bool {
        target.options.no_local() || {
            let conn = self.sessions.peek(target.session).and_then(|s| s.conn);
            conn.and_then(|id| self.conns.peek(id)).is_some_and(|conn| conn.bridge)
        }
    }

    #[inline]
    fn route_to_target(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        target: &Target,
        ids: &[u32],
        several: bool,
        routed: &mut Routed,
    ) {
        let qos = message.qos.min(granted(target.options.qos()));
        let retain = message.retain && target.options.retain_as_published();
        if qos != QoS::AtMostOnce && target.options.is_persistent() {
            let keep = Keep { place: target.session, qos: qos as u8, retain, ids, group: 0 };
            self.keep_for(now, message, &keep, routed);
            return;
        }
        let shared_form = several && ids.is_empty();
        self.deliver(now, message, &Delivery { place: target.session, qos, retain, ids, group: 0, shared_form });
    }

    /// Stores a message for a persistent session and notes what that means for its acknowledgement.
    pub(super) fn keep_for(&mut self, now: Now, message: &MessageRef<'_>, keep: &Keep<'_>, routed: &mut Routed) {
        match self.keep(now, message, keep) {
            Kept::Stored => routed.stored = true,
            Kept::LeftOut => {}
            Kept::Refused => routed.refused = Some(ReasonCode::QuotaExceeded),
        }
    }

    /// To the workers that want it, one copy each. Those that store answer.
    fn route_to_peers(&mut self, message: &MessageRef<'_>, matched: &Matched, again: bool, routed: &mut Routed) {
        routed.matched = true;
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        for worker in workers_of(matched.peers) {
            let stores = message.qos != QoS::AtMostOnce && matched.durable_peers & (1 << worker.0) != 0;
            let ticket = if stores { self.ticket(routed) } else { 0 };
            self.send_message(worker, message, &Frame::Publish { ticket, again, message: &encoded }, routed);
        }
    }

    /// The ticket of a message being routed, and one more answer to it.
    pub(super) fn ticket(&mut self, routed: &mut Routed) -> u64 {
        if routed.ticket == 0 {
            routed.ticket = self.peers.next_ticket();
        }
        routed.answers += 1;
        routed.ticket
    }

    /// Sends a frame with a message. A QoS 2 message with an id leaves only when its publisher's shard has the id on
    /// stable storage: after a crash it must be routed under the same id.
    pub(super) fn send_message(
        &mut self,
        worker: WorkerId,
        message: &MessageRef<'_>,
        frame: &Frame<'_>,
        routed: &mut Routed,
    ) {
        let since_ns = self.sampling.since_ns();
        let timed = (since_ns != 0).then_some(Frame::Timed { since_ns });
        // One without an id must not overtake one with an id (I16).
        let overtakes = message.qos == QoS::ExactlyOnce && self.journal.holds_frames_for(worker);
        let is_stored = message.id.is_some_and(|id| !is_transient(id.publisher));
        if !is_stored && !overtakes {
            timed.iter().chain([frame]).for_each(|frame| self.peers.send(worker, frame));
            return;
        }
        let mut frames = Vec::new();
        timed.iter().for_each(|timed| timed.encode(&mut frames));
        frame.encode(&mut frames);
        let batch = self.journal.open_batch();
        self.journal.wait(batch, Waiter::Frames(worker, frames));
        routed.stored |= is_stored;
    }

    /// A retained message goes to its register, wherever that is.
    fn retain_message(&mut self, message: &MessageRef<'_>, routed: &mut Routed) {
        let home = self.home_of_topic(message.topic);
        if home == self.id {
            match self.set_retained(message) {
                Ok(true) => routed.stored |= message.qos != QoS::AtMostOnce,
                Ok(false) => {}
                Err(reason) => routed.refused = Some(reason),
            }
            return;
        }
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        let ticket = if message.qos == QoS::AtMostOnce { 0 } else { self.ticket(routed) };
        self.peers.send(home, &Frame::Retain { ticket, message: &encoded });
    }

    /// The worker that has the register of a topic, or the gate if it is at another node. The broker's own topics are worker
    /// 0's.
    pub(super) fn home_of_topic(&self, topic: &str) -> WorkerId {
        if topic.starts_with("$SYS/") {
            return WorkerId(0);
        }
        match self.homes.of_topic(topic) {
            Home::Here => self.sharding.worker_of(self.sharding.of_topic(topic)),
            Home::Away(_) | Home::Unreachable => self.gate(),
        }
    }
}

/// A granted QoS.
pub(super) fn granted(qos: u8) -> QoS {
    QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce)
}
