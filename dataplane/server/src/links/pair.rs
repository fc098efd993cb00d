//! The connection of a pair of nodes: opened, accepted, judged, served, replaced.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use quinn::{Connection, ConnectionError, Incoming, RecvStream};
use sluice_cluster::NodeId;
use sluice_dataplane_core::link::Lane;
use tokio::{
    sync::{Mutex, Notify},
    task::{AbortHandle, JoinHandle, JoinSet, spawn_local},
    time::timeout,
};

use super::{
    Exchange, LinkStats,
    backoff::Backoff,
    clients,
    driver::Driver,
    lanes,
    profile::{self, Code, Profile},
};

/// Another node.
pub(super) struct Peer {
    address: String,
    pub(super) live: Option<Live>,
    /// The connection for clients of this node whose session lives there, opened when the first one comes.
    pub(super) clients: Rc<Mutex<Option<Connection>>>,
    /// Connections that it opened for its clients.
    accepted_clients: Option<Connection>,
    /// Told when there is no connection any more, or the address is another one.
    changed: Rc<Notify>,
    opening: Option<AbortHandle>,
    connections: u64,
    past: Counted,
    pub(super) last_error: Option<String>,
}

/// The connection of this moment.
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) connection: Connection,
    /// Told when something may be ready on a lane.
    pub(super) ready: [Rc<Notify>; 3],
    since: Duration,
}

/// What connections have moved.
#[derive(Clone, Copy, Default)]
struct Counted {
    sent: u64,
    received: u64,
    packets: u64,
    lost: u64,
}

impl Counted {
    fn plus(self, connection: &Connection) -> Self {
        let stats = connection.stats();
        Self {
            sent: self.sent + stats.udp_tx.bytes,
            received: self.received + stats.udp_rx.bytes,
            packets: self.packets + stats.path.sent_packets,
            lost: self.lost + stats.path.lost_packets,
        }
    }
}

impl Peer {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            live: None,
            clients: Rc::default(),
            accepted_clients: None,
            changed: Rc::default(),
            opening: None,
            connections: 0,
            past: Counted::default(),
            last_error: None,
        }
    }

    /// Whether a connection is the one of this moment.
    pub(super) fn is_live(&self, connection: u64) -> bool {
        self.live.as_ref().is_some_and(|live| live.id == connection)
    }

    /// The task that opens the connection.
    pub(super) fn keep_open(&mut self, task: JoinHandle<()>) {
        self.opening = Some(task.abort_handle());
    }

    /// It is reached elsewhere. A connection that is there stays.
    pub(super) fn move_to(&mut self, address: String) {
        if self.address != address {
            self.address = address;
            self.changed.notify_one();
        }
    }

    /// It is not among the allowed nodes any more.
    pub(super) fn leave(&mut self) {
        self.opening.iter().for_each(AbortHandle::abort);
        let clients = self.clients.try_lock().ok().and_then(|clients| clients.clone());
        let live = self.live.as_ref().map(|live| live.connection.clone());
        for connection in [live, clients, self.accepted_clients.take()].into_iter().flatten() {
            connection.close(Code::NotAllowed.into(), NOT_ALLOWED);
        }
    }

    pub(super) fn stats(&self, peer: NodeId, now: Duration, queued_bytes: usize) -> LinkStats {
        let connection = self.live.as_ref().map(|live| &live.connection);
        let counted = connection.map_or(self.past, |connection| self.past.plus(connection));
        let path = connection.map(|connection| connection.stats().path);
        LinkStats {
            peer,
            connected_for: self.live.as_ref().map(|live| now.saturating_sub(live.since)),
            connections: self.connections,
            round_trip: path.map_or(Duration::ZERO, |path| path.rtt),
            bytes: (counted.sent, counted.received),
            packets: counted.packets,
            packets_lost: counted.lost,
            mtu: path.map_or(0, |path| path.current_mtu),
            queued_bytes,
            last_error: self.last_error.clone(),
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{address} cannot be resolved: {error}")]
    Address { address: String, error: io::Error },
    #[error("{address} is no address")]
    NoAddress { address: String },
    #[error("it does not answer")]
    Silent,
    #[error("it is not the node that was meant")]
    Identity,
    #[error("the node is not among those allowed")]
    NotAllowed,
    #[error(transparent)]
    Refused(#[from] quinn::ConnectError),
    #[error(transparent)]
    Broken(#[from] quinn::ConnectionError),
}

/// Opens a connection with a node whenever there is none, until the task is ended.
pub(super) async fn keep_open<E: Exchange + 'static>(driver: Rc<Driver<E>>, node: NodeId) {
    let seed = driver.config.node.0.rotate_left(17) ^ node.0 ^ u64::from(std::process::id()) << 32;
    let mut backoff = Backoff::new(driver.config.backoff, seed);
    loop {
        let Some(changed) = driver.peers.borrow().get(&node).map(|peer| Rc::clone(&peer.changed)) else { return };
        match open(&driver, node, Profile::Lanes).await {
            Ok(connection) => {
                let opened = driver.now();
                adopt(&driver, node, connection);
                while driver.peers.borrow().get(&node).is_some_and(|peer| peer.live.is_some()) {
                    changed.notified().await;
                }
                if driver.now() - opened > driver.config.backoff.1 {
                    backoff.reset();
                }
            }
            Err(error) => {
                tracing::debug!(peer = %node, %error, "a node cannot be reached");
                note(&driver, node, error.to_string());
            }
        }
        // Another address is tried at once.
        let _ = timeout(backoff.next(), changed.notified()).await;
    }
}

/// Opens a connection of a kind.
pub(super) async fn open<E: Exchange + 'static>(
    driver: &Driver<E>,
    node: NodeId,
    profile: Profile,
) -> Result<Connection, OpenError> {
    let address = driver.peers.borrow().get(&node).map(|peer| peer.address.clone()).ok_or(OpenError::NotAllowed)?;
    let address = resolve(address).await?;
    let config = driver.profiles.borrow().open(profile);
    let connecting = driver.endpoint.connect_with(config, address, SERVER_NAME)?;
    let connection = timeout(driver.config.handshake_max, connecting).await.map_err(|_| OpenError::Silent)??;
    if profile::node_of_connection(&connection) != Some(node) {
        connection.close(Code::Identity.into(), b"not the node that was meant");
        return Err(OpenError::Identity);
    }
    Ok(connection)
}

async fn resolve(address: String) -> Result<SocketAddr, OpenError> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let found = tokio::net::lookup_host(&address).await.map(|mut found| found.next());
    match found {
        Ok(found) => found.ok_or(OpenError::NoAddress { address }),
        Err(error) => Err(OpenError::Address { address, error }),
    }
}

