//! The broker as its users meet it: real clients of other makers, and a node that is killed again and again.
//!
//! - [`crash`] keeps publishers and subscribers busy while a node is killed, and accounts for every message;
//! - [`client`] is the MQTT client that does so, correct in what it sends again;
//! - [`cluster`] is etcd, control and nodes, all of them processes that can be killed;
//! - [`demo`] is `sluice demo`, with regions as far apart as one likes;
//! - [`node`] is a node by itself, [`service`] any process that is killed and started again;
//! - [`program`] runs the clients of others.
//!
//! `SLUICE_BIN` names the server's binary; without it the workspace's own is used, and built when it is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test's tools fail by panicking: that is how a test fails"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test, also what is yet to come")]

pub mod client;
pub mod cluster;
pub mod crash;
pub mod demo;
pub mod node;
pub mod program;
pub mod service;
