//! Between the workers of a node and the other nodes.
//!
//! Towards the workers the gate is one more worker: it hears what they want, tells them what the others want, takes the
//! messages that leave the node and brings those that come, with the same frames and tickets. Towards the other nodes it is
//! one peer: one interest, one copy of a message, one answer for each. So a worker knows nothing of nodes, and a node
//! nothing of another one's workers (ADR 15).
//!
//! ```text
//!  worker 0 ─┐ frames              ┌─ link ═══ node B
//!  worker 1 ─┼────────► Gate ──────┤
//!  worker 2 ─┘ (peers.rs)          └─ link ═══ node C      (gate/frame.rs, docs/protocol/peer.md)
//! ```
//!
//! It decides and never acts: the driver moves bytes between links and QUIC, and frames between gate and workers.

mod arrive;
mod barrier;
mod copying;
mod forward;
mod frame;
mod gateways;
mod guide;
mod interest_frame;
mod links;
mod local;
mod pending;
mod queries;
mod remote;
mod residency;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use sluice_cluster::{
    ClientAddress, ClusterId, Label, Node, NodeId, Placement, Policies, Sharding, WorkerId,
    interest::{Incarnation, Interest, InterestFrame, InterestLimits, InterestSource, Position},
    routing::{BaseTable, InstallError, Reach, Region, RoutingTable},
};
use sluice_topic::{Limits, ParsedFilter, TopicFilter};

use self::{
    barrier::Barrier,
    copying::Copying,
    gateways::Gateways,
    guide::Guide,
    local::Local,
    pending::{GroupSend, PendingId, Pendings},
    queries::Queries,
    remote::Remote,
    residency::Residency,
    seen::Seen,
};
use crate::{
    Now,
    homes::Homes,
    link::{Link, LinkError, LinkLimits, Outcome, Sequence, Versions},
    peers::Frame,
    routes::Routes,
};

/// What a gate is made of.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// The node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// This life of it: higher than all before.
    pub incarnation: Incarnation,
    /// Its workers, at most 63.
    pub workers: u16,
    /// Its shards, as the workers know them.
    pub shards: u16,
    /// What topics and filters may be.
    pub topic_limits: Limits,
    /// The cluster, so that nodes of two clusters never exchange messages.
    pub cluster: ClusterId,
    /// Bounds of links.
    pub link_limits: LinkLimits,
    /// Bounds of interest.
    pub interest_limits: InterestLimits,
    /// How long SUBACK waits for peers, in milliseconds.
    pub barrier_ms: u64,
    /// How long a link may be down before its node counts as lost, in milliseconds.
    pub lost_after_ms: u64,
    /// The versions of the peer protocol that it speaks.
    pub versions: Versions,
    /// Keys the hashes of what clients choose: secret, and different in each process.
    pub seed: u64,
}

/// A node's gate to the others.
pub struct Gate {
    settings: GateSettings,
    sharding: Sharding,
    source: InterestSource,
    remote: Remote,
    local: Local,
    nodes: BTreeMap<NodeId, Peer>,
    placement: Option<Arc<Placement>>,
    has_control: bool,
    homes: Arc<Homes>,
    /// Other nodes that have retained messages.
    topic_homes: BTreeSet<NodeId>,
    /// The nodes of the cluster as they were told, this one among them.
    members: BTreeMap<NodeId, Node>,
    policies: Policies,
    residency: Residency,
    guide: Guide,
    /// Messages for groups of which nobody took them, and a node may have members that was not heard yet.
    parked: Vec<(PendingId, Box<GroupSend>)>,
    pendings: Pendings,
    barrier: Barrier,
    queries: Queries,
    gateways: Gateways,
    seen: Seen,
    /// Frames for each worker.
    outgoing: Vec<Vec<u8>>,
    outputs: VecDeque<GateOutput>,
    /// Counts the links that were begun, to whichever node: each has a higher generation than those before.
    links_begun: u32,
    /// Workers that have not told what their restored sessions want, a bit each. Before they have, this node would have
    /// others believe that nobody wants anything, and tell them that what they send is for nobody.
    restoring: u64,
    /// Nodes for which something may be ready.
    dirty: Vec<NodeId>,
    /// Whether interest may have to be sent, or was acknowledged.
    interest_moved: bool,
    /// Takes turns between nodes and between workers.
    turn: u64,
    /// A frame under construction.
    scratch: Vec<u8>,
    stats: GateStats,
}

