//! PUBACK, PUBREC, PUBREL and PUBCOMP: one shape, two sets of reason codes.

use crate::{
    DecodeError, PacketType, ReasonCode, UserProperties, Version,
    property::ReasonProperties,
    reader::Reader,
    reason::ReasonSet,
    sink::{Body, PropertyBlock, Sink, write_packet},
};

/// A PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// Packet identifier; never 0.
    pub packet_id: u16,
    /// What came of it; [`ReasonCode::Success`] before version 5.
    pub reason: ReasonCode,
    /// Words for people; version 5.
    pub reason_string: Option<&'a str>,
    /// Version 5.
    pub user_properties: UserProperties<'a>,
}

impl Ack<'_> {
    /// An acknowledgement without properties.
    #[inline]
    #[must_use]
    pub const fn new(packet_id: u16, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: UserProperties::EMPTY }
    }
}

/// Decodes the body of a PUBACK, PUBREC, PUBREL or PUBCOMP; `first` says which.
///
/// # Errors
/// What the specification does not allow, flags of `first` included.
///
/// # Panics
/// When `first` announces another kind of packet.
#[inline]
pub fn decode_ack(version: Version, first: u8, body: &[u8]) -> Result<Ack<'_>, DecodeError> {
    crate::packet::check_flags(version, first)?;
    match *body {
        [high, low] if high | low != 0 => Ok(Ack::new(u16::from_be_bytes([high, low]), ReasonCode::Success)),
        _ => decode_long(version, first, body),
    }
}

fn decode_long(version: Version, first: u8, body: &[u8]) -> Result<Ack<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let mut ack = Ack::new(reader.packet_id()?, ReasonCode::Success);
    if version.has_properties() && !reader.is_empty() {
        ack.reason = reasons_of(first).decode(reader.u8()?)?;
        if !reader.is_empty() {
            let properties = ReasonProperties::decode(&mut reader)?;
            ack.reason_string = properties.reason_string;
            ack.user_properties = properties.user_properties;
        }
    }
    reader.finish()?;
    Ok(ack)
}

fn reasons_of(first: u8) -> ReasonSet {
    match first >> 4 {
        4 | 5 => RECEIVED,
        6 | 7 => RELEASED,
        kind => panic!("packet type {kind} is no acknowledgement of a PUBLISH"),
    }
}

/// Appends an acknowledgement of this kind; four bytes when there is nothing to say.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, kind: PacketType, version: Version, ack: &Ack<'_>) {
    let plain = ack.reason == ReasonCode::Success && ack.reason_string.is_none() && ack.user_properties.is_empty();
    if plain || !version.has_properties() {
        let [high, low] = ack.packet_id.to_be_bytes();
        out.extend_from_slice(&[kind.first(), 2, high, low]);
    } else {
        write_packet(out, kind.first(), version, ack);
    }
}

impl Body for Ack<'_> {
    fn write_body<S: Sink>(&self, _: Version, sink: &mut S) {
        sink.u16(self.packet_id);
        sink.u8(self.reason.code());
        let properties = ReasonProperties { reason_string: self.reason_string, user_properties: self.user_properties };
        if properties.properties_len() > 0 {
            properties.write_block(sink);
        }
    }
}

/// What PUBACK and PUBREC may say [MQTT-3.4.2-1] [MQTT-3.5.2-1].
const RECEIVED: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::NoMatchingSubscribers,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
]);

/// What PUBREL and PUBCOMP may say [MQTT-3.6.2-1] [MQTT-3.7.2-1].
const RELEASED: ReasonSet = ReasonSet::of(&[ReasonCode::Success, ReasonCode::PacketIdentifierNotFound]);
