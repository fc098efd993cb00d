//! Packets a client sends: correct unless a test asks for something else.

use crate::{
    property::{Property, Value, bytes, id, number, put_properties},
    wire::{Version, packet, put_bytes},
};

/// Something that becomes bytes in a version of the protocol.
pub trait Outgoing {
    /// The packet's bytes.
    fn encode(&self, version: Version) -> Vec<u8>;

    /// The version that the connection speaks from here on; only CONNECT says.
    fn version(&self) -> Option<Version> {
        None
    }

    /// The Maximum Packet Size that the connection has from here on, in bytes; only CONNECT says.
    fn packet_bytes_max(&self) -> Option<usize> {
        None
    }
}

impl Outgoing for Vec<u8> {
    fn encode(&self, _: Version) -> Vec<u8> {
        self.clone()
    }
}

impl Outgoing for &[u8] {
    fn encode(&self, _: Version) -> Vec<u8> {
        self.to_vec()
    }
}

impl<const N: usize> Outgoing for [u8; N] {
    fn encode(&self, _: Version) -> Vec<u8> {
        self.to_vec()
    }
}

/// A CONNECT of version 5 with Clean Start, a keep alive of 60 s and this client id.
#[must_use]
pub fn connect(client_id: impl AsRef<[u8]>) -> Connect {
    Connect {
        version: Version::V5,
        name: None,
        level: None,
        clean: true,
        keep_alive: 60,
        flags: None,
        client_id: client_id.as_ref().to_vec(),
        properties: Vec::new(),
        will: None,
        username: None,
        password: None,
    }
}

/// A CONNECT packet.
#[derive(Clone, Debug)]
pub struct Connect {
    version: Version,
    name: Option<Vec<u8>>,
    level: Option<u8>,
    clean: bool,
    keep_alive: u16,
    flags: Option<u8>,
    client_id: Vec<u8>,
    properties: Vec<Property>,
    will: Option<Will>,
    username: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

/// The will in a CONNECT.
#[derive(Clone, Debug)]
pub struct Will {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Vec<Property>,
}

/// A will with QoS 0, not retained.
#[must_use]
pub fn will(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Will {
    Will {
        topic: topic.as_ref().to_vec(),
        payload: payload.as_ref().to_vec(),
        qos: 0,
        retain: false,
        properties: Vec::new(),
    }
}

impl Will {
    /// Sets Will QoS, also to 3.
    #[must_use]
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// Sets Will Retain.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Sets the Will Delay Interval in seconds.
    #[must_use]
    pub fn delay(self, seconds: u32) -> Self {
        self.with(number(id::WILL_DELAY, seconds))
    }

    /// Adds a will property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Connect {
    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Makes it version 3.1.1.
    #[must_use]
    pub fn v311(self) -> Self {
        self.version(Version::V311)
    }

    /// Makes it version 3.1.
    #[must_use]
    pub fn v31(self) -> Self {
        self.version(Version::V31)
    }

    /// Says another protocol name.
    #[must_use]
    pub fn protocol_name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.name = Some(name.as_ref().to_vec());
        self
    }

    /// Says another protocol level.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets Clean Start (Clean Session) to 0.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    /// Sets the Keep Alive in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// Says these connect flags whatever the payload holds.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = Some(flags);
        self
    }

    /// Sets the Session Expiry Interval in seconds.
    #[must_use]
    pub fn expiry(self, seconds: u32) -> Self {
        self.with(number(id::SESSION_EXPIRY, seconds))
    }

    /// Makes the session persistent in the way of the version: expiry of 300 s, or Clean Session 0.
    #[must_use]
    pub fn persistent(self) -> Self {
        match self.version {
            Version::V5 => self.expiry(300).resume(),
            Version::V31 | Version::V311 => self.resume(),
        }
    }

    /// Sets the Receive Maximum.
    #[must_use]
    pub fn receive_maximum(self, packets: u16) -> Self {
        self.with(number(id::RECEIVE_MAXIMUM, packets.into()))
    }

    /// Sets the Maximum Packet Size in bytes.
    #[must_use]
    pub fn maximum_packet_size(self, bytes: u32) -> Self {
        self.with(number(id::MAXIMUM_PACKET_SIZE, bytes))
    }

