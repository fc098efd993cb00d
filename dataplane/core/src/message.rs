//! The one form a message has inside Sluice.
//!
//! What goes to another worker, into a session shard's log, a retained register or a stored will is this encoding, so
//! that a message is encoded once and then copied as bytes. Everything of MQTT that depends on the receiver (packet id,
//! subscription ids, topic alias, DUP) is left out; the version 5 properties a broker passes on unchanged are kept as
//! the bytes they came in, user properties in order [MQTT-3.3.2-18].
//!
//! Layout, little endian: flags (1) · expiry (8, if flagged) · message id (24, if flagged) · topic length (2) · topic ·
//! properties length (4) · properties · payload to the end.

use sluice_mqtt::QoS;

use crate::record::SessionUid;

/// A message, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageRef<'a> {
    /// The topic it was published to.
    pub(crate) topic: &'a str,
    /// Encoded version 5 properties that are passed on.
    pub(crate) forward: &'a [u8],
    /// The payload.
    pub(crate) payload: &'a [u8],
    /// The QoS it was published with.
    pub(crate) qos: QoS,
    /// Whether it was published with RETAIN.
    pub(crate) retain: bool,
    /// When it expires, in milliseconds since the Unix epoch; 0 = never.
    pub(crate) expires_wall_ms: u64,
    /// Which QoS 2 exchange of which session it is, where inboxes must recognise it again.
    pub(crate) id: Option<MessageId>,
}

/// Names a QoS 2 message of a publisher for as long as its exchange lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId {
    /// The publisher's session.
    pub(crate) publisher: SessionUid,
    /// Counts the publisher's exchanges.
    pub(crate) number: u64,
    /// The lowest number whose exchange is not over: smaller ones will not be seen again.
    pub(crate) lowest: u64,
}

const RETAIN: u8 = 1 << 2;
const EXPIRES: u8 = 1 << 3;
const HAS_ID: u8 = 1 << 4;

impl<'a> MessageRef<'a> {
    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let expires = if self.expires_wall_ms == 0 { 0 } else { EXPIRES };
        let has_id = if self.id.is_some() { HAS_ID } else { 0 };
        let retain = if self.retain { RETAIN } else { 0 };
        out.reserve(self.encoded_len());
        out.push(self.qos as u8 | retain | expires | has_id);
        if expires != 0 {
            out.extend_from_slice(&self.expires_wall_ms.to_le_bytes());
        }
        if let Some(id) = self.id {
            for word in [id.publisher.0, id.number, id.lowest] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        out.extend_from_slice(&(self.topic.len() as u16).to_le_bytes());
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(&(self.forward.len() as u32).to_le_bytes());
        out.extend_from_slice(self.forward);
        out.extend_from_slice(self.payload);
    }

    /// How many bytes [`Self::encode`] appends.
    pub(crate) fn encoded_len(&self) -> usize {
        let expires = if self.expires_wall_ms == 0 { 0 } else { 8 };
        let id = if self.id.is_some() { 24 } else { 0 };
        7 + expires + id + self.topic.len() + self.forward.len() + self.payload.len()
    }

