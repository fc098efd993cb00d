//! Interest: which topic filters a node wants, as soft state that only the node itself may change.
//!
//! The node numbers its changes. [`InterestSource`] announces them to each peer and to control, [`InterestReceiver`]
//! takes them in without gaps, and [`InterestSink`] keeps them. Nothing of it is written to a store: a node that starts
//! anew has a higher [`Incarnation`] and says again what it wants.
//!
//! Announcements are states, not events: one carries the latest word on each filter that changed in a range of numbers,
//! so that a filter that came and went a hundred times costs one row.

mod mirror;
mod receiver;
mod source;

use std::{fmt, sync::Arc, time::Duration};

use sluice_topic::ParsedFilter;

pub use mirror::InterestMirror;
pub use receiver::InterestReceiver;
pub use source::InterestSource;

/// A life of a node: grows with every start, so that what an earlier life said can be told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(pub u64);

/// Counts the changes of a node's interest within one incarnation. The first change is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

/// How far a node's interest is known. Ordered by incarnation first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The node's life.
    pub incarnation: Incarnation,
    /// The last change known.
    pub sequence: Sequence,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation.0, self.sequence.0)
    }
}

/// What a node wants of a filter, or of one shared group on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Interest {
    /// Whether a persistent session wants it, so that a publisher's acknowledgement waits for this node.
    pub durable: bool,
    /// Of a shared group: how many members are ready here. 0 = only persistent members that are away.
    pub members: u32,
}

/// The latest word on a filter; `None` = not wanted any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The filter, with its shared group if it has one.
    pub filter: Arc<ParsedFilter>,
    /// What is wanted of it.
    pub interest: Option<Interest>,
}

/// One question of a receiver, and everything that answers it. A later one makes frames of earlier ones void.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Stream {
    /// The receiver's life.
    pub receiver: Incarnation,
    /// Counts the receiver's questions.
    pub number: u64,
}

/// Between the owner of an interest and one receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InterestFrame {
    /// To the owner: say everything behind `have` from here on.
    Ask {
        /// The question.
        stream: Stream,
        /// What is known; `None` = nothing.
        have: Option<Position>,
    },
    /// To the owner: everything up to `have` is in effect here.
    Ack {
        /// The question that the answers belong to.
        stream: Stream,
        /// What is known.
        have: Position,
    },
    /// From the owner: what has changed behind `after`, up to `upto`.
    Announce {
        /// The question.
        stream: Stream,
        /// The owner's life.
        incarnation: Incarnation,
        /// The changes up to here are not in it.
        after: Sequence,
        /// Those up to here are.
        upto: Sequence,
        /// The owner's last change, whether it is in it or not.
        last: Sequence,
        /// The latest word on each filter.
        changes: Vec<Change>,
    },
    /// From the owner: a part of everything it wants.
    Snapshot {
        /// The question.
        stream: Stream,
        /// Everything up to here is in it.
        at: Position,
        /// Counts the parts, from 0.
        part: u32,
        /// Whether no part follows.
        end: bool,
        /// The owner's last change, whether it is in it or not.
        last: Sequence,
        /// What is wanted.
        changes: Vec<Change>,
    },
}

/// Where a receiver puts what it takes in.
pub trait InterestSink {
    /// Everything that the owner wants, or everything behind what a base table has, will be said from here on.
    fn begins(&mut self, owner: crate::NodeId);
    /// The latest word on a filter, as of a position.
    fn change(&mut self, owner: crate::NodeId, at: Position, change: &Change);
    /// What was said before `at` and not said again is void.
    fn void_before(&mut self, owner: crate::NodeId, at: Position);
    /// Everything that the owner had said to anybody when it was asked is here.
    fn caught_up(&mut self, owner: crate::NodeId);
}

/// Bounds in bytes, and periods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterestLimits {
    /// The changes of one frame.
    pub frame_bytes_max: usize,
    /// Filters no longer wanted that an owner remembers, to tell those who were away. Beyond, they get a snapshot.
    pub gone_bytes_max: usize,
    /// What a node keeps of one peer besides the base table. Beyond, it sends the peer everything until a base has it.
    pub overlay_bytes_max: usize,
    /// How long an owner waits for an acknowledgement before it says everything behind the last one again.
    pub resend_after: Duration,
    /// How long a receiver waits for an answer before it asks again.
    pub ask_again_after: Duration,
}

impl Default for InterestLimits {
    fn default() -> Self {
        Self {
            // Some hundreds of filters: large enough to be cheap, small enough not to delay messages on the same link.
            frame_bytes_max: 32 << 10,
            gone_bytes_max: 8 << 20,
            // Half a million filters of a node that control has not seen yet.
            overlay_bytes_max: 64 << 20,
            // Several round trips across the world. On a link that lives nothing is lost, so that these rarely matter.
            resend_after: Duration::from_secs(1),
            ask_again_after: Duration::from_secs(1),
        }
    }
}

/// What a filter counts against the bounds, in bytes: its text, and the structures that hold it.
pub(crate) fn filter_cost(filter: &ParsedFilter) -> usize {
    let group = filter.group.as_ref().map_or(0, |group| group.len());
    group + filter.filter.as_str().len() + FILTER_OVERHEAD
}

/// A shared allocation with its counters (16), two fat pointers in it (32), and its share of two tree nodes.
const FILTER_OVERHEAD: usize = 96;
