//! The little of MQTT 3.1.1 a client needs, for the hot loop: packets it sends, and frames it receives.
//!
//! Not a codec to build on: it trusts the broker's packets to be well formed and looks only at what it counts.

use anyhow::{Context, Result, bail, ensure};

use crate::stamp::Stamp;

/// First bytes of the packets that have no flags of their own. [MQTT-2.2.2-1]
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
/// A whole DISCONNECT packet.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Digits of the number in a numbered topic: enough for ten million retained messages.
pub(crate) const NUMBER_DIGITS: usize = 7;

/// The largest Remaining Length four bytes can say.
const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// Appends a CONNECT of MQTT 3.1.1 without will and credentials; `keep_alive` in seconds, zero for none.
pub(crate) fn connect(out: &mut Vec<u8>, client_id: &str, clean_session: bool, keep_alive: u16) {
    out.push(0x10);
    remaining_length(out, 12 + client_id.len());
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, u8::from(clean_session) << 1]);
    out.extend_from_slice(&keep_alive.to_be_bytes());
    text(out, client_id);
}

/// Appends one SUBSCRIBE that asks for all of `filters` at `qos`.
pub(crate) fn subscribe(out: &mut Vec<u8>, packet_id: u16, filters: &[String], qos: u8) {
    out.push(SUBSCRIBE);
    remaining_length(out, 2 + filters.iter().map(|filter| 3 + filter.len()).sum::<usize>());
    out.extend_from_slice(&packet_id.to_be_bytes());
    for filter in filters {
        text(out, filter);
        out.push(qos);
    }
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn acknowledge(out: &mut Vec<u8>, kind: u8, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[kind, 2, high, low]);
}

/// A PUBLISH encoded once; each message is a copy with its packet id and stamp written over.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    number_at: Option<usize>,
    payload_at: usize,
}

impl Template {
    /// A PUBLISH of `payload_len` bytes, at least `Stamp::LEN`, to `topic`.
    pub(crate) fn new(topic: &str, qos: u8, retain: bool, payload_len: usize) -> Self {
        assert!(payload_len >= Stamp::LEN, "a payload must hold a stamp");
        let mut bytes = vec![PUBLISH | qos << 1 | u8::from(retain)];
        let packet_id_len = if qos > 0 { 2 } else { 0 };
        remaining_length(&mut bytes, 2 + topic.len() + packet_id_len + payload_len);
        text(&mut bytes, topic);
        let packet_id_at = (qos > 0).then_some(bytes.len());
        let payload_at = bytes.len() + packet_id_len;
        bytes.resize(payload_at + payload_len, b'.');
        Self { bytes, packet_id_at, number_at: None, payload_at }
    }

    /// Like `new`, but every message has a topic of its own: `prefix` and then a number of `NUMBER_DIGITS` digits.
    pub(crate) fn numbered(prefix: &str, qos: u8, retain: bool, payload_len: usize) -> Self {
        let topic = format!("{prefix}{:0NUMBER_DIGITS$}", 0);
        let mut template = Self::new(&topic, qos, retain, payload_len);
        let topic_end = template.payload_at - if qos > 0 { 2 } else { 0 };
        template.number_at = Some(topic_end - NUMBER_DIGITS);
        template
    }

    /// Appends the message; `packet_id` is used at QoS 1 and 2 only and must not be zero there. A numbered topic
    /// gets the last digits of the stamp's sequence number.
    pub(crate) fn write(&self, out: &mut Vec<u8>, packet_id: u16, stamp: Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        if let Some(at) = self.packet_id_at {
            message[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        if let Some(at) = self.number_at {
            let mut left = stamp.sequence;
            for digit in message[at..at + NUMBER_DIGITS].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
        }
        message[self.payload_at..self.payload_at + Stamp::LEN].copy_from_slice(&stamp.encode());
    }

    /// Whether the broker acknowledges the messages: QoS 1 or 2.
    pub(crate) fn wants_ack(&self) -> bool {
        self.packet_id_at.is_some()
    }

    /// Bytes of a message on the wire.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// One whole packet in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The first byte: type and flags.
    pub(crate) head: u8,
    /// What follows the Remaining Length.
    pub(crate) body: &'a [u8],
    /// Bytes of the whole packet.
    pub(crate) len: usize,
}

impl<'a> Frame<'a> {
    /// The first packet in `bytes`, or `None` while it is not there as a whole. Fails if the Remaining Length has
    /// more than four bytes.
    pub(crate) fn split(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some((&head, after_head)) = bytes.split_first() else { return Ok(None) };
        let mut body_len = 0;
        for (at, &byte) in after_head.iter().take(4).enumerate() {
            body_len |= usize::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                let body_at = at + 2;
                let frame =
                    bytes.get(body_at..body_at + body_len).map(|body| Self { head, body, len: body_at + body_len });
                return Ok(frame);
            }
        }
        ensure!(after_head.len() < 4, "the broker sent a Remaining Length of more than four bytes");
        Ok(None)
    }

    /// The packet id an acknowledgement starts with.
    pub(crate) fn packet_id(&self) -> Result<u16> {
        let (id, _) = self.body.split_first_chunk::<2>().context("the broker sent an acknowledgement without an id")?;
        Ok(u16::from_be_bytes(*id))
    }

    /// QoS, packet id (zero at QoS 0) and payload of a PUBLISH.
    pub(crate) fn publish(&self) -> Result<Delivery<'a>> {
        let qos = (self.head >> 1) & 3;
        let truncated = "the broker sent a PUBLISH that is too short";
        let (topic_len, rest) = self.body.split_first_chunk::<2>().context(truncated)?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*topic_len))..).context(truncated)?;
        if qos == 0 {
            return Ok(Delivery { qos, packet_id: 0, payload: rest });
        }
        let (id, payload) = rest.split_first_chunk::<2>().context(truncated)?;
        Ok(Delivery { qos, packet_id: u16::from_be_bytes(*id), payload })
    }

    /// Fails unless this is a CONNACK that accepts. [MQTT-3.2.2-4]
    pub(crate) fn expect_connack(&self) -> Result<()> {
        match (self.head, self.body) {
            (CONNACK, [_, 0]) => Ok(()),
            (CONNACK, [_, code]) => bail!("the broker refused the connection with return code {code}"),
            _ => bail!("the broker answered CONNECT with packet type {:#04x}", self.head),
        }
    }

    /// Fails unless this is a SUBACK that grants every filter. [MQTT-3.9.3-1]
    pub(crate) fn expect_suback(&self) -> Result<()> {
        ensure!(self.head == SUBACK, "the broker answered SUBSCRIBE with packet type {:#04x}", self.head);
        let codes = self.body.get(2..).unwrap_or_default();
        ensure!(!codes.is_empty() && codes.iter().all(|code| *code <= 2), "the broker refused a subscription");
        Ok(())
    }
}

