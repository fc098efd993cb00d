//! From bytes to packets, and from packets to what handles them.

use sluice_mqtt::{Disconnect, FrameError, Packet, PacketType, ReasonCode, Version, decode, split};

use super::{UNFLUSHED_BYTES_MAX, Worker};
use crate::{
    ConnId, Now, Output, Received, Then,
    connection::Phase,
    stats::{BadInput, Closed},
};

/// What becomes of a connection after one of its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// On to the next packet.
    Next,
    /// The packet is done with, but the next must wait until the connection is resumed.
    Pause,
    /// This very packet must wait until the connection is resumed.
    Again,
    /// The connection is over.
    Closed,
    /// The packet belongs to another worker.
    HandOver(sluice_cluster::WorkerId),
    /// The packet belongs to another node.
    Proxy(sluice_cluster::NodeId),
}

impl Worker {
    pub(super) fn receive_packets(&mut self, now: Now, id: ConnId, bytes: &[u8]) -> Received {
        let mut at = 0;
        let done = |consumed, then| Received { consumed, then };
        if self.conns.at(id).is_none_or(|conn| conn.phase == Phase::Closing) {
            return done(bytes.len(), Then::Close);
        }
        loop {
            if self.unflushed_bytes > UNFLUSHED_BYTES_MAX {
                self.pressed.push(id);
                return done(at, self.pause(id));
            }
            if self.must_wait(id) {
                return done(at, self.pause(id));
            }
            let frame = match split(&bytes[at..], self.packet_max(id)) {
                Ok(Some(frame)) if frame.total() <= bytes.len() - at => frame,
                Ok(frame) => {
                    self.note_partial(now, id, bytes.len() - at, frame.is_some());
                    return self.refuse_early(now, id, &bytes[at..]).unwrap_or(done(at, Then::Continue));
                }
                Err(error) => {
                    self.on_frame_error(now, id, &error, &bytes[at..]);
                    return done(bytes.len(), Then::Close);
                }
            };
            let body = &bytes[at + frame.header_len..at + frame.total()];
            let flow = self.on_packet(now, id, frame.first, body);
            if !matches!(flow, Flow::Again | Flow::HandOver(_) | Flow::Proxy(_)) {
                self.stats.bytes_received += frame.total() as u64;
                self.stats.packets_received += 1;
            }
            match flow {
                Flow::Next => at += frame.total(),
                Flow::Pause => return done(at + frame.total(), self.pause(id)),
                Flow::Again => return done(at, self.pause(id)),
                Flow::Closed => return done(bytes.len(), Then::Close),
                Flow::HandOver(worker) => {
                    self.forget_opened(id);
                    return done(at, Then::HandOver(worker));
                }
                Flow::Proxy(node) => {
                    self.forget_opened(id);
                    return done(at, Then::Proxy(node));
                }
            }
        }
    }

    /// Forgets a connection that another worker, or another node, will open again, and count.
    fn forget_opened(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(id) else { return };
        if let Some(count) = self.stats.connections_opened.get_mut(usize::from(conn.opened.listener)) {
            *count -= 1;
        }
        self.stats.connects_received -= 1;
    }

    /// Resumes a connection that was paused.
    pub(super) fn resume(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.at(id)
            && conn.paused
        {
            conn.paused = false;
            self.outputs.push_back(Output::Resume { conn: id });
        }
    }

    fn pause(&mut self, id: ConnId) -> Then {
        if let Some(conn) = self.conns.at(id) {
            conn.paused = true;
        }
        Then::Pause
    }

    /// Whether packets of a connection must wait for an answer of the checker or the store.
    fn must_wait(&self, id: ConnId) -> bool {
        self.conns.peek(id).is_some_and(|conn| match conn.phase {
            Phase::Attaching => true,
            Phase::Authenticating => conn.connecting.as_ref().is_some_and(|c| c.asked),
            Phase::Attached => conn.paused || conn.is_stuffed(self.settings.outbox_bytes_max),
            Phase::Fresh | Phase::Closing => false,
        })
    }

    pub(super) fn packet_max(&self, id: ConnId) -> u32 {
        let Some(conn) = self.conns.peek(id) else { return 0 };
        if matches!(conn.phase, Phase::Attached) {
            self.packet_bytes_max(conn.opened.listener)
        } else {
            self.settings.connect_bytes_max
        }
    }

