//! Following a store.

use sluice_controlplane_core::ledger::Revision;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

use crate::{Change, Listing};

/// What a watch says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchEvent {
    /// Everything there is. What was known before and is not here is gone. Comes first, and again whenever changes may have
    /// been missed: after compaction, or when the store is another one than before, as a restored backup, whose revision
    /// may be a lower one.
    Listed(Listing),
    /// All that one revision changed, together. Revisions only grow between listings.
    Changed {
        /// The revision.
        revision: Revision,
        /// What it changed.
        changes: Vec<Change>,
    },
    /// The store is not heard of; what is known may be out of date until the next event of another kind. Said once for each
    /// failed try.
    Interrupted {
        /// What was found.
        reason: String,
    },
    /// The store is heard again, and nothing has changed.
    Resumed {
        /// Its revision.
        revision: Revision,
    },
}

/// A watch, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<WatchEvent>,
    task: AbortHandle,
}

impl Watch {
    pub(crate) fn new(events: mpsc::Receiver<WatchEvent>, task: &JoinHandle<()>) -> Self {
        Self { events, task: task.abort_handle() }
    }

    /// The next event. Safe to drop before it comes.
    pub async fn next(&mut self) -> WatchEvent {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends with the process's runtime only.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Events that wait for whoever watches. Beyond, the watch stops reading, and the store keeps the rest or compacts it.
pub(crate) const EVENTS_MAX: usize = 64;
