//! A connection is gone; perhaps its session too.

use std::sync::Arc;

use sluice_mqtt::{Disconnect, ReasonCode, Version};

use super::{Worker, attach::protocol_index};
use crate::{
    AuthRequest, ConnId, Event, Now, Output,
    auth::{Enhanced, Step},
    connection::{Conn, Phase},
    peers::{Frame, workers_of},
    stats::{BadInput, Closed},
    timers::Timer,
};

impl Worker {
    /// Ends the MQTT life of a connection: its session is freed, its will may be published. The socket follows.
    pub(super) fn detach(&mut self, now: Now, id: ConnId, closed: Closed) {
        let (client_id, peer) = self.name_of(id);
        let Some(conn) = self.conns.at(id) else { return };
        let was = conn.phase;
        conn.phase = Phase::Closing;
        conn.closed = closed;
        conn.replies = None;
        conn.fetches = None;
        let claiming = conn.connecting.as_mut().and_then(|connecting| connecting.claiming.take());
        let exchange = conn.connecting.as_ref().is_some_and(|c| c.auth_method.is_some())
            || conn.rare.as_ref().is_some_and(|rare| rare.reauthenticating);
        let (listener, version, session) = (conn.opened.listener, conn.version, conn.session.take());
        self.stats.closed[closed as usize] += 1;
        if let Some(claiming) = claiming {
            self.abandon_claim(&claiming);
        }
        if exchange {
            self.abandon_exchange(id, Arc::clone(&client_id));
        }
        if was == Phase::Attached {
            if let Some(by_protocol) = self.stats.connections.get_mut(usize::from(listener)) {
                by_protocol[protocol_index(version)] -= 1;
            }
            self.stats.sessions_connected -= 1;
        }
        let log = Event::Disconnected { client_id, peer, reason: closed.name() };
        self.outputs.push_back(Output::Log(log));
        if let Some(place) = session {
            self.detach_session(now, id, place, closed);
        }
    }

    fn abandon_exchange(&mut self, id: ConnId, client_id: Arc<str>) {
        let enhanced = Enhanced { method: Box::default(), data: Box::default(), step: Step::Abandoned };
        let request = AuthRequest {
            listener: 0,
            peer: None,
            client_id,
            username: None,
            password: None,
            certificate: None,
            enhanced: Some(enhanced),
        };
        self.outputs.push_back(Output::Authenticate { conn: id, request: Box::new(request) });
    }

    fn detach_session(&mut self, now: Now, id: ConnId, place: u32, closed: Closed) {
        let Some(session) = self.sessions.at(place) else { return };
        if session.conn != Some(id) {
            return;
        }
        session.conn = None;
        session.stalled_since_ms = 0;
        session.stalled = false;
        if closed == Closed::Normal {
            session.will = None;
        }
        let expiry_s = session.durable.as_ref().map_or(0, |durable| durable.expiry_s);
        if expiry_s == 0 {
            self.end_session(now, place);
            return;
        }
        self.tell_groups(place);
        self.redistribute(now, place);
        let Some(session) = self.sessions.at(place) else { return };
        let end_ms = now.mono_ms + u64::from(expiry_s) * 1000;
        if let Some(durable) = &mut session.durable {
            durable.detached_wall_ms = now.wall_ms.max(1);
            durable.ends_ms = end_ms;
            self.stats.sessions_offline += 1;
        }
        self.arm_session(place, end_ms);
        self.write_identity(place);
        self.start_will(now, place, closed);
    }

    /// The will of a session that goes on without its connection: published now, or when its delay is over.
    fn start_will(&mut self, now: Now, place: u32, closed: Closed) {
        let Some(session) = self.sessions.at(place) else { return };
        let expiry_s = session.durable.as_ref().map_or(0, |durable| durable.expiry_s);
        let Some(will) = &mut session.will else {
            self.forget_stored_will(place);
            return;
        };
        let delay_s = will.delay_s.min(expiry_s);
        if delay_s == 0 || closed == Closed::TakenOver {
            self.publish_will(now, place);
            return;
        }
        will.due_ms = now.mono_ms + u64::from(delay_s) * 1000;
        let due_ms = will.due_ms;
        self.arm_session(place, due_ms);
    }

