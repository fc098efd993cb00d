//! AUTH, of version 5 only.

use crate::{
    DecodeError, DecodeErrorKind, ReasonCode, UserProperties, Version,
    packet::Sender,
    property::{Properties, PropertySink, id, refuse},
    reader::Reader,
    reason::ReasonSet,
    sink::{Body, PropertyBlock, Sink},
};

/// An AUTH.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success (from a server), continue (from both), re-authenticate (from a client).
    pub reason: ReasonCode,
    /// Authentication Method; missing only in a packet without content.
    pub method: Option<&'a str>,
    /// Authentication Data.
    pub data: Option<&'a [u8]>,
    /// Words for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(crate) fn decode(sender: Sender, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let allowed = if sender == Sender::Client { FROM_CLIENT } else { FROM_SERVER };
        // Without content the reason is 0x00, which a client may not say.
        let reason = allowed.decode(if reader.is_empty() { 0 } else { reader.u8()? })?;
        let mut auth =
            Self { reason, method: None, data: None, reason_string: None, user_properties: UserProperties::EMPTY };
        if reader.is_empty() && reason == ReasonCode::Success {
            return Ok(auth);
        }
        let mut properties = Properties::open(&mut reader)?;
        while let Some(id) = properties.next_id()? {
            match id {
                id::AUTH_METHOD => auth.method = Some(properties.string()?),
                id::AUTH_DATA => auth.data = Some(properties.binary()?),
                id::REASON_STRING => auth.reason_string = Some(properties.string()?),
                _ => return Err(refuse(id)),
            }
        }
        auth.user_properties = properties.user_properties();
        reader.finish()?;
        if auth.method.is_none() {
            return Err(DecodeErrorKind::MissingAuthMethod.into());
        }
        Ok(auth)
    }
}

impl std::fmt::Debug for Auth<'_> {
    /// Leaves out the data, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("reason", &self.reason)
            .field("method", &self.method)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

impl PropertyBlock for Auth<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_string(id::AUTH_METHOD, self.method);
        sink.property_binary(id::AUTH_DATA, self.data);
        sink.property_string(id::REASON_STRING, self.reason_string);
        sink.user_properties(self.user_properties);
    }
}

impl Body for Auth<'_> {
    fn write_body<S: Sink>(&self, _: Version, sink: &mut S) {
        let has_properties = self.properties_len() > 0;
        if has_properties || self.reason != ReasonCode::Success {
            sink.u8(self.reason.code());
            self.write_block(sink);
        }
    }
}

/// What a client may say [MQTT-3.15.2-1].
const FROM_CLIENT: ReasonSet = ReasonSet::of(&[ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate]);

/// What a server may say [MQTT-3.15.2-1].
const FROM_SERVER: ReasonSet = ReasonSet::of(&[ReasonCode::Success, ReasonCode::ContinueAuthentication]);
