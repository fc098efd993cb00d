//! SUBACK and UNSUBACK.

use std::fmt;

use crate::{
    DecodeError, DecodeErrorKind, ReasonCode, UserProperties, Version,
    property::ReasonProperties,
    reader::Reader,
    reason::ReasonSet,
    sink::{Body, PropertyBlock, Sink},
};

/// A SUBACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubAck<'a> {
    /// The packet identifier of the SUBSCRIBE.
    pub packet_id: u16,
    /// One for each topic filter, in order.
    pub reasons: ReasonCodes<'a>,
    /// Words for people; version 5.
    pub reason_string: Option<&'a str>,
    /// Version 5.
    pub user_properties: UserProperties<'a>,
}

impl<'a> SubAck<'a> {
    /// A SUBACK without properties.
    #[must_use]
    pub fn new(packet_id: u16, reasons: &'a [ReasonCode]) -> Self {
        Self { packet_id, reasons: reasons.into(), reason_string: None, user_properties: UserProperties::EMPTY }
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (packet_id, properties, mut reader) = open(version, body)?;
        let allowed = if version.has_properties() { SUBSCRIBED } else { SUBSCRIBED_V3 };
        let reasons = ReasonCodes::decode(&mut reader, allowed)?;
        let ReasonProperties { reason_string, user_properties } = properties;
        Ok(Self { packet_id, reasons, reason_string, user_properties })
    }
}

impl Body for SubAck<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id);
        if version.has_properties() {
            reason_properties(self.reason_string, self.user_properties).write_block(sink);
        }
        for reason in self.reasons.iter() {
            sink.u8(if version.has_properties() { reason.code() } else { reason.suback_v3() });
        }
    }
}

/// An UNSUBACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnsubAck<'a> {
    /// The packet identifier of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// One for each topic filter, in order; none before version 5.
    pub reasons: ReasonCodes<'a>,
    /// Words for people; version 5.
    pub reason_string: Option<&'a str>,
    /// Version 5.
    pub user_properties: UserProperties<'a>,
}

impl<'a> UnsubAck<'a> {
    /// An UNSUBACK without properties.
    #[must_use]
    pub fn new(packet_id: u16, reasons: &'a [ReasonCode]) -> Self {
        Self { packet_id, reasons: reasons.into(), reason_string: None, user_properties: UserProperties::EMPTY }
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (packet_id, properties, mut reader) = open(version, body)?;
        let reasons = if version.has_properties() {
            ReasonCodes::decode(&mut reader, UNSUBSCRIBED)?
        } else {
            reader.finish()?;
            ReasonCodes::EMPTY
        };
        let ReasonProperties { reason_string, user_properties } = properties;
        Ok(Self { packet_id, reasons, reason_string, user_properties })
    }
}

impl Body for UnsubAck<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id);
        if version.has_properties() {
            reason_properties(self.reason_string, self.user_properties).write_block(sink);
            self.reasons.iter().for_each(|reason| sink.u8(reason.code()));
        }
    }
}

fn open(version: Version, body: &[u8]) -> Result<(u16, ReasonProperties<'_>, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let properties = if version.has_properties() {
        ReasonProperties::decode(&mut reader)?
    } else {
        reason_properties(None, UserProperties::EMPTY)
    };
    Ok((packet_id, properties, reader))
}

const fn reason_properties<'a>(
    reason_string: Option<&'a str>,
    user_properties: UserProperties<'a>,
) -> ReasonProperties<'a> {
    ReasonProperties { reason_string, user_properties }
}

/// Reason codes in order: those of a decoded packet, or a slice to encode.
#[derive(Clone, Copy)]
pub struct ReasonCodes<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Bytes that were checked to be reason codes.
    Bytes(&'a [u8]),
    Codes(&'a [ReasonCode]),
}

impl<'a> ReasonCodes<'a> {
    /// None.
    pub const EMPTY: Self = Self(Source::Codes(&[]));

    /// All that is left of a packet.
    fn decode(reader: &mut Reader<'a>, allowed: ReasonSet) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(DecodeErrorKind::NoReasonCodes.into());
        }
        bytes.iter().try_for_each(|&byte| allowed.decode(byte).map(drop))?;
        Ok(Self(Source::Bytes(bytes)))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Bytes(bytes) => bytes.len(),
            Source::Codes(codes) => codes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + 'a {
        let (bytes, codes): (&[u8], &[ReasonCode]) = match self.0 {
            Source::Bytes(bytes) => (bytes, &[]),
            Source::Codes(codes) => (&[], codes),
        };
        bytes.iter().filter_map(|&byte| ReasonCode::from_u8(byte)).chain(codes.iter().copied())
    }
}

impl<'a> From<&'a [ReasonCode]> for ReasonCodes<'a> {
    fn from(codes: &'a [ReasonCode]) -> Self {
        Self(Source::Codes(codes))
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What SUBACK may say [MQTT-3.9.3-2].
const SUBSCRIBED: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::GrantedQoS1,
    ReasonCode::GrantedQoS2,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
]);

const SUBSCRIBED_V3: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::GrantedQoS1,
    ReasonCode::GrantedQoS2,
    ReasonCode::UnspecifiedError,
]);

/// What UNSUBACK may say [MQTT-3.11.3-2].
const UNSUBSCRIBED: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::NoSubscriptionExisted,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
]);
