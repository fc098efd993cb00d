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
