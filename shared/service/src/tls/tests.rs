use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, pki_types::CertificateDer};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use super::*;

/// A certificate authority that signs whatever a test needs.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self { pem: cert.pem(), der: cert.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// Certificate and key in PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose, serial: u64) -> (String, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key)
    }

    fn server_files(&self, dir: &Path, name: &str) -> CertificateFiles {
        let (cert, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth, 1);
        let files = CertificateFiles { cert: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
        fs::write(&files.cert, cert).unwrap();
        write_secret(&files.key, &key.serialize_pem());
        files
    }

    fn revocation_list(&self, serial: u64, next_update_year: i32) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update_year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

type ClientIdentity<'a> = Option<&'a (String, KeyPair)>;

fn client(authority: &Authority, identity: ClientIdentity<'_>, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = rustls_pki_types::pem::PemObject::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Shakes hands in memory, then sends a byte both ways, so that a late refusal is seen as well.
fn connect(server: &TlsContext, client: ClientConfig, name: &str) -> Result<ServerConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server.config()).unwrap();
    client.writer().write_all(b"x").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let mut byte = [0];
    server.reader().read_exact(&mut byte).map_err(|error: io::Error| rustls::Error::General(error.to_string()))?;
    Ok(server)
}

fn name_of(server: &TlsContext, authority: &Authority, name: &str) -> bool {
    connect(server, client(authority, None, &[]), name).is_ok()
}

struct Fixture {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), authority: Authority::new() }
    }

    fn files(&self, names: &[&str]) -> TlsFiles {
        let certificates = names.iter().map(|name| self.authority.server_files(self.dir.path(), name)).collect();
        TlsFiles { certificates, ..TlsFiles::default() }
    }

    fn authority_files(&self, crl: Option<String>) -> ClientAuthority {
        let ca = self.dir.path().join("ca.pem");
        fs::write(&ca, &self.authority.pem).unwrap();
        let crl = crl.map(|text| {
            let path = self.dir.path().join("crl.pem");
            fs::write(&path, text).unwrap();
            path
        });
        ClientAuthority { ca, crl }
    }
}

#[test]
fn the_name_the_client_asks_for_selects_the_certificate() {
    let it = Fixture::new();
    let server = TlsContext::load(it.files(&["a.test", "*.b.test"])).unwrap();
    for name in ["a.test", "A.test", "x.b.test"] {
        assert!(name_of(&server, &it.authority, name), "{name}");
    }
    // No certificate is for it: the client is shown the first and refuses.
    assert!(!name_of(&server, &it.authority, "c.test"));
    assert_eq!(server.expires(), 4_102_444_800);
}

