//! Links to the other nodes: QUIC connections, and what moves bytes between them and the machine that decides.
//!
//! One thread with an event loop of its own. It holds one UDP socket for the connections it opens and those it accepts, one
//! connection for each pair of nodes (the node with the smaller id opens it), and moves bytes between the lanes and an
//! [`Exchange`], which owns all that is decided. docs/protocol/peer.md says what stands on the wire.
//!
//! ```text
//!            any thread                                 the thread "links"
//!   LinksHandle ── wake, peers, reload, client ──► driver ──► Exchange ──transmit──► writers ──► QUIC
//!                                                                ▲──receive──── readers ◄──────┘
//! ```
//!
//! Clients whose session lives on another node come over a second connection of the pair, which has small windows, so that
//! a client that reads slowly keeps nobody's messages waiting.

mod backoff;
mod clients;
mod driver;
mod lanes;
mod pair;
mod profile;
mod pump;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use sluice_cluster::NodeId;
use sluice_dataplane_core::link::{ClientHeader, Lane, LinkError};
use sluice_service::tls::PeerTls;
use tokio::sync::{Notify, mpsc as commands};

use crate::transport::Transport;

/// What decides about links; it lives on the thread that moves their bytes. `now` is the time since that thread started.
pub trait Exchange {
    /// The thread was woken: there may be something to take from elsewhere.
    fn turn(&mut self, now: Duration);

    /// An authenticated connection with a node is there; an older one with it is void. The number is used once.
    fn connected(&mut self, now: Duration, peer: NodeId, connection: u64);

    /// A connection is gone. It may be void already.
    fn disconnected(&mut self, now: Duration, peer: NodeId, connection: u64);

    /// Bytes of a lane. Says how many it is done with; the rest is offered again in front of what comes next, and when the
    /// first bytes of the lane Control were taken.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn receive(
        &mut self,
        now: Duration,
        peer: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError>;

    /// Appends what is ready for a lane, about `max` bytes at most; `false` = nothing.
    fn transmit(&mut self, now: Duration, peer: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool;

    /// The next node for which something may be ready since it was named last. Asked after every other call, until `None`.
    fn next_dirty(&mut self) -> Option<NodeId>;

    /// Whether bytes of the lanes Messages and Bulk are taken from a node now. While they are not, they wait where they come
    /// from. Asked again after every [`Self::turn`] and [`Self::tick`].
    fn accepts(&self, peer: NodeId) -> bool;

    /// Bytes that wait for a node, for metrics.
    fn queued_bytes(&self, peer: NodeId) -> usize;

    /// When [`Self::tick`] is due.
    fn poll_timeout(&self) -> Option<Duration>;

    /// Time has passed. Connections that are to be closed are named to `close`.
    fn tick(&mut self, now: Duration, close: &mut dyn FnMut(NodeId, u64, LinkError));

    /// A client of another node whose session lives here. Its bytes come and go through the socket, which does not block.
    fn client(&mut self, now: Duration, from: NodeId, header: ClientHeader, socket: UnixStream);
}

/// How links behave.
#[derive(Clone, Debug)]
pub struct LinksConfig {
    /// This node.
    pub node: NodeId,
    /// Where it listens, UDP.
    pub bind: SocketAddr,
    /// A connection on which nothing else is said says something so often.
    pub keep_alive: Duration,
    /// A connection on which nothing has come for so long is over; several times `keep_alive`.
    pub idle_timeout: Duration,
    /// Bytes that may be under way on one lane.
    pub lane_window_bytes: u32,
    /// The largest UDP payload that is tried, in bytes: [`MTU_MIN`] to [`MTU_MAX`].
    pub mtu_max: u16,
    /// Bytes of a lane that are held because they are no whole frame: the longest frame and its head.
    pub held_bytes_max: usize,
    /// Clients of this node whose session lives elsewhere and those of others whose session lives here, together.
    pub clients_max: usize,
    /// From the first packet of a connection to its end of the handshake.
    pub handshake_max: Duration,
    /// Between two attempts to open a connection, at least and at most.
    pub backoff: (Duration, Duration),
}

/// The smallest UDP payload that QUIC needs, in bytes.
pub const MTU_MIN: u16 = 1_200;
/// The largest UDP payload, in bytes: ten of them, which the kernel takes at once, stay below 64 KiB.
pub const MTU_MAX: u16 = 6_500;

impl LinksConfig {
    /// The defaults of a node.
    #[must_use]
    pub fn new(node: NodeId, bind: SocketAddr) -> Self {
        Self {
            node,
            bind,
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(3),
            lane_window_bytes: 8 << 20,
            mtu_max: 1_452,
            held_bytes_max: (4 << 20) + 8,
            clients_max: 10_000,
            handshake_max: Duration::from_secs(5),
            backoff: (Duration::from_millis(50), Duration::from_secs(5)),
        }
    }
}

/// The nodes that may be linked to this one, and where each is reached: `host:port`, a name or an address.
pub type PeerTable = BTreeMap<NodeId, String>;

/// What is seen of the link to one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkStats {
    /// The node.
    pub peer: NodeId,
    /// How long the connection of this moment has been there; `None` = there is none.
    pub connected_for: Option<Duration>,
    /// Connections there have been.
    pub connections: u64,
    /// Round trip time of the connection.
    pub round_trip: Duration,
    /// Bytes sent and received in UDP payloads, of all connections.
    pub bytes: (u64, u64),
    /// Packets sent, of all connections.
    pub packets: u64,
    /// Packets among them that were lost.
    pub packets_lost: u64,
    /// The UDP payload that the path takes, in bytes.
    pub mtu: u16,
    /// Bytes that wait for the node.
    pub queued_bytes: usize,
    /// Why the last connection ended, or could not be opened.
    pub last_error: Option<String>,
}

