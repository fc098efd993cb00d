//! PUBLISH and PUBREL from a client.

use std::sync::Arc;

use sluice_cluster::WorkerId;
use sluice_mqtt::{Publish, QoS, ReasonCode, Version, decode_publish};
use sluice_topic::{TopicError, check_topic};

use super::{
    Worker,
    connect::{is_above, is_reserved},
    dispatch::Flow,
    route::Routed,
};
use crate::{
    ConnId, Event, Now, Output,
    connection::replies::{Reply, Wait},
    message::{MessageId, MessageRef},
    peers::{Asker, workers_of},
    record::publisher,
    session::Received,
    stats::{BadInput, Closed, Dropped},
    subscriptions::Matched,
};

/// How long a publisher is not read after a message that went to a queue nearly full.
const PRESS_BACK_MS: u64 = 20;

/// Why a PUBLISH goes no further.
enum Stop {
    /// The connection ends with this reason.
    Disconnect(ReasonCode, Closed),
    /// The message is dropped; its acknowledgement says this.
    Drop(ReasonCode, Dropped),
}

impl Worker {
    /// PUBLISH.
    pub(super) fn on_publish(&mut self, now: Now, id: ConnId, version: Version, first: u8, body: &[u8]) -> Flow {
        let publish = match decode_publish(version, first, body) {
            Ok(publish) => publish,
            Err(error) => return self.on_decode_error(now, id, error.reason),
        };
        if let Some(flow) = self.hold_back(now, id, &publish, body.len()) {
            return flow;
        }
        if publish.properties.topic_alias.is_some() {
            return self.on_aliased(now, id, &publish);
        }
        self.on_named(now, id, &publish, publish.topic)
    }

    /// A PUBLISH with a topic alias: the alias is set or looked up [MQTT-3.3.2-7].
    fn on_aliased(&mut self, now: Now, id: ConnId, publish: &Publish<'_>) -> Flow {
        let alias = publish.properties.topic_alias.unwrap_or(0);
        if alias == 0 || alias > self.settings.topic_alias_in_max {
            return self.stop(
                now,
                id,
                publish,
                publish.topic,
                Stop::Disconnect(ReasonCode::TopicAliasInvalid, Closed::ProtocolError),
            );
        }
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        let aliases = conn.aliases_in.get_or_insert_default();
        if !publish.topic.is_empty() {
            aliases.set(alias, publish.topic);
            return self.on_named(now, id, publish, publish.topic);
        }
        let Some(topic) = aliases.topic(alias).map(Box::<str>::from) else {
            return self.stop(
                now,
                id,
                publish,
                publish.topic,
                Stop::Disconnect(ReasonCode::ProtocolError, Closed::ProtocolError),
            );
        };
        self.on_named(now, id, publish, &topic)
    }

    /// Stops reading from a client that is too fast, and one that has as many unacknowledged messages as it may.
    fn hold_back(&mut self, now: Now, id: ConnId, publish: &Publish<'_>, bytes: usize) -> Option<Flow> {
        if publish.qos != QoS::AtMostOnce {
            let conn = self.conns.peek(id)?;
            let known = publish.qos == QoS::ExactlyOnce
                && conn
                    .session
                    .and_then(|s| self.sessions.peek(s))
                    .is_some_and(|s| s.received.iter().any(|r| r.packet_id == publish.packet_id));
            if !known && self.unacknowledged(conn) >= self.window_of(conn) {
                return Some(self.on_window_exceeded(now, id, publish));
            }
        }
        let (publishes, byte_rate) = (u64::from(self.settings.publish_rate_max), self.settings.bytes_rate_max);
        if publishes == 0 && byte_rate == 0 {
            return None;
        }
        let conn = self.conns.at(id)?;
        if conn.resume_at_ms > now.mono_ms {
            return Some(Flow::Again);
        }
        let mut wait_ms = 0;
        if publishes > 0 {
            wait_ms = conn.rates.publishes.take(now.mono_ms, 1, publishes);
        }
        if byte_rate > 0 {
            wait_ms = wait_ms.max(conn.rates.bytes.take(now.mono_ms, bytes as u64, byte_rate));
        }
        if wait_ms > 0 {
            conn.resume_at_ms = now.mono_ms + wait_ms;
            let at_ms = conn.resume_at_ms;
            self.arm(id, at_ms);
        }
        None
    }

