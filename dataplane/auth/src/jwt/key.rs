//! Keys, and what they can verify.

use std::{fmt, num::NonZeroU64};

use ring::{
    hmac,
    signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey},
};
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    pem::Pem,
    prelude::{FromDer, X509Certificate},
    x509::SubjectPublicKeyInfo,
};

use super::jwks;
use crate::{config::JwtAlgorithm, review::fingerprint};

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct KeySet(Vec<Entry>);

/// A key of a set.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key's name, by which a token chooses among several.
    pub(super) id: Option<String>,
    /// The one algorithm that the set allows for it, if it says.
    pub(super) algorithm: Option<String>,
    pub(super) key: Key,
}

/// A key to verify signatures with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    Secret(Vec<u8>),
    /// Modulus and exponent, big endian.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why there is no key in a text. Messages hold nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the secret has {bytes} bytes, and {algorithm} needs at least {least} (RFC 7518, section 3.2)")]
    ShortSecret { bytes: usize, algorithm: &'static str, least: usize },
    #[error("no public key or certificate in PEM")]
    Pem,
    #[error("a private key: the broker needs the public one only")]
    Private,
    #[error("a public key of a kind that is not known here: RSA, P-256, P-384 and Ed25519 are")]
    Kind,
    #[error("not a JSON Web Key Set: {0}")]
    Set(String),
    #[error("none of its keys serves any of the configured algorithms")]
    NoneServes,
}

impl KeySet {
    /// A shared secret; one line break at its end is not part of it.
    pub(crate) fn from_secret(bytes: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        for algorithm in algorithms {
            let Some((_, least)) = mac(*algorithm) else { continue };
            if secret.len() < least {
                let algorithm = super::name(*algorithm);
                return Err(KeyError::ShortSecret { bytes: secret.len(), algorithm, least });
            }
        }
        Self::of(vec![Entry { id: None, algorithm: None, key: Key::Secret(secret.to_vec()) }], algorithms)
    }

    /// A public key or a certificate.
    pub(crate) fn from_pem(bytes: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        let pem = Pem::iter_from_buffer(bytes).next().and_then(Result::ok).ok_or(KeyError::Pem)?;
        let key = match pem.label.as_str() {
            "PUBLIC KEY" => {
                Key::from_spki(&SubjectPublicKeyInfo::from_der(&pem.contents).map_err(|_| KeyError::Pem)?.1)?
            }
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|_| KeyError::Pem)?;
                Key::from_spki(certificate.public_key())?
            }
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
            _ => return Err(KeyError::Pem),
        };
        Self::of(vec![Entry { id: None, algorithm: None, key }], algorithms)
    }

    /// A JSON Web Key Set (RFC 7517).
    pub(crate) fn from_jwks(bytes: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        Self::of(jwks::parse(bytes)?, algorithms)
    }

    /// Keeps what serves any of the algorithms.
    fn of(mut entries: Vec<Entry>, algorithms: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        entries.retain(|entry| algorithms.iter().any(|algorithm| entry.serves(*algorithm)));
        if entries.is_empty() { Err(KeyError::NoneServes) } else { Ok(Self(entries)) }
    }

    /// Those of all its keys.
    pub(super) fn fingerprints(&self) -> impl Iterator<Item = NonZeroU64> {
        self.0.iter().map(Entry::fingerprint)
    }

    /// The key that a token means: the one it names, or the only one that serves its algorithm. A token that names a
    /// key is never tried with another, except one that has no name.
    pub(super) fn select(&self, algorithm: JwtAlgorithm, id: Option<&str>) -> Option<&Entry> {
        let serving = || self.0.iter().filter(|entry| entry.serves(algorithm));
        if let Some(named) = serving().find(|entry| id.is_some() && entry.id.as_deref() == id) {
            return Some(named);
        }
        let mut candidates = serving().filter(|entry| id.is_none() || entry.id.is_none());
        let only = candidates.next()?;
        candidates.next().is_none().then_some(only)
    }
}

