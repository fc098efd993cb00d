//! CONNECT: what can be refused without asking anybody.

use std::sync::Arc;

use sluice_mqtt::{
    ConnAck, Connect, ConnectLimits, DecodeErrorKind, Packet, PacketType, QoS, ReasonCode, Version, Will as WillPacket,
    decode, decode_connect,
};
use sluice_topic::check_topic;

use super::{Worker, dispatch::Flow};
use crate::{
    ConnId, Event, Now, Output,
    connection::{Connecting, Phase},
    homes::Home,
    message::MessageRef,
    session::Will,
    stats::{BadInput, Closed},
};

/// Ids that are made until one falls to a shard of this node.
const HOME_TRIES: u32 = 1000;

impl Worker {
    /// The first packet of a connection must be CONNECT [MQTT-3.1.0-1].
    pub(super) fn on_first_packet(&mut self, now: Now, id: ConnId, first: u8, body: &[u8]) -> Flow {
        if first != PacketType::Connect.first() {
            self.count_bad(BadInput::Protocol);
            self.abort(now, id, Closed::ProtocolError);
            return Flow::Closed;
        }
        self.stats.connects_received += 1;
        let limits = ConnectLimits {
            user_properties_max: self.settings.user_properties_max,
            user_property_bytes_max: self.settings.user_properties_bytes_max,
        };
        match decode_connect(body, &limits) {
            Ok(connect) => self.on_connect(now, id, &connect),
            Err(error) => {
                let unknown = error.kind() == DecodeErrorKind::UnsupportedProtocol;
                self.count_bad(if unknown { BadInput::Protocol } else { BadInput::Malformed });
                let Some((version, reason)) = error.reply() else {
                    self.abort(now, id, Closed::MalformedPacket);
                    return Flow::Closed;
                };
                if let Some(conn) = self.conns.at(id) {
                    conn.version = version;
                }
                self.refuse_connect(now, id, reason)
            }
        }
    }

    fn on_connect(&mut self, now: Now, id: ConnId, connect: &Connect<'_>) -> Flow {
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        conn.version = connect.version;
        conn.bridge = connect.bridge;
        conn.packet_bytes_max = connect.properties.maximum_packet_size.unwrap_or(u32::MAX);
        conn.problem_information = connect.properties.request_problem_information.unwrap_or(true);
        let (client_id, assigned) = match self.client_id_of(connect) {
            Ok(named) => named,
            Err(reason) => return self.refuse_connect(now, id, reason),
        };
        if let Some(flow) = self.serve_elsewhere(now, id, connect, &client_id) {
            return flow;
        }
        let will = match self.check_connect(now, &client_id, connect) {
            Ok(will) => will,
            Err(reason) => return self.refuse_connect(now, id, reason),
        };
        self.begin_connecting(id, connect, client_id, assigned, will);
        self.ask_or_accept(now, id, connect)
    }

    /// A session that may outlive its connection is served at its home; one that does not is served here, by the worker
    /// its client id falls to.
    fn serve_elsewhere(&mut self, now: Now, id: ConnId, connect: &Connect<'_>, client_id: &str) -> Option<Flow> {
        let is_transient = connect.clean_start && self.expiry_of(connect) == 0;
        let came_through = self.conns.peek(id).is_some_and(|conn| conn.opened.via.is_some());
        // Who comes to a node that is drained is told to go, once it is known that it may.
        let is_left = !came_through && self.is_left();
        match self.homes.of_client(client_id) {
            Home::Away(_) | Home::Unreachable if is_left => {}
            Home::Away(node) if !is_transient && !came_through => return Some(Flow::Proxy(node)),
            // Out of reach, or the node it came through knows another placement: it comes back.
            Home::Away(_) | Home::Unreachable if !is_transient => {
                return Some(self.refuse_connect(now, id, ReasonCode::ServerUnavailable));
            }
            Home::Here | Home::Away(_) | Home::Unreachable => {}
        }
        let home = self.sharding.worker_of(self.sharding.of_client(client_id));
        (home != self.id).then_some(Flow::HandOver(home))
    }

