//! From the store to a worker that serves again.

use std::sync::Arc;

use bytes::Bytes;
use sluice_topic::{Limits, ParsedFilter};

use super::{RestoreError, Worker, subscribe::decode_subscription};
use crate::{
    Key, Now,
    message::MessageRef,
    peers::{Frame, workers_of},
    record::SessionUid,
    session::{
        Durable, SENT_AHEAD_MAX, Session, Subscription,
        outbound::{Awaits, Body, DUP, Inflight, Queued, RETAIN, expires_s},
        progress::{Progress, decode_identity, decode_will},
    },
    subscriptions::Subscriptions,
    timers::Timer,
};

/// How long wills that are due at the start wait for the other workers to start, too.
const ORPHANS_WAIT_MS: u64 = 100;
/// Wills that are published in one go after a start; the next follow a millisecond later (BAD_INPUT W3).
const ORPHANS_AT_ONCE: usize = 64;

impl Worker {
    /// Takes one stored value.
    pub(super) fn restore_value(&mut self, key: Key, value: &Bytes) -> Result<(), RestoreError> {
        let damaged = |kind, shard: sluice_cluster::ShardId, what| RestoreError { kind, shard: shard.0, what };
        match key {
            Key::Shard(shard) => {
                self.shard(shard).restore_counters(value).ok_or(damaged("counters", shard, "too short"))
            }
            Key::Session(shard, uid) => {
                self.restore_session(shard, uid, value).ok_or(damaged("session", shard, "not an identity"))
            }
            Key::Subscription(shard, uid, filter) => self.restore_subscription(uid, &filter, value).ok_or(damaged(
                "subscription",
                shard,
                "not a filter with options",
            )),
            Key::Progress(shard, uid) => {
                self.restore_progress(uid, value).ok_or(damaged("progress", shard, "not a progress record"))
            }
            Key::Block(shard, first) => {
                self.restore_block(shard, first, value).ok_or(damaged("block", shard, "not a run of records"))
            }
            Key::Dedupe(shard, uid) => {
                self.shard(shard).restore_dedupe(uid, value).ok_or(damaged("dedupe", shard, "not a run of numbers"))
            }
            Key::Will(shard, uid) => self.restore_will(uid, value).ok_or(damaged("will", shard, "not a will")),
            Key::Retained(shard, topic) => {
                self.restore_retained(&topic, value).ok_or(damaged("retained", shard, "not a message"))
            }
            Key::Copy(shard, node, topic) => {
                let workers = self.sharding.workers();
                self.copies.restore(node, &topic, value, workers).ok_or(damaged("copy", shard, "not a register"))
            }
        }
    }

    fn restore_session(&mut self, shard: sluice_cluster::ShardId, uid: SessionUid, value: &[u8]) -> Option<()> {
        let identity = decode_identity(value)?;
        let mut session = Session::new(Arc::new(identity.principal), identity.version);
        session.durable = Some(Box::new(Durable {
            shard,
            uid,
            expiry_s: identity.expiry_s,
            detached_wall_ms: identity.detached_wall_ms,
            ends_ms: 0,
            armed_ms: 0,
            dirty: false,
            touched: false,
            next_exchange: 1,
            sent: 0,
            sent_stored: 0,
            gap_seq: 0,
            ended: identity.ended,
        }));
        let name = session.principal.username().filter(|_| !identity.ended).cloned();
        if let Some(name) = name {
            self.count_session(&name, 1);
        }
        let client_id = Arc::clone(session.client_id());
        let place = self.sessions.insert(session);
        if !identity.ended {
            self.by_client.insert(client_id, place);
        }
        self.by_uid.insert(uid, place);
        Some(())
    }

    fn restore_subscription(&mut self, uid: SessionUid, full: &str, value: &[u8]) -> Option<()> {
        let (options, id) = decode_subscription(value)?;
        let parsed = ParsedFilter::parse(full, &WIDE).ok()?;
        let Some(&place) = self.by_uid.get(&uid) else { return Some(()) };
        let session = self.sessions.at(place)?;
        if let Err(at) = session.find_subscription(full) {
            session.subscriptions.insert(at, Subscription { filter: full.into(), options, id });
        }
        if self.has_ended(place) {
            // It is no member any more, but what it leaves names the group.
            if let Some(name) = &parsed.group {
                self.subscriptions.group_for(name, &parsed.filter);
            }
        } else {
            self.index_restored(place, &parsed, options, id);
        }
        Some(())
    }

