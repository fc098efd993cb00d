//! A client gets its session: a new one, its old one, or its old one from another connection.

use std::sync::Arc;

use bytes::Bytes;
use sluice_dataplane_access::Principal;
use sluice_mqtt::{ConnAck, QoS, ReasonCode, Version, encode};

use super::{Turbulence, Worker, dispatch::Flow};
use crate::{
    ConnId, Event, Key, Now, Op, Output,
    connection::{
        Connecting, Phase, Rare,
        alias::AliasesOut,
        replies::{Reply, Wait},
    },
    peers::{Asker, Frame, workers_of},
    session::{
        Durable, Session, Will,
        outbound::Awaits,
        progress::{encode_identity, encode_will},
    },
    stats::Closed,
};

impl Worker {
    /// Gives an accepted client its session and answers CONNECT once that is stored.
    pub(super) fn attach(
        &mut self,
        now: Now,
        id: ConnId,
        principal: Arc<Principal>,
        expires_wall_ms: Option<u64>,
    ) -> Flow {
        let Some(mut connecting) = self.conns.at(id).and_then(|conn| conn.connecting.take()) else {
            return Flow::Closed;
        };
        let existing = self.by_client.get(&connecting.client_id).copied();
        let existing = existing.and_then(|session| self.release(now, id, session, connecting.clean_start));
        let session = match existing {
            Some(session) => {
                connecting.session_present = true;
                self.resume_session(session, principal, &connecting);
                Some(session)
            }
            None => self.create_session(now, principal, &connecting, id),
        };
        let Some(session) = session else {
            if let Some(conn) = self.conns.at(id) {
                conn.connecting = Some(connecting);
            }
            return self.refuse_connect(now, id, ReasonCode::QuotaExceeded);
        };
        let has_will = self.keep_will(session, connecting.will.take());
        self.bind(id, session, connecting, expires_wall_ms);
        let mut wait = Wait::batch(self.batch_of_session(session, has_will));
        let ticket = self.greet_unheard(&mut wait);
        let Some(number) = self.reply(now, id, Reply::ConnAck, wait) else { return Flow::Next };
        self.peers.expect(ticket, Asker::Reply { conn: id, number }, wait.answers);
        Flow::Pause
    }

    /// The batch that makes true what CONNACK says of a session: it is stored, and one that ended before it does not come
    /// back after a crash.
    fn batch_of_session(&mut self, session: u32, has_will: bool) -> u64 {
        let Some(s) = self.sessions.peek(session) else { return 0 };
        let is_stored = has_will || s.is_persistent();
        let shard = self.sharding.of_client(s.client_id());
        let ended_in = self.shard(shard).session_ended_in;
        if is_stored || ended_in > self.journal.stored() { self.journal.open_batch() } else { 0 }
    }

    /// After a start, no client publishes before every worker has told what its restored sessions want: what they do not
    /// get is lost to them (I13). Returns the ticket that the workers answer.
    fn greet_unheard(&mut self, wait: &mut Wait) -> u64 {
        let unheard = self.peers.unheard();
        if unheard == 0 {
            return 0;
        }
        let ticket = self.peers.next_ticket();
        for worker in workers_of(unheard) {
            self.peers.send(worker, &Frame::Hello { ticket });
            wait.answers += 1;
        }
        ticket
    }

    /// Frees an existing session from its connection, and ends it if a fresh start is wanted. `None` when it is gone.
    fn release(&mut self, now: Now, id: ConnId, session: u32, clean_start: bool) -> Option<u32> {
        let old = self.sessions.peek(session)?.conn;
        if let Some(old) = old {
            self.note_takeover(now, id, old, session);
            self.spare_will_if_resumed(session, clean_start);
            self.disconnect(now, old, ReasonCode::SessionTakenOver, Closed::TakenOver);
        }
        // Without a connection a transient session is gone by now. A restored one may be over and its timer not yet due.
        let durable = self.sessions.peek(session)?.durable.as_ref()?;
        let is_over = durable.detached_wall_ms != 0 && durable.ends_ms <= now.mono_ms;
        if clean_start || is_over {
            self.end_session(now, session);
            return None;
        }
        if let Some(s) = self.sessions.at(session) {
            // Resumed before its will was due [MQTT-3.1.3-9].
            s.will = None;
        }
        Some(session)
    }

