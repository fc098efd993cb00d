//! Bad input of every kind that a client can make, and what each must get. One module for each letter of the ids, which
//! `docs/conformance.md` lists.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test, also what is yet to come")]
#![allow(clippy::expect_used, reason = "a test's tools fail by panicking: that is how a test fails")]

mod access;
mod connect;
mod files;
mod groups;
mod many;
mod overload;
mod packets;
mod proxy;
mod quality;
mod retained;
mod subscriptions;
mod tls;
mod topics;
mod utf8;
mod websocket;
mod will;

use std::sync::OnceLock;

use sluice_tests_conformance::{Server, Version, node};

/// All versions before 5, which answer an error by closing.
const OLD: [Version; 2] = [Version::V31, Version::V311];

/// A server that has less patience than the default one: deadlines of a second.
fn impatient() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        node()
            .listener("bind: '127.0.0.1:0'")
            .listener("bind: '127.0.0.1:0', protocol: ws")
            .section("limits: {connect_deadline: 1s, packet_deadline: 1s}")
            .start(&["mqtt", "ws"])
    })
}
