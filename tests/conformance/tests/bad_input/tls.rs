//! N and C20: TLS.

use std::{
    io::{Read as _, Write as _},
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
    let Ok(mut client) = tls(&setting.mutual, setting.authority.trusting_client(identity)) else { return false };
    // With TLS 1.3 the refusal comes after the client's last flight.
    let bytes = sluice_tests_conformance::Outgoing::encode(&connect(fresh("c")), sluice_tests_conformance::Version::V5);
    if client.stream().write_all(&bytes).is_err() {
        return false;
    }
    matches!(client.stream().read(&mut [0; 4]), Ok(length) if length > 0)
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
    let Stream::Tls(stream) = client.stream() else { panic!("TLS") };
    stream.sock.write_all(&client_hello([3, 3], &[0xC0, 0x2B])).expect("a socket");
    let mut rest = Vec::new();
    assert!(stream.sock.read_to_end(&mut rest).is_ok() || rest.is_empty());
    let mut other = tls(&setting.server, setting.authority.trusting_client(None)).expect("a TLS connection");
    other.send(connect(fresh("c"))).expect_connack();
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

#[test]
fn n4_odd_client_hellos_are_answered_or_closed() {
    let mut huge = client_hello([3, 3], &[0xC0, 0x2B]);
    huge.extend(std::iter::repeat_n(0x16, 64 * 1024));
    expect_alert(&huge);
    expect_alert(b"\x16\x03\x01\xFF\xFF\x01\x00\xFF\xFF");
    expect_alert(b"\x10\x10\x00\x04MQTT");
    expect_alert(&[0xFF; 2_000]);
    // Byte by byte it is the same hello.
    let mut stream = Stream::tcp(setting().server.address("mqtts"));
    for byte in client_hello([3, 1], &[0xC0, 0x2B]) {
        let _ = stream.write_all(&[byte]);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer[0] == 0x15);
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
