//! Shared groups: each message to one member (I22), and never to nobody while somebody could take it (I23).

use sluice_cluster::WorkerId;
use sluice_mqtt::QoS;
use sluice_topic::TopicFilter;

use super::{
    Worker,
    deliver::Delivery,
    route::{Routed, granted},
    store::Keep,
};
use crate::{
    Now,
    message::MessageRef,
    peers::Frame,
    settings::SharedStrategy,
    subscriptions::{GroupId, Member},
};

/// Who was chosen.
#[derive(Clone, Copy, Debug)]
enum Chosen {
    /// A member here.
    Here(Member),
    /// A member of another worker, which chooses it.
    Worker(WorkerId),
}

/// How ready a member is, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Readiness {
    /// Connected and with room in its window.
    Ready,
    /// Connected; the message would wait behind others.
    Busy,
    /// Connected, but it has acknowledged nothing for long while its window is full.
    Stalled,
    /// Not connected; the message would wait on disk.
    Offline,
    /// Its queue is full: the message would run it over.
    Full,
    /// Not connected and nothing would keep the message.
    Never,
}

/// Members looked at in search of a ready one, so that a large group of busy members costs no more than this.
const TRIED_MAX: usize = 64;

impl Worker {
    /// Routes a message to one member of a group, wherever it is.
    pub(super) fn route_shared(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        group: GroupId,
        from: Option<u32>,
        routed: &mut Routed,
    ) {
        match self.choose(now, message, group, from) {
            Some(Chosen::Here(member)) => {
                routed.matched = true;
                self.hand_to_member(now, message, group, member, routed);
            }
            Some(Chosen::Worker(worker)) => {
                routed.matched = true;
                self.send_to_group(worker, message, group, routed);
            }
            None => {}
        }
    }

    fn send_to_group(&mut self, worker: WorkerId, message: &MessageRef<'_>, id: GroupId, routed: &mut Routed) {
        let Some(group) = self.subscriptions.group(id) else { return };
        let (name, filter) = (Box::<str>::from(group.name()), group.filter().clone());
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        let ticket = if message.qos == QoS::AtMostOnce { 0 } else { self.ticket(routed) };
        let frame = Frame::Shared { ticket, bounced: false, group: &name, filter: filter.as_str(), message: &encoded };
        self.send_message(worker, message, &frame, routed);
    }

    /// Routes a message that came from another worker for a member here. `false`: there is none, and the sender, who knows
    /// by then, must choose again.
    pub(super) fn route_shared_here(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        name: &str,
        filter: &TopicFilter,
        routed: &mut Routed,
    ) -> bool {
        let Some(group) = self.subscriptions.find_group(name, filter) else { return false };
        let had_connected = self.subscriptions.group(group).is_some_and(|group| group.count().connected > 0);
        let Some(member) = self.choose_member(now, message, group, None) else { return false };
        let has_connected = self.subscriptions.group(group).is_some_and(|group| group.count().connected > 0);
        let is_full = self.readiness(now, &member, message) == Readiness::Full;
        if is_full && had_connected && !has_connected {
            // The sender has heard by the time it comes back, and may know of somebody with room.
            return false;
        }
        routed.matched = true;
        self.hand_to_member(now, message, group, member, routed);
        true
    }

    /// Chooses again for a message that came back: all members of the worker it was sent to had left. `ticket` is the one
    /// it was sent with. It cannot come back for ever: a worker tells that its members have left before it sends a
    /// message back.
    pub(super) fn on_bounced(
        &mut self,
        now: Now,
        ticket: u64,
        message: &MessageRef<'_>,
        name: &str,
        filter: &TopicFilter,
    ) {
        let group = self.subscriptions.find_group(name, filter);
        let mut routed = Routed::default();
        match group.and_then(|group| Some((group, self.choose(now, message, group, None)?))) {
            Some((group, Chosen::Here(member))) => {
                routed.matched = true;
                self.hand_to_member(now, message, group, member, &mut routed);
            }
            Some((_, Chosen::Worker(worker))) => {
                let mut encoded = Vec::new();
                message.encode(&mut encoded);
                let (group, filter) = (name, filter.as_str());
                // A message with an id was held back until that was stored, the first time.
                self.peers.send(worker, &Frame::Shared { ticket, bounced: false, group, filter, message: &encoded });
                return;
            }
            None => {}
        }
        self.answer(now, self.id, ticket, &routed);
    }

