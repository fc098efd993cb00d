//! The task that owns the reconciler: brings it what happens, and carries out what it says. Nothing is decided here.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sluice_controlplane_core::{
    reconciler::{Clock, Office, Output, Reconciler, StoreEvent, Written},
    record::Commit,
};
use sluice_controlplane_store::{MetaStore, Outcome, Status, StoreError, Watch, WatchEvent, schema};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::{desk::Desk, election::Lease, witness::WitnessFile};
use crate::{Event, Push};

/// Who asks the driver. Clones ask the same one.
#[derive(Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    store: Arc<dyn MetaStore>,
    /// The last revision that the driver has taken in.
    revision: watch::Receiver<u64>,
}

type Ask = Box<dyn FnOnce(&Desk) + Send>;

/// The driver has ended, with the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("control is stopping")]
pub struct Stopping;

impl Handle {
    /// Asks something of what is known.
    ///
    /// # Errors
    /// The process is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Desk) -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |desk: &Desk| drop(reply.send(question(desk))));
        self.asks.send(ask).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// The store, for what the reconciler does not keep.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn MetaStore> {
        &self.store
    }

    /// Waits until what the store had at a revision is known, but not for ever.
    pub async fn caught_up(&self, revision: u64) {
        let mut seen = self.revision.clone();
        let _ = tokio::time::timeout(CATCH_UP_MAX, seen.wait_for(|seen| *seen >= revision)).await;
    }
}

/// The task.
pub(super) struct Driver {
    pub(super) desk: Desk,
    pub(super) push: Push,
    pub(super) store: Arc<dyn MetaStore>,
    pub(super) witness: WitnessFile,
    pub(super) resign: Arc<Notify>,
    pub(super) inbox: Inbox,
    written: (mpsc::Sender<Written>, mpsc::Receiver<Written>),
    statuses: (mpsc::Sender<StatusResult>, mpsc::Receiver<StatusResult>),
    revision: watch::Sender<u64>,
}

type StatusResult = Result<Status, StoreError>;

/// Where things come from.
pub(super) struct Inbox {
    pub(super) watch: Watch,
    pub(super) leases: mpsc::Receiver<Lease>,
    pub(super) events: mpsc::Receiver<Event>,
    asks: mpsc::Receiver<Ask>,
}

impl Driver {
    pub(super) fn new(
        reconciler: Reconciler,
        store: Arc<dyn MetaStore>,
        push: Push,
        witness: WitnessFile,
        (leases, resign): (mpsc::Receiver<Lease>, Arc<Notify>),
        events: mpsc::Receiver<Event>,
    ) -> (Self, Handle) {
        let (asks, inbox) = mpsc::channel(ASKS_MAX);
        let (revision, seen) = watch::channel(0);
        let watch = store.watch(schema::STATE, None);
        let desk = Desk {
            reconciler,
            streams: BTreeMap::new(),
            channels: None,
            store_status: None,
            began: Instant::now(),
            heard: (0, 0),
        };
        let handle = Handle { asks, store: Arc::clone(&store), revision: seen };
        let driver = Self {
            desk,
            push,
            store,
            witness,
            resign,
            inbox: Inbox { watch, leases, events, asks: inbox },
            written: mpsc::channel(1),
            statuses: mpsc::channel(1),
            revision,
        };
        (driver, handle)
    }

