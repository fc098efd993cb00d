//! The nouns of a Sluice cluster: who the nodes and workers are, and how clients and topics fall into shards.
//!
//! Plain values only. Nothing here does I/O, reads a clock or knows an encoding.

mod id;
mod shard;

pub use id::{Epoch, NodeId, WorkerId};
pub use shard::{SHARDS_DEFAULT, SHARDS_MAX, ShardId, Sharding, stable_hash};
