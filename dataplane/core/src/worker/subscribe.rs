//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use bytes::Bytes;
use sluice_cluster::WorkerId;
use sluice_mqtt::{ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe};
use sluice_topic::{ParsedFilter, TopicFilter};

use super::{Worker, deliver::session_of, dispatch::Flow};
use crate::{
    ConnId, Event, Key, Now, Op, Output,
    connection::replies::{Reply, Verdicts, Wait},
    peers::{Asker, Frame, workers_of},
    retained::Fetch,
    session::Subscription,
    stats::{BadInput, Closed},
    subscriptions::{GroupId, Interest, Member, Presence, SubscribeOptions, Subscriber},
};

/// What other workers must hear before SUBACK may leave.
#[derive(Default)]
struct Announcement {
    ticket: u64,
    answers: u16,
}

/// New subscriptions of a connection whose retained messages are still to be sent: more are refused until it has
/// caught up (BAD_INPUT R4).
const FETCHES_OWED_MAX: usize = 10_000;

impl Worker {
    /// SUBSCRIBE: each filter is granted or refused on its own; then every worker routes to the granted ones, and only
    /// then SUBACK leaves (I24).
    pub(super) fn on_subscribe(&mut self, now: Now, id: ConnId, subscribe: &Subscribe<'_>) -> Flow {
        let Some(place) = session_of(self.conns.peek(id)) else { return Flow::Closed };
        let owed = self.conns.peek(id).and_then(|c| c.fetches.as_ref()).map_or(0, |fetches| fetches.queue.len());
        if subscribe.filters.len() > self.settings.filters_per_packet_max || owed > FETCHES_OWED_MAX {
            self.count_bad(BadInput::Quota);
            let mut verdicts = Verdicts::of(subscribe.filters.len());
            subscribe.filters.iter().for_each(|wanted| verdicts.push(wanted.filter, ReasonCode::QuotaExceeded));
            self.reply(now, id, Reply::SubAck(subscribe.packet_id, verdicts.into()), Wait::NOTHING);
            return Flow::Next;
        }
        let mut announcement = Announcement::default();
        let mut verdicts = Verdicts::of(subscribe.filters.len());
        let mut fetches = Vec::new();
        for wanted in subscribe.filters.iter() {
            let sub_id = subscribe.subscription_id.unwrap_or(0);
            match self.subscribe_one(place, &wanted, sub_id, &mut announcement) {
                Ok((granted, fetch)) => {
                    verdicts.push(wanted.filter, granted);
                    fetches.extend(fetch);
                }
                Err(reason) => verdicts.push(wanted.filter, reason),
            }
        }
        self.finish_subscribe(now, id, place, subscribe.packet_id, verdicts, fetches, &announcement);
        Flow::Next
    }

    #[expect(clippy::too_many_arguments, reason = "the end of one packet's journey")]
    fn finish_subscribe(
        &mut self,
        now: Now,
        id: ConnId,
        place: u32,
        packet_id: u16,
        verdicts: Verdicts,
        fetches: Vec<Fetch>,
        announcement: &Announcement,
    ) {
        let persistent = self.sessions.peek(place).is_some_and(|s| s.is_persistent());
        let batch = if persistent { self.journal.open_batch() } else { 0 };
        if persistent {
            self.note_progress(place);
        }
        if !fetches.is_empty()
            && let Some(conn) = self.conns.at(id)
        {
            conn.fetches.get_or_insert_default().queue.extend(fetches);
        }
        let wait = Wait { answers: announcement.answers, ..Wait::batch(batch) };
        if let Some(number) = self.reply(now, id, Reply::SubAck(packet_id, verdicts.into()), wait) {
            self.peers.expect(announcement.ticket, Asker::Reply { conn: id, number }, announcement.answers);
        }
    }

