//! The name in a client's certificate as its user name.
//!
//! TLS has verified the certificate's chain, times and purpose before it comes here; only its name is read.

use std::sync::Arc;

use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::{
    config::{CertificateConfig, CertificateIdentity},
    credentials::{Credentials, Identity, Method, Refusal},
    name::check_topic_safe,
};

/// The `certificate` step.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateStep {
    identity: CertificateIdentity,
    groups: Vec<Arc<str>>,
}

impl CertificateStep {
    pub(crate) fn new(config: &CertificateConfig) -> Self {
        let groups = config.groups.iter().map(|group| Arc::from(&**group)).collect();
        Self { identity: config.identity, groups }
    }

    /// Who the certificate says the client is; `None` where none was shown.
    pub(crate) fn check(&self, credentials: &Credentials<'_>) -> Option<Result<Identity, Refusal>> {
        let name = identity(credentials.certificate?, self.identity).ok_or(Refusal::Bad);
        Some(name.map(|name| Identity { groups: self.groups.clone(), ..Identity::user(&name, Method::Certificate) }))
    }
}

/// The name of that kind. A certificate with several of a kind names nobody, nor does one whose name could break out of
/// a log line or be read as more than one level of a topic (URIs have `/`; such names fit no placeholder).
fn identity(der: &[u8], kind: CertificateIdentity) -> Option<String> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return None;
    }
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = match kind {
        CertificateIdentity::CommonName => {
            let names = certificate.subject().iter_common_name().map(|name| name.as_str().ok());
            only(names)??.to_owned()
        }
        CertificateIdentity::Dns | CertificateIdentity::Uri | CertificateIdentity::Email => {
            let names = certificate.subject_alternative_name().ok()??;
            let of_kind = names.value.general_names.iter().filter_map(|name| match (name, kind) {
                (GeneralName::DNSName(name), CertificateIdentity::Dns)
                | (GeneralName::URI(name), CertificateIdentity::Uri)
                | (GeneralName::RFC822Name(name), CertificateIdentity::Email) => Some(*name),
                _ => None,
            });
            only(of_kind)?.to_owned()
        }
    };
    let separator = kind == CertificateIdentity::Uri;
    check_topic_safe(&name, separator).is_ok().then_some(name)
}

fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
