//! A control service without a planner, and nodes without a broker: both ends of push and joining over real sockets.
//!
//! [`Control`] publishes what a test says and remembers what nodes answered; [`TestNode`] remembers what it was handed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]
#![allow(clippy::missing_panics_doc, reason = "a test that cannot be set up fails")]

mod control;
mod node;
pub mod tables;

use std::time::{Duration, Instant};

pub use control::{Control, Replica};
pub use node::{Seen, TestNode};

/// Waits until something holds.
///
/// # Panics
/// It does not come to hold within half a minute.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