    /// Gives a message back to its group because the member that had it is gone.
    pub(super) fn route_to_group(&mut self, now: Now, group: GroupId, encoded: &[u8]) {
        let Some(message) = MessageRef::decode(encoded) else { return };
        let mut routed = Routed::default();
        self.route_shared(now, &message, group, None, &mut routed);
        self.end_overflowing(now);
    }

    fn hand_to_member(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        group: GroupId,
        member: Member,
        routed: &mut Routed,
    ) {
        if self.prefixes.is_due() {
            self.prefixes.count(message.topic, 1);
        }
        let qos = message.qos.min(granted(member.options.qos()));
        let retain = message.retain && member.options.retain_as_published();
        let id = [member.id];
        let ids = if member.id == 0 { &[][..] } else { &id[..] };
        self.message_number += 1;
        self.encoder.begin(self.message_number);
        if qos != QoS::AtMostOnce && member.options.is_persistent() {
            let keep = Keep { place: member.session, qos: qos as u8, retain, ids, group: group + 1 };
            self.keep_for(now, message, &keep, routed);
            return;
        }
        let delivery = Delivery { place: member.session, qos, retain, ids, group: group + 1, shared_form: false };
        self.deliver(now, message, &delivery);
    }

    /// Chooses between the members here and other workers: those that are connected first, wherever they are, then those
    /// whose sessions keep the message. Whoever takes turns does so over all members everywhere.
    fn choose(&mut self, now: Now, message: &MessageRef<'_>, id: GroupId, from: Option<u32>) -> Option<Chosen> {
        let strategy = self.settings.shared_strategy;
        let group = self.subscriptions.group(id)?;
        let elsewhere = group.count_elsewhere();
        if elsewhere.connected == 0 {
            let here = self.choose_member(now, message, id, from);
            let is_full = here.is_some_and(|member| self.readiness(now, &member, message) == Readiness::Full);
            if (here.is_some() && !is_full) || message.qos == QoS::AtMostOnce || elsewhere.waiting == 0 {
                return here.map(Chosen::Here);
            }
            let group = self.subscriptions.group(id)?;
            group.turn = group.turn.wrapping_add(1);
            let nth = group.turn % u64::from(elsewhere.waiting);
            return group.worker_of_nth(nth, |count| count.waiting).map(Chosen::Worker);
        }
        group.turn = group.turn.wrapping_add(1);
        let here = u64::from(group.count().connected);
        let elsewhere = u64::from(elsewhere.connected);
        let turn = group.turn % (here + elsewhere);
        let nth = turn.checked_sub(here).unwrap_or(turn % elsewhere);
        let worker = group.worker_of_nth(nth, |count| count.connected).map(Chosen::Worker);
        if turn >= here && strategy != SharedStrategy::LocalFirst {
            return worker;
        }
        let member = self.choose_member(now, message, id, from);
        let usable = member.filter(|m| self.readiness(now, m, message) <= Readiness::Busy);
        usable.map(Chosen::Here).or(worker)
    }

    /// Chooses a member here by the strategy, preferring those that are ready. One that is connected and whose queue is
    /// full is set aside, so that its group, here and elsewhere, passes it over.
    fn choose_member(&mut self, now: Now, message: &MessageRef<'_>, id: GroupId, from: Option<u32>) -> Option<Member> {
        loop {
            let member = self.best_member(now, message, id, from)?;
            let is_full = self.readiness(now, &member, message) == Readiness::Full;
            if !(is_full && self.set_aside(now, member.session)) {
                return Some(member);
            }
        }
    }

