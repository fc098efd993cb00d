//! The hottest encoder: a PUBLISH towards a client, written once for many.

use super::first_byte;
use crate::{QoS, Version, frame::PACKET_BYTES_MAX, property::id, sink::Sink, sink::field_len, varint};

/// All of a PUBLISH but its payload.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// The receiver's version.
    pub version: Version,
    /// Whether it was sent before.
    pub dup: bool,
    /// Quality of service of this delivery.
    pub qos: QoS,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// The topic name; may be empty where `topic_alias` stands for it. At most 65,535 bytes.
    pub topic: &'a str,
    /// Packet identifier; ignored at QoS 0.
    pub packet_id: u16,
    /// What is left of the Message Expiry Interval, in seconds. Ignored before version 5, as are the three below.
    pub message_expiry: Option<u32>,
    /// Topic Alias, not 0.
    pub topic_alias: Option<u16>,
    /// Subscription Identifiers, 1 to 268,435,455 each.
    pub subscription_ids: &'a [u32],
    /// Encoded properties to pass on, from [`crate::PublishProperties::forward_into`].
    pub forward: &'a [u8],
    /// Bytes of payload that will follow.
    pub payload_len: usize,
}

impl PublishHead<'_> {
    /// Bytes of the whole packet, payload included: what a client's Maximum Packet Size limits. A packet over
    /// [`PACKET_BYTES_MAX`] cannot be encoded, so compare with that for a client without a limit of its own.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let body = self.body_len(self.properties_len());
        1 + varint::len(body) + body
    }

    /// Appends all but the payload. Returns where the packet id stands, as an offset from the packet's first byte: see
    /// [`patch_packet_id`]. At QoS 0 there is none, and the offset is where it would stand.
    ///
    /// # Panics
    /// When the packet exceeds [`PACKET_BYTES_MAX`] or the topic 65,535 bytes.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        let properties_len = self.properties_len();
        let body_len = self.body_len(properties_len);
        out.reserve(1 + VARINT_BYTES_MAX + body_len - self.payload_len);
        self.write(out, properties_len, body_len)
    }

    /// Appends head and payload, which is `payload_len` long.
    #[inline]
    pub(crate) fn encode_with(&self, out: &mut Vec<u8>, payload: &[u8]) -> usize {
        assert!(payload.len() == self.payload_len, "the head announces another payload");
        let properties_len = self.properties_len();
        let body_len = self.body_len(properties_len);
        out.reserve(1 + VARINT_BYTES_MAX + body_len);
        let offset = self.write(out, properties_len, body_len);
        out.extend_from_slice(payload);
        offset
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, properties_len: usize, body_len: usize) -> usize {
        let first = first_byte(self.dup, self.qos, self.retain);
        let topic_len = field_len(self.topic.as_bytes());
        let [high, low] = topic_len.to_be_bytes();
        let header_len = match varint_of(body_len) {
            Varint::One(a) => put(out, &[first, a, high, low]),
            Varint::Two(a, b) => put(out, &[first, a, b, high, low]),
            Varint::More(varint, len) => {
                out.u8(first);
                out.extend_from_slice(&varint[..len]);
                out.u16(topic_len);
                3 + len
            }
        };
        out.extend_from_slice(self.topic.as_bytes());
        let [high, low] = self.packet_id.to_be_bytes();
        match (self.version.has_properties(), self.qos) {
            (false, QoS::AtMostOnce) => {}
            (false, _) => out.extend_from_slice(&[high, low]),
            (true, QoS::AtMostOnce) if properties_len == 0 => out.push(0),
            (true, _) if properties_len == 0 => out.extend_from_slice(&[high, low, 0]),
            (true, QoS::AtMostOnce) => self.write_properties(out, properties_len),
            (true, _) => {
                out.extend_from_slice(&[high, low]);
                self.write_properties(out, properties_len);
            }
        }
        header_len + self.topic.len()
    }

    fn write_properties(&self, out: &mut Vec<u8>, len: usize) {
        out.varint(len);
        if let Some(expiry) = self.message_expiry {
            let [a, b, c, d] = expiry.to_be_bytes();
            out.extend_from_slice(&[id::MESSAGE_EXPIRY, a, b, c, d]);
        }
        if let Some(alias) = self.topic_alias {
            let [a, b] = alias.to_be_bytes();
            out.extend_from_slice(&[id::TOPIC_ALIAS, a, b]);
        }
        for &subscription_id in self.subscription_ids {
            out.u8(id::SUBSCRIPTION_ID);
            out.varint(subscription_id as usize);
        }
        out.extend_from_slice(self.forward);
    }

    /// Bytes of the properties without their length; 0 before version 5.
    #[inline]
    fn properties_len(&self) -> usize {
        if !self.version.has_properties() {
            return 0;
        }
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let ids: usize = self.subscription_ids.iter().map(|&id| 1 + varint::len(id as usize)).sum();
        expiry + alias + ids + self.forward.len()
    }

    #[inline]
    fn body_len(&self, properties_len: usize) -> usize {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let block = if self.version.has_properties() { varint::len(properties_len) + properties_len } else { 0 };
        2 + self.topic.len() + packet_id + block + self.payload_len
    }
}

/// Writes another packet id into an encoded PUBLISH, at the offset that [`PublishHead::encode`] returned: so a fan-out
/// encodes once, and copies and patches for each receiver.
///
/// # Panics
/// When `offset` is not within `packet`.
#[inline]
pub fn patch_packet_id(packet: &mut [u8], offset: usize, id: u16) {
    packet[offset..offset + 2].copy_from_slice(&id.to_be_bytes());
}

/// A Remaining Length by its size, so that the common ones are written together with their neighbours.
enum Varint {
    One(u8),
    Two(u8, u8),
    More([u8; VARINT_BYTES_MAX], usize),
}

#[inline]
fn varint_of(value: usize) -> Varint {
    match value {
        0..0x80 => Varint::One(value as u8),
        0x80..0x4000 => Varint::Two(value as u8 | 0x80, (value >> 7) as u8),
        _ => {
            let (bytes, len) = varint::encode(value);
            Varint::More(bytes, len)
        }
    }
}

/// Appends an array; returns its length.
#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) -> usize {
    out.extend_from_slice(bytes);
    N
}

const VARINT_BYTES_MAX: usize = 4;

const _: () = assert!(PACKET_BYTES_MAX < u32::MAX as usize);
