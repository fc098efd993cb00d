//! TLS from a member to another: who the other end is stands in its certificate as a URI, not in its address.
//!
//! The chain is verified as always; the name that was dialled is not looked at, so that an address may change hands and a
//! name server need not be trusted. What the URIs mean is the caller's to say.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::parse_x509_certificate;

use super::uri_names;

/// Bytes of a fingerprint.
pub const FINGERPRINT_BYTES: usize = 32;

/// SHA-256 of a certificate, which names it.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; FINGERPRINT_BYTES] {
    let mut bytes = [0; FINGERPRINT_BYTES];
    bytes.copy_from_slice(::ring::digest::digest(&::ring::digest::SHA256, certificate).as_ref());
    bytes
}

/// From when to when a certificate is valid, in seconds since the Unix epoch; `None` if it cannot be read.
#[must_use]
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The organisation that the subject of a certificate belongs to.
#[must_use]
pub fn organisation(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let found = parsed.subject().iter_organization().next()?.as_str().ok()?.to_owned();
    Some(found)
}

/// Whom a client trusts to vouch for a server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// These authorities.
    Roots(RootCertStore),
    /// The authority with this [`fingerprint`], which the server shows in its chain.
    Fingerprint([u8; FINGERPRINT_BYTES]),
}

/// Whether a server with these URIs is the one that was meant.
pub type Accepts = Box<dyn Fn(&[String]) -> bool + Send + Sync>;

/// A client of control: TLS 1.3, application protocol `alpn`, with its own certificate if it has one.
///
/// # Errors
/// The certificate and its key do not go together.
pub fn client(
    trust: Trust,
    accepts: Accepts,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: &str,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(MemberVerifier::new(trust, accepts, &provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Ok(config)
}

/// Verifies a server's chain, and its identity instead of its address.
pub(super) struct MemberVerifier {
    trust: Trust,
    accepts: Accepts,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for MemberVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberVerifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl MemberVerifier {
    /// Of servers that `trust` vouches for, and that are accepted by their URIs.
    pub(super) fn new(trust: Trust, accepts: Accepts, provider: &Arc<CryptoProvider>) -> Self {
        Self { trust, accepts, provider: Arc::clone(provider) }
    }

    fn roots(&self, intermediates: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
        match &self.trust {
            Trust::Roots(roots) => Ok(roots.clone()),
            Trust::Fingerprint(wanted) => {
                let shown = intermediates.iter().find(|shown| fingerprint(shown) == *wanted);
                let shown = shown.ok_or(CertificateError::UnknownIssuer)?;
                let mut roots = RootCertStore::empty();
                roots.add(shown.clone().into_owned())?;
                Ok(roots)
            }
        }
    }
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let roots = self.roots(intermediates)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        if !(self.accepts)(&uri_names(end_entity)) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// DER as PEM.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    // Base64 is ASCII: every place is between characters.
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
