//! Where encoded bytes go: into a buffer, or into a length. One description of a packet serves both, so that the length
//! written in front never differs from what follows.

use crate::{Version, varint};

/// Takes bytes.
pub(crate) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    #[inline]
    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn varint(&mut self, value: usize) {
        let (bytes, len) = varint::encode(value);
        self.bytes(&bytes[..len]);
    }

    /// Binary Data.
    ///
    /// # Panics
    /// When it is longer than 65,535 bytes.
    #[inline]
    fn binary(&mut self, bytes: &[u8]) {
        self.u16(field_len(bytes));
        self.bytes(bytes);
    }

    /// A UTF-8 Encoded String.
    ///
    /// # Panics
    /// When it is longer than 65,535 bytes.
    #[inline]
    fn string(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts instead of writing.
struct Length(usize);

impl Sink for Length {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// What follows a fixed header.
pub(crate) trait Body {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S);
}

/// What stands in a block of properties, without the block's length.
pub(crate) trait PropertyBlock {
    fn write_properties<S: Sink>(&self, sink: &mut S);

    /// Bytes of the properties.
    fn properties_len(&self) -> usize {
        let mut length = Length(0);
        self.write_properties(&mut length);
        length.0
    }

    /// The block's length, then the properties [MQTT-2.2.2-1].
    fn write_block<S: Sink>(&self, sink: &mut S) {
        sink.varint(self.properties_len());
        self.write_properties(sink);
    }
}

/// Appends a whole packet.
///
/// # Panics
/// When the body exceeds [`crate::REMAINING_LENGTH_MAX`] or a field 65,535 bytes.
pub(crate) fn write_packet(out: &mut Vec<u8>, first: u8, version: Version, body: &impl Body) {
    let mut length = Length(0);
    body.write_body(version, &mut length);
    out.reserve(1 + varint::len(length.0) + length.0);
    out.u8(first);
    out.varint(length.0);
    body.write_body(version, out);
}

/// The length of a field as its two-byte prefix.
///
/// # Panics
/// When it is longer than 65,535 bytes.
#[inline]
pub(crate) fn field_len(bytes: &[u8]) -> u16 {
    assert!(bytes.len() <= usize::from(u16::MAX), "a field of {} bytes does not fit its prefix", bytes.len());
    bytes.len() as u16
}