impl Entry {
    /// Another one for another key, and for the same key under another name.
    pub(super) fn fingerprint(&self) -> NonZeroU64 {
        let id = self.id.as_deref().unwrap_or_default().as_bytes();
        let (kind, first, second): (&[u8], &[u8], &[u8]) = match &self.key {
            Key::Secret(secret) => (b"secret", secret, &[]),
            Key::Rsa { n, e } => (b"rsa", n, e),
            Key::P256(point) => (b"p256", point, &[]),
            Key::P384(point) => (b"p384", point, &[]),
            Key::Ed25519(point) => (b"ed25519", point, &[]),
        };
        fingerprint(&[b"key", kind, id, first, second])
    }

    fn serves(&self, algorithm: JwtAlgorithm) -> bool {
        let named = self.algorithm.as_deref().is_none_or(|name| name == super::name(algorithm));
        named && self.key.serves(algorithm)
    }

    /// Whether `signature` was made over `message` by the holder of this key with exactly this algorithm.
    pub(super) fn verifies(&self, algorithm: JwtAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        self.serves(algorithm) && self.key.verifies(algorithm, message, signature)
    }
}

impl Key {
    fn from_spki(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let bits = info.subject_public_key.data.to_vec();
        let algorithm = &info.algorithm.algorithm;
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            return match info.parsed() {
                Ok(x509_parser::public_key::PublicKey::RSA(key)) => {
                    Ok(Self::Rsa { n: without_zeros(key.modulus), e: without_zeros(key.exponent) })
                }
                Ok(_) | Err(_) => Err(KeyError::Kind),
            };
        }
        if *algorithm == OID_SIG_ED25519 {
            return Ok(Self::Ed25519(bits));
        }
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        match curve {
            Some(curve) if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_EC_P256 => Ok(Self::P256(bits)),
            Some(curve) if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_NIST_EC_P384 => {
                Ok(Self::P384(bits))
            }
            Some(_) | None => Err(KeyError::Kind),
        }
    }

    fn serves(&self, algorithm: JwtAlgorithm) -> bool {
        match self {
            Self::Secret(secret) => mac(algorithm).is_some_and(|(_, least)| secret.len() >= least),
            Self::Rsa { .. } => rsa(algorithm).is_some(),
            Self::P256(_) => algorithm == JwtAlgorithm::ES256,
            Self::P384(_) => algorithm == JwtAlgorithm::ES384,
            Self::Ed25519(_) => algorithm == JwtAlgorithm::EdDSA,
        }
    }

    /// `algorithm` is one that the key serves.
    fn verifies(&self, algorithm: JwtAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Secret(secret) => {
                let Some((mac, _)) = mac(algorithm) else { return false };
                hmac::verify(&hmac::Key::new(mac, secret), message, signature)
            }
            Self::Rsa { n, e } => {
                let Some(parameters) = rsa(algorithm) else { return false };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature),
        };
        verified.is_ok()
    }
}

impl fmt::Debug for Key {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::Rsa { .. } => "Rsa",
            Self::P256(_) => "P256",
            Self::P384(_) => "P384",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

/// ring takes numbers without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// The MAC of an HS algorithm, and the fewest bytes of its secret: as many as its output has.
fn mac(algorithm: JwtAlgorithm) -> Option<(hmac::Algorithm, usize)> {
    match algorithm {
        JwtAlgorithm::HS256 => Some((hmac::HMAC_SHA256, 32)),
        JwtAlgorithm::HS384 => Some((hmac::HMAC_SHA384, 48)),
        JwtAlgorithm::HS512 => Some((hmac::HMAC_SHA512, 64)),
        JwtAlgorithm::RS256
        | JwtAlgorithm::RS384
        | JwtAlgorithm::RS512
        | JwtAlgorithm::PS256
        | JwtAlgorithm::PS384
        | JwtAlgorithm::PS512
        | JwtAlgorithm::ES256
        | JwtAlgorithm::ES384
        | JwtAlgorithm::EdDSA => None,
    }
}

/// The parameters of an RSA algorithm: keys of 2,048 bits at least.
fn rsa(algorithm: JwtAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        JwtAlgorithm::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        JwtAlgorithm::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        JwtAlgorithm::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        JwtAlgorithm::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        JwtAlgorithm::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        JwtAlgorithm::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        JwtAlgorithm::HS256
        | JwtAlgorithm::HS384
        | JwtAlgorithm::HS512
        | JwtAlgorithm::ES256
        | JwtAlgorithm::ES384
        | JwtAlgorithm::EdDSA => None,
    }
}