    fn restore_progress(&mut self, uid: SessionUid, value: &[u8]) -> Option<()> {
        let progress = Progress::decode(value)?;
        let Some(&place) = self.by_uid.get(&uid) else { return Some(()) };
        let session = self.sessions.at(place)?;
        session.received = progress.received.clone();
        session.outbound.resume_packet_ids_after(progress.last_packet_id);
        session.outbound.window.extend(progress.released.iter().map(|&packet_id| Inflight {
            packet_id,
            awaits: Awaits::Comp,
            flags: 0,
            bytes: 0,
            body: Body::Sent,
            group: 0,
        }));
        let durable = session.durable.as_mut()?;
        durable.next_exchange = progress.next_exchange;
        durable.gap_seq = if progress.waiting.is_empty() { 0 } else { progress.high };
        let shard = durable.shard;
        self.shard(shard).skip_to(progress.high);
        self.restoring.insert(uid, progress);
        Some(())
    }

    fn restore_block(&mut self, shard: sluice_cluster::ShardId, first: u64, value: &Bytes) -> Option<()> {
        let mut ops = std::mem::take(&mut self.journal.ops);
        let mut log = self.shards.get_mut(shard.index())?.take()?;
        let (sessions, by_uid, restoring) = (&mut self.sessions, &self.by_uid, &self.restoring);
        let (stats, subscriptions) = (&mut self.stats, &self.subscriptions);
        let restored = log.restore_block(first, value, &mut ops, |seq, record| {
            let mut pending = 0;
            let bytes = record.message.encoded_len() as u32;
            for recipient in record.recipients() {
                let Some(session) = by_uid.get(&recipient.session).and_then(|&place| sessions.at(place)) else {
                    continue;
                };
                let progress = restoring.get(&recipient.session);
                let open = progress.is_some_and(|p| p.open.binary_search(&seq).is_ok());
                let waiting = progress.is_some_and(|p| p.waiting.binary_search(&seq).is_ok());
                if progress.is_some_and(|p| seq <= p.high) && !open && !waiting {
                    continue;
                }
                // What may have been sent, was: that it was sent is stored after it is sent.
                let again = open || may_have_been_sent(session);
                pending += 1;
                let group = if recipient.shared { group_of(session, record.message.topic, subscriptions) } else { 0 };
                session.outbound.push(Queued {
                    body: Body::Stored(seq),
                    packet_id: recipient.packet_id,
                    qos: recipient.qos,
                    flags: if recipient.retain { RETAIN } else { 0 } | if again { DUP } else { 0 },
                    bytes,
                    expires_s: if again { 0 } else { expires_s(record.message.expires_wall_ms) },
                    subscription_ids: None,
                    group,
                });
                session.outbound.resume_packet_ids_after(recipient.packet_id);
                stats.queued_messages += 1;
                stats.queued_bytes += u64::from(bytes);
            }
            pending
        });
        if let Some(place) = self.shards.get_mut(shard.index()) {
            *place = Some(log);
        }
        self.journal.ops = ops;
        restored
    }

    fn restore_will(&mut self, uid: SessionUid, value: &[u8]) -> Option<()> {
        let (will, principal) = decode_will(value)?;
        let session = self.by_client.get(principal.client_id()).and_then(|&place| self.sessions.at(place));
        match session.filter(|session| !will.fired && session.stored_will.is_none()) {
            Some(session) => {
                session.will = Some(Box::new(will));
                session.stored_will = Some(uid);
            }
            None => self.orphaned_wills.push((uid, will, principal)),
        }
        Some(())
    }

    fn restore_retained(&mut self, topic: &str, value: &[u8]) -> Option<()> {
        let message = MessageRef::decode(value).filter(|message| message.topic == topic)?;
        self.register(&message);
        self.count_retained();
        Some(())
    }

