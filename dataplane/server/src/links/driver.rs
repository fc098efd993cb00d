//! The thread: its state, and what wakes it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    net::UdpSocket,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{Endpoint, TokioRuntime};
use sluice_cluster::NodeId;
use sluice_dataplane_core::link::{Lane, LinkError};
use sluice_service::tls::PeerTls;
use tokio::{
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local},
    time::sleep_until,
};

use super::{
    Command, Exchange, LinkStats, LinksConfig, PeerTable, clients, pair,
    pair::Peer,
    profile::{self, Code, Profiles},
};
use crate::{listener::Seats, transport::Scratch};

/// What others have for the thread.
pub(super) struct Inbox {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) wake: Arc<Notify>,
}

/// Everything that the tasks of the thread share. None of them holds a borrow while it waits.
pub(super) struct Driver<E> {
    pub(super) config: LinksConfig,
    pub(super) endpoint: Endpoint,
    pub(super) profiles: RefCell<Profiles>,
    pub(super) peers: RefCell<BTreeMap<NodeId, Peer>>,
    pub(super) seats: Arc<Seats>,
    pub(super) scratch: RefCell<Scratch>,
    /// Handshakes under way that others have begun.
    pub(super) greeting: Cell<usize>,
    exchange: RefCell<E>,
    start: Instant,
    last_connection: Cell<u64>,
    /// When the main loop wakes by itself, and what tells it that this is too late.
    armed: Cell<Option<Duration>>,
    rearm: Notify,
    /// Told when nodes whose bytes were not accepted may be asked for again.
    accepting: Notify,
}

/// Runs until it is told to stop.
pub(super) fn run<E: Exchange + 'static>(
    config: LinksConfig,
    tls: &PeerTls,
    socket: UdpSocket,
    exchange: impl FnOnce() -> E,
    inbox: Inbox,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let profiles = Profiles::new(&config, tls)?;
        let default = profiles.accept(profile::Profile::Lanes);
        let default = Some(quinn::ServerConfig::clone(&default));
        let endpoint = Endpoint::new(profile::endpoint(&config)?, default, socket, Arc::new(TokioRuntime))?;
        let driver = Rc::new(Driver {
            seats: Seats::new(config.clients_max, None),
            config,
            endpoint,
            profiles: RefCell::new(profiles),
            peers: RefCell::default(),
            scratch: RefCell::new(Scratch::new()),
            greeting: Cell::new(0),
            exchange: RefCell::new(exchange()),
            start: Instant::now(),
            last_connection: Cell::new(0),
            armed: Cell::new(None),
            rearm: Notify::new(),
            accepting: Notify::new(),
        });
        driver.serve(tls, inbox).await;
        driver.endpoint.close(Code::Stopping.into(), b"the node stops");
        // The others are told, or find out by themselves.
        let _ = tokio::time::timeout(GOODBYE_MAX, driver.endpoint.wait_idle()).await;
        Ok(())
    })
}

