//! PUBLISH.

mod head;
mod properties;

pub use head::{PublishHead, patch_packet_id};
pub use properties::{PublishProperties, SubscriptionIds};

use crate::{
    DecodeError, DecodeErrorKind, QoS, Version, frame,
    packet::Sender,
    reader::Reader,
    sink::{Body, PropertyBlock, Sink},
};

/// A PUBLISH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Whether the sender sent it before. Never to be trusted for telling duplicates.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the topic shall retain it (to a server), or a retained message is delivered (to a client).
    pub retain: bool,
    /// The topic name; empty only where a topic alias stands for it. What it contains beyond text is not checked.
    pub topic: &'a str,
    /// Packet identifier; 0 exactly at QoS 0.
    pub packet_id: u16,
    /// Properties; none before version 5.
    pub properties: PublishProperties<'a>,
    /// The application message.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// The first byte of the packet.
    #[must_use]
    pub const fn first(&self) -> u8 {
        first_byte(self.dup, self.qos, self.retain)
    }
}

/// Decodes the body of a PUBLISH that a client sent to a server.
///
/// # Errors
/// What the specification does not allow, in particular: QoS 3 or DUP at QoS 0 in `first`, ill-formed text, a packet id
/// of 0, an empty topic without an alias, a Subscription Identifier [MQTT-3.3.4-6], a Response Topic with a wildcard.
///
/// # Panics
/// When `first` does not announce a PUBLISH.
#[inline]
pub fn decode_publish(version: Version, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    decode_sent_by(Sender::Client, version, first, body)
}

/// Decodes the body of a PUBLISH that a server sent to a client: it may carry Subscription Identifiers.
///
/// # Errors
/// What the specification does not allow.
///
/// # Panics
/// When `first` does not announce a PUBLISH.
pub fn decode_publish_from_server(version: Version, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    decode_sent_by(Sender::Server, version, first, body)
}

#[inline]
pub(crate) fn decode_sent_by(
    sender: Sender,
    version: Version,
    first: u8,
    body: &[u8],
) -> Result<Publish<'_>, DecodeError> {
    assert!(first >> 4 == 3, "{first:#x} does not start a PUBLISH");
    let qos = QoS::from_bits(first >> 1 & 0b11).ok_or(DecodeErrorKind::BadQoS)?;
    let dup = first & frame::DUP != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeErrorKind::DupAtQoS0.into());
    }
    let mut reader = Reader::new(body);
    let topic = reader.string()?;
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? };
    let mut properties = PublishProperties::EMPTY;
    if version.has_properties() {
        properties.fill(sender, &mut reader)?;
    }
    if topic.is_empty() && properties.topic_alias.is_none() {
        return Err(DecodeErrorKind::EmptyTopic.into());
    }
    Ok(Publish { dup, qos, retain: first & RETAIN != 0, topic, packet_id, properties, payload: reader.rest() })
}

impl Body for Publish<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.string(self.topic);
        if self.qos > QoS::AtMostOnce {
            sink.u16(self.packet_id);
        }
        if version.has_properties() {
            self.properties.write_block(sink);
        }
        sink.bytes(self.payload);
    }
}

#[inline]
const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    0x30 | (dup as u8) << 3 | qos.bits() << 1 | retain as u8
}

const RETAIN: u8 = 1;
