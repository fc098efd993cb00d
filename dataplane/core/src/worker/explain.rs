//! Reason strings: what a refusal means and which key of the configuration has to do with it, in words for people.
//!
//! The words depend on the reason and on the topic or filter that the client itself has named, so that they tell nobody
//! more than the reason code does: an unknown user and a wrong password read alike. A client that asked for no problem information gets them in CONNACK and DISCONNECT only
//! [MQTT-3.1.2-29], and no packet outgrows the client's Maximum Packet Size for them [MQTT-3.1.2-24].

use sluice_mqtt::{Ack, ConnAck, Disconnect, ReasonCode, SubAck, UnsubAck, Version, encode};

use super::Worker;
use crate::{
    ConnId, Event, Now, Output,
    connection::replies::Verdicts,
    stats::{BadInput, Closed},
};

/// Appends a PUBACK or a PUBREC.
type EncodeAck = fn(&mut Vec<u8>, Version, &Ack<'_>);

impl Worker {
    /// Writes a PUBACK or PUBREC. `topic`: the refused message's, where it is known still. A message that another worker
    /// has refused stands for itself by its packet id.
    #[inline]
    pub(super) fn write_ack(&mut self, id: ConnId, ack: Ack<'_>, topic: Option<&str>, encode: EncodeAck) {
        let refused = ack.reason.is_error() && self.wants_words(id);
        let said = refused.then(|| naming(topic, of_publish(ack.reason)));
        self.write_with(id, said.as_deref(), |out, version, said| {
            encode(out, version, &Ack { reason_string: said, ..ack });
        });
    }

    /// Writes a SUBACK.
    pub(super) fn write_suback(&mut self, id: ConnId, packet_id: u16, verdicts: &Verdicts) {
        let said = self.of_refused(id, verdicts);
        let suback = SubAck::new(packet_id, &verdicts.codes);
        self.write_with(id, said.as_deref(), |out, version, said| {
            encode::suback(out, version, &SubAck { reason_string: said, ..suback });
        });
    }

    /// Writes an UNSUBACK.
    pub(super) fn write_unsuback(&mut self, id: ConnId, packet_id: u16, verdicts: &Verdicts) {
        let said = self.of_refused(id, verdicts);
        let unsuback = UnsubAck::new(packet_id, &verdicts.codes);
        self.write_with(id, said.as_deref(), |out, version, said| {
            encode::unsuback(out, version, &UnsubAck { reason_string: said, ..unsuback });
        });
    }

    /// Of the first filter that was refused.
    fn of_refused(&self, id: ConnId, verdicts: &Verdicts) -> Option<String> {
        let (filter, reason) = verdicts.refused.as_ref().filter(|_| self.wants_words(id))?;
        Some(naming(Some(filter), of_subscribe(*reason)))
    }

    /// Writes the CONNACK of a refused client.
    pub(super) fn write_connack_refusal(&mut self, id: ConnId, connack: &ConnAck<'_>) {
        // Whoever speaks another protocol gets the least that can be said.
        let known = connack.reason != ReasonCode::UnsupportedProtocolVersion;
        let said = known.then(|| of_connect(connack.reason));
        self.write_with(id, said, |out, version, said| {
            let mut connack = *connack;
            connack.properties.reason_string = said;
            encode::connack(out, version, &connack);
        });
    }

    /// Writes a DISCONNECT that says why: `text`, or what its reason means in general.
    pub(super) fn write_disconnect(&mut self, id: ConnId, disconnect: &Disconnect<'_>, text: Option<&str>) {
        let said = text.unwrap_or_else(|| of_connection(disconnect.reason));
        self.write_with(id, Some(said), |out, version, said| {
            let mut disconnect = *disconnect;
            disconnect.properties.reason_string = said;
            encode::disconnect(out, version, &disconnect);
        });
    }

    /// Ends a connection whose client sends a packet of `len` bytes, of which `bytes` have come.
    pub(super) fn on_packet_too_large(&mut self, now: Now, id: ConnId, len: usize, bytes: &[u8]) {
        let limit = self.packet_max(id) as usize;
        let (client_id, peer) = self.name_of(id);
        let Some(conn) = self.conns.peek(id) else { return };
        let own = self.settings.listeners.get(usize::from(conn.opened.listener)).and_then(|l| l.packet_bytes_max);
        let key = match (conn.session, own) {
            (None, _) => "limits.connect_packet_max",
            (Some(_), Some(_)) => "max_packet_size of the listener",
            (Some(_), None) => "mqtt.max_packet_size",
        };
        let text = format!("packets may have up to {limit} bytes: {key} of the broker says so");
        let topic = topic_of(bytes);
        self.count_bad(BadInput::TooLarge);
        self.outputs.push_back(Output::Log(Event::TooLarge { client_id, peer, topic, bytes: len, limit, key }));
        self.disconnect_saying(now, id, ReasonCode::PacketTooLarge, Closed::PacketTooLarge, Some(&text));
    }

    /// Whether the client wants to hear why something was refused.
    fn wants_words(&self, id: ConnId) -> bool {
        self.conns.peek(id).is_some_and(|conn| conn.problem_information)
    }

    /// Writes a packet with its words, or without them where it would be too large for the client.
    fn write_with(&mut self, id: ConnId, said: Option<&str>, encode: impl Fn(&mut Vec<u8>, Version, Option<&str>)) {
        let Some(conn) = self.conns.peek(id) else { return };
        let largest = conn.packet_bytes_max as usize;
        self.write(id, |out, version| {
            let before = out.len();
            encode(out, version, said);
            if said.is_some() && out.len() - before > largest {
                out.truncate(before);
                encode(out, version, None);
            }
        });
    }
}

/// Words with the topic or filter that they are about in front, as much of it as helps to find it.
fn naming(name: Option<&str>, text: &str) -> String {
    let Some(name) = name else { return text.to_owned() };
    let mut shown: String =
        name.chars().take(NAME_CHARS_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("{shown}: {text}")
}

/// Of a topic or filter in a reason string.
const NAME_CHARS_MAX: usize = 128;

/// The topic of a PUBLISH of which only the beginning is there, for the log.
fn topic_of(bytes: &[u8]) -> Option<Box<str>> {
    let (&first, rest) = bytes.split_first()?;
    let length_bytes = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (length, rest) = rest.get(length_bytes..)?.split_first_chunk::<2>()?;
    let topic = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    let topic = std::str::from_utf8(topic).ok().filter(|topic| !topic.is_empty())?;
    (first >> 4 == 3).then(|| topic.into())
}

/// What the reason of a CONNACK means.
fn of_connect(reason: ReasonCode) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others mean the same in every packet")]
    match reason {
        ReasonCode::ClientIdentifierNotValid => {
            "this client id may not be used: it is too long (mqtt.client_id_length_max), has characters that are not \
             taken here (mqtt.client_id_plain_only), or belongs to other credentials"
        }
        ReasonCode::BadUserNameOrPassword => "user name, password, token or certificate is not accepted",
        ReasonCode::NotAuthorized => {
            "credentials are required here, or the client id is another user's, or the access rules do not allow the will"
        }
        ReasonCode::BadAuthenticationMethod => "the only authentication method is SCRAM-SHA-256, where users have it",
        ReasonCode::QuotaExceeded => {
            "a quota is used up: limits.sessions_per_principal or mqtt.will_size_max, or the disk is nearly full"
        }
        ReasonCode::ServerBusy => "too much is going on: try again later (limits.memory_budget)",
        ReasonCode::ConnectionRateExceeded => {
            "this client id is taken over too often (limits.takeovers_per_minute): give each client its own"
        }
        ReasonCode::TopicNameInvalid => "the topic of the will is not valid, too long, or reserved for the broker",
        ReasonCode::QoSNotSupported => "the QoS of the will is above mqtt.max_qos",
        ReasonCode::RetainNotSupported => "the will is retained, and mqtt.retain_available is false",
        other => of_connection(other),
    }
}

/// What the reason of a DISCONNECT means.
fn of_connection(reason: ReasonCode) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are never given to a connection")]
    match reason {
        ReasonCode::MalformedPacket => "the packet cannot be read: a length, flag or text in it is wrong",
        ReasonCode::ProtocolError => "the packet is not allowed here, or says what it must not",
        ReasonCode::NotAuthorized => "the credentials do not allow this connection any more",
        ReasonCode::ServerBusy => "too much is going on: try again later",
        ReasonCode::ServerShuttingDown | ReasonCode::ServerUnavailable => "the broker is going down: connect again",
        ReasonCode::KeepAliveTimeout => "nothing was heard for one and a half times the keep alive, or half a packet",
        ReasonCode::SessionTakenOver => "another connection uses this client id",
        ReasonCode::TopicNameInvalid => {
            "the topic is not valid, longer than mqtt.topic_length_max or deeper than mqtt.topic_levels_max"
        }
        ReasonCode::ReceiveMaximumExceeded => {
            "more messages are unacknowledged than Receive Maximum allows (mqtt.receive_maximum)"
        }
        ReasonCode::TopicAliasInvalid => "the topic alias is 0, above Topic Alias Maximum, or was never set",
        ReasonCode::MessageRateTooHigh => "more control packets a second than limits.control_rate allows",
        ReasonCode::QuotaExceeded => {
            "a quota is used up: mqtt.inbox, mqtt.user_properties_max, mqtt.user_properties_size_max, \
             mqtt.filters_per_packet_max or limits.memory_budget"
        }
        ReasonCode::QoSNotSupported => "the QoS is above mqtt.max_qos",
        ReasonCode::RetainNotSupported => "mqtt.retain_available is false",
        ReasonCode::UseAnotherServer => "this client belongs elsewhere: use the server that is named, or another one",
        other => other.name(),
    }
}

