//! What stands between a socket and MQTT: WebSocket and the PROXY protocol.

use sluice_dataplane_server::{
    proxy_protocol::{self, Start},
    ws::{Answer, CloseCode, FrameDecoder, Handshake, Policy, frame::unmask},
};

use crate::cursor::Cursor;

/// First byte even: an HTTP request and how it is cut. Odd: frames and how they are cut. Cutting changes neither an
/// answer nor a payload; payloads are those of a plain decoder that reads whole frames.
pub fn fuzz_websocket(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let is_handshake = cursor.byte().is_multiple_of(2);
    let cut = usize::from(cursor.byte()).max(1);
    if is_handshake { check_handshake(cursor.rest(), cut) } else { check_frames(cursor.rest(), cut) }
}

fn check_handshake(data: &[u8], cut: usize) {
    let policy = Policy { path: "/mqtt".into(), origins: vec!["https://example.com".into()] };
    let whole = Handshake::default().advance(data, &policy);
    if let Answer::Upgrade { consumed, response } = &whole {
        assert!(*consumed <= data.len());
        assert!(response.starts_with(b"HTTP/1.1 101 "));
    }
    let mut pieces = Handshake::default();
    let mut received = 0;
    while received < data.len() {
        received = data.len().min(received + cut);
        let answer = pieces.advance(&data[..received], &policy);
        if answer != Answer::More {
            // An error may show before the rest has come; an acceptance is the same.
            let agrees = answer == whole || matches!((&answer, &whole), (Answer::Refuse { .. }, Answer::Refuse { .. }));
            assert!(agrees, "{answer:?} of the first {received} bytes, {whole:?} of all");
            return;
        }
    }
    assert!(data.is_empty() || whole == Answer::More);
}

/// What a stream of frames comes to.
#[derive(PartialEq, Eq, Debug, Default)]
struct Read {
    payload: Vec<u8>,
    replies: Vec<u8>,
    end: Option<CloseCode>,
}

fn check_frames(data: &[u8], cut: usize) {
    let whole = read_frames(&[data]);
    let pieces: Vec<&[u8]> = data.chunks(cut).collect();
    assert_eq!(read_frames(&pieces), whole, "where frames are cut means nothing");
    let plain = plain_payload(data);
    assert!(whole.payload.starts_with(&plain) || plain.starts_with(&whole.payload), "payload that was not sent");
    if whole.end.is_none() {
        assert!(whole.payload.len() >= plain.len(), "payload of whole frames is missing");
    }
}

fn read_frames(pieces: &[&[u8]]) -> Read {
    let mut decoder = FrameDecoder::new(1 << 16);
    let mut read = Read::default();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let decoded = decoder.decode(0, &mut bytes, &mut read.replies);
        read.payload.extend_from_slice(&bytes[..decoded.payload]);
        if decoded.end.is_some() {
            read.end = decoded.end;
            break;
        }
    }
    read
}

/// The payload of all whole data frames at the front, read as RFC 6455 §5.2 draws them, without any other check.
fn plain_payload(mut data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let [first, second, rest @ ..] = data {
        let wide = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, rest)) = rest.split_at_checked(wide) else { break };
        let length = match wide {
            0 => u64::from(second & 0x7F),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { break };
        let Some((body, rest)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
            break;
        };
        if first & 0x0F < 8 {
            let mut body = body.to_vec();
            unmask(&mut body, &mut mask.clone());
            payload.append(&mut body);
        }
        data = rest;
    }
    payload
}

/// The start of a connection. A header is the same with whatever stands behind it, is not there a byte earlier, and
/// never turns into something else while it arrives.
pub fn fuzz_proxy_protocol(data: &[u8]) {
    let whole = proxy_protocol::parse(data);
    let _ = proxy_protocol::describe(data);
    for received in 0..data.len() {
        match proxy_protocol::parse(&data[..received]) {
            Ok(Start::More) => {}
            early => {
                assert_eq!(early, whole, "after {received} of {} bytes", data.len());
                break;
            }
        }
    }
    if let Ok(Start::Header { consumed, .. }) = whole {
        assert!(consumed <= data.len());
        assert_eq!(proxy_protocol::parse(&data[..consumed]), whole);
        assert_eq!(proxy_protocol::parse(&data[..consumed - 1]), Ok(Start::More));
    }
}
