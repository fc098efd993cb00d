//! A store in memory that fails on demand, for tests of what is built on stores.

use std::{collections::VecDeque, time::Duration};

use sluice_controlplane_core::ledger::{self, Revision};

use crate::{
    Answer, Entry, Leadership, Listing, Member, MetaStore, Outcome, Status, StoreError, Txn, Watch,
    local::{Local, Persist, Raw},
};

/// What happens to a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not arrive.
    Lost,
    /// It is written, and the answer does not arrive.
    Unanswered,
    /// The store has no room for it.
    Full,
}

/// A store in memory. Clones are the same one.
#[derive(Clone)]
pub struct Memory(Local<Faults>);

struct Faults {
    next: VecDeque<Option<Fault>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Local::new(Raw::default(), Faults { next: VecDeque::new() }))
    }
}

impl Memory {
    /// Says what happens to the transactions that come next, in their order; `None`: nothing bad.
    pub fn inject(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.0.with_persist(|persist| persist.next.extend(faults));
    }

    /// A copy of everything, to be restored later.
    #[must_use]
    pub fn backup(&self) -> Backup {
        Backup(self.0.with(|ledger, _| ledger.clone()))
    }

    /// Puts a backup in the place of everything, as an operator may do with a real store.
    pub fn restore(&self, backup: Backup) {
        self.0.replace(backup.0);
    }

    /// Takes a leadership away, as a lease does that runs out.
    pub fn expire(&self, name: &str) {
        self.0.expire(name);
    }
}

/// What a [`Memory`] held at a time.
#[derive(Clone)]
pub struct Backup(Raw);

impl MetaStore for Memory {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.0.entry(key)) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(async move { Ok(self.0.list(prefix)) })
    }

    fn commit(&self, txn: Txn) -> Answer<'_, Outcome> {
        Box::pin(async move {
            match self.0.with_persist(|faults| faults.next.pop_front().flatten()) {
                None => self.0.commit(&txn),
                Some(Fault::Lost) => Err(StoreError::unavailable("lost on its way")),
                Some(Fault::Unanswered) => self.0.commit(&txn).and(Err(StoreError::unavailable("the answer was lost"))),
                Some(Fault::Full) => Err(StoreError::Full),
            }
        })
    }

    fn watch(&self, prefix: &str, after: Option<Revision>) -> Watch {
        self.0.watch(prefix, after)
    }

    fn campaign<'a>(&'a self, name: &'a str, candidate: &'a str, _ttl: Duration) -> Answer<'a, Leadership> {
        Box::pin(self.0.campaign(name, candidate))
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async move {
            let revision = self.0.with(|ledger, _| ledger.revision());
            let member = Member { name: "memory".into(), is_leader: true, ..Member::default() };
            Ok(Status { kind: "memory", revision, members: vec![member], ..Status::default() })
        })
    }

    fn compact(&self, upto: Revision) -> Answer<'_, ()> {
        Box::pin(async move {
            self.0.compact(upto);
            Ok(())
        })
    }
}

impl Persist for Faults {
    fn persist(&mut self, _: Revision, _: &[ledger::Change<String, Vec<u8>>]) -> Result<(), StoreError> {
        Ok(())
    }
}