    /// More unacknowledged messages than Receive Maximum: version 5 clients know better [MQTT-3.3.4-9]; others are read
    /// no further until some are acknowledged.
    fn on_window_exceeded(&mut self, now: Now, id: ConnId, publish: &Publish<'_>) -> Flow {
        let Some(conn) = self.conns.peek(id) else { return Flow::Closed };
        let only_exchanges = conn.replies.is_none();
        if conn.version == Version::V5 || only_exchanges {
            // QoS 2 exchanges that a version 3 client never completes would hold it for ever.
            let stop = Stop::Disconnect(ReasonCode::ReceiveMaximumExceeded, Closed::ReceiveMaximumExceeded);
            self.count_bad(BadInput::Quota);
            return self.stop(now, id, publish, publish.topic, stop);
        }
        Flow::Again
    }

    fn on_named(&mut self, now: Now, id: ConnId, publish: &Publish<'_>, topic: &str) -> Flow {
        let timed = self.sampling.is_due();
        if timed {
            self.begin_timing();
        }
        let flow = self.on_counted(now, id, publish, topic);
        if timed {
            self.end_timing();
        }
        flow
    }

    #[inline]
    fn on_counted(&mut self, now: Now, id: ConnId, publish: &Publish<'_>, topic: &str) -> Flow {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return Flow::Closed };
        self.stats.messages_received[publish.qos as usize] += 1;
        self.stats.payload_bytes_received += publish.payload.len() as u64;
        if publish.qos == QoS::ExactlyOnce
            && let Some(flow) = self.on_known_exchange(now, id, place, publish, topic)
        {
            return flow;
        }
        let matched = match self.check_publish(place, publish, topic) {
            Ok(matched) => matched,
            Err(stop) => return self.stop(now, id, publish, topic, stop),
        };
        self.take_message(now, id, place, publish, topic, &matched)
    }

    /// Routes a message and sees to its acknowledgement.
    fn take_message(
        &mut self,
        now: Now,
        id: ConnId,
        place: u32,
        publish: &Publish<'_>,
        topic: &str,
        matched: &Arc<Matched>,
    ) -> Flow {
        let mut scratch = Vec::new();
        let forward = publish.properties.forward_slice().unwrap_or_else(|| {
            publish.properties.forward_into(&mut scratch);
            &scratch
        });
        let expiry_s = publish.properties.message_expiry;
        let mut message = MessageRef {
            topic,
            forward,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires_wall_ms: expiry_s.map_or(0, |s| now.wall_ms + u64::from(s) * 1000),
            id: None,
        };
        if publish.qos == QoS::ExactlyOnce {
            let home = self.home_of_topic(topic);
            let home_of_register = (publish.retain && home != self.id).then_some(home);
            // Only an exchange that outlives its connection is compared with what comes again.
            let persistent = self.sessions.peek(place).is_some_and(|s| s.is_persistent());
            let digest = if persistent { content_digest(topic, publish.payload) } else { 0 };
            message.id = self.begin_exchange(place, publish.packet_id, matched, home_of_register, digest);
        }
        let routed = self.publish_to(now, &message, matched, Some(place));
        self.acknowledge(now, id, place, publish, topic, &routed);
        self.press_back(now, id);
        let held = self.conns.peek(id).is_none_or(|conn| conn.resume_at_ms > now.mono_ms);
        match self.conns.peek(id).map(|conn| conn.phase) {
            Some(crate::connection::Phase::Attached) if held => Flow::Pause,
            Some(crate::connection::Phase::Attached) => Flow::Next,
            _ => Flow::Closed,
        }
    }

    /// Slows a publisher down that fills the queue of a connected subscriber.
    fn press_back(&mut self, now: Now, id: ConnId) {
        if std::mem::take(&mut self.pressing)
            && let Some(conn) = self.conns.at(id)
        {
            conn.resume_at_ms = conn.resume_at_ms.max(now.mono_ms + PRESS_BACK_MS);
            let at_ms = conn.resume_at_ms;
            self.arm(id, at_ms);
        }
    }

