//! The end of the process, where going on could break a promise.

use std::{fmt::Display, process::abort};

/// Logs why, and ends the process at once. Used when the disk fails: after a failed write or sync nobody knows what is
/// stored, so that neither an acknowledgement nor a retry would be honest. A restart recovers from what is stored.
pub(crate) fn fatal(doing: &str, error: &dyn Display) -> ! {
    tracing::error!(%error, "the store fails while {doing}; stopping, because nothing can be acknowledged any more");
    abort()
}

/// Ends the process when the thread that holds it panics: a broker whose store has stopped would only hang.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fatal("running", &"a thread of the store panicked");
        }
    }
}
