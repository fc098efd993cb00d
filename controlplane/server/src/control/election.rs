//! Stands for the lease, again and again.

use std::{sync::Arc, time::Duration};

use sluice_controlplane_store::{MetaStore, schema::LEADER};
use tokio::sync::{Notify, mpsc};
use tracing::warn;

/// What happens to the lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lease {
    Won,
    Lost,
}

/// Stands for election until the process ends. `candidate` is what the others read: where nodes reach this replica.
/// `resign` gives a held lease up.
pub(super) async fn run(
    store: Arc<dyn MetaStore>,
    candidate: String,
    ttl: Duration,
    resign: Arc<Notify>,
    events: mpsc::Sender<Lease>,
) {
    loop {
        let mut leadership = match store.campaign(LEADER, &candidate, ttl).await {
            Ok(leadership) => leadership,
            Err(error) => {
                warn!(%error, "this replica cannot stand for election");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        if events.send(Lease::Won).await.is_err() {
            return leadership.resign().await;
        }
        tokio::select! {
            () = leadership.lost() => {}
            () = resign.notified() => leadership.resign().await,
            () = events.closed() => return leadership.resign().await,
        }
        if events.send(Lease::Lost).await.is_err() {
            return;
        }
        // Who has just lost it lets others have a chance.
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

const RETRY_AFTER: Duration = Duration::from_secs(1);
