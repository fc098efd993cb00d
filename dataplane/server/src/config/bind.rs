//! Addresses to listen on.

use std::{
    borrow::Cow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An address to listen on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Bind {
    /// `127.0.0.1:1883`, `[::]:1883` (all addresses of both IP versions), `:1883` (the same), `localhost:1883`. Port 0
    /// stands for any free port.
    Tcp(SocketAddr),
    /// `unix:/run/sluice/mqtt.sock`.
    Unix(PathBuf),
}

impl Bind {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The TCP port; `None` for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

/// A text that is no address to listen on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no address to listen on: write 0.0.0.0:1883, [::]:1883, localhost:1883 or unix:/path")]
pub struct BindError(String);

impl FromStr for Bind {
    type Err = BindError;

    fn from_str(text: &str) -> Result<Self, BindError> {
        let refused = || BindError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refused()) } else { Ok(Self::Unix(path.into())) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        match host {
            "" | "*" => Ok(Self::Tcp((Ipv6Addr::UNSPECIFIED, port).into())),
            "localhost" => Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Bind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Bind {
    fn schema_name() -> Cow<'static, str> {
        "address".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "address" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown, local) in [
            ("0.0.0.0:1883", "0.0.0.0:1883", false),
            (":1883", "[::]:1883", false),
            ("*:1883", "[::]:1883", false),
            ("[::]:0", "[::]:0", false),
            ("localhost:1883", "127.0.0.1:1883", true),
            ("[::1]:1883", "[::1]:1883", true),
            ("127.9.9.9:1", "127.9.9.9:1", true),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true),
            ("unix:/run/x.sock", "unix:/run/x.sock", true),
        ] {
            let bind: Bind = text.parse().unwrap();
            assert_eq!((bind.to_string().as_str(), bind.is_local()), (shown, local), "{text}");
        }
        for text in ["", "1883", "unix:", "example.com:1883", "1.2.3.4", "1.2.3.4:99999", "::1883", "tcp://a:1"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }
}