    /// Lets the timer of a session that has no connection come up at a time, unless it does so earlier.
    pub(super) fn arm_session(&mut self, place: u32, at_ms: u64) {
        let Some(session) = self.sessions.at(place) else { return };
        let timer = Timer::Session { session: place, serial: session.serial };
        let Some(durable) = &mut session.durable else { return };
        if durable.armed_ms == 0 || at_ms < durable.armed_ms {
            durable.armed_ms = at_ms;
            self.timers.set(at_ms, timer);
        }
    }

    /// A session's timer came up: its will or its end may be due.
    pub(super) fn on_session_timer(&mut self, now: Now, place: u32, serial: u64) {
        let Some(session) = self.sessions.at(place) else { return };
        let Some(durable) = session.durable.as_mut() else { return };
        if session.serial != serial || durable.armed_ms > now.mono_ms {
            return;
        }
        durable.armed_ms = 0;
        if session.conn.is_some() {
            return;
        }
        let will_due_ms = session.will_due_ms();
        if self.has_ended(place) {
            self.pass_on_again(now, place);
            return;
        }
        if will_due_ms.is_some_and(|due| due <= now.mono_ms) {
            self.publish_will(now, place);
        }
        let Some(session) = self.sessions.peek(place) else { return };
        let Some(durable) = &session.durable else { return };
        if durable.ends_ms <= now.mono_ms {
            self.stats.sessions_expired += 1;
            self.end_session(now, place);
        } else {
            let next_ms = session.will_due_ms().map_or(durable.ends_ms, |due_ms| due_ms.min(durable.ends_ms));
            self.arm_session(place, next_ms);
        }
    }

    /// Counts a persistent session of a principal, and tells the other workers: its quota is one for all of them.
    pub(super) fn count_session(&mut self, principal: &str, by: i32) {
        let count = self.quotas.add(principal, by);
        for worker in workers_of(self.peers.everyone()) {
            self.peers.send(worker, &Frame::Sessions { count, principal });
        }
    }

