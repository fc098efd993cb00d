//! Leading by a key that lives as long as its lease.
//!
//! Whoever creates the key leads. The others wait until it is deleted, by its leader or because its lease ran out. etcd's own
//! election service does the same; it is not used, since it would have to be allowed apart from the keys.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn, TxnOp};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::{debug, warn};

use super::{Etcd, errors::failure, header_revision, revision};
use crate::{Leadership, StoreError, WatchEvent};

/// Waits until this candidate leads.
pub(super) async fn campaign(
    store: &Etcd,
    name: &str,
    candidate: &str,
    ttl: Duration,
) -> Result<Leadership, StoreError> {
    let mut watch = None;
    loop {
        if store.read(name).await?.is_none()
            && let Some(held) = Held::take(store, name, candidate, ttl).await?
        {
            return Ok(held.keep());
        }
        // Opened before the key is looked at again, so that its end is not missed in between.
        let watch = watch.get_or_insert_with(|| store.watch_key(name));
        wait_for_change(watch, ttl).await;
    }
}

/// Waits until something happens to the key, but not for ever: a watch that was told nothing may have been told wrong.
async fn wait_for_change(watch: &mut crate::Watch, ttl: Duration) {
    let next = async {
        loop {
            match watch.next().await {
                WatchEvent::Listed(listing) if !listing.entries.is_empty() => {}
                WatchEvent::Changed { changes, .. } if changes.iter().all(|change| change.entry.is_some()) => {}
                WatchEvent::Interrupted { .. } => {}
                WatchEvent::Listed(_) | WatchEvent::Changed { .. } | WatchEvent::Resumed { .. } => return,
            }
        }
    };
    let _ = tokio::time::timeout(ttl, next).await;
}

impl Etcd {
    fn watch_key(&self, name: &str) -> crate::Watch {
        super::follow::start(self.clone(), name.to_owned(), None)
    }
}

/// A key that this process has created.
struct Held {
    store: Etcd,
    name: String,
    lease: i64,
    created: i64,
    ttl: Duration,
    /// Until when the lease certainly lasts, by this process's clock.
    until: Instant,
}

impl Held {
    async fn take(store: &Etcd, name: &str, candidate: &str, ttl: Duration) -> Result<Option<Self>, StoreError> {
        let asked_at = Instant::now();
        let mut client = store.client.clone();
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let lease = store.timed(async { client.lease_grant(seconds, None).await }).await?.id();
        let key = store.key(name);
        let put = TxnOp::put(key.clone(), candidate, Some(PutOptions::new().with_lease(lease)));
        let txn = Txn::new().when([Compare::create_revision(key, CompareOp::Equal, 0)]).and_then([put]);
        let answer = store.timed(async { store.kv().txn(txn).await }).await;
        let held = |created| Self {
            store: store.clone(),
            name: name.to_owned(),
            lease,
            created,
            ttl: Duration::from_secs(seconds.unsigned_abs()),
            until: asked_at + ttl,
        };
        match answer {
            Ok(answer) if answer.succeeded() => Ok(Some(held(header_revision(answer.header()).0 as i64))),
            // Lost, or not known: without the lease there is no key.
            other => {
                held(0).revoke().await;
                other.map(|_| None)
            }
        }
    }

    fn keep(self) -> Leadership {
        let (lost, seen) = watch::channel(false);
        let (resign, wish) = oneshot::channel::<oneshot::Sender<()>>();
        tokio::spawn(async move {
            let mut held = self;
            let wish = tokio::select! {
                wish = wish => wish.ok(),
                reason = held.renew() => {
                    warn!(%reason, "the lease of control's leader is lost");
                    None
                }
            };
            lost.send_replace(true);
            held.revoke().await;
            wish.into_iter().for_each(|done| {
                let _ = done.send(());
            });
        });
        Leadership::new(seen, resign)
    }

    /// Renews the lease until it is lost; says why it is.
    async fn renew(&mut self) -> StoreError {
        let mut stream = None;
        loop {
            let asked_at = Instant::now();
            // Each round has until the lease certainly ends, which a good round puts off.
            let pause = match tokio::time::timeout_at(self.until, self.renew_once(&mut stream)).await {
                Ok(Ok(Some(lost))) => return lost,
                Ok(Ok(None)) => {
                    self.until = asked_at + self.ttl;
                    self.ttl / 3
                }
                Ok(Err(error)) => {
                    debug!(%error, "renewing the lease failed");
                    stream = None;
                    RETRY_AFTER
                }
                Err(_) => return StoreError::unavailable(format!("no answer in {:?}", self.ttl)),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Renews once; says why the lease is certainly lost, if it is.
    async fn renew_once(&self, stream: &mut Option<Stream>) -> Result<Option<StoreError>, StoreError> {
        let mut client = self.store.client.clone();
        let (keeper, answers) = match stream {
            Some(stream) => stream,
            None => stream.insert(self.store.timed(async { client.lease_keep_alive(self.lease).await }).await?),
        };
        let renewal = async {
            keeper.keep_alive().await?;
            answers.message().await
        };
        let answer = tokio::time::timeout(self.ttl / 3, renewal).await;
        match answer.map_err(|_| StoreError::unavailable("no answer"))?.map_err(failure)? {
            Some(answer) if answer.ttl() > 0 => {}
            Some(_) => return Ok(Some(StoreError::unavailable("the lease is gone"))),
            None => return Err(StoreError::unavailable("the stream of renewals ended")),
        }
        let found = self.store.read(&self.name).await?;
        let is_ours = found.is_some_and(|entry| entry.created == revision(self.created));
        Ok((!is_ours).then(|| StoreError::unavailable("the key was taken away")))
    }

    /// Ends the lease, and the key with it, if etcd can be reached; otherwise it runs out.
    async fn revoke(&self) {
        let mut client = self.store.client.clone();
        if let Err(error) = self.store.timed(async { client.lease_revoke(self.lease).await }).await {
            debug!(%error, "the lease could not be revoked and will run out");
        }
    }
}

type Stream = (LeaseKeeper, LeaseKeepAliveStream);

const RETRY_AFTER: Duration = Duration::from_millis(100);
