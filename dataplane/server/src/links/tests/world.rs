//! Nodes with links, and what they need: an authority, and something that decides.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use sluice_cluster::{ClusterId, interest::Incarnation};
use sluice_dataplane_core::link::{Event, Identity, Link, LinkLimits, Outcome, Receipt, Sent, Versions};
use sluice_service::tls::{CertificateFiles, PeerFiles};

use super::super::*;

/// A cluster's certificate authority, and the folder of its files.
pub(super) struct Authority {
    pub(super) dir: tempfile::TempDir,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { dir: tempfile::tempdir().unwrap(), pem, issuer: Issuer::new(params, key) }
    }

    /// Files of a node whose certificate has these URIs, and which trusts this authority.
    pub(super) fn files(&self, name: &str, uris: &[String]) -> PeerFiles {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |kind: &str| -> PathBuf { self.dir.path().join(format!("{name}.{kind}")) };
        let files = CertificateFiles { cert: path("crt"), key: path("key") };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path("ca"), &self.pem).unwrap();
        PeerFiles { certificate: files, ca: path("ca") }
    }

    pub(super) fn tls(&self, node: u64) -> Arc<PeerTls> {
        Arc::new(
            PeerTls::load(
                self.files(&format!("node-{node}"), &[sluice_cluster::Identity::Node(NodeId(node)).to_string()]),
            )
            .unwrap(),
        )
    }
}

/// Node `node` in its first life.
pub(super) fn identity_of(node: u64) -> Identity {
    let (cluster, incarnation, versions) = (ClusterId(1), Incarnation(1), Versions::THIS);
    Identity { cluster, node: NodeId(node), incarnation, generation: 1, versions, region: None }
}

/// What a test sees of a node, and tells it.
#[derive(Default)]
pub(super) struct Board {
    pub(super) to_send: Vec<(NodeId, Vec<u8>)>,
    pub(super) received: Vec<(NodeId, Vec<u8>)>,
    pub(super) up: BTreeSet<NodeId>,
    pub(super) ups: u64,
    pub(super) clients: Vec<(NodeId, ClientHeader, UnixStream)>,
}

#[derive(Default)]
pub(super) struct Shared {
    board: Mutex<Board>,
    pub(super) refuses: AtomicBool,
    /// Frames whose outcome came.
    pub(super) answered: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    /// Only counts what it receives, and checks that it is numbered in order.
    pub(super) counts: AtomicBool,
}

impl Shared {
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap()
    }
}

/// Keeps a link to every node, answers every frame, and shows what it gets.
struct Answering {
    node: NodeId,
    incarnation: u64,
    links: BTreeMap<NodeId, Link>,
    dirty: VecDeque<NodeId>,
    shared: Arc<Shared>,
    next: BTreeMap<NodeId, u64>,
}

impl Answering {
    fn link(&mut self, peer: NodeId) -> &mut Link {
        let me = Identity { incarnation: Incarnation(self.incarnation), ..identity_of(self.node.0) };
        self.dirty.push_back(peer);
        self.links.entry(peer).or_insert_with(|| {
            Link::new(
                me,
                peer,
                LinkLimits { window_bytes_max: 8 << 20, greeting_max: Duration::from_secs(2), ..LinkLimits::default() },
            )
        })
    }
}

impl Exchange for Answering {
    fn turn(&mut self, _: Duration) {
        let shared = Arc::clone(&self.shared);
        let mut waiting = std::mem::take(&mut shared.board().to_send).into_iter();
        while let Some((peer, frame)) = waiting.next() {
            if self.link(peer).send(&frame, true) == Sent::Refused {
                // The bound is reached: the rest waits for outcomes.
                let mut board = shared.board();
                let later = std::mem::take(&mut board.to_send);
                board.to_send = [(peer, frame)].into_iter().chain(waiting).chain(later).collect();
                return;
            }
        }
    }

    fn connected(&mut self, now: Duration, peer: NodeId, connection: u64) {
        if self.link(peer).connected(now, connection) {
            self.shared.board().up.remove(&peer);
        }
    }

    fn disconnected(&mut self, _: Duration, peer: NodeId, connection: u64) {
        if self.link(peer).disconnected(connection) {
            self.shared.board().up.remove(&peer);
        }
    }

