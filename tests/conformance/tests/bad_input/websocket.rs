//! WS: WebSocket.

use std::{
    io::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};

use sluice_tests_conformance::{
    Client, Outgoing as _, Server, Version, connect, fresh, node, publish,
    stream::Stream,
    subscribe,
    websocket::{
        self, BINARY, CLOSE, CONTINUATION, PING, TEXT, WebSocket, exchange, frame, upgrade_request, whole_frame,
    },
};

use crate::impatient;

const KEY: Option<[u8; 4]> = Some([9, 8, 7, 6]);

fn tcp() -> Stream {
    Stream::tcp(Server::shared().address("ws"))
}

fn upgraded() -> WebSocket {
    WebSocket::upgrade(tcp())
}

#[test]
fn ws1_an_upgrade_without_the_subprotocol_is_a_bad_request() {
    let _others = Server::shared().bystander();
    for extra in [&[][..], &[("Sec-WebSocket-Protocol", "chat")]] {
        let response = exchange(&mut tcp(), upgrade_request("/mqtt", extra).as_bytes());
        assert_eq!(response.map(|response| response.status), Some(400));
    }
}

#[test]
fn ws1_what_is_no_upgrade_is_refused() {
    let protocol = [("Sec-WebSocket-Protocol", "mqtt")];
    let good = upgrade_request("/mqtt", &protocol);
    let wrong = [
        ("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[400, 426][..]),
        (good.replace("GET", "POST"), &[400, 405]),
        (good.replace("Version: 13", "Version: 7"), &[400, 426]),
        (good.replace("Sec-WebSocket-Key", "X-Key"), &[400]),
        (upgrade_request("/elsewhere", &protocol), &[404]),
    ];
    for (request, statuses) in wrong {
        let status = exchange(&mut tcp(), request.as_bytes()).map(|response| response.status);
        assert!(status.is_some_and(|status| statuses.contains(&status)), "{status:?} to {request}");
    }
}

#[test]
fn ws2_a_text_frame_closes_with_1003() {
    let _others = Server::shared().bystander();
    let mut socket = upgraded();
    socket.send_raw(&whole_frame(TEXT, b"hello"));
    assert_eq!(socket.expect_close(&[1003]), Some(1003));
}

#[test]
fn ws3_frames_against_the_protocol_close_with_1002() {
    let _others = Server::shared().bystander();
    let wrong = [
        frame(0x80 | BINARY, None, b"unmasked"),
        frame(0xC0 | BINARY, KEY, b"rsv1"),
        frame(0xA0 | BINARY, KEY, b"rsv2"),
        frame(0x90 | BINARY, KEY, b"rsv3"),
        frame(0x83, KEY, b"reserved"),
        frame(0x8B, KEY, b"reserved"),
        frame(PING, KEY, b"fragmented"),
        frame(0x80 | PING, KEY, &[0; 126]),
        frame(0x80 | CONTINUATION, KEY, b"of nothing"),
        [frame(BINARY, KEY, b"\x10"), frame(0x80 | BINARY, KEY, b"not a continuation")].concat(),
        frame(0x80 | CLOSE, KEY, &[3]),
    ];
    for bytes in wrong {
        let mut socket = upgraded();
        socket.send_raw(&bytes);
        assert_eq!(socket.expect_close(&[1002]), Some(1002), "{bytes:02x?}");
    }
}

#[test]
fn ws4_lengths_beyond_all_bounds_close_with_1009() {
    let _others = Server::shared().bystander();
    for length in [u64::MAX >> 1, u64::MAX, 1 << 40] {
        let mut socket = upgraded();
        socket.send_raw(&[&[0x82, 0xFF][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat());
        socket.expect_close(&[1009, 1002]);
    }
}

#[test]
fn ws4_empty_fragments_without_end_close_with_1008() {
    let mut socket = upgraded();
    socket.send_raw(&frame(BINARY, KEY, b""));
    let empty = frame(CONTINUATION, KEY, b"");
    for _ in 0..1_000 {
        socket.send_raw(&empty.repeat(100));
    }
    socket.expect_close(&[1008]);
}

#[test]
fn ws4_a_flood_of_pings_is_held_back_or_closed() {
    let server = node().listener("bind: '127.0.0.1:0'").listener("bind: '127.0.0.1:0', protocol: ws");
    let server = server.start(&["mqtt", "ws"]);
    let _others = server.bystander();
    let before = server.resident_kib();
    let mut socket = WebSocket::upgrade(Stream::tcp(server.address("ws")));
    socket.stream().set_timeout(Duration::from_millis(500));
    // 6.5 MB of pings whose pongs nobody reads: more than the kernel keeps for both directions.
    let pings = whole_frame(PING, &[7; 125]).repeat(100);
    let (start, mut sent) = (Instant::now(), 0);
    while sent < 500 && start.elapsed() < Duration::from_secs(2) {
        socket.send_raw(&pings);
        sent += 1;
    }
    sleep(Duration::from_millis(200));
    let grown = server.resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 1024), "{grown:?} KiB more after {sent} of 500 pieces");
}

#[test]
fn ws5_oversized_headers_are_refused() {
    let _others = Server::shared().bystander();
    let large = "x".repeat(17 * 1024);
    let many: Vec<(String, String)> = (0..120).map(|n| (format!("X-{n}"), "y".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for extra in [&[("X-Large", large.as_str())][..], &many] {
        let request = upgrade_request("/mqtt", &[extra, &[("Sec-WebSocket-Protocol", "mqtt")]].concat());
        let response = exchange(&mut tcp(), request.as_bytes());
        assert!(response.as_ref().is_none_or(|response| response.status == 431), "{response:?}");
    }
}

#[test]
fn ws5_slow_headers_run_into_the_deadline() {
    let mut stream = Stream::tcp(impatient().address("ws"));
    for line in ["GET /mqtt HTTP/1.1\r\n", "Host: x\r\n", "X-Slow: 1\r\n"] {
        stream.write_all(line.as_bytes()).expect("a socket");
        sleep(Duration::from_millis(200));
    }
    let response = websocket::read_response(&mut stream);
    assert!(response.as_ref().is_none_or(|response| response.status == 408), "{response:?}");
}

#[test]
fn ws5_compression_is_not_negotiated() {
    let extra = [("Sec-WebSocket-Protocol", "mqtt"), ("Sec-WebSocket-Extensions", "permessage-deflate")];
    let response = exchange(&mut tcp(), upgrade_request("/mqtt", &extra).as_bytes()).expect("an answer");
    assert_eq!(response.status, 101);
    assert_eq!(response.header("Sec-WebSocket-Extensions"), None);
}

#[test]
fn ws6_packets_and_frames_are_independent() {
    let topic = fresh("t/");
    let bytes = [
        connect(fresh("c")).encode(Version::V5),
        subscribe(1).filter(&topic, 0).encode(Version::V5),
        publish(&topic, "x".repeat(70_000)).encode(Version::V5),
    ]
    .concat();
    for cut in [bytes.len(), 4_096, 11] {
        let mut client = Client::new(Stream::WebSocket(Box::new(upgraded())));
        for piece in bytes.chunks(cut) {
            client.send_bytes(piece);
        }
        client.expect_connack();
        client.expect_suback(1, &[0]);
        client.expect_message(&topic, "x".repeat(70_000));
    }
}

#[test]
fn ws6_a_packet_longer_than_its_frame_waits_for_a_deadline() {
    let mut client = impatient().open_websocket();
    client.send(connect(fresh("c"))).expect_connack();
    client.send_bytes(&[0x30, 0x7F, 0x00]).expect_disconnect_or_closed(&[0x8D]);
}

#[test]
fn ws7_pages_of_other_origins_are_forbidden() {
    let listener = "bind: '127.0.0.1:0', protocol: ws, websocket: {origins: ['https://app.example.com']}";
    let server = node().listener(listener).start(&["ws"]);
    let status = |origin: Option<&str>| {
        let mut extra = vec![("Sec-WebSocket-Protocol", "mqtt")];
        extra.extend(origin.map(|origin| ("Origin", origin)));
        let mut stream = Stream::tcp(server.address("ws"));
        exchange(&mut stream, upgrade_request("/mqtt", &extra).as_bytes()).map(|response| response.status)
    };
    assert_eq!(status(Some("https://app.example.com")), Some(101));
    assert_eq!(status(None), Some(101));
    for origin in ["https://evil.example.com", "http://app.example.com", "https://app.example.com.evil.com", "null"] {
        assert_eq!(status(Some(origin)), Some(403), "{origin}");
    }
}