    /// The largest packet taken from clients of a listener.
    pub(super) fn packet_bytes_max(&self, listener: u16) -> u32 {
        let of_listener = self.settings.listeners.get(usize::from(listener)).and_then(|l| l.packet_bytes_max);
        of_listener.unwrap_or(self.settings.packet_bytes_max)
    }

    /// Notes since when a packet is unfinished, so that one that never ends is noticed.
    fn note_partial(&mut self, now: Now, id: ConnId, left: usize, begun: bool) {
        let deadline = now.mono_ms + self.settings.packet_deadline_ms;
        let Some(conn) = self.conns.at(id) else { return };
        if left == 0 && !begun {
            conn.partial_since_ms = 0;
        } else if conn.partial_since_ms == 0 {
            conn.partial_since_ms = now.mono_ms.max(1);
            if conn.phase == Phase::Attached {
                self.arm(id, deadline);
            }
        }
    }

    /// Closes a connection whose first bytes cannot become a CONNECT, without waiting for more (BAD_INPUT P16).
    fn refuse_early(&mut self, now: Now, id: ConnId, bytes: &[u8]) -> Option<Received> {
        let first = *bytes.first()?;
        if self.conns.peek(id)?.phase != Phase::Fresh || first == PacketType::Connect.first() {
            return None;
        }
        self.count_bad(BadInput::Malformed);
        self.abort(now, id, Closed::MalformedPacket);
        Some(Received { consumed: bytes.len(), then: Then::Close })
    }

    fn on_frame_error(&mut self, now: Now, id: ConnId, error: &FrameError, bytes: &[u8]) {
        match *error {
            FrameError::TooLarge { len, .. } => self.on_packet_too_large(now, id, len as usize, bytes),
            FrameError::MalformedLength | FrameError::BadFirstByte { .. } => {
                self.count_bad(BadInput::Malformed);
                self.disconnect(now, id, error.reason(), Closed::MalformedPacket);
            }
        }
    }

    fn on_packet(&mut self, now: Now, id: ConnId, first: u8, body: &[u8]) -> Flow {
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        conn.heard_ms = now.mono_ms;
        conn.partial_since_ms = 0;
        let version = conn.version;
        match conn.phase {
            Phase::Attached => {}
            Phase::Fresh => return self.on_first_packet(now, id, first, body),
            Phase::Authenticating => return self.on_packet_before_connack(now, id, first, body),
            Phase::Attaching | Phase::Closing => return Flow::Closed,
        }
        if PacketType::from_first(first) == Some(PacketType::Publish) {
            return self.on_publish(now, id, version, first, body);
        }
        if first == PacketType::Connect.first() {
            // Whatever it says, and however badly: a protocol error [MQTT-3.1.0-2].
            return self.on_decode_error(now, id, ReasonCode::ProtocolError);
        }
        match decode(version, first, body) {
            Ok(packet) => self.on_attached_packet(now, id, &packet),
            Err(error) => self.on_decode_error(now, id, error.reason),
        }
    }

    fn on_attached_packet(&mut self, now: Now, id: ConnId, packet: &Packet<'_>) -> Flow {
        match packet {
            Packet::PubAck(ack) => self.on_puback(now, id, ack.packet_id),
            Packet::PubRec(ack) => self.on_pubrec(now, id, ack.packet_id, ack.reason),
            Packet::PubRel(ack) => self.on_pubrel(now, id, ack.packet_id),
            Packet::PubComp(ack) => self.on_pubcomp(now, id, ack.packet_id),
            Packet::PingReq => self.paced(now, id, |worker| {
                worker.write(id, |out, _| out.extend_from_slice(&[0xD0, 0]));
                Flow::Next
            }),
            Packet::Subscribe(subscribe) => self.paced(now, id, |worker| worker.on_subscribe(now, id, subscribe)),
            Packet::Unsubscribe(unsubscribe) => {
                self.paced(now, id, |worker| worker.on_unsubscribe(now, id, unsubscribe))
            }
            Packet::Disconnect(disconnect) => self.on_disconnect(now, id, disconnect),
            Packet::Auth(auth) => self.paced(now, id, |worker| worker.on_auth_attached(now, id, auth)),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => {
                self.count_bad(BadInput::Protocol);
                self.disconnect(now, id, ReasonCode::ProtocolError, Closed::ProtocolError);
                Flow::Closed
            }
        }
    }

