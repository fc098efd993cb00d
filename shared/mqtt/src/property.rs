//! Blocks of properties: one walk that finds what no packet may contain, and one over blocks already found right.

use crate::{
    DecodeError, DecodeErrorKind, UserProperties,
    reader::Reader,
    sink::{PropertyBlock, Sink},
};

/// Property identifiers.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTH_METHOD: u8 = 0x15;
    pub(crate) const AUTH_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTIONS: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTIONS: u8 = 0x2A;
}

/// A walk over a block of properties as it arrived. Every packet asks for [`next_id`](Self::next_id), reads the value of
/// an id it knows with the method of its type, and answers [`refuse`] for any other. User properties, which every packet
/// may carry, are read on the way.
#[derive(Debug)]
pub(crate) struct Properties<'a> {
    block: &'a [u8],
    reader: Reader<'a>,
    /// Bit n: identifier n came before.
    seen: u64,
    user_count: u32,
    user_bytes: u32,
}

impl<'a> Properties<'a> {
    /// Takes a block and its length from `packet`.
    pub(crate) fn open(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = packet.varint()?;
        let block = packet.take(len as usize)?;
        Ok(Self { block, reader: Reader::new(block), seen: 0, user_count: 0, user_bytes: 0 })
    }

    /// The next identifier that is not a user property's; `None` at the end.
    ///
    /// # Errors
    /// A second one of a kind, except for Subscription Identifiers, which some packets repeat.
    pub(crate) fn next_id(&mut self) -> Result<Option<u8>, DecodeError> {
        while !self.reader.is_empty() {
            let id = self.reader.u8()?;
            if id == id::USER_PROPERTY {
                self.user_property()?;
                continue;
            }
            let bit = 1_u64.checked_shl(u32::from(id)).unwrap_or(0);
            if self.seen & bit != 0 && id != id::SUBSCRIPTION_ID {
                return Err(DecodeErrorKind::DuplicateProperty.into());
            }
            self.seen |= bit;
            return Ok(Some(id));
        }
        Ok(None)
    }

    fn user_property(&mut self) -> Result<(), DecodeError> {
        let name = self.reader.string()?;
        let value = self.reader.string()?;
        self.user_count += 1;
        self.user_bytes += (USER_PROPERTY_OVERHEAD + name.len() + value.len()) as u32;
        Ok(())
    }

    /// The whole block as it arrived.
    pub(crate) const fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Whether a property with this identifier, which is below 64, was met.
    pub(crate) const fn has_seen(&self, id: u8) -> bool {
        self.seen & 1 << id != 0
    }

    /// The user properties met.
    pub(crate) const fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::from_block(self.block, self.user_count, self.user_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.reader.u16()
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32()
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        self.reader.string()
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        self.reader.binary()
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(bad_value()),
        }
    }

    /// Two bytes that are not 0.
    pub(crate) fn nonzero_u16(&mut self) -> Result<u16, DecodeError> {
        self.reader.u16().and_then(|value| if value == 0 { Err(bad_value()) } else { Ok(value) })
    }

    /// Four bytes that are not 0.
    pub(crate) fn nonzero_u32(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32().and_then(|value| if value == 0 { Err(bad_value()) } else { Ok(value) })
    }

    /// A Subscription Identifier: 1 to 268,435,455.
    pub(crate) fn subscription_id(&mut self) -> Result<u32, DecodeError> {
        self.reader.varint().and_then(|value| if value == 0 { Err(bad_value()) } else { Ok(value) })
    }

    /// A Payload Format Indicator: 0 unspecified bytes, 1 UTF-8.
    pub(crate) fn payload_format(&mut self) -> Result<u8, DecodeError> {
        self.flag().map(u8::from)
    }

    /// A Response Topic [MQTT-3.3.2-14].
    pub(crate) fn response_topic(&mut self) -> Result<&'a str, DecodeError> {
        let topic = self.reader.string()?;
        if topic.bytes().any(|b| b == b'+' || b == b'#') {
            return Err(DecodeErrorKind::WildcardInResponseTopic.into());
        }
        Ok(topic)
    }
}

/// The answer to a property that the packet does not know.
#[cold]
pub(crate) fn refuse(id: u8) -> DecodeError {
    match shape(id) {
        Some(_) => DecodeErrorKind::PropertyNotAllowed.into(),
        None => DecodeErrorKind::UnknownProperty.into(),
    }
}

