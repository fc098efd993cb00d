//! The statements of MQTT 5 that bind a server, one module a chapter. `docs/conformance.md` lists them.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test, also what is yet to come")]
#![allow(clippy::expect_used, reason = "a test's tools fail by panicking: that is how a test fails")]

mod acknowledgements;
mod authentication;
mod configured;
mod connack;
mod connect;
mod data;
mod delivery;
mod disconnect;
mod flow;
mod publish;
mod retained;
mod session;
mod shared;
mod subscribe;
mod topics;
mod unsubscribe;
mod websocket;
mod will;