/// A client whose session lives on another node.
pub(crate) struct ClientAway {
    /// Its socket, registered nowhere.
    pub(crate) transport: Transport,
    /// What the other node is told of it.
    pub(crate) header: ClientHeader,
    /// MQTT bytes that were read already.
    pub(crate) bytes: Vec<u8>,
}

enum Command {
    Peers(PeerTable),
    Reload,
    Client(NodeId, Box<ClientAway>),
    Stats(mpsc::Sender<Vec<LinkStats>>),
    Stop,
}

/// The way to the thread of the links; cheap to clone.
#[derive(Clone)]
pub struct LinksHandle {
    commands: commands::UnboundedSender<Command>,
    wake: Arc<Notify>,
}

impl LinksHandle {
    /// Makes the thread call [`Exchange::turn`]. Many calls before it does are one.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The nodes that may be linked from now on. Connections with others are closed.
    pub fn allow(&self, peers: PeerTable) {
        self.tell(Command::Peers(peers));
    }

    /// The certificate has been read again: use it for connections that begin from now on.
    pub fn reload(&self) {
        self.tell(Command::Reload);
    }

    /// Brings a client to the node where its session lives. It is closed when that cannot be done.
    pub(crate) fn send_client(&self, to: NodeId, client: ClientAway) {
        self.tell(Command::Client(to, Box::new(client)));
    }

    /// What is seen of each link; empty once the thread has ended.
    #[must_use]
    pub fn stats(&self) -> Vec<LinkStats> {
        let (reply, answer) = mpsc::channel();
        self.tell(Command::Stats(reply));
        answer.recv().unwrap_or_default()
    }

    fn tell(&self, command: Command) {
        // It fails when the thread has ended, and with it all links.
        let _ = self.commands.send(command);
    }
}

/// The running thread of the links.
pub struct Links {
    handle: LinksHandle,
    local: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Links {
    /// Opens the socket and starts the thread. `exchange` is made on it, and has its turn whenever `wake` is notified.
    ///
    /// # Errors
    /// The socket cannot be opened, the certificate is not this node's, or the bounds are out of range.
    pub fn start<E: Exchange + 'static>(
        config: LinksConfig,
        tls: Arc<PeerTls>,
        wake: Arc<Notify>,
        exchange: impl FnOnce() -> E + Send + 'static,
    ) -> io::Result<Self> {
        profile::check(&config, &tls)?;
        let socket = profile::socket(config.bind)?;
        let local = socket.local_addr()?;
        let (sender, receiver) = commands::unbounded_channel();
        let handle = LinksHandle { commands: sender, wake: Arc::clone(&wake) };
        let thread = thread::Builder::new().name("links".into()).spawn(move || {
            let inbox = driver::Inbox { commands: receiver, wake };
            if let Err(error) = driver::run(config, &tls, socket, exchange, inbox) {
                tracing::error!(%error, "the links to other nodes have ended");
            }
        })?;
        Ok(Self { handle, local, thread: Some(thread) })
    }

    /// The way to the thread.
    #[must_use]
    pub fn handle(&self) -> LinksHandle {
        self.handle.clone()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Links {
    /// Closes all connections and waits for the thread.
    fn drop(&mut self) {
        self.handle.tell(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the links has panicked");
        }
    }
}

#[cfg(test)]
mod tests;
