//! Leading, as far as a lease can tell.

use tokio::sync::{oneshot, watch};

/// A held leadership. Dropping it gives it up.
#[derive(Debug)]
pub struct Leadership {
    lost: watch::Receiver<bool>,
    /// Dropped together with this, which tells the task that keeps the lease.
    resign: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

impl Leadership {
    /// `resign` receives the wish to give it up, answered when that is done, or is closed.
    pub(crate) fn new(lost: watch::Receiver<bool>, resign: oneshot::Sender<oneshot::Sender<()>>) -> Self {
        Self { lost, resign: Some(resign) }
    }

    /// Whether it is known to be lost. That it is not is no proof that it is held.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until it is lost: the lease ran out or was taken away, or the store was not heard for as long as it lasts.
    /// Safe to drop before.
    pub async fn lost(&mut self) {
        // The keeper ends without a word only with the runtime.
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Gives it up, so that another may lead at once; waits until that is known or has failed.
    pub async fn resign(mut self) {
        let (done, heard) = oneshot::channel();
        if self.resign.take().is_some_and(|resign| resign.send(done).is_ok()) {
            let _ = heard.await;
        }
    }
}
