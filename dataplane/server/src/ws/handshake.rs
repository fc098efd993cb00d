//! The opening handshake (RFC 6455 §4.2): an HTTP/1.1 request becomes a stream of frames, or gets an HTTP error.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// What a listener asks of a request.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The path that speaks MQTT, such as `/mqtt`.
    pub path: String,
    /// Origins that browsers may come from, such as `https://example.com`; empty = any. A request without `Origin`
    /// does not come from a browser and is let through.
    pub origins: Vec<String>,
}

/// A handshake under way. Holds no bytes: the caller offers all that came so far each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handshake {
    /// Up to here no end of the headers was found.
    searched: usize,
}

/// What to do with a connection after some of its request was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The headers are not complete.
    More,
    /// Send this and read frames from `consumed` on.
    Upgrade {
        /// Bytes of the request.
        consumed: usize,
        /// The 101 response.
        response: Vec<u8>,
    },
    /// Send this and close.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// What was wrong, for the log.
        why: &'static str,
        /// The whole response.
        response: Vec<u8>,
    },
}

impl Handshake {
    /// Looks at everything received so far.
    pub fn advance(&mut self, received: &[u8], policy: &Policy) -> Answer {
        match received.first() {
            Some(first) if !first.is_ascii_uppercase() => return refuse(400, "not an HTTP request"),
            _ => {}
        }
        let from = self.searched.saturating_sub(HEAD_END.len() - 1);
        let end = received[from..].windows(HEAD_END.len()).position(|window| window == HEAD_END);
        self.searched = received.len();
        match end {
            Some(end) if from + end + HEAD_END.len() <= HEAD_BYTES_MAX => {
                answer(&received[..from + end + HEAD_END.len()], policy)
            }
            None if received.len() < HEAD_BYTES_MAX => Answer::More,
            Some(_) | None => refuse(431, "more than 16 KiB of headers"),
        }
    }
}

/// The answer to a request that did not come in time.
#[must_use]
pub fn too_slow() -> Vec<u8> {
    response(408)
}

/// Answers a complete request.
fn answer(head: &[u8], policy: &Policy) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(consumed)) => match check(&request, policy) {
            Ok(accept) => Answer::Upgrade { consumed, response: upgrade(accept) },
            Err((status, why)) => refuse(status, why),
        },
        Ok(httparse::Status::Partial) => refuse(400, "not an HTTP request"),
        Err(httparse::Error::TooManyHeaders) => refuse(431, "more than 100 headers"),
        Err(_) => refuse(400, "not an HTTP request"),
    }
}

/// What an accepted request asked for.
struct Accepted<'a> {
    key: &'a [u8],
    protocol: &'a str,
}

fn check<'a>(request: &httparse::Request<'_, 'a>, policy: &Policy) -> Result<Accepted<'a>, (u16, &'static str)> {
    if request.method != Some("GET") {
        return Err((405, "the method is not GET"));
    }
    if request.version != Some(1) {
        return Err((400, "the version is not HTTP/1.1"));
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(policy.path.as_str()) {
        return Err((404, "the path is not the listener's"));
    }
    let headers: &[httparse::Header<'a>] = request.headers;
    if value(headers, "host").is_none() {
        return Err((400, "no Host header"));
    }
    if !tokens(headers, "upgrade").any(|token| token.eq_ignore_ascii_case("websocket"))
        || !tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case("upgrade"))
    {
        return Err((400, "the request asks for no WebSocket"));
    }
    if value(headers, "sec-websocket-version") != Some(b"13") {
        return Err((426, "the WebSocket version is not 13"));
    }
    if !origin_allowed(headers, &policy.origins) {
        return Err((403, "the Origin is not among the listener's"));
    }
    let key = value(headers, "sec-websocket-key").unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err((400, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    // [MQTT-6.0.0-3]: the client offers `mqtt`, and that is selected wherever it stands; clients of version 3.1 offer
    // `mqttv3.1` only.
    let offers = |wanted: &&str| tokens(headers, "sec-websocket-protocol").any(|token| token == *wanted);
    let protocol = PROTOCOLS.into_iter().find(offers);
    let protocol = protocol.ok_or((400, "the subprotocol mqtt is not offered"))?;
    Ok(Accepted { key, protocol })
}

fn origin_allowed(headers: &[httparse::Header<'_>], origins: &[String]) -> bool {
    match value(headers, "origin") {
        Some(origin) if !origins.is_empty() => {
            origins.iter().any(|allowed| origin.eq_ignore_ascii_case(allowed.as_bytes()))
        }
        _ => true,
    }
}

/// The value of a header that must stand there once; `None` when it is missing or doubled.
fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    let value = found.next()?.value;
    found.next().is_none().then_some(value)
}

/// The comma-separated tokens of all headers with this name.
fn tokens<'a>(headers: &[httparse::Header<'a>], name: &'static str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
}

fn upgrade(accepted: Accepted<'_>) -> Vec<u8> {
    let digest = Sha1::new().chain_update(accepted.key).chain_update(ACCEPT_GUID).finalize();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        STANDARD.encode(digest),
        accepted.protocol
    )
    .into_bytes()
}

fn refuse(status: u16, why: &'static str) -> Answer {
    Answer::Refuse { status, why, response: response(status) }
}

fn response(status: u16) -> Vec<u8> {
    let (text, header) = match status {
        403 => ("Forbidden", ""),
        404 => ("Not Found", ""),
        405 => ("Method Not Allowed", "Allow: GET\r\n"),
        408 => ("Request Timeout", ""),
        426 => ("Upgrade Required", "Sec-WebSocket-Version: 13\r\n"),
        431 => ("Request Header Fields Too Large", ""),
        _ => ("Bad Request", ""),
    };
    format!("HTTP/1.1 {status} {text}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Answers `data` as a request. Entry point for fuzzing.
pub fn fuzz_handshake(data: &[u8]) {
    let policy = Policy { path: "/mqtt".into(), origins: vec!["https://example.com".into()] };
    let (head, _) = data.split_at(data.len() / 2);
    let mut handshake = Handshake::default();
    if handshake.advance(head, &policy) == Answer::More {
        let whole = handshake.advance(data, &policy);
        assert_eq!(whole, Handshake::default().advance(data, &policy), "how a request is cut means nothing");
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// RFC 6455 §1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests;