#[test]
fn a_reload_serves_the_new_files_and_leaves_running_connections_alone() {
    let it = Fixture::new();
    let files = it.files(&["a.test"]);
    let server = TlsContext::load(files.clone()).unwrap();
    let running = connect(&server, client(&it.authority, None, &[]), "a.test").unwrap();
    let new = it.authority.server_files(it.dir.path(), "new.test");
    fs::copy(&new.cert, &files.certificates[0].cert).unwrap();
    assert!(server.reload().unwrap_err().to_string().contains("does not belong to the certificate"));
    assert!(name_of(&server, &it.authority, "a.test"), "a failed reload changes nothing");
    fs::copy(&new.key, &files.certificates[0].key).unwrap();
    server.reload().unwrap();
    assert!(name_of(&server, &it.authority, "new.test"));
    assert!(!running.is_handshaking());
    assert_eq!(files.paths().len(), 2);
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_by_name() {
    let it = Fixture::new();
    let good = it.files(&["a.test"]);
    let refused = |cert: &Path, key: &Path| {
        let files = CertificateFiles { cert: cert.into(), key: key.into() };
        TlsContext::load(TlsFiles { certificates: vec![files], ..TlsFiles::default() }).unwrap_err().to_string()
    };
    let CertificateFiles { cert, key } = &good.certificates[0];
    assert!(refused(Path::new("/nonexistent"), key).starts_with("/nonexistent: cannot be read"));
    assert!(refused(key, key).ends_with("a.test.key: there is no certificate in it"));
    let empty = it.dir.path().join("empty");
    write_secret(&empty, "");
    assert!(refused(cert, &empty).contains("no usable PEM section"));
    assert_eq!(TlsContext::load(TlsFiles::default()).unwrap_err().to_string(), TlsError::NoCertificate.to_string());
}

#[test]
fn f5_a_private_key_that_everybody_can_read_is_refused() {
    let it = Fixture::new();
    let files = it.files(&["a.test"]);
    fs::set_permissions(&files.certificates[0].key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = TlsContext::load(files).unwrap_err().to_string();
    assert!(error.contains("(mode 0644): run chmod 0600"), "{error}");
}

#[test]
fn n3_clients_without_a_good_certificate_are_refused_where_one_is_required() {
    let it = Fixture::new();
    let mut files = it.files(&["a.test"]);
    files.client_auth = ClientAuth::Required(it.authority_files(None));
    let server = TlsContext::load(files.clone()).unwrap();
    let good = it.authority.sign("device-7", ExtendedKeyUsagePurpose::ClientAuth, 7);
    let connection = connect(&server, client(&it.authority, Some(&good), &[]), "a.test").unwrap();
    assert_eq!(connection.peer_certificates().unwrap().len(), 1);
    let wrong_purpose = it.authority.sign("device-7", ExtendedKeyUsagePurpose::ServerAuth, 8);
    let stranger = Authority::new().sign("device-7", ExtendedKeyUsagePurpose::ClientAuth, 7);
    for identity in [None, Some(&wrong_purpose), Some(&stranger)] {
        assert!(connect(&server, client(&it.authority, identity, &[]), "a.test").is_err());
    }
    files.client_auth = ClientAuth::Optional(it.authority_files(None));
    let server = TlsContext::load(files).unwrap();
    assert!(connect(&server, client(&it.authority, None, &[]), "a.test").is_ok());
    assert!(connect(&server, client(&it.authority, Some(&stranger), &[]), "a.test").is_err());
}

#[test]
fn n3_revoked_certificates_and_stale_revocation_lists_are_refused() {
    let it = Fixture::new();
    let mut files = it.files(&["a.test"]);
    let good = it.authority.sign("good", ExtendedKeyUsagePurpose::ClientAuth, 7);
    let revoked = it.authority.sign("revoked", ExtendedKeyUsagePurpose::ClientAuth, 8);
    let accepts =
        |server: &TlsContext, identity| connect(server, client(&it.authority, Some(identity), &[]), "a.test").is_ok();
    files.client_auth = ClientAuth::Required(it.authority_files(Some(it.authority.revocation_list(8, 2100))));
    assert_eq!(files.paths().len(), 4);
    let server = TlsContext::load(files.clone()).unwrap();
    assert!(accepts(&server, &good));
    assert!(!accepts(&server, &revoked));
    it.authority_files(Some(it.authority.revocation_list(8, 2021)));
    server.reload().unwrap();
    assert!(!accepts(&server, &good), "the list is out of date");
}

#[test]
fn what_an_authority_vouched_for_stands_while_its_key_is_trusted_and_it_is_not_revoked() {
    let it = Fixture::new();
    let mut files = it.files(&["a.test"]);
    // All authorities of this test have the same name: their keys tell them apart.
    let (stays, goes) = (&it.authority, Authority::new());
    let of_both = format!("{}{}", stays.pem, goes.pem);
    let authority = it.authority_files(None);
    fs::write(&authority.ca, &of_both).unwrap();
    files.client_auth = ClientAuth::Required(authority.clone());
    let server = TlsContext::load(files).unwrap();
    let shown = |by: &Authority| {
        let identity = by.sign("device-7", ExtendedKeyUsagePurpose::ClientAuth, 7);
        let connection = connect(&server, client(&it.authority, Some(&identity), &[]), "a.test").unwrap();
        connection.peer_certificates().unwrap().to_vec()
    };
    let before = server.trusted();
    let (kept, gone) = (shown(stays), shown(&goes));
    let of = |chain: &[CertificateDer<'_>]| before.authority_of(chain).unwrap();
    assert!(before.stands(&kept[0], &of(&kept)) && before.stands(&gone[0], &of(&gone)));
    assert_eq!(before.authority_of(&[]), None);

    fs::write(&authority.ca, &stays.pem).unwrap();
    server.reload().unwrap();
    let after = server.trusted();
    assert!(after.stands(&kept[0], &of(&kept)));
    assert!(!after.stands(&gone[0], &of(&gone)));
    assert_eq!(after.authority_of(&gone), None);
}

#[test]
fn n4_an_unknown_application_protocol_is_refused() {
    let it = Fixture::new();
    let mut files = it.files(&["a.test"]);
    files.alpn = vec!["mqtt".into()];
    let server = TlsContext::load(files).unwrap();
    let connection = connect(&server, client(&it.authority, None, &["x", "mqtt"]), "a.test").unwrap();
    assert_eq!(connection.alpn_protocol(), Some(&b"mqtt"[..]));
    assert!(connect(&server, client(&it.authority, None, &["h2"]), "a.test").is_err());
    assert!(connect(&server, client(&it.authority, None, &[]), "a.test").is_ok());
}
