//! The broker as a state machine.
//!
//! A [`Worker`] owns the sessions, subscriptions, outboxes and shards of one thread of a node. It takes bytes, time and
//! messages, and says what is to be done; it never does I/O, reads a clock, draws randomness or spawns. The driver in
//! `dataplane/server` moves bytes between it and the sockets, the store and the other workers, and decides nothing.
//!
//! One turn of the driver's loop:
//! 1. feed inputs: [`Worker::receive`] for each readable connection, [`Worker::handle`] for each [`Input`],
//!    [`Worker::tick`] when [`Worker::poll_timeout`] is due;
//! 2. drain [`Worker::poll_output`] until `None`;
//! 3. drain [`Worker::next_dirty`], writing each connection's [`Outbox`] once, and report with [`Worker::flushed`].

pub mod auth;
mod connection;
mod copies;
mod fanout;
pub mod gate;
mod homes;
pub mod input;
mod journal;
pub mod link;
mod load;
mod message;
pub mod outbox;
pub mod output;
mod peers;
pub mod prefixes;
mod quota;
pub mod record;
mod retained;
mod rng;
mod routes;
mod sampling;
mod session;
pub mod settings;
mod shard;
pub mod stats;
mod steering;
mod subscriptions;
mod table;
mod timers;
pub mod worker;

pub use auth::{AuthRequest, Verdict};
pub use gate::{Gate, GateOutput, GateSettings, GateStats};
pub use homes::{Home, Homes};
pub use input::{Certificate, ClosedBy, ConnId, Flush, Input, Now, Opened, Received, Then, Transport};
pub use outbox::Outbox;
pub use output::{Event, Output};
pub use record::{Key, Op, SessionUid, WriteBatch};
pub use routes::Routes;
pub use settings::{OUTBOUND_WINDOW_MAX, Settings};
pub use stats::Stats;
pub use worker::{RestoreError, Worker};