    /// A will with a delay is not published when its session is resumed at once [MQTT-3.1.3-9].
    fn spare_will_if_resumed(&mut self, session: u32, clean_start: bool) {
        let Some(s) = self.sessions.at(session) else { return };
        let resumed = !clean_start && s.durable.as_ref().is_some_and(|durable| durable.expiry_s > 0);
        if resumed && s.will.as_ref().is_some_and(|will| will.delay_s > 0) {
            s.will = None;
        }
    }

    fn note_takeover(&mut self, now: Now, id: ConnId, old: ConnId, session: u32) {
        self.stats.takeovers += 1;
        let (client_id, new_peer) = self.name_of(id);
        let client_id = self.sessions.peek(session).map_or(client_id, |s| Arc::clone(s.client_id()));
        let limit = self.settings.takeovers_per_minute_max;
        let turbulence = self.turbulence_of(now, &client_id);
        turbulence.takeovers += 1;
        if limit > 0 && turbulence.takeovers >= limit {
            turbulence.takeovers = 0;
            turbulence.held_until_ms = now.mono_ms + HOLD_MS;
            let old_peer = self.conns.peek(old).and_then(|conn| conn.opened.peer);
            self.outputs.push_back(Output::Log(Event::Flapping { client_id, old: old_peer, new: new_peer }));
        }
    }

    /// A client's will was published: one that leaves wills all the time is held off (BAD_INPUT W7).
    pub(super) fn note_will(&mut self, now: Now, client_id: &Arc<str>) {
        let limit = self.settings.wills_per_minute_max;
        let turbulence = self.turbulence_of(now, client_id);
        turbulence.wills += 1;
        if limit > 0 && turbulence.wills >= limit {
            turbulence.wills = 0;
            turbulence.held_until_ms = now.mono_ms + HOLD_MS;
        }
    }

    fn turbulence_of(&mut self, now: Now, client_id: &Arc<str>) -> &mut Turbulence {
        let minute = now.mono_ms / 60_000;
        let turbulence = self.turbulence.entry(Arc::clone(client_id)).or_default();
        if turbulence.minute != minute {
            *turbulence = Turbulence { minute, held_until_ms: turbulence.held_until_ms, ..Turbulence::default() };
        }
        turbulence
    }

    /// Whether a client id came and went too often and must wait (BAD_INPUT X1, W7).
    pub(super) fn is_held(&self, now: Now, client_id: &str) -> bool {
        self.turbulence.get(client_id).is_some_and(|t| now.mono_ms < t.held_until_ms)
    }

    /// Forgets what happened in past minutes.
    pub(super) fn forget_old_turbulence(&mut self, now: Now) {
        let minute = now.mono_ms / 60_000;
        self.turbulence.retain(|_, t| t.minute == minute || now.mono_ms < t.held_until_ms);
    }

    fn create_session(
        &mut self,
        now: Now,
        principal: Arc<Principal>,
        connecting: &Connecting,
        id: ConnId,
    ) -> Option<u32> {
        let version = self.conns.peek(id).map_or(Version::V5, |conn| conn.version);
        let mut session = Session::new(principal, version);
        if connecting.expiry_s > 0 {
            session.durable = Some(self.new_durable(&session, connecting.expiry_s)?);
        }
        let client_id = Arc::clone(session.client_id());
        let uid = session.durable.as_ref().map(|durable| durable.uid);
        let place = self.sessions.insert(session);
        self.by_client.insert(client_id, place);
        if let Some(uid) = uid {
            self.by_uid.insert(uid, place);
            self.write_identity(place);
        }
        let _ = now;
        Some(place)
    }

