//! N and C20: TLS.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, OnceLock},
    thread::sleep,
    time::Duration,
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use rustls::ClientConfig;
use sluice_tests_conformance::{
    Client, Server,
    certificates::{Authority, Identity},
    connect, eventually, fresh, node,
    node_file::{NodeFile, write_private},
    stream::Stream,
};

/// A server with plain TLS, one that asks for client certificates, and the authorities of both sides.
struct Setting {
    server: Server,
    mutual: Server,
    authority: Authority,
    devices: Authority,
    revoked: Identity,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let (authority, devices) = (Authority::new("servers"), Authority::new("devices"));
        let identity = authority.server();
        let revoked = devices.client("revoked");
        let files = |node: sluice_tests_conformance::node_file::NodeFile| {
            node.file("server.crt", &identity.certificate_pem).file("server.key", &identity.key_pem)
        };
        let certificates = "certificates: [{cert: server.crt, key: server.key}]";
        let plain = node().listener(&format!("bind: '127.0.0.1:0', tls: {{{certificates}}}"));
        let plain = plain.section("limits: {connect_deadline: 2s}");
        let asking = node()
            .listener(&format!(
                "bind: '127.0.0.1:0', identity_as_username: true, \
                 tls: {{{certificates}, client_auth: required, ca: devices.pem, crl: devices.crl}}"
            ))
            .step("certificate: {identity: common_name}")
            .file("devices.pem", devices.pem())
            .file("devices.crl", devices.revocation_list(&[&revoked]))
            .rules("rules:\n  - allow: all\n    everyone: true\n    topics: ['of/%u/#']\n");
        let (server, mutual) = (files(plain).start(&["mqtts"]), files(asking).start(&["mqtts"]));
        Setting { server, mutual, authority, devices, revoked }
    })
}

fn tls(server: &Server, config: Arc<ClientConfig>) -> std::io::Result<Client> {
    Stream::tls(server.address("mqtts"), config, "localhost").map(Client::new)
}

/// Whether a client with this certificate gets as far as a CONNACK.
fn admitted(identity: Option<&Identity>) -> bool {
    let setting = setting();
    gets_connack(&setting.mutual, &setting.authority, identity)
}

fn gets_connack(server: &Server, authority: &Authority, identity: Option<&Identity>) -> bool {
    let Ok(mut client) = tls(server, authority.trusting_client(identity)) else { return false };
    // With TLS 1.3 the refusal comes after the client's last flight.
    let bytes = sluice_tests_conformance::Outgoing::encode(&connect(fresh("c")), sluice_tests_conformance::Version::V5);
    if client.stream().write_all(&bytes).is_err() {
        return false;
    }
    let mut connack = [0; 4];
    client.stream().read_exact(&mut connack).is_ok() && connack[0] == 0x20 && connack[3] == 0
}

#[test]
fn n1_tls_1_2_and_1_3_are_spoken() {
    let setting = setting();
    let mut client = tls(&setting.server, setting.authority.trusting_client(None)).expect("a TLS connection");
    client.send(connect(fresh("c"))).expect_connack();
    let old = setting.authority.trusting_client_of(&[&rustls::version::TLS12], None);
    let mut client = tls(&setting.server, old).expect("a TLS 1.2 connection");
    client.send(connect(fresh("c"))).expect_connack();
    client.leave();
}

