//! A store inside the process: a ledger in memory, and whatever makes its changes last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sluice_controlplane_core::ledger::{self, Ledger, Revision};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Change, Entry, Leadership, Listing, Outcome, StoreError, Txn, Watch, WatchEvent, store::check_size,
    watch::EVENTS_MAX,
};

pub(crate) type Raw = Ledger<String, Vec<u8>>;

/// Makes changes last before anybody sees them.
pub(crate) trait Persist: Send + 'static {
    /// Stores what a revision changes.
    fn persist(&mut self, revision: Revision, changes: &[ledger::Change<String, Vec<u8>>]) -> Result<(), StoreError>;
}

/// The store; clones are the same one.
pub(crate) struct Local<P> {
    inner: Arc<Mutex<Inner<P>>>,
    /// The last revision, to wake those who follow.
    moved: watch::Sender<Revision>,
}

struct Inner<P> {
    ledger: Raw,
    persist: P,
    /// Grows when the ledger becomes another one: what was seen of the one before says nothing about this one.
    generation: u64,
    /// Who leads, by name, and how each is told that it does no more.
    leaders: BTreeMap<String, watch::Sender<bool>>,
}

impl<P> Clone for Local<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), moved: self.moved.clone() }
    }
}

impl<P: Persist> Local<P> {
    pub(crate) fn new(ledger: Raw, persist: P) -> Self {
        let moved = watch::Sender::new(ledger.revision());
        let inner = Inner { ledger, persist, generation: 0, leaders: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)), moved }
    }

    /// Reads the ledger.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Raw, &P) -> T) -> T {
        let inner = self.lock();
        read(&inner.ledger, &inner.persist)
    }

    /// Changes what makes it last.
    pub(crate) fn with_persist<T>(&self, change: impl FnOnce(&mut P) -> T) -> T {
        change(&mut self.lock().persist)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<Entry> {
        self.with(|ledger, _| ledger.entry(&key.to_owned()).map(|held| entry(key, held)))
    }

    pub(crate) fn list(&self, prefix: &str) -> Listing {
        self.with(|ledger, _| listing(ledger, prefix))
    }

    pub(crate) fn commit(&self, txn: &Txn) -> Result<Outcome, StoreError> {
        check_size(txn)?;
        let mut inner = self.lock();
        let changes = match inner.ledger.prepare(txn) {
            Ok(changes) => changes,
            Err(conflict) => return Ok(Outcome::Conflict { key: conflict.key, modified: conflict.modified }),
        };
        if !changes.is_empty() {
            let revision = Revision(inner.ledger.revision().0 + 1);
            inner.persist.persist(revision, &changes)?;
        }
        let revision = inner.ledger.apply(changes);
        if inner.ledger.log_len() > LOG_LEN_MAX {
            let upto = Revision(revision.0.saturating_sub(LOG_LEN_MAX as u64 / 2));
            inner.ledger.compact(upto);
        }
        drop(inner);
        self.moved.send_replace(revision);
        Ok(Outcome::Committed(revision))
    }

    pub(crate) fn compact(&self, upto: Revision) {
        self.lock().ledger.compact(upto);
    }

    /// Puts another ledger in the place of this one, as restoring a backup does.
    pub(crate) fn replace(&self, ledger: Raw) {
        let mut inner = self.lock();
        let revision = ledger.revision();
        inner.ledger = ledger;
        inner.generation += 1;
        drop(inner);
        self.moved.send_replace(revision);
    }

    pub(crate) fn watch(&self, prefix: &str, after: Option<Revision>) -> Watch {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let mut follower = Follower { prefix: prefix.to_owned(), after, generation: self.lock().generation };
        let (store, mut moved) = (self.clone(), self.moved.subscribe());
        let task = tokio::spawn(async move {
            loop {
                moved.mark_unchanged();
                for event in follower.step(&store) {
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                if moved.changed().await.is_err() {
                    return;
                }
            }
        });
        Watch::new(receiver, &task)
    }

    /// Waits until nobody else leads under the name. In one process nothing but this process can take a leadership away.
    pub(crate) async fn campaign(&self, name: &str, candidate: &str) -> Result<Leadership, StoreError> {
        let mut moved = self.moved.subscribe();
        let lost = loop {
            moved.mark_unchanged();
            if let Some(lost) = self.try_lead(name) {
                break lost;
            }
            moved.changed().await.map_err(StoreError::unavailable)?;
        };
        if let Err(error) = self.commit(&Txn::new().put(name.to_owned(), candidate.into())) {
            self.lock().leaders.remove(name);
            return Err(error);
        }
        let (resign, wish) = oneshot::channel::<oneshot::Sender<()>>();
        let (store, name) = (self.clone(), name.to_owned());
        let mut told = lost.clone();
        tokio::spawn(async move {
            let wish = tokio::select! {
                wish = wish => wish.ok(),
                _ = told.wait_for(|lost| *lost) => None,
            };
            store.give_up(&name);
            wish.into_iter().for_each(|done| {
                let _ = done.send(());
            });
        });
        Ok(Leadership::new(lost, resign))
    }

    /// Tells whoever leads under a name that it does no more.
    pub(crate) fn expire(&self, name: &str) {
        if let Some(lost) = self.lock().leaders.get(name) {
            lost.send_replace(true);
        }
    }

    fn try_lead(&self, name: &str) -> Option<watch::Receiver<bool>> {
        let mut inner = self.lock();
        if inner.leaders.contains_key(name) {
            return None;
        }
        let (sender, lost) = watch::channel(false);
        inner.leaders.insert(name.to_owned(), sender);
        Some(lost)
    }

    fn give_up(&self, name: &str) {
        let lost = self.lock().leaders.remove(name);
        lost.into_iter().for_each(|lost| {
            lost.send_replace(true);
        });
        // If the entry cannot be deleted, the next leader overwrites it; those who wait have to wake all the same.
        if self.commit(&Txn::new().delete(name.to_owned())).is_err() {
            self.moved.send_modify(|_| {});
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        // What panicked while it held the lock had changed nothing or everything: each change is one call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who follows.
struct Follower {
    prefix: String,
    after: Option<Revision>,
    generation: u64,
}

impl Follower {
    /// What there is to say.
    fn step<P: Persist>(&mut self, store: &Local<P>) -> Vec<WatchEvent> {
        let inner = store.lock();
        let revision = inner.ledger.revision();
        let known = self.after.filter(|_| self.generation == inner.generation);
        self.generation = inner.generation;
        self.after = Some(revision);
        let Some(Ok(log)) = known.map(|after| inner.ledger.changes_after(after)) else {
            return vec![WatchEvent::Listed(listing(&inner.ledger, &self.prefix))];
        };
        let changed = log.filter_map(|(revision, changes)| {
            let below = changes.iter().filter(|(key, _)| key.starts_with(&self.prefix));
            let change = |(key, held): &ledger::Change<String, Vec<u8>>| Change {
                key: key.clone(),
                entry: held.as_ref().map(|held| entry(key, held)),
            };
            let changes: Vec<Change> = below.map(change).collect();
            (!changes.is_empty()).then_some(WatchEvent::Changed { revision: *revision, changes })
        });
        changed.collect()
    }
}

fn listing(ledger: &Raw, prefix: &str) -> Listing {
    let below = ledger.entries().range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
    Listing { revision: ledger.revision(), entries: below.map(|(key, held)| entry(key, held)).collect() }
}

fn entry(key: &str, held: &ledger::Versioned<Vec<u8>>) -> Entry {
    Entry { key: key.to_owned(), value: held.value.clone(), created: held.created, modified: held.modified }
}

/// Revisions that are remembered for those who follow. Twice as many as are kept when the log is cut.
const LOG_LEN_MAX: usize = 8192;
