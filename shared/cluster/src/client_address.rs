//! Where clients reach a node, and how they have to come.

use std::{fmt, str::FromStr};

use crate::{Address, AddressError};

/// What carries a client's packets to a listener that other machines reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Carrier {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The scheme of its addresses.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// An address for clients that come by one carrier, such as `mqtts://broker1.example.com:8883`. Without a scheme it is one
/// of plain TCP, and so is it shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientAddress {
    /// How they come.
    pub carrier: Carrier,
    /// Where.
    pub address: Address,
}

impl FromStr for ClientAddress {
    type Err = ClientAddressError;

    fn from_str(text: &str) -> Result<Self, ClientAddressError> {
        let (carrier, address) = match text.split_once("://") {
            None => (Carrier::Tcp, text),
            Some((scheme, address)) => {
                let known = Carrier::ALL.into_iter().find(|carrier| carrier.scheme() == scheme);
                (known.ok_or(ClientAddressError::Scheme)?, address)
            }
        };
        Ok(Self { carrier, address: address.parse()? })
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.carrier {
            Carrier::Tcp => write!(f, "{}", self.address),
            carrier @ (Carrier::Tls | Carrier::Ws | Carrier::Wss) => {
                write!(f, "{}://{}", carrier.scheme(), self.address)
            }
        }
    }
}

/// Why something is no address for clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientAddressError {
    /// It begins with something else than a carrier.
    #[error("an address for clients begins with mqtt://, mqtts://, ws:// or wss://")]
    Scheme,
    /// What follows is no address. A server reference has no path (MQTT 4.11).
    #[error(transparent)]
    Address(#[from] AddressError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_clients_come_and_is_read_as_it_is_shown() {
        for (text, shown, carrier) in [
            ("b1:1883", "b1:1883", Carrier::Tcp),
            ("mqtt://b1:1883", "b1:1883", Carrier::Tcp),
            ("mqtts://[::1]:8883", "mqtts://[::1]:8883", Carrier::Tls),
            ("ws://b1:8083", "ws://b1:8083", Carrier::Ws),
            ("wss://b1:8084", "wss://b1:8084", Carrier::Wss),
        ] {
            let address: ClientAddress = text.parse().unwrap();
            assert_eq!((address.carrier, address.to_string().as_str()), (carrier, shown));
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let wrong = |text: &str| text.parse::<ClientAddress>().unwrap_err();
        assert_eq!(wrong("http://b1:80"), ClientAddressError::Scheme);
        assert_eq!(wrong("mqtts://b1"), ClientAddressError::Address(AddressError::Port));
        assert_eq!(wrong("wss://b1:8084/mqtt"), ClientAddressError::Address(AddressError::Port));
    }
}
