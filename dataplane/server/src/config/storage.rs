//! Where and how safely state is stored.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_service::config::Bytes;

/// Where and how safely state is stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The store's directory. Without it, `store` in `node.data`.
    pub path: Option<PathBuf>,
    /// When a message counts as stored.
    pub durability: Durability,
    /// Into how many parts sessions and retained messages fall. Fixed once a store exists.
    pub shards: u16,
    /// Refuse new durable work (0x97) when the disk has less room than this.
    pub reserve: Bytes,
}

/// When a message counts as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once the disk has it: what was acknowledged survives the loss of power.
    #[default]
    Fsync,
    /// Once the system has it: what was acknowledged survives the end of the process, not of the machine.
    Async,
}

/// What the nodes of a cluster have in common.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// How cluster-wide state is kept.
    pub etcd: Etcd,
}

/// How cluster-wide state is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// Retained messages with a smaller payload are held in memory by every node that may need them; of larger ones
    /// only what they are, and they are fetched when a subscriber wants them.
    pub hybrid_retained_size_threshold: Bytes,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: None,
            durability: Durability::Fsync,
            shards: sluice_cluster::SHARDS_DEFAULT,
            reserve: Bytes::mib(256),
        }
    }
}

impl Default for Etcd {
    fn default() -> Self {
        Self { hybrid_retained_size_threshold: Bytes(1024) }
    }
}
