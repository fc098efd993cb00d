//! The retained messages that new subscriptions are still owed.

use std::collections::VecDeque;

use sluice_cluster::WorkerId;
use sluice_topic::TopicFilter;

use crate::subscriptions::SubscribeOptions;

/// The retained messages a connection is still owed, subscription by subscription.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    /// The first is being served.
    pub(crate) queue: VecDeque<Fetch>,
    /// The page that is awaited, from another worker or from the store; 0 = none.
    pub(crate) awaited: u64,
    /// A page that came while the client took nothing more.
    pub(crate) arrived: Option<Arrived>,
    /// Whether the next page is read in a later turn.
    pub(crate) put_off: bool,
}

/// A whole page that waits for its client.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// A run of length-prefixed encodings.
    pub(crate) messages: Box<[u8]>,
    /// The next page begins behind this topic; `None` = there is none.
    pub(crate) after: Option<Box<str>>,
}

/// The retained messages for one new subscription.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// Which topics.
    pub(crate) filter: TopicFilter,
    /// Granted options.
    pub(crate) options: SubscribeOptions,
    /// Subscription identifier; 0 = none.
    pub(crate) id: u32,
    /// Whose registers are being read, then the others.
    pub(crate) sources: Vec<WorkerId>,
    /// Where the source being read goes on: behind this topic.
    pub(crate) after: Option<Box<str>>,
}
