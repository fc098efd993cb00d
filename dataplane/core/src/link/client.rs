//! A client whose session lives on another node: what that node is told before the client's own bytes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{Transport, message::Reader};

/// How a client came to its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientHeader {
    /// The name of the listener.
    pub listener: String,
    /// Whether the listener lets clients in without credentials.
    pub allow_anonymous: bool,
    /// Whether the name in the certificate is the user name there, whatever else is shown.
    pub identity_as_username: bool,
    /// What carries the client's bytes to its node.
    pub transport: Transport,
    /// The client's address; `None` for a Unix socket.
    pub address: Option<SocketAddr>,
    /// The client's certificate, verified by its node, and who vouches for it; opaque here.
    pub certificate: Option<Arc<[u8]>>,
}

/// A client header that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a client's header that cannot be read")]
pub struct ClientHeaderError;

impl ClientHeader {
    /// Appends the header. Panics when a part is longer than the format can say: 255 bytes for the name of a listener,
    /// and [`CLIENT_HEADER_BYTES_MAX`] in all.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(VERSION);
        out.push(code_of(self.transport));
        out.push(u8::from(self.allow_anonymous) | u8::from(self.identity_as_username) << 1);
        match self.address.map(|address| (address.ip(), address.port())) {
            None => out.push(0),
            Some((IpAddr::V4(ip), port)) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
                out.extend_from_slice(&port.to_le_bytes());
            }
            Some((IpAddr::V6(ip), port)) => {
                out.push(6);
                out.extend_from_slice(&ip.octets());
                out.extend_from_slice(&port.to_le_bytes());
            }
        }
        assert!(self.listener.len() <= usize::from(u8::MAX), "a listener has a short name");
        out.push(self.listener.len() as u8);
        out.extend_from_slice(self.listener.as_bytes());
        // No certificate has no bytes.
        out.extend_from_slice(self.certificate.as_deref().unwrap_or_default());
        let length = out.len() - start - 4;
        assert!(length <= CLIENT_HEADER_BYTES_MAX, "a certificate of {length} bytes");
        out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    }

    /// Reads the header at the front, and how many bytes it has; `None` when it is not whole.
    ///
    /// # Errors
    /// It is too long, or cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ClientHeaderError> {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > CLIENT_HEADER_BYTES_MAX {
            return Err(ClientHeaderError);
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let header = Self::read(&mut Reader::new(body)).ok_or(ClientHeaderError)?;
        Ok(Some((header, 4 + length)))
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u8().filter(|version| *version == VERSION)?;
        let code = reader.u8()?;
        let transport = TRANSPORTS.into_iter().find(|transport| code_of(*transport) == code)?;
        let terms = reader.u8().filter(|terms| *terms < 4)?;
        let (allow_anonymous, identity_as_username) = (terms & 1 != 0, terms & 2 != 0);
        let address = match reader.u8()? {
            0 => None,
            4 => {
                let ip: [u8; 4] = reader.take(4)?.try_into().ok()?;
                Some(SocketAddr::from((ip, reader.u16()?)))
            }
            6 => {
                let ip: [u8; 16] = reader.take(16)?.try_into().ok()?;
                Some(SocketAddr::from((ip, reader.u16()?)))
            }
            _ => return None,
        };
        let listener = usize::from(reader.u8()?);
        let listener = std::str::from_utf8(reader.take(listener)?).ok()?.to_owned();
        let certificate = Some(reader.bytes).filter(|certificate| !certificate.is_empty()).map(Arc::from);
        Some(Self { listener, allow_anonymous, identity_as_username, transport, address, certificate })
    }
}

fn code_of(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
        Transport::Unix => 5,
    }
}

const TRANSPORTS: [Transport; 5] = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss, Transport::Unix];
const VERSION: u8 = 1;
/// A header without its length, in bytes: a certificate is a few thousand.
pub const CLIENT_HEADER_BYTES_MAX: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(transport: Transport, address: Option<&str>, certificate: &[u8]) -> ClientHeader {
        let certificate = Some(certificate).filter(|it| !it.is_empty()).map(Arc::from);
        let address = address.map(|address| address.parse().unwrap());
        let (allow_anonymous, identity_as_username) = (certificate.is_none(), address.is_none());
        ClientHeader {
            listener: "tls-1".into(),
            allow_anonymous,
            identity_as_username,
            transport,
            address,
            certificate,
        }
    }

    #[test]
    fn a_client_is_described_as_it_came() {
        for header in [
            header(Transport::Unix, None, b""),
            header(Transport::Wss, Some("192.0.2.7:40000"), b"certificate"),
            header(Transport::Tls, Some("[2001:db8::1]:1"), &[7; 2_000]),
        ] {
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(b"\x10\x0c");
            assert_eq!(ClientHeader::decode(&bytes), Ok(Some((header, length))));
            for short in 0..length {
                assert_eq!(ClientHeader::decode(&bytes[..short]), Ok(None), "{short} of {length} bytes");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let mut bytes = Vec::new();
        header(Transport::Tcp, Some("192.0.2.7:1"), b"").encode(&mut bytes);
        for (at, byte) in [(3, 1), (4, 2), (5, 0), (5, 6), (6, 4), (7, 5), (14, 200), (15, 0xFF)] {
            let mut bad = bytes.clone();
            bad[at] = byte;
            assert_eq!(ClientHeader::decode(&bad), Err(ClientHeaderError), "byte {at} is {byte}");
        }
    }
}