/// What the reason of a PUBACK or PUBREC means.
fn of_publish(reason: ReasonCode) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others mean the same in every packet")]
    match reason {
        ReasonCode::NotAuthorized => "the access rules do not allow this client to publish this message to its topic",
        ReasonCode::QuotaExceeded => {
            "a quota is used up: mqtt.retained, the mqtt.inbox of a subscriber, limits.memory_budget or the disk"
        }
        ReasonCode::PayloadFormatInvalid => "the payload is announced as text and is not UTF-8",
        other => of_connection(other),
    }
}

/// What the reason of a SUBACK or UNSUBACK means.
fn of_subscribe(reason: ReasonCode) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others mean the same in every packet")]
    match reason {
        ReasonCode::NotAuthorized => {
            "the access rules do not allow this client to subscribe to all topics that the refused filter matches"
        }
        ReasonCode::TopicFilterInvalid => {
            "the filter is not valid, longer than mqtt.topic_length_max or deeper than mqtt.topic_levels_max"
        }
        ReasonCode::QuotaExceeded => {
            "a quota is used up: mqtt.subscriptions_max, mqtt.filters_per_packet_max or the disk"
        }
        ReasonCode::SharedSubscriptionsNotSupported => "mqtt.shared_available is false",
        ReasonCode::WildcardSubscriptionsNotSupported => "mqtt.wildcard_available is false",
        other => of_connection(other),
    }
}