    /// The stored part of a new persistent session; `None` when its principal has too many.
    fn new_durable(&mut self, session: &Session, expiry_s: u32) -> Option<Box<Durable>> {
        if !self.store_writable {
            return None;
        }
        if let Some(name) = session.principal.username() {
            if self.quotas.sessions_of(name) >= self.settings.sessions_per_principal_max {
                return None;
            }
            let name = Arc::clone(name);
            self.count_session(&name, 1);
        }
        let shard = self.sharding.of_client(session.client_id());
        let mut ops = std::mem::take(&mut self.journal.ops);
        let uid = self.shard(shard).next_uid(&mut ops);
        self.journal.ops = ops;
        Some(Box::new(Durable {
            shard,
            uid,
            expiry_s,
            detached_wall_ms: 0,
            ends_ms: 0,
            armed_ms: 0,
            dirty: false,
            touched: false,
            next_exchange: 1,
            sent: 0,
            sent_stored: 0,
            gap_seq: 0,
            ended: false,
        }))
    }

    fn resume_session(&mut self, place: u32, principal: Arc<Principal>, connecting: &Connecting) {
        let Some(session) = self.sessions.at(place) else { return };
        session.principal = principal;
        if let Some(durable) = &mut session.durable {
            durable.expiry_s = connecting.expiry_s;
            durable.detached_wall_ms = 0;
            self.stats.sessions_offline = self.stats.sessions_offline.saturating_sub(1);
        }
        self.write_identity(place);
        // Under another name's rights, or narrower ones of its own (BAD_INPUT A6, A10).
        self.check_subscriptions(place);
    }

    /// Keeps the will with the session and in the store: it is published also when this process dies. Whether the
    /// store hears of it.
    fn keep_will(&mut self, place: u32, will: Option<Box<Will>>) -> bool {
        self.forget_stored_will(place);
        let Some(session) = self.sessions.at(place) else { return false };
        session.will = will;
        if session.will.is_none() {
            return false;
        }
        let shard = self.sharding.of_client(session.client_id());
        // A name of its own: the will of the connection before may still be on its way.
        let mut ops = std::mem::take(&mut self.journal.ops);
        let uid = self.shard(shard).next_uid(&mut ops);
        self.journal.ops = ops;
        let Some(session) = self.sessions.at(place) else { return false };
        session.stored_will = Some(uid);
        if let Some(will) = &session.will {
            let value = encode_will(&session.principal, will);
            self.journal.ops.push(Op::Put(Key::Will(shard, uid), value));
        }
        true
    }

    /// Writes who a persistent session is.
    pub(super) fn write_identity(&mut self, place: u32) {
        let Some(session) = self.sessions.peek(place) else { return };
        let Some(durable) = &session.durable else { return };
        let value: Bytes = encode_identity(session, durable);
        self.journal.ops.push(Op::Put(Key::Session(durable.shard, durable.uid), value));
    }

    /// Ties connection and session together; CONNACK is still to come.
    fn bind(&mut self, id: ConnId, place: u32, connecting: Box<Connecting>, expires_wall_ms: Option<u64>) {
        let alias_seed = self.rng.next();
        let Some(conn) = self.conns.at(id) else { return };
        conn.phase = Phase::Attaching;
        conn.session = Some(place);
        if conn.version == Version::V5 && connecting.topic_alias_maximum > 0 && self.settings.topic_alias_out_max > 0 {
            let maximum = connecting.topic_alias_maximum.min(self.settings.topic_alias_out_max);
            conn.aliases_out = Some(Box::new(AliasesOut::new(maximum, alias_seed)));
        }
        if connecting.auth_method.is_some() || expires_wall_ms.is_some() {
            conn.rare = Some(Box::new(Rare {
                auth_method: connecting.auth_method.clone(),
                reauthenticating: false,
                expires_wall_ms: expires_wall_ms.unwrap_or(0),
            }));
        }
        let version = conn.version;
        let claim = self.claim_of(&connecting.client_id);
        let Some(conn) = self.conns.at(id) else { return };
        let window = connecting.receive_maximum.min(self.settings.outbound_window_max).max(1);
        conn.connecting = Some(connecting);
        if let Some(session) = self.sessions.at(place) {
            session.conn = Some(id);
            session.version = version;
            session.window_max = window;
            session.claim = claim;
        }
    }

