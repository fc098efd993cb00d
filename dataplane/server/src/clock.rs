//! The time of a node, read once a turn.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use sluice_dataplane_core::Now;

/// Nanoseconds since the first call, for measuring how long something takes; the same in all threads.
pub(crate) fn stopwatch_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// Tells the time to every thread of a node from the same start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts near zero.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        // A machine whose clock stands before 1970 gets 1970; only expiry times rest on it.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: self.mono_ms(), wall_ms: wall.as_millis() as u64 }
    }

    /// Milliseconds since the start.
    pub(crate) fn mono_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}
