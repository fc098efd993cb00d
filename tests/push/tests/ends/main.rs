//! Both ends of push and joining over real sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod joining;
mod pushing;
mod strangers;