    /// Changes how long a session outlives its connection, as DISCONNECT may. `false` when that is not allowed: from
    /// nothing to something [MQTT-3.14.2-2].
    pub(super) fn change_expiry(&mut self, id: ConnId, expiry_s: u32) -> bool {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return true };
        let cap = self.settings.session_expiry_max_s;
        let Some(session) = self.sessions.at(place) else { return true };
        match &mut session.durable {
            None => expiry_s == 0,
            Some(durable) if durable.expiry_s == 0 => expiry_s == 0,
            Some(durable) => {
                durable.expiry_s = expiry_s.min(cap);
                true
            }
        }
    }

    /// DISCONNECT 0x00 takes the will away [MQTT-3.14.4-3].
    pub(super) fn drop_will(&mut self, id: ConnId) {
        let Some(place) = self.conns.peek(id).and_then(|conn| conn.session) else { return };
        if let Some(session) = self.sessions.at(place) {
            session.will = None;
        }
        self.forget_stored_will(place);
    }

    /// Lets a connection's timer come up at a time, unless it does so earlier.
    pub(super) fn arm(&mut self, id: ConnId, at_ms: u64) {
        let Some(conn) = self.conns.at(id) else { return };
        if conn.armed_ms == 0 || at_ms < conn.armed_ms {
            conn.armed_ms = at_ms;
            self.timers.set(at_ms, Timer::Conn(id));
        }
    }

    /// A connection's timer came up: look at everything that may have run out.
    pub(super) fn on_conn_timer(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.at(id) else { return };
        if conn.armed_ms > now.mono_ms {
            return;
        }
        conn.armed_ms = 0;
        match conn.phase {
            Phase::Closing => {}
            Phase::Fresh | Phase::Authenticating | Phase::Attaching => {
                self.count_bad(BadInput::Deadline);
                self.abort(now, id, Closed::ConnectTimeout);
            }
            Phase::Attached => self.check_deadlines(now, id),
        }
    }

    fn check_deadlines(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.at(id) else { return };
        let resumes = conn.resume_at_ms != 0 && conn.resume_at_ms <= now.mono_ms;
        if resumes {
            conn.resume_at_ms = 0;
            conn.heard_ms = now.mono_ms;
            self.resume(id);
        }
        let Some(conn) = self.conns.at(id) else { return };
        if conn.paused && !conn.blocked {
            // Nothing can be heard from a client that is not read. One that does not read itself is not spared.
            conn.heard_ms = now.mono_ms;
        }
        let deadlines = Deadlines::of(conn, now, self.settings.packet_deadline_ms);
        if deadlines.silence_ms.min(deadlines.packet_ms) <= now.mono_ms {
            self.count_bad(BadInput::Deadline);
            self.disconnect(now, id, ReasonCode::KeepAliveTimeout, Closed::KeepAliveTimeout);
        } else if deadlines.credentials_ms <= now.mono_ms {
            self.disconnect(now, id, ReasonCode::NotAuthorized, Closed::NotAuthorized);
        } else if let Some(next_ms) = deadlines.next_ms() {
            self.arm(id, next_ms);
        }
    }

    /// Disconnects everybody at a steady rate, because the node is going down.
    pub(super) fn on_drain(&mut self, now: Now, per_second: u32, server_reference: Option<Arc<str>>) {
        self.draining = Some(server_reference.unwrap_or_else(|| Arc::from("")));
        self.housekeeping.stay();
        let ids = self.conns.ids();
        if per_second == 0 {
            ids.into_iter().for_each(|id| self.send_away(now, id));
        } else {
            self.leave(now, &ids, per_second);
        }
    }

    /// Disconnects one client because the node is going down.
    pub(super) fn send_away(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.peek(id) else { return };
        if conn.phase == Phase::Attached && conn.version == Version::V5 {
            let own = self.draining.as_deref().filter(|reference| !reference.is_empty());
            let reference = own.map_or_else(|| self.other_nodes(conn), str::to_owned);
            let reference = Some(reference).filter(|reference| !reference.is_empty());
            let reason =
                if reference.is_some() { ReasonCode::UseAnotherServer } else { ReasonCode::ServerShuttingDown };
            let mut disconnect = Disconnect::new(reason);
            disconnect.properties.server_reference = reference.as_deref();
            self.write_disconnect(id, &disconnect, None);
        }
        self.abort(now, id, Closed::ShuttingDown);
    }
}

/// What may run out for an attached connection, in monotonic ms; `u64::MAX` = never.
struct Deadlines {
    silence_ms: u64,
    packet_ms: u64,
    credentials_ms: u64,
    resume_ms: u64,
}

impl Deadlines {
    fn of(conn: &Conn, now: Now, packet_deadline_ms: u64) -> Self {
        let or_never = |set: bool, at_ms: u64| if set { at_ms } else { u64::MAX };
        let expires_wall_ms = conn.rare.as_ref().map_or(0, |rare| rare.expires_wall_ms);
        Self {
            silence_ms: or_never(conn.silence_max_ms > 0, conn.heard_ms + u64::from(conn.silence_max_ms)),
            packet_ms: or_never(conn.partial_since_ms > 0, conn.partial_since_ms + packet_deadline_ms),
            credentials_ms: or_never(expires_wall_ms > 0, now.mono_ms + expires_wall_ms.saturating_sub(now.wall_ms)),
            resume_ms: or_never(conn.resume_at_ms > 0, conn.resume_at_ms),
        }
    }

    fn next_ms(&self) -> Option<u64> {
        let next = self.silence_ms.min(self.packet_ms).min(self.credentials_ms).min(self.resume_ms);
        (next < u64::MAX).then_some(next)
    }
}