/// What a gate knows of another node.
struct Peer {
    region: Region,
    link: Link,
    standing: Standing,
    copying: Copying,
    /// Whether it is among the nodes that something may be ready for.
    dirty: bool,
    /// The numbered frames that have no outcome, from `sent_from` on.
    sent: VecDeque<SentFrame>,
    sent_from: Sequence,
}

/// Who waits for the outcome of a numbered frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SentFrame {
    /// Somebody; whether the node may store the message.
    Awaited { pending: PendingId, durable: bool },
    /// Nobody.
    Unawaited,
    /// Nobody any more; one before it has none yet.
    Answered,
}

/// ```text
///        connected               disconnected              after a while
///  Down ───────────► Up ◄──────────────────────► Down ─────────────────► Lost
///                    ▲                                                     │
///                    └───────────────────── connected ─────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// There is a link.
    Up,
    /// There is none, and what is for the node waits.
    Down {
        /// Since when, in monotonic ms.
        since_ms: u64,
    },
    /// There has been none for so long that nothing waits for it any more.
    Lost,
}

/// What the driver is asked to do.
#[derive(Debug)]
pub enum GateOutput {
    /// Give these frames to a worker, in order.
    ToWorker {
        /// The worker.
        worker: WorkerId,
        /// The frames.
        frames: Vec<u8>,
    },
    /// Give this to every worker.
    Homes(Arc<Homes>),
    /// Give this to every worker, before frames that come after it.
    Routes(Arc<Routes>),
    /// A node has come within reach, or is out of it (info).
    Reach {
        /// The node.
        node: NodeId,
        /// Whether there is a link.
        up: bool,
    },
    /// Close the connection to a node: it says what cannot be, or nothing.
    Close {
        /// The node.
        node: NodeId,
        /// The connection.
        connection: u64,
        /// Why.
        error: LinkError,
    },
    /// A node counts as lost (warn).
    Lost {
        /// The node.
        node: NodeId,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateStats {
    /// Copies of messages that were given to links.
    pub forwarded: u64,
    /// Messages that came over links.
    pub arrived: u64,
    /// Messages that came and that nobody here wanted: the price of tables that may say too much.
    pub unwanted: u64,
    /// QoS 0 copies that no link took.
    pub dropped: u64,
    /// Copies at QoS 1 and 2 that were refused, so that their publishers know.
    pub refused: u64,
    /// Subscriptions that were acknowledged before every peer had answered.
    pub barriers_missed: u64,
    /// Copies that other nodes were asked to pass on within their region.
    pub relayed: u64,
    /// Times that a node was so slow to take changes of retained messages that it has to ask for what it has missed.
    pub copies_lost: u64,
}

impl Gate {
    /// A gate to nobody.
    ///
    /// # Panics
    /// With more than 63 workers.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        assert!((1..64).contains(&settings.workers), "a node in a cluster has 1 to 63 workers");
        let table =
            RoutingTable::new(settings.node, settings.region.clone(), settings.incarnation, &settings.interest_limits);
        let mut gate = Self {
            sharding: Sharding::new(settings.shards, settings.workers),
            source: InterestSource::new(settings.incarnation, settings.interest_limits),
            remote: Remote::new(table, settings.workers, settings.seed),
            local: Local::new(settings.seed),
            nodes: BTreeMap::new(),
            placement: None,
            has_control: false,
            homes: Arc::default(),
            topic_homes: BTreeSet::new(),
            members: BTreeMap::new(),
            policies: Policies::default(),
            residency: Residency::default(),
            guide: Guide::default(),
            pendings: Pendings::default(),
            parked: Vec::new(),
            barrier: Barrier::default(),
            queries: Queries::default(),
            gateways: Gateways::default(),
            seen: Seen::new(settings.seed),
            outgoing: (0..settings.workers).map(|_| Vec::new()).collect(),
            outputs: VecDeque::new(),
            links_begun: 0,
            dirty: Vec::new(),
            interest_moved: true,
            turn: 0,
            scratch: Vec::new(),
            stats: GateStats::default(),
            restoring: (1 << settings.workers) - 1,
            settings,
        };
        gate.tell_all(&Frame::Hello { ticket: OPENING_TICKET });
        gate
    }

    /// The id that the gate has among the workers: one above the last.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        WorkerId(self.settings.workers)
    }