    /// Acknowledges a message when everybody who must has it.
    fn acknowledge(&mut self, now: Now, id: ConnId, place: u32, publish: &Publish<'_>, topic: &str, routed: &Routed) {
        let reason = match routed.refused {
            Some(reason) => reason,
            None if routed.matched => ReasonCode::Success,
            None => ReasonCode::NoMatchingSubscribers,
        };
        let mut wait = Wait { answers: routed.answers, ..Wait::NOTHING };
        let persistent = self.sessions.peek(place).is_some_and(|s| s.is_persistent());
        let reply = match publish.qos {
            QoS::AtMostOnce => return,
            qos if reason.is_error() => refusal(qos, publish.packet_id, reason, topic),
            QoS::AtLeastOnce => Reply::PubAck(publish.packet_id, reason),
            QoS::ExactlyOnce => Reply::PubRec(publish.packet_id, reason),
        };
        // A persistent publisher's exchange is on stable storage before PUBREC, whoever subscribes.
        if routed.stored || (persistent && publish.qos == QoS::ExactlyOnce) {
            wait.batch = self.journal.open_batch();
        }
        if reason.is_error() {
            self.end_exchange(place, publish.packet_id);
            if self.conns.peek(id).is_some_and(|conn| conn.version != Version::V5) {
                self.refuse_silently(now, id);
                return;
            }
        }
        if let Some(number) = self.reply(now, id, reply, wait) {
            self.peers.expect(routed.ticket, Asker::Reply { conn: id, number }, routed.answers);
        }
    }

    /// A version 3 client cannot be told that its message was not taken: it gets no acknowledgement, and loses its
    /// connection so that it tries again.
    pub(super) fn refuse_silently(&mut self, now: Now, id: ConnId) {
        self.disconnect(now, id, ReasonCode::QuotaExceeded, Closed::QuotaExceeded);
    }

    /// Other workers refused a message, and its client, which cannot be told, will send it again. An exchange that they know
    /// by an id goes on: those who have stored the message recognise it then (I15).
    pub(super) fn note_refused(&mut self, id: ConnId, packet_id: u16) {
        let place = self.conns.peek(id).and_then(|conn| conn.session);
        let Some((place, session)) = place.and_then(|place| Some((place, self.sessions.at(place)?))) else { return };
        let goes_on = session.is_persistent() && session.find_received(packet_id).is_some_and(|r| r.crosses);
        if !goes_on {
            self.end_exchange(place, packet_id);
        }
    }

    /// A message was refused: its packet id is free at once, and a repetition is a new message.
    fn end_exchange(&mut self, place: u32, packet_id: u16) {
        let Some(session) = self.sessions.at(place) else { return };
        let before = session.received.len();
        session.received.retain(|r| r.packet_id != packet_id);
        if session.received.len() < before && session.is_persistent() {
            self.note_progress(place);
        }
    }

    /// Whether a message may be published; to whom it goes.
    fn check_publish(&mut self, place: u32, publish: &Publish<'_>, topic: &str) -> Result<Arc<Matched>, Stop> {
        let settings = &self.settings;
        if is_above(publish.qos, settings.qos_max) {
            return Err(Stop::Disconnect(ReasonCode::QoSNotSupported, Closed::ProtocolError));
        }
        if publish.retain && !settings.retain_available {
            return Err(Stop::Disconnect(ReasonCode::RetainNotSupported, Closed::ProtocolError));
        }
        if is_reserved(topic) {
            return Err(Stop::Drop(ReasonCode::NotAuthorized, Dropped::BadTopic));
        }
        self.check_properties(publish)?;
        // What is timed is matched in one go.
        let known = if self.sampling.is_timing() { None } else { self.subscriptions.known(topic) };
        if known.is_none() {
            self.check_topic(publish, topic)?;
        }
        if !self.may_publish(place, publish, topic) {
            return Err(Stop::Drop(ReasonCode::NotAuthorized, Dropped::Denied));
        }
        Ok(known.unwrap_or_else(|| self.match_topic(topic)))
    }

    fn check_properties(&self, publish: &Publish<'_>) -> Result<(), Stop> {
        let properties = &publish.properties;
        if properties.raw.is_empty() {
            return Ok(());
        }
        let users = &properties.user_properties;
        if users.len() > self.settings.user_properties_max
            || users.encoded_len() > self.settings.user_properties_bytes_max
        {
            return Err(Stop::Disconnect(ReasonCode::QuotaExceeded, Closed::QuotaExceeded));
        }
        let says_text = properties.payload_format == Some(1);
        if self.settings.validate_payload_format && says_text && std::str::from_utf8(publish.payload).is_err() {
            return Err(Stop::Drop(ReasonCode::PayloadFormatInvalid, Dropped::BadTopic));
        }
        Ok(())
    }

