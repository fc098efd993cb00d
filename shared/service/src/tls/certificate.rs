//! A server's certificate and its key.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::TlsError;

/// Where a certificate and its key lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// PEM of the certificate and the intermediate ones behind it.
    pub cert: PathBuf,
    /// PEM of the private key: PKCS#8, PKCS#1 or SEC1, not encrypted. Refused when everybody can read it.
    pub key: PathBuf,
}

/// A certificate that is ready for use.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names it is for, in lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    /// In seconds since the Unix epoch.
    pub(super) expires: i64,
}

impl CertificateFiles {
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Identity, TlsError> {
        let chain = read_certificates(&self.cert)?;
        refuse_exposed(&self.key)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| TlsError::file(&self.key, pem_words(&error)))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
                "the private key does not belong to the certificate".to_owned()
            } else {
                error.to_string()
            };
            TlsError::file(&self.key, why)
        })?;
        let leaf = certified.end_entity_cert()?;
        let (_, parsed) = parse_x509_certificate(leaf).map_err(|error| TlsError::file(&self.cert, error))?;
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let names = alternatives.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| {
            let dns = if let GeneralName::DNSName(dns) = name { Some(dns) } else { None };
            dns.map(|dns| dns.to_ascii_lowercase())
        });
        Ok(Identity {
            names: names.collect(),
            expires: parsed.validity().not_after.timestamp(),
            certified: Arc::new(certified),
        })
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| TlsError::file(path, pem_words(&error)))?;
    if chain.is_empty() {
        return Err(TlsError::file(path, "there is no certificate in it"));
    }
    Ok(chain)
}

/// An error of reading PEM in plain words.
pub(super) fn pem_words(error: &pem::Error) -> String {
    if let pem::Error::Io(error) = error {
        format!("cannot be read: {error}")
    } else if let pem::Error::NoItemsFound = error {
        "there is no usable PEM section in it (an encrypted key is not usable)".into()
    } else {
        format!("is not PEM: {error:?}")
    }
}

fn refuse_exposed(path: &Path) -> Result<(), TlsError> {
    let file = fs::metadata(path).map_err(|error| TlsError::file(path, format!("cannot be read: {error}")))?;
    let mode = file.permissions().mode() & 0o777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(TlsError::Exposed { path: path.to_owned(), mode }) }
}
