//! What control keeps: a small metadata store, in etcd or in the process itself, and the layout of its keys.
//!
//! * [`MetaStore`]: what any of them promises. [`Etcd`], [`Embedded`] and, for tests, [`Memory`] keep it, and one suite of
//!   tests holds them to it.
//! * [`schema`]: which keys there are and what stands in them (`docs/protocol/store.md`).
//!
//! It holds the nodes, the shards and what operators want: some thousands of entries that change when those do. Nothing that
//! a client does is ever written here.

mod embedded;
mod error;
mod etcd;
mod leadership;
mod local;
mod memory;
pub mod schema;
mod status;
mod store;
mod watch;

pub use embedded::Embedded;
pub use error::StoreError;
pub use etcd::{Etcd, EtcdSettings, EtcdTls};
pub use leadership::Leadership;
pub use memory::{Backup, Fault, Memory};
pub use status::{Member, Status};
pub use store::{Answer, Change, Entry, Listing, MetaStore, Outcome, TRANSACTION_OPS_MAX, Txn, VALUE_BYTES_MAX};
pub use watch::{Watch, WatchEvent};