/// Takes a connection that another node opens, if it is one that may.
pub(super) async fn accept<E: Exchange + 'static>(driver: Rc<Driver<E>>, incoming: Incoming) {
    let from = incoming.remote_address();
    let under_way = driver.greeting.get();
    if under_way >= GREETING_MAX {
        return incoming.ignore();
    }
    if under_way >= GREETING_MAX / 4 && incoming.may_retry() && !incoming.remote_address_validated() {
        // It fails only when the address is known to be true.
        let _ = incoming.retry();
        return;
    }
    let Some(profile) = Profile::of(&incoming.orig_dst_cid()) else { return incoming.refuse() };
    driver.greeting.set(under_way + 1);
    let config = driver.profiles.borrow().accept(profile);
    let greeted = match incoming.accept_with(config) {
        Ok(connecting) => timeout(driver.config.handshake_max, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    driver.greeting.set(driver.greeting.get() - 1);
    match greeted {
        Ok(Ok(connection)) => judge(&driver, profile, connection),
        Ok(Err(error)) => tracing::debug!(%from, %error, "a connection was not made"),
        Err(_) => tracing::debug!(%from, "a connection was not made in time"),
    }
}

/// Whether the other side may be here.
fn judge<E: Exchange + 'static>(driver: &Rc<Driver<E>>, profile: Profile, connection: Connection) {
    let from = connection.remote_address();
    let refuse = |code: Code, why: &'static [u8]| {
        tracing::warn!(%from, why = %String::from_utf8_lossy(why), "a connection of another node was refused");
        connection.close(code.into(), why);
    };
    let Some(node) = profile::node_of_connection(&connection) else {
        return refuse(Code::Identity, b"the certificate is not for one node");
    };
    if !driver.peers.borrow().contains_key(&node) {
        return refuse(Code::NotAllowed, NOT_ALLOWED);
    }
    match profile {
        Profile::Lanes if node > driver.config.node => {
            refuse(Code::Direction, b"the node with the smaller id opens the connection");
        }
        Profile::Lanes => adopt(driver, node, connection),
        Profile::Clients => {
            if let Some(peer) = driver.peers.borrow_mut().get_mut(&node) {
                peer.accepted_clients = Some(connection.clone());
            }
            spawn_local(clients::serve(Rc::clone(driver), node, connection));
        }
    }
}

