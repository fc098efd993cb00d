//! Properties of version 5: an identifier and a value, in the order in which they stand in a packet.

use crate::wire::{Reader, put_bytes, put_varint};

/// Property identifiers, as in table 2-4 of the specification.
pub mod id {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTH_METHOD: u8 = 0x15;
    pub const AUTH_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARD_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// One property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// Which, one of [`id`].
    pub id: u8,
    /// Its value.
    pub value: Value,
}

/// A property's value, by its data type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A byte.
    Byte(u8),
    /// A Two Byte Integer.
    Two(u16),
    /// A Four Byte Integer.
    Four(u32),
    /// A Variable Byte Integer.
    Var(u32),
    /// A UTF-8 Encoded String or Binary Data.
    Bytes(Vec<u8>),
    /// A UTF-8 String Pair.
    Pair(Vec<u8>, Vec<u8>),
    /// Bytes put as they are.
    Raw(Vec<u8>),
}

/// A property with an integer value, in the width its identifier has.
#[must_use]
pub fn number(id: u8, value: u32) -> Property {
    let value = match kind(id) {
        Some(Kind::Byte) => Value::Byte(value as u8),
        Some(Kind::Two) => Value::Two(value as u16),
        Some(Kind::Four) => Value::Four(value),
        Some(Kind::Var) => Value::Var(value),
        Some(Kind::Text | Kind::Binary | Kind::Pair) | None => panic!("property {id:#04x} is not a number"),
    };
    Property { id, value }
}

/// A property with a string or binary value, well-formed or not.
#[must_use]
pub fn bytes(id: u8, value: impl AsRef<[u8]>) -> Property {
    Property { id, value: Value::Bytes(value.as_ref().to_vec()) }
}

/// A User Property, well-formed or not.
#[must_use]
pub fn user(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Property {
    Property { id: id::USER_PROPERTY, value: Value::Pair(name.as_ref().to_vec(), value.as_ref().to_vec()) }
}

/// A property that is sent as this identifier and these bytes.
#[must_use]
pub fn raw(id: u8, value: &[u8]) -> Property {
    Property { id, value: Value::Raw(value.to_vec()) }
}

/// Appends the property length and the properties.
pub fn put_properties(out: &mut Vec<u8>, properties: &[Property]) {
    let mut block = Vec::new();
    for property in properties {
        block.push(property.id);
        match &property.value {
            Value::Byte(value) => block.push(*value),
            Value::Two(value) => block.extend_from_slice(&value.to_be_bytes()),
            Value::Four(value) => block.extend_from_slice(&value.to_be_bytes()),
            Value::Var(value) => put_varint(&mut block, *value),
            Value::Bytes(value) => put_bytes(&mut block, value),
            Value::Pair(name, value) => {
                put_bytes(&mut block, name);
                put_bytes(&mut block, value);
            }
            Value::Raw(value) => block.extend_from_slice(value),
        }
    }
    put_varint(out, u32::try_from(block.len()).expect("a short block"));
    out.extend_from_slice(&block);
}

/// The properties of a packet the server sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Properties(pub Vec<Property>);

impl Properties {
    /// Reads a property block. Panics at an identifier outside `allowed`, at one that stands twice without being
    /// allowed to, and at a value of the wrong form.
    pub fn read(reader: &mut Reader<'_>, allowed: &[u8]) -> Self {
        let length = reader.varint();
        let mut block = Reader::new(reader.take(length as usize));
        let mut properties = Vec::<Property>::new();
        while !block.is_empty() {
            let id = block.byte();
            assert!(allowed.contains(&id), "the server sent property {id:#04x} in a packet that may not have it");
            let repeats = matches!(id, id::USER_PROPERTY | id::SUBSCRIPTION_ID);
            assert!(repeats || properties.iter().all(|p| p.id != id), "the server sent property {id:#04x} twice");
            let value = match kind(id).expect("a known property") {
                Kind::Byte => Value::Byte(block.byte()),
                Kind::Two => Value::Two(block.two()),
                Kind::Four => Value::Four(block.four()),
                Kind::Var => Value::Var(block.varint()),
                Kind::Text => Value::Bytes(block.text().into()),
                Kind::Binary => Value::Bytes(block.binary().into()),
                Kind::Pair => Value::Pair(block.text().into(), block.text().into()),
            };
            properties.push(Property { id, value });
        }
        Self(properties)
    }

    /// Whether the property is there.
    #[must_use]
    pub fn has(&self, id: u8) -> bool {
        self.0.iter().any(|p| p.id == id)
    }

    /// A number, if the property is there.
    #[must_use]
    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    /// All numbers of a property that may stand more than once, in order.
    #[must_use]
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let values = self.0.iter().filter(|p| p.id == id);
        values
            .map(|p| match p.value {
                Value::Byte(value) => value.into(),
                Value::Two(value) => value.into(),
                Value::Four(value) | Value::Var(value) => value,
                Value::Bytes(_) | Value::Pair(..) | Value::Raw(_) => panic!("property {id:#04x} is not a number"),
            })
            .collect()
    }

    /// A string or Binary Data, if the property is there.
    #[must_use]
    pub fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find(|p| p.id == id).map(|p| match &p.value {
            Value::Bytes(value) => value.as_slice(),
            _ => panic!("property {id:#04x} is not a string"),
        })
    }

    /// A string, if the property is there.
    #[must_use]
    pub fn text(&self, id: u8) -> Option<String> {
        self.bytes(id).map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"))
    }

    /// The User Properties in order.
    #[must_use]
    pub fn users(&self) -> Vec<(String, String)> {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("UTF-8");
        let pairs = self.0.iter().filter_map(|p| match &p.value {
            Value::Pair(name, value) => Some((text(name), text(value))),
            _ => None,
        });
        pairs.collect()
    }
}

enum Kind {
    Byte,
    Two,
    Four,
    Var,
    Text,
    Binary,
    Pair,
}

/// The data type of a property's value, as in table 2-4.
fn kind(id: u8) -> Option<Kind> {
    Some(match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Kind::Byte,
        0x13 | 0x21 | 0x22 | 0x23 => Kind::Two,
        0x02 | 0x11 | 0x18 | 0x27 => Kind::Four,
        0x0B => Kind::Var,
        0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Kind::Text,
        0x09 | 0x16 => Kind::Binary,
        0x26 => Kind::Pair,
        _ => return None,
    })
}