    fn receive(
        &mut self,
        now: Duration,
        peer: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError> {
        let shared = Arc::clone(&self.shared);
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut next = self.next.get(&peer).copied().unwrap_or(0);
        let mut answered = 0;
        let taken = self.link(peer).receive(connection, lane, bytes, &mut |event| match event {
            Event::Up { .. } => {
                let mut board = shared.board();
                board.up.insert(peer);
                board.ups += 1;
            }
            Event::Received { receipt, frame, .. } => {
                receipts.extend(receipt);
                shared.received_bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                if !shared.counts.load(Ordering::Relaxed) {
                    return shared.board().received.push((peer, frame.into()));
                }
                let number = u64::from_le_bytes(frame[..8].try_into().unwrap());
                assert_eq!(number, next, "frames out of order");
                next += 1;
            }
            Event::Answered { count, .. } => answered += u64::from(count),
            Event::Control(_) | Event::Bulk(_) => {}
        })?;
        let link = self.link(peer);
        receipts.into_iter().for_each(|receipt| link.answer(receipt, Outcome { matched: true, refused: None }));
        self.next.insert(peer, next);
        if answered > 0 {
            shared.answered.fetch_add(answered, Ordering::Relaxed);
            self.turn(now);
        }
        Ok(taken)
    }

    fn transmit(&mut self, _: Duration, peer: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        self.links.get_mut(&peer).is_some_and(|link| link.transmit(lane, out, max))
    }

    fn next_dirty(&mut self) -> Option<NodeId> {
        self.dirty.pop_front()
    }

    fn accepts(&self, _: NodeId) -> bool {
        !self.shared.refuses.load(Ordering::Relaxed)
    }

    fn queued_bytes(&self, peer: NodeId) -> usize {
        self.links.get(&peer).map_or(0, |link| link.load().window_bytes)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.links.values().filter_map(Link::poll_timeout).min()
    }

    fn tick(&mut self, now: Duration, close: &mut dyn FnMut(NodeId, u64, LinkError)) {
        for (peer, link) in &mut self.links {
            if let (Err(error), Some(connection)) = (link.tick(now), link.connection()) {
                close(*peer, connection, error);
            }
        }
    }

    fn client(&mut self, _: Duration, from: NodeId, header: ClientHeader, socket: UnixStream) {
        self.shared.board().clients.push((from, header, socket));
    }
}

/// A node that runs.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) shared: Arc<Shared>,
    pub(super) links: Links,
}

impl Node {
    pub(super) fn start(authority: &Authority, id: u64, incarnation: u64, bind: Option<SocketAddr>) -> Self {
        Self::with(authority.tls(id), id, incarnation, bind)
    }

    pub(super) fn with(tls: Arc<PeerTls>, id: u64, incarnation: u64, bind: Option<SocketAddr>) -> Self {
        let shared = Arc::new(Shared::default());
        let links = start(config_of(id, bind), tls, incarnation, Arc::clone(&shared));
        Self { id: NodeId(id), shared, links: links.unwrap() }
    }

    pub(super) fn allow(&self, others: &[&Self]) {
        let table = others.iter().map(|other| (other.id, other.links.local_addr().to_string())).collect();
        self.links.handle().allow(table);
    }

    pub(super) fn send(&self, to: NodeId, frame: &[u8]) {
        self.shared.board().to_send.push((to, frame.into()));
        self.links.handle().wake();
    }

    pub(super) fn is_up(&self, other: NodeId) -> bool {
        self.shared.board().up.contains(&other)
    }

    pub(super) fn last_error(&self, other: NodeId) -> String {
        let stats = self.links.handle().stats();
        stats.into_iter().find(|stats| stats.peer == other).and_then(|stats| stats.last_error).unwrap_or_default()
    }
}

pub(super) fn start(
    config: LinksConfig,
    tls: Arc<PeerTls>,
    incarnation: u64,
    shared: Arc<Shared>,
) -> std::io::Result<Links> {
    let node = config.node;
    let (links, dirty, next) = Default::default();
    Links::start(config, tls, std::sync::Arc::default(), move || Answering {
        node,
        incarnation,
        links,
        dirty,
        shared,
        next,
    })
}

pub(super) fn config_of(id: u64, bind: Option<SocketAddr>) -> LinksConfig {
    let bind = bind.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
    let config = LinksConfig::new(NodeId(id), bind);
    LinksConfig { backoff: (Duration::from_millis(10), Duration::from_millis(200)), ..config }
}

/// Two nodes that are linked.
pub(super) fn linked(authority: &Authority) -> (Node, Node) {
    let (a, b) = (Node::start(authority, 1, 1, None), Node::start(authority, 2, 1, None));
    a.allow(&[&b]);
    b.allow(&[&a]);
    until("both are linked", || a.is_up(b.id) && b.is_up(a.id));
    (a, b)
}

/// Waits for something that comes within seconds on any machine that is not broken.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not come about that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Writes in the background, so that both ends of a socket can be in one test.
pub(super) fn write_all(mut socket: impl std::io::Write + Send + 'static, bytes: Vec<u8>) {
    thread::spawn(move || socket.write_all(&bytes));
}

/// Reads exactly so many bytes.
pub(super) fn read_exactly(mut socket: impl std::io::Read, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    socket.read_exact(&mut read).unwrap();
    read
}

/// Reads to the end.
pub(super) fn read_to_end(mut socket: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    socket.read_to_end(&mut read).map(|_| read)
}

/// Sends something there and back.
pub(super) fn echo(mut near: impl std::io::Read + std::io::Write, mut far: impl std::io::Read + std::io::Write) {
    near.write_all(b"there").unwrap();
    assert_eq!(read_exactly(&mut far, 5), b"there");
    far.write_all(b"back").unwrap();
    assert_eq!(read_exactly(&mut near, 4), b"back");
}
