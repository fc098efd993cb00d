//! To one session: at once, or into its queue, and out of its queue when it may go on.

use std::sync::Arc;

use bytes::Bytes;
use sluice_mqtt::{QoS, ReasonCode, Version};

use super::{Worker, dispatch::Flow, reply::mark_dirty};
use crate::{
    ConnId, Now, Output,
    connection::{
        Conn, Phase,
        alias::Alias,
        replies::{Reply, Wait},
    },
    fanout::{Form, send_one},
    message::MessageRef,
    session::outbound::{Awaits, Body, DUP, Inflight, PASSED_ON, Queued, RETAIN, expires_s},
    shard::{Look, Record},
    stats::{BadInput, Closed, Dropped},
};

/// How a message goes to one session.
#[derive(Clone, Copy)]
pub(super) struct Delivery<'a> {
    /// Place of the session.
    pub(super) place: u32,
    /// QoS of the delivery.
    pub(super) qos: QoS,
    /// Whether it carries RETAIN.
    pub(super) retain: bool,
    /// Subscription identifiers.
    pub(super) ids: &'a [u32],
    /// The shared group it comes through, plus 1; 0 = none.
    pub(super) group: u32,
    /// Whether others get the same message.
    pub(super) shared_form: bool,
}

/// Bytes in an outbox above which a session's queue is not emptied further into it.
const OUTBOX_SOFT_BYTES: usize = 64 * 1024;

impl Worker {
    /// Delivers to a session that keeps nothing on disk, or at QoS 0. Whether it took the message.
    #[inline]
    pub(super) fn deliver(&mut self, now: Now, message: &MessageRef<'_>, to: &Delivery<'_>) -> bool {
        let Some(session) = self.sessions.at(to.place) else { return false };
        let open = session.conn.and_then(|id| self.conns.at(id).map(|conn| (id, conn)));
        let Some((id, conn)) = open.filter(|(_, conn)| conn.phase == Phase::Attached) else {
            return self.queue_while_away(message, to);
        };
        let size = message.payload.len() + message.topic.len();
        if to.qos == QoS::AtMostOnce {
            if conn.blocked && conn.outbox.len() + size > self.settings.outbox_bytes_max {
                self.stats.dropped[Dropped::QueueFull as usize] += 1;
                return false;
            }
            if self.housekeeping.sheds_qos0() {
                self.stats.dropped[Dropped::Memory as usize] += 1;
                return false;
            }
            let form = Form {
                version: conn.version,
                qos: to.qos,
                retain: to.retain,
                dup: false,
                packet_id: 0,
                ids: to.ids,
                alias: None,
                alias_only: false,
            };
            let sent = write_publish(&mut self.encoder, conn, message, &form, now.wall_ms, to.shared_form);
            return self.note_sent(id, to.qos, sent, message.payload.len());
        }
        let queue = !session.outbound.queue.is_empty() || !session.has_window();
        if queue || (conn.blocked && conn.outbox.len() + size > self.settings.outbox_bytes_max) {
            return self.queue_in_memory(message, to);
        }
        let packet_id = session.outbound.next_packet_id();
        let form = Form {
            version: conn.version,
            qos: to.qos,
            retain: to.retain,
            dup: false,
            packet_id,
            ids: to.ids,
            alias: None,
            alias_only: false,
        };
        let sent = write_publish(&mut self.encoder, conn, message, &form, now.wall_ms, to.shared_form);
        if sent.is_some() {
            // Only a member of a shared group may have to pass the message on.
            let body = if to.group == 0 { Body::Sent } else { Body::Memory(self.encoder.encoded_body(message)) };
            session.outbound.window.push_back(Inflight {
                packet_id,
                awaits: if to.qos == QoS::AtLeastOnce { Awaits::Ack } else { Awaits::Rec },
                flags: if to.retain { RETAIN } else { 0 },
                bytes: size as u32,
                body,
                group: to.group,
            });
            self.stats.inflight += 1;
        }
        self.note_sent(id, to.qos, sent, message.payload.len())
    }

    /// Counts a PUBLISH that was written, or was too large for the client [MQTT-3.1.2-25].
    #[inline]
    fn note_sent(&mut self, id: ConnId, qos: QoS, sent: Option<usize>, payload: usize) -> bool {
        let Some(written) = sent else {
            self.stats.dropped[Dropped::TooLarge as usize] += 1;
            return false;
        };
        self.stats.messages_sent[qos as usize] += 1;
        self.stats.payload_bytes_sent += payload as u64;
        self.stats.bytes_sent += written as u64;
        if let Some(conn) = self.conns.at(id) {
            mark_dirty(&mut self.dirty, &mut self.unflushed_bytes, conn, id, written);
        }
        true
    }

