//! SUBSCRIBE.

use std::fmt;

use crate::{
    DecodeError, DecodeErrorKind, QoS, UserProperties, Version,
    property::{Properties, PropertySink, id, refuse},
    reader::Reader,
    sink::{Body, PropertyBlock, Sink},
};

/// A SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribe<'a> {
    /// Packet identifier; never 0.
    pub packet_id: u16,
    /// Subscription Identifier for all filters of this packet, 1 to 268,435,455; version 5.
    pub subscription_id: Option<u32>,
    /// Version 5.
    pub user_properties: UserProperties<'a>,
    /// What is subscribed to; at least one.
    pub filters: SubscribeFilters<'a>,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let (mut subscription_id, mut user_properties) = (None, UserProperties::EMPTY);
        if version.has_properties() {
            let mut properties = Properties::open(&mut reader)?;
            while let Some(id) = properties.next_id()? {
                match id {
                    id::SUBSCRIPTION_ID if subscription_id.is_some() => {
                        return Err(DecodeErrorKind::DuplicateProperty.into());
                    }
                    id::SUBSCRIPTION_ID => subscription_id = Some(properties.subscription_id()?),
                    _ => return Err(refuse(id)),
                }
            }
            user_properties = properties.user_properties();
        }
        let filters = SubscribeFilters::decode(version, &mut reader)?;
        Ok(Self { packet_id, subscription_id, user_properties, filters })
    }
}

impl PropertyBlock for Subscribe<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        if let Some(subscription_id) = self.subscription_id {
            sink.property_varint(id::SUBSCRIPTION_ID, subscription_id);
        }
        sink.user_properties(self.user_properties);
    }
}

impl Body for Subscribe<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id);
        if version.has_properties() {
            self.write_block(sink);
        }
        for SubscribeFilter { filter, options } in self.filters.iter() {
            sink.string(filter);
            sink.u8(options.bits(version));
        }
    }
}

/// One topic filter and how to subscribe to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscribeFilter<'a> {
    /// The topic filter, which may be a shared one. What it contains beyond text is not checked.
    pub filter: &'a str,
    /// How to subscribe.
    pub options: SubscriptionOptions,
}

impl<'a> SubscribeFilter<'a> {
    fn decode(version: Version, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let filter = reader.string()?;
        let options = SubscriptionOptions::decode(version, reader.u8()?)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(DecodeErrorKind::NoLocalOnShared.into());
        }
        Ok(Self { filter, options })
    }
}

/// The Subscription Options. Before version 5 there is only the QoS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SubscriptionOptions {
    /// Maximum QoS of deliveries.
    pub qos: QoS,
    /// Whether the client's own messages stay away.
    pub no_local: bool,
    /// Whether deliveries keep the retain flag they were published with.
    pub retain_as_published: bool,
    /// Whether retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options of a byte of the wire.
    ///
    /// # Errors
    /// Reserved bits [MQTT-3.8.3-5], QoS 3, Retain Handling 3.
    pub fn decode(version: Version, bits: u8) -> Result<Self, DecodeError> {
        let reserved = if version.has_properties() { 0b1100_0000 } else { 0b1111_1100 };
        if bits & reserved != 0 {
            return Err(DecodeErrorKind::ReservedSubscriptionOption.into());
        }
        Ok(Self {
            qos: QoS::from_bits(bits & 0b11).ok_or(DecodeErrorKind::BadSubscriptionQoS)?,
            no_local: bits & NO_LOCAL != 0,
            retain_as_published: bits & RETAIN_AS_PUBLISHED != 0,
            retain_handling: RetainHandling::from_bits(bits >> 4).ok_or(DecodeErrorKind::BadRetainHandling)?,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn bits(self, version: Version) -> u8 {
        if !version.has_properties() {
            return self.qos.bits();
        }
        let no_local = if self.no_local { NO_LOCAL } else { 0 };
        let retain_as_published = if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 };
        self.qos.bits() | no_local | retain_as_published | (self.retain_handling as u8) << 4
    }
}

const NO_LOCAL: u8 = 0b100;
const RETAIN_AS_PUBLISHED: u8 = 0b1000;

/// Whether a subscription is answered with retained messages; the discriminant is its two bits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    #[default]
    Send = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl RetainHandling {
    /// The handling for two bits of the wire; `None` for 3 and above.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

/// The topic filters of a SUBSCRIBE, in order: those of a decoded packet, or a slice to encode.
#[derive(Clone, Copy)]
pub struct SubscribeFilters<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Filters that were checked.
    Block {
        version: Version,
        block: &'a [u8],
        count: u32,
    },
    List(&'a [SubscribeFilter<'a>]),
}

impl<'a> SubscribeFilters<'a> {
    /// All that is left of a packet.
    fn decode(version: Version, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let block = reader.rest();
        let mut count = 0;
        while !reader.is_empty() {
            SubscribeFilter::decode(version, reader)?;
            count += 1;
        }
        if count == 0 {
            return Err(DecodeErrorKind::NoFilters.into());
        }
        Ok(Self(Source::Block { version, block, count }))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Block { count, .. } => count as usize,
            Source::List(list) => list.len(),
        }
    }

    /// Whether there are none; never in a decoded packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SubscribeFilter<'a>> + 'a {
        let (version, block, list): (_, &[u8], &[SubscribeFilter<'a>]) = match self.0 {
            Source::Block { version, block, .. } => (version, block, &[]),
            Source::List(list) => (Version::V5, &[], list),
        };
        let mut reader = Reader::new(block);
        std::iter::from_fn(move || SubscribeFilter::decode(version, &mut reader).ok()).chain(list.iter().copied())
    }
}

impl<'a> From<&'a [SubscribeFilter<'a>]> for SubscribeFilters<'a> {
    fn from(list: &'a [SubscribeFilter<'a>]) -> Self {
        Self(Source::List(list))
    }
}

impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscribeFilters<'_> {}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
