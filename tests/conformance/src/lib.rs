//! MQTT conformance of a real server over real sockets.
//!
//! The tests in `tests/` read like scripts: they start the `sluice` binary, send it bytes and say what must come back.
//! Everything they need to speak MQTT is written here from the specification and shares no code with the broker, so
//! that a misreading in the broker's codec cannot hide behind the same misreading in its tests.
//!
//! - [`server`] starts servers: one for all tests of a binary, and special ones from a [`node_file`];
//! - [`client`] is a connection that sends what it is told and checks what it gets;
//! - [`outgoing`] builds packets, correct ones and wrong ones; [`incoming`] reads the server's, strictly;
//! - [`stream`], [`websocket`], [`certificates`] and [`scram`] are the transports and what they need.
//!
//! Environment: `SLUICE_BIN` names the server's binary; `SLUICE_ADDR` (and `SLUICE_WS`) name a running server that the
//! tests of the default configuration shall use instead of starting one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test's tools fail by panicking: that is how a test fails"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test, also what is yet to come")]

pub mod certificates;
pub mod client;
pub mod incoming;
pub mod node_file;
pub mod outgoing;
pub mod property;
pub mod scram;
pub mod server;
pub mod stream;
pub mod websocket;
pub mod wire;

pub use client::Client;
pub use incoming::{Incoming, Publish};
pub use node_file::node;
pub use outgoing::{
    NO_LOCAL, Outgoing, RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER, auth, connect, disconnect, pingreq, puback,
    pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe, will,
};
pub use property::{Property, bytes, id, number, user};
pub use server::{Bystander, Server, eventually};
pub use wire::{Version, packet};

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// A name that no other test uses: for client ids (letters and digits, at most 23 bytes) and topics.
#[must_use]
pub fn fresh(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() % 100_000_000;
    let process = std::process::id() % 100_000;
    format!("{prefix}{millis:x}p{process:x}n{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
