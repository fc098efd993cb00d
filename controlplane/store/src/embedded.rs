//! The store of a single process: a ledger in memory, its entries in RocksDB.
//!
//! ```text
//! "m"        → format (1 byte) · last revision (8 bytes, big endian)
//! "e" · key  → created (8 bytes) · modified (8 bytes) · value
//! ```
//!
//! Each transaction is one synced write, done before anybody sees it. All entries are in memory: there are few, and they are
//! what the process works with anyway.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};
use sluice_controlplane_core::ledger::{self, Ledger, Revision, Versioned};

use crate::{
    Answer, Entry, Leadership, Listing, Member, MetaStore, Outcome, Status, StoreError, Txn, Watch,
    local::{Local, Persist, Raw},
};

/// The store of a single process. RocksDB lets only one process open it.
#[derive(Clone)]
pub struct Embedded(Local<Disk>);

impl Embedded {
    /// Opens the store in a directory; makes it when there is none.
    ///
    /// # Errors
    /// Another process has it open, or its files cannot be read or hold something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_keep_log_file_num(2);
        let db = DB::open(&options, path).map_err(disk)?;
        let ledger = load(&db)?;
        Ok(Self(Local::new(ledger, Disk { db: Arc::new(db) })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Local<Disk>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.0.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(StoreError::unavailable)?
    }
}

impl MetaStore for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.0.entry(key)) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(async move { Ok(self.0.list(prefix)) })
    }

    fn commit(&self, txn: Txn) -> Answer<'_, Outcome> {
        Box::pin(self.blocking(move |store| store.commit(&txn)))
    }

    fn watch(&self, prefix: &str, after: Option<Revision>) -> Watch {
        self.0.watch(prefix, after)
    }

    fn campaign<'a>(&'a self, name: &'a str, candidate: &'a str, _ttl: Duration) -> Answer<'a, Leadership> {
        Box::pin(self.0.campaign(name, candidate))
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(self.blocking(|store| store.with(|ledger, disk| Ok(status(ledger, disk)))))
    }

    fn compact(&self, upto: Revision) -> Answer<'_, ()> {
        Box::pin(async move {
            self.0.compact(upto);
            Ok(())
        })
    }
}

struct Disk {
    db: Arc<DB>,
}

impl Persist for Disk {
    fn persist(&mut self, revision: Revision, changes: &[ledger::Change<String, Vec<u8>>]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put(MARK, mark(revision));
        for (key, entry) in changes {
            match entry {
                Some(entry) => batch.put(row_key(key), row(entry)),
                None => batch.delete(row_key(key)),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(disk)
    }
}

fn status(ledger: &Raw, disk: &Disk) -> Status {
    let property = |name: &str| disk.db.property_int_value(name).ok().flatten().unwrap_or(0);
    let size_bytes = property("rocksdb.total-sst-files-size") + property("rocksdb.size-all-mem-tables");
    let own = |(key, held): (&String, &Versioned<Vec<u8>>)| (key.len() + held.value.len()) as u64;
    let path = disk.db.path().display().to_string();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let member = Member { name: "embedded".into(), endpoint: path, version, is_leader: true, size_bytes, error: None };
    Status {
        kind: "embedded",
        cluster: None,
        revision: ledger.revision(),
        size_bytes,
        used_bytes: ledger.entries().iter().map(own).sum(),
        quota_bytes: None,
        members: vec![member],
        alarms: Vec::new(),
    }
}

fn load(db: &DB) -> Result<Raw, StoreError> {
    let mut revision = None;
    let mut entries = BTreeMap::new();
    for row in db.iterator(IteratorMode::Start) {
        let (key, value) = row.map_err(disk)?;
        match key.split_first() {
            Some((&MARK_BYTE, [])) => revision = Some(parse_mark(&value)?),
            Some((&ROW_BYTE, key)) => {
                let (key, entry) = parse_row(key, &value)?;
                entries.insert(key, entry);
            }
            Some(_) | None => return Err(damaged("a key that is none of this store's")),
        }
    }
    let Some(revision) = revision else {
        return if entries.is_empty() { Ok(Ledger::default()) } else { Err(damaged("entries without a revision")) };
    };
    if entries.values().any(|entry| entry.modified > revision || entry.created > entry.modified) {
        return Err(damaged("an entry of a revision that never was"));
    }
    Ok(Ledger::restored(revision, entries))
}

fn mark(revision: Revision) -> [u8; 9] {
    let mut mark = [FORMAT; 9];
    mark[1..].copy_from_slice(&revision.0.to_be_bytes());
    mark
}

fn parse_mark(bytes: &[u8]) -> Result<Revision, StoreError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            rest.try_into().map(|be| Revision(u64::from_be_bytes(be))).map_err(|_| damaged("a torn revision"))
        }
        Some((format, _)) => Err(damaged(&format!("format {format}, which another version has written"))),
        None => Err(damaged("an empty revision")),
    }
}