    fn check_topic(&mut self, publish: &Publish<'_>, topic: &str) -> Result<(), Stop> {
        match check_topic(topic, &self.topic_limits) {
            Ok(()) => Ok(()),
            Err(TopicError::TooLong { .. } | TopicError::TooManyLevels { .. }) if publish.qos != QoS::AtMostOnce => {
                self.count_bad(BadInput::Topic);
                Err(Stop::Drop(ReasonCode::TopicNameInvalid, Dropped::BadTopic))
            }
            Err(_) => {
                self.count_bad(BadInput::Topic);
                Err(Stop::Disconnect(ReasonCode::TopicNameInvalid, Closed::ProtocolError))
            }
        }
    }

    #[inline]
    fn may_publish(&mut self, place: u32, publish: &Publish<'_>, topic: &str) -> bool {
        let Some(session) = self.sessions.peek(place) else { return false };
        let principal = &session.principal;
        if self.rules.is_open(principal)
            || self.rules.publish(principal, topic, publish.qos.bits(), publish.retain).allowed
        {
            return true;
        }
        self.stats.denied[1] += 1;
        let client_id = Arc::clone(principal.client_id());
        self.outputs.push_back(Output::Log(Event::Denied { client_id, action: "publish", topic: topic.into() }));
        false
    }

    fn stop(&mut self, now: Now, id: ConnId, publish: &Publish<'_>, topic: &str, stop: Stop) -> Flow {
        match stop {
            Stop::Disconnect(reason, closed) => {
                if closed == Closed::ProtocolError {
                    self.count_bad(BadInput::Protocol);
                }
                self.disconnect(now, id, reason, closed);
                Flow::Closed
            }
            Stop::Drop(reason, cause) => {
                self.stats.dropped[cause as usize] += 1;
                if publish.qos != QoS::AtMostOnce {
                    self.reply(now, id, refusal(publish.qos, publish.packet_id, reason, topic), Wait::NOTHING);
                }
                Flow::Next
            }
        }
    }

    /// Notes a new QoS 2 exchange: its packet id is known until PUBREL, whatever DUP says [MQTT-4.3.3-10]. Gives the
    /// message an id where other workers store it for a publisher that may come back after a crash. `home_of_register`: who
    /// has its topic's register, if another worker has and the message is for it.
    fn begin_exchange(
        &mut self,
        place: u32,
        packet_id: u16,
        matched: &Matched,
        home_of_register: Option<WorkerId>,
        digest: u64,
    ) -> Option<MessageId> {
        let subscriptions = &mut self.subscriptions;
        let mut groups = matched.groups.iter();
        let shared = groups.any(|&id| subscriptions.group(id).is_some_and(|group| group.is_elsewhere()));
        let gate = self.gate();
        let at_gate = home_of_register == Some(gate)
            || workers_of(matched.durable_peers).any(|worker| worker == gate)
            || (self.settings.has_gate && shared);
        let session = self.sessions.at(place)?;
        let (number, crosses) = match session.durable.as_mut() {
            Some(durable) => {
                durable.next_exchange += 1;
                let elsewhere = matched.durable_peers != 0 || shared || home_of_register.is_some();
                (durable.next_exchange - 1, elsewhere)
            }
            // Workers of this node end with the session; another node that is killed may have stored the message.
            None => {
                self.next_exchange += 1;
                (self.next_exchange, at_gate)
            }
        };
        session.received.push(Received { packet_id, number, routed: false, crosses, digest });
        let lowest = session.received.first().map_or(number, |r| r.number);
        let (durable, serial) = (session.durable.as_ref().map(|durable| durable.uid), session.serial);
        let publisher = durable.unwrap_or_else(|| publisher::transient(self.process, serial));
        if durable.is_some() {
            self.note_progress(place);
        }
        crosses.then_some(MessageId { publisher, number, lowest })
    }

