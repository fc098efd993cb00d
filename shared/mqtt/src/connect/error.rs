//! Why a CONNECT is refused, and what may be answered.

use std::{error::Error, fmt};

use crate::{DecodeError, DecodeErrorKind, ReasonCode, Version};

/// Why the body of a CONNECT is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// The protocol name is none of MQTT's. Whoever sent it does not expect a CONNACK: close.
    UnknownProtocol,
    /// MQTT, of a version that is not spoken here [MQTT-3.1.2-2].
    UnsupportedLevel {
        /// The protocol level as sent.
        level: u8,
    },
    /// The packet ends before it says which version it is of: close.
    Malformed(DecodeError),
    /// The packet is not what its version allows.
    Invalid {
        /// The announced version.
        version: Version,
        /// What is wrong.
        error: DecodeError,
    },
}

impl ConnectError {
    /// The CONNACK to send before closing: in which version, and why. `None`: close without a word.
    #[must_use]
    pub const fn reply(&self) -> Option<(Version, ReasonCode)> {
        match self {
            Self::UnknownProtocol | Self::Malformed(_) => None,
            // Levels from 5 on are read by clients that know reason codes; earlier ones know return code 1 only.
            Self::UnsupportedLevel { level } if *level & 0x7F >= 5 => {
                Some((Version::V5, ReasonCode::UnsupportedProtocolVersion))
            }
            Self::UnsupportedLevel { .. } => Some((Version::V311, ReasonCode::UnsupportedProtocolVersion)),
            Self::Invalid { version: Version::V5, error } => Some((Version::V5, error.reason)),
            // Version 3 has no return code for a packet that is wrong.
            Self::Invalid { .. } => None,
        }
    }

    /// What is wrong, for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        match self {
            Self::UnknownProtocol | Self::UnsupportedLevel { .. } => DecodeErrorKind::UnsupportedProtocol,
            Self::Malformed(error) | Self::Invalid { error, .. } => error.kind,
        }
    }
}

impl From<ConnectError> for DecodeError {
    fn from(error: ConnectError) -> Self {
        error.kind().into()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProtocol => f.write_str("the protocol name is not MQTT's"),
            Self::UnsupportedLevel { level } => write!(f, "protocol level {level} is not supported"),
            Self::Malformed(error) => error.fmt(f),
            Self::Invalid { version, error } => write!(f, "{error} (MQTT {})", version.name()),
        }
    }
}

impl Error for ConnectError {}