    /// A session without a usable connection: QoS 0 is not kept unless configured, QoS 1 and 2 wait in memory only while
    /// CONNACK is on its way (persistent sessions keep them on disk).
    fn queue_while_away(&mut self, message: &MessageRef<'_>, to: &Delivery<'_>) -> bool {
        let persistent = self.sessions.peek(to.place).is_some_and(|s| s.is_persistent());
        if to.qos == QoS::AtMostOnce && !(persistent && self.settings.inbox_qos0) {
            self.stats.dropped[Dropped::Offline as usize] += 1;
            return false;
        }
        self.queue_in_memory(message, to)
    }

    fn queue_in_memory(&mut self, message: &MessageRef<'_>, to: &Delivery<'_>) -> bool {
        let body = self.encoder.encoded_body(message);
        let bytes = body.len() as u32;
        if !self.make_room(to.place, body.len()) {
            return false;
        }
        let Some(session) = self.sessions.at(to.place) else { return false };
        session.outbound.push(Queued {
            body: Body::Memory(body),
            packet_id: 0,
            qos: to.qos as u8,
            flags: if to.retain { RETAIN } else { 0 },
            bytes,
            expires_s: expires_s(message.expires_wall_ms),
            subscription_ids: (!to.ids.is_empty()).then(|| Box::new(to.ids.to_vec())),
            group: to.group,
        });
        self.stats.queued_messages += 1;
        self.stats.queued_bytes += u64::from(bytes);
        true
    }

    /// Sends what waits for a session, as far as its window, its outbox and the store allow.
    pub(super) fn pump(&mut self, now: Now, place: u32) {
        while let Some(session) = self.sessions.at(place) {
            let Some(front) = session.outbound.queue.front() else { break };
            let Some(id) = session.conn else { return };
            if (front.qos > 0 && !session.has_window()) || front.flags & PASSED_ON != 0 {
                break;
            }
            if front.packet_id != 0 && session.outbound.is_in_window(front.packet_id) {
                // Of a queue longer than there are packet ids: it is this one's turn when the other is settled.
                break;
            }
            let is_stored = matches!(front.body, Body::Stored(_));
            if is_stored && session.durable.as_ref().is_some_and(|durable| durable.is_ahead()) {
                break;
            }
            let stored = match front.body {
                Body::Stored(seq) => Some(seq),
                Body::Memory(_) | Body::Sent => None,
            };
            let Some(conn) = self.conns.peek(id) else { return };
            if conn.phase != Phase::Attached || conn.outbox.len() >= OUTBOX_SOFT_BYTES {
                return;
            }
            let record = match stored.map(|seq| self.find_record(place, seq)) {
                Some(Found::NotYet) => return,
                Some(Found::Record(record)) => Some(record),
                Some(Found::Gone) | None => None,
            };
            let Some(queued) = self.sessions.at(place).and_then(|s| s.outbound.pop()) else { return };
            self.uncount_queue(1, queued.bytes as usize);
            let sent = self.send_queued(now, place, id, queued, record.as_ref());
            match stored {
                Some(seq) if sent => self.note_stored_sent(place, seq),
                Some(seq) => self.settle(place, seq),
                None => {}
            }
        }
        self.continue_fetches(now, place);
    }

    pub(super) fn find_record(&mut self, place: u32, seq: u64) -> Found {
        let Some(shard) = self.sessions.peek(place).and_then(|s| s.durable.as_ref()).map(|d| d.shard) else {
            return Found::Gone;
        };
        let log = self.shard(shard);
        if !log.is_stored(seq) {
            // Nothing is delivered before it is on stable storage: a crash must not make it appear twice.
            return Found::NotYet;
        }
        match log.look(seq) {
            Look::Here(record) => Found::Record(record),
            Look::Gone => Found::Gone,
            Look::Loading(first) => {
                self.housekeeping.wait_for_loading(shard, first, place);
                Found::NotYet
            }
            Look::Load(first) => {
                self.housekeeping.wait_for_loading(shard, first, place);
                self.outputs.push_back(Output::Load { shard, first });
                Found::NotYet
            }
        }
    }

