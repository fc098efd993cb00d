//! Control: the real services around a publisher that does what a test says.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use sluice_cluster::wire::resources::Resources;
use sluice_cluster::{Address, NodeId, Registration, Report, Version, interest::InterestFrame};
use sluice_controlplane_server::{
    Admission, Authority, CERTIFICATE_LIFETIME_DEFAULT, Event, Join, MemoryAuthority, NodeStatus, Push, PushSettings,
    RedeemError, Redemption, Refused, ServeSettings, StreamId, Tables, Token, TokenDigest, serve,
};
use sluice_discovery::{Limits, Publisher, ResourceType, Snapshot, Warming, wire::wanted};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{mpsc, oneshot, watch},
};

/// The control service of one cluster: its authority, its tokens, and what is published.
pub struct Control {
    runtime: Runtime,
    authority: Arc<Authority>,
    tokens: Arc<Tokens>,
    shared: Arc<Shared>,
}

/// A replica that listens.
pub struct Replica {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

struct Shared {
    publisher: Mutex<Publisher>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    seen: Mutex<Nodes>,
    leader: Mutex<Leader>,
}

/// Which replica lets nodes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leader {
    Every,
    At(SocketAddr),
}

/// What was heard of nodes.
#[derive(Default)]
struct Nodes {
    status: HashMap<NodeId, NodeStatus>,
    registrations: HashMap<NodeId, Registration>,
    reports: HashMap<NodeId, Vec<Report>>,
    open: HashMap<NodeId, (StreamId, mpsc::Sender<InterestFrame>)>,
    connections: usize,
    gone: Vec<String>,
}

#[derive(Default)]
struct Tokens {
    /// With the key that has used it, and the node that came of it.
    all: Mutex<BTreeMap<TokenDigest, Option<(TokenDigest, NodeId)>>>,
    removed: Mutex<Vec<NodeId>>,
}

#[tonic::async_trait]
impl Admission for Tokens {
    async fn redeem(&self, redemption: Redemption) -> Result<NodeId, RedeemError> {
        let mut all = self.all.lock().unwrap();
        let used = all.get_mut(&redemption.token).ok_or(RedeemError::Invalid)?;
        let (key, node) = *used.get_or_insert((redemption.key, redemption.node));
        if key == redemption.key { Ok(node) } else { Err(RedeemError::Invalid) }
    }

    async fn is_member(&self, node: NodeId) -> Result<bool, RedeemError> {
        Ok(!self.removed.lock().unwrap().contains(&node))
    }
}