    fn best_member(&mut self, now: Now, message: &MessageRef<'_>, id: GroupId, from: Option<u32>) -> Option<Member> {
        let strategy = self.settings.shared_strategy;
        let start = self.first_choice(message, id, from)?;
        let candidates = self.subscriptions.group(id)?.candidates();
        let fewest = strategy == SharedStrategy::LeastInflight;
        let mut best: Option<(Readiness, usize, Member)> = None;
        for n in 0..candidates.min(TRIED_MAX) {
            let at = (start + n) % candidates;
            let Some(&member) = self.subscriptions.group(id).and_then(|g| g.members.get_index(at)).map(|(_, m)| m)
            else {
                break;
            };
            let readiness = self.readiness(now, &member, message);
            let load = if fewest { self.load_of(member.session) } else { 0 };
            if best.is_none_or(|(r, l, _)| (readiness, load) < (r, l)) {
                best = Some((readiness, load, member));
            }
            if readiness == Readiness::Ready && !fewest {
                break;
            }
        }
        let (readiness, _, member) = best?;
        if strategy == SharedStrategy::Sticky
            && let Some(group) = self.subscriptions.group(id)
        {
            group.sticky = Some(member.session);
        }
        (readiness != Readiness::Never).then_some(member)
    }

    /// The place of the member that the strategy would choose if all were ready.
    fn first_choice(&mut self, message: &MessageRef<'_>, id: GroupId, from: Option<u32>) -> Option<usize> {
        let sharding = self.sharding;
        let random = self.rng.next();
        let publisher = from.and_then(|f| self.sessions.peek(f)).map_or(0, |s| sharding.hash(s.client_id()));
        let group = self.subscriptions.group(id)?;
        let candidates = group.candidates() as u64;
        if candidates == 0 {
            return None;
        }
        let pick = match self.settings.shared_strategy {
            SharedStrategy::RoundRobin | SharedStrategy::LocalFirst | SharedStrategy::LeastInflight => {
                group.local_turn = group.local_turn.wrapping_add(1);
                group.local_turn
            }
            SharedStrategy::Random => random,
            SharedStrategy::HashTopic => sharding.hash(message.topic),
            SharedStrategy::HashClient => publisher,
            SharedStrategy::Sticky => group.sticky.and_then(|s| group.members.get_index_of(&s)).unwrap_or(0) as u64,
        };
        Some((pick % candidates) as usize)
    }

    fn readiness(&mut self, now: Now, member: &Member, message: &MessageRef<'_>) -> Readiness {
        let stall_ms = self.settings.shared_stall_ms;
        let qos = message.qos.min(granted(member.options.qos()));
        let bytes = message.encoded_len();
        let (messages_max, bytes_max) = (self.settings.inbox_messages_max, self.settings.inbox_bytes_max);
        let Some(session) = self.sessions.at(member.session) else { return Readiness::Never };
        let keeps = session.is_persistent() && qos != QoS::AtMostOnce;
        if session.conn.is_none() && !keeps {
            return Readiness::Never;
        }
        let queue = &session.outbound.queue;
        if session.conn.is_some() && (qos == QoS::AtMostOnce || (session.has_window() && queue.is_empty())) {
            return Readiness::Ready;
        }
        if queue.len() >= messages_max || session.outbound.queue_bytes + bytes > bytes_max {
            return Readiness::Full;
        }
        if session.conn.is_none() {
            return Readiness::Offline;
        }
        if session.stalled_since_ms == 0 {
            session.stalled_since_ms = now.mono_ms.max(1);
        }
        if now.mono_ms - session.stalled_since_ms >= stall_ms { Readiness::Stalled } else { Readiness::Busy }
    }

    fn load_of(&self, place: u32) -> usize {
        self.sessions.peek(place).map_or(0, |s| s.outbound.window.len() + s.outbound.queue.len())
    }
}
