//! What a replica has seen of later stores than the one in front of it: how an old backup is found out.
//!
//! An epoch that was stored once can only be missing from a store that went back. Nothing is written or published then, until
//! the stored epoch is above all that was seen: which only an operator brings about. The revision of the store tells of a
//! backup from within the same leadership.
//!
//! What nodes hold says the same, with one difference: a replica that is cut off from the store hears from nodes of a leader
//! whom it has not seen there yet. So their word counts for as long as the store does not say the same, and is not kept.

use sluice_cluster::{Epoch, Version};

use super::Versions;
use crate::ledger::Revision;

/// What was seen. Kept on the disk of the replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Witness {
    /// The highest epoch of a leadership.
    epoch: Epoch,
    /// The stored epoch has to be above this; 0: nothing is wrong.
    barrier: Epoch,
    /// The last state of the store.
    revision: Revision,
    /// The highest epoch that a node has spoken of since this replica started.
    told: Epoch,
}

impl Witness {
    /// As it was kept: the highest epoch, the one that the store has to get above, and the last state of the store.
    #[must_use]
    pub fn restored(epoch: Epoch, barrier: Epoch, revision: Revision) -> Self {
        Self { epoch, barrier, revision, told: Epoch(0) }
    }

    /// The last state of the store.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The highest epoch that was stored.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The epoch that the store has to get above before anything is done with it.
    #[must_use]
    pub fn barrier(&self) -> Epoch {
        self.barrier
    }

    /// The epoch that would be above all that was seen.
    #[must_use]
    pub fn epoch_above(&self) -> Epoch {
        self.epoch.max(self.barrier).max(self.told).next()
    }

    pub(super) fn saw_stored(&mut self, epoch: Epoch) {
        if epoch < self.epoch {
            self.barrier = self.barrier.max(self.epoch);
        }
        self.epoch = self.epoch.max(epoch);
    }

    pub(super) fn saw_versions(&mut self, held: &Versions) {
        let highest = held.iter().map(|(_, version)| version.leadership).max().unwrap_or_default();
        self.told = self.told.max(highest);
    }

    /// Somebody holds what this leader has not published. If that is of its own epoch, the epoch was given twice.
    pub(super) fn saw_ahead(&mut self, version: Version) {
        if version.leadership > self.epoch {
            self.told = self.told.max(version.leadership);
        } else {
            self.barrier = self.barrier.max(self.epoch);
        }
    }

    pub(super) fn saw_change(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Says whether the store went back: it is listed as it was before.
    pub(super) fn saw_listing(&mut self, revision: Revision) -> bool {
        let is_back = revision < self.revision;
        if is_back {
            self.barrier = self.barrier.max(self.epoch);
        }
        self.revision = revision;
        is_back
    }

    /// Whether a store whose leadership has this epoch is older than what was seen.
    pub(super) fn contradicts(&self, stored: Epoch) -> bool {
        self.barrier > Epoch(0) && stored <= self.barrier || stored < self.told
    }

    /// What a store that is older does not know of.
    pub(super) fn seen(&self) -> Epoch {
        self.barrier.max(self.told)
    }
}