impl Control {
    /// A cluster of its own, whose leader has nothing to publish yet.
    #[must_use]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = MemoryAuthority::default();
        let authority = runtime.block_on(Authority::open(&store, "test", CERTIFICATE_LIFETIME_DEFAULT)).unwrap();
        let publisher = Publisher::new(1, Warming::default(), Limits::default());
        let (snapshots, _) = watch::channel(publisher.snapshot());
        let shared = Shared {
            publisher: Mutex::new(publisher),
            snapshots,
            seen: Mutex::default(),
            leader: Mutex::new(Leader::Every),
        };
        Self { runtime, authority: Arc::new(authority), tokens: Arc::default(), shared: Arc::new(shared) }
    }

    /// A replica at any port.
    #[must_use]
    pub fn start(&self) -> Replica {
        self.start_at("127.0.0.1:0".parse().unwrap())
    }

    /// A replica at an address.
    #[must_use]
    pub fn start_at(&self, address: SocketAddr) -> Replica {
        let _guard = self.runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener: TcpListener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (events, inbox) = mpsc::channel(1024);
        let push = Push::new(PushSettings::default(), events);
        let join = Join::new(Arc::clone(&self.authority), Arc::clone(&self.tokens));
        let (stop, stopped) = oneshot::channel::<()>();
        let authority = Arc::clone(&self.authority);
        tokio::spawn(decide(Arc::clone(&self.shared), inbox, address));
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, authority, push, join, ServeSettings::default(), stopped).await.unwrap();
        });
        Replica { address, stop, served }
    }

    /// Stops a replica, as a killed process would: what it knew of streams is gone.
    pub fn stop(&self, replica: Replica) {
        let _ = replica.stop.send(());
        self.runtime.block_on(replica.served).unwrap();
    }

    /// From here on this replica leads, and the others send nodes to it.
    pub fn lead(&self, replica: &Replica) {
        *self.shared.leader.lock().unwrap() = Leader::At(replica.address);
    }

    /// A token for one more node.
    #[must_use]
    pub fn token(&self) -> String {
        let token = Token::draw(self.authority.certificate()).unwrap();
        self.tokens.all.lock().unwrap().insert(token.digest(), None);
        token.reveal()
    }

    /// A node is not a member any more.
    pub fn remove(&self, node: NodeId) {
        self.tokens.removed.lock().unwrap().push(node);
    }

    /// Publishes the whole of a type.
    pub fn publish(&self, kind: ResourceType, resources: Resources) -> Version {
        let mut publisher = self.shared.publisher.lock().unwrap();
        publisher.publish(kind, &wanted(resources).unwrap()).unwrap();
        self.shared.snapshots.send_replace(publisher.snapshot());
        publisher.snapshot().of(kind).version()
    }

    /// A new leader takes over, which publishes the same.
    pub fn change_leader(&self, epoch: u64) {
        let mut publisher = self.shared.publisher.lock().unwrap();
        let before = publisher.snapshot();
        *publisher = Publisher::new(epoch, Warming::default(), Limits::default());
        for kind in ResourceType::ALL {
            let all = before.of(kind).iter().map(|(name, body)| (name.clone(), body.clone())).collect();
            publisher.publish(kind, &all).unwrap();
        }
        self.shared.snapshots.send_replace(publisher.snapshot());
    }

    /// How a node stood last.
    #[must_use]
    pub fn status(&self, node: NodeId) -> Option<NodeStatus> {
        self.seen().status.get(&node).cloned()
    }

    /// Whether these nodes have acknowledged all that is published.
    #[must_use]
    pub fn are_current(&self, nodes: &[NodeId]) -> bool {
        let snapshot = self.shared.publisher.lock().unwrap().snapshot();
        let seen = self.seen();
        nodes.iter().all(|node| {
            let status = seen.status.get(node);
            status.is_some_and(|status| {
                ResourceType::ALL.iter().all(|kind| status.types.of(*kind).version == snapshot.of(*kind).version())
            })
        })
    }

    /// What a node has reported.
    #[must_use]
    pub fn reports(&self, node: NodeId) -> Vec<Report> {
        self.seen().reports.get(&node).cloned().unwrap_or_default()
    }

    /// What a node has said of itself.
    #[must_use]
    pub fn registration(&self, node: NodeId) -> Option<Registration> {
        self.seen().registrations.get(&node).cloned()
    }

    /// Sends a frame of interest to a node that is connected.
    pub fn send_interest(&self, node: NodeId, frame: InterestFrame) {
        self.seen().open[&node].1.try_send(frame).unwrap();
    }

    /// Streams that were let in, ever.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen().connections
    }

    /// Why streams were over.
    #[must_use]
    pub fn gone(&self) -> Vec<String> {
        self.seen().gone.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Nodes> {
        self.shared.seen.lock().unwrap()
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

impl Replica {
    /// Where nodes reach it.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.into()
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.address
    }
}

/// Stands for the reconciler.
async fn decide(shared: Arc<Shared>, mut events: mpsc::Receiver<Event>, own: SocketAddr) {
    while let Some(event) = events.recv().await {
        let mut nodes = shared.seen.lock().unwrap();
        match event {
            Event::Connected { stream, node, registration, status, reply, .. } => {
                let leader = *shared.leader.lock().unwrap();
                if let Leader::At(leader) = leader
                    && leader != own
                {
                    let _ = reply.send(Err(Refused::NotLeader { leader: Some(leader.into()) }));
                    continue;
                }
                nodes.connections += 1;
                nodes.status.insert(node, status);
                nodes.registrations.insert(node, registration);
                let (interest, frames) = mpsc::channel(16);
                nodes.open.insert(node, (stream, interest));
                let _ = reply.send(Ok(Tables { snapshots: shared.snapshots.subscribe(), interest: frames }));
            }
            Event::Status { node, status, .. } => drop(nodes.status.insert(node, status)),
            Event::Report { node, report, .. } => nodes.reports.entry(node).or_default().push(report),
            Event::Gone { stream, node, reason } => {
                nodes.gone.push(reason);
                if nodes.open.get(&node).is_some_and(|(open, _)| *open == stream) {
                    nodes.open.remove(&node);
                }
            }
        }
    }
}
