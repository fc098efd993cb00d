//! Fuzz targets: what must hold for whatever bytes a stranger sends, an operator writes or a disk gives back.
//!
//! Each target is a function over bytes that panics when a promise is broken. The same functions run under libFuzzer
//! (`tests/fuzz/libfuzzer`) for as long as one likes and, in `tests/replay.rs`, over the kept corpora and fixed
//! mutations of them on every run of the tests. What each promises stands at its function; docs/fuzzing.md lists them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a target says that a promise is broken by panicking")]
#![allow(clippy::missing_panics_doc, reason = "every target panics when a promise is broken")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a target looks at some of many packets")]

mod authentication;
mod cursor;
mod files;
mod link;
mod mqtt;
pub mod mutation;
mod node;
mod push;
mod restore;
mod session_bytes;
mod session_model;
mod topic;
mod transport;

pub use authentication::{fuzz_jwt, fuzz_scram};
pub use files::{fuzz_access_rules, fuzz_config, fuzz_password_file};
pub use link::fuzz_link;
pub use mqtt::{fuzz_connect, fuzz_mqtt_packets, fuzz_mqtt_stream};
pub use push::fuzz_push;
pub use restore::fuzz_restore;
pub use session_bytes::fuzz_worker_bytes;
pub use session_model::fuzz_worker;
pub use topic::{fuzz_topic, fuzz_topic_index};
pub use transport::{fuzz_proxy_protocol, fuzz_websocket};

/// A target by its name, which is also the name of its corpus and of its libFuzzer binary.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Such as `mqtt_packets`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 17] = [
    Target { name: "mqtt_packets", run: fuzz_mqtt_packets },
    Target { name: "mqtt_stream", run: fuzz_mqtt_stream },
    Target { name: "connect", run: fuzz_connect },
    Target { name: "topic", run: fuzz_topic },
    Target { name: "topic_index", run: fuzz_topic_index },
    Target { name: "worker_bytes", run: fuzz_worker_bytes },
    Target { name: "worker", run: fuzz_worker },
    Target { name: "restore", run: fuzz_restore },
    Target { name: "websocket", run: fuzz_websocket },
    Target { name: "proxy_protocol", run: fuzz_proxy_protocol },
    Target { name: "link", run: fuzz_link },
    Target { name: "config", run: fuzz_config },
    Target { name: "access_rules", run: fuzz_access_rules },
    Target { name: "password_file", run: fuzz_password_file },
    Target { name: "scram", run: fuzz_scram },
    Target { name: "jwt", run: fuzz_jwt },
    Target { name: "push", run: fuzz_push },
];
