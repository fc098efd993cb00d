//! A watch that lasts: it goes on where it was, or lists again when that is not possible.
//!
//! ```text
//!            listed                  compacted, or the store is behind what was seen
//! Listing ───────────► Watching ─────────────────────────────────────────────► Listing
//!    ▲ │                  │ ▲
//!    └─┘ wait             └─┘ wait, watch from where it was
//!  failed               broken off
//! ```

use std::time::Duration;

use etcd_client::{Event, EventType, WatchOptions, WatchResponse, WatchStream};
use sluice_controlplane_core::ledger::Revision;
use tokio::sync::mpsc;

use super::{Etcd, entry, errors::failure, header_revision, revision, stripped};
use crate::{Change, StoreError, Watch, WatchEvent, watch::EVENTS_MAX};

pub(super) fn start(store: Etcd, prefix: String, after: Option<Revision>) -> Watch {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let follower = Follower { store, prefix, seen: after, interrupted: false, events };
    let task = tokio::spawn(follower.run());
    Watch::new(receiver, &task)
}

struct Follower {
    store: Etcd,
    prefix: String,
    /// Everything up to here was said.
    seen: Option<Revision>,
    interrupted: bool,
    events: mpsc::Sender<WatchEvent>,
}

/// Why a round is over.
enum Ended {
    /// What was seen does not lead to what is there.
    Gap,
    Failed(StoreError),
    /// Nobody watches any more.
    Unwatched,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let before = self.seen;
            match self.round().await {
                Ended::Unwatched => return,
                Ended::Gap => self.seen = None,
                Ended::Failed(error) => {
                    self.interrupted = true;
                    if self.say(WatchEvent::Interrupted { reason: error.to_string() }).await.is_err() {
                        return;
                    }
                    pause = if self.seen == before { (pause * 2).min(PAUSE_MAX) } else { PAUSE_MIN };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn round(&mut self) -> Ended {
        match self.try_round().await {
            Ok(ended) => ended,
            Err(error) => Ended::Failed(error),
        }
    }

    async fn try_round(&mut self) -> Result<Ended, StoreError> {
        let seen = match self.seen {
            Some(seen) => seen,
            None => {
                let listing = self.store.read_all(&self.prefix).await?;
                let seen = listing.revision;
                self.interrupted = false;
                if self.say(WatchEvent::Listed(listing)).await.is_err() {
                    return Ok(Ended::Unwatched);
                }
                self.seen = Some(seen);
                seen
            }
        };
        let mut stream = self.open(seen).await?;
        loop {
            let Some(response) = stream.message().await.map_err(failure)? else {
                return Err(StoreError::unavailable("the watch ended"));
            };
            if let Some(ended) = self.take(&response, seen).await? {
                return Ok(ended);
            }
        }
    }

    async fn open(&self, seen: Revision) -> Result<WatchStream, StoreError> {
        let options = WatchOptions::new().with_prefix().with_start_revision(seen.0 as i64 + 1).with_progress_notify();
        let full = self.store.key(&self.prefix);
        let mut client = self.store.client.watch_client().max_decoding_message_size(super::MESSAGE_BYTES_MAX);
        self.store.timed(async { client.watch(full, Some(options)).await }).await
    }

    /// Takes a response; says why the round is over, if it is.
    async fn take(&mut self, response: &WatchResponse, opened_at: Revision) -> Result<Option<Ended>, StoreError> {
        if response.compact_revision() > 0 {
            return Ok(Some(Ended::Gap));
        }
        if response.canceled() {
            return Err(StoreError::unavailable(format!("the watch was ended: {}", response.cancel_reason())));
        }
        let current = header_revision(response.header());
        if response.created() {
            // A store that has not come to what was seen is another one, such as a backup. Its watch would be silent until
            // it has.
            if current < opened_at {
                return Ok(Some(Ended::Gap));
            }
            if std::mem::take(&mut self.interrupted)
                && self.say(WatchEvent::Resumed { revision: current }).await.is_err()
            {
                return Ok(Some(Ended::Unwatched));
            }
        }
        for events in response.events().chunk_by(|a, b| revision_of(a) == revision_of(b)) {
            let Some(revision) = events.first().map(revision_of) else { continue };
            let changes = events.iter().map(|event| self.change(event)).collect::<Result<_, _>>()?;
            if self.say(WatchEvent::Changed { revision, changes }).await.is_err() {
                return Ok(Some(Ended::Unwatched));
            }
            self.seen = self.seen.max(Some(revision));
        }
        Ok(None)
    }

    fn change(&self, event: &Event) -> Result<Change, StoreError> {
        let Some(kv) = event.kv() else { return Err(StoreError::unavailable("an event about nothing")) };
        let prefix = &self.store.settings.prefix;
        let held = match event.event_type() {
            EventType::Put => Some(entry(prefix, kv)?),
            EventType::Delete => None,
        };
        Ok(Change { key: stripped(prefix, kv)?, entry: held })
    }

    async fn say(&self, event: WatchEvent) -> Result<(), mpsc::error::SendError<WatchEvent>> {
        self.events.send(event).await
    }
}

fn revision_of(event: &Event) -> Revision {
    event.kv().map_or(Revision::ABSENT, |kv| revision(kv.mod_revision()))
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