/// A ClientHello of this version that offers these cipher suites and nothing else.
fn client_hello(version: [u8; 2], suites: &[u8]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend_from_slice(&[7; 32]);
    hello.push(0);
    hello.extend_from_slice(&(suites.len() as u16).to_be_bytes());
    hello.extend_from_slice(suites);
    hello.extend_from_slice(&[1, 0]);
    let mut handshake = vec![1, 0];
    handshake.extend_from_slice(&(hello.len() as u16).to_be_bytes());
    handshake.extend(hello);
    let mut record = vec![0x16, 3, 1];
    record.extend_from_slice(&(handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

/// Sends bytes to the TLS port; what comes back must be an alert at most, and the end.
fn expect_alert(bytes: &[u8]) {
    let mut stream = Stream::tcp(setting().server.address("mqtts"));
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer[0] == 0x15, "expected an alert, got {answer:02x?}");
    assert!(answer.len() < 100, "{answer:02x?}");
}

#[test]
fn n1_old_versions_and_weak_ciphers_get_an_alert() {
    let strong = [0xC0, 0x2B, 0xC0, 0x2F];
    expect_alert(&client_hello([3, 1], &strong));
    expect_alert(&client_hello([3, 2], &strong));
    expect_alert(&client_hello([3, 0], &strong));
    // NULL, EXPORT and 3DES.
    expect_alert(&client_hello([3, 3], &[0x00, 0x01, 0x00, 0x03, 0x00, 0x0A]));
}

#[test]
fn n2_a_renegotiation_is_impossible() {
    // A second ClientHello in the clear, within the connection, is no record that TLS 1.2 allows there.
    let setting = setting();
    let old = setting.authority.trusting_client_of(&[&rustls::version::TLS12], None);
    let mut client = tls(&setting.server, old).expect("a TLS 1.2 connection");
    client.send(connect(fresh("c"))).expect_connack();
    client.ping();
    let Stream::Tls(stream) = client.stream() else { panic!("TLS") };
    stream.sock.write_all(&client_hello([3, 3], &[0xC0, 0x2B])).expect("a socket");
    let mut rest = Vec::new();
    match stream.sock.read_to_end(&mut rest) {
        // Alerts are encrypted here: what counts is that nothing but alerts comes, and the end.
        Ok(_) => assert!(records(&rest).iter().all(|kind| *kind == 0x15), "no handshake goes on: {rest:02x?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the connection must end"),
    }
    let mut other = tls(&setting.server, setting.authority.trusting_client(None)).expect("a TLS connection");
    other.send(connect(fresh("c"))).expect_connack();
}

/// The kinds of some TLS records.
fn records(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        kinds.push(*kind);
        bytes = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
    }
    kinds
}

#[test]
fn n3_only_good_client_certificates_are_admitted() {
    let setting = setting();
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let client_purpose = || ExtendedKeyUsagePurpose::ClientAuth;
    assert!(admitted(Some(&setting.devices.client("meter"))));
    assert!(!admitted(None), "no certificate");
    assert!(!admitted(Some(&setting.devices.sign("old", client_purpose(), past))), "expired");
    assert!(!admitted(Some(&setting.authority.client("stranger"))), "another authority");
    let server_only = setting.devices.sign("server", ExtendedKeyUsagePurpose::ServerAuth, |_| {});
    assert!(!admitted(Some(&server_only)), "a server's certificate");
    assert!(!admitted(Some(&setting.revoked)), "revoked");
}

#[test]
fn n3_the_identity_of_the_certificate_is_the_user_name() {
    let setting = setting();
    let config = setting.authority.trusting_client(Some(&setting.devices.client("meter7")));
    let mut client = tls(&setting.mutual, config).expect("a TLS connection");
    client.send(connect(fresh("c")).username("somebody-else")).expect_connack();
    client.subscribe("of/meter7/#", 0).publish("of/meter7/x", "x", 0).expect_message("of/meter7/x", "x");
    client.send(sluice_tests_conformance::subscribe(9).filter("of/somebody-else/#", 0)).expect_suback(9, &[0x87]);
}

/// A node of its own that asks for certificates of `devices` and knows what they revoked.
fn asking_node(authority: &Authority, devices: &Authority, crl: &str, keys: &str) -> NodeFile {
    let identity = authority.server();
    node()
        .listener(&format!(
            "bind: '127.0.0.1:0', {keys} tls: {{certificates: [{{cert: server.crt, key: server.key}}], \
             client_auth: required, ca: devices.pem, crl: devices.crl}}"
        ))
        .file("server.crt", &identity.certificate_pem)
        .file("server.key", &identity.key_pem)
        .file("devices.pem", devices.pem())
        .file("devices.crl", crl)
}

#[test]
fn n3_a_certificate_that_is_revoked_while_it_is_in_use_loses_its_connection() {
    let (authority, devices) = (Authority::new("servers"), Authority::new("devices"));
    let server = asking_node(&authority, &devices, &devices.revocation_list(&[]), "").start(&["mqtts"]);
    let (stolen, honest) = (devices.client("stolen"), devices.client("honest"));
    let open = |identity: &Identity| {
        let mut client = tls(&server, authority.trusting_client(Some(identity))).expect("a TLS connection");
        client.send(connect(fresh("c"))).expect_connack();
        client
    };
    let (mut gone, mut kept) = (open(&stolen), open(&honest));
    write_private(&server.folder().join("devices.crl"), devices.revocation_list(&[&stolen]).as_bytes());
    server.reload();
    gone.expect_disconnect(&[0x87]);
    kept.ping();
    assert!(!gets_connack(&server, &authority, Some(&stolen)));
    // A list that is broken or gone changes nothing for either.
    write_private(&server.folder().join("devices.crl"), b"nothing of use");
    server.reload();
    eventually("the log says why", || server.output().contains("the old state stays in force"));
    kept.ping();
    assert!(gets_connack(&server, &authority, Some(&honest)));
    assert!(!gets_connack(&server, &authority, Some(&stolen)));
}

#[test]
fn n3_an_authority_that_is_removed_takes_its_clients_along() {
    let (authority, old, new) = (Authority::new("servers"), Authority::new("devices"), Authority::new("devices"));
    let identity = authority.server();
    let server = node()
        .listener(
            "bind: '127.0.0.1:0', tls: {certificates: [{cert: server.crt, key: server.key}], \
             client_auth: required, ca: devices.pem}",
        )
        .file("server.crt", &identity.certificate_pem)
        .file("server.key", &identity.key_pem)
        .file("devices.pem", format!("{}{}", old.pem(), new.pem()))
        .start(&["mqtts"]);
    let (of_old, of_new) = (old.client("meter1"), new.client("meter2"));
    let open = |identity: &Identity| {
        let mut client = tls(&server, authority.trusting_client(Some(identity))).expect("a TLS connection");
        client.send(connect(fresh("c"))).expect_connack();
        client
    };
    let (mut gone, mut kept) = (open(&of_old), open(&of_new));
    write_private(&server.folder().join("devices.pem"), new.pem().as_bytes());
    server.reload();
    gone.expect_disconnect(&[0x87]);
    kept.ping();
    assert!(!gets_connack(&server, &authority, Some(&of_old)));
    assert!(gets_connack(&server, &authority, Some(&of_new)));
}

#[test]
fn n3_a_revocation_list_that_is_out_of_date_admits_nobody() {
    let (authority, devices) = (Authority::new("servers"), Authority::new("devices"));
    let stale = devices.revocation_list_until(2024, &[]);
    let server = asking_node(&authority, &devices, &stale, "").start(&["mqtts"]);
    let meter = devices.client("meter");
    assert!(!gets_connack(&server, &authority, Some(&meter)));
    write_private(&server.folder().join("devices.crl"), devices.revocation_list(&[]).as_bytes());
    server.reload();
    eventually("a list of today admits it", || gets_connack(&server, &authority, Some(&meter)));
}

const OF_USER: &str = "rules:\n  - allow: all\n    everyone: true\n    topics: ['of/%u/#']\n";

#[test]
fn c18_with_identity_as_username_the_certificate_decides_whatever_connect_says() {
    let (authority, devices) = (Authority::new("servers"), Authority::new("devices"));
    let keys = "identity_as_username: true,";
    let node = || asking_node(&authority, &devices, &devices.revocation_list(&[]), keys).rules(OF_USER);
    for server in [node().start(&["mqtts"]), node().user("alice", "secret").start(&["mqtts"])] {
        let config = || authority.trusting_client(Some(&devices.client("meter7")));
        for shown in [connect(fresh("c")), connect(fresh("c")).username("alice").password("secret")] {
            let mut client = tls(&server, config()).expect("a TLS connection");
            client.send(shown).expect_connack();
            client.subscribe("of/meter7/#", 0).publish("of/meter7/x", "x", 0).expect_message("of/meter7/x", "x");
            client.send(sluice_tests_conformance::subscribe(9).filter("of/alice/#", 0)).expect_suback(9, &[0x87]);
        }
        let unnamed = devices.client("no/topic+level");
        assert!(!gets_connack(&server, &authority, Some(&unnamed)), "no identity, no client");
    }
}

#[test]
fn n4_odd_client_hellos_are_answered_or_closed() {
    let mut huge = client_hello([3, 3], &[0xC0, 0x2B]);
    huge.extend(std::iter::repeat_n(0x16, 64 * 1024));
    expect_alert(&huge);
    expect_alert(b"\x16\x03\x01\xFF\xFF\x01\x00\xFF\xFF");
    expect_alert(b"\x10\x10\x00\x04MQTT");
    expect_alert(&[0xFF; 2_000]);
}

/// Sends what is written through it byte by byte, each in a segment of its own.
struct ByteByByte(TcpStream);

impl Write for ByteByByte {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Read for ByteByByte {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

#[test]
fn n4_a_client_hello_that_comes_byte_by_byte_is_the_same_hello() {
    let setting = setting();
    let socket = TcpStream::connect(setting.server.address("mqtts")).expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    socket.set_read_timeout(Some(sluice_tests_conformance::stream::DEADLINE)).expect("a socket");
    let name = "localhost".try_into().expect("a name");
    let session = rustls::ClientConnection::new(setting.authority.trusting_client(None), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, ByteByByte(socket));
    let bytes = sluice_tests_conformance::Outgoing::encode(&connect(fresh("c")), sluice_tests_conformance::Version::V5);
    stream.write_all(&bytes).expect("a handshake");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("an answer");
    assert_eq!((connack[0], connack[3]), (0x20, 0));
}

#[test]
fn n4_a_client_that_names_another_server_gets_the_first_certificate_and_no_other() {
    // There are no tenants: an unknown name is answered with the first certificate, which the client judges.
    let setting = setting();
    let address = setting.server.address("mqtts");
    let config = || setting.authority.trusting_client(None);
    assert!(Stream::tls(address, config(), "other.example").is_err(), "the certificate is for localhost");
    Client::new(Stream::tls(address, config(), "localhost").expect("a TLS connection"))
        .send(connect(fresh("c")))
        .expect_connack();
}

#[test]
fn n4_a_foreign_application_protocol_is_refused() {
    let setting = setting();
    let with = |protocol: &[u8]| {
        let mut config = (*setting.authority.trusting_client(None)).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        tls(&setting.server, Arc::new(config))
    };
    assert!(with(b"h2").is_err());
    with(b"mqtt").expect("MQTT by name").send(connect(fresh("c"))).expect_connack();
}

#[test]
fn n5_names_with_control_characters_or_wildcards_are_no_identity() {
    let setting = setting();
    for name in ["+", "#", "a/b", "a\r\nb", "a\0b"] {
        let identity = setting.devices.sign(name, ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.distinguished_name.push(DnType::OrganizationName, "devices");
        });
        let Ok(mut client) = tls(&setting.mutual, setting.authority.trusting_client(Some(&identity))) else { continue };
        client.send(connect(fresh("c")));
        match client.receive_or_end() {
            None => continue,
            Some(sluice_tests_conformance::Incoming::Connack(connack)) if connack.reason != 0 => continue,
            Some(_) => {}
        }
        for filter in ["of/+/#", "of/#", "of/meter/#"] {
            client.send(sluice_tests_conformance::subscribe(1).filter(filter, 0)).expect_suback(1, &[0x87]);
        }
    }
}

#[test]
fn n5_a_chain_without_end_is_refused() {
    let setting = setting();
    let deep = (0..50).fold(Authority::new("deep"), |above, n| above.intermediate(&n.to_string()));
    assert!(!admitted(Some(&deep.client("meter"))));
    let below = (0..50).fold(setting.devices.intermediate("0"), |above, n| above.intermediate(&n.to_string()));
    assert!(!admitted(Some(&below.client("meter"))));
    assert!(admitted(Some(&setting.devices.client("meter"))));
}

#[test]
fn c20_half_open_handshakes_run_into_a_deadline_and_hold_nobody_up() {
    let setting = setting();
    let descriptors = setting.server.descriptors().unwrap_or(0);
    let half_open: Vec<Stream> = (0..200)
        .map(|n| {
            let mut stream = Stream::tcp(setting.server.address("mqtts"));
            let hello = client_hello([3, 3], &[0xC0, 0x2B]);
            stream.write_all(&hello[..n % 20]).expect("a socket");
            stream
        })
        .collect();
    let mut client = tls(&setting.server, setting.authority.trusting_client(None)).expect("a TLS connection");
    client.send(connect(fresh("c"))).expect_connack();
    sleep(Duration::from_millis(500));
    for mut stream in half_open {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 100);
    }
    client.ping();
    // Other tests of this server may have connections open meanwhile.
    eventually("descriptors are given back", || setting.server.descriptors().unwrap_or(0) < descriptors + 50);
}