/// A connection with a node is there. It takes the place of an older one.
fn adopt<E: Exchange + 'static>(driver: &Rc<Driver<E>>, node: NodeId, connection: Connection) {
    let id = driver.next_connection();
    let ready: [Rc<Notify>; 3] = Default::default();
    let live = Live { id, connection: connection.clone(), ready: ready.clone(), since: driver.now() };
    if let Some(peer) = driver.peers.borrow_mut().get_mut(&node) {
        peer.connections += 1;
        if let Some(old) = peer.live.replace(live) {
            peer.past = peer.past.plus(&old.connection);
            old.connection.close(Code::Replaced.into(), b"another connection has taken its place");
        }
    } else {
        return connection.close(Code::NotAllowed.into(), NOT_ALLOWED);
    }
    tracing::info!(peer = %node, address = %connection.remote_address(), "linked to a node");
    driver.with(|exchange, now| exchange.connected(now, node, id));
    spawn_local(serve(Rc::clone(driver), node, id, connection, ready));
}

/// Moves the bytes of a connection until it ends.
async fn serve<E: Exchange + 'static>(
    driver: Rc<Driver<E>>,
    node: NodeId,
    id: u64,
    connection: Connection,
    ready: [Rc<Notify>; 3],
) {
    let why = move_bytes(&driver, node, id, &connection, ready).await;
    if let lanes::Ended::Protocol(error) = &why {
        tracing::warn!(peer = %node, %error, "a node does not keep to the protocol");
        connection.close(Code::Protocol.into(), error.to_string().as_bytes());
    } else if let lanes::Ended::Lanes = &why {
        connection.close(Code::Protocol.into(), why.to_string().as_bytes());
    }
    let was_live = match driver.peers.borrow_mut().get_mut(&node) {
        Some(peer) if peer.is_live(id) => {
            peer.past = peer.past.plus(&connection);
            peer.live = None;
            // Who closed it here has said why.
            if !matches!(why, lanes::Ended::Connection(ConnectionError::LocallyClosed)) {
                peer.last_error = Some(why.to_string());
            }
            peer.changed.notify_one();
            true
        }
        _ => false,
    };
    if was_live {
        tracing::info!(peer = %node, why = %why, "the link to a node is down");
    }
    driver.with(|exchange, now| exchange.disconnected(now, node, id));
}

async fn move_bytes<E: Exchange + 'static>(
    driver: &Rc<Driver<E>>,
    node: NodeId,
    id: u64,
    connection: &Connection,
    ready: [Rc<Notify>; 3],
) -> lanes::Ended {
    // Ends its tasks when it is dropped.
    let mut tasks = JoinSet::new();
    for (lane, ready) in Lane::ALL.into_iter().zip(ready) {
        tasks.spawn_local(lanes::write(Rc::clone(driver), node, id, connection.clone(), lane, ready));
    }
    let greeted = Rc::new((Cell::new(false), Notify::new()));
    let mut open = [false; 3];
    loop {
        let stream: RecvStream = tokio::select! {
            error = connection.closed() => return lanes::Ended::Connection(error),
            Some(ended) = tasks.join_next() => match ended {
                Ok(ended) => return ended,
                Err(error) => return lanes::Ended::Task(error),
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => stream,
                Err(error) => return lanes::Ended::Connection(error),
            },
        };
        // Their number is bounded by the transport.
        let opened = lanes::which(stream).await;
        let Some((lane, stream)) = opened else { return lanes::Ended::Lanes };
        if std::mem::replace(&mut open[lane.index()], true) {
            return lanes::Ended::Lanes;
        }
        tasks.spawn_local(lanes::read(Rc::clone(driver), node, id, lane, stream, Rc::clone(&greeted)));
    }
}

fn note<E>(driver: &Driver<E>, node: NodeId, error: String) {
    if let Some(peer) = driver.peers.borrow_mut().get_mut(&node) {
        peer.last_error = Some(error);
    }
}

/// The name in the handshake; certificates are not for hosts.
const SERVER_NAME: &str = "node.sluice";
const NOT_ALLOWED: &[u8] = b"the node is not among those allowed";
/// Handshakes under way that others have begun; from a quarter of it on, addresses have to be proved first.
const GREETING_MAX: usize = 256;
