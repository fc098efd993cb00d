//! The client's side of WebSocket (RFC 6455), for MQTT and for saying wrong things on purpose.

use std::io::{self, Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::stream::Stream;

/// Opcode: continuation.
pub const CONTINUATION: u8 = 0x0;
/// Opcode: text.
pub const TEXT: u8 = 0x1;
/// Opcode: binary.
pub const BINARY: u8 = 0x2;
/// Opcode: close.
pub const CLOSE: u8 = 0x8;
/// Opcode: ping.
pub const PING: u8 = 0x9;
/// Opcode: pong.
pub const PONG: u8 = 0xA;

/// An upgraded connection that carries MQTT in binary frames, one frame a write.
#[derive(Debug)]
pub struct WebSocket {
    stream: Stream,
    received: Vec<u8>,
    payload: Vec<u8>,
}

/// A frame from the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// One of the opcodes.
    pub opcode: u8,
    /// FIN.
    pub last: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The status code of a close frame.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode == CLOSE).then(|| u16::from_be_bytes([code[0], code[1]]))
    }
}

/// An answer to an upgrade request.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header lines as they came.
    pub headers: Vec<(String, String)>,
}

impl Response {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The request that upgrades to MQTT, with these header lines besides the necessary ones.
#[must_use]
pub fn upgrade_request(path: &str, extra: &[(&str, &str)]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for (name, value) in extra {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request
}

/// Sends a request and reads the head of the answer; `None` when the server closed without one.
pub fn exchange(stream: &mut Stream, request: &[u8]) -> Option<Response> {
    // The server may refuse before it has read all.
    let _ = stream.write_all(request);
    read_response(stream)
}

/// Reads the head of an HTTP answer; `None` when the server closed without one.
pub fn read_response(stream: &mut Stream) -> Option<Response> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no HTTP answer in time: {error}"),
        }
    }
    let head = String::from_utf8(head).expect("an HTTP head of text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers = lines.filter_map(|line| line.split_once(':'));
    Some(Response {
        status: status.parse().expect("a status"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
    })
}

/// Bytes of one client frame. `mask` is what RFC 6455 requires of clients.
#[must_use]
pub fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(masked | length as u8),
        length @ 126..=0xFFFF => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    match mask {
        Some(key) => {
            out.extend_from_slice(&key);
            out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        None => out.extend_from_slice(payload),
    }
    out
}

/// A masked frame with FIN.
#[must_use]
pub fn whole_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, Some([0x37, 0xFA, 0x21, 0x3D]), payload)
}

impl WebSocket {
    /// Upgrades a connection at `/mqtt` with the subprotocol `mqtt` and checks the answer.
    #[must_use]
    pub fn upgrade(mut stream: Stream) -> Self {
        let request = upgrade_request("/mqtt", &[("Sec-WebSocket-Protocol", "mqtt")]);
        let response = exchange(&mut stream, request.as_bytes()).expect("an answer to the upgrade");
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some(accept_key().as_str()));
        assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("mqtt"), "[MQTT-6.0.0-4]");
        Self { stream, received: Vec::new(), payload: Vec::new() }
    }

    /// The transport below.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A server that has seen enough may have closed by then; what it answered is read afterwards.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads a frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// Nothing came in time.
    pub fn read_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((frame, length)) = parse(&self.received) {
                self.received.drain(..length);
                return Ok(Some(frame));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until a close frame, which must carry one of these codes, or the end of the stream; nothing but control
    /// frames may come before. Says which code came.
    pub fn expect_close(&mut self, codes: &[u16]) -> Option<u16> {
        while let Some(frame) = self.read_frame().expect("a close in time") {
            if frame.opcode == CLOSE {
                let code = frame.close_code().expect("a close code");
                assert!(codes.contains(&code), "close code {code}, expected one of {codes:?}");
                return Some(code);
            }
            assert!(frame.opcode >= CLOSE, "the server went on: {frame:?}");
        }
        None
    }
}

impl Read for WebSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.payload.is_empty() {
            let Some(frame) = self.read_frame()? else { return Ok(0) };
            match frame.opcode {
                BINARY | CONTINUATION => self.payload = frame.payload,
                CLOSE => return Ok(0),
                PING => self.stream.write_all(&whole_frame(PONG, &frame.payload))?,
                PONG => {}
                opcode => panic!("MQTT came in a frame of opcode {opcode:#x} [MQTT-6.0.0-1]"),
            }
        }
        let length = buffer.len().min(self.payload.len());
        buffer[..length].copy_from_slice(&self.payload[..length]);
        self.payload.drain(..length);
        Ok(length)
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_all(&whole_frame(BINARY, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Takes a frame apart; panics at what a server may not send.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let first = *bytes.first()?;
    let second = *bytes.get(1)?;
    assert_eq!(first & 0x70, 0, "the server set reserved bits");
    assert_eq!(second & 0x80, 0, "the server masked a frame");
    let (length, head) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        length => (u64::from(length), 2),
    };
    let end = head + usize::try_from(length).expect("a frame that fits in memory");
    let payload = bytes.get(head..end)?.to_vec();
    Some((Frame { opcode: first & 0x0F, last: first & 0x80 != 0, payload }, end))
}

/// What Sec-WebSocket-Accept must say to [`KEY`].
fn accept_key() -> String {
    STANDARD.encode(Sha1::digest(format!("{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// Sixteen bytes, as RFC 6455 has it.
const KEY: &str = "c2x1aWNlLWNvbmZvcm1hbg==";
