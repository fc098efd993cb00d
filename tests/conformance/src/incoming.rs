//! Packets from the server, read as strictly as the specification allows: what it may not send fails the test.

use crate::{
    property::{Properties, id},
    wire::{Reader, Version},
};

/// A packet from the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// CONNACK.
    Connack(Connack),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    Puback(Ack),
    /// PUBREC.
    Pubrec(Ack),
    /// PUBREL.
    Pubrel(Ack),
    /// PUBCOMP.
    Pubcomp(Ack),
    /// SUBACK.
    Suback(Suback),
    /// UNSUBACK.
    Unsuback(Suback),
    /// PINGRESP.
    Pingresp,
    /// DISCONNECT (version 5).
    Disconnect(Reason),
    /// AUTH (version 5).
    Auth(Reason),
}

/// A CONNACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connack {
    /// Session Present.
    pub session_present: bool,
    /// The Reason Code, or the return code of earlier versions.
    pub reason: u8,
    /// The properties; none in earlier versions.
    pub properties: Properties,
}

/// A PUBLISH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// DUP.
    pub dup: bool,
    /// The QoS.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// The Topic Name; empty where an alias says it.
    pub topic: String,
    /// The packet id; 0 at QoS 0.
    pub packet_id: u16,
    /// The properties; none in earlier versions.
    pub properties: Properties,
    /// The Application Message.
    pub payload: Vec<u8>,
}

impl Publish {
    /// The payload as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload of text")
    }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// The packet id.
    pub packet_id: u16,
    /// The Reason Code; 0 in earlier versions.
    pub reason: u8,
    /// The properties; none in earlier versions.
    pub properties: Properties,
}

/// A SUBACK or UNSUBACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suback {
    /// The packet id.
    pub packet_id: u16,
    /// One Reason Code a filter; none in the UNSUBACK of earlier versions.
    pub reasons: Vec<u8>,
    /// The properties; none in earlier versions.
    pub properties: Properties,
}

/// A DISCONNECT or AUTH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// The Reason Code.
    pub reason: u8,
    /// The properties.
    pub properties: Properties,
}

/// Splits a packet off the front of `bytes`: its first byte, its body and its whole length.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let mut length = 0usize;
    for position in 0..4 {
        let digit = *bytes.get(1 + position)?;
        length |= usize::from(digit & 0x7F) << (7 * position);
        if digit & 0x80 == 0 {
            assert!(digit != 0 || position == 0, "a Remaining Length is not in its shortest form");
            let body = bytes.get(2 + position..2 + position + length)?;
            return Some((bytes[0], body, 2 + position + length));
        }
    }
    panic!("a Remaining Length of more than four bytes: {:02x?}", &bytes[..bytes.len().min(16)]);
}

/// Reads a packet of the server.
#[must_use]
pub fn decode(version: Version, first: u8, body: &[u8]) -> Incoming {
    let mut reader = Reader::new(body);
    let reader = &mut reader;
    let v5 = version == Version::V5;
    let flags = first & 0x0F;
    let expected = match first >> 4 {
        3 => flags,
        6 => 2,
        _ => 0,
    };
    assert_eq!(flags, expected, "reserved flags of packet {first:#04x} [MQTT-2.1.3-1]");
    let packet = match first >> 4 {
        2 => Incoming::Connack(connack(version, reader)),
        3 => Incoming::Publish(publish(version, flags, reader)),
        4 => Incoming::Puback(ack(version, reader, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])),
        5 => Incoming::Pubrec(ack(version, reader, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])),
        6 => Incoming::Pubrel(ack(version, reader, &[0x00, 0x92])),
        7 => Incoming::Pubcomp(ack(version, reader, &[0x00, 0x92])),
        9 => Incoming::Suback(suback(version, reader)),
        11 => Incoming::Unsuback(unsuback(version, reader)),
        13 => Incoming::Pingresp,
        14 if v5 => Incoming::Disconnect(reason(reader, DISCONNECT_REASONS, DISCONNECT_PROPERTIES)),
        15 if v5 => Incoming::Auth(reason(reader, &[0x00, 0x18, 0x19], AUTH_PROPERTIES)),
        _ => panic!("a server may not send packet {first:#04x} in {version:?}"),
    };
    assert!(reader.is_empty(), "bytes after the last field of {packet:?}");
    packet
}

fn connack(version: Version, reader: &mut Reader<'_>) -> Connack {
    let flags = reader.byte();
    assert_eq!(flags & 0xFE, 0, "reserved bits of the acknowledge flags [MQTT-3.2.2-1]");
    let reason = reader.byte();
    let properties = if version == Version::V5 {
        assert!(CONNECT_REASONS.contains(&reason), "CONNACK reason {reason:#04x} [MQTT-3.2.2-8]");
        Properties::read(reader, CONNACK_PROPERTIES)
    } else {
        assert!(reason <= 5, "CONNACK return code {reason}");
        assert!(version == Version::V311 || flags == 0, "version 3.1 has no Session Present");
        Properties::default()
    };
    assert!(reason == 0 || flags == 0, "Session Present in a refusal [MQTT-3.2.2-6]");
    Connack { session_present: flags == 1, reason, properties }
}

