//! What a metadata store promises, as a value: entries with revisions, transactions that hold only if nothing they were
//! computed from has changed, and a log of changes that may be cut.
//!
//! The embedded store keeps one of these in memory and its writes on disk; simulations use it as the store itself. Revisions
//! count as in etcd: an empty store is at revision 1, and each transaction that changes something takes the next one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// A state of the whole store. Grows by one with each transaction that changes something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// Of an entry that is not there.
    pub const ABSENT: Self = Self(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value and the revisions that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<V> {
    /// What is stored.
    pub value: V,
    /// Which revision created the entry.
    pub created: Revision,
    /// Which revision wrote this value.
    pub modified: Revision,
}

/// Writes that happen all together, or not at all if an entry is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction<K, V> {
    /// The revisions at which entries must have been modified last; [`Revision::ABSENT`]: they must not be there.
    pub expects: BTreeMap<K, Revision>,
    /// What is written; `None` deletes.
    pub writes: BTreeMap<K, Option<V>>,
}

impl<K: Ord, V> Transaction<K, V> {
    /// Writes nothing and expects nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { expects: BTreeMap::new(), writes: BTreeMap::new() }
    }

    /// Holds only if an entry was last modified at `at`.
    #[must_use]
    pub fn expect(mut self, key: K, at: Revision) -> Self {
        self.expects.insert(key, at);
        self
    }

    /// Writes a value.
    #[must_use]
    pub fn put(mut self, key: K, value: V) -> Self {
        self.writes.insert(key, Some(value));
        self
    }

    /// Deletes an entry, if it is there.
    #[must_use]
    pub fn delete(mut self, key: K) -> Self {
        self.writes.insert(key, None);
        self
    }
}

impl<K: Ord, V> Default for Transaction<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of an entry: what it is, or that it is no more.
pub type Change<K, V> = (K, Option<Versioned<V>>);

/// A revision and all that it changed.
pub type Step<K, V> = (Revision, Vec<Change<K, V>>);

/// An entry was not as a transaction expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict<K> {
    /// The first such entry.
    pub key: K,
    /// At which revision it was really modified; [`Revision::ABSENT`]: it is not there.
    pub modified: Revision,
}

/// Changes that are asked for are no longer known: only the whole state is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// The oldest revision since which changes are known.
    pub since: Revision,
}

/// A store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger<K, V> {
    revision: Revision,
    entries: BTreeMap<K, Versioned<V>>,
    log: VecDeque<Step<K, V>>,
    /// Changes behind this revision are in the log.
    since: Revision,
}

