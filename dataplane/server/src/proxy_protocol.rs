//! The PROXY protocol, versions 1 and 2: what a load balancer says about the client it forwards.
//!
//! Pure: takes the first bytes of a connection, says where the header ends and who the client is. Who may send such a
//! header is the listener's decision ([`Expect`]).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// What a listener expects at the start of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// No header; one that comes is not MQTT.
    #[default]
    Off,
    /// A header from a trusted address; everything else is closed.
    Required,
    /// A header or none from a trusted address, none from others.
    Optional,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Too few bytes to say.
    More,
    /// No PROXY header.
    Absent,
    /// A header.
    Header {
        /// Its length in bytes.
        consumed: usize,
        /// The client. `None` when the proxy speaks for itself (a health check) or does not say.
        client: Option<SocketAddr>,
    },
}

/// A header that is begun but wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyError {
    /// Version 1 without end of line within 107 bytes.
    LineTooLong,
    /// Version 1 with fields that cannot be read.
    BadLine,
    /// Version 2 with a version or command that does not exist.
    BadVersion,
    /// Version 2 with an address family or transport that is no stream.
    BadFamily,
    /// Version 2 with a length too short for its addresses, or beyond 4 KiB.
    BadLength,
    /// Version 2 with extensions that run past its end, or more than 64 of them.
    BadExtension,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "a version 1 header has no end within 107 bytes",
            Self::BadLine => "a version 1 header cannot be read",
            Self::BadVersion => "a version 2 header has an unknown version or command",
            Self::BadFamily => "a version 2 header is not about a stream",
            Self::BadLength => "a version 2 header has a wrong length",
            Self::BadExtension => "a version 2 header has damaged extensions",
        })
    }
}

impl std::error::Error for ProxyError {}

/// Reads the start of a connection.
///
/// # Errors
/// A header that is begun but wrong: the connection is to be closed.
pub fn parse(bytes: &[u8]) -> Result<Start, ProxyError> {
    if is_prefix(bytes, SIGNATURE_2) {
        return parse_2(bytes);
    }
    if is_prefix(bytes, SIGNATURE_1) {
        return parse_1(bytes);
    }
    Ok(if bytes.is_empty() { Start::More } else { Start::Absent })
}

/// What a protocol's first bytes look like, in words for the log.
#[must_use]
pub fn describe(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "nothing",
        [0x10, ..] => "an MQTT CONNECT",
        [0x16, 0x03, ..] => "a TLS ClientHello",
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] | [b'H', b'E', b'A', b'D', ..] => "an HTTP request",
        [b'S', b'S', b'H', b'-', ..] => "an SSH banner",
        _ if bytes.starts_with(SIGNATURE_1) || bytes.starts_with(SIGNATURE_2) => "a PROXY header",
        _ => "something unknown",
    }
}

/// Whether one starts with the other; false for no bytes.
fn is_prefix(bytes: &[u8], signature: &[u8]) -> bool {
    let shared = bytes.len().min(signature.len());
    shared > 0 && bytes[..shared] == signature[..shared]
}

fn parse_1(bytes: &[u8]) -> Result<Start, ProxyError> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= LINE_BYTES_MAX { Err(ProxyError::LineTooLong) } else { Ok(Start::More) };
    };
    let line = std::str::from_utf8(&bytes[SIGNATURE_1.len()..end]).map_err(|_| ProxyError::BadLine)?;
    let client = parse_line(line).ok_or(ProxyError::BadLine)?;
    Ok(Start::Header { consumed: end + 2, client })
}

/// The fields behind `PROXY `.
fn parse_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut fields = line.split(' ');
    let family = fields.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = fields.next()?.parse().ok()?;
    let destination: IpAddr = fields.next()?.parse().ok()?;
    let source_port = parse_port(fields.next()?)?;
    parse_port(fields.next()?)?;
    let agrees = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (agrees && fields.next().is_none()).then_some(Some(SocketAddr::new(source, source_port)))
}