fn publish(version: Version, flags: u8, reader: &mut Reader<'_>) -> Publish {
    let qos = flags >> 1 & 3;
    let dup = flags & 8 != 0;
    assert!(qos < 3, "QoS 3 [MQTT-3.3.1-4]");
    assert!(!dup || qos > 0, "DUP at QoS 0 [MQTT-3.3.1-2]");
    let topic = reader.text().to_owned();
    assert!(!topic.contains(['+', '#']), "wildcards in a topic name [MQTT-3.3.2-2]");
    let packet_id = if qos > 0 { reader.two() } else { 0 };
    assert!(qos == 0 || packet_id > 0, "packet id 0 [MQTT-2.2.1-4]");
    let properties = match version {
        Version::V5 => Properties::read(reader, PUBLISH_PROPERTIES),
        Version::V31 | Version::V311 => Properties::default(),
    };
    let alias = properties.number(id::TOPIC_ALIAS);
    assert_ne!(alias, Some(0), "topic alias 0 [MQTT-3.3.2-8]");
    assert!(!topic.is_empty() || alias.is_some(), "an empty topic name without an alias [MQTT-4.7.3-1]");
    Publish { dup, qos, retain: flags & 1 != 0, topic, packet_id, properties, payload: reader.rest().to_vec() }
}

fn ack(version: Version, reader: &mut Reader<'_>, reasons: &[u8]) -> Ack {
    let packet_id = reader.two();
    let (mut reason, mut properties) = (0, Properties::default());
    if version == Version::V5 && !reader.is_empty() {
        reason = reader.byte();
        assert!(reasons.contains(&reason), "reason {reason:#04x} in an acknowledgement");
        if !reader.is_empty() {
            properties = Properties::read(reader, &[id::REASON_STRING, id::USER_PROPERTY]);
        }
    }
    Ack { packet_id, reason, properties }
}

fn suback(version: Version, reader: &mut Reader<'_>) -> Suback {
    let packet_id = reader.two();
    let v5 = version == Version::V5;
    let properties = if v5 { ack_properties(reader) } else { Properties::default() };
    let reasons = reader.rest().to_vec();
    let allowed: &[u8] =
        if v5 { &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2] } else { &[0, 1, 2, 0x80] };
    assert!(reasons.iter().all(|r| allowed.contains(r)), "reasons {reasons:02x?} in SUBACK [MQTT-3.9.3-2]");
    Suback { packet_id, reasons, properties }
}

fn unsuback(version: Version, reader: &mut Reader<'_>) -> Suback {
    let packet_id = reader.two();
    if version != Version::V5 {
        return Suback { packet_id, reasons: Vec::new(), properties: Properties::default() };
    }
    let properties = ack_properties(reader);
    let reasons = reader.rest().to_vec();
    let allowed = [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    assert!(reasons.iter().all(|r| allowed.contains(r)), "reasons {reasons:02x?} in UNSUBACK [MQTT-3.11.3-2]");
    Suback { packet_id, reasons, properties }
}

fn ack_properties(reader: &mut Reader<'_>) -> Properties {
    Properties::read(reader, &[id::REASON_STRING, id::USER_PROPERTY])
}

fn reason(reader: &mut Reader<'_>, reasons: &[u8], allowed: &[u8]) -> Reason {
    if reader.is_empty() {
        return Reason { reason: 0, properties: Properties::default() };
    }
    let reason = reader.byte();
    assert!(reasons.contains(&reason), "reason {reason:#04x} in DISCONNECT or AUTH");
    let properties = if reader.is_empty() { Properties::default() } else { Properties::read(reader, allowed) };
    Reason { reason, properties }
}

/// Reason Codes of CONNACK, table 3-1.
const CONNECT_REASONS: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
    0x9C, 0x9D, 0x9F,
];

/// Reason Codes of a server's DISCONNECT: section 3.14.2.1, and 0x8C which table 2-6 adds.
const DISCONNECT_REASONS: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

const CONNACK_PROPERTIES: &[u8] = &[
    id::SESSION_EXPIRY,
    id::ASSIGNED_CLIENT_ID,
    id::SERVER_KEEP_ALIVE,
    id::AUTH_METHOD,
    id::AUTH_DATA,
    id::RESPONSE_INFORMATION,
    id::SERVER_REFERENCE,
    id::REASON_STRING,
    id::RECEIVE_MAXIMUM,
    id::TOPIC_ALIAS_MAXIMUM,
    id::MAXIMUM_QOS,
    id::RETAIN_AVAILABLE,
    id::USER_PROPERTY,
    id::MAXIMUM_PACKET_SIZE,
    id::WILDCARD_AVAILABLE,
    id::SUBSCRIPTION_ID_AVAILABLE,
    id::SHARED_AVAILABLE,
];

const PUBLISH_PROPERTIES: &[u8] = &[
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::SUBSCRIPTION_ID,
    id::TOPIC_ALIAS,
    id::USER_PROPERTY,
];

/// Session Expiry Interval is not among them: a server may not send it [MQTT-3.14.2-2].
const DISCONNECT_PROPERTIES: &[u8] = &[id::SERVER_REFERENCE, id::REASON_STRING, id::USER_PROPERTY];

const AUTH_PROPERTIES: &[u8] = &[id::AUTH_METHOD, id::AUTH_DATA, id::REASON_STRING, id::USER_PROPERTY];
