//! Reason codes of version 5 and what they become in version 3.

use std::fmt;

macro_rules! reason_codes {
    ($($code:literal $variant:ident $name:literal,)+) => {
        /// A reason code of version 5; the discriminant is its byte.
        ///
        /// 0x00 has three names in the specification (Success, Normal disconnection, Granted QoS 0) and one here.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are those of the specification")]
        pub enum ReasonCode {
            $($variant = $code,)+
        }

        impl ReasonCode {
            /// Every reason code, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code of a byte; `None` where the specification has none.
            #[must_use]
            pub const fn from_u8(byte: u8) -> Option<Self> {
                match byte {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name of the specification in snake case, for metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reason_codes! {
    0x00 Success "success",
    0x01 GrantedQoS1 "granted_qos_1",
    0x02 GrantedQoS2 "granted_qos_2",
    0x04 DisconnectWithWill "disconnect_with_will_message",
    0x10 NoMatchingSubscribers "no_matching_subscribers",
    0x11 NoSubscriptionExisted "no_subscription_existed",
    0x18 ContinueAuthentication "continue_authentication",
    0x19 ReAuthenticate "re_authenticate",
    0x80 UnspecifiedError "unspecified_error",
    0x81 MalformedPacket "malformed_packet",
    0x82 ProtocolError "protocol_error",
    0x83 ImplementationSpecificError "implementation_specific_error",
    0x84 UnsupportedProtocolVersion "unsupported_protocol_version",
    0x85 ClientIdentifierNotValid "client_identifier_not_valid",
    0x86 BadUserNameOrPassword "bad_user_name_or_password",
    0x87 NotAuthorized "not_authorized",
    0x88 ServerUnavailable "server_unavailable",
    0x89 ServerBusy "server_busy",
    0x8A Banned "banned",
    0x8B ServerShuttingDown "server_shutting_down",
    0x8C BadAuthenticationMethod "bad_authentication_method",
    0x8D KeepAliveTimeout "keep_alive_timeout",
    0x8E SessionTakenOver "session_taken_over",
    0x8F TopicFilterInvalid "topic_filter_invalid",
    0x90 TopicNameInvalid "topic_name_invalid",
    0x91 PacketIdentifierInUse "packet_identifier_in_use",
    0x92 PacketIdentifierNotFound "packet_identifier_not_found",
    0x93 ReceiveMaximumExceeded "receive_maximum_exceeded",
    0x94 TopicAliasInvalid "topic_alias_invalid",
    0x95 PacketTooLarge "packet_too_large",
    0x96 MessageRateTooHigh "message_rate_too_high",
    0x97 QuotaExceeded "quota_exceeded",
    0x98 AdministrativeAction "administrative_action",
    0x99 PayloadFormatInvalid "payload_format_invalid",
    0x9A RetainNotSupported "retain_not_supported",
    0x9B QoSNotSupported "qos_not_supported",
    0x9C UseAnotherServer "use_another_server",
    0x9D ServerMoved "server_moved",
    0x9E SharedSubscriptionsNotSupported "shared_subscriptions_not_supported",
    0x9F ConnectionRateExceeded "connection_rate_exceeded",
    0xA0 MaximumConnectTime "maximum_connect_time",
    0xA1 SubscriptionIdentifiersNotSupported "subscription_identifiers_not_supported",
    0xA2 WildcardSubscriptionsNotSupported "wildcard_subscriptions_not_supported",
}

impl ReasonCode {
    /// The byte on the wire.
    #[inline]
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the operation failed.
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// What SUBACK answers for a subscription granted at `qos`.
    #[must_use]
    pub const fn granted(qos: crate::QoS) -> Self {
        match qos {
            crate::QoS::AtMostOnce => Self::Success,
            crate::QoS::AtLeastOnce => Self::GrantedQoS1,
            crate::QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }

    /// The return code of a version 3 CONNACK that comes closest: 0 accepted, 1 protocol version, 2 identifier rejected,
    /// 3 server unavailable, 4 bad user name or password, 5 not authorized.
    #[must_use]
    pub const fn connack_v3(self) -> u8 {
        match self.code() {
            0x00..0x80 => 0,
            0x84 => 1,
            0x85 => 2,
            0x86 => 4,
            0x87 | 0x8A | 0x8C => 5,
            _ => 3,
        }
    }

    /// The reason behind a version 3 CONNACK's return code; `None` for a reserved one.
    #[must_use]
    pub const fn from_connack_v3(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// The byte of a version 3 SUBACK: the granted QoS, or 0x80 for every failure.
    #[must_use]
    pub const fn suback_v3(self) -> u8 {
        if self.is_error() { 0x80 } else { self.code() }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.code())
    }
}

/// A set of reason codes: those that one kind of packet may carry.
#[derive(Clone, Copy)]
pub(crate) struct ReasonSet(u128);

impl ReasonSet {
    pub(crate) const fn of(codes: &[ReasonCode]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < codes.len() {
            bits |= Self::bit(codes[i]);
            i += 1;
        }
        Self(bits)
    }

    /// The code of `byte` where it is in the set.
    pub(crate) fn decode(self, byte: u8) -> Result<ReasonCode, crate::DecodeError> {
        ReasonCode::from_u8(byte)
            .filter(|&code| self.0 & Self::bit(code) != 0)
            .ok_or_else(|| crate::DecodeErrorKind::BadReasonCode.into())
    }

    /// Successes are below 0x20; failures start at 0x80 and are moved down to follow them.
    const fn bit(code: ReasonCode) -> u128 {
        let byte = code.code();
        1 << if byte < 0x80 { byte } else { byte - 0x60 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_byte_and_has_a_name_of_its_own() {
        let mut names = std::collections::HashSet::new();
        for &code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_u8(code.code()), Some(code));
            assert!(names.insert(code.name()));
        }
        let bytes = (0..=u8::MAX).filter(|&b| ReasonCode::from_u8(b).is_some()).count();
        assert_eq!((bytes, ReasonCode::ALL.len()), (43, 43));
    }

    #[test]
    fn a_set_holds_what_it_was_made_of_and_nothing_else() {
        for &one in ReasonCode::ALL {
            let set = ReasonSet::of(&[one]);
            for byte in 0..=u8::MAX {
                assert_eq!(set.decode(byte).ok(), (byte == one.code()).then_some(one));
            }
        }
    }

    #[test]
    fn version_3_return_codes_survive_the_way_through_version_5() {
        for code in 0..=5 {
            assert_eq!(ReasonCode::from_connack_v3(code).map(ReasonCode::connack_v3), Some(code));
        }
        assert_eq!(ReasonCode::from_connack_v3(6), None);
        assert_eq!(ReasonCode::ServerBusy.connack_v3(), 3);
        assert_eq!(ReasonCode::Banned.connack_v3(), 5);
    }
}
