//! The will in a CONNECT.

use super::ConnectLimits;
use crate::{
    DecodeError, DecodeErrorKind, QoS, UserProperties, Version,
    property::{Properties, PropertySink, copy_kept, id, refuse},
    reader::Reader,
    sink::{Body, PropertyBlock, Sink},
};

/// The message that the server publishes when the client goes without a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Will<'a> {
    /// Quality of service it is published with.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// The topic name, not empty. What it contains beyond text is not checked.
    pub topic: &'a str,
    /// The application message, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// Properties; none before version 5.
    pub properties: WillProperties<'a>,
}

impl<'a> Will<'a> {
    pub(super) fn decode(
        version: Version,
        limits: &ConnectLimits,
        qos: QoS,
        retain: bool,
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let properties =
            if version.has_properties() { WillProperties::decode(limits, reader)? } else { WillProperties::default() };
        let topic = reader.string()?;
        if topic.is_empty() {
            return Err(DecodeErrorKind::EmptyTopic.into());
        }
        Ok(Self { qos, retain, topic, payload: reader.binary()?, properties })
    }
}

impl Body for Will<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        if version.has_properties() {
            self.properties.write_block(sink);
        }
        sink.string(self.topic);
        sink.binary(self.payload);
    }
}

/// The properties of a will.
#[derive(Clone, Copy, Debug, Default)]
pub struct WillProperties<'a> {
    /// Will Delay Interval in seconds.
    pub delay: Option<u32>,
    /// Payload Format Indicator: 0 bytes, 1 UTF-8. Whether the payload is UTF-8 is not checked.
    pub payload_format: Option<u8>,
    /// Message Expiry Interval in seconds, counted from when the will is published.
    pub message_expiry: Option<u32>,
    /// Content Type.
    pub content_type: Option<&'a str>,
    /// Response Topic, without wildcards.
    pub response_topic: Option<&'a str>,
    /// Correlation Data.
    pub correlation_data: Option<&'a [u8]>,
    /// User properties, in order.
    pub user_properties: UserProperties<'a>,
    /// The properties as they arrived, without their length; empty in a value that was not decoded. No part of what
    /// makes two values equal.
    pub raw: &'a [u8],
}

impl<'a> WillProperties<'a> {
    fn decode(limits: &ConnectLimits, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::open(reader)?;
        let mut found = Self::default();
        while let Some(id) = properties.next_id()? {
            match id {
                id::WILL_DELAY => found.delay = Some(properties.u32()?),
                id::PAYLOAD_FORMAT => found.payload_format = Some(properties.payload_format()?),
                id::MESSAGE_EXPIRY => found.message_expiry = Some(properties.u32()?),
                id::CONTENT_TYPE => found.content_type = Some(properties.string()?),
                id::RESPONSE_TOPIC => found.response_topic = Some(properties.response_topic()?),
                id::CORRELATION_DATA => found.correlation_data = Some(properties.binary()?),
                _ => return Err(refuse(id)),
            }
        }
        found.user_properties = properties.user_properties();
        found.raw = properties.block();
        limits.check(&found.user_properties)?;
        Ok(found)
    }

    /// Appends the properties that subscribers get unchanged (all but Will Delay and Message Expiry Interval), in their
    /// order: what [`crate::PublishHead::forward`] wants. For a value that was not decoded: from its fields.
    pub fn forward_into(&self, out: &mut Vec<u8>) {
        if self.raw.is_empty() {
            self.write_forwardable(out);
        } else {
            copy_kept(self.raw, |id| !matches!(id, id::WILL_DELAY | id::MESSAGE_EXPIRY), out);
        }
    }

    fn write_forwardable<S: Sink>(&self, sink: &mut S) {
        sink.property_u8(id::PAYLOAD_FORMAT, self.payload_format);
        sink.property_string(id::CONTENT_TYPE, self.content_type);
        sink.property_string(id::RESPONSE_TOPIC, self.response_topic);
        sink.property_binary(id::CORRELATION_DATA, self.correlation_data);
        sink.user_properties(self.user_properties);
    }
}

impl PropertyBlock for WillProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(id::WILL_DELAY, self.delay);
        sink.property_u32(id::MESSAGE_EXPIRY, self.message_expiry);
        self.write_forwardable(sink);
    }
}

impl PartialEq for WillProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.delay == other.delay
            && self.payload_format == other.payload_format
            && self.message_expiry == other.message_expiry
            && self.content_type == other.content_type
            && self.response_topic == other.response_topic
            && self.correlation_data == other.correlation_data
            && self.user_properties == other.user_properties
    }
}

impl Eq for WillProperties<'_> {}
