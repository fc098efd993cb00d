use proptest::prelude::*;

use super::*;

fn policy() -> Policy {
    Policy { path: "/mqtt".into(), origins: vec![] }
}

const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn status_of(request: &str, policy: &Policy) -> u16 {
    match Handshake::default().advance(request.as_bytes(), policy) {
        Answer::More => 0,
        Answer::Upgrade { .. } => 101,
        Answer::Refuse { status, response, .. } => {
            assert!(response.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
            status
        }
    }
}

#[test]
fn a_request_for_mqtt_is_upgraded_with_the_digest_of_its_key() {
    let Answer::Upgrade { consumed, response } = Handshake::default().advance(GOOD.as_bytes(), &policy()) else {
        panic!("refused");
    };
    let response = String::from_utf8(response).unwrap();
    assert_eq!(consumed, GOOD.len());
    assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "the example of RFC 6455");
    assert!(response.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn bytes_behind_the_request_are_left_for_the_frames() {
    let with_frame = [GOOD.as_bytes(), b"\x82\x80...."].concat();
    let answer = Handshake::default().advance(&with_frame, &policy());
    assert!(matches!(answer, Answer::Upgrade { consumed, .. } if consumed == GOOD.len()));
}

#[test]
fn a_version_3_1_client_gets_its_own_subprotocol() {
    let request = GOOD.replace("Protocol: mqtt", "Protocol: chat, mqttv3.1");
    let Answer::Upgrade { response, .. } = Handshake::default().advance(request.as_bytes(), &policy()) else {
        panic!("refused");
    };
    assert!(String::from_utf8(response).unwrap().contains("Protocol: mqttv3.1\r\n"));
}

#[test]
fn ws1_an_upgrade_without_the_mqtt_subprotocol_gets_400() {
    assert_eq!(status_of(&GOOD.replace("Sec-WebSocket-Protocol: mqtt\r\n", ""), &policy()), 400);
    assert_eq!(status_of(&GOOD.replace("Protocol: mqtt", "Protocol: chat"), &policy()), 400);
    assert_eq!(
        status_of(&GOOD.replace("Protocol: mqtt", "Protocol: MQTT"), &policy()),
        400,
        "subprotocols have a case"
    );
}

#[test]
fn ws5_more_than_16_kib_of_headers_get_431() {
    let long = format!("GET /mqtt HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(16 * 1024));
    assert_eq!(status_of(&long, &policy()), 431);
    assert_eq!(status_of(&long[..16 * 1024], &policy()), 431, "without waiting for the end");
    assert_eq!(status_of(&long[..16 * 1024 - 1], &policy()), 0);
}

#[test]
fn ws5_more_than_100_headers_get_431() {
    let many = GOOD.replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(95)));
    assert_eq!(status_of(&many, &policy()), 431);
}

#[test]
fn ws5_an_extension_is_not_negotiated() {
    let deflate = GOOD.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    let Answer::Upgrade { response, .. } = Handshake::default().advance(deflate.as_bytes(), &policy()) else {
        panic!("refused");
    };
    assert!(!String::from_utf8(response).unwrap().to_lowercase().contains("extensions"));
}

#[test]
fn ws7_an_origin_that_is_not_listed_gets_403() {
    let listed = Policy { origins: vec!["https://good.example".into()], ..policy() };
    let from = |origin: &str| GOOD.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
    assert_eq!(status_of(&from("https://evil.example"), &listed), 403);
    assert_eq!(status_of(&from("https://good.example.evil.example"), &listed), 403);
    assert_eq!(status_of(&from("null"), &listed), 403);
    assert_eq!(status_of(&from("https://good.example"), &listed), 101);
    assert_eq!(status_of(GOOD, &listed), 101, "no browser");
    assert_eq!(status_of(&from("https://evil.example"), &policy()), 101, "no list");
}

#[test]
fn what_is_no_websocket_request_gets_an_http_error() {
    let changed = |from: &str, to: &str| status_of(&GOOD.replace(from, to), &policy());
    assert_eq!(changed("GET", "POST"), 405);
    assert_eq!(changed("/mqtt ", "/other "), 404);
    assert_eq!(changed("/mqtt ", "/mqtt?token=1 "), 101);
    assert_eq!(changed("HTTP/1.1", "HTTP/1.0"), 400);
    assert_eq!(changed("Host: broker\r\n", ""), 400);
    assert_eq!(changed("Upgrade: websocket\r\n", ""), 400);
    assert_eq!(changed("keep-alive, Upgrade", "close"), 400);
    assert_eq!(changed("Version: 13", "Version: 8"), 426);
    assert_eq!(changed("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400);
    assert_eq!(changed("Host: broker", "Host : broker"), 400);
}

#[test]
fn mqtt_or_tls_on_a_websocket_listener_is_refused_at_its_first_byte() {
    for first in ["\x10", "\x16", "\x00"] {
        assert_eq!(status_of(first, &policy()), 400);
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let mut handshake = Handshake::default();
    for end in 0..GOOD.len() {
        assert_eq!(handshake.advance(&GOOD.as_bytes()[..end], &policy()), Answer::More, "after {end} bytes");
    }
    assert!(matches!(handshake.advance(GOOD.as_bytes(), &policy()), Answer::Upgrade { .. }));
}

proptest! {
    #[test]
    fn no_input_panics(data: Vec<u8>) {
        fuzz_handshake(&data);
    }

    #[test]
    fn no_damaged_request_panics(at in 0..GOOD.len(), with: Vec<u8>) {
        let damaged = [&GOOD.as_bytes()[..at], &with, &GOOD.as_bytes()[at..]].concat();
        fuzz_handshake(&damaged);
    }
}