impl<E: Exchange + 'static> Driver<E> {
    async fn serve(self: &Rc<Self>, tls: &PeerTls, mut inbox: Inbox) {
        loop {
            let due = self.exchange.borrow().poll_timeout();
            self.armed.set(due);
            tokio::select! {
                () = inbox.wake.notified() => self.with(Exchange::turn),
                () = self.rearm.notified() => continue,
                () = self.wait_until(due) => self.tick(),
                command = inbox.commands.recv() => match command {
                    None | Some(Command::Stop) => return,
                    Some(command) => self.obey(command, tls),
                },
                incoming = self.endpoint.accept() => match incoming {
                    None => return,
                    Some(incoming) => drop(spawn_local(pair::accept(Rc::clone(self), incoming))),
                },
            }
            self.accepting.notify_waiters();
        }
    }

    async fn wait_until(&self, due: Option<Duration>) {
        match due {
            None => std::future::pending().await,
            Some(due) => sleep_until((self.start + due).into()).await,
        }
    }

    fn obey(self: &Rc<Self>, command: Command, tls: &PeerTls) {
        match command {
            Command::Peers(table) => self.allow(table),
            Command::Reload => match Profiles::new(&self.config, tls) {
                Ok(profiles) => drop(self.profiles.replace(profiles)),
                Err(error) => tracing::error!(%error, "the certificate for other nodes cannot be used"),
            },
            Command::Client(to, client) => drop(spawn_local(clients::bring(Rc::clone(self), to, *client))),
            Command::Stats(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.stats());
            }
            Command::Stop => {}
        }
    }

    fn tick(self: &Rc<Self>) {
        let mut closed = Vec::new();
        self.with(|exchange, now| {
            exchange.tick(now, &mut |peer, connection, why| closed.push((peer, connection, why)))
        });
        for (peer, connection, why) in closed {
            self.close(peer, connection, why);
        }
    }

    /// Closes a connection as what decides has said.
    fn close(&self, node: NodeId, connection: u64, why: LinkError) {
        if let Some(peer) = self.peers.borrow_mut().get_mut(&node)
            && let Some(live) = peer.live.as_ref().filter(|live| live.id == connection)
        {
            if why.is_of_protocol() {
                tracing::warn!(peer = %node, error = %why, "a node does not keep to the protocol");
            } else {
                tracing::info!(peer = %node, %why, "a link is closed");
            }
            live.connection.close(Code::Protocol.into(), why.to_string().as_bytes());
            peer.last_error = Some(why.to_string());
        }
    }

    /// The time since the thread started.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Milliseconds since the thread started.
    pub(super) fn now_ms(&self) -> u64 {
        self.now().as_millis() as u64
    }

    /// Asks or tells what decides, and wakes the writers and the timer as it then wants.
    pub(super) fn with<R>(&self, ask: impl FnOnce(&mut E, Duration) -> R) -> R {
        let mut exchange = self.exchange.borrow_mut();
        let answer = ask(&mut exchange, self.now());
        while let Some(peer) = exchange.next_dirty() {
            if let Some(live) = self.peers.borrow().get(&peer).and_then(|peer| peer.live.as_ref()) {
                live.ready.iter().for_each(|ready| ready.notify_one());
            }
        }
        let due = exchange.poll_timeout();
        if due.is_some_and(|due| self.armed.get().is_none_or(|armed| due < armed)) {
            self.armed.set(due);
            self.rearm.notify_one();
        }
        answer
    }

    /// Appends what is ready on a lane, unless the connection is no longer the node's.
    pub(super) fn transmit(&self, peer: NodeId, connection: u64, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        let is_live = self.peers.borrow().get(&peer).is_some_and(|peer| peer.is_live(connection));
        is_live && self.exchange.borrow_mut().transmit(self.now(), peer, lane, out, max)
    }

    /// Waits until bytes of a node are accepted.
    pub(super) async fn until_accepted(&self, peer: NodeId) {
        loop {
            // Registered before the question, so that no change is missed.
            let changed = self.accepting.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.exchange.borrow().accepts(peer) {
                return;
            }
            changed.await;
        }
    }

    /// A number for a connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.last_connection.set(self.last_connection.get() + 1);
        self.last_connection.get()
    }

    /// Takes a new table of nodes.
    fn allow(self: &Rc<Self>, mut table: PeerTable) {
        table.remove(&self.config.node);
        let mut peers = self.peers.borrow_mut();
        peers.retain(|node, peer| {
            let stays = table.contains_key(node);
            if !stays {
                peer.leave();
            }
            stays
        });
        for (node, address) in table {
            match peers.get_mut(&node) {
                Some(peer) => peer.move_to(address),
                None => {
                    let mut peer = Peer::new(address);
                    if self.config.node < node {
                        peer.keep_open(spawn_local(pair::keep_open(Rc::clone(self), node)));
                    }
                    peers.insert(node, peer);
                }
            }
        }
    }

    fn stats(&self) -> Vec<LinkStats> {
        let exchange = self.exchange.borrow();
        let peers = self.peers.borrow();
        peers.iter().map(|(node, peer)| peer.stats(*node, self.now(), exchange.queued_bytes(*node))).collect()
    }
}

/// For the last packets.
const GOODBYE_MAX: Duration = Duration::from_millis(200);
