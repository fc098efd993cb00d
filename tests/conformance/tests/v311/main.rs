//! The statements of MQTT 3.1.1 that bind a server, and what MQTT 3.1 has in common with it, one module a chapter.
//! `docs/conformance.md` lists them.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test, also what is yet to come")]

mod connect;
mod data;
mod delivery;
mod mixed;
mod publish;
mod subscribe;
mod topics;
mod transport;

use sluice_tests_conformance::Version;

/// The versions that this standard speaks about; 3.1 differs in names and lengths only.
const VERSIONS: [Version; 2] = [Version::V311, Version::V31];
