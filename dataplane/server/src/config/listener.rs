//! One address where clients come in.

use std::{iter, net::Ipv6Addr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_service::{
    config::Bytes,
    tls::{self, CertificateFiles, ClientAuthority, TlsFiles},
};

use super::{Bind, Network};

/// One address where clients come in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// The address: `0.0.0.0:1883`, `[::]:1883` (IPv4 and IPv6), `localhost:1883` or `unix:/run/sluice/mqtt.sock`. Port
    /// 0 is any free port, printed at start.
    pub bind: Bind,
    /// The name in logs and metrics. Without it, made of transport and port, such as `tcp-1883`.
    pub name: Option<String>,
    /// What is spoken at the address.
    pub protocol: Protocol,
    /// Every client must show good credentials, checked by `auth.chain`.
    pub auth: Option<ListenerAuth>,
    /// Whether clients may come in without credentials. Credentials that are shown must be good even so, when there is
    /// an `auth.chain`.
    pub allow_anonymous: Option<bool>,
    /// Encrypts the connections.
    pub tls: Option<Tls>,
    /// Whether a load balancer in front says who the client is (PROXY protocol, version 1 or 2).
    pub proxy_protocol: ProxyProtocol,
    /// From where a PROXY header is believed. On a loopback address, without it, this machine.
    pub trusted_cidrs: Vec<Network>,
    /// How WebSocket connections are taken, with `protocol: ws`.
    pub websocket: Option<WebSocket>,
    /// Connections open at this listener at one time; `0` = no bound.
    pub connections_max: u32,
    /// The largest packet here, instead of `mqtt.max_packet_size`.
    pub max_packet_size: Option<Bytes>,
    /// The identity in the client's certificate is the user name, whatever CONNECT shows: no password and no token is
    /// looked at. The name is the one that the `certificate` step of `auth.chain` says, or the common name.
    pub identity_as_username: bool,
    /// What clients that ask for Response Information are told: a topic to build response topics from.
    pub response_information: Option<String>,
}

/// What is spoken at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// MQTT 3.1, 3.1.1 and 5, as the client chooses.
    #[default]
    Mqtt,
    /// The same inside WebSocket.
    Ws,
}

/// The one thing that `auth` of a listener can say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListenerAuth {
    /// Credentials are required.
    Required,
}

/// Encryption of a listener. The files are watched: new ones serve new connections, and nobody is disconnected but
/// clients whose certificate a new `crl` revokes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates with their keys. The name the client asks for selects; the first serves all other names.
    pub certificates: Vec<Certificate>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// The authorities whose certificates clients show (PEM).
    pub ca: Option<PathBuf>,
    /// Revocation lists of those authorities (PEM). With it, a list that is missing or out of date refuses.
    pub crl: Option<PathBuf>,
    /// Application protocols (ALPN) in order of preference; a client that offers only others is refused. Without it,
    /// `mqtt` and `x-amzn-mqtt-ca`, or `http/1.1` with `protocol: ws`.
    pub alpn: Option<Vec<String>>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate and the intermediate ones behind it (PEM).
    pub cert: PathBuf,
    /// The private key (PEM, not encrypted, not readable by everybody).
    pub key: PathBuf,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; a bad one is refused.
    Optional,
    /// They must.
    Required,
}

/// Whether a load balancer says who the client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// No header is expected.
    #[default]
    Off,
    /// A header may come from a trusted address.
    Optional,
    /// A header must come, from a trusted address.
    Required,
}

/// WebSocket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocket {
    /// The path of the URL.
    pub path: String,
    /// Web pages that may connect, such as `https://app.example.com`; empty = all. Clients that are no browsers send no
    /// origin and are not affected.
    pub origins: Vec<String>,
}

/// Who can get in through a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenTo {
    /// Clients with good credentials.
    Authenticated,
    /// Clients with a good certificate.
    Certified,
    /// Everybody who reaches it, because the file says so.
    Anyone,
    /// Everybody on this machine: the file says nothing, and nothing else can reach it.
    ThisMachine,
    /// Everybody who reaches it, although nobody said so. Refused at start.
    Unsaid,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            bind: Bind::Tcp((Ipv6Addr::UNSPECIFIED, 1883).into()),
            name: None,
            protocol: Protocol::Mqtt,
            auth: None,
            allow_anonymous: None,
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted_cidrs: Vec::new(),
            websocket: None,
            connections_max: 0,
            max_packet_size: None,
            identity_as_username: false,
            response_information: None,
        }
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self { path: "/mqtt".into(), origins: Vec::new() }
    }
}