    /// Handles a packet that is counted against the rate of control packets (BAD_INPUT X5).
    fn paced(&mut self, now: Now, id: ConnId, handle: impl FnOnce(&mut Self) -> Flow) -> Flow {
        let rate = u64::from(self.settings.control_rate_max);
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        if rate > 0 && conn.rates.control.take(now.mono_ms, 1, rate) > 0 {
            self.count_bad(BadInput::Rate);
            self.disconnect(now, id, ReasonCode::MessageRateTooHigh, Closed::RateTooHigh);
            return Flow::Closed;
        }
        handle(self)
    }

    /// A packet of an attached client that is none.
    pub(super) fn on_decode_error(&mut self, now: Now, id: ConnId, reason: ReasonCode) -> Flow {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other codes of a decoder mean the same here")]
        let (cause, closed) = match reason {
            ReasonCode::MalformedPacket => (BadInput::Malformed, Closed::MalformedPacket),
            ReasonCode::QuotaExceeded => (BadInput::Quota, Closed::QuotaExceeded),
            _ => (BadInput::Protocol, Closed::ProtocolError),
        };
        self.count_bad(cause);
        self.disconnect(now, id, reason, closed);
        Flow::Closed
    }

    fn on_disconnect(&mut self, now: Now, id: ConnId, disconnect: &Disconnect<'_>) -> Flow {
        if let Some(expiry_s) = disconnect.properties.session_expiry
            && !self.change_expiry(id, expiry_s)
        {
            self.count_bad(BadInput::Protocol);
            self.disconnect(now, id, ReasonCode::ProtocolError, Closed::ProtocolError);
            return Flow::Closed;
        }
        let with_will = disconnect.reason != ReasonCode::Success;
        if !with_will {
            self.drop_will(id);
        }
        self.abort(now, id, if with_will { Closed::WithWill } else { Closed::Normal });
        Flow::Closed
    }

    /// Ends a connection with a reason: version 5 clients that are connected are told.
    pub(super) fn disconnect(&mut self, now: Now, id: ConnId, reason: ReasonCode, closed: Closed) {
        self.disconnect_saying(now, id, reason, closed, None);
    }

    /// As [`Self::disconnect`], with words of its own.
    pub(super) fn disconnect_saying(
        &mut self,
        now: Now,
        id: ConnId,
        reason: ReasonCode,
        closed: Closed,
        text: Option<&str>,
    ) {
        let Some(conn) = self.conns.peek(id) else { return };
        match conn.phase {
            Phase::Attached if conn.version == Version::V5 => {
                let disconnect = Disconnect::new(in_disconnect(reason));
                self.write_disconnect(id, &disconnect, text);
            }
            Phase::Authenticating | Phase::Attaching => self.write_refusal(id, in_connack(reason)),
            Phase::Attached | Phase::Fresh | Phase::Closing => {}
        }
        self.abort(now, id, closed);
    }

    /// Ends a connection without a word more than the outbox holds.
    pub(super) fn abort(&mut self, now: Now, id: ConnId, closed: Closed) {
        let Some(conn) = self.conns.at(id) else { return };
        if conn.phase == Phase::Closing {
            return;
        }
        self.detach(now, id, closed);
        if self.receiving != Some(id) {
            self.outputs.push_back(Output::Close { conn: id });
        }
    }
}

/// The reason as DISCONNECT may say it [MQTT-3.14.2-1]: a client that fails to authenticate again is not authorised.
fn in_disconnect(reason: ReasonCode) -> ReasonCode {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most reasons are said alike in both packets")]
    match reason {
        ReasonCode::BadUserNameOrPassword => ReasonCode::NotAuthorized,
        // A second CONNECT is one too many, of whatever version [MQTT-3.1.0-2].
        ReasonCode::UnsupportedProtocolVersion => ReasonCode::ProtocolError,
        reason => reason,
    }
}

/// The reason as CONNACK may say it [MQTT-3.2.2-8], for a connection that ends before it was accepted.
fn in_connack(reason: ReasonCode) -> ReasonCode {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most reasons are said alike in both packets")]
    match reason {
        ReasonCode::SessionTakenOver | ReasonCode::KeepAliveTimeout => ReasonCode::UnspecifiedError,
        ReasonCode::ServerShuttingDown => ReasonCode::ServerUnavailable,
        reason => reason,
    }
}
