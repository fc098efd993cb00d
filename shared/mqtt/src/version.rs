//! Versions of the protocol.

/// A version of MQTT; the discriminant is its protocol level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`).
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.
    V5 = 5,
}

impl Version {
    /// The Protocol Level byte of CONNECT.
    #[must_use]
    pub const fn level(self) -> u8 {
        self as u8
    }

    /// The Protocol Name of CONNECT.
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }

    /// Whether packets carry properties and acknowledgements carry reason codes.
    #[inline]
    #[must_use]
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }

    /// As people write it: `3.1`, `3.1.1`, `5`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}