/// Digits without sign or leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn parse_2(bytes: &[u8]) -> Result<Start, ProxyError> {
    let Some((&head, rest)) = bytes.split_first_chunk::<HEAD_2_BYTES>() else {
        return Ok(Start::More);
    };
    let [.., version_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || version_command & 0x0F > 1 {
        return Err(ProxyError::BadVersion);
    }
    if length > BODY_2_BYTES_MAX {
        return Err(ProxyError::BadLength);
    }
    if rest.len() < length {
        return Ok(Start::More);
    }
    let consumed = HEAD_2_BYTES + length;
    let local = version_command & 0x0F == 0;
    if local {
        return Ok(Start::Header { consumed, client: None });
    }
    let (client, extensions) = addresses(family, &rest[..length])?;
    check_extensions(extensions)?;
    Ok(Start::Header { consumed, client })
}

/// The client's address and what stands behind the addresses.
fn addresses(family: u8, body: &[u8]) -> Result<(Option<SocketAddr>, &[u8]), ProxyError> {
    match family {
        FAMILY_UNSPECIFIED => Ok((None, &[])),
        FAMILY_TCP4 => {
            let (fields, extensions) = body.split_first_chunk::<12>().ok_or(ProxyError::BadLength)?;
            let [a, b, c, d, _, _, _, _, high, low, ..] = *fields;
            let port = u16::from_be_bytes([high, low]);
            Ok((Some((Ipv4Addr::new(a, b, c, d), port).into()), extensions))
        }
        FAMILY_TCP6 => {
            let (fields, extensions) = body.split_first_chunk::<36>().ok_or(ProxyError::BadLength)?;
            let (ip, ports) = fields.split_first_chunk::<16>().ok_or(ProxyError::BadLength)?;
            let port = u16::from_be_bytes([ports[16], ports[17]]);
            Ok((Some((Ipv6Addr::from(*ip), port).into()), extensions))
        }
        FAMILY_UNIX => {
            let (_, extensions) = body.split_first_chunk::<216>().ok_or(ProxyError::BadLength)?;
            Ok((None, extensions))
        }
        _ => Err(ProxyError::BadFamily),
    }
}

/// Type (1 byte), length (2 bytes), value; none of them is used.
fn check_extensions(mut bytes: &[u8]) -> Result<(), ProxyError> {
    for _ in 0..EXTENSIONS_MAX {
        let Some((&[_, high, low], rest)) = bytes.split_first_chunk::<3>() else {
            return if bytes.is_empty() { Ok(()) } else { Err(ProxyError::BadExtension) };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        bytes = rest.get(length..).ok_or(ProxyError::BadExtension)?;
    }
    if bytes.is_empty() { Ok(()) } else { Err(ProxyError::BadExtension) }
}

/// Reads `data` as a start, whole and cut. Entry point for fuzzing.
pub fn fuzz_proxy(data: &[u8]) {
    let whole = parse(data);
    if let Ok(Start::Header { consumed, .. }) = whole {
        assert!(consumed <= data.len());
        assert_eq!(parse(&data[..consumed]), whole, "what stands behind a header changes nothing");
        assert_eq!(parse(&data[..consumed - 1]), Ok(Start::More));
    }
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// With the end of line; the longest line that can be right.
const LINE_BYTES_MAX: usize = 107;
/// Signature, version and command, family and transport, length.
const HEAD_2_BYTES: usize = 16;
/// Addresses take 216 bytes at most; the rest is room for extensions such as a client certificate's names.
const BODY_2_BYTES_MAX: usize = 4096;
const EXTENSIONS_MAX: usize = 64;
const FAMILY_UNSPECIFIED: u8 = 0x00;
const FAMILY_TCP4: u8 = 0x11;
const FAMILY_TCP6: u8 = 0x21;
const FAMILY_UNIX: u8 = 0x31;

#[cfg(test)]
mod tests;
