//! What a link may hold.

use std::time::Duration;

/// Reliable frames without an outcome that a link has at most. At 80 ms there and back it is 800,000 frames a second.
pub const WINDOW_MAX: usize = 65_536;

/// Bounds of one link. Each must be at least 1; both sides may have different ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkLimits {
    /// Frames of the lane Messages that wait to be sent or, being reliable, for their outcome, in bytes.
    pub window_bytes_max: usize,
    /// Frames of the lane Bulk that wait, in bytes.
    pub bulk_bytes_max: usize,
    /// Frames of [`super::Link::send_control`] that wait, in bytes.
    pub control_bytes_max: usize,
    /// A longer frame is neither sent nor taken, in bytes; at most 8 less than the other bounds, and at most
    /// [`FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
    /// From a connection to the peer's Hello.
    pub greeting_max: Duration,
}

/// The longest frame that the format can carry, in bytes: a length is at most 4 bytes of 7 bits, and counts the kind.
pub const FRAME_BYTES_MAX: usize = (1 << 28) - 2;

/// Room for a frame's length and kind.
const HEAD_BYTES_MAX: usize = 8;

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            window_bytes_max: 32 << 20,
            bulk_bytes_max: 16 << 20,
            control_bytes_max: 8 << 20,
            // A PUBLISH of the default size, its topic and properties.
            frame_bytes_max: 4 << 20,
            greeting_max: Duration::from_secs(5),
        }
    }
}

impl LinkLimits {
    /// Whether the bounds fit each other.
    pub(super) fn are_sound(&self) -> bool {
        let smallest = self.window_bytes_max.min(self.bulk_bytes_max).min(self.control_bytes_max);
        (1..=FRAME_BYTES_MAX.min(smallest.saturating_sub(HEAD_BYTES_MAX))).contains(&self.frame_bytes_max)
    }
}