    /// A QoS 2 PUBLISH whose packet id is in use: the message is not routed to anybody again. `None` = it is new.
    fn on_known_exchange(
        &mut self,
        now: Now,
        id: ConnId,
        place: u32,
        publish: &Publish<'_>,
        topic: &str,
    ) -> Option<Flow> {
        let session = self.sessions.at(place)?;
        let received = *session.find_received(publish.packet_id)?;
        let uid = session.durable.as_ref().map(|durable| durable.uid);
        let lowest = session.received.first().map_or(received.number, |r| r.number);
        if received.routed || uid.is_none() {
            self.reply(now, id, Reply::PubRec(publish.packet_id, ReasonCode::Success), Wait::NOTHING);
            return Some(Flow::Next);
        }
        if !received.crosses {
            // All of it is in one batch with the packet id.
            let wait = Wait::batch(self.journal.open_batch());
            self.reply(now, id, Reply::PubRec(publish.packet_id, ReasonCode::Success), wait);
            return Some(Flow::Next);
        }
        // Begun before a crash or a lost connection and perhaps not with everybody: routed again under its id, which
        // every shard that has it recognises. It must be that very message, and still be allowed.
        if received.digest != content_digest(topic, publish.payload) {
            self.count_bad(BadInput::Protocol);
            let refusal = refusal(publish.qos, publish.packet_id, ReasonCode::PacketIdentifierInUse, topic);
            self.reply(now, id, refusal, Wait::NOTHING);
            return Some(Flow::Next);
        }
        let matched = match self.check_publish(place, publish, topic) {
            Ok(matched) => matched,
            Err(stop) => return Some(self.stop(now, id, publish, topic, stop)),
        };
        let mut forward = Vec::new();
        publish.properties.forward_into(&mut forward);
        let expiry_s = publish.properties.message_expiry;
        let message = MessageRef {
            topic,
            forward: &forward,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires_wall_ms: expiry_s.map_or(0, |s| now.wall_ms + u64::from(s) * 1000),
            id: uid.map(|publisher| MessageId { publisher, number: received.number, lowest }),
        };
        let routed = self.publish_again(now, &message, &matched);
        self.acknowledge(now, id, place, publish, topic, &routed);
        Some(Flow::Next)
    }

    /// PUBREC has left: the exchange is with everybody.
    pub(super) fn note_routed(&mut self, id: ConnId, packet_id: u16, reason: ReasonCode) {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return };
        let Some(session) = self.sessions.at(place) else { return };
        if reason.is_error() {
            self.end_exchange(place, packet_id);
            return;
        }
        if let Some(received) = session.find_received(packet_id) {
            received.routed = true;
        }
        if session.is_persistent() {
            self.note_progress(place);
        }
    }

    /// PUBREL: the exchange is over; for a persistent session once that is on stable storage, since the packet id may
    /// come again for another message.
    pub(super) fn on_pubrel(&mut self, now: Now, id: ConnId, packet_id: u16) -> Flow {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return Flow::Closed };
        let Some(session) = self.sessions.at(place) else { return Flow::Closed };
        let at = session.received.iter().position(|r| r.packet_id == packet_id);
        let known = at.map(|at| session.received.remove(at)).is_some();
        if session.received.is_empty() && session.received.capacity() > 16 {
            session.received = Vec::new();
        }
        let persistent = session.is_persistent();
        if !known {
            self.count_bad(BadInput::UnknownPacketId);
            self.reply(now, id, Reply::PubComp(packet_id, ReasonCode::PacketIdentifierNotFound), Wait::NOTHING);
            return Flow::Next;
        }
        let wait = if persistent { Wait::batch(self.journal.open_batch()) } else { Wait::NOTHING };
        if persistent {
            self.note_progress(place);
        }
        self.reply(now, id, Reply::PubComp(packet_id, ReasonCode::Success), wait);
        Flow::Next
    }
}

fn refusal(qos: QoS, packet_id: u16, reason: ReasonCode, topic: &str) -> Reply {
    Reply::Refused { packet_id, qos, reason, topic: topic.into() }
}

/// Tells a repetition of a message from another one under the same packet id. Part of the stored format.
fn content_digest(topic: &str, payload: &[u8]) -> u64 {
    sluice_cluster::stable_hash(payload) ^ sluice_cluster::stable_hash(topic.as_bytes()).rotate_left(32)
}
