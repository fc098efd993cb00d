//! Where something can be reached: a host and a port.

use std::{fmt, str::FromStr, sync::Arc};

/// Most bytes of an address: a host name of DNS, a colon and a port.
pub const ADDRESS_BYTES_MAX: usize = 253 + 1 + 5;

/// `host:port`, the host a name, an IPv4 address, or an IPv6 address in brackets; the port is not 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address(Arc<str>);

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong { bytes: text.len() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || port.parse::<u16>().ok().is_none_or(|port| port == 0) {
            return Err(AddressError::Port);
        }
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
        };
        if is_host { Ok(Self(text.into())) } else { Err(AddressError::Host) }
    }
}

impl From<std::net::SocketAddr> for Address {
    /// Of a bound socket, whose port is not 0.
    fn from(address: std::net::SocketAddr) -> Self {
        Self(address.to_string().into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// It has more than [`ADDRESS_BYTES_MAX`] bytes.
    #[error("an address has {bytes} bytes, more than {ADDRESS_BYTES_MAX}")]
    TooLong {
        /// Bytes it has.
        bytes: usize,
    },
    /// What stands before the port is neither a name nor an IP address; one of IPv6 stands in brackets.
    #[error("an address begins with a host name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// It does not end with a port.
    #[error("an address ends with a colon and a port of 1 to 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("node-1.eu.example:7443", "node-1.eu.example", 7443),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:9", "::1", 9),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port(), address.as_str()), (host, port, text));
        }
    }

    #[test]
    fn what_is_no_address_says_which_part_is_wrong() {
        let wrong = |text: &str| text.parse::<Address>().unwrap_err();
        for text in ["host", "host:", "host:0", "host:65536", "host:+1", ""] {
            assert_eq!(wrong(text), AddressError::Port, "{text}");
        }
        for text in [":1", "::1:1", "[host]:1", "a/b:1", "a b:1", "[::1:1"] {
            assert_eq!(wrong(text), AddressError::Host, "{text}");
        }
        assert_eq!(wrong(&format!("{}:1", "a".repeat(300))), AddressError::TooLong { bytes: 302 });
    }
}