impl<K: Ord + Clone, V: Clone> Default for Ledger<K, V> {
    fn default() -> Self {
        Self::restored(Revision(1), BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Clone> Ledger<K, V> {
    /// A store as it was at a revision. What happened before is not known.
    #[must_use]
    pub fn restored(revision: Revision, entries: BTreeMap<K, Versioned<V>>) -> Self {
        Self { revision, entries, log: VecDeque::new(), since: revision }
    }

    /// The last revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// One entry.
    #[must_use]
    pub fn entry(&self, key: &K) -> Option<&Versioned<V>> {
        self.entries.get(key)
    }

    /// All entries by key.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<K, Versioned<V>> {
        &self.entries
    }

    /// What a transaction would change, under the next revision; nothing is changed yet. Deleting what is not there is no
    /// change.
    ///
    /// # Errors
    /// An entry is not as expected.
    pub fn prepare(&self, transaction: &Transaction<K, V>) -> Result<Vec<Change<K, V>>, Conflict<K>> {
        for (key, at) in &transaction.expects {
            let modified = self.entries.get(key).map_or(Revision::ABSENT, |entry| entry.modified);
            if modified != *at {
                return Err(Conflict { key: key.clone(), modified });
            }
        }
        let modified = self.next_revision();
        let change = |(key, value): (&K, &Option<V>)| {
            let held = self.entries.get(key);
            let created = held.map_or(modified, |entry| entry.created);
            let entry = value.clone().map(|value| Versioned { value, created, modified });
            (entry.is_some() || held.is_some()).then(|| (key.clone(), entry))
        };
        Ok(transaction.writes.iter().filter_map(change).collect())
    }

    /// Takes prepared changes, if there are any, as the next revision. Returns the last revision.
    pub fn apply(&mut self, changes: Vec<Change<K, V>>) -> Revision {
        if changes.is_empty() {
            return self.revision;
        }
        self.revision = self.next_revision();
        for (key, entry) in &changes {
            match entry {
                Some(entry) => {
                    assert_eq!(entry.modified, self.revision, "changes are applied in the order they were prepared in");
                    self.entries.insert(key.clone(), entry.clone());
                }
                None => {
                    self.entries.remove(key);
                }
            }
        }
        self.log.push_back((self.revision, changes));
        self.revision
    }

    /// Prepares and applies.
    ///
    /// # Errors
    /// An entry is not as expected. Nothing has changed then.
    pub fn commit(&mut self, transaction: &Transaction<K, V>) -> Result<Revision, Conflict<K>> {
        let changes = self.prepare(transaction)?;
        Ok(self.apply(changes))
    }

    /// What has changed after a revision, oldest first.
    ///
    /// # Errors
    /// That is not known any more, or the revision is one that this store has not come to.
    pub fn changes_after(&self, revision: Revision) -> Result<impl Iterator<Item = &Step<K, V>>, Compacted> {
        if !(self.since..=self.revision).contains(&revision) {
            return Err(Compacted { since: self.since });
        }
        Ok(self.log.iter().filter(move |(at, _)| *at > revision))
    }

    /// Forgets how the state at `upto` came about.
    pub fn compact(&mut self, upto: Revision) {
        self.since = self.since.max(upto.min(self.revision));
        while self.log.front().is_some_and(|(at, _)| *at <= self.since) {
            self.log.pop_front();
        }
    }

    /// How many revisions the log holds.
    #[must_use]
    pub fn log_len(&self) -> usize {
        self.log.len()
    }

    fn next_revision(&self) -> Revision {
        Revision(self.revision.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tx = Transaction<&'static str, u32>;

    fn of(transactions: &[Tx]) -> Ledger<&'static str, u32> {
        let mut ledger = Ledger::default();
        transactions.iter().for_each(|transaction| {
            ledger.commit(transaction).unwrap();
        });
        ledger
    }

    #[test]
    fn a_transaction_holds_only_if_everything_it_was_computed_from_is_as_it_was() {
        let mut ledger = of(&[Tx::new().put("a", 1).put("b", 1), Tx::new().put("b", 2)]);
        let stale = Tx::new().expect("a", Revision(2)).expect("b", Revision(2)).put("c", 1);
        assert_eq!(ledger.commit(&stale), Err(Conflict { key: "b", modified: Revision(3) }));
        assert_eq!(ledger.entry(&"c"), None, "nothing of it was written");
        let fresh = Tx::new().expect("b", Revision(3)).expect("c", Revision::ABSENT).put("c", 1);
        assert_eq!(ledger.commit(&fresh), Ok(Revision(4)));
        assert_eq!(ledger.commit(&fresh), Err(Conflict { key: "c", modified: Revision(4) }));
    }

    #[test]
    fn an_entry_that_is_deleted_and_made_again_is_a_new_one() {
        let ledger = of(&[Tx::new().put("a", 1), Tx::new().put("a", 2), Tx::new().delete("a"), Tx::new().put("a", 3)]);
        let entry = Versioned { value: 3, created: Revision(5), modified: Revision(5) };
        assert_eq!(ledger.entry(&"a"), Some(&entry));
    }

    #[test]
    fn what_changes_nothing_takes_no_revision() {
        let mut ledger = of(&[]);
        assert_eq!(ledger.commit(&Tx::new().delete("a")), Ok(Revision(1)));
        assert_eq!(ledger.commit(&Tx::new()), Ok(Revision(1)));
    }

    #[test]
    fn changes_are_known_back_to_where_the_log_was_cut() {
        let mut ledger = of(&[Tx::new().put("a", 1), Tx::new().put("a", 2), Tx::new().delete("a")]);
        let seen = |ledger: &Ledger<&'static str, u32>, after| {
            ledger.changes_after(Revision(after)).map(|changes| changes.map(|(at, _)| at.0).collect::<Vec<_>>())
        };
        assert_eq!(seen(&ledger, 1), Ok(vec![2, 3, 4]));
        ledger.compact(Revision(3));
        assert_eq!(seen(&ledger, 2), Err(Compacted { since: Revision(3) }));
        assert_eq!(seen(&ledger, 3), Ok(vec![4]));
        assert_eq!(seen(&ledger, 9), Err(Compacted { since: Revision(3) }), "a revision of another store");
        ledger.compact(Revision(9));
        assert_eq!((seen(&ledger, 4), ledger.log_len()), (Ok(vec![]), 0));
    }
}