    /// Works until `stop` is ready.
    ///
    /// # Errors
    /// What this replica has seen cannot be kept on its disk.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let due = self.due();
            tokio::select! {
                event = self.inbox.watch.next() => self.on_store(event),
                Some(lease) = self.inbox.leases.recv() => self.on_lease(lease),
                Some(event) = self.inbox.events.recv() => self.on_event(event),
                Some(written) = self.written.1.recv() => self.desk.reconciler.on_written(written),
                Some(status) = self.statuses.1.recv() => self.desk.store_status = Some(status),
                Some(ask) = self.inbox.asks.recv() => {
                    ask(&self.desk);
                    continue;
                }
                _ = look.tick() => self.look_at_the_store(),
                () = tokio::time::sleep_until(due.into()) => {}
                () = &mut stop => return Ok(()),
            }
            // What has come together is worked on together.
            for _ in 0..EVENTS_AT_ONCE {
                let Ok(event) = self.inbox.events.try_recv() else { break };
                self.on_event(event);
            }
            self.work()?;
        }
    }

    /// Time since the process started.
    pub(super) fn now(&self) -> Duration {
        self.desk.began.elapsed()
    }

    fn due(&self) -> Instant {
        let reconciler = &self.desk.reconciler;
        let next = [reconciler.poll_timeout(), reconciler.build_at()].into_iter().flatten().min();
        self.desk.began + next.unwrap_or(IDLE_MAX).min(self.now() + IDLE_MAX)
    }

    fn work(&mut self) -> io::Result<()> {
        self.witness.keep(*self.desk.reconciler.witness())?;
        let clock = Clock { now: self.now(), wall_ms: wall_ms() };
        let led = matches!(self.desk.reconciler.office(), Office::Leading { .. });
        self.desk.reconciler.advance(clock);
        self.desk.lead_or_follow(led);
        if self.desk.reconciler.is_build_due(self.now()) {
            let began = Instant::now();
            tokio::task::block_in_place(|| self.desk.reconciler.build_routes());
            let now = self.now();
            self.desk.reconciler.on_built(now, began.elapsed());
        }
        while let Some(output) = self.desk.reconciler.poll_output() {
            self.carry_out(output);
        }
        if matches!(self.desk.reconciler.office(), Office::Following) && !self.desk.streams.is_empty() {
            self.desk.streams.clear();
            self.push.end_streams();
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Commit(commit) => self.write(&commit),
            Output::Publish(publication) => self.desk.publish(&publication),
            Output::Interest(node, frame) => self.desk.send_interest(node, frame),
            Output::Refuse(node) => {
                info!(%node, "a node that was removed, or is one too many, is not served");
                self.desk.streams.remove(&node);
            }
            Output::Resign => {
                info!("another replica leads");
                self.resign.notify_one();
            }
        }
    }

    fn write(&self, commit: &Commit) {
        let (store, txn, answer) = (Arc::clone(&self.store), schema::txn(commit), self.written.0.clone());
        tokio::spawn(async move {
            let written = match store.commit(txn).await {
                Ok(Outcome::Committed(revision)) => Written::Committed(revision),
                Ok(Outcome::Conflict { modified, .. }) => Written::Conflict(modified),
                Err(error) if error.is_passing() => Written::Unknown { reason: error.to_string() },
                Err(error) => {
                    error!(%error, "the store does not take a write");
                    Written::Refused { reason: error.to_string() }
                }
            };
            let _ = answer.send(written).await;
        });
    }

    fn on_store(&mut self, event: WatchEvent) {
        let event = match event {
            WatchEvent::Listed(listing) => {
                let readings = listing.entries.into_iter().map(schema::read).collect();
                StoreEvent::Listed { revision: listing.revision, readings }
            }
            WatchEvent::Changed { revision, changes } => {
                StoreEvent::Changed { revision, readings: changes.into_iter().map(schema::read_change).collect() }
            }
            WatchEvent::Interrupted { reason } => {
                warn!(reason, "the store is not heard of");
                StoreEvent::Interrupted { reason }
            }
            WatchEvent::Resumed { .. } => StoreEvent::Resumed,
        };
        self.desk.reconciler.on_store(event);
        let revision = self.desk.reconciler.view().map_or(0, |view| view.revision().0);
        self.revision.send_replace(revision);
    }

    fn on_lease(&mut self, lease: Lease) {
        match lease {
            Lease::Won => {
                info!("this replica is elected");
                self.desk.reconciler.on_elected();
            }
            Lease::Lost => {
                warn!("this replica does not lead any more");
                self.desk.reconciler.on_lease_lost();
            }
        }
    }

    /// Asks the store how it is, and lets it forget its past while this replica leads.
    fn look_at_the_store(&self) {
        let (store, answer) = (Arc::clone(&self.store), self.statuses.0.clone());
        let leads = matches!(self.desk.reconciler.office(), Office::Leading { .. });
        tokio::spawn(async move {
            let status = store.status().await;
            if let Ok(status) = &status
                && leads
            {
                let upto = sluice_controlplane_core::ledger::Revision(status.revision.0.saturating_sub(REVISIONS_KEPT));
                if upto.0 > 0
                    && let Err(error) = store.compact(upto).await
                {
                    warn!(%error, "the store could not be compacted");
                }
            }
            let _ = answer.send(status).await;
        });
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Questions that wait. Beyond, whoever asks waits.
const ASKS_MAX: usize = 64;
/// Events of streams taken between two rounds of work.
const EVENTS_AT_ONCE: usize = 256;
/// For the store's watch to show what was written.
const CATCH_UP_MAX: Duration = Duration::from_secs(3);
/// How often the store is asked how it is.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The longest sleep: what is measured against the wall moves too.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Revisions of the past that the store keeps: a replica that was away for so many begins with a listing.
const REVISIONS_KEPT: u64 = 10_000;