fn row_key(key: &str) -> Vec<u8> {
    [&[ROW_BYTE], key.as_bytes()].concat()
}

fn row(entry: &Versioned<Vec<u8>>) -> Vec<u8> {
    [&entry.created.0.to_be_bytes(), &entry.modified.0.to_be_bytes(), entry.value.as_slice()].concat()
}

fn parse_row(key: &[u8], bytes: &[u8]) -> Result<(String, Versioned<Vec<u8>>), StoreError> {
    let key = String::from_utf8(key.to_vec()).map_err(|_| damaged("a key that is no text"))?;
    let short = || damaged(&format!("a torn entry at {key}"));
    let (created, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let (modified, value) = rest.split_first_chunk().ok_or_else(short)?;
    let [created, modified] = [created, modified].map(|be| Revision(u64::from_be_bytes(*be)));
    Ok((key, Versioned { value: value.to_vec(), created, modified }))
}

fn disk(error: rocksdb::Error) -> StoreError {
    StoreError::Disk { reason: error.into_string() }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Disk { reason: format!("the embedded store holds {what}") }
}

const MARK_BYTE: u8 = b'm';
const MARK: [u8; 1] = [MARK_BYTE];
const ROW_BYTE: u8 = b'e';
/// Of the layout above.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Embedded, key: &str, value: &str) {
        store.0.commit(&Txn::new().put(key.into(), value.into())).unwrap();
    }

    #[test]
    fn everything_is_there_again_after_a_restart_with_its_revisions() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path()).unwrap();
        put(&store, "a", "1");
        put(&store, "b", "1");
        put(&store, "a", "2");
        store.0.commit(&Txn::new().delete("b".into())).unwrap();
        let before = store.0.list("");
        drop(store);
        let store = Embedded::open(dir.path()).unwrap();
        assert_eq!(store.0.list(""), before);
        assert_eq!((before.revision, before.entries.len()), (Revision(5), 1));
        assert_eq!((before.entries[0].created, before.entries[0].modified), (Revision(2), Revision(4)));
    }

    #[test]
    fn files_of_another_format_and_damaged_ones_are_refused_with_the_reason() {
        let refused = |key: &[u8], value: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            let store = Embedded::open(dir.path()).unwrap();
            put(&store, "a", "1");
            store.0.with(|_, disk| disk.db.put(key, value).unwrap());
            drop(store);
            Embedded::open(dir.path()).err().map(|error| error.to_string())
        };
        let said = |what: &str| Some(format!("the store's files: the embedded store holds {what}"));
        assert_eq!(refused(b"m", &[2; 9]), said("format 2, which another version has written"));
        assert_eq!(refused(b"m", &mark(Revision(1))), said("an entry of a revision that never was"));
        assert_eq!(refused(b"ea", &[0; 15]), said("a torn entry at a"));
        assert_eq!(refused(b"x", b""), said("a key that is none of this store's"));
    }

    #[test]
    fn a_second_process_cannot_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let _store = Embedded::open(dir.path()).unwrap();
        assert!(Embedded::open(dir.path()).is_err());
    }
}
