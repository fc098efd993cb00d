//! Which clients are told to connect elsewhere.

/// Which clients are sent to another node when they connect, by Server Reference (MQTT 4.11). Only the policy of sessions
/// says so, and only clients of version 5 can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Steer {
    /// Whom, and where to.
    pub to: SteerTo,
    /// Whether that is said to clients whose sessions end with their connections as well. Any node serves those as well as
    /// another one.
    pub transient: bool,
}

/// Where clients are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SteerTo {
    /// Nowhere: a client is served by the node it comes to.
    #[default]
    Nowhere,
    /// To the node where their session has its home.
    Home,
    /// There as well, but only those that come to a node which the policy's home does not include.
    Area,
}

impl Steer {
    /// Whether anybody is sent anywhere.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.to != SteerTo::Nowhere
    }
}
