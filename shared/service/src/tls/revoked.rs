//! Certificates that their issuers have taken back, to be asked about connections whose handshake is long over.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use rustls_pki_types::{CertificateRevocationListDer, pem::PemObject as _};
use x509_parser::{parse_x509_certificate, parse_x509_crl};

use super::{TlsError, certificate};

/// What some revocation lists say: serial numbers by the name of their issuer. Immutable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Revoked(HashMap<Box<[u8]>, HashSet<Box<[u8]>>>);

impl Revoked {
    pub(super) fn read(crl: &Path, lists: &[CertificateRevocationListDer<'_>]) -> Result<Self, TlsError> {
        let mut by_issuer: HashMap<Box<[u8]>, HashSet<Box<[u8]>>> = HashMap::new();
        for list in lists {
            let (_, list) = parse_x509_crl(list.as_ref()).map_err(|error| TlsError::file(crl, error))?;
            let serials = by_issuer.entry(list.issuer().as_raw().into()).or_default();
            serials.extend(list.iter_revoked_certificates().map(|each| each.serial().to_bytes_be().into()));
        }
        Ok(Self(by_issuer))
    }

    /// Whether a certificate (DER), whose chain TLS has verified, is on a list of its issuer.
    pub(super) fn contains(&self, certificate: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return false };
        let serials = self.0.get(certificate.issuer().as_raw());
        serials.is_some_and(|serials| serials.contains(&*certificate.serial.to_bytes_be()))
    }
}

/// The lists of a PEM file, at least one.
pub(super) fn read_lists(crl: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists = CertificateRevocationListDer::pem_file_iter(crl)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::file(crl, certificate::pem_words(&error)))?;
    if lists.is_empty() {
        return Err(TlsError::file(crl, "there is no revocation list in it"));
    }
    Ok(lists)
}
