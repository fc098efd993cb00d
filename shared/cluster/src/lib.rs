//! The nouns of a Sluice cluster: who the nodes and workers are, how clients and topics fall into shards, and what is
//! wanted where.
//!
//! Plain values and state machines only. Nothing here does I/O, reads a clock or knows an encoding.

mod digest;
mod id;
pub mod interest;
pub mod routing;
mod shard;
mod version;

pub use digest::SetDigest;
pub use id::{Epoch, NodeId, WorkerId};
pub use shard::{SHARDS_DEFAULT, SHARDS_MAX, ShardId, Sharding};
pub use version::Version;
