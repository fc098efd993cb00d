//! Join tokens: a secret, and how to tell control from an impostor before the secret is shown.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use sluice_service::tls::member::{FINGERPRINT_BYTES, fingerprint};

/// Bytes of a token's secret.
pub const SECRET_BYTES: usize = 32;

/// A new token, to be shown once. Only its digest is kept.
pub struct Token {
    secret: [u8; SECRET_BYTES],
    authority: [u8; FINGERPRINT_BYTES],
}

/// SHA-256 of a token's secret: what is stored, from which the secret cannot be found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl Token {
    /// A token for the cluster of an authority; `None` if the system gives no random numbers.
    #[must_use]
    pub fn draw(authority: &CertificateDer<'_>) -> Option<Self> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).ok()?;
        Some(Self { secret, authority: fingerprint(authority) })
    }

    /// What is to be stored of it.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.secret)
    }

    /// The text for the operator: `slj1`, the secret, and the fingerprint of the authority, with dots between them.
    #[must_use]
    pub fn reveal(&self) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("slj1.{}.{}", encode(&self.secret), encode(&self.authority))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl TokenDigest {
    /// Of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}
