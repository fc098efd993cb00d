//! The node of the data plane: what moves bytes between sockets, the broker of `sluice-dataplane-core` and the store.

pub mod admin;
mod auth_pool;
mod clock;
pub mod config;
mod connect_rate;
pub mod control;
mod event_log;
mod gate_driver;
mod greeter;
pub mod links;
mod listener;
mod mailbox;
pub mod metrics;
pub mod node;
pub mod proxy_protocol;
pub mod stats;
mod storage;
mod transport;
mod worker_thread;
pub mod ws;

pub use node::{Bound, OnDamage, RunningNode, start};