    /// The client id to use, and whether the broker chose it. An id that is chosen falls to this worker.
    fn client_id_of(&mut self, connect: &Connect<'_>) -> Result<(Arc<str>, bool), ReasonCode> {
        let given = connect.client_id;
        if given.is_empty() {
            // Version 3.1 wants 1 to 23 characters; 3.1.1 takes none only with Clean Session [MQTT-3.1.3-8].
            let allowed = match connect.version {
                Version::V31 => false,
                Version::V311 => connect.clean_start,
                Version::V5 => true,
            };
            return if allowed {
                Ok((self.assign_client_id(), true))
            } else {
                Err(ReasonCode::ClientIdentifierNotValid)
            };
        }
        let plain = |c: char| !c.is_control() && !matches!(c, '+' | '#' | '/');
        if given.len() > self.settings.client_id_bytes_max
            || (self.settings.client_id_plain_only && !given.chars().all(plain))
        {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        Ok((given.into(), false))
    }

    fn assign_client_id(&mut self) -> Arc<str> {
        let mut tries = 0u32;
        loop {
            tries += 1;
            let id = format!("auto-{:016x}", self.rng.next());
            let home = self.sharding.worker_of(self.sharding.of_client(&id));
            // Near its home if this node is the home of any.
            let near = tries > HOME_TRIES || self.homes.of_client(&id) == Home::Here;
            if home == self.id && near && !self.by_client.contains_key(id.as_str()) {
                return id.into();
            }
        }
    }

    /// What speaks against a CONNECT whoever the client is. Gives the will, ready to be kept.
    fn check_connect(
        &mut self,
        now: Now,
        client_id: &str,
        connect: &Connect<'_>,
    ) -> Result<Option<Box<Will>>, ReasonCode> {
        if self.draining.is_some() {
            return Err(ReasonCode::UseAnotherServer);
        }
        if self.is_over_memory() {
            return Err(ReasonCode::ServerBusy);
        }
        if self.is_held(now, client_id) {
            return Err(ReasonCode::ConnectionRateExceeded);
        }
        connect.will.as_ref().map(|will| self.check_will(now, will)).transpose()
    }

    fn check_will(&mut self, now: Now, will: &WillPacket<'_>) -> Result<Box<Will>, ReasonCode> {
        if will.payload.len() > self.settings.will_bytes_max {
            return Err(ReasonCode::QuotaExceeded);
        }
        if will.qos.bits() > self.settings.qos_max {
            return Err(ReasonCode::QoSNotSupported);
        }
        if will.retain && !self.settings.retain_available {
            return Err(ReasonCode::RetainNotSupported);
        }
        if check_topic(will.topic, &self.topic_limits).is_err() || is_reserved(will.topic) {
            return Err(ReasonCode::TopicNameInvalid);
        }
        let mut forward = Vec::new();
        will.properties.forward_into(&mut forward);
        let message = MessageRef {
            topic: will.topic,
            forward: &forward,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            expires_wall_ms: 0,
            id: None,
        };
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        Ok(Box::new(Will {
            message: encoded.into(),
            number: now.wall_ms << 16 | self.rng.next() & 0xffff,
            delay_s: will.properties.delay.unwrap_or(0),
            expiry_s: will.properties.message_expiry.unwrap_or(0),
            due_ms: 0,
            fired: false,
        }))
    }

    /// The Session Expiry Interval that a client asks for, in seconds; a version 3 client by Clean Session.
    fn expiry_of(&self, connect: &Connect<'_>) -> u32 {
        match connect.version {
            Version::V5 => connect.properties.session_expiry.unwrap_or(0),
            Version::V31 | Version::V311 if connect.clean_start => 0,
            Version::V31 | Version::V311 => self.settings.session_expiry_max_s,
        }
    }

    fn begin_connecting(
        &mut self,
        id: ConnId,
        connect: &Connect<'_>,
        client_id: Arc<str>,
        assigned: bool,
        will: Option<Box<Will>>,
    ) {
        let settings = &self.settings;
        let properties = &connect.properties;
        let wanted_expiry_s = self.expiry_of(connect);
        let expiry_s = wanted_expiry_s.min(settings.session_expiry_max_s);
        let max = settings.keep_alive_max_s;
        let over = max > 0 && (connect.keep_alive == 0 || connect.keep_alive > max);
        // Version 5 clients are told, others are held to it (BAD_INPUT C10).
        let keep_alive_s = if over { max } else { connect.keep_alive };
        let connecting = Connecting {
            client_id,
            assigned,
            clean_start: connect.clean_start,
            expiry_s,
            expiry_capped: expiry_s != wanted_expiry_s,
            keep_alive_s,
            keep_alive_changed: keep_alive_s != connect.keep_alive,
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
            response_information: properties.request_response_information.unwrap_or(false),
            auth_method: properties.auth_method.map(Into::into),
            will,
            auth_data: None,
            asked: false,
            session_present: false,
            claiming: None,
        };
        if let Some(conn) = self.conns.at(id) {
            conn.connecting = Some(Box::new(connecting));
            conn.phase = Phase::Authenticating;
        }
    }

    /// A packet between CONNECT and CONNACK: only AUTH and DISCONNECT may come [MQTT-3.1.2-30].
    pub(super) fn on_packet_before_connack(&mut self, now: Now, id: ConnId, first: u8, body: &[u8]) -> Flow {
        let version = self.conns.peek(id).map_or(Version::V5, |conn| conn.version);
        match decode(version, first, body) {
            Ok(Packet::Auth(auth)) => self.on_auth_connecting(now, id, &auth),
            Ok(Packet::Disconnect(_)) => {
                self.abort(now, id, Closed::Normal);
                Flow::Closed
            }
            Ok(_) => {
                self.count_bad(BadInput::Protocol);
                self.refuse_connect(now, id, ReasonCode::ProtocolError)
            }
            Err(error) => {
                self.count_bad(BadInput::Malformed);
                self.refuse_connect(now, id, error.reason)
            }
        }
    }

    /// Answers CONNECT with a reason and ends the connection.
    pub(super) fn refuse_connect(&mut self, now: Now, id: ConnId, reason: ReasonCode) -> Flow {
        let (client_id, peer) = self.name_of(id);
        self.outputs.push_back(Output::Log(Event::Refused { client_id, peer, reason: reason.name() }));
        self.write_refusal(id, reason);
        self.abort(now, id, closed_by(reason));
        Flow::Closed
    }

    /// Writes the CONNACK of a refused client.
    pub(super) fn write_refusal(&mut self, id: ConnId, reason: ReasonCode) {
        let server_reference = self.draining.clone().filter(|r| !r.is_empty());
        let mut connack = ConnAck::new(false, reason);
        if reason == ReasonCode::UseAnotherServer {
            connack.properties.server_reference = server_reference.as_deref();
        }
        self.write_connack_refusal(id, &connack);
    }
}

/// Topics under which only the broker publishes (BAD_INPUT T5).
pub(super) fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$')
        && ["$SYS", "$share", "$CONTROL"]
            .iter()
            .any(|root| topic.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The cause to count for a CONNECT refused with this reason.
fn closed_by(reason: ReasonCode) -> Closed {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most reasons are never given to a CONNECT")]
    match reason {
        ReasonCode::MalformedPacket => Closed::MalformedPacket,
        ReasonCode::ProtocolError | ReasonCode::UnsupportedProtocolVersion => Closed::ProtocolError,
        ReasonCode::BadUserNameOrPassword | ReasonCode::BadAuthenticationMethod => Closed::NotAuthenticated,
        ReasonCode::NotAuthorized => Closed::NotAuthorized,
        ReasonCode::QuotaExceeded | ReasonCode::ServerBusy => Closed::QuotaExceeded,
        ReasonCode::ConnectionRateExceeded => Closed::RateTooHigh,
        ReasonCode::UseAnotherServer | ReasonCode::ServerShuttingDown => Closed::ShuttingDown,
        _ => Closed::Refused,
    }
}

/// Whether a QoS is above what the broker takes.
pub(super) fn is_above(qos: QoS, qos_max: u8) -> bool {
    qos.bits() > qos_max
}
