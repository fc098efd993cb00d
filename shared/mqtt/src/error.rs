//! Why bytes are not a packet.

use std::{error::Error, fmt};

use crate::ReasonCode;

/// A packet is not what the specification allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// What to answer a version 5 peer with in CONNACK or DISCONNECT before closing.
    pub reason: ReasonCode,
}

impl From<DecodeErrorKind> for DecodeError {
    #[cold]
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind, reason: kind.reason() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for DecodeError {}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal, $reason:ident, $text:literal;)+) => {
        /// What is wrong with a packet.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum DecodeErrorKind {
            $($(#[$doc])+ $kind,)+
        }

        impl DecodeErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The reason code it is answered with.
            #[must_use]
            pub const fn reason(self) -> ReasonCode {
                match self {
                    $(Self::$kind => ReasonCode::$reason,)+
                }
            }

            /// A short name for metrics, in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)+
                }
            }
        }
    };
}

kinds! {
    /// The packet ends inside a field.
    Truncated = "truncated", MalformedPacket, "the packet ends inside a field";
    /// Bytes follow the last field.
    TrailingBytes = "trailing_bytes", MalformedPacket, "bytes follow the last field";
    /// A variable byte integer has a fifth byte or a needless one [MQTT-1.5.5-1].
    BadVarint = "bad_varint", MalformedPacket, "a variable byte integer is longer than allowed";
    /// Packet type 0, or 15 before version 5.
    UnknownPacketType = "unknown_packet_type", MalformedPacket, "the packet type does not exist in this version";
    /// The low bits of the first byte are not those of the packet type [MQTT-2.1.3-1].
    BadFlags = "bad_flags", MalformedPacket, "the flags of the first byte do not fit the packet type";
    /// PUBLISH with both QoS bits set [MQTT-3.3.1-4].
    BadQoS = "bad_qos", MalformedPacket, "QoS 3 does not exist";
    /// PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2].
    DupAtQoS0 = "dup_at_qos0", MalformedPacket, "DUP is set at QoS 0";
    /// Text is not UTF-8 [MQTT-1.5.4-1].
    BadUtf8 = "bad_utf8", MalformedPacket, "text is not UTF-8";
    /// Text contains U+0000 [MQTT-1.5.4-2].
    NulInText = "nul_in_text", MalformedPacket, "text contains U+0000";
    /// A packet identifier is 0 [MQTT-2.2.1-3].
    ZeroPacketId = "zero_packet_id", ProtocolError, "the packet identifier is 0";
    /// A property that does not exist.
    UnknownProperty = "unknown_property", MalformedPacket, "a property does not exist";
    /// A property that this packet, or this sender, may not carry.
    PropertyNotAllowed = "property_not_allowed", ProtocolError, "a property does not belong in this packet";
    /// A property twice that may come once.
    DuplicateProperty = "duplicate_property", ProtocolError, "a property comes twice";
    /// A property with a value outside its range.
    BadPropertyValue = "bad_property_value", ProtocolError, "a property has a value that is not allowed";
    /// Topic Alias 0 [MQTT-3.3.2-8].
    ZeroTopicAlias = "zero_topic_alias", TopicAliasInvalid, "the topic alias is 0";
    /// A topic name of length 0 without a topic alias, or of a will.
    EmptyTopic = "empty_topic", ProtocolError, "the topic name is empty";
    /// A Response Topic with a wildcard [MQTT-3.3.2-14].
    WildcardInResponseTopic = "wildcard_in_response_topic", ProtocolError, "the response topic has a wildcard";
    /// A reserved bit of the Connect Flags is set [MQTT-3.1.2-3].
    ReservedConnectFlag = "reserved_connect_flag", MalformedPacket, "the reserved connect flag is set";
    /// Will QoS 3, or Will QoS or Will Retain without a will [MQTT-3.1.2-11].
    BadWillFlags = "bad_will_flags", MalformedPacket, "the will flags contradict each other";
    /// A password without a user name, before version 5 [MQTT-3.1.2-22 of version 3.1.1].
    PasswordWithoutUsername = "password_without_username", MalformedPacket, "a password comes without a user name";
    /// Authentication Data without an Authentication Method, or AUTH without a method.
    MissingAuthMethod = "missing_auth_method", ProtocolError, "the authentication method is missing";
    /// More user properties than allowed, in number or bytes.
    TooManyUserProperties = "too_many_user_properties", QuotaExceeded, "there are too many user properties";
    /// The protocol name or level is not one that is spoken here.
    UnsupportedProtocol = "unsupported_protocol", UnsupportedProtocolVersion, "the protocol or its version is unknown";
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter [MQTT-3.8.3-2] [MQTT-3.10.3-2].
    NoFilters = "no_filters", ProtocolError, "there is no topic filter";
    /// A reserved bit of the Subscription Options is set [MQTT-3.8.3-5].
    ReservedSubscriptionOption = "reserved_subscription_option", MalformedPacket, "a reserved subscription option is set";
    /// Maximum QoS 3 in the Subscription Options.
    BadSubscriptionQoS = "bad_subscription_qos", ProtocolError, "the subscription asks for QoS 3";
    /// Retain Handling 3.
    BadRetainHandling = "bad_retain_handling", ProtocolError, "retain handling 3 does not exist";
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    NoLocalOnShared = "no_local_on_shared", ProtocolError, "a shared subscription asks for no local";
    /// A reason code that does not exist or that this packet, or this sender, may not carry.
    BadReasonCode = "bad_reason_code", ProtocolError, "the reason code does not belong in this packet";
    /// SUBACK or UNSUBACK without a reason code.
    NoReasonCodes = "no_reason_codes", ProtocolError, "there is no reason code";
    /// Reserved bits of the Connect Acknowledge Flags, or Session Present in a refusal [MQTT-3.2.2-1] [MQTT-3.2.2-6].
    BadAcknowledgeFlags = "bad_acknowledge_flags", ProtocolError, "the acknowledge flags are not allowed";
    /// A packet that only the other side may send.
    WrongDirection = "wrong_direction", ProtocolError, "only the other side may send this packet";
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
