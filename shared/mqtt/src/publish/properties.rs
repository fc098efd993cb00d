//! The properties of a PUBLISH, and which of them a server passes on.

use std::fmt;

use crate::{
    DecodeError, DecodeErrorKind, UserProperties,
    packet::Sender,
    property::{Checked, Properties, PropertySink, copy_kept, id, refuse},
    reader::Reader,
    sink::{PropertyBlock, Sink},
};

/// The properties of a PUBLISH.
#[derive(Clone, Copy, Debug)]
pub struct PublishProperties<'a> {
    /// Payload Format Indicator: 0 bytes, 1 UTF-8. Whether the payload is UTF-8 is not checked.
    pub payload_format: Option<u8>,
    /// Message Expiry Interval in seconds.
    pub message_expiry: Option<u32>,
    /// Topic Alias; never 0.
    pub topic_alias: Option<u16>,
    /// Response Topic, without wildcards.
    pub response_topic: Option<&'a str>,
    /// Correlation Data.
    pub correlation_data: Option<&'a [u8]>,
    /// Content Type.
    pub content_type: Option<&'a str>,
    /// User properties, in order.
    pub user_properties: UserProperties<'a>,
    /// Subscription Identifiers; only from a server to a client.
    pub subscription_ids: SubscriptionIds<'a>,
    /// The properties as they arrived, without their length; empty in a value that was not decoded. No part of what
    /// makes two values equal.
    pub raw: &'a [u8],
}

impl<'a> PublishProperties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self {
        payload_format: None,
        message_expiry: None,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        content_type: None,
        user_properties: UserProperties::EMPTY,
        subscription_ids: SubscriptionIds::EMPTY,
        raw: &[],
    };

    /// Fills in what the packet carries. In place, because the value is large and mostly stays empty.
    #[inline]
    pub(super) fn fill(&mut self, sender: Sender, packet: &mut Reader<'a>) -> Result<(), DecodeError> {
        if packet.rest().first() == Some(&0) {
            return packet.u8().map(drop);
        }
        self.fill_some(sender, packet)
    }

    fn fill_some(&mut self, sender: Sender, packet: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::open(packet)?;
        while let Some(id) = properties.next_id()? {
            match id {
                id::PAYLOAD_FORMAT => self.payload_format = Some(properties.payload_format()?),
                id::MESSAGE_EXPIRY => self.message_expiry = Some(properties.u32()?),
                id::TOPIC_ALIAS => self.topic_alias = Some(topic_alias(properties.u16()?)?),
                id::RESPONSE_TOPIC => self.response_topic = Some(properties.response_topic()?),
                id::CORRELATION_DATA => self.correlation_data = Some(properties.binary()?),
                id::CONTENT_TYPE => self.content_type = Some(properties.string()?),
                id::SUBSCRIPTION_ID if sender == Sender::Server => {
                    properties.subscription_id()?;
                }
                _ => return Err(refuse(id)),
            }
        }
        if properties.has_seen(id::SUBSCRIPTION_ID) {
            self.subscription_ids = SubscriptionIds(Source::Block(properties.block()));
        }
        self.user_properties = properties.user_properties();
        self.raw = properties.block();
        Ok(())
    }

    /// The properties that a server passes on unchanged (all but Message Expiry Interval, Topic Alias and Subscription
    /// Identifier) where they stand next to each other as they arrived: the common case.
    #[inline]
    #[must_use]
    pub fn forward_slice(&self) -> Option<&'a [u8]> {
        let whole = self.message_expiry.is_none() && self.topic_alias.is_none() && self.subscription_ids.is_empty();
        (whole && (!self.raw.is_empty() || self.forwards_nothing())).then_some(self.raw)
    }

    /// Appends the properties that a server passes on unchanged, in the order in which they arrived
    /// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]. For a value that
    /// was not decoded: from its fields, as [`crate::PublishHead::forward`] wants them.
    pub fn forward_into(&self, out: &mut Vec<u8>) {
        if let Some(slice) = self.forward_slice() {
            out.extend_from_slice(slice);
        } else if self.raw.is_empty() {
            self.write_forwardable(out);
        } else {
            copy_kept(self.raw, is_forwardable, out);
        }
    }

    fn forwards_nothing(&self) -> bool {
        self.payload_format.is_none()
            && self.response_topic.is_none()
            && self.correlation_data.is_none()
            && self.content_type.is_none()
            && self.user_properties.is_empty()
    }

    fn write_forwardable<S: Sink>(&self, sink: &mut S) {
        sink.property_u8(id::PAYLOAD_FORMAT, self.payload_format);
        sink.property_string(id::CONTENT_TYPE, self.content_type);
        sink.property_string(id::RESPONSE_TOPIC, self.response_topic);
        sink.property_binary(id::CORRELATION_DATA, self.correlation_data);
        sink.user_properties(self.user_properties);
    }
}

const fn is_forwardable(id: u8) -> bool {
    !matches!(id, id::MESSAGE_EXPIRY | id::TOPIC_ALIAS | id::SUBSCRIPTION_ID)
}

fn topic_alias(alias: u16) -> Result<u16, DecodeError> {
    if alias == 0 { Err(DecodeErrorKind::ZeroTopicAlias.into()) } else { Ok(alias) }
}

impl PropertyBlock for PublishProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(id::MESSAGE_EXPIRY, self.message_expiry);
        sink.property_u16(id::TOPIC_ALIAS, self.topic_alias);
        for subscription_id in self.subscription_ids.iter() {
            sink.property_varint(id::SUBSCRIPTION_ID, subscription_id);
        }
        self.write_forwardable(sink);
    }
}

impl Default for PublishProperties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for PublishProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.payload_format == other.payload_format
            && self.message_expiry == other.message_expiry
            && self.topic_alias == other.topic_alias
            && self.response_topic == other.response_topic
            && self.correlation_data == other.correlation_data
            && self.content_type == other.content_type
            && self.user_properties == other.user_properties
            && self.subscription_ids == other.subscription_ids
    }
}

impl Eq for PublishProperties<'_> {}

/// The Subscription Identifiers of a delivery: one for each overlapping subscription that has one.
#[derive(Clone, Copy)]
pub struct SubscriptionIds<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Block(&'a [u8]),
    Ids(&'a [u32]),
}

impl<'a> SubscriptionIds<'a> {
    /// None.
    pub const EMPTY: Self = Self(Source::Ids(&[]));

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            Source::Block(block) => block.is_empty(),
            Source::Ids(ids) => ids.is_empty(),
        }
    }

    /// Each of them, in the order of the packet.
    pub fn iter(&self) -> impl Iterator<Item = u32> + 'a {
        let (block, ids): (&[u8], &[u32]) = match self.0 {
            Source::Block(block) => (block, &[]),
            Source::Ids(ids) => (&[], ids),
        };
        let from_block = Checked::new(block)
            .filter(|&(id, _)| id == id::SUBSCRIPTION_ID)
            .filter_map(|(_, property)| Reader::new(&property[1..]).varint().ok());
        from_block.chain(ids.iter().copied())
    }
}

impl<'a> From<&'a [u32]> for SubscriptionIds<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Self(Source::Ids(ids))
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
