//! Every bound of the push protocol, and every period.

use std::time::Duration;

/// Bounds in bytes. Both ends of a cluster use the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The resources of one part of a response. A single larger one cannot be published.
    pub part_bytes_max: usize,
    /// All resources of one type that a node holds, with those it is about to let go, or is receiving.
    pub type_bytes_max: usize,
    /// Removed names of one type that control remembers to make deltas from. Beyond, older bases get a full response.
    pub removed_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A quarter of gRPC's default for a message (4 MiB), so that framing and one large resource never meet it.
            part_bytes_max: 1 << 20,
            // Twice the routing table of 20 M subscriptions at some 20 bytes each, once serving and once arriving.
            type_bytes_max: 1 << 30,
            removed_bytes_max: 4 << 20,
        }
    }
}

/// Periods of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// How often a node says what it holds.
    pub heartbeat_every: Duration,
    /// Either end closes a stream on which it has heard nothing for so long.
    pub silence_max: Duration,
    /// Control closes a stream whose node has not answered a response for so long since its last part.
    pub answer_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_every: Duration::from_secs(2),
            // Three heartbeats and some: one lost segment and its retransmission are no reason to reconnect.
            silence_max: Duration::from_secs(7),
            answer_max: Duration::from_secs(30),
        }
    }
}

/// The words of a refusal. Longer ones are cut.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Answers that wait for the transport. Control has one response under way, so that a second waiting answer is its fault.
pub(crate) const ANSWERS_MAX: usize = 4;
