//! TLS for a listener, and between nodes: from PEM files to a configuration that can be replaced under running connections.
//!
//! TLS 1.2 and 1.3 with the ring provider. A [`TlsContext`] hands out the configuration of this moment; a connection
//! keeps the one it began with, so a reload drops nobody. A reload that fails changes nothing.
//! Session tickets are encrypted with a key that each (re)load draws anew: a client that a new CA or CRL refuses cannot
//! come back on a ticket of before.

mod certificate;
mod clients;
mod error;
pub mod member;
mod peer;
mod resolve;
mod revoked;
mod trusted;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, crypto::ring};

pub use self::{
    certificate::CertificateFiles,
    clients::{ClientAuth, ClientAuthority},
    error::TlsError,
    peer::{PeerFiles, PeerTls, uri_names},
    trusted::Trusted,
};
use self::{certificate::Identity, resolve::ByName};

/// The files and choices of one listener's TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFiles {
    /// Certificates with their keys, at least one. The client's SNI selects; the first one serves all other names.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Application protocols in order of preference; a client that offers only others is refused. Empty = any.
    pub alpn: Vec<String>,
}

impl TlsFiles {
    /// Every file that is read, for watching.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let certificates = self.certificates.iter().flat_map(|files| [files.cert.clone(), files.key.clone()]);
        certificates.chain(self.client_auth.authority().into_iter().flat_map(ClientAuthority::paths)).collect()
    }
}

/// A listener's TLS while it runs.
#[derive(Debug)]
pub struct TlsContext {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// When the first of the certificates expires, in seconds since the Unix epoch.
    expires: i64,
    trusted: Arc<Trusted>,
}

impl TlsContext {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that is missing, readable by everybody although it is secret, or not what it should be.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Loaded::read(&files)?;
        Ok(Self { files, current: ArcSwap::from_pointee(loaded) })
    }

    /// Reads the files again and uses them for new connections.
    ///
    /// # Errors
    /// As [`Self::load`]; nothing is changed then.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(Loaded::read(&self.files)?));
        Ok(())
    }

    /// The configuration for a connection that begins now.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// When the first of the certificates in use expires, in seconds since the Unix epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.current.load().expires
    }

    /// What is in force for certificates of clients. A connection that is open may have shown one before.
    #[must_use]
    pub fn trusted(&self) -> Arc<Trusted> {
        Arc::clone(&self.current.load().trusted)
    }

    /// The files this context reads.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let identities: Vec<Identity> =
            files.certificates.iter().map(|each| each.read(&provider)).collect::<Result<_, _>>()?;
        let expires = identities.iter().map(|identity| identity.expires).min().ok_or(TlsError::NoCertificate)?;
        let (verifier, trusted) = files.client_auth.verifier(&provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(ByName::new(identities)));
        config.ticketer = ring::Ticketer::new()?;
        config.alpn_protocols = files.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { config: Arc::new(config), expires, trusted: Arc::new(trusted) })
    }
}

#[cfg(test)]
mod tests;
