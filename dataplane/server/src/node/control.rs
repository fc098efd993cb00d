//! The node's ties to control: who it is, what it is told, and what it reports.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use sluice_cluster::{
    Address, Label, Labels, Member as ClusterMember, Node, NodeId, NodePhase, NodeReport, Placement, Policies, Process,
    ProtocolRange, Registration, Report, ShardStatus, Version, Weight,
    interest::{Incarnation, InterestFrame},
    routing::BaseTable,
};
use sluice_dataplane_core::{Gate, Now, link::Versions};
use sluice_service::{
    durable,
    tls::{CertificateFiles, PeerFiles, PeerTls},
};

use super::{
    cluster::{Gateway, Member, Teller},
    load::{LinkMeter, LoadMeter},
    threads::spawn,
};
use crate::{
    config::NodeConfig,
    control::{
        ControlHandle, ControlSettings, ControlStatus, ControlTask, JoinToken, NodeIdentity, Proposed, ReportProvider,
        TableConsumer, join,
    },
    links::LinksHandle,
    mailbox::Mailbox,
};

/// A node's ties to control, while it runs.
pub(super) struct Control {
    handle: ControlHandle,
    thread: Option<JoinHandle<()>>,
    drained: Arc<AtomicBool>,
}

/// A node that has its certificate.
pub(super) struct Joined {
    settings: ControlSettings,
    identity: Arc<NodeIdentity>,
    /// What it is to the other nodes.
    pub(super) member: Member,
}

/// Finds out who this node is: what it was told when it joined, or by joining.
///
/// # Errors
/// It has not joined and cannot, or what is on its disk does not go together.
pub(super) fn join_cluster(config: &NodeConfig) -> anyhow::Result<Joined> {
    let settings = settings_of(config)?;
    let folder = settings.folder.clone();
    super::system::private_directory(&folder)?;
    let kept = NodeIdentity::load(&folder).context("the node's identity cannot be read")?;
    let identity = match kept {
        Some(identity) => Arc::new(identity),
        None => {
            runtime()?.block_on(join(&settings, &token_of(config)?)).context("this node cannot join its cluster")?
        }
    };
    let certificate = CertificateFiles { cert: folder.join("certificate.pem"), key: folder.join("key.pem") };
    let tls = PeerTls::load(PeerFiles { certificate, ca: folder.join("authorities.pem") })?;
    let member = Member {
        cluster: identity.cluster_id(),
        node: identity.node(),
        incarnation: next_life(&folder)?,
        region: settings.region.as_ref().map_or("", Label::as_str).into(),
        tls: Arc::new(tls),
    };
    Ok(Joined { settings, identity, member })
}

impl Control {
    /// Hands the tables that were saved to the gate, and keeps in touch with control from then on.
    pub(super) fn start(
        joined: Joined,
        config: &NodeConfig,
        gateway: &Gateway,
        workers: &Arc<[Mailbox]>,
    ) -> anyhow::Result<Self> {
        let Joined { settings, identity, member } = joined;
        let uplink = Arc::new(Uplink::default());
        gateway.teller().set_uplink({
            let uplink = Arc::clone(&uplink);
            Box::new(move |frame| uplink.push(frame))
        });
        let drained = Arc::new(AtomicBool::new(false));
        let feed =
            Feed { node: member.node, teller: gateway.teller(), links: gateway.links(), drained: Arc::clone(&drained) };
        let reports = Reports {
            registration: registration_of(config, gateway, u16::try_from(workers.len())?)?,
            uplink: Arc::clone(&uplink),
            teller: gateway.teller(),
            links: gateway.links(),
            load: LoadMeter::new(Arc::clone(workers), settings.region.clone()),
            flow: LinkMeter::default(),
            node: member.node,
            due: VecDeque::new(),
            next: Instant::now(),
        };
        let (task, handle) = ControlTask::new(settings, identity, feed, reports);
        // The first of both to come.
        let _ = uplink.control.set(handle.clone());
        let runtime = runtime()?;
        let tls = Arc::clone(&member.tls);
        let (links, mut renewed) = (gateway.links(), handle.identity());
        let thread = spawn("control", move || {
            runtime.block_on(async {
                tokio::select! {
                    () = task.run() => {}
                    () = async {
                        while renewed.changed().await.is_ok() {
                            match tls.reload() {
                                Ok(()) => links.reload(),
                                Err(error) => tracing::error!(%error, "the renewed certificate cannot be read"),
                            }
                        }
                        std::future::pending::<()>().await;
                    } => {}
                }
            });
            Ok(())
        })?;
        Ok(Self { handle, thread: Some(thread), drained })
    }

