//! What a register holds in memory: a message without its topic, or no more than what must be known of a message that
//! is read from the store when somebody wants it.
//!
//! Layout, little endian: flags (1) · expiry (8, if flagged) · then, in memory: properties length (4) and properties,
//! if flagged · payload to the end; on disk: version (4) · length of the stored encoding (4).

use sluice_mqtt::QoS;

use crate::message::{MessageRef, Reader};

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    /// The message.
    Here(MessageRef<'a>),
    /// The store has it.
    OnDisk(OnDisk),
}

/// What is known of a message that only the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnDisk {
    /// Tells it from the messages before and after it in its register.
    pub(crate) version: u32,
    /// Length of its encoding in bytes.
    pub(crate) len: u32,
    /// When it expires, in milliseconds since the Unix epoch; 0 = never.
    pub(crate) expires_wall_ms: u64,
}

const EXPIRES: u8 = 1 << 3;
const HAS_PROPERTIES: u8 = 1 << 4;
const ON_DISK: u8 = 1 << 5;

impl<'a> Held<'a> {
    /// Reads a register; `None` when the bytes are none.
    pub(super) fn read(topic: &'a str, bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let expires_wall_ms = if flags & EXPIRES != 0 { reader.u64()? } else { 0 };
        if flags & ON_DISK != 0 {
            return Some(Self::OnDisk(OnDisk { version: reader.u32()?, len: reader.u32()?, expires_wall_ms }));
        }
        let forward = if flags & HAS_PROPERTIES != 0 { reader.blob()? } else { &[] };
        let qos = QoS::from_bits(flags & 3)?;
        Some(Self::Here(MessageRef {
            topic,
            forward,
            payload: reader.bytes,
            qos,
            retain: true,
            expires_wall_ms,
            id: None,
        }))
    }

    /// The bytes of a register.
    pub(super) fn write(&self) -> Box<[u8]> {
        let (kind, expires_wall_ms, len) = match self {
            Self::Here(message) => {
                let properties = if message.forward.is_empty() { 0 } else { HAS_PROPERTIES };
                let len = message.payload.len() + message.forward.len() + 4;
                (message.qos as u8 | properties, message.expires_wall_ms, len)
            }
            Self::OnDisk(on_disk) => (ON_DISK, on_disk.expires_wall_ms, 8),
        };
        let mut out = Vec::with_capacity(9 + len);
        if expires_wall_ms == 0 {
            out.push(kind);
        } else {
            out.push(kind | EXPIRES);
            out.extend_from_slice(&expires_wall_ms.to_le_bytes());
        }
        match self {
            Self::Here(message) => {
                if !message.forward.is_empty() {
                    crate::message::put_blob(&mut out, message.forward);
                }
                out.extend_from_slice(message.payload);
            }
            Self::OnDisk(on_disk) => {
                out.extend_from_slice(&on_disk.version.to_le_bytes());
                out.extend_from_slice(&on_disk.len.to_le_bytes());
            }
        }
        out.into()
    }

    /// Bytes of the message as it is stored, wherever it lies.
    pub(crate) fn stored_len(&self) -> usize {
        match self {
            Self::Here(message) => message.encoded_len(),
            Self::OnDisk(on_disk) => on_disk.len as usize,
        }
    }

    /// Whether its time has passed.
    pub(crate) fn is_expired(&self, wall_ms: u64) -> bool {
        let expires_wall_ms = match self {
            Self::Here(message) => message.expires_wall_ms,
            Self::OnDisk(on_disk) => on_disk.expires_wall_ms,
        };
        expires_wall_ms != 0 && expires_wall_ms <= wall_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_a_register_is_read_back() {
        let plain = MessageRef {
            topic: "a/b",
            forward: &[],
            payload: b"21.5",
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_wall_ms: 0,
            id: None,
        };
        let on_disk = OnDisk { version: 7, len: 300_000, expires_wall_ms: 0 };
        for held in [
            Held::Here(plain),
            Held::Here(MessageRef { expires_wall_ms: 9, forward: &[1, 1], ..plain }),
            Held::Here(MessageRef { forward: &[1, 0], qos: QoS::ExactlyOnce, ..plain }),
            Held::OnDisk(on_disk),
            Held::OnDisk(OnDisk { expires_wall_ms: u64::MAX, ..on_disk }),
        ] {
            let bytes = held.write();
            assert_eq!(Held::read("a/b", &bytes), Some(held));
        }
        assert_eq!(Held::Here(plain).write().len(), 1 + plain.payload.len());
    }

    #[test]
    fn expiry_is_known_without_the_message() {
        let held = Held::OnDisk(OnDisk { version: 1, len: 2_000, expires_wall_ms: 500 });
        assert!(!held.is_expired(499));
        assert!(held.is_expired(500));
        assert_eq!(held.stored_len(), 2_000);
    }
}