    /// Every session is offline now; those that were attached lost their connection with the process that died.
    pub(super) fn finish_restoring(&mut self, now: Now) {
        self.restoring.clear();
        let places: Vec<u32> = self.sessions.iter().map(|(place, _)| place).collect();
        for place in places {
            let Some(session) = self.sessions.at(place) else { continue };
            let Some(durable) = session.durable.as_mut() else { continue };
            let was_attached = durable.detached_wall_ms == 0;
            if was_attached {
                durable.detached_wall_ms = now.wall_ms.max(1);
            }
            let end_wall_ms = durable.detached_wall_ms + u64::from(durable.expiry_s) * 1000;
            let detached_wall_ms = durable.detached_wall_ms;
            let expiry_s = durable.expiry_s;
            let has_ended = durable.ended;
            let left_ms = end_wall_ms.saturating_sub(now.wall_ms);
            let mut due_ms = now.mono_ms + left_ms;
            durable.ends_ms = due_ms;
            durable.sent = 0;
            if let Some(will) = &mut session.will {
                let delay_s = will.delay_s.min(expiry_s);
                let will_wall_ms = detached_wall_ms + u64::from(delay_s) * 1000;
                // Not before other workers have told what their restored sessions want.
                will.due_ms = now.mono_ms + will_wall_ms.saturating_sub(now.wall_ms).max(ORPHANS_WAIT_MS);
                due_ms = due_ms.min(will.due_ms);
            }
            self.stats.sessions_offline += u64::from(!has_ended);
            self.arm_session(place, due_ms);
            if was_attached {
                self.write_identity(place);
                self.note_progress(place);
            }
            // The rules may have changed meanwhile.
            self.check_subscriptions(place);
        }
        self.settle_orphaned_wills_at(now);
    }

    /// Transient sessions ended with the process that died. Their wills are due, once other workers are restored too.
    pub(super) fn settle_orphaned_wills_at(&mut self, now: Now) {
        if !self.orphaned_wills.is_empty() {
            self.timers.set(now.mono_ms + ORPHANS_WAIT_MS, Timer::Orphans);
        }
    }

    /// Asks the workers that were not heard of since the start; whether there are any. What is published before it is
    /// known who wants it is lost to them.
    pub(super) fn greet_unknown(&mut self) -> bool {
        let unheard = self.peers.unheard();
        for worker in workers_of(unheard) {
            let ticket = self.peers.next_ticket();
            self.peers.send(worker, &Frame::Hello { ticket });
        }
        unheard != 0
    }

    /// Publishes the wills of sessions that ended with the process that died.
    pub(super) fn publish_orphaned_wills(&mut self, now: Now) {
        self.wills_asked = self.greet_unknown();
        if self.wills_asked {
            return;
        }
        let now_due = self.orphaned_wills.len().min(ORPHANS_AT_ONCE);
        for (uid, will, principal) in self.orphaned_wills.drain(..now_due).collect::<Vec<_>>() {
            self.send_will(now, &principal, will, Some(uid));
        }
        if !self.orphaned_wills.is_empty() {
            self.timers.set(now.mono_ms + 1, Timer::Orphans);
        }
    }
}

/// Whether a session may have been sent one more message than the store knows of.
fn may_have_been_sent(session: &mut Session) -> bool {
    let was_attached = session.was_attached();
    let Some(durable) = session.durable.as_mut().filter(|_| was_attached) else { return false };
    let may = durable.sent < SENT_AHEAD_MAX;
    durable.sent += u64::from(may);
    may
}

/// The shared group through which a session got a message, plus 1; 0 when it is in none any more.
fn group_of(session: &Session, topic: &str, subscriptions: &Subscriptions) -> u32 {
    let shared = session.subscriptions.iter().filter(|s| s.filter.starts_with("$share/"));
    let mut parsed = shared.filter_map(|s| ParsedFilter::parse(&s.filter, &WIDE).ok());
    let found = parsed.find(|p| sluice_topic::matches(p.filter.as_str(), topic));
    let group = found.and_then(|p| subscriptions.find_group(p.group.as_deref()?, &p.filter));
    group.map_or(0, |group| group + 1)
}

/// Filters were checked when they were granted; the limits may have become narrower since.
const WIDE: Limits = Limits { topic_bytes_max: 65_535, levels_max: 65_535 };