    /// Writes one queued message; `record` is that of a stored one. `false` = it was not sent and is done with.
    fn send_queued(&mut self, now: Now, place: u32, id: ConnId, queued: Queued, record: Option<&Bytes>) -> bool {
        let mut ids: Vec<u32> = queued.subscription_ids.as_deref().cloned().unwrap_or_default();
        let in_memory = match &queued.body {
            Body::Memory(bytes) => Some(Arc::clone(bytes)),
            Body::Stored(_) | Body::Sent => None,
        };
        let message = match (&in_memory, record.and_then(|bytes| Record::parse(bytes))) {
            (Some(bytes), _) => MessageRef::decode(bytes),
            (None, Some(record)) => {
                let uid = self.sessions.peek(place).and_then(|s| s.durable.as_ref()).map(|d| d.uid);
                let own = record.recipients().find(|r| Some(r.session) == uid && r.packet_id == queued.packet_id);
                ids.extend(own.iter().flat_map(|r| r.ids.iter()));
                Some(record.message)
            }
            (None, None) => None,
        };
        let Some(message) = message else { return false };
        // What was sent once is sent again whatever its age [MQTT-4.3.3-7].
        if queued.flags & DUP == 0 && message.is_expired(now.wall_ms) {
            self.stats.dropped[Dropped::Expired as usize] += 1;
            return false;
        }
        if !self.may_receive(place, message.topic) {
            // Allowed when it was queued, but no longer (I25, BAD_INPUT A9).
            self.stats.dropped[Dropped::Denied as usize] += 1;
            return false;
        }
        let (Some(session), Some(conn)) = (self.sessions.at(place), self.conns.at(id)) else { return false };
        let qos = QoS::from_bits(queued.qos).unwrap_or(QoS::AtMostOnce);
        let packet_id = match (qos, queued.packet_id) {
            (QoS::AtMostOnce, _) => 0,
            (_, 0) => session.outbound.next_packet_id(),
            (_, fixed) => fixed,
        };
        let form = Form {
            version: conn.version,
            qos,
            retain: queued.flags & RETAIN != 0,
            dup: queued.flags & DUP != 0,
            packet_id,
            ids: &ids,
            alias: None,
            alias_only: false,
        };
        let sent = write_publish(&mut self.encoder, conn, &message, &form, now.wall_ms, false);
        if sent.is_some() && qos != QoS::AtMostOnce {
            let keep_body = queued.group != 0 || matches!(queued.body, Body::Stored(_));
            session.outbound.window.push_back(Inflight {
                packet_id,
                awaits: if qos == QoS::AtLeastOnce { Awaits::Ack } else { Awaits::Rec },
                flags: queued.flags & RETAIN,
                bytes: queued.bytes,
                body: if keep_body { queued.body } else { Body::Sent },
                group: queued.group,
            });
            self.stats.inflight += 1;
        }
        if record.is_some() {
            if let Some(durable) = self.sessions.at(place).and_then(|s| s.durable.as_mut()) {
                durable.sent += 1;
            }
            self.note_progress(place);
        }
        self.note_sent(id, qos, sent, message.payload.len())
    }

    fn may_receive(&self, place: u32, topic: &str) -> bool {
        self.sessions.peek(place).is_some_and(|session| {
            self.rules.is_open(&session.principal) || self.rules.deliver(&session.principal, topic)
        })
    }

    /// PUBACK: a QoS 1 delivery is done.
    pub(super) fn on_puback(&mut self, now: Now, id: ConnId, packet_id: u16) -> Flow {
        self.on_final_ack(now, id, packet_id, Awaits::Ack)
    }

    /// PUBCOMP: a QoS 2 delivery is done.
    pub(super) fn on_pubcomp(&mut self, now: Now, id: ConnId, packet_id: u16) -> Flow {
        self.on_final_ack(now, id, packet_id, Awaits::Comp)
    }