#[cold]
fn bad_value() -> DecodeError {
    DecodeErrorKind::BadPropertyValue.into()
}

/// The properties of a block that was decoded before: identifier, and the bytes of identifier and value.
#[derive(Clone, Debug)]
pub(crate) struct Checked<'a> {
    rest: &'a [u8],
}

impl<'a> Checked<'a> {
    pub(crate) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Checked<'a> {
    type Item = (u8, &'a [u8]);

    /// Ends at bytes that are no property, which a checked block does not contain.
    fn next(&mut self) -> Option<Self::Item> {
        let (&id, value) = self.rest.split_first()?;
        let mut reader = Reader::new(value);
        match shape(id)? {
            Shape::Fixed(len) => reader.take(len).ok()?,
            Shape::Varint => reader.varint().map(|_| value).ok()?,
            Shape::Binary => reader.binary().ok()?,
            Shape::Pair => reader.binary().and_then(|_| reader.binary()).ok()?,
        };
        let (property, rest) = self.rest.split_at_checked(self.rest.len() - reader.rest().len())?;
        self.rest = rest;
        Some((id, property))
    }
}

/// Copies the properties of a checked block for which `keep` holds, neighbours in one go.
pub(crate) fn copy_kept(block: &[u8], keep: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    let (mut from, mut at) = (0, 0);
    for (id, property) in Checked::new(block) {
        let end = at + property.len();
        if !keep(id) {
            out.extend_from_slice(&block[from..at]);
            from = end;
        }
        at = end;
    }
    out.extend_from_slice(&block[from..at]);
}

/// How a value is written.
#[derive(Clone, Copy)]
enum Shape {
    Fixed(usize),
    Varint,
    Binary,
    Pair,
}

const fn shape(id: u8) -> Option<Shape> {
    Some(match id {
        id::PAYLOAD_FORMAT
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTIONS
        | id::SUBSCRIPTION_IDS
        | id::SHARED_SUBSCRIPTIONS => Shape::Fixed(1),
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => Shape::Fixed(2),
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAXIMUM_PACKET_SIZE => Shape::Fixed(4),
        id::SUBSCRIPTION_ID => Shape::Varint,
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::CORRELATION_DATA
        | id::ASSIGNED_CLIENT_ID
        | id::AUTH_METHOD
        | id::AUTH_DATA
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Shape::Binary,
        id::USER_PROPERTY => Shape::Pair,
        _ => return None,
    })
}

/// Writes properties that are there and nothing for those that are not.
pub(crate) trait PropertySink: Sink {
    fn property_u8(&mut self, id: u8, value: Option<u8>) {
        if let Some(value) = value {
            self.bytes(&[id, value]);
        }
    }

    fn property_flag(&mut self, id: u8, value: Option<bool>) {
        self.property_u8(id, value.map(u8::from));
    }

    fn property_u16(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id);
            self.u16(value);
        }
    }

    fn property_u32(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id);
            self.u32(value);
        }
    }

    fn property_varint(&mut self, id: u8, value: u32) {
        self.u8(id);
        self.varint(value as usize);
    }

    fn property_binary(&mut self, id: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.u8(id);
            self.binary(value);
        }
    }

    fn property_string(&mut self, id: u8, value: Option<&str>) {
        self.property_binary(id, value.map(str::as_bytes));
    }

    fn user_properties(&mut self, pairs: UserProperties<'_>) {
        for (name, value) in pairs {
            self.u8(id::USER_PROPERTY);
            self.string(name);
            self.string(value);
        }
    }
}

impl<S: Sink> PropertySink for S {}

/// Reason String and user properties: all that SUBACK, UNSUBACK, PUBACK, PUBREC, PUBREL and PUBCOMP carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReasonProperties<'a> {
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
}

impl<'a> ReasonProperties<'a> {
    pub(crate) fn decode(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::open(packet)?;
        let mut reason_string = None;
        while let Some(id) = properties.next_id()? {
            match id {
                id::REASON_STRING => reason_string = Some(properties.string()?),
                _ => return Err(refuse(id)),
            }
        }
        Ok(Self { reason_string, user_properties: properties.user_properties() })
    }
}

impl PropertyBlock for ReasonProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.property_string(id::REASON_STRING, self.reason_string);
        sink.user_properties(self.user_properties);
    }
}

/// A user property's identifier and the two lengths.
pub(crate) const USER_PROPERTY_OVERHEAD: usize = 5;