    /// Sends CONNACK and lets messages flow.
    pub(super) fn finish_attaching(&mut self, now: Now, id: ConnId) {
        let Some(connecting) = self.conns.at(id).and_then(|conn| conn.connecting.take()) else { return };
        self.write_connack(id, &connecting);
        let Some(conn) = self.conns.at(id) else { return };
        conn.phase = Phase::Attached;
        conn.heard_ms = now.mono_ms;
        conn.silence_max_ms = u32::from(connecting.keep_alive_s) * 1500;
        let due_ms = now.mono_ms + u64::from(conn.silence_max_ms);
        let has_deadline = conn.silence_max_ms > 0;
        let protocol = protocol_index(conn.version);
        let (listener, session, peer) = (conn.opened.listener, conn.session, conn.opened.peer);
        if has_deadline {
            self.arm(id, due_ms);
        }
        if let Some(by_protocol) = self.stats.connections.get_mut(usize::from(listener)) {
            by_protocol[protocol] += 1;
        }
        self.stats.sessions_connected += 1;
        let client_id = connecting.client_id;
        self.outputs.push_back(Output::Log(Event::Connected { client_id, peer }));
        self.resume(id);
        if let Some(place) = session {
            self.send_again(now, id, place);
            self.tell_groups(place);
            let groups = self.groups_waiting_for(place);
            self.hand_over_waiting(now, &groups);
        }
    }

    fn write_connack(&mut self, id: ConnId, connecting: &Connecting) {
        let settings = Arc::clone(&self.settings);
        let Some(conn) = self.conns.peek(id) else { return };
        let listener = settings.listeners.get(usize::from(conn.opened.listener));
        let response = listener.map(|l| l.response_information.as_str()).filter(|r| !r.is_empty());
        let unless = |available: bool| (!available).then_some(false);
        let mut connack = ConnAck::new(connecting.session_present, ReasonCode::Success);
        let properties = &mut connack.properties;
        properties.session_expiry = connecting.expiry_capped.then_some(connecting.expiry_s);
        properties.receive_maximum = (settings.receive_maximum < u16::MAX).then_some(settings.receive_maximum);
        properties.maximum_qos = QoS::from_bits(settings.qos_max).filter(|&qos| qos != QoS::ExactlyOnce);
        properties.retain_available = unless(settings.retain_available);
        properties.maximum_packet_size = Some(self.packet_bytes_max(conn.opened.listener));
        properties.assigned_client_id = connecting.assigned.then_some(&*connecting.client_id);
        properties.topic_alias_maximum = (settings.topic_alias_in_max > 0).then_some(settings.topic_alias_in_max);
        properties.wildcard_subscriptions_available = unless(settings.wildcard_available);
        properties.shared_subscriptions_available = unless(settings.shared_available);
        properties.server_keep_alive = connecting.keep_alive_changed.then_some(connecting.keep_alive_s);
        properties.response_information = response.filter(|_| connecting.response_information);
        properties.auth_method = connecting.auth_method.as_deref();
        properties.auth_data = connecting.auth_data.as_deref();
        self.write(id, |out, version| encode::connack(out, version, &connack));
    }

    /// Sends what a resumed session is owed: PUBREL for what was released, then unacknowledged messages in their old
    /// order under their old packet ids [MQTT-4.4.0-1], then what waits.
    fn send_again(&mut self, now: Now, id: ConnId, place: u32) {
        let Some(session) = self.sessions.at(place) else { return };
        session.outbound.rewind();
        let released: Vec<u16> =
            session.outbound.window.iter().filter(|i| i.awaits == Awaits::Comp).map(|i| i.packet_id).collect();
        for packet_id in released {
            self.reply(now, id, Reply::PubRel(packet_id, ReasonCode::Success), Wait::NOTHING);
        }
        self.pump(now, place);
    }
}

/// How long a client id is held after going back and forth.
const HOLD_MS: u64 = 30_000;

/// The place of a protocol in [`crate::Stats::connections`].
pub(super) fn protocol_index(version: Version) -> usize {
    match version {
        Version::V31 => 0,
        Version::V311 => 1,
        Version::V5 => 2,
    }
}