    fn on_final_ack(&mut self, now: Now, id: ConnId, packet_id: u16, awaited: Awaits) -> Flow {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return Flow::Closed };
        let Some(session) = self.sessions.at(place) else { return Flow::Closed };
        let had_window = session.has_window();
        let Some(settled) = session.outbound.settle(packet_id, awaited) else {
            return self.on_unexpected_ack(now, id, packet_id);
        };
        let waits = !session.outbound.queue.is_empty();
        if session.stalled_since_ms != 0 {
            self.note_acknowledging(place);
        }
        self.stats.inflight = self.stats.inflight.saturating_sub(1);
        match settled.body {
            Body::Stored(seq) => self.settle(place, seq),
            Body::Sent if self.sessions.peek(place).is_some_and(|s| s.is_persistent()) => self.note_progress(place),
            Body::Sent | Body::Memory(_) => {}
        }
        if waits || !had_window {
            self.pump(now, place);
        }
        Flow::Next
    }

    /// An acknowledgement for nothing is counted and ignored; one that belongs to another step of an exchange breaks
    /// the protocol (BAD_INPUT S4, S5).
    fn on_unexpected_ack(&mut self, now: Now, id: ConnId, packet_id: u16) -> Flow {
        let place = self.conns.peek(id).and_then(|conn| conn.session);
        let known = place.and_then(|p| self.sessions.at(p)).is_some_and(|s| s.outbound.inflight(packet_id).is_some());
        if known {
            self.count_bad(BadInput::Protocol);
            self.disconnect(now, id, ReasonCode::ProtocolError, Closed::ProtocolError);
            return Flow::Closed;
        }
        self.count_bad(BadInput::UnknownPacketId);
        Flow::Next
    }

    /// PUBREC: the client has a QoS 2 message; it is released once that is on stable storage.
    pub(super) fn on_pubrec(&mut self, now: Now, id: ConnId, packet_id: u16, reason: ReasonCode) -> Flow {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return Flow::Closed };
        self.note_acknowledging(place);
        let Some(session) = self.sessions.at(place) else { return Flow::Closed };
        let Some(inflight) = session.outbound.inflight(packet_id) else {
            self.count_bad(BadInput::UnknownPacketId);
            self.reply(now, id, Reply::PubRel(packet_id, ReasonCode::PacketIdentifierNotFound), Wait::NOTHING);
            return Flow::Next;
        };
        match inflight.awaits {
            Awaits::Ack => {
                self.count_bad(BadInput::Protocol);
                self.disconnect(now, id, ReasonCode::ProtocolError, Closed::ProtocolError);
                return Flow::Closed;
            }
            Awaits::Rec if reason.is_error() => {
                let settled = session.outbound.settle(packet_id, Awaits::Rec);
                self.stats.inflight = self.stats.inflight.saturating_sub(1);
                if let Some(Inflight { body: Body::Stored(seq), .. }) = settled {
                    self.settle(place, seq);
                }
                self.pump(now, place);
                return Flow::Next;
            }
            Awaits::Rec => {
                inflight.awaits = Awaits::Comp;
                let body = std::mem::replace(&mut inflight.body, Body::Sent);
                if let Body::Stored(seq) = body {
                    self.settle(place, seq);
                }
            }
            Awaits::Comp => {}
        }
        let persistent = self.sessions.peek(place).is_some_and(|s| s.is_persistent());
        let wait = if persistent { Wait::batch(self.journal.open_batch()) } else { Wait::NOTHING };
        if persistent {
            self.note_progress(place);
        }
        self.reply(now, id, Reply::PubRel(packet_id, ReasonCode::Success), wait);
        Flow::Next
    }
}

/// Where a stored message is.
pub(super) enum Found {
    Record(Bytes),
    NotYet,
    Gone,
}

/// Appends a PUBLISH to a connection's outbox; `None` when it is larger than the client takes.
#[inline]
fn write_publish(
    encoder: &mut crate::fanout::Encoder,
    conn: &mut Conn,
    message: &MessageRef<'_>,
    form: &Form<'_>,
    wall_ms: u64,
    shared_form: bool,
) -> Option<usize> {
    let max = conn.packet_bytes_max;
    if conn.version != Version::V5 {
        let form = Form { ids: &[], ..*form };
        return if shared_form && !form.dup {
            encoder.send_shared(&mut conn.outbox, message, &form, wall_ms, max)
        } else {
            send_one(&mut conn.outbox, message, &form, wall_ms, max)
        };
    }
    let alias = conn.aliases_out.as_mut().map_or(Alias::None, |aliases| aliases.of(message.topic));
    let (alias, alias_only) = match alias {
        Alias::None => (None, false),
        Alias::Set(alias) => (Some(alias), false),
        Alias::Known(alias) => (Some(alias), true),
    };
    if shared_form && alias.is_none() && form.ids.is_empty() && !form.dup {
        return encoder.send_shared(&mut conn.outbox, message, form, wall_ms, max);
    }
    let set = alias.is_some() && !alias_only;
    let form = Form { alias, alias_only, ..*form };
    let sent = send_one(&mut conn.outbox, message, &form, wall_ms, max);
    if sent.is_none()
        && set
        && let Some(aliases) = &mut conn.aliases_out
    {
        aliases.forget(message.topic);
    }
    sent
}

/// The connection's session, if it is attached.
pub(super) fn session_of(conn: Option<&Conn>) -> Option<u32> {
    conn.filter(|conn| conn.phase == Phase::Attached)?.session
}

/// The principal behind a session.
pub(super) fn principal_of(worker: &Worker, place: u32) -> Option<Arc<sluice_dataplane_access::Principal>> {
    worker.sessions.peek(place).map(|session| Arc::clone(&session.principal))
}
