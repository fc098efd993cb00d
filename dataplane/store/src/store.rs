//! The store of a node.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB};
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::{Key, RestoreError, WriteBatch};

use crate::{
    AnswerFn, Counters, Kind, Options, StoreError, Usage,
    commit::{self, Committer, Request},
    fatal::fatal,
    open::{self, Opened},
    queue::{Queue, lock},
    reader::{self, Wanted},
    recover,
    usage::{self, LiveCounters},
    watch,
};

/// What workers wrote, durable. Shared by all workers of a node; every call returns at once but [`Self::recover`] and
/// dropping, which takes what was submitted to stable storage first.
pub struct Store {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The last batch of each worker.
    submitted: Mutex<Vec<u64>>,
}

/// What the threads share. The lock file is dropped last: another process may open the database only once it is shut.
pub(crate) struct Shared {
    pub(crate) db: DB,
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) answers: Arc<AnswerFn>,
    pub(crate) committer: Committer,
    pub(crate) reads: Queue<reader::Read>,
    /// Never filled: the watching thread waits for its end.
    pub(crate) watch: Queue<()>,
    pub(crate) pending_bytes: AtomicUsize,
    pub(crate) free_bytes: AtomicU64,
    /// The sequence number up to which the log is known to be synced.
    pub(crate) synced: AtomicU64,
    pub(crate) counters: LiveCounters,
    _lock: File,
}

impl Store {
    /// Opens the store in the folder `path`, which is made when missing and must hold nothing else. From then on
    /// `answers` is called, from threads of the store.
    ///
    /// # Errors
    /// The folder cannot be used, is in use, or holds data of another format or number of shards; the database is
    /// damaged and [`Options::accept_loss`] is not set.
    pub fn open(path: impl AsRef<Path>, options: Options, answers: Arc<AnswerFn>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let Opened { db, lock } = open::open(path, &options)?;
        let shared = Arc::new(Shared {
            db,
            path: path.into(),
            options,
            answers,
            committer: Committer::new(),
            reads: Queue::new(),
            watch: Queue::new(),
            pending_bytes: AtomicUsize::new(0),
            free_bytes: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            counters: LiveCounters::default(),
            _lock: lock,
        });
        let writable = watch::look(&shared, true);
        let mut store = Self { shared, threads: Vec::new(), submitted: Mutex::default() };
        store.start(writable).map_err(|source| StoreError::Folder { path: path.into(), source })?;
        Ok(store)
    }

    fn start(&mut self, writable: bool) -> io::Result<()> {
        let mut spawn = |name: &str, run: fn(&Arc<Shared>, bool)| {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared, writable))?;
            self.threads.push(thread);
            io::Result::Ok(())
        };
        spawn("store-commit-a", |shared, _| commit::run(shared))?;
        spawn("store-commit-b", |shared, _| commit::run(shared))?;
        spawn("store-read", |shared, _| reader::run(shared))?;
        spawn("store-watch", watch::run)
    }

    /// Makes the changes durable, all or none, after all earlier batches of the worker; then answers
    /// [`crate::Answer::Stored`] with this number or a higher one.
    ///
    /// # Panics
    /// When a worker's batches are not numbered 1, 2, 3, …
    pub fn submit(&self, worker: WorkerId, batch: u64, ops: WriteBatch) {
        self.count(worker, batch);
        let bytes = commit::weight(&ops);
        self.shared.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.committer.requests.push(Request::Write { worker, batch, ops, bytes });
    }

    /// Reads the block of a session shard that begins with `first`, as it is after all earlier batches of the worker;
    /// answers [`crate::Answer::Loaded`]. A batch submitted after this call may or may not be seen.
    pub fn load(&self, worker: WorkerId, shard: ShardId, first: u64) {
        self.shared.committer.requests.push(Request::load(worker, Wanted::Block(shard, first)));
    }

    /// Reads the retained messages of some topics, each given with its shard, as they are after all earlier batches of
    /// the worker; answers [`crate::Answer::LoadedRetained`] with the number `read`. A batch submitted after this call
    /// may or may not be seen.
    pub fn load_retained(&self, worker: WorkerId, read: u64, topics: Vec<(ShardId, Box<str>)>) {
        self.shared.committer.requests.push(Request::load(worker, Wanted::Retained { read, topics }));
    }

    /// Gives `sink` every stored value of the wanted shards: kind by kind in the order of [`Key`]'s variants, each kind
    /// in the order of its keys. Several threads may recover different shards at once.
    ///
    /// # Errors
    /// The data is damaged, or the sink refused a value.
    pub fn recover(
        &self,
        wanted: impl Fn(ShardId) -> bool,
        mut sink: impl FnMut(Key, Bytes) -> Result<(), RestoreError>,
    ) -> Result<(), StoreError> {
        recover::recover(&self.shared, &wanted, &mut sink)
    }

    /// Bytes of batches that wait to become durable: what to hold back publishers by.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    /// What the store takes of disk and memory. Cheap enough for every scrape, not for every message.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage::usage(&self.shared)
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters.read()
    }

    fn count(&self, worker: WorkerId, batch: u64) {
        let mut submitted = lock(&self.submitted);
        let index = worker.index();
        if submitted.len() <= index {
            submitted.resize(index + 1, 0);
        }
        assert!(batch == submitted[index] + 1, "batch {batch} of worker {worker} after {}", submitted[index]);
        submitted[index] = batch;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.committer.requests.close();
        shared.watch.close();
        let mut threads = self.threads.drain(..).collect::<Vec<_>>();
        // The committers hand reads on until they end: the reader goes after them.
        let others = threads.split_off(threads.len().min(COMMITTERS));
        for thread in threads {
            join(thread);
        }
        shared.reads.close();
        for thread in others {
            join(thread);
        }
        commit::sync(shared);
        commit::write_witness(shared);
        commit::sync(shared);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        fatal("closing", &"a thread of the store panicked");
    }
}

impl Shared {
    /// The column family of a kind.
    pub(crate) fn family(&self, kind: Kind) -> &ColumnFamily {
        match self.db.cf_handle(kind.name()) {
            Some(family) => family,
            None => fatal("looking for a column family", &kind.name()),
        }
    }
}

/// Threads of group commit, started first.
const COMMITTERS: usize = 2;
