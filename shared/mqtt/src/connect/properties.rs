//! The properties of a CONNECT.

use crate::{
    DecodeError, DecodeErrorKind, UserProperties,
    property::{Properties, PropertySink, id, refuse},
    reader::Reader,
    sink::{PropertyBlock, Sink},
};

/// How much of a stranger's CONNECT is put up with. Each of its two property blocks is held to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectLimits {
    /// Most user properties.
    pub user_properties_max: usize,
    /// Most bytes of user properties, identifiers and lengths included.
    pub user_property_bytes_max: usize,
}

impl ConnectLimits {
    /// Nothing but what the packet's size allows.
    pub const NONE: Self = Self { user_properties_max: usize::MAX, user_property_bytes_max: usize::MAX };

    pub(crate) fn check(&self, found: &UserProperties<'_>) -> Result<(), DecodeError> {
        if found.len() > self.user_properties_max || found.encoded_len() > self.user_property_bytes_max {
            return Err(DecodeErrorKind::TooManyUserProperties.into());
        }
        Ok(())
    }
}

impl Default for ConnectLimits {
    /// 64 user properties in 8 KiB.
    fn default() -> Self {
        Self { user_properties_max: 64, user_property_bytes_max: 8 * 1024 }
    }
}

/// The properties of a CONNECT. `None` means what the specification says of an absent property.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectProperties<'a> {
    /// Session Expiry Interval in seconds; `u32::MAX` is never.
    pub session_expiry: Option<u32>,
    /// Receive Maximum, not 0.
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size in bytes, not 0.
    pub maximum_packet_size: Option<u32>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Request Response Information.
    pub request_response_information: Option<bool>,
    /// Request Problem Information.
    pub request_problem_information: Option<bool>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Authentication Method.
    pub auth_method: Option<&'a str>,
    /// Authentication Data; never shown, and only with a method.
    pub auth_data: Option<&'a [u8]>,
}

impl<'a> ConnectProperties<'a> {
    pub(super) fn decode(limits: &ConnectLimits, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::open(reader)?;
        let mut found = Self::default();
        while let Some(id) = properties.next_id()? {
            match id {
                id::SESSION_EXPIRY => found.session_expiry = Some(properties.u32()?),
                id::RECEIVE_MAXIMUM => found.receive_maximum = Some(properties.nonzero_u16()?),
                id::MAXIMUM_PACKET_SIZE => found.maximum_packet_size = Some(properties.nonzero_u32()?),
                id::TOPIC_ALIAS_MAXIMUM => found.topic_alias_maximum = Some(properties.u16()?),
                id::REQUEST_RESPONSE_INFORMATION => {
                    found.request_response_information = Some(properties.flag()?);
                }
                id::REQUEST_PROBLEM_INFORMATION => found.request_problem_information = Some(properties.flag()?),
                id::AUTH_METHOD => found.auth_method = Some(properties.string()?),
                id::AUTH_DATA => found.auth_data = Some(properties.binary()?),
                _ => return Err(refuse(id)),
            }
        }
        found.user_properties = properties.user_properties();
        limits.check(&found.user_properties)?;
        if found.auth_data.is_some() && found.auth_method.is_none() {
            return Err(DecodeErrorKind::MissingAuthMethod.into());
        }
        Ok(found)
    }
}

impl PropertyBlock for ConnectProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(id::SESSION_EXPIRY, self.session_expiry);
        sink.property_u16(id::RECEIVE_MAXIMUM, self.receive_maximum);
        sink.property_u32(id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.property_u16(id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.property_flag(id::REQUEST_RESPONSE_INFORMATION, self.request_response_information);
        sink.property_flag(id::REQUEST_PROBLEM_INFORMATION, self.request_problem_information);
        sink.property_string(id::AUTH_METHOD, self.auth_method);
        sink.property_binary(id::AUTH_DATA, self.auth_data);
        sink.user_properties(self.user_properties);
    }
}

impl std::fmt::Debug for ConnectProperties<'_> {
    /// Leaves out Authentication Data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("request_response_information", &self.request_response_information)
            .field("request_problem_information", &self.request_problem_information)
            .field("user_properties", &self.user_properties)
            .field("auth_method", &self.auth_method)
            .finish_non_exhaustive()
    }
}
