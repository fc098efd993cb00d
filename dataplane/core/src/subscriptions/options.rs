//! The options of a subscription, in one byte.

/// QoS, No Local, Retain As Published; and whether the session that subscribed is persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct SubscribeOptions(u8);

const QOS: u8 = 3;
const NO_LOCAL: u8 = 1 << 2;
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
const PERSISTENT: u8 = 1 << 4;

impl SubscribeOptions {
    /// Options as they stand in SUBSCRIBE.
    pub(crate) fn new(qos: u8, no_local: bool, retain_as_published: bool, persistent: bool) -> Self {
        assert!(qos <= 2, "QoS is 0, 1 or 2");
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        Self(
            qos | bit(no_local, NO_LOCAL) | bit(retain_as_published, RETAIN_AS_PUBLISHED) | bit(persistent, PERSISTENT),
        )
    }

    /// As stored by [`Self::to_bits`]; `None` for what is no such byte.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits & QOS <= 2 && bits < 1 << 5).then_some(Self(bits))
    }

    /// One byte for the store.
    pub(crate) fn to_bits(self) -> u8 {
        self.0
    }

    /// The granted QoS.
    pub(crate) fn qos(self) -> u8 {
        self.0 & QOS
    }

    /// Whether the session's own messages are left out.
    pub(crate) fn no_local(self) -> bool {
        self.0 & NO_LOCAL != 0
    }

    /// Whether RETAIN is passed on as it was published.
    pub(crate) fn retain_as_published(self) -> bool {
        self.0 & RETAIN_AS_PUBLISHED != 0
    }

    /// Whether the session outlives its connection.
    pub(crate) fn is_persistent(self) -> bool {
        self.0 & PERSISTENT != 0
    }

    /// What two matching subscriptions of one session amount to: the higher QoS; its own messages unless both leave
    /// them out; RETAIN as published if either asks for it.
    pub(crate) fn combine(self, other: Self) -> Self {
        Self::new(
            self.qos().max(other.qos()),
            self.no_local() && other.no_local(),
            self.retain_as_published() || other.retain_as_published(),
            self.is_persistent(),
        )
    }
}
