//! Certificates made for a test, and TLS clients that show and trust them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The certificates that its identities show with their own: this one's and those of its issuers but the root.
    above: Vec<CertificateDer<'static>>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The key in PEM.
    pub key_pem: String,
    /// The certificate and those above it.
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    serial: Vec<u8>,
}

impl Authority {
    /// A new authority with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key).expect("a certificate");
        Self { issuer, above: Vec::new() }
    }

    /// An authority below this one.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(authority_params(name), key, &self.issuer).expect("a certificate");
        let above = std::iter::once(issuer.der().clone()).chain(self.above.iter().cloned()).collect();
        Self { issuer, above }
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for `localhost`.
    #[must_use]
    pub fn server(&self) -> Identity {
        self.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// A client's certificate with this common name.
    #[must_use]
    pub fn client(&self, common_name: &str) -> Identity {
        self.sign(common_name, ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    /// A certificate with this common name and purpose, changed before it is signed.
    #[must_use]
    pub fn sign(
        &self,
        common_name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![purpose];
        params.serial_number = Some(SerialNumber::from(NEXT_SERIAL.fetch_add(1, Ordering::Relaxed)));
        change(&mut params);
        let serial = params.serial_number.as_ref().map(|serial| serial.to_bytes()).unwrap_or_default();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            chain: std::iter::once(certificate.der().clone()).chain(self.above.iter().cloned()).collect(),
            key: key.serialize_der(),
            serial,
        }
    }

    /// A list, in PEM, that revokes these certificates of this authority.
    #[must_use]
    pub fn revocation_list(&self, revoked: &[&Identity]) -> String {
        self.revocation_list_until(2090, revoked)
    }

    /// As [`Self::revocation_list`], to be replaced at the beginning of this year.
    #[must_use]
    pub fn revocation_list_until(&self, year: i32, revoked: &[&Identity]) -> String {
        let revoked = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&identity.serial),
            revocation_time: date_time_ymd(2023, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2023, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    /// A TLS client that trusts this authority and shows `identity`, if any.
    #[must_use]
    pub fn trusting_client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        self.trusting_client_of(rustls::DEFAULT_VERSIONS, identity)
    }

    /// As [`Self::trusting_client`], with these versions of TLS only.
    #[must_use]
    pub fn trusting_client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            Some(identity) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
                config.with_client_auth_cert(identity.chain.clone(), key).expect("an identity")
            }
            None => config.with_no_client_auth(),
        };
        Arc::new(config)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1_000);