impl Listener {
    /// A listener at an address, with nothing else set.
    #[must_use]
    pub fn at(bind: Bind, protocol: Protocol) -> Self {
        Self { bind, protocol, ..Self::default() }
    }

    /// What carries the bytes: `tcp`, `tls`, `ws`, `wss` or `unix`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match (self.protocol, self.tls.is_some(), &self.bind) {
            (Protocol::Ws, true, _) => "wss",
            (Protocol::Ws, false, _) => "ws",
            (Protocol::Mqtt, _, Bind::Unix(_)) => "unix",
            (Protocol::Mqtt, true, Bind::Tcp(_)) => "tls",
            (Protocol::Mqtt, false, Bind::Tcp(_)) => "tcp",
        }
    }

    /// The name in logs and metrics; `port` is the one it really has.
    #[must_use]
    pub fn label(&self, port: Option<u16>) -> String {
        let made = || match port.or(self.bind.port()) {
            Some(port) => format!("{}-{port}", self.transport()),
            None => self.transport().to_owned(),
        };
        self.name.clone().unwrap_or_else(made)
    }

    /// Who can get in, `chain` being whether credentials can be checked.
    #[must_use]
    pub fn open_to(&self, chain: bool) -> OpenTo {
        let certified = self.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
        match (self.auth, self.allow_anonymous) {
            (Some(ListenerAuth::Required), _) if certified && !chain => OpenTo::Certified,
            (Some(ListenerAuth::Required), _) => OpenTo::Authenticated,
            (None, Some(true)) => OpenTo::Anyone,
            (None, Some(false) | None) if chain => OpenTo::Authenticated,
            (None, Some(false) | None) if certified => OpenTo::Certified,
            (None, None) if self.bind.is_local() => OpenTo::ThisMachine,
            (None, Some(false) | None) => OpenTo::Unsaid,
        }
    }

    /// How WebSocket connections are taken.
    #[must_use]
    pub fn websocket(&self) -> WebSocket {
        self.websocket.clone().unwrap_or_default()
    }

    /// Whether a PROXY header from an address is believed.
    #[must_use]
    pub fn trusts(&self, address: std::net::IpAddr) -> bool {
        if self.trusted_cidrs.is_empty() {
            return self.bind.is_local() && address.to_canonical().is_loopback();
        }
        self.trusted_cidrs.iter().any(|network| network.contains(address))
    }

    /// The files of its encryption.
    #[must_use]
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let tls = self.tls.as_ref()?;
        let authority = tls.ca.as_ref().map(|ca| ClientAuthority { ca: ca.clone(), crl: tls.crl.clone() });
        let client_auth = match (tls.client_auth, authority) {
            (ClientAuth::Optional, Some(authority)) => tls::ClientAuth::Optional(authority),
            (ClientAuth::Required, Some(authority)) => tls::ClientAuth::Required(authority),
            (ClientAuth::None, _) => tls::ClientAuth::None,
            (ClientAuth::Optional | ClientAuth::Required, None) => unreachable!("refused when the file was read"),
        };
        let usual: &[&str] = match self.protocol {
            Protocol::Mqtt => &["mqtt", "x-amzn-mqtt-ca"],
            Protocol::Ws => &["http/1.1"],
        };
        let alpn = tls.alpn.clone().unwrap_or_else(|| usual.iter().map(|&name| name.to_owned()).collect());
        let files = |each: &Certificate| CertificateFiles { cert: each.cert.clone(), key: each.key.clone() };
        Some(TlsFiles { certificates: tls.certificates.iter().map(files).collect(), client_auth, alpn })
    }

    /// Every path in it.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let socket = if let Bind::Unix(path) = &mut self.bind { Some(path) } else { None };
        let tls = self.tls.as_mut().into_iter().flat_map(|tls| {
            let certificates = tls.certificates.iter_mut().flat_map(|each| [&mut each.cert, &mut each.key]);
            certificates.chain(tls.ca.as_mut()).chain(tls.crl.as_mut())
        });
        iter::empty().chain(socket).chain(tls)
    }
}
