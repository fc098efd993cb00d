//! DISCONNECT.

use crate::{
    DecodeError, DecodeErrorKind, ReasonCode, UserProperties, Version,
    packet::Sender,
    property::{Properties, PropertySink, id, refuse},
    reader::Reader,
    reason::ReasonSet,
    sink::{Body, PropertyBlock, Sink},
};

/// A DISCONNECT. Before version 5 it has no content, and only clients send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disconnect<'a> {
    /// Why; [`ReasonCode::Success`] is the normal way to go.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: DisconnectProperties<'a>,
}

/// The properties of a DISCONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DisconnectProperties<'a> {
    /// A new Session Expiry Interval in seconds; only from a client.
    pub session_expiry: Option<u32>,
    /// Words for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Where to go instead; only from a server.
    pub server_reference: Option<&'a str>,
}

impl Disconnect<'_> {
    /// A DISCONNECT without properties.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: DisconnectProperties::default() }
    }
}

impl<'a> Disconnect<'a> {
    pub(crate) fn decode(sender: Sender, version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Self::new(ReasonCode::Success);
        if version.has_properties() {
            if !reader.is_empty() {
                let allowed = if sender == Sender::Client { FROM_CLIENT } else { FROM_SERVER };
                disconnect.reason = allowed.decode(reader.u8()?)?;
            }
            if !reader.is_empty() {
                disconnect.properties = DisconnectProperties::decode(sender, &mut reader)?;
            }
        } else if sender == Sender::Server {
            return Err(DecodeErrorKind::WrongDirection.into());
        }
        reader.finish()?;
        Ok(disconnect)
    }
}

impl<'a> DisconnectProperties<'a> {
    fn decode(sender: Sender, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::open(reader)?;
        let mut found = Self::default();
        while let Some(id) = properties.next_id()? {
            match id {
                id::SESSION_EXPIRY if sender == Sender::Client => found.session_expiry = Some(properties.u32()?),
                id::SERVER_REFERENCE if sender == Sender::Server => {
                    found.server_reference = Some(properties.string()?);
                }
                id::REASON_STRING => found.reason_string = Some(properties.string()?),
                _ => return Err(refuse(id)),
            }
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }
}

impl PropertyBlock for DisconnectProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(id::SESSION_EXPIRY, self.session_expiry);
        sink.property_string(id::REASON_STRING, self.reason_string);
        sink.property_string(id::SERVER_REFERENCE, self.server_reference);
        sink.user_properties(self.user_properties);
    }
}

impl Body for Disconnect<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        if !version.has_properties() {
            return;
        }
        let has_properties = self.properties.properties_len() > 0;
        if has_properties || self.reason != ReasonCode::Success {
            sink.u8(self.reason.code());
        }
        if has_properties {
            self.properties.write_block(sink);
        }
    }
}

/// What a client may say [MQTT-3.14.2-1].
const FROM_CLIENT: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::DisconnectWithWill,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::TopicNameInvalid,
    ReasonCode::ReceiveMaximumExceeded,
    ReasonCode::TopicAliasInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::MessageRateTooHigh,
    ReasonCode::QuotaExceeded,
    ReasonCode::AdministrativeAction,
    ReasonCode::PayloadFormatInvalid,
]);

/// What a server may say [MQTT-3.14.2-1]; also 0x00, which is a client's by the table but is sent by servers in use.
const FROM_SERVER: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerBusy,
    ReasonCode::ServerShuttingDown,
    ReasonCode::KeepAliveTimeout,
    ReasonCode::SessionTakenOver,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::TopicNameInvalid,
    ReasonCode::ReceiveMaximumExceeded,
    ReasonCode::TopicAliasInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::MessageRateTooHigh,
    ReasonCode::QuotaExceeded,
    ReasonCode::AdministrativeAction,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QoSNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::ConnectionRateExceeded,
    ReasonCode::MaximumConnectTime,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
]);