    /// How it stands.
    pub(super) fn status(&self) -> ControlStatus {
        self.handle.status().borrow().clone()
    }

    /// Whether operators drain this node, and there is another one that takes clients.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            // What went wrong there was logged there.
            let _ = thread.join();
        }
    }
}

fn settings_of(config: &NodeConfig) -> anyhow::Result<ControlSettings> {
    let Some(control) = &config.cluster.control else { bail!("cluster.control is not set") };
    let endpoints = control.endpoints.iter().map(|endpoint| endpoint.strip_prefix("https://").unwrap_or(endpoint));
    let endpoints = endpoints.map(|address| Ok(address.parse()?)).collect::<anyhow::Result<Vec<Address>>>()?;
    let region = config.cluster.labels()?.region().cloned();
    Ok(ControlSettings { region, ..ControlSettings::new(endpoints, config.node.data.join("control")) })
}

fn token_of(config: &NodeConfig) -> anyhow::Result<JoinToken> {
    let path = config.cluster.control.as_ref().and_then(|control| control.token.as_ref());
    let Some(path) = path else {
        bail!(
            "this node has not joined its cluster: get a token from control (POST /api/v1/node-tokens), write it to a \
             file and name the file with cluster.control.token"
        )
    };
    let text = fs::read_to_string(path).with_context(|| format!("the join token in {}", path.display()))?;
    Ok(text.parse()?)
}

