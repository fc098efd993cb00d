//! What makes a good process: configuration, logs, metrics, TLS, reload and shutdown.
//!
//! Nothing here knows what a broker is. Both planes' servers and the `sluice` binary use it, so that a process of
//! either kind reads its file, speaks to systemd and shows its figures in the same way.

pub mod config;
pub mod durable;
pub mod lifecycle;
pub mod metrics;
pub mod reload;
pub mod telemetry;
pub mod tls;
