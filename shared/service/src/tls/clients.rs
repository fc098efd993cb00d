//! Certificates of clients.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    TlsError, certificate,
    revoked::{self, Revoked},
    trusted::Trusted,
};

/// Whether clients show certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; one that does not verify is refused.
    Optional(ClientAuthority),
    /// They must.
    Required(ClientAuthority),
}

/// Whose certificates are good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientAuthority {
    /// PEM of the certificate authorities, one or more.
    pub ca: PathBuf,
    /// PEM of revocation lists. With a list, a certificate whose issuer has none in it, or one that is out of date, is
    /// refused: who may come in must be known, not guessed.
    pub crl: Option<PathBuf>,
}

impl ClientAuthority {
    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        [Some(self.ca.clone()), self.crl.clone()].into_iter().flatten()
    }
}

impl ClientAuth {
    pub(super) fn authority(&self) -> Option<&ClientAuthority> {
        match self {
            Self::None => None,
            Self::Optional(authority) | Self::Required(authority) => Some(authority),
        }
    }

    /// What verifies clients' certificates, and what connected clients are held against.
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(Arc<dyn ClientCertVerifier>, Trusted), TlsError> {
        let Some(authority) = self.authority() else {
            return Ok((WebPkiClientVerifier::no_client_auth(), Trusted::default()));
        };
        let mut revoked = Revoked::default();
        let mut roots = RootCertStore::empty();
        for root in certificate::read_certificates(&authority.ca)? {
            roots.add(root).map_err(|error| TlsError::file(&authority.ca, error))?;
        }
        let roots = Arc::new(roots);
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        if let Some(crl) = &authority.crl {
            let lists = revoked::read_lists(crl)?;
            revoked = Revoked::read(crl, &lists)?;
            builder = builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
        }
        if matches!(self, Self::Optional(_)) {
            builder = builder.allow_unauthenticated();
        }
        let named = authority.crl.as_ref().unwrap_or(&authority.ca);
        let verifier = builder.build().map_err(|error| TlsError::file(named, error))?;
        let trusted = Trusted::new(&roots, revoked, provider).map_err(|error| TlsError::file(&authority.ca, error))?;
        Ok((verifier, trusted))
    }
}