    /// Sets the Topic Alias Maximum.
    #[must_use]
    pub fn topic_alias_maximum(self, aliases: u16) -> Self {
        self.with(number(id::TOPIC_ALIAS_MAXIMUM, aliases.into()))
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// Adds a will.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// Adds a user name.
    #[must_use]
    pub fn username(mut self, username: impl AsRef<[u8]>) -> Self {
        self.username = Some(username.as_ref().to_vec());
        self
    }

    /// Adds a password.
    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    fn true_flags(&self) -> u8 {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        flags | u8::from(self.password.is_some()) << 6 | u8::from(self.username.is_some()) << 7
    }

    /// The bytes after the fixed header.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let name = self.name.as_deref().unwrap_or(self.version.protocol_name().as_bytes());
        put_bytes(&mut body, name);
        body.push(self.level.unwrap_or(self.version.level()));
        body.push(self.flags.unwrap_or_else(|| self.true_flags()));
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version == Version::V5 {
            put_properties(&mut body, &self.properties);
        }
        put_bytes(&mut body, &self.client_id);
        if let Some(will) = &self.will {
            if self.version == Version::V5 {
                put_properties(&mut body, &will.properties);
            }
            put_bytes(&mut body, &will.topic);
            put_bytes(&mut body, &will.payload);
        }
        for field in [&self.username, &self.password].into_iter().flatten() {
            put_bytes(&mut body, field);
        }
        body
    }
}

impl Outgoing for Connect {
    fn encode(&self, _: Version) -> Vec<u8> {
        packet(0x10, &self.body())
    }

    fn version(&self) -> Option<Version> {
        Some(self.version)
    }

    fn packet_bytes_max(&self) -> Option<usize> {
        self.properties.iter().find_map(|property| match property {
            Property { id: id::MAXIMUM_PACKET_SIZE, value: Value::Four(bytes @ 1..) } => usize::try_from(*bytes).ok(),
            _ => None,
        })
    }
}

