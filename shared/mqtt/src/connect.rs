//! CONNECT.

mod error;
mod properties;
mod will;

pub use error::ConnectError;
pub use properties::{ConnectLimits, ConnectProperties};
pub use will::{Will, WillProperties};

use crate::{
    DecodeError, DecodeErrorKind, QoS, Version,
    reader::Reader,
    sink::{Body, PropertyBlock, Sink},
};

/// A CONNECT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// Whether the client says to be a bridge, by bit 7 of the protocol level: a habit of bridges of versions 3.1 and
    /// 3.1.1, outside the specification. A bridge gets retain flags as published and not its own messages.
    pub bridge: bool,
    /// Clean Start (Clean Session before version 5).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// Client identifier, as sent; empty asks the server for one.
    pub client_id: &'a str,
    /// The will.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; never shown.
    pub password: Option<&'a [u8]>,
    /// Properties; none before version 5.
    pub properties: ConnectProperties<'a>,
}

/// Decodes the body of a CONNECT, whose first byte is 0x10.
///
/// # Errors
/// A protocol that is not spoken here; what the specification of the announced version does not allow; more user
/// properties than `limits`.
pub fn decode_connect<'a>(body: &'a [u8], limits: &ConnectLimits) -> Result<Connect<'a>, ConnectError> {
    let mut reader = Reader::new(body);
    let name = reader.binary().map_err(ConnectError::Malformed)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(ConnectError::UnknownProtocol);
    }
    let level = reader.u8().map_err(ConnectError::Malformed)?;
    let (version, bridge) = match (name, level) {
        (b"MQIsdp", 3) => (Version::V31, false),
        (b"MQIsdp", 0x83) => (Version::V31, true),
        (b"MQTT", 4) => (Version::V311, false),
        (b"MQTT", 0x84) => (Version::V311, true),
        (b"MQTT", 5) => (Version::V5, false),
        _ => return Err(ConnectError::UnsupportedLevel { level }),
    };
    decode_rest(version, bridge, limits, &mut reader).map_err(|error| ConnectError::Invalid { version, error })
}

/// All that follows the protocol level.
fn decode_rest<'a>(
    version: Version,
    bridge: bool,
    limits: &ConnectLimits,
    reader: &mut Reader<'a>,
) -> Result<Connect<'a>, DecodeError> {
    let flags = Flags::decode(version, reader.u8()?)?;
    let keep_alive = reader.u16()?;
    let properties = if version.has_properties() {
        ConnectProperties::decode(limits, reader)?
    } else {
        ConnectProperties::default()
    };
    let client_id = reader.string()?;
    let will = match flags.will {
        Some((qos, retain)) => Some(Will::decode(version, limits, qos, retain, reader)?),
        None => None,
    };
    // In version 3.1 the Remaining Length goes before these two flags: a field announced may be missing.
    let is_there = |flag: bool, reader: &Reader<'_>| flag && !(version == Version::V31 && reader.is_empty());
    let username = if is_there(flags.username, reader) { Some(reader.string()?) } else { None };
    let password = if is_there(flags.password, reader) { Some(reader.binary()?) } else { None };
    reader.finish()?;
    let clean_start = flags.clean_start;
    Ok(Connect { version, bridge, clean_start, keep_alive, client_id, will, username, password, properties })
}

/// The Connect Flags.
#[derive(Clone, Copy)]
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

impl Flags {
    /// Version 3.1 does not say what the reserved bit must be, and has will QoS and retain disregarded without a will.
    fn decode(version: Version, bits: u8) -> Result<Self, DecodeError> {
        let strict = version != Version::V31;
        if bits & RESERVED != 0 && strict {
            return Err(DecodeErrorKind::ReservedConnectFlag.into());
        }
        let will = if bits & WILL != 0 {
            let qos = QoS::from_bits(bits >> WILL_QOS_SHIFT & 0b11).ok_or(DecodeErrorKind::BadWillFlags)?;
            Some((qos, bits & WILL_RETAIN != 0))
        } else if bits & (WILL_RETAIN | 0b11 << WILL_QOS_SHIFT) != 0 && strict {
            return Err(DecodeErrorKind::BadWillFlags.into());
        } else {
            None
        };
        let (username, password) = (bits & USERNAME != 0, bits & PASSWORD != 0);
        if password && !username && !version.has_properties() {
            return Err(DecodeErrorKind::PasswordWithoutUsername.into());
        }
        Ok(Self { clean_start: bits & CLEAN_START != 0, will, username, password })
    }

    fn of(connect: &Connect<'_>) -> u8 {
        let set = |on: bool, bit: u8| if on { bit } else { 0 };
        let will =
            connect.will.map_or(0, |will| WILL | will.qos.bits() << WILL_QOS_SHIFT | set(will.retain, WILL_RETAIN));
        set(connect.clean_start, CLEAN_START)
            | will
            | set(connect.username.is_some(), USERNAME)
            | set(connect.password.is_some(), PASSWORD)
    }
}

const RESERVED: u8 = 1;
const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USERNAME: u8 = 1 << 7;

/// Bit 7 of the protocol level.
const BRIDGE: u8 = 0x80;

impl Body for Connect<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.string(version.protocol_name());
        let bridge = self.bridge && !version.has_properties();
        sink.u8(version.level() | if bridge { BRIDGE } else { 0 });
        sink.u8(Flags::of(self));
        sink.u16(self.keep_alive);
        if version.has_properties() {
            self.properties.write_block(sink);
        }
        sink.string(self.client_id);
        if let Some(will) = &self.will {
            will.write_body(version, sink);
        }
        if let Some(username) = self.username {
            sink.string(username);
        }
        if let Some(password) = self.password {
            sink.binary(password);
        }
    }
}

impl std::fmt::Debug for Connect<'_> {
    /// Leaves out the password's bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("bridge", &self.bridge)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("username", &self.username)
            .field("has_password", &self.password.is_some())
            .field("properties", &self.properties)
            .finish()
    }
}
