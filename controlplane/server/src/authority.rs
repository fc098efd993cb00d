//! The cluster's certificate authority: says who is a node, and that this is control.
//!
//! There is one for the life of a cluster. Its key is made when it is first needed; whoever stores it first has made it,
//! and the other replicas of control take that one.

mod store;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, string::Ia5String,
};
use ring::hmac;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sluice_cluster::{Identity, NodeId};

pub use self::store::{AuthorityRecord, AuthorityStore, FileAuthority, MemoryAuthority};

/// How long a certificate is valid unless configured otherwise.
pub const CERTIFICATE_LIFETIME_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest lifetime: a node whose certificate is renewed in time outlives 72 h without control.
pub const CERTIFICATE_LIFETIME_MIN: Duration = Duration::from_secs(96 * 3600);

/// An authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    cluster: String,
    lifetime: Duration,
}

impl Authority {
    /// Opens the authority that is stored, or makes one for a cluster of this name (1 to 64 visible ASCII characters).
    /// Certificates are valid for `lifetime`, at least [`CERTIFICATE_LIFETIME_MIN`].
    ///
    /// # Errors
    /// The store fails, what it has is no authority, or the name or the lifetime is outside its bounds.
    pub async fn open(store: &dyn AuthorityStore, cluster: &str, lifetime: Duration) -> Result<Self, AuthorityError> {
        if lifetime < CERTIFICATE_LIFETIME_MIN {
            return Err(AuthorityError::Lifetime);
        }
        let record = match store.load().await? {
            Some(record) => record,
            None => store.create(make(cluster)?).await?,
        };
        Self::of(record, lifetime)
    }

    fn of(record: AuthorityRecord, lifetime: Duration) -> Result<Self, AuthorityError> {
        let key = KeyPair::try_from(record.key.as_slice())?;
        let certificate = CertificateDer::from(record.certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, cluster: record.cluster, lifetime })
    }

    /// The certificate that members trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// A secret for one purpose, the same in every replica and after every restart. It says nothing of the authority's key.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.issuer.key().serialize_der());
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        secret
    }

    /// Certifies that a node has the key of a request. What else the request asks for is not granted.
    ///
    /// # Errors
    /// The request is none, or is not signed with its key.
    pub fn certify_node(&self, node: NodeId, request: &Request) -> Result<CertificateDer<'static>, AuthorityError> {
        let params = self.params(Identity::Node(node), self.lifetime)?;
        Ok(params.signed_by(&request.0.public_key, &self.issuer)?.der().clone())
    }

    /// A fresh key and certificate of control.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn certify_control(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate()?;
        let params = self.params(Identity::Control, self.lifetime)?;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok((certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    fn params(&self, identity: Identity, lifetime: Duration) -> Result<CertificateParams, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, self.cluster.as_str());
        let name = identity.node().map_or_else(|| "control".to_owned(), |node| node.to_string());
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity.to_string())?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Nodes are servers to each other.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        valid_for(&mut params, lifetime);
        Ok(params)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A request for a certificate that is signed with the key it is for.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// Reads a request, PKCS #10 in DER.
    ///
    /// # Errors
    /// It is none, or is not signed with its key.
    pub fn parse(der: &[u8]) -> Result<Self, AuthorityError> {
        Ok(Self(CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))?))
    }

    /// The public key, to tell whether two requests are of one machine.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.public_key.der_bytes()
    }
}

/// Why the authority cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It cannot be loaded or stored.
    #[error("the store of the certificate authority: {0}")]
    Store(String),
    /// The name of a cluster is outside its bounds.
    #[error("a cluster is named by 1 to 64 visible ASCII characters")]
    Cluster,
    /// Certificates would be valid for too short a time.
    #[error("certificates must be valid for 96 hours at least")]
    Lifetime,
    /// A key, request or certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
}

fn make(cluster: &str) -> Result<AuthorityRecord, AuthorityError> {
    if !(1..=64).contains(&cluster.len()) || !cluster.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AuthorityError::Cluster);
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, cluster);
    params.distinguished_name.push(DnType::CommonName, "Sluice certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_LIFETIME);
    let certificate = params.self_signed(&key)?;
    Ok(AuthorityRecord { cluster: cluster.into(), certificate: certificate.der().to_vec(), key: key.serialize_der() })
}

fn valid_for(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCKS_APART_MAX);
    params.not_after = epoch + now + lifetime;
}

/// How far the clocks of members may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);

/// Nothing renews the authority: it lasts longer than the machines.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
