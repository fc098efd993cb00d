//! CONNACK.

use crate::{
    DecodeError, DecodeErrorKind, QoS, ReasonCode, UserProperties, Version,
    property::{Properties, PropertySink, id, refuse},
    reader::Reader,
    reason::ReasonSet,
    sink::{Body, PropertyBlock, Sink},
};

/// A CONNACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnAck<'a> {
    /// Whether the server has the session; not in version 3.1, nor in a refusal [MQTT-3.2.2-6].
    pub session_present: bool,
    /// Whether the client is connected. Before version 5 it becomes [`ReasonCode::connack_v3`].
    pub reason: ReasonCode,
    /// Properties; none before version 5.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of a CONNACK. `None` means what the specification says of an absent property.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnAckProperties<'a> {
    /// Session Expiry Interval in seconds, where it differs from the client's.
    pub session_expiry: Option<u32>,
    /// Receive Maximum, not 0.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS: 0 or 1.
    pub maximum_qos: Option<QoS>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size in bytes, not 0.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<&'a str>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Words for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Wildcard Subscription Available.
    pub wildcard_subscriptions_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_ids_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_subscriptions_available: Option<bool>,
    /// Server Keep Alive in seconds.
    pub server_keep_alive: Option<u16>,
    /// Response Information.
    pub response_information: Option<&'a str>,
    /// Server Reference.
    pub server_reference: Option<&'a str>,
    /// Authentication Method.
    pub auth_method: Option<&'a str>,
    /// Authentication Data.
    pub auth_data: Option<&'a [u8]>,
}

impl ConnAck<'_> {
    /// A CONNACK without properties.
    #[must_use]
    pub fn new(session_present: bool, reason: ReasonCode) -> Self {
        Self { session_present, reason, properties: ConnAckProperties::default() }
    }
}

impl<'a> ConnAck<'a> {
    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        let code = reader.u8()?;
        let reason = if version.has_properties() {
            CONNECTED.decode(code)?
        } else {
            ReasonCode::from_connack_v3(code).ok_or(DecodeErrorKind::BadReasonCode)?
        };
        let may_be_present = reason == ReasonCode::Success && version != Version::V31;
        if flags > u8::from(may_be_present) {
            return Err(DecodeErrorKind::BadAcknowledgeFlags.into());
        }
        let properties = if version.has_properties() {
            ConnAckProperties::decode(&mut reader)?
        } else {
            ConnAckProperties::default()
        };
        reader.finish()?;
        Ok(Self { session_present: flags == 1, reason, properties })
    }
}

impl<'a> ConnAckProperties<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::open(reader)?;
        let mut found = Self::default();
        while let Some(id) = properties.next_id()? {
            match id {
                id::SESSION_EXPIRY => found.session_expiry = Some(properties.u32()?),
                id::RECEIVE_MAXIMUM => found.receive_maximum = Some(properties.nonzero_u16()?),
                id::MAXIMUM_QOS => found.maximum_qos = QoS::from_bits(u8::from(properties.flag()?)),
                id::RETAIN_AVAILABLE => found.retain_available = Some(properties.flag()?),
                id::MAXIMUM_PACKET_SIZE => found.maximum_packet_size = Some(properties.nonzero_u32()?),
                id::ASSIGNED_CLIENT_ID => found.assigned_client_id = Some(properties.string()?),
                id::TOPIC_ALIAS_MAXIMUM => found.topic_alias_maximum = Some(properties.u16()?),
                id::REASON_STRING => found.reason_string = Some(properties.string()?),
                id::WILDCARD_SUBSCRIPTIONS => found.wildcard_subscriptions_available = Some(properties.flag()?),
                id::SUBSCRIPTION_IDS => found.subscription_ids_available = Some(properties.flag()?),
                id::SHARED_SUBSCRIPTIONS => found.shared_subscriptions_available = Some(properties.flag()?),
                id::SERVER_KEEP_ALIVE => found.server_keep_alive = Some(properties.u16()?),
                id::RESPONSE_INFORMATION => found.response_information = Some(properties.string()?),
                id::SERVER_REFERENCE => found.server_reference = Some(properties.string()?),
                id::AUTH_METHOD => found.auth_method = Some(properties.string()?),
                id::AUTH_DATA => found.auth_data = Some(properties.binary()?),
                _ => return Err(refuse(id)),
            }
        }
        found.user_properties = properties.user_properties();
        if found.auth_data.is_some() && found.auth_method.is_none() {
            return Err(DecodeErrorKind::MissingAuthMethod.into());
        }
        Ok(found)
    }
}

impl PropertyBlock for ConnAckProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(id::SESSION_EXPIRY, self.session_expiry);
        sink.property_u16(id::RECEIVE_MAXIMUM, self.receive_maximum);
        sink.property_u8(id::MAXIMUM_QOS, self.maximum_qos.map(QoS::bits));
        sink.property_flag(id::RETAIN_AVAILABLE, self.retain_available);
        sink.property_u32(id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.property_string(id::ASSIGNED_CLIENT_ID, self.assigned_client_id);
        sink.property_u16(id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.property_flag(id::WILDCARD_SUBSCRIPTIONS, self.wildcard_subscriptions_available);
        sink.property_flag(id::SUBSCRIPTION_IDS, self.subscription_ids_available);
        sink.property_flag(id::SHARED_SUBSCRIPTIONS, self.shared_subscriptions_available);
        sink.property_u16(id::SERVER_KEEP_ALIVE, self.server_keep_alive);
        sink.property_string(id::RESPONSE_INFORMATION, self.response_information);
        sink.property_string(id::SERVER_REFERENCE, self.server_reference);
        sink.property_string(id::AUTH_METHOD, self.auth_method);
        sink.property_binary(id::AUTH_DATA, self.auth_data);
        sink.property_string(id::REASON_STRING, self.reason_string);
        sink.user_properties(self.user_properties);
    }
}

impl Body for ConnAck<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        let present = self.session_present && self.reason == ReasonCode::Success && version != Version::V31;
        sink.u8(u8::from(present));
        if version.has_properties() {
            sink.u8(self.reason.code());
            self.properties.write_block(sink);
        } else {
            sink.u8(self.reason.connack_v3());
        }
    }
}

impl std::fmt::Debug for ConnAckProperties<'_> {
    /// Leaves out Authentication Data, which may be a secret, and what is absent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnAckProperties")
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_qos", &self.maximum_qos)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("assigned_client_id", &self.assigned_client_id)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("server_keep_alive", &self.server_keep_alive)
            .field("server_reference", &self.server_reference)
            .field("auth_method", &self.auth_method)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

/// What a CONNACK may say [MQTT-3.2.2-8].
const CONNECTED: ReasonSet = ReasonSet::of(&[
    ReasonCode::Success,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerUnavailable,
    ReasonCode::ServerBusy,
    ReasonCode::Banned,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QoSNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::ConnectionRateExceeded,
]);