    /// Takes the nodes of the cluster, all of them; this node may stand among them.
    pub fn set_nodes(&mut self, now: Now, nodes: &BTreeMap<NodeId, Node>) {
        let gone: Vec<NodeId> = self.nodes.keys().filter(|node| !nodes.contains_key(node)).copied().collect();
        for node in gone {
            self.remove_node(now, node);
        }
        let me = self.settings.node;
        for (&id, node) in nodes.iter().filter(|(id, _)| **id != me) {
            let region = region_of(node);
            if self.nodes.get(&id).is_some_and(|known| known.region != region) {
                // What it wants is to be found under its region.
                self.remove_node(now, id);
            }
            if !self.nodes.contains_key(&id) {
                self.add_node(now, id, region);
            }
        }
        self.members.clone_from(nodes);
        self.guide.find(me, &self.policies, &self.members);
        if self.residency.bind(&self.policies, &self.members) {
            self.copy_anew();
        }
        self.interest_moved = true;
        self.tell_homes();
        self.settle(now);
    }

    /// Takes who is to take in what other regions send to its own region; a region may have none.
    pub fn set_gateways(&mut self, gateways: BTreeSet<NodeId>) {
        self.gateways.choose(gateways);
    }

    /// Takes where clients find each node.
    pub fn set_client_addresses(&mut self, addresses: BTreeMap<NodeId, Vec<ClientAddress>>) {
        self.guide.addresses = addresses;
        if self.guide.find(self.settings.node, &self.policies, &self.members) {
            self.tell_homes();
        }
    }

    /// Takes the placement of shards.
    pub fn set_placement(&mut self, now: Now, placement: Arc<Placement>) {
        self.placement = Some(placement);
        self.tell_homes();
        self.topic_homes = self.homes.of_topics();
        // What has its home at another node than before is claimed there.
        let up: Vec<NodeId> = self.up().collect();
        for node in up {
            self.tell_all(&Frame::RenewClaims { node });
        }
        self.settle(now);
    }

    /// Takes a base routing table, which control has built for this node's region.
    ///
    /// # Errors
    /// It is not newer than the one held, or it lacks what more than one earlier one has. Nothing has changed then.
    pub fn install(&mut self, now: Now, base: Arc<BaseTable>) -> Result<(), InstallError> {
        self.remote.install(base, Duration::from_millis(now.mono_ms))?;
        self.interest_moved = true;
        let tables = self.remote.table().bases().cloned().collect();
        // Before what it replaces is taken back.
        self.outputs.push_back(GateOutput::Routes(Arc::new(Routes::new(self.settings.node, tables))));
        self.settle(now);
        Ok(())
    }

    /// Takes what operators want of keyspaces, as far as nodes enforce it.
    pub fn set_policies(&mut self, policies: Policies) {
        self.policies = policies;
        if self.guide.find(self.settings.node, &self.policies, &self.members) {
            self.tell_homes();
        }
        if self.residency.bind(&self.policies, &self.members) {
            self.copy_anew();
        }
    }

    /// Takes frames of a worker, in the order it sent them.
    ///
    /// # Panics
    /// On bytes that are no frame: they come from this process.
    pub fn from_worker(&mut self, now: Now, from: WorkerId, frames: &[u8]) {
        let mut rest = frames;
        while !rest.is_empty() {
            let Some((frame, after)) = Frame::decode(rest) else {
                panic!("worker {from} sent bytes that are no frame")
            };
            rest = after;
            self.on_worker_frame(now, from, frame);
        }
        self.settle(now);
    }

    /// Does what is due. Call when [`Self::poll_timeout`] has come.
    pub fn tick(&mut self, now: Now) {
        self.interest_moved = true;
        self.tick_links(now);
        self.barrier.expire(now.mono_ms);
        self.remote.believe(now.mono_ms);
        self.settle(now);
    }