    /// Grants one filter: the code for SUBACK and the retained messages to send.
    fn subscribe_one(
        &mut self,
        place: u32,
        wanted: &SubscribeFilter<'_>,
        sub_id: u32,
        announcement: &mut Announcement,
    ) -> Result<(ReasonCode, Option<Fetch>), ReasonCode> {
        let parsed = ParsedFilter::parse(wanted.filter, &self.topic_limits).map_err(|_| {
            self.count_bad(BadInput::Topic);
            ReasonCode::TopicFilterInvalid
        })?;
        self.check_available(&parsed)?;
        self.check_rights(place, wanted, &parsed)?;
        let qos = wanted.options.qos.min(super::route::granted(self.settings.qos_max));
        let session = self.sessions.peek(place).ok_or(ReasonCode::UnspecifiedError)?;
        let found = session.find_subscription(wanted.filter);
        if found.is_err() && session.subscriptions.len() >= self.settings.subscriptions_max {
            return Err(ReasonCode::QuotaExceeded);
        }
        let is_full = found.is_err() && self.is_group_full(&parsed);
        let session = self.sessions.peek(place).ok_or(ReasonCode::UnspecifiedError)?;
        if is_full || (session.is_persistent() && !self.may_store()) {
            return Err(ReasonCode::QuotaExceeded);
        }
        let options = SubscribeOptions::new(
            qos.bits(),
            wanted.options.no_local,
            wanted.options.retain_as_published || self.is_bridge(place),
            session.is_persistent(),
        );
        let fresh = found.is_err();
        self.install(place, wanted.filter, &parsed, options, sub_id, announcement);
        let shared = parsed.group.is_some();
        let send_retained = match wanted.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => fresh,
            RetainHandling::DoNotSend => false,
        };
        let fetch = (send_retained && !shared).then(|| Fetch {
            sources: self.sources_of(&parsed.filter),
            filter: parsed.filter,
            options,
            id: sub_id,
            after: None,
        });
        Ok((ReasonCode::granted(qos), fetch))
    }

    /// Whether a shared group has as many members as it may (BAD_INPUT H2).
    fn is_group_full(&mut self, parsed: &ParsedFilter) -> bool {
        let id = parsed.group.as_deref().and_then(|name| self.subscriptions.find_group(name, &parsed.filter));
        let Some(group) = id.and_then(|id| self.subscriptions.group(id)) else { return false };
        let elsewhere = group.count_elsewhere();
        let members = group.members.len() + (elsewhere.connected + elsewhere.waiting) as usize;
        members >= self.settings.group_members_max
    }

    fn is_bridge(&self, place: u32) -> bool {
        let conn = self.sessions.peek(place).and_then(|s| s.conn);
        conn.and_then(|id| self.conns.peek(id)).is_some_and(|conn| conn.bridge)
    }

    fn check_available(&self, parsed: &ParsedFilter) -> Result<(), ReasonCode> {
        if parsed.group.is_some() && !self.settings.shared_available {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if !parsed.filter.is_exact() && !self.settings.wildcard_available {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        Ok(())
    }

    fn check_rights(
        &mut self,
        place: u32,
        wanted: &SubscribeFilter<'_>,
        parsed: &ParsedFilter,
    ) -> Result<(), ReasonCode> {
        let session = self.sessions.peek(place).ok_or(ReasonCode::UnspecifiedError)?;
        let principal = &session.principal;
        if self.rules.is_open(principal) {
            return Ok(());
        }
        let qos = wanted.options.qos.bits();
        if self.rules.subscribe(principal, parsed.filter.as_str(), qos, parsed.group.as_deref()).allowed {
            return Ok(());
        }
        let client_id = Arc::clone(principal.client_id());
        self.stats.denied[2] += 1;
        let topic = wanted.filter.into();
        self.outputs.push_back(Output::Log(Event::Denied { client_id, action: "subscribe", topic }));
        Err(ReasonCode::NotAuthorized)
    }

    /// Puts a granted subscription into the session, the index and the store, and tells the other workers.
    fn install(
        &mut self,
        place: u32,
        full: &str,
        parsed: &ParsedFilter,
        options: SubscribeOptions,
        id: u32,
        announcement: &mut Announcement,
    ) {
        let Some(session) = self.sessions.at(place) else { return };
        let subscription = Subscription { filter: full.into(), options, id };
        let known = match session.find_subscription(full) {
            Ok(at) => {
                session.subscriptions[at] = subscription;
                true
            }
            Err(at) => {
                session.subscriptions.reserve_exact(1);
                session.subscriptions.insert(at, subscription);
                false
            }
        };
        if let Some(durable) = &session.durable {
            let key = Key::Subscription(durable.shard, durable.uid, full.into());
            self.journal.ops.push(Op::Put(key, encode_subscription(options, id)));
        }
        if !known {
            self.count_subscription(parsed, 1);
        }
        self.index(place, parsed, options, id, announcement);
    }

    /// Puts a subscription into the index of this worker and tells the others what changed.
    fn index(
        &mut self,
        place: u32,
        parsed: &ParsedFilter,
        options: SubscribeOptions,
        id: u32,
        announcement: &mut Announcement,
    ) {
        match &parsed.group {
            None => {
                let subscriber = Subscriber { session: place, id, options };
                let (before, after) = self.subscriptions.insert(&parsed.filter, subscriber);
                if before != after {
                    self.announce(&parsed.filter, after, announcement);
                } else if self.settings.has_gate {
                    // Other nodes may still be about to hear of it.
                    let (gate, filter) = (1 << self.gate().0, parsed.filter.as_str());
                    self.announce_to(gate, announcement, |ticket| Frame::Interest { ticket, interest: after, filter });
                }
            }
            Some(name) => {
                let group = self.subscriptions.group_for(name, &parsed.filter);
                let presence = self.presence_of(place);
                if let Some(group) = self.subscriptions.group(group) {
                    group.join(Member { session: place, id, options }, presence);
                }
                self.announce_members(name, &parsed.filter, announcement);
            }
        }
    }

    /// Puts a restored subscription into the index; other workers hear of it when all are restored.
    pub(super) fn index_restored(&mut self, place: u32, parsed: &ParsedFilter, options: SubscribeOptions, id: u32) {
        self.count_subscription(parsed, 1);
        self.index(place, parsed, options, id, &mut Announcement { ticket: u64::MAX, answers: 0 });
    }

    fn announce(&mut self, filter: &TopicFilter, interest: Interest, announcement: &mut Announcement) {
        let filter = filter.as_str();
        self.announce_frame(announcement, |ticket| Frame::Interest { ticket, interest, filter });
    }

    fn announce_members(&mut self, name: &str, filter: &TopicFilter, announcement: &mut Announcement) {
        if self.peers.others() == 0 {
            return;
        }
        let group = self.subscriptions.find_group(name, filter).and_then(|id| self.subscriptions.group(id));
        let count = group.map(|group| group.count()).unwrap_or_default();
        let (group, filter) = (name, filter.as_str());
        self.announce_frame(announcement, |ticket| Frame::Members { ticket, count, group, filter });
    }

    fn announce_frame<'a>(&mut self, announcement: &mut Announcement, frame: impl Fn(u64) -> Frame<'a>) {
        self.announce_to(self.peers.everyone(), announcement, frame);
    }

    /// Tells these workers, a bit each; a ticket of `u64::MAX` wants no answers.
    fn announce_to<'a>(&mut self, workers: u64, announcement: &mut Announcement, frame: impl Fn(u64) -> Frame<'a>) {
        let wants_answers = announcement.ticket != u64::MAX;
        if wants_answers && announcement.ticket == 0 && self.peers.others() > 0 {
            announcement.ticket = self.peers.next_ticket();
        }
        for worker in workers_of(workers) {
            let ticket = if wants_answers { announcement.ticket } else { 0 };
            self.peers.send(worker, &frame(ticket));
            announcement.answers += u16::from(wants_answers);
        }
    }

    /// What groups should know of a session's connection.
    fn presence_of(&self, place: u32) -> Presence {
        match self.sessions.peek(place) {
            Some(session) if session.conn.is_some() && session.stalled => Presence::Stalled,
            Some(session) if session.conn.is_some() => Presence::Connected,
            Some(_) | None => Presence::Away,
        }
    }

    /// A session has a connection, has none any more, is stalled or goes on: its groups here and the other workers hear
    /// of it.
    pub(super) fn tell_groups(&mut self, place: u32) {
        let presence = self.presence_of(place);
        for id in self.groups_of(place) {
            let Some(group) = self.subscriptions.group(id) else { continue };
            group.set_presence(place, presence);
            if self.peers.others() > 0 {
                let (name, filter) = (Box::<str>::from(group.name()), group.filter().clone());
                self.announce_members(&name, &filter, &mut Announcement { ticket: u64::MAX, answers: 0 });
            }
        }
    }

    /// The shared groups of which a session is the only member that is connected: what waits in them waits for it.
    pub(super) fn groups_waiting_for(&mut self, place: u32) -> Vec<GroupId> {
        let mut groups = self.groups_of(place);
        groups.retain(|&id| {
            let group = self.subscriptions.group(id);
            group.is_some_and(|group| group.count().connected == 1 && group.count_elsewhere().connected == 0)
        });
        groups
    }

    /// The shared groups a session is in.
    pub(super) fn groups_of(&self, place: u32) -> Vec<GroupId> {
        let Some(session) = self.sessions.peek(place) else { return Vec::new() };
        let shared = session.subscriptions.iter().filter(|s| s.filter.starts_with("$share/"));
        let parsed = shared.filter_map(|s| ParsedFilter::parse(&s.filter, &self.topic_limits).ok());
        parsed.filter_map(|p| self.subscriptions.find_group(p.group.as_deref()?, &p.filter)).collect()
    }

    /// UNSUBSCRIBE.
    pub(super) fn on_unsubscribe(&mut self, now: Now, id: ConnId, unsubscribe: &Unsubscribe<'_>) -> Flow {
        let Some(place) = session_of(self.conns.peek(id)) else { return Flow::Closed };
        if unsubscribe.filters.len() > self.settings.filters_per_packet_max {
            self.count_bad(BadInput::Quota);
            self.disconnect(now, id, ReasonCode::QuotaExceeded, Closed::QuotaExceeded);
            return Flow::Closed;
        }
        let mut verdicts = Verdicts::of(unsubscribe.filters.len());
        for filter in unsubscribe.filters.iter() {
            let removed = self.remove_subscription(place, filter);
            let code = match ParsedFilter::parse(filter, &self.topic_limits) {
                _ if removed => ReasonCode::Success,
                Ok(_) => ReasonCode::NoSubscriptionExisted,
                Err(_) => ReasonCode::TopicFilterInvalid,
            };
            verdicts.push(filter, code);
        }
        let persistent = self.sessions.peek(place).is_some_and(|s| s.is_persistent());
        let wait = if persistent { Wait::batch(self.journal.open_batch()) } else { Wait::NOTHING };
        if persistent {
            self.note_progress(place);
        }
        self.reply(now, id, Reply::UnsubAck(unsubscribe.packet_id, verdicts.into()), wait);
        Flow::Next
    }

    /// Takes one subscription away. `false` when there was none.
    pub(super) fn remove_subscription(&mut self, place: u32, full: &str) -> bool {
        let Some(session) = self.sessions.at(place) else { return false };
        let Ok(at) = session.find_subscription(full) else { return false };
        session.subscriptions.remove(at);
        if let Some(durable) = &session.durable {
            let key = Key::Subscription(durable.shard, durable.uid, full.into());
            self.drop_stored(key);
        }
        self.unindex(place, full);
        true
    }

    /// Takes all subscriptions of a session out of the index. The session still lists them.
    pub(super) fn remove_all_subscriptions(&mut self, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        let subscriptions = std::mem::take(&mut session.subscriptions);
        for subscription in &subscriptions {
            self.unindex(place, &subscription.filter);
        }
        if let Some(session) = self.sessions.at(place) {
            session.subscriptions = subscriptions;
        }
    }

    fn unindex(&mut self, place: u32, full: &str) {
        let Ok(parsed) = ParsedFilter::parse(full, &self.topic_limits) else { return };
        self.count_subscription(&parsed, -1);
        let mut announcement = Announcement { ticket: u64::MAX, answers: 0 };
        match &parsed.group {
            None => {
                if let Some((before, after)) = self.subscriptions.remove(&parsed.filter, place)
                    && before != after
                {
                    self.announce(&parsed.filter, after, &mut announcement);
                }
            }
            Some(name) => {
                let Some(id) = self.subscriptions.find_group(name, &parsed.filter) else { return };
                if let Some(group) = self.subscriptions.group(id) {
                    group.leave(place);
                }
                self.announce_members(name, &parsed.filter, &mut announcement);
                self.subscriptions.drop_group_if_empty(id);
            }
        }
    }

    fn count_subscription(&mut self, parsed: &ParsedFilter, by: i64) {
        let count = if parsed.group.is_some() {
            &mut self.stats.subscriptions_shared
        } else if parsed.filter.is_exact() {
            &mut self.stats.subscriptions_exact
        } else {
            &mut self.stats.subscriptions_wildcard
        };
        *count = count.saturating_add_signed(by);
    }

    /// The workers that may have registers a filter matches: one for an exact topic, all for a wildcard.
    fn sources_of(&self, filter: &TopicFilter) -> Vec<WorkerId> {
        if filter.is_exact() || filter.as_str().starts_with("$SYS/") {
            return vec![self.home_of_topic(filter.as_str())];
        }
        std::iter::once(self.id).chain(workers_of(self.peers.everyone())).collect()
    }
}

/// A stored subscription.
pub(super) fn encode_subscription(options: SubscribeOptions, id: u32) -> Bytes {
    let mut value = vec![options.to_bits()];
    value.extend_from_slice(&id.to_le_bytes());
    value.into()
}

/// Reads a stored subscription.
pub(super) fn decode_subscription(value: &[u8]) -> Option<(SubscribeOptions, u32)> {
    let (&bits, id) = value.split_first()?;
    Some((SubscribeOptions::from_bits(bits)?, u32::from_le_bytes(id.try_into().ok()?)))
}
