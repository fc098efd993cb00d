//! Why a store cannot be opened or read.

use std::{io, path::PathBuf};

use sluice_dataplane_core::RestoreError;

/// Why a store cannot be opened or read. Every variant says which folder it is about and, where there is something to
/// do about it, what.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or used.
    #[error("cannot use {} as the data folder: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by {holder}: stop it, or choose another data folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Which process, as far as known.
        holder: String,
    },
    /// The data was written by a version with another format.
    #[error("{} holds format {found}; this version reads format {supported}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// The format on disk.
        found: u32,
        /// The format this version reads and writes.
        supported: u32,
    },
    /// The data was written with another number of shards, which is fixed for the life of a cluster.
    #[error("{} was created with {found} shards, the configuration says {configured}: set it back", path.display())]
    Shards {
        /// The folder.
        path: PathBuf,
        /// The number on disk.
        found: u16,
        /// The number asked for.
        configured: u16,
    },
    /// The log lacks what was acknowledged.
    #[error(
        "the log {} is damaged: what was stored from change {missing} on cannot be read; \
         restore a copy of the folder, or start `sluice node` once with --accept-loss to go on without it",
        file.display()
    )]
    Damaged {
        /// The file of the log.
        file: PathBuf,
        /// The first change that is missing, as RocksDB numbers them.
        missing: u64,
    },
    /// A key on disk has no meaning.
    #[error("a {kind} key on disk cannot be read: {key:02x?}")]
    Key {
        /// The kind of key.
        kind: &'static str,
        /// Its bytes.
        key: Box<[u8]>,
    },
    /// RocksDB reports an error: damage, an I/O error or a full disk.
    #[error("the database in {} fails: {source}", path.display())]
    Database {
        /// The folder.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// A stored value was refused by the worker it was restored to.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}
