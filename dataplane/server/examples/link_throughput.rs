//! What frames between two nodes cost: CPU seconds for a million frames, both nodes and the kernel together, over loopback.
//!
//! `cargo run --release -p sluice-dataplane-server --example link_throughput -- [FRAME_BYTES] [MILLIONS] [MTU…]`, 200 bytes,
//! 5 million frames and MTUs of 1452 and 6000 when nothing is said. Both nodes are in this process, with mutual TLS; reliable
//! frames are answered one by one. Checks that all arrive in order, and prints a Markdown table.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use sluice_cluster::{ClusterId, NodeId, interest::Incarnation};
use sluice_dataplane_core::link::{
    ClientHeader, Event, Identity, Lane, Link, LinkError, LinkLimits, Outcome, Receipt, Versions,
};
use sluice_dataplane_server::links::{Exchange, Links, LinksConfig, PeerTable};
use sluice_service::tls::{CertificateFiles, PeerFiles, PeerTls};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    let frame_bytes = numbers.first().copied().unwrap_or(200) as usize;
    let frames = numbers.get(1).copied().unwrap_or(5) * 1_000_000;
    let mtus = numbers.get(2..).filter(|mtus| !mtus.is_empty()).unwrap_or(&[1_452, 6_000]);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| MTU | frames of {frame_bytes} B | CPU s per million | seconds | packets lost | most memory, MB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for mtu in mtus {
        for reliable in [false, true] {
            let run = Run { frame_bytes, frames, reliable };
            let measured = run.measure(u16::try_from(*mtu)?)?;
            let kind = if reliable { "reliable" } else { "unreliable" };
            let cpu = measured.cpu.as_secs_f64() * 1e6 / frames as f64;
            let (seconds, lost) = (measured.wall.as_secs_f64(), measured.lost);
            let memory = memory_bytes_max()? / 1_000_000;
            writeln!(out, "| {mtu} | {frames} {kind} | {cpu:.3} | {seconds:.1} | {lost} | {memory} |")?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Run {
    frame_bytes: usize,
    frames: u64,
    reliable: bool,
}

struct Measured {
    cpu: Duration,
    wall: Duration,
    lost: u64,
}

impl Run {
    fn measure(self, mtu: u16) -> Result<Measured, Failure> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new()?;
        let (done, wait) = mpsc::channel();
        let start = |node: u64, sends: u64| -> Result<Links, Failure> {
            let config = LinksConfig { mtu_max: mtu, ..LinksConfig::new(NodeId(node), "127.0.0.1:0".parse()?) };
            let tls = Arc::new(authority.tls(folder.path(), NodeId(node))?);
            let done = done.clone();
            Ok(Links::start(config, tls, std::sync::Arc::default(), move || Stream::new(self, node, sends, done))?)
        };
        let (receiver, sender) = (start(2, 0)?, start(1, self.frames)?);
        let table = |node: u64, links: &Links| PeerTable::from([(NodeId(node), links.local_addr().to_string())]);
        receiver.handle().allow(table(1, &sender));
        let (cpu, wall) = (cpu_time()?, Instant::now());
        sender.handle().allow(table(2, &receiver));
        wait.recv()?;
        let (cpu, wall) = (cpu_time()? - cpu, wall.elapsed());
        let lost = sender.handle().stats().iter().map(|stats| stats.packets_lost).sum();
        Ok(Measured { cpu, wall, lost })
    }
}

/// One link, on which numbered frames are sent or expected.
struct Stream {
    run: Run,
    link: Link,
    /// Frames to be sent yet, and the number of the next one.
    left: u64,
    next: u64,
    expected: u64,
    answered: u64,
    frame: Vec<u8>,
    receipts: Vec<Receipt>,
    dirty: bool,
    done: mpsc::Sender<()>,
}

impl Stream {
    fn new(run: Run, node: u64, left: u64, done: mpsc::Sender<()>) -> Self {
        let (cluster, versions) = (ClusterId(1), Versions::THIS);
        let (node, peer) = (NodeId(node), NodeId(3 - node));
        let me = Identity { cluster, node, incarnation: Incarnation(1), generation: 1, versions, region: None };
        Self {
            run,
            link: Link::new(me, peer, LinkLimits::default()),
            left,
            next: 0,
            expected: 0,
            answered: 0,
            frame: vec![7; run.frame_bytes.max(8)],
            receipts: Vec::new(),
            dirty: false,
            done,
        }
    }

    /// As workers do: until the link wants a pause.
    fn fill(&mut self) {
        while self.left > 0 && self.link.is_up() && self.link.load().window_bytes < FILL_BYTES {
            self.frame[..8].copy_from_slice(&self.next.to_le_bytes());
            self.link.send(&self.frame, self.run.reliable);
            self.next += 1;
            self.left -= 1;
        }
    }
}

impl Exchange for Stream {
    fn turn(&mut self, _: Duration) {}

    fn connected(&mut self, now: Duration, _: NodeId, connection: u64) {
        self.link.connected(now, connection);
        self.dirty = true;
    }

    fn disconnected(&mut self, _: Duration, _: NodeId, connection: u64) {
        self.link.disconnected(connection);
    }

    fn receive(
        &mut self,
        _: Duration,
        _: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError> {
        let Self { link, receipts, expected, answered, .. } = self;
        let taken = link.receive(connection, lane, bytes, &mut |event| match event {
            Event::Received { receipt, frame, .. } => {
                assert!(frame.starts_with(&expected.to_le_bytes()), "frame {expected} is missing");
                *expected += 1;
                receipts.extend(receipt);
            }
            Event::Answered { count, .. } => *answered += u64::from(count),
            Event::Up { .. } | Event::Control(_) | Event::Bulk(_) => {}
        })?;
        receipts.drain(..).for_each(|receipt| link.answer(receipt, Outcome { matched: true, refused: None }));
        self.dirty = true;
        let complete = if self.run.reliable { self.answered } else { self.expected };
        if complete == self.run.frames {
            // The first word is enough.
            let _ = self.done.send(());
        }
        Ok(taken)
    }

    fn transmit(&mut self, _: Duration, _: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        if lane == Lane::Messages {
            self.fill();
        }
        self.link.transmit(lane, out, max)
    }

    fn next_dirty(&mut self) -> Option<NodeId> {
        std::mem::replace(&mut self.dirty, false).then(|| self.link.peer())
    }

    fn accepts(&self, _: NodeId) -> bool {
        true
    }

    fn queued_bytes(&self, _: NodeId) -> usize {
        self.link.load().window_bytes
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.link.poll_timeout()
    }

    fn tick(&mut self, _: Duration, _: &mut dyn FnMut(NodeId, u64, LinkError)) {}

    fn client(&mut self, _: Duration, _: NodeId, _: ClientHeader, _: UnixStream) {}
}

/// Signs the certificates of both nodes.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self, Failure> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    fn tls(&self, folder: &Path, node: NodeId) -> Result<PeerTls, Failure> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(sluice_cluster::Identity::Node(node).to_string().try_into()?)];
        let key = KeyPair::generate()?;
        let path = |kind: &str| folder.join(format!("{node}.{kind}"));
        let certificate = CertificateFiles { cert: path("crt"), key: path("key") };
        fs::write(&certificate.cert, params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(&certificate.key, key.serialize_pem())?;
        fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o600))?;
        fs::write(path("ca"), &self.pem)?;
        Ok(PeerTls::load(PeerFiles { certificate, ca: path("ca") })?)
    }
}

/// CPU time of the process, in user and kernel.
fn cpu_time() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.get(11..13).unwrap_or_default().iter().map(|it| it.parse().unwrap_or(0)).sum();
    // A tick is 10 ms on every Linux that is in use.
    Ok(Duration::from_millis(ticks * 10))
}

/// The most memory that the process had, in bytes.
fn memory_bytes_max() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// What waits at most: a few turns of a busy node.
const FILL_BYTES: usize = 4 << 20;