    /// Reads an encoding back; `None` when the bytes are none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        let flags = reader.u8()?;
        let qos = QoS::from_bits(flags & 3)?;
        let expires_wall_ms = if flags & EXPIRES != 0 { reader.u64()? } else { 0 };
        let id = if flags & HAS_ID != 0 {
            Some(MessageId { publisher: SessionUid(reader.u64()?), number: reader.u64()?, lowest: reader.u64()? })
        } else {
            None
        };
        let topic_len = usize::from(reader.u16()?);
        let topic = std::str::from_utf8(reader.take(topic_len)?).ok()?;
        let forward_len = reader.u32()? as usize;
        let forward = reader.take(forward_len)?;
        Some(Self { topic, forward, payload: reader.bytes, qos, retain: flags & RETAIN != 0, expires_wall_ms, id })
    }

    /// Whether its time has passed.
    pub(crate) fn is_expired(&self, wall_ms: u64) -> bool {
        self.expires_wall_ms != 0 && self.expires_wall_ms <= wall_ms
    }

    /// The Message Expiry Interval to send now, in whole seconds, rounded up so that it never expires early
    /// [MQTT-3.3.2-6]. `None` when it does not expire.
    pub(crate) fn remaining_s(&self, wall_ms: u64) -> Option<u32> {
        let left = self.expires_wall_ms.checked_sub(wall_ms)?;
        Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

/// When an encoded message expires; `None` = never.
pub(crate) fn expiry_of(encoded: &[u8]) -> Option<u64> {
    let flags = encoded.first()?;
    if flags & EXPIRES == 0 {
        return None;
    }
    encoded.get(1..9)?.try_into().ok().map(u64::from_le_bytes)
}

/// What is left until something expires, in milliseconds, as it leaves this node: no two clocks agree. Never 0, which would
/// mean that it does not expire.
pub(crate) fn time_left(expires_wall_ms: u64, wall_ms: u64) -> u64 {
    expires_wall_ms.saturating_sub(wall_ms).max(1)
}

/// When something expires by this node's clock of which so much was left when it came.
pub(crate) fn time_over(left_ms: u64, wall_ms: u64) -> u64 {
    left_ms.saturating_add(wall_ms)
}

/// Changes when an encoded message that expires does so.
pub(crate) fn set_expiry(encoded: &mut [u8], expires_wall_ms: u64) {
    debug_assert!(expiry_of(encoded).is_some());
    if let Some(place) = encoded.get_mut(1..9) {
        place.copy_from_slice(&expires_wall_ms.to_le_bytes());
    }
}

/// Gives the publisher of an encoded message another name. `None`: it has no id.
pub(crate) fn rename_publisher(encoded: &[u8], rename: impl Fn(SessionUid) -> SessionUid) -> Option<Vec<u8>> {
    let flags = encoded.first()?;
    if flags & HAS_ID == 0 {
        return None;
    }
    let at = if flags & EXPIRES == 0 { 1 } else { 9 };
    let old = encoded.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)?;
    let mut renamed = encoded.to_vec();
    renamed[at..at + 8].copy_from_slice(&rename(SessionUid(old)).0.to_le_bytes());
    Some(renamed)
}

/// The topic of an encoded message, and its QoS.
pub(crate) fn address_of(encoded: &[u8]) -> Option<(&str, QoS)> {
    let message = MessageRef::decode(encoded)?;
    Some((message.topic, message.qos))
}

/// Takes fixed-size fields off the front of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// What is left.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n)?;
        self.bytes = tail;
        Some(head)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    /// The next two bytes.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text with a four-byte length in front, as [`put_text`] writes it.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()? as usize;
        std::str::from_utf8(self.take(len)?).ok()
    }

    /// Bytes with a four-byte length in front.
    pub(crate) fn blob(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

/// Appends bytes with their length (4 bytes) in front.
pub(crate) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a text with its length (4 bytes) in front.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_blob(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> MessageRef<'static> {
        MessageRef {
            topic: "a/b",
            forward: &[1, 1],
            payload: b"hello",
            qos: QoS::ExactlyOnce,
            retain: true,
            expires_wall_ms: 5_000,
            id: Some(MessageId { publisher: SessionUid(7), number: 9, lowest: 8 }),
        }
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        for message in [
            sample(),
            MessageRef { id: None, ..sample() },
            MessageRef { expires_wall_ms: 0, ..sample() },
            MessageRef { payload: b"", forward: b"", retain: false, qos: QoS::AtMostOnce, id: None, ..sample() },
        ] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(bytes.len(), message.encoded_len());
            assert_eq!(MessageRef::decode(&bytes), Some(message));
        }
    }

    #[test]
    fn a_cut_head_is_refused() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let head = bytes.len() - 5;
        assert!((0..head).all(|n| MessageRef::decode(&bytes[..n]).is_none()));
    }

    #[test]
    fn remaining_expiry_is_rounded_up_and_never_early() {
        let message = sample();
        assert_eq!(message.remaining_s(3_999), Some(2));
        assert_eq!(message.remaining_s(4_000), Some(1));
        assert!(!message.is_expired(4_999));
        assert!(message.is_expired(5_000));
    }
}
