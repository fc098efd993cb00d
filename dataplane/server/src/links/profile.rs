//! The two kinds of connection that a pair of nodes has, and how QUIC is set up for each.
//!
//! The windows of a connection belong to its side and are fixed before its handshake. So whoever opens a connection says in
//! the first byte of its first connection id of which kind it is, and the application protocol makes sure that both mean the
//! same.

use std::{io, net::SocketAddr, net::UdpSocket, sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, ClientConfig, ConnectionId, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use sluice_cluster::{Identity, NodeId};
use sluice_dataplane_core::link::Lane;
use sluice_service::tls::{PeerTls, uri_names};
use socket2::{Domain, Protocol, Socket, Type};

use super::{LinksConfig, MTU_MAX, MTU_MIN};

/// A kind of connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Profile {
    /// The lanes of a link.
    Lanes,
    /// Clients whose session lives at the node that accepts the connection, a stream for each.
    Clients,
}

impl Profile {
    const ALL: [Self; 2] = [Self::Lanes, Self::Clients];

    /// The application protocol.
    fn alpn(self) -> &'static str {
        match self {
            Self::Lanes => "sluice-peer/1",
            Self::Clients => "sluice-client/1",
        }
    }

    /// The first byte of the first connection id.
    fn mark(self) -> u8 {
        match self {
            Self::Lanes => 0x51,
            Self::Clients => 0xC1,
        }
    }

    /// What the one who opens a connection says it is.
    pub(super) fn of(first: &ConnectionId) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| first.first() == Some(&profile.mark()))
    }

    fn transport(self, config: &LinksConfig) -> io::Result<TransportConfig> {
        let mut transport = TransportConfig::default();
        let idle = IdleTimeout::try_from(config.idle_timeout).map_err(io::Error::other)?;
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(config.mtu_max);
        let mut acknowledgements = AckFrequencyConfig::default();
        acknowledgements.max_ack_delay(Some(ACK_DELAY));
        transport
            .keep_alive_interval(Some(config.keep_alive))
            .max_idle_timeout(Some(idle))
            .mtu_discovery_config(Some(mtu))
            .ack_frequency_config(Some(acknowledgements))
            .datagram_receive_buffer_size(None);
        let (uni, bidi, stream, whole) = match self {
            Self::Lanes => {
                // Each lane has its whole window, so that none waits for another.
                let lanes = Lane::ALL.len() as u32;
                (lanes, 0, config.lane_window_bytes, config.lane_window_bytes.saturating_mul(lanes))
            }
            Self::Clients => {
                let clients = u32::try_from(config.clients_max).unwrap_or(u32::MAX);
                (0, clients, CLIENT_WINDOW_BYTES, CLIENTS_WINDOW_BYTES)
            }
        };
        transport
            .max_concurrent_uni_streams(uni.into())
            .max_concurrent_bidi_streams(bidi.into())
            .stream_receive_window(stream.into())
            .receive_window(whole.into())
            .send_window(u64::from(whole));
        Ok(transport)
    }
}

/// How connections are opened and accepted at the moment.
pub(super) struct Profiles {
    accept: [Arc<ServerConfig>; 2],
    open: [ClientConfig; 2],
}

impl Profiles {
    /// With the certificates of this moment.
    pub(super) fn new(config: &LinksConfig, tls: &PeerTls) -> io::Result<Self> {
        let [lanes, clients] = Profile::ALL.map(|profile| Self::of(profile, config, tls));
        let ((accept_lanes, open_lanes), (accept_clients, open_clients)) = (lanes?, clients?);
        Ok(Self { accept: [accept_lanes.into(), accept_clients.into()], open: [open_lanes, open_clients] })
    }

    fn of(profile: Profile, config: &LinksConfig, tls: &PeerTls) -> io::Result<(ServerConfig, ClientConfig)> {
        let transport = Arc::new(profile.transport(config)?);
        let server = QuicServerConfig::try_from(tls.server(profile.alpn())).map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(Arc::clone(&transport)).migration(false);
        let client = QuicClientConfig::try_from(tls.client(profile.alpn())).map_err(io::Error::other)?;
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(transport).initial_dst_cid_provider(Arc::new(move || first_id(profile)));
        Ok((server, client))
    }

    /// For a connection of a kind that another node opens.
    pub(super) fn accept(&self, profile: Profile) -> Arc<ServerConfig> {
        Arc::clone(&self.accept[profile as usize])
    }

    /// For a connection of a kind that this node opens.
    pub(super) fn open(&self, profile: Profile) -> ClientConfig {
        self.open[profile as usize].clone()
    }
}

/// A first connection id: unpredictable but for the mark (RFC 9000, 7.2 asks for 8 bytes).
fn first_id(profile: Profile) -> ConnectionId {
    let mut id = [0; 20];
    let drawn = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id[1..]);
    debug_assert!(drawn.is_ok(), "the kernel has randomness");
    id[0] = profile.mark();
    ConnectionId::new(&id)
}

/// Whether a configuration can be used, and the certificate is this node's.
pub(super) fn check(config: &LinksConfig, tls: &PeerTls) -> io::Result<()> {
    if !(MTU_MIN..=MTU_MAX).contains(&config.mtu_max) {
        let what = format!("an MTU of {} bytes is not within {MTU_MIN} to {MTU_MAX}", config.mtu_max);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let names = tls.names();
    if node_of(&names) != Some(config.node) {
        let what = format!("the certificate is for {names:?}, not for {}", Identity::Node(config.node));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Profiles::new(config, tls).map(drop)
}

/// Which node a connection's certificate is for: it names exactly one.
pub(super) fn node_of_connection(connection: &quinn::Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok()?;
    node_of(&uri_names(chain.first()?))
}

fn node_of(names: &[String]) -> Option<NodeId> {
    Identity::among(names.iter().map(String::as_str)).and_then(Identity::node)
}

/// The UDP socket, with buffers for bursts.
pub(super) fn socket(bind: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel cuts both to what it allows.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&bind.into())?;
    Ok(socket.into())
}

/// What the socket of this node takes.
pub(super) fn endpoint(config: &LinksConfig) -> io::Result<EndpointConfig> {
    let mut endpoint = EndpointConfig::default();
    endpoint.max_udp_payload_size(config.mtu_max.max(USUAL_PAYLOAD)).map_err(io::Error::other)?;
    Ok(endpoint)
}

/// Why this side closes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    /// The node stops.
    Stopping = 1,
    /// Another connection has taken its place.
    Replaced = 2,
    /// The node is not among those allowed.
    NotAllowed = 3,
    /// The certificate is not for one node, or for another one.
    Identity = 4,
    /// The node with the larger id has opened it.
    Direction = 5,
    /// What it said cannot be.
    Protocol = 6,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// Acknowledgements of what was received wait so long for others to join them. It is far below the time after which a loss
/// is suspected, and what a frame costs is not its acknowledgement by QUIC but by its outcome, which does not wait.
const ACK_DELAY: Duration = Duration::from_millis(5);
/// What may be under way for one client: a few packets of usual size.
const CLIENT_WINDOW_BYTES: u32 = 64 * 1024;
/// What may be under way for all clients of a connection.
const CLIENTS_WINDOW_BYTES: u32 = 64 << 20;
/// Bytes that wait in the kernel: a burst of 2,000 packets.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// An Ethernet frame less the headers of IP and UDP.
const USUAL_PAYLOAD: u16 = 1_472;
