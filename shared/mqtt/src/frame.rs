//! The fixed header: where one packet ends and the next begins.

use std::{error::Error, fmt};

use crate::{ReasonCode, varint};

/// Largest value of the Remaining Length, in bytes: four bytes of seven bits.
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// Largest packet that can be written down, in bytes: the first byte, four of Remaining Length, and the body.
pub const PACKET_BYTES_MAX: usize = 5 + REMAINING_LENGTH_MAX;

/// The fixed header of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Packet type and flags.
    pub first: u8,
    /// Bytes of the fixed header, 2 to 5.
    pub header_len: usize,
    /// Bytes that follow the fixed header (the Remaining Length).
    pub body_len: usize,
}

impl Frame {
    /// Bytes of the whole packet.
    #[inline]
    #[must_use]
    pub const fn total(&self) -> usize {
        self.header_len + self.body_len
    }

    /// What kind of packet this is.
    #[inline]
    #[must_use]
    pub const fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_first(self.first)
    }
}

/// Reads the fixed header at the start of `buf`. `None`: `buf` ends inside it. The body need not have arrived: the packet
/// is complete once `buf` holds [`Frame::total`] bytes.
///
/// `max_packet` is the largest packet accepted, in bytes, its fixed header included (as Maximum Packet Size counts).
///
/// # Errors
/// As soon as the header proves it: a first byte that no version allows, a length that is not a variable byte integer, a
/// packet that is too large.
#[inline]
pub fn split(buf: &[u8], max_packet: u32) -> Result<Option<Frame>, FrameError> {
    let Some((&first, rest)) = buf.split_first() else {
        return Ok(None);
    };
    if !is_possible(first) {
        return Err(FrameError::BadFirstByte { first });
    }
    let Some((body_len, varint_len)) = varint::peek(rest).map_err(|_| FrameError::MalformedLength)? else {
        return Ok(None);
    };
    let header_len = 1 + varint_len;
    let len = header_len as u32 + body_len;
    if len > max_packet {
        return Err(FrameError::TooLarge { len });
    }
    Ok(Some(Frame { first, header_len, body_len: body_len as usize }))
}

/// Why a fixed header is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The Remaining Length has a fifth byte, or a needless one.
    MalformedLength,
    /// The packet exceeds what is accepted.
    TooLarge {
        /// The packet's size in bytes, its fixed header included.
        len: u32,
    },
    /// The packet type, or its flags, exist in no version.
    BadFirstByte {
        /// The byte.
        first: u8,
    },
}

impl FrameError {
    /// What to answer a version 5 peer with before closing.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::MalformedLength | Self::BadFirstByte { .. } => ReasonCode::MalformedPacket,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
        }
    }

    /// A short name for metrics, in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MalformedLength => "malformed_length",
            Self::TooLarge { .. } => "packet_too_large",
            Self::BadFirstByte { .. } => "bad_first_byte",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedLength => f.write_str("the remaining length is malformed"),
            Self::TooLarge { len } => write!(f, "a packet of {len} bytes is too large"),
            Self::BadFirstByte { first } => write!(f, "no packet starts with {first:#04x}"),
        }
    }
}

impl Error for FrameError {}

/// The kinds of packets; the discriminant is the upper half of the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The kind that a first byte announces; `None` for kind 0.
    #[inline]
    #[must_use]
    pub const fn from_first(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of such a packet. PUBLISH: at QoS 0, without flags.
    #[inline]
    #[must_use]
    pub const fn first(self) -> u8 {
        let flags = if self.has_reserved_qos() { 0b0010 } else { 0 };
        (self as u8) << 4 | flags
    }

    /// Whether the flags are those of a packet at QoS 1, as they were when version 3.1 gave them a meaning.
    #[inline]
    pub(crate) const fn has_reserved_qos(self) -> bool {
        matches!(self, Self::PubRel | Self::Subscribe | Self::Unsubscribe)
    }

    /// A short name for metrics, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnAck => "connack",
            Self::Publish => "publish",
            Self::PubAck => "puback",
            Self::PubRec => "pubrec",
            Self::PubRel => "pubrel",
            Self::PubComp => "pubcomp",
            Self::Subscribe => "subscribe",
            Self::SubAck => "suback",
            Self::Unsubscribe => "unsubscribe",
            Self::UnsubAck => "unsuback",
            Self::PingReq => "pingreq",
            Self::PingResp => "pingresp",
            Self::Disconnect => "disconnect",
            Self::Auth => "auth",
        }
    }
}

/// Flag bit 3: a packet sent again. PUBLISH in every version; PUBREL, SUBSCRIBE and UNSUBSCRIBE in version 3.1 only.
pub(crate) const DUP: u8 = 0b1000;

/// Whether some version has a packet that starts with this byte.
#[inline]
fn is_possible(first: u8) -> bool {
    POSSIBLE[usize::from(first)]
}

static POSSIBLE: [bool; 256] = {
    let mut table = [false; 256];
    let mut first = 0;
    while first < 256 {
        table[first] = match PacketType::from_first(first as u8) {
            None => false,
            Some(PacketType::Publish) => {
                let qos = first >> 1 & 0b11;
                qos == 1 || qos == 2 || first & 0b1110 == 0
            }
            Some(kind) if kind.has_reserved_qos() => first as u8 & !DUP == kind.first(),
            Some(kind) => first as u8 == kind.first(),
        };
        first += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_before_its_body_arrives() {
        let frame = Frame { first: 0x30, header_len: 3, body_len: 321 };
        assert_eq!(split(&[0x30, 0xC1, 0x02], 1_000), Ok(Some(frame)));
        assert_eq!(frame.total(), 324);
        assert_eq!(split(&[0x30, 0xC1], 1_000), Ok(None));
        assert_eq!(split(&[0x30], 1_000), Ok(None));
        assert_eq!(split(&[], 1_000), Ok(None));
    }

    #[test]
    fn p2_a_remaining_length_of_five_bytes_is_malformed() {
        assert_eq!(split(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], u32::MAX), Err(FrameError::MalformedLength));
        assert_eq!(split(&[0x30, 0x80, 0x00], u32::MAX), Err(FrameError::MalformedLength));
    }

    #[test]
    fn p3_p13_a_packet_over_the_maximum_is_refused_at_its_header() {
        let error = FrameError::TooLarge { len: 268_435_460 };
        assert_eq!(split(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0x00], 65_536), Err(error));
        assert_eq!(error.reason(), ReasonCode::PacketTooLarge);
        assert!(split(&[0x30, 98], 100).is_ok());
        assert_eq!(split(&[0x30, 99], 100), Err(FrameError::TooLarge { len: 101 }));
    }

    #[test]
    fn p8_p9_p10_p11_a_first_byte_of_no_version_is_refused() {
        for first in [0x00, 0x0F, 0x11, 0x16, 0x36, 0x37, 0x3E, 0x38, 0x39, 0x41, 0x47, 0x53, 0x60, 0x80, 0xA0, 0xC1] {
            assert_eq!(split(&[first, 0], 100), Err(FrameError::BadFirstByte { first }), "{first:#x}");
        }
        for first in [0x10, 0x20, 0x30, 0x31, 0x32, 0x3A, 0x34, 0x3D, 0x40, 0x62, 0x6A, 0x82, 0xA2, 0xE0, 0xF0] {
            assert!(split(&[first, 0], 100).is_ok(), "{first:#x}");
        }
    }
}
