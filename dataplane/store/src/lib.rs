//! RocksDB behind the data plane: what workers emit as data becomes durable here, and comes back after a restart.
//!
//! [`Store`] is the real thing: one column family per kind of [`Key`], a write-ahead log that one `fdatasync` makes
//! durable for everything that waits, a reader, and a watch on the disk's free space. [`MemoryStore`] is its twin for
//! simulations: the same promises, driven step by step, with faults on demand.
//!
//! This crate decides nothing about MQTT and never looks into a value. What it promises:
//! - the batches of one worker become durable in order, each all or nothing, and are answered in order;
//! - an answer [`Answer::Stored`] is given only for what is on stable storage ([`Durability::Fsync`]);
//! - a value is read as it is after all batches that its worker submitted before;
//! - an error of the disk while writing or reading ends the process: what is not known to be stored is never
//!   acknowledged.
//!
//! [`Key`]: sluice_dataplane_core::Key

mod answer;
mod commit;
mod error;
mod families;
mod fatal;
mod keys;
mod memory;
mod open;
mod options;
mod queue;
mod reader;
mod recover;
mod store;
mod usage;
mod wal;
mod watch;

pub use answer::{Answer, AnswerFn};
pub use error::StoreError;
pub use keys::Kind;
pub use memory::MemoryStore;
pub use options::{Durability, MinFree, Options};
pub use store::Store;
pub use usage::{Counters, KindUsage, Usage};
