//! What the control task does on the side: saving tables and renewing the certificate, beside its thread.

use std::{
    future::pending,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sluice_cluster::Address;
use sluice_discovery::Saved;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use crate::control::join::{self, JoinError};
use crate::control::saved::SavedFile;
use crate::control::{ControlSettings, NodeIdentity};

/// Saves tables a while after they have changed, one save at a time.
#[derive(Debug)]
pub(super) struct Saver {
    file: SavedFile,
    at: Option<Instant>,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl Saver {
    pub(super) fn new(file: SavedFile) -> Self {
        Self { file, at: None, running: None }
    }

    /// What there is has changed, and should be on disk soon.
    pub(super) fn changed(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Ready when something is to be saved.
    pub(super) async fn due(&mut self) {
        self.settle().await;
        match self.at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    /// Saves a state; [`Self::due`] was ready.
    pub(super) fn save(&mut self, saved: Saved) {
        self.at = None;
        let file = self.file.clone();
        self.running = Some(spawn_blocking(move || file.save(&saved)));
    }

    /// Saves what has not been saved, before the end.
    pub(super) async fn finish(&mut self, state: impl FnOnce() -> Saved) {
        self.settle().await;
        if self.at.is_some() {
            self.save(state());
            self.settle().await;
        }
    }

    async fn settle(&mut self) {
        let Some(running) = &mut self.running else { return };
        let result = running.await;
        self.running = None;
        if let Ok(Err(error)) = result {
            warn!(%error, "tables could not be saved, trying again: a restart without control would begin with older ones");
            self.changed(SAVE_AGAIN_AFTER);
        }
    }
}

/// Asks for a fresh certificate in time.
#[derive(Debug)]
pub(super) struct Renewer {
    settings: ControlSettings,
    identity: watch::Sender<Arc<NodeIdentity>>,
    at: Instant,
    running: Option<JoinHandle<Result<Arc<NodeIdentity>, JoinError>>>,
}

impl Renewer {
    pub(super) fn new(settings: ControlSettings, identity: watch::Sender<Arc<NodeIdentity>>) -> Self {
        let at = renewal(&identity.borrow());
        Self { settings, identity, at, running: None }
    }

    pub(super) fn identity(&self) -> Arc<NodeIdentity> {
        Arc::clone(&self.identity.borrow())
    }

    /// Ready with nothing when [`Self::renew`] is to be called, and with the new expiry when there is a new certificate.
    pub(super) async fn due(&mut self) -> Option<i64> {
        loop {
            let Some(running) = &mut self.running else {
                sleep_until(self.at).await;
                return None;
            };
            let result = running.await;
            self.running = None;
            self.at = Instant::now() + RENEW_AGAIN_AFTER;
            match result {
                Ok(Ok(fresh)) => {
                    let expires_s = fresh.expires_s();
                    info!(expires_s, "this node has a fresh certificate");
                    self.at = renewal(&fresh).max(self.at);
                    self.identity.send_replace(fresh);
                    return Some(expires_s);
                }
                Ok(Err(error)) => warn!(%error, "the certificate could not be renewed, trying again"),
                Err(error) => warn!(%error, "the certificate could not be renewed, trying again"),
            }
        }
    }

    /// Asks an endpoint.
    pub(super) fn renew(&mut self, endpoint: Option<Address>) {
        self.at = Instant::now() + RENEW_AGAIN_AFTER;
        let Some(endpoint) = endpoint else { return };
        let (settings, identity) = (self.settings.clone(), self.identity());
        self.running = Some(tokio::spawn(async move { join::renew(&settings, &endpoint, &identity).await }));
    }
}

/// The monotonic moment of a certificate's renewal. A year is as good as never: it is looked at again then.
fn renewal(identity: &NodeIdentity) -> Instant {
    let left = identity.renew_at().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.min(Duration::from_secs(365 * 24 * 3600))
}

const SAVE_AGAIN_AFTER: Duration = Duration::from_secs(5);
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(60);