    /// When [`Self::tick`] is due next, in monotonic milliseconds. Changes after any other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let ms = |at: Duration| at.as_millis() as u64;
        let lost = self.nodes.values().filter_map(|peer| match peer.standing {
            Standing::Down { since_ms } => Some(since_ms + self.settings.lost_after_ms),
            Standing::Up | Standing::Lost => None,
        });
        let links = self.nodes.values().filter_map(|peer| peer.link.poll_timeout()).map(ms);
        let interest = [self.source.poll_timeout(), self.remote.table().poll_timeout()].into_iter().flatten().map(ms);
        lost.chain(links).chain(interest).chain(self.barrier.due_ms()).chain(self.remote.due_ms()).min()
    }

    /// The next thing to do. Poll until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<GateOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let at = self.outgoing.iter().position(|frames| !frames.is_empty())?;
        let frames = std::mem::take(&mut self.outgoing[at]);
        Some(GateOutput::ToWorker { worker: WorkerId(at as u16), frames })
    }

    /// What this node wants, for control.
    pub fn interest(&self) -> impl Iterator<Item = (&Arc<ParsedFilter>, Interest)> {
        self.source.iter()
    }

    /// Control has a stream to this node, or has none any more: then it asks again.
    pub fn set_control(&mut self, is_connected: bool) {
        self.has_control = is_connected;
        if !is_connected {
            self.source.forget(CONTROL);
        }
    }

    /// Takes a question or an acknowledgement of control about what this node wants.
    pub fn handle_control(&mut self, now: Now, frame: &InterestFrame) {
        if self.has_control {
            self.source.handle(CONTROL, frame, Duration::from_millis(now.mono_ms));
        }
    }

    /// The next frame for control, when there is room for one.
    pub fn poll_control(&mut self, now: Now) -> Option<InterestFrame> {
        if !self.has_control || self.restoring != 0 {
            return None;
        }
        self.source.poll_transmit(CONTROL, Duration::from_millis(now.mono_ms))
    }

    /// The placement in use.
    #[must_use]
    pub fn placement(&self) -> Option<&Arc<Placement>> {
        self.placement.as_ref()
    }

    /// How far it has counted the changes of that.
    #[must_use]
    pub fn position(&self) -> Position {
        self.source.position()
    }

    /// Words of other nodes that no base table has.
    #[must_use]
    pub fn overlay_len(&self) -> usize {
        self.remote.table().overlay_len()
    }

    /// The next node for which something may be ready since it was named last. Poll until `None` after every other call.
    pub fn next_dirty(&mut self) -> Option<NodeId> {
        let node = self.dirty.pop()?;
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.dirty = false;
        }
        Some(node)
    }

    /// Bytes that wait for a node, or for its answer.
    #[must_use]
    pub fn queued_bytes(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |peer| peer.link.load().window_bytes)
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> &GateStats {
        &self.stats
    }

    /// Messages whose answers are awaited.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.pendings.len()
    }

    fn on_worker_frame(&mut self, now: Now, from: WorkerId, frame: Frame<'_>) {
        match frame {
            Frame::Publish { ticket, again, message } => self.forward(now, from, ticket, again, message),
            Frame::Retain { ticket, message } => self.forward_retained(now, from, ticket, message),
            Frame::Shared { ticket, bounced: false, group, filter, message } => {
                self.forward_shared(now, from, ticket, (group, filter), message);
            }
            Frame::Shared { ticket, bounced: true, .. } => self.on_nobody_here(now, from, ticket),
            Frame::Interest { ticket, interest, filter } => self.on_interest(now, from, ticket, interest, filter),
            Frame::Members { ticket, count, group, filter } => {
                self.on_members(now, from, ticket, count, (group, filter));
            }
            // All that is known has been told, and what is not known is taken to be wanted.
            Frame::Hello { ticket } => self.done(from, ticket, pending::TAKEN),
            // It comes behind all that the worker has told.
            Frame::Done { ticket: OPENING_TICKET, .. } => self.restoring &= !(1 << from.0),
            Frame::Done { ticket, matched, refused } => {
                self.on_worker_done(now, from, ticket, Outcome { matched, refused });
            }
            Frame::Query { query, filter, after } => self.on_query(now, from, query, filter, after),
            Frame::Page { query, after, messages } => self.on_local_page(now, query, after, messages),
            Frame::Claim { ticket, node, renew, serial, client, user } => {
                let claim = frame::PeerFrame::Claim { renew, serial, client, user };
                self.send_claim(now, from, ticket, node, &claim);
            }
            Frame::Unclaim { node, serial, client } => {
                self.send_claim(now, from, 0, node, &frame::PeerFrame::Unclaim { serial, client });
            }
            Frame::Evict { node, serial, client } => {
                self.send_claim(now, from, 0, node, &frame::PeerFrame::Evict { serial, client });
            }
            // Sessions are counted by node; times are of one process.
            Frame::Sessions { .. } | Frame::Timed { .. } => {}
            Frame::Copying { node, frame } => self.on_copying(now, from, node, frame),
            Frame::Everything { .. }
            | Frame::RenewClaims { .. }
            | Frame::Forget { .. }
            | Frame::Copies { .. }
            | Frame::Linked { .. } => {
                panic!("worker {from} sent a frame that only a gate sends")
            }
        }
    }

    fn on_interest(
        &mut self,
        now: Now,
        from: WorkerId,
        ticket: u64,
        interest: crate::subscriptions::Interest,
        filter: &str,
    ) {
        let Ok(filter) = TopicFilter::parse(filter, &self.settings.topic_limits) else {
            panic!("worker {from} wants {filter:?}, which is no filter")
        };
        let wanted = self.local.set(&filter, from, interest);
        self.announce(now, from, ticket, &ParsedFilter { group: None, filter }, wanted);
    }

    fn on_members(
        &mut self,
        now: Now,
        from: WorkerId,
        ticket: u64,
        count: crate::subscriptions::MemberCount,
        (group, filter): (&str, &str),
    ) {
        let Ok(filter) = TopicFilter::parse(filter, &self.settings.topic_limits) else {
            panic!("worker {from} has a group on {filter:?}, which is no filter")
        };
        let filter = ParsedFilter { group: Some(group.into()), filter };
        let wanted = self.local.set_members(&filter, from, count);
        self.announce(now, from, ticket, &filter, wanted);
    }

    fn announce(&mut self, now: Now, from: WorkerId, ticket: u64, filter: &ParsedFilter, wanted: Option<Interest>) {
        // What a broker says of itself stays with it.
        let is_own = is_of_node(filter.filter.as_str());
        self.interest_moved = true;
        let change = if is_own { Default::default() } else { self.source.set(filter, wanted) };
        if ticket != 0 {
            self.barrier.hold(change, from, ticket, now.mono_ms + self.settings.barrier_ms);
        }
    }

    /// After anything: interest moves on if it has to, and what waited for it.
    fn settle(&mut self, now: Now) {
        if !self.parked.is_empty() {
            self.resume_parked(now);
        }
        let at = Duration::from_millis(now.mono_ms);
        let outgoing = &mut self.outgoing;
        self.remote.tell_workers(|frame| outgoing.iter_mut().for_each(|frames| frame.encode(frames)));
        if std::mem::take(&mut self.interest_moved) {
            self.pump_interest(at);
            self.release_barrier();
        }
    }

    /// Tells the workers where things have their home.
    fn tell_homes(&mut self) {
        let reachable: BTreeSet<NodeId> = self.up().collect();
        let homes = Homes::new(self.settings.node, self.placement.clone(), reachable);
        self.homes = Arc::new(homes.with_steering(self.guide.steering()));
        self.outputs.push_back(GateOutput::Homes(Arc::clone(&self.homes)));
    }

    fn tell_all(&mut self, frame: &Frame<'_>) {
        self.outgoing.iter_mut().for_each(|frames| frame.encode(frames));
    }

    fn tell(&mut self, worker: WorkerId, frame: &Frame<'_>) {
        frame.encode(&mut self.outgoing[worker.index()]);
    }

    /// Answers a worker's ticket.
    fn done(&mut self, worker: WorkerId, ticket: u64, outcome: Outcome) {
        if ticket != 0 {
            let Outcome { matched, refused } = outcome;
            self.tell(worker, &Frame::Done { ticket, matched, refused });
        }
    }

    /// The nodes that there are links to.
    fn up(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, peer)| peer.standing == Standing::Up).map(|(node, _)| *node)
    }

    fn add_node(&mut self, now: Now, node: NodeId, region: Region) {
        let link = Link::new(self.next_identity(), node, self.settings.link_limits);
        let peer = Peer {
            region: region.clone(),
            link,
            standing: Standing::Down { since_ms: now.mono_ms },
            copying: Copying::default(),
            dirty: false,
            sent: VecDeque::new(),
            sent_from: Sequence(1),
        };
        self.nodes.insert(node, peer);
        self.remote.table_mut().join(node, &region, Reach::Direct);
    }

    fn remove_node(&mut self, now: Now, node: NodeId) {
        self.give_up(now, node);
        self.nodes.remove(&node);
        self.remote.table_mut().leave(node);
        self.remote.found(node);
        self.source.forget(node);
        self.queries.forget(node);
        self.tell_all(&Frame::Forget { node });
    }
}

/// Under which workers answer when they have told what their restored sessions want. Far from all others.
const OPENING_TICKET: u64 = u64::MAX;

/// Control among those that hear of this node's interest: no node has this id.
const CONTROL: NodeId = NodeId(0);

/// The name of a node's region, as tables have it; empty when it has none.
#[must_use]
pub fn region_of(node: &Node) -> Region {
    node.region().map_or("", Label::as_str).into()
}

/// Whether a filter or topic is about this node only.
fn is_of_node(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
