//! Replicas of control, a store and nodes in one world without clocks: leaders that do not know that they are none, writes
//! that are lost or answered too late, nodes that die, operators who change their minds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic names the test, and the seed is told")]

mod nodes;
mod scenarios;
mod schedules;
mod world;
