//! Both ends of push and joining over real sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod joining;
mod operators;
mod pushing;
mod strangers;