/// What a subscriber needs of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    /// Quality of service, 0 to 2 (3 from a broken broker).
    pub(crate) qos: u8,
    /// Packet id; zero at QoS 0.
    pub(crate) packet_id: u16,
    /// The application's bytes.
    pub(crate) payload: &'a [u8],
}

fn text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    assert!(usize::from(len) == text.len(), "an MQTT string has at most 65,535 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a Remaining Length of one to four bytes.
pub(crate) fn remaining_length(out: &mut Vec<u8>, len: usize) {
    assert!(len <= REMAINING_LENGTH_MAX, "a packet of {len} bytes cannot be encoded");
    let mut left = len;
    loop {
        let digit = (left & 0x7F) as u8;
        left >>= 7;
        if left == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp = Stamp { due: 5, flow: 6, sequence: 7 };

    #[test]
    fn connect_is_encoded_as_the_specification_shows_it() {
        let mut out = Vec::new();
        connect(&mut out, "ab", true, 60);
        assert_eq!(out, [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'a', b'b']);
    }

    #[test]
    fn subscribe_lists_every_filter_with_its_qos() {
        let mut out = Vec::new();
        subscribe(&mut out, 0x0102, &["a".into(), "+".into()], 1);
        assert_eq!(out, [0x82, 10, 1, 2, 0, 1, b'a', 1, 0, 1, b'+', 1]);
    }

    #[test]
    fn a_numbered_topic_carries_the_sequence_number() {
        let template = Template::numbered("r/", 1, true, Stamp::LEN);
        let mut out = Vec::new();
        template.write(&mut out, 9, Stamp { sequence: 1_234, ..STAMP });
        let frame = Frame::split(&out).unwrap().unwrap();
        assert_eq!(frame.head, PUBLISH | 2 | 1);
        assert_eq!(&frame.body[2..11], b"r/0001234");
        assert_eq!(frame.publish().unwrap().packet_id, 9);
    }

    #[test]
    fn refusals_are_errors() {
        let refused = Frame::split(&[0x20, 2, 0, 5]).unwrap().unwrap();
        assert!(refused.expect_connack().is_err());
        let denied = Frame::split(&[0x90, 4, 0, 1, 0, 0x80]).unwrap().unwrap();
        assert!(denied.expect_suback().is_err());
    }

    #[test]
    fn a_remaining_length_of_five_bytes_is_an_error() {
        assert!(Frame::split(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }

    proptest! {
        #[test]
        fn a_message_comes_back_whole_and_never_in_part(qos in 0u8..3, padding in 0usize..40_000, id in 1u16..) {
            let mut out = Vec::new();
            let template = Template::new("a/b", qos, false, Stamp::LEN + padding);
            template.write(&mut out, id, STAMP);
            prop_assert_eq!(out.len(), template.len());
            for cut in [0, 1, 2, out.len() / 2, out.len() - 1] {
                prop_assert_eq!(Frame::split(&out[..cut]).unwrap(), None);
            }
            out.push(0xAA);
            let frame = Frame::split(&out).unwrap().unwrap();
            prop_assert_eq!(frame.len, template.len());
            let delivery = frame.publish().unwrap();
            prop_assert_eq!((delivery.qos, delivery.packet_id), (qos, if qos > 0 { id } else { 0 }));
            prop_assert_eq!(delivery.payload.len(), Stamp::LEN + padding);
            prop_assert_eq!(Stamp::decode(delivery.payload), Some(STAMP));
        }

        #[test]
        fn bytes_from_a_broken_broker_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(frame)) = Frame::split(&bytes) {
                let _ = (frame.publish(), frame.packet_id(), frame.expect_connack(), frame.expect_suback());
            }
        }
    }
}
