//! Whether the certificate of a client whose handshake is long over would still be accepted.
//!
//! Nothing is verified again for that: with the handshake it is noted which authority vouches for the certificate, and
//! what is in force knows its authorities by name and key. An authority that got a new certificate for its old key is the
//! same; one that got a new key under its old name is another.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, TrustAnchor, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::revoked::Revoked;

/// Who vouches for clients of a listener, and which certificates were taken back. Immutable; by default there is nobody.
#[derive(Default)]
pub struct Trusted {
    authorities: Vec<Authority>,
    revoked: Revoked,
}

struct Authority {
    id: Arc<[u8]>,
    /// Accepts what this authority alone vouches for.
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Trusted {
    /// # Errors
    /// An authority that cannot be one.
    pub(super) fn new(
        roots: &RootCertStore,
        revoked: Revoked,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let authority = |anchor: &TrustAnchor<'static>| {
            let alone = Arc::new(RootCertStore { roots: vec![anchor.clone()] });
            let builder = WebPkiClientVerifier::builder_with_provider(alone, Arc::clone(provider));
            builder.build().map(|verifier| Authority { id: id_of(anchor), verifier })
        };
        Ok(Self { authorities: roots.roots.iter().map(authority).collect::<Result<_, _>>()?, revoked })
    }

    /// The authority that vouches for the first of these certificates, through the others where it takes them. `None`
    /// where none does that is in force.
    #[must_use]
    pub fn authority_of(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<[u8]>> {
        let (leaf, rest) = chain.split_first()?;
        let now = UnixTime::now();
        let vouches =
            |it: &&Authority| -> Result<ClientCertVerified, _> { it.verifier.verify_client_cert(leaf, rest, now) };
        self.authorities.iter().find(|it| vouches(it).is_ok()).map(|it| Arc::clone(&it.id))
    }

    /// Whether a certificate (DER) is still good that an authority, as [`Self::authority_of`] names it, vouched for.
    #[must_use]
    pub fn stands(&self, certificate: &[u8], authority: &[u8]) -> bool {
        self.authorities.iter().any(|it| *it.id == *authority) && !self.revoked.contains(certificate)
    }
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

/// Name and key: what makes an authority the same one (RFC 5280, 6.1.1). Both are DER, so that they do not run together.
fn id_of(anchor: &TrustAnchor<'_>) -> Arc<[u8]> {
    [&*anchor.subject, &*anchor.subject_public_key_info].concat().into()
}
