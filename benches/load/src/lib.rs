//! The load generator, the bare forwarder and the comparison of brokers.
//!
//! One thread drives any MQTT 3.1.1 broker over plain sockets and must cost so little that the broker, on
//! another core, is what is measured. Three parts use each other in one direction only:
//! `compare` (starts brokers, or a cluster, repeats workloads, writes the table) → `scenario` (what one workload does) →
//! `engine` (the event loop) with its codec, windows and histograms. `forwarder` stands apart: it is the floor,
//! a process that moves the same bytes over the same sockets without knowing what they mean.

mod catalogue;
mod cli;
mod clock;
mod codec;
mod compare;
mod dial;
mod engine;
mod flow;
mod forwarder;
mod latency;
mod link;
mod metric;
mod process;
mod scenario;
mod stamp;
mod target;
mod tls;
mod window;

pub use cli::run;
