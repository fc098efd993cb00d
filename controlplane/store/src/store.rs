//! The store's trait, and what is read from and written to it.

use std::{future::Future, pin::Pin, time::Duration};

use sluice_controlplane_core::ledger::{Revision, Transaction};

use crate::{Leadership, Status, StoreError, Watch};

/// The largest value, in bytes: etcd takes requests of 1.5 MiB.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Most writes of a transaction, and most expectations: etcd's default.
pub const TRANSACTION_OPS_MAX: usize = 128;

/// What a call of the store comes to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Writes that happen all together, or not at all.
pub type Txn = Transaction<String, Vec<u8>>;

/// A metadata store: entries with revisions, in one order that every reader sees.
///
/// Keys are text; a value has at most [`VALUE_BYTES_MAX`], and a transaction at most [`TRANSACTION_OPS_MAX`] writes and as
/// many expectations.
pub trait MetaStore: Send + Sync + 'static {
    /// An entry as it is, whoever wrote it last.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// All entries below a prefix at one revision, by key.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing>;

    /// Writes if everything is as expected. An error other than a refusal leaves open whether it was written: who asks
    /// again finds out, since its expectations hold only once.
    fn commit(&self, transaction: Txn) -> Answer<'_, Outcome>;

    /// Follows all changes below a prefix: those after a revision, or a listing first and those after it. It lasts until it
    /// is dropped, and survives whatever happens to the store: see [`WatchEvent`](crate::WatchEvent).
    fn watch(&self, prefix: &str, after: Option<Revision>) -> Watch;

    /// Waits until this candidate leads under a name, with a lease of `ttl`. The name is a key; while somebody leads, it
    /// holds what the leader says of itself.
    ///
    /// Leading is a hint, never a right: every write that matters expects the revision it was computed from.
    fn campaign<'a>(&'a self, name: &'a str, candidate: &'a str, ttl: Duration) -> Answer<'a, Leadership>;

    /// How the store is.
    fn status(&self) -> Answer<'_, Status>;

    /// Forgets how the state at a revision came about. Who watches from before gets a listing.
    fn compact(&self, upto: Revision) -> Answer<'_, ()>;
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// What stands there.
    pub value: Vec<u8>,
    /// Which revision created it.
    pub created: Revision,
    /// Which revision wrote this value.
    pub modified: Revision,
}

/// All entries below a prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// The store's revision at which they were read.
    pub revision: Revision,
    /// The entries, by key.
    pub entries: Vec<Entry>,
}

/// What became of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it is; `None`: it is no more.
    pub entry: Option<Entry>,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was written.
    Committed(Revision),
    /// Nothing was written: an entry was not as expected.
    Conflict {
        /// Its key.
        key: String,
        /// When it was really modified.
        modified: Revision,
    },
}

/// Refuses what etcd would refuse, so that every store takes the same.
pub(crate) fn check_size(txn: &Txn) -> Result<(), StoreError> {
    let invalid = |reason: String| Err(StoreError::Invalid { reason });
    let ops = txn.writes.len().max(txn.expects.len());
    if ops > TRANSACTION_OPS_MAX {
        return invalid(format!("{ops} entries in a transaction, more than {TRANSACTION_OPS_MAX}"));
    }
    let sizes = txn.writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
    let bytes: usize = sizes.sum();
    if bytes > REQUEST_BYTES_MAX {
        return invalid(format!("{bytes} bytes in a transaction, more than {REQUEST_BYTES_MAX}"));
    }
    match txn.writes.iter().find(|(_, value)| value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX)) {
        Some((key, _)) => invalid(format!("the value of {key} has more than {VALUE_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}

/// etcd's default for a request is 1.5 MiB; what is not keys and values has the rest.
const REQUEST_BYTES_MAX: usize = 1_400_000;
