//! TLS between the nodes of a cluster: both sides show a certificate of the same authority.
//!
//! TLS 1.3 only. Which node a certificate is for stands in it as a URI, not as the name of a host, and is for the caller to
//! read ([`uri_names`]) and to judge: nodes move, and their addresses prove nothing. No session is resumed, so that every
//! connection is judged by the authority of its time.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, client::Resumption, crypto::ring, server::WebPkiClientVerifier,
    sign::SingleCertAndKey,
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::{
    CertificateFiles, TlsError, certificate,
    member::{MemberVerifier, Trust},
};

/// The files of a node's TLS towards the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerFiles {
    /// This node's certificate, for both roles (serverAuth and clientAuth), and its key.
    pub certificate: CertificateFiles,
    /// PEM of the authorities whose certificates are good, one or more: two while one takes over from the other.
    pub ca: PathBuf,
}

impl PeerFiles {
    /// Every file that is read, for watching.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        vec![self.certificate.cert.clone(), self.certificate.key.clone(), self.ca.clone()]
    }
}

/// A node's TLS towards the others, while it runs.
#[derive(Debug)]
pub struct PeerTls {
    files: PeerFiles,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    server: ServerConfig,
    client: ClientConfig,
    /// URIs in the node's own certificate.
    names: Vec<String>,
    /// In seconds since the Unix epoch.
    expires: i64,
}

impl PeerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that is missing, readable by everybody although it is secret, or not what it should be.
    pub fn load(files: PeerFiles) -> Result<Self, TlsError> {
        let loaded = Loaded::read(&files)?;
        Ok(Self { files, current: ArcSwap::from_pointee(loaded) })
    }

    /// Reads the files again, for connections that begin from now on.
    ///
    /// # Errors
    /// As [`Self::load`]; nothing is changed then.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(Loaded::read(&self.files)?));
        Ok(())
    }

    /// For connections that others open, with one application protocol.
    #[must_use]
    pub fn server(&self, alpn: &str) -> ServerConfig {
        let mut config = self.current.load().server.clone();
        config.alpn_protocols = vec![alpn.into()];
        config
    }

    /// For connections to others, with one application protocol. The name of the host that a caller gives means nothing.
    #[must_use]
    pub fn client(&self, alpn: &str) -> ClientConfig {
        let mut config = self.current.load().client.clone();
        config.alpn_protocols = vec![alpn.into()];
        config
    }

    /// The URIs in the node's own certificate.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.current.load().names.clone()
    }

    /// When the node's certificate expires, in seconds since the Unix epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.current.load().expires
    }

    /// The files this reads.
    #[must_use]
    pub fn files(&self) -> &PeerFiles {
        &self.files
    }
}

impl Loaded {
    fn read(files: &PeerFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let identity = files.certificate.read(&provider)?;
        let mut roots = RootCertStore::empty();
        for root in certificate::read_certificates(&files.ca)? {
            roots.add(root).map_err(|error| TlsError::file(&files.ca, error))?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::file(&files.ca, error))?;
        let versions = [&rustls::version::TLS13];
        let shown = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.certified)));
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&shown));
        server.send_tls13_tickets = 0;
        // Any member may be there: who it is says its certificate, and the caller judges.
        let of_authority =
            MemberVerifier::new(Trust::Roots(RootCertStore::clone(&roots)), Box::new(|_| true), &provider);
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(of_authority))
            .with_client_cert_resolver(shown);
        client.resumption = Resumption::disabled();
        let names = identity.certified.end_entity_cert().map(|leaf| uri_names(leaf))?;
        Ok(Self { server, client, names, expires: identity.expires })
    }
}

/// The URIs among the subject alternative names of a certificate (DER); none when it cannot be read.
#[must_use]
pub fn uri_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None };
    names.value.general_names.iter().filter_map(uri).collect()
}
