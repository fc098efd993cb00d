//! What commands ask control for, and what they show of its answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic names the test")]

mod fake;
mod routes;
mod shown;
mod told;
