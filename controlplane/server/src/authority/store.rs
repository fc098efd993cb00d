//! Where the authority's key and certificate are kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};

use sluice_service::tls::member::{organisation, pem};

use super::AuthorityError;

/// What is kept. The key is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityRecord {
    /// The name of the cluster.
    pub cluster: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// PKCS #8, DER.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for AuthorityRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityRecord").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Keeps an authority.
#[tonic::async_trait]
pub trait AuthorityStore: Send + Sync {
    /// What is kept, if anything is.
    async fn load(&self) -> Result<Option<AuthorityRecord>, AuthorityError>;

    /// Keeps this authority, unless another was there first; returns the one that is kept.
    async fn create(&self, record: AuthorityRecord) -> Result<AuthorityRecord, AuthorityError>;
}

/// In memory: for a cluster that ends with its process.
#[derive(Debug, Default)]
pub struct MemoryAuthority(Mutex<Option<AuthorityRecord>>);

#[tonic::async_trait]
impl AuthorityStore for MemoryAuthority {
    async fn load(&self) -> Result<Option<AuthorityRecord>, AuthorityError> {
        Ok(self.0.lock().map_err(|_| AuthorityError::Store("poisoned".into()))?.clone())
    }

    async fn create(&self, record: AuthorityRecord) -> Result<AuthorityRecord, AuthorityError> {
        let mut kept = self.0.lock().map_err(|_| AuthorityError::Store("poisoned".into()))?;
        Ok(kept.get_or_insert(record).clone())
    }
}

/// In a file of PEM that only its owner can read.
#[derive(Debug)]
pub struct FileAuthority {
    path: PathBuf,
}

impl FileAuthority {
    /// At this path, in a folder that exists.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> Result<Option<AuthorityRecord>, AuthorityError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error(error)),
        };
        let certificate = CertificateDer::from_pem_slice(&text).map_err(|error| self.error(error))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|error| self.error(error))?;
        let cluster = organisation(&certificate);
        let cluster = cluster.ok_or_else(|| self.error("the certificate names no cluster"))?;
        Ok(Some(AuthorityRecord { cluster, certificate: certificate.to_vec(), key: key.secret_pkcs8_der().to_vec() }))
    }

    /// Writes a file beside the path and links it there, which fails if something is there: two that start at once agree.
    fn write(&self, record: &AuthorityRecord) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fresh = self.path.with_extension(format!("new-{}", std::process::id()));
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(pem("CERTIFICATE", &record.certificate).as_bytes())?;
        file.write_all(pem("PRIVATE KEY", &record.key).as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&fresh, &self.path);
        fs::remove_file(&fresh)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => File::open(folder)?.sync_all(),
        }
    }

    fn error(&self, error: impl std::fmt::Display) -> AuthorityError {
        AuthorityError::Store(format!("{}: {error}", self.path.display()))
    }
}

#[tonic::async_trait]
impl AuthorityStore for FileAuthority {
    async fn load(&self) -> Result<Option<AuthorityRecord>, AuthorityError> {
        self.read()
    }

    async fn create(&self, record: AuthorityRecord) -> Result<AuthorityRecord, AuthorityError> {
        self.write(&record).map_err(|error| self.error(error))?;
        self.read()?.ok_or_else(|| self.error("has gone"))
    }
}
