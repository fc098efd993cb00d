//! PX: the PROXY protocol.

use std::sync::OnceLock;

use sluice_tests_conformance::{Client, Outgoing as _, Server, Version, connect, fresh, node, stream::Stream};

fn required() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| node().listener("bind: '127.0.0.1:0', proxy_protocol: required").start_plain())
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A version 2 header: command and family bytes, and what follows them.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
}

const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x07, 0x5B];

fn after(server: &Server, header: &[u8]) -> Client {
    let mut client = server.open();
    let bytes = [header, &connect(fresh("c")).encode(Version::V5)].concat();
    client.send_bytes(&bytes);
    client
}

#[test]
fn px1_headers_of_both_versions_are_taken() {
    let with_tlv = [&ADDRESSES[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    let v6 = [&[0x20; 16][..], &[0x21; 16], &[0x30, 0x39, 0x07, 0x5B]].concat();
    let good = [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 1883\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 1883\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x11, &ADDRESSES),
        v2(0x21, 0x11, &with_tlv),
        v2(0x21, 0x21, &v6),
        v2(0x20, 0x00, b""),
    ];
    for header in good {
        after(required(), &header).expect_connack();
    }
}

#[test]
fn px1_a_header_that_comes_byte_by_byte_is_taken() {
    let mut client = required().open();
    for byte in v2(0x21, 0x11, &ADDRESSES) {
        client.send_bytes(&[byte]);
    }
    client.send(connect(fresh("c"))).expect_connack();
}

#[test]
fn px1_malformed_headers_are_closed() {
    let long = format!("PROXY TCP4 {} 192.0.2.2 12345 1883\r\n", "1".repeat(120));
    let bomb: Vec<u8> = ADDRESSES.iter().copied().chain(std::iter::repeat_n([0x04, 0, 0], 20_000).flatten()).collect();
    let wrong = [
        long.into_bytes(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 12345\r\n".to_vec(),
        b"PROXY TCP4 999.0.2.1 192.0.2.2 12345 1883\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 123456 1883\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.1 192.0.2.2 12345 1883\r\n".to_vec(),
        v2(0x21, 0x11, &ADDRESSES[..8]),
        v2(0x31, 0x11, &ADDRESSES),
        v2(0x25, 0x11, &ADDRESSES),
        v2(0x21, 0x11, &bomb),
        v2(0x21, 0x11, &[&ADDRESSES[..], &[0x04, 0xFF, 0xFF, 1]].concat()),
    ];
    for header in wrong {
        after(required(), &header).expect_closed_silently();
    }
}

#[test]
fn px1_a_missing_header_is_closed_where_it_is_required() {
    after(required(), b"").expect_closed_silently();
}

#[test]
fn px1_a_header_where_none_is_expected_is_closed() {
    let _others = Server::shared().bystander();
    after(Server::shared(), b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 1883\r\n").expect_closed_silently();
    after(Server::shared(), &v2(0x21, 0x11, &ADDRESSES)).expect_closed_silently();
}

#[test]
fn px1_a_header_from_somebody_who_is_not_trusted_is_closed() {
    for policy in ["required", "optional"] {
        let listener = format!("bind: '127.0.0.1:0', proxy_protocol: {policy}, trusted_cidrs: [192.0.2.0/24]");
        let server = node().listener(&listener).start_plain();
        after(&server, b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 1883\r\n").expect_closed_silently();
    }
}

#[test]
fn px1_optional_takes_both() {
    let server = node().listener("bind: '127.0.0.1:0', proxy_protocol: optional").start_plain();
    after(&server, b"").expect_connack();
    after(&server, b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 1883\r\n").expect_connack();
    after(&server, &v2(0x21, 0x11, &ADDRESSES)).expect_connack();
    // A bare connection of a health check is no reason for anything.
    drop(Stream::tcp(server.address("mqtt")));
    after(&server, b"").expect_connack();
}