/// Counts the lives of the node on its disk.
fn next_life(folder: &Path) -> anyhow::Result<Incarnation> {
    let path = folder.join("lives");
    let before = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u64>().with_context(|| format!("{} is damaged", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    durable::replace(&path, format!("{}\n", before + 1).as_bytes()).with_context(|| path.display().to_string())?;
    Ok(Incarnation(before + 1))
}

fn registration_of(config: &NodeConfig, gateway: &Gateway, workers: u16) -> anyhow::Result<Registration> {
    let peer = match &config.cluster.peers.advertise {
        Some(address) => address.parse()?,
        None => Address::from(gateway.local_addr()),
    };
    let references = &config.cluster.reference;
    let clients = references.iter().map(|address| Ok(address.parse()?)).collect::<anyhow::Result<_>>()?;
    Ok(Registration {
        labels: named(config.cluster.labels()?, &config.name()),
        weight: Weight::new(config.cluster.weight)?,
        process: Process {
            peer_addresses: vec![peer],
            client_addresses: clients,
            build: env!("CARGO_PKG_VERSION").parse()?,
            peer_protocol: ProtocolRange::new(Versions::THIS.min, Versions::THIS.max)?,
            workers,
        },
    })
}

/// With the label `name`, unless the operator has given one or the name is longer or stranger than a label may be.
fn named(labels: Labels, name: &str) -> Labels {
    let own = Label::parse(NAME).ok().zip(Label::parse(name).ok()).filter(|_| labels.value(NAME).is_none());
    let pairs = labels.iter().map(|(key, value)| (key.clone(), value.clone())).chain(own);
    Labels::new(pairs).unwrap_or(labels)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What control pushes goes to the gate and to the links.
struct Feed {
    node: NodeId,
    teller: Teller,
    links: LinksHandle,
    /// Whether clients are sent from this node to others.
    drained: Arc<AtomicBool>,
}

impl TableConsumer for Feed {
    fn judge(&self, proposed: &Proposed<'_>) -> Result<(), String> {
        match proposed {
            Proposed::Nodes(nodes) if !nodes.contains_key(&self.node) => Err("this node is not among the nodes".into()),
            Proposed::Nodes(_) | Proposed::Placement(_) | Proposed::Routes(..) | Proposed::Policy(_) => Ok(()),
        }
    }

    fn nodes(&mut self, _: Version, nodes: Arc<BTreeMap<NodeId, ClusterMember>>) {
        let there = || nodes.iter().filter(|(_, member)| member.node.phase != NodePhase::Gone);
        let address = |member: &ClusterMember| member.process.peer_addresses.first().map(Address::to_string);
        let addresses = there().filter_map(|(node, member)| Some((*node, address(member)?))).collect();
        self.drained.store(is_drained(&nodes, self.node), Ordering::Relaxed);
        let nodes: BTreeMap<NodeId, Node> = there().map(|(id, member)| (*id, member.node.clone())).collect();
        let doors = there().map(|(node, member)| (*node, member.process.client_addresses.clone())).collect();
        let gateways = there().filter(|(_, member)| member.gateway).map(|(id, _)| *id).collect();
        self.teller.tell(move |gate, now| {
            gate.set_gateways(gateways);
            gate.set_client_addresses(doors);
            gate.set_nodes(now, &nodes);
        });
        self.links.allow(addresses);
    }

    fn placement(&mut self, placement: Arc<Placement>) {
        self.teller.tell(move |gate, now| gate.set_placement(now, placement));
    }

    fn routes(&mut self, table: Arc<BaseTable>) {
        self.teller.tell(move |gate, now| {
            if let Err(error) = gate.install(now, table) {
                // The one in use, and what peers say themselves, are enough.
                tracing::warn!(%error, "a routing table of control is not used");
            }
        });
    }

    fn policy(&mut self, _: Version, policies: Arc<Policies>) {
        self.teller.tell(move |gate, _| gate.set_policies(Policies::clone(&policies)));
    }
}

/// Whether operators drain a node, and there is another one that takes clients.
fn is_drained(nodes: &BTreeMap<NodeId, ClusterMember>, me: NodeId) -> bool {
    nodes.get(&me).is_some_and(|member| member.node.phase == NodePhase::Draining)
        && nodes.values().any(|member| member.node.id != me && member.node.takes_work())
}

/// Frames about this node's interest, on their way from the gate to control.
#[derive(Default)]
struct Uplink {
    frames: Mutex<VecDeque<InterestFrame>>,
    control: OnceLock<ControlHandle>,
}

impl Uplink {
    /// Takes a frame, or gives it back when too many wait.
    fn push(&self, frame: InterestFrame) -> bool {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.push_back(frame);
        let has_room = frames.len() < FRAMES_AHEAD;
        drop(frames);
        if let Some(control) = self.control.get() {
            control.wake();
        }
        has_room
    }

    fn pop(&self) -> Option<InterestFrame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn clear(&self) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What the node reports.
struct Reports {
    registration: Registration,
    uplink: Arc<Uplink>,
    teller: Teller,
    links: LinksHandle,
    load: LoadMeter,
    flow: LinkMeter,
    node: NodeId,
    due: VecDeque<Report>,
    next: Instant,
}

impl ReportProvider for Reports {
    fn registration(&mut self) -> Registration {
        self.registration.clone()
    }

    fn connected(&mut self, is_connected: bool) {
        self.uplink.clear();
        self.next = Instant::now();
        self.teller.tell(move |gate, _| gate.set_control(is_connected));
    }

    fn poll_report(&mut self, now: Instant) -> Option<Report> {
        if let Some(frame) = self.uplink.pop() {
            // There is room for more.
            self.teller.tell(|_, _| {});
            return Some(Report::Interest(frame));
        }
        if now >= self.next {
            self.next = now + REPORT_INTERVAL;
            self.load.ask();
            let peers = self.flow.measure(&self.links.stats(), now);
            self.due.push_back(Report::Peers(peers));
            self.due.extend(self.replicas().map(Report::Replicas));
        }
        self.due.extend(self.load.poll(now).map(Report::Load));
        self.due.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.load.is_waiting().then(|| Instant::now() + LOOK_INTERVAL);
        answers.into_iter().chain([self.next]).min()
    }

    fn interest(&mut self, frame: InterestFrame, _: Instant) {
        self.teller.tell(move |gate, now| gate.handle_control(now, &frame));
    }
}

impl Reports {
    /// The shards this node votes in: with one voter each, it has all of them.
    fn replicas(&self) -> Option<NodeReport> {
        let (answer, asked) = std::sync::mpsc::channel();
        self.teller.tell(move |gate: &mut Gate, _: Now| {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(gate.placement().cloned());
        });
        let placement = asked.recv_timeout(ANSWER_MAX).ok()??;
        let voting = placement.shards().iter().filter(|(_, replicas)| replicas.voters().contains(&self.node));
        let status = |epoch| ShardStatus { epoch, is_caught_up: true, is_empty: false };
        let shards = voting.map(|(key, replicas)| (*key, status(replicas.epoch()))).collect();
        Some(NodeReport { applied: placement.version(), shards })
    }
}

/// Frames about interest that wait for control: some dozens of kilobytes.
const FRAMES_AHEAD: usize = 16;
/// How often load, links and replicas are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether the workers have said what they count.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The label that a node has its name in.
const NAME: &str = "name";
/// The gate's thread answers at once, unless it is gone.
const ANSWER_MAX: Duration = Duration::from_millis(500);
