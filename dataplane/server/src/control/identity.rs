//! Who this node is: its key, its certificate and the authorities it trusts, in files that only it can read.
//!
//! | file | since when |
//! |---|---|
//! | `key.pem` | before the first request: a request that is sent again is for the same key |
//! | `authorities.pem` | the first answer |
//! | `certificate.pem` | the first answer, last of all: a node with this file is a member; replaced when it is renewed |

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use sluice_cluster::{ClusterId, Identity, NodeId};
use sluice_service::{
    durable,
    tls::{
        member::{self, Trust, fingerprint, organisation, pem, validity},
        uri_names,
    },
};

use super::dial::is_control;

/// A member's identity. For connections that begin from here on; a renewed one replaces it as a whole.
#[derive(Debug)]
pub struct NodeIdentity {
    node: NodeId,
    cluster: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
}

impl NodeIdentity {
    /// Reads the identity that is kept in a folder; `None` if the node has not joined.
    ///
    /// # Errors
    /// A file is missing, cannot be read, or does not go with the others.
    pub fn load(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(CERTIFICATE);
        if !path.try_exists().map_err(|error| IdentityError::file(&path, error))? {
            return Ok(None);
        }
        let key = read_key(folder)?.ok_or_else(|| IdentityError::file(&folder.join(KEY), "is missing"))?;
        let (chain, authorities) = (read_certificates(&path)?, read_certificates(&folder.join(AUTHORITIES))?);
        Self::new(chain, key, authorities).map(Some).map_err(|what| IdentityError::file(&path, what))
    }

    /// An identity of these, if they go together.
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let own = chain.first().ok_or("there is no certificate")?;
        let names = uri_names(own);
        let identity = Identity::among(names.iter().map(String::as_str));
        let node = identity.and_then(Identity::node).ok_or("the certificate is no node's")?;
        let cluster = organisation(own).ok_or("the certificate names no cluster")?;
        let identity = Self { node, cluster, chain, key, authorities };
        // Whether key and certificate go together is checked here.
        identity.tls("h2").map_err(|error| error.to_string())?;
        Ok(identity)
    }

    /// Who the node is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The name of its cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Tells clusters apart, also those of one name: it comes from the authority's certificate.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        let mut bytes = [0; 16];
        if let Some(authority) = self.authorities.first() {
            bytes.copy_from_slice(&fingerprint(authority)[..16]);
        }
        ClusterId(u128::from_be_bytes(bytes))
    }

    /// The certificate and those between it and an authority.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// Whom it trusts to say who is a member.
    ///
    /// # Errors
    /// One of the authorities cannot be used.
    pub fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        self.authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
        Ok(roots)
    }

    /// When the certificate expires, in seconds since the Unix epoch; 0 if it does not say.
    #[must_use]
    pub fn expires_s(&self) -> i64 {
        self.chain.first().and_then(validity).map_or(0, |(_, expires)| expires)
    }

    /// When a fresh certificate is to be asked for: when a third of the lifetime is left, and before 80 h are, so that
    /// a node outlives 72 h without control whatever the lifetime; half-way at the latest that makes sense.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        let (from, expires) = self.chain.first().and_then(validity).unwrap_or_default();
        let lifetime = expires.saturating_sub(from);
        let left = (lifetime / 3).max(LEFT_S_MIN).min(lifetime.saturating_mul(9) / 10);
        let at = u64::try_from(expires.saturating_sub(left)).unwrap_or_default();
        UNIX_EPOCH + Duration::from_secs(at)
    }

    /// A client of control with this identity.
    pub(super) fn tls(&self, alpn: &str) -> Result<ClientConfig, rustls::Error> {
        let identity = (self.chain.clone(), self.key.clone_key());
        member::client(Trust::Roots(self.roots()?), Box::new(is_control), Some(identity), alpn)
    }

    /// A client of control that does not say who it is.
    pub(super) fn anonymous_tls(&self, alpn: &str) -> Result<ClientConfig, rustls::Error> {
        member::client(Trust::Roots(self.roots()?), Box::new(is_control), None, alpn)
    }

    /// Keeps what an authority has answered to a request for this folder's key.
    pub(super) fn keep(
        folder: &Path,
        chain: Vec<CertificateDer<'static>>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<Self>, IdentityError> {
        let key = read_key(folder)?.ok_or_else(|| IdentityError::file(&folder.join(KEY), "is missing"))?;
        let path = folder.join(CERTIFICATE);
        let identity = Self::new(chain, key, authorities).map_err(|what| IdentityError::file(&path, what))?;
        write_certificates(&folder.join(AUTHORITIES), &identity.authorities)?;
        write_certificates(&path, &identity.chain)?;
        Ok(Arc::new(identity))
    }
}

/// The folder's key, made if there is none, and a request to certify it.
pub(super) fn signing_request(folder: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::create_dir_all(folder).map_err(|error| IdentityError::file(folder, error))?;
    let path = folder.join(KEY);
    let key = match read_key(folder)? {
        Some(key) => KeyPair::try_from(&key).map_err(|error| IdentityError::file(&path, error))?,
        None => {
            let key = KeyPair::generate().map_err(|error| IdentityError::file(&path, error))?;
            let text = pem("PRIVATE KEY", key.serialized_der());
            durable::replace(&path, text.as_bytes()).map_err(|error| IdentityError::file(&path, error))?;
            key
        }
    };
    let request = CertificateParams::default().serialize_request(&key);
    Ok(request.map_err(|error| IdentityError::file(&path, error))?.der().to_vec())
}

/// A file of the identity that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct IdentityError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl IdentityError {
    fn file(path: &Path, what: impl ToString) -> Self {
        Self { path: path.to_owned(), what: what.to_string() }
    }
}

fn read_key(folder: &Path) -> Result<Option<PrivateKeyDer<'static>>, IdentityError> {
    let path = folder.join(KEY);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IdentityError::file(&path, error)),
    };
    let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|error| IdentityError::file(&path, error))?;
    Ok(Some(key.into()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| IdentityError::file(path, error))?;
    read.collect::<Result<_, _>>().map_err(|error| IdentityError::file(path, error))
}

fn write_certificates(path: &Path, certificates: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
    let text: String = certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
    durable::replace(path, text.as_bytes()).map_err(|error| IdentityError::file(path, error))
}

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITIES: &str = "authorities.pem";

/// 72 h without control, and a working day to notice.
const LEFT_S_MIN: i64 = 80 * 3600;
