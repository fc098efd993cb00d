//! The data types of MQTT, both ways.

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// MQTT 3.1.
    V31,
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// The protocol level in CONNECT.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name in CONNECT.
    #[must_use]
    pub fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }
}

/// Appends a Variable Byte Integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let digit = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

/// Appends a length-prefixed string or Binary Data, without asking whether it is well-formed.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("a field of at most 65,535 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A packet with this first byte and body, and the Remaining Length that goes with them.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    put_varint(&mut out, u32::try_from(body.len()).expect("a body under 4 GiB"));
    out.extend_from_slice(body);
    out
}

/// Reads what the server sent and panics where it breaks the specification.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the front.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(length <= self.bytes.len(), "the server's packet ends too early");
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A Two Byte Integer.
    pub fn two(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    /// A Four Byte Integer.
    pub fn four(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    /// A Variable Byte Integer in its shortest form [MQTT-1.5.5-1].
    pub fn varint(&mut self) -> u32 {
        let mut value = 0;
        for position in 0..4 {
            let digit = self.byte();
            value |= u32::from(digit & 0x7F) << (7 * position);
            if digit & 0x80 == 0 {
                assert!(digit != 0 || position == 0, "a variable byte integer is not in its shortest form");
                return value;
            }
        }
        panic!("a variable byte integer of more than four bytes");
    }

    /// Binary Data.
    pub fn binary(&mut self) -> &'a [u8] {
        let length = self.two();
        self.take(usize::from(length))
    }

    /// A UTF-8 Encoded String [MQTT-1.5.4-1] without U+0000 [MQTT-1.5.4-2].
    pub fn text(&mut self) -> &'a str {
        let text = std::str::from_utf8(self.binary()).expect("the server sends well-formed UTF-8");
        assert!(!text.contains('\0'), "the server sent U+0000 in a string");
        text
    }
}