/// A QoS 0 PUBLISH.
#[must_use]
pub fn publish(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> PublishOut {
    PublishOut {
        flags: 0,
        topic: topic.as_ref().to_vec(),
        packet_id: 0,
        properties: Vec::new(),
        payload: payload.as_ref().to_vec(),
    }
}

/// A PUBLISH packet to the server.
#[derive(Clone, Debug)]
pub struct PublishOut {
    flags: u8,
    topic: Vec<u8>,
    packet_id: u16,
    properties: Vec<Property>,
    payload: Vec<u8>,
}

impl PublishOut {
    /// Sets the QoS and the packet id.
    #[must_use]
    pub fn qos(mut self, qos: u8, packet_id: u16) -> Self {
        self.flags = self.flags & !0x06 | qos << 1;
        self.packet_id = packet_id;
        self
    }

    /// The QoS.
    #[must_use]
    pub fn quality(&self) -> u8 {
        self.flags >> 1 & 3
    }

    /// Sets RETAIN.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.flags |= 0x01;
        self
    }

    /// Sets DUP.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.flags |= 0x08;
        self
    }

    /// Sets the Topic Alias.
    #[must_use]
    pub fn alias(self, alias: u16) -> Self {
        self.with(number(id::TOPIC_ALIAS, alias.into()))
    }

    /// Sets the Message Expiry Interval in seconds.
    #[must_use]
    pub fn expiry(self, seconds: u32) -> Self {
        self.with(number(id::MESSAGE_EXPIRY, seconds))
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Outgoing for PublishOut {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        put_bytes(&mut body, &self.topic);
        if self.flags & 0x06 != 0 {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version == Version::V5 {
            put_properties(&mut body, &self.properties);
        }
        body.extend_from_slice(&self.payload);
        packet(0x30 | self.flags, &body)
    }
}

/// A packet that names a packet id and, in version 5, may carry a reason: PUBACK, PUBREC, PUBREL, PUBCOMP.
#[derive(Clone, Debug)]
pub struct Ack {
    first: u8,
    packet_id: u16,
    reason: Option<u8>,
    properties: Vec<Property>,
}

impl Ack {
    /// Sets the Reason Code.
    #[must_use]
    pub fn reason(mut self, reason: u8) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Outgoing for Ack {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        if version == Version::V5 && (self.reason.is_some() || !self.properties.is_empty()) {
            body.push(self.reason.unwrap_or(0));
            if !self.properties.is_empty() {
                put_properties(&mut body, &self.properties);
            }
        }
        packet(self.first, &body)
    }
}

/// A PUBACK.
#[must_use]
pub fn puback(packet_id: u16) -> Ack {
    Ack { first: 0x40, packet_id, reason: None, properties: Vec::new() }
}

/// A PUBREC.
#[must_use]
pub fn pubrec(packet_id: u16) -> Ack {
    Ack { first: 0x50, packet_id, reason: None, properties: Vec::new() }
}

/// A PUBREL.
#[must_use]
pub fn pubrel(packet_id: u16) -> Ack {
    Ack { first: 0x62, packet_id, reason: None, properties: Vec::new() }
}

/// A PUBCOMP.
#[must_use]
pub fn pubcomp(packet_id: u16) -> Ack {
    Ack { first: 0x70, packet_id, reason: None, properties: Vec::new() }
}

/// A SUBSCRIBE without filters yet.
#[must_use]
pub fn subscribe(packet_id: u16) -> Subscribe {
    Subscribe { first: 0x82, packet_id, properties: Vec::new(), filters: Vec::new() }
}

/// An UNSUBSCRIBE without filters yet.
#[must_use]
pub fn unsubscribe(packet_id: u16) -> Subscribe {
    Subscribe { first: 0xA2, packet_id, properties: Vec::new(), filters: Vec::new() }
}

/// A SUBSCRIBE or UNSUBSCRIBE packet.
#[derive(Clone, Debug)]
pub struct Subscribe {
    first: u8,
    packet_id: u16,
    properties: Vec<Property>,
    filters: Vec<(Vec<u8>, Option<u8>)>,
}

/// Subscription option: No Local.
pub const NO_LOCAL: u8 = 0x04;
/// Subscription option: Retain As Published.
pub const RETAIN_AS_PUBLISHED: u8 = 0x08;
/// Subscription option: Retain Handling 1, retained messages only for a new subscription.
pub const RETAIN_IF_NEW: u8 = 0x10;
/// Subscription option: Retain Handling 2, no retained messages.
pub const RETAIN_NEVER: u8 = 0x20;

impl Subscribe {
    /// Adds a filter to a SUBSCRIBE, with its options byte (the QoS in its low bits).
    #[must_use]
    pub fn filter(mut self, filter: impl AsRef<[u8]>, options: u8) -> Self {
        self.filters.push((filter.as_ref().to_vec(), Some(options)));
        self
    }

    /// Adds a filter to an UNSUBSCRIBE.
    #[must_use]
    pub fn topic(mut self, filter: impl AsRef<[u8]>) -> Self {
        self.filters.push((filter.as_ref().to_vec(), None));
        self
    }

    /// Sets the Subscription Identifier.
    #[must_use]
    pub fn identifier(self, identifier: u32) -> Self {
        self.with(number(id::SUBSCRIPTION_ID, identifier))
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Outgoing for Subscribe {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        if version == Version::V5 {
            put_properties(&mut body, &self.properties);
        }
        for (filter, options) in &self.filters {
            put_bytes(&mut body, filter);
            body.extend(options);
        }
        packet(self.first, &body)
    }
}

/// A PINGREQ.
#[must_use]
pub fn pingreq() -> [u8; 2] {
    [0xC0, 0x00]
}

/// A DISCONNECT: in version 5 with this reason, in earlier versions without one.
#[must_use]
pub fn disconnect(reason: u8) -> Closing {
    Closing { first: 0xE0, reason, properties: Vec::new() }
}

/// An AUTH with this reason and method.
#[must_use]
pub fn auth(reason: u8, method: &str) -> Closing {
    Closing { first: 0xF0, reason, properties: vec![bytes(id::AUTH_METHOD, method)] }
}

/// A packet of a reason and properties: DISCONNECT, AUTH.
#[derive(Clone, Debug)]
pub struct Closing {
    first: u8,
    reason: u8,
    properties: Vec<Property>,
}

impl Closing {
    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Outgoing for Closing {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        if version == Version::V5 && (self.reason != 0 || !self.properties.is_empty()) {
            body.push(self.reason);
            put_properties(&mut body, &self.properties);
        }
        packet(self.first, &body)
    }
}
