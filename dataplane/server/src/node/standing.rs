//! What is in force of the files of credentials and certificates, and how connected clients come to hear of it.

use std::sync::Arc;

use sluice_dataplane_auth::{self as auth, Authenticator, Chain};
use sluice_dataplane_core::{
    Input,
    auth::{Live, Review, Standing},
};
use sluice_service::tls::{TlsContext, Trusted};

use crate::mailbox::{Letter, Mailbox};

/// Tells the workers what is in force; cheap to clone.
#[derive(Clone)]
pub(super) struct StandingNews {
    authenticator: Arc<Authenticator>,
    /// By listener.
    tls: Arc<[Option<Arc<TlsContext>>]>,
    workers: Arc<[Mailbox]>,
}

/// What connected clients are held against.
#[derive(Debug)]
struct InForce {
    chain: Arc<Chain>,
    /// By listener.
    trusted: Vec<Arc<Trusted>>,
}

impl StandingNews {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        tls: Arc<[Option<Arc<TlsContext>>]>,
        workers: Arc<[Mailbox]>,
    ) -> Self {
        Self { authenticator, tls, workers }
    }

    /// Puts a chain in force for clients that are connected and for those that come.
    pub(super) fn replace_chain(&self, chain: Arc<Chain>) {
        // In this order: a client that the new chain accepts must never be held against the old one.
        self.tell(Arc::clone(&chain));
        self.authenticator.replace(chain);
    }

    /// Authorities and revocation lists were read again.
    pub(super) fn tell_certificates(&self) {
        self.tell(self.authenticator.chain());
    }

    fn tell(&self, chain: Arc<Chain>) {
        let trusted = self.tls.iter().map(|tls| tls.as_ref().map(|tls| tls.trusted()).unwrap_or_default());
        let standing: Arc<dyn Standing> = Arc::new(InForce { chain, trusted: trusted.collect() });
        for worker in self.workers.iter() {
            worker.post(Letter::Input(Input::CredentialsChanged(Arc::clone(&standing))));
        }
    }
}

impl Standing for InForce {
    fn review(&self, live: &Live<'_>) -> Review {
        if let (Some(trusted), Some(shown)) = (self.trusted.get(usize::from(live.listener)), live.certificate)
            && !trusted.stands(&shown.der, &shown.authority)
        {
            return Review::Gone;
        }
        match self.chain.review(live.username, live.client_id, live.grounds) {
            auth::Review::Stands => Review::Stands,
            auth::Review::Renewed { groups, superuser } => Review::Renewed { groups, superuser },
            auth::Review::Gone => Review::Gone,
        }
    }
}
