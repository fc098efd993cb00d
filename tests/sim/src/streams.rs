//! The push between control and nodes: real machines at both ends of a stream that is late, breaks and is opened anew, and
//! what a node keeps of it on its disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sluice_cluster::{
    NodeId, NodeReport, PeerStatus, Placement, Report, ShardStatus, Version,
    interest::InterestFrame,
    routing::Region,
    wire::{WireError, resources},
};
use sluice_controlplane_core::reconciler::{NodeEvent, Versions};
use sluice_discovery::{
    Body, ClientOutput, ClientStream, Down, HeldSet, Limits, Name, Nonce, PerType, Proposal, ResourceType, Saved,
    ServerStream, Session, Timing, Up, Validate,
};

use crate::{
    control::{millis, registration},
    world::{Event, World},
};

/// Between two reports of a node.
const REPORT_EVERY_MS: u64 = 1_000;
/// A node saves its tables so much later.
const SAVE_AFTER_MS: u64 = 400;

/// What a node says on its stream.
pub(crate) enum Said {
    Frame(Up),
    Report(Report),
}

/// What control says on a stream.
pub(crate) enum Told {
    Frame(Down),
    Interest(InterestFrame),
}

/// What happens to streams.
pub(crate) enum StreamEvent {
    /// A node looks for control.
    Dial { node: usize, life: u64 },
    /// Something comes to control.
    Up { stream: usize, said: Said },
    /// Something comes to a node.
    Down { stream: usize, told: Told },
    /// Control learns that a stream is over.
    GoneAtControl { stream: usize },
    /// A node learns that a stream is over.
    GoneAtNode { stream: usize },
    /// A node's tables go to its disk.
    Save { node: usize, life: u64 },
}

/// A stream between a node and a replica of control.
pub(crate) struct Stream {
    node: usize,
    node_life: u64,
    replica: usize,
    replica_life: u64,
    region: Region,
    pub(crate) server: ServerStream,
    pub(crate) open_at_control: bool,
    open_at_node: bool,
    has_greeted: bool,
}

/// A node's end of the push, and what it has on its disk of it.
pub(crate) struct Agent {
    pub(crate) client: ClientStream,
    stream: Option<usize>,
    dialing: bool,
    is_saving: bool,
    /// On its disk.
    saved: Option<Saved>,
    /// The highest version of each type that it has ever held.
    held: PerType<Version>,
    report_at_ms: u64,
}

impl Agent {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            client: ClientStream::new(node, Limits::default(), Timing::default()),
            stream: None,
            dialing: false,
            is_saving: false,
            saved: None,
            held: PerType::default(),
            report_at_ms: 0,
        }
    }

    /// Whether it has been told who the nodes are.
    pub(crate) fn knows_nodes(&self) -> bool {
        self.client.held(ResourceType::Nodes).version() > Version::ZERO
    }

    /// When it has something to do next.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let report = self.stream.map(|_| self.report_at_ms);
        self.client.poll_timeout().map(millis).into_iter().chain(report).min()
    }
}

/// Judges as a node does, and refuses without a reason where chance says so.
struct Judge {
    node: NodeId,
    refuses: bool,
}

impl Validate for Judge {
    fn validate(&self, proposal: &Proposal<'_>) -> Result<(), String> {
        if self.refuses {
            return Err("it cannot live with it".into());
        }
        let gone: BTreeSet<&Name> = proposal.removals().collect();
        let mut all: BTreeMap<&Name, &Body> = proposal.held(proposal.kind()).iter().collect();
        all.retain(|name, _| !gone.contains(name));
        all.extend(proposal.upserts());
        let readable = |error: WireError| error.to_string();
        match proposal.kind() {
            ResourceType::Nodes => {
                let nodes = resources::read_nodes(named(&all)).map_err(readable)?;
                if nodes.contains_key(&self.node) { Ok(()) } else { Err("it is not among the nodes".into()) }
            }
            ResourceType::Placement => {
                resources::read_placement(proposal.version(), named(&all)).map(drop).map_err(readable)
            }
            ResourceType::Routes => resources::read_routes(proposal.version(), named(&all)).map(drop).map_err(readable),
            ResourceType::Policy => resources::read_policies(named(&all)).map(drop).map_err(readable),
        }
    }
}

impl World {
    /// Something happens to a stream.
    pub(crate) fn on_stream(&mut self, event: StreamEvent) {
        let alive = |world: &Self, node: usize, life: u64| world.nodes[node].alive && world.nodes[node].life == life;
        match event {
            StreamEvent::Dial { node, life } if alive(self, node, life) => self.on_dial_control(node),
            StreamEvent::Save { node, life } if alive(self, node, life) => {
                self.agents[node].is_saving = false;
                self.agents[node].saved = Some(self.agents[node].client.export());
            }
            StreamEvent::Dial { .. } | StreamEvent::Save { .. } => {}
            StreamEvent::Up { stream, said } => self.on_said(stream, said),
            StreamEvent::Down { stream, told } => self.on_told(stream, told),
            StreamEvent::GoneAtControl { stream } => self.close_at_control(stream),
            StreamEvent::GoneAtNode { stream } => self.close_at_node(stream),
        }
    }

    fn stream_later(&mut self, lane: u8, stream: usize, event: StreamEvent) {
        let after_ms = if self.rng.u8(..10) == 0 { self.rng.u64(..120) } else { self.rng.u64(1..10) };
        self.enqueue((lane, stream, 0, 0), after_ms, Event::Stream(Box::new(event)));
    }

    /// A node looks for control, soon.
    pub(crate) fn look_for_control(&mut self, node: usize) {
        if self.agents[node].dialing || self.agents[node].stream.is_some() || !self.nodes[node].alive {
            return;
        }
        self.agents[node].dialing = true;
        let (after_ms, life) = (self.rng.u64(5..600), self.nodes[node].life);
        self.later(after_ms, Event::Stream(Box::new(StreamEvent::Dial { node, life })));
    }

    fn on_dial_control(&mut self, node: usize) {
        self.agents[node].dialing = false;
        let replica = self.rng.usize(..self.control.replicas.len());
        let leads = self.control.replicas[replica].alive && self.control.replicas[replica].publishers.is_some();
        if !leads || self.agents[node].stream.is_some() {
            return self.look_for_control(node);
        }
        let now = Duration::from_millis(self.now_ms);
        let region: Region = self.nodes[node].region.into();
        let publishers = self.control.replicas[replica].publishers.as_mut();
        let snapshot = publishers.map(|publishers| publishers.snapshot(&region)).unwrap_or_default();
        let stream = self.control.streams.len();
        let first = Nonce((stream as u64) << 32 | 1);
        self.control.streams.push(Stream {
            node,
            node_life: self.nodes[node].life,
            replica,
            replica_life: self.control.replicas[replica].life,
            region,
            server: ServerStream::new(snapshot, Limits::default(), Timing::default(), first, now),
            open_at_control: true,
            open_at_node: true,
            has_greeted: false,
        });
        self.trace
            .note(self.now_ms, 40, [node, replica], || format!("node {node} has stream {stream} to control {replica}"));
        let agent = &mut self.agents[node];
        agent.stream = Some(stream);
        agent.report_at_ms = self.now_ms;
        agent.client.connected(Session(stream as u64), now);
        self.nodes[node].gate.set_control(true);
        self.settle(node);
    }

    /// Lets a node say what it has to say to control, and do what it is told. Call after anything.
    pub(crate) fn settle_agent(&mut self, node: usize) {
        if !self.nodes[node].alive {
            return;
        }
        while let Some(output) = self.agents[node].client.poll_output() {
            self.perform_for_agent(node, output);
        }
        let Some(stream) = self.agents[node].stream else { return };
        let now = Duration::from_millis(self.now_ms);
        while let Some((_, frame)) = self.agents[node].client.poll_transmit(now) {
            self.stream_later(9, stream, StreamEvent::Up { stream, said: Said::Frame(frame) });
        }
        let of_node = self.nodes[node].now(self.now_ms);
        while let Some(frame) = self.nodes[node].gate.poll_control(of_node) {
            let said = Said::Report(Report::Interest(frame));
            self.stream_later(9, stream, StreamEvent::Up { stream, said });
        }
        if self.agents[node].report_at_ms <= self.now_ms {
            self.agents[node].report_at_ms = self.now_ms + REPORT_EVERY_MS;
            for report in self.reports(node) {
                self.stream_later(9, stream, StreamEvent::Up { stream, said: Said::Report(report) });
            }
        }
    }

    /// Whom a node hears, and the shards it has.
    fn reports(&self, node: usize) -> Vec<Report> {
        let id = self.nodes[node].id;
        let others = self.nodes.iter().filter(|other| other.id != id);
        let heard = |other: &crate::node::Node| {
            let up = self.nodes[node].gate.is_up(other.id);
            PeerStatus {
                node: other.id,
                silent: up.then_some(Duration::ZERO),
                round_trip: None,
                flow: Default::default(),
            }
        };
        let mut reports = vec![Report::Peers(others.map(heard).collect())];
        if let Some(placement) = self.nodes[node].gate.placement() {
            let voting = placement.shards().iter().filter(|(_, of)| of.voters().contains(&id));
            let status = |epoch| ShardStatus { epoch, is_caught_up: true, is_empty: false };
            let shards = voting.map(|(key, of)| (*key, status(of.epoch()))).collect();
            reports.push(Report::Replicas(NodeReport { applied: placement.version(), shards }));
        }
        reports
    }

    fn perform_for_agent(&mut self, node: usize, output: ClientOutput) {
        match output {
            ClientOutput::Applied(applied) => {
                let before = *self.agents[node].held.of(applied.kind);
                self.trace.note(self.now_ms, 41, [node, applied.kind.index()], || {
                    format!("node {node} takes {:?} {}", applied.kind, applied.version)
                });
                if applied.version < before {
                    let (kind, version) = (applied.kind, applied.version);
                    self.ledger.fail("I26", || format!("node {node} goes from {kind:?} {before} back to {version}"));
                }
                *self.agents[node].held.of_mut(applied.kind) = applied.version;
                self.hand_over(node, applied.kind);
                self.save_later(node);
            }
            ClientOutput::Settled => {
                [ResourceType::Nodes, ResourceType::Placement].into_iter().for_each(|kind| self.hand_over(node, kind));
                self.save_later(node);
            }
            ClientOutput::Refused { kind, version, refusal } => {
                self.trace.note(self.now_ms, 42, [node, kind.index()], || {
                    format!("node {node} refuses {kind:?} {version}: {refusal}")
                });
            }
            ClientOutput::Close(session, _) => self.break_stream(session.0 as usize),
        }
    }

    fn save_later(&mut self, node: usize) {
        if std::mem::replace(&mut self.agents[node].is_saving, true) {
            return;
        }
        let life = self.nodes[node].life;
        self.later(SAVE_AFTER_MS, Event::Stream(Box::new(StreamEvent::Save { node, life })));
    }

    /// Gives a node's gate what is in effect of a type.
    fn hand_over(&mut self, node: usize, kind: ResourceType) {
        let held = self.agents[node].client.held(kind);
        if held.version() == Version::ZERO {
            return;
        }
        let version = held.version();
        let (own, all): (BTreeMap<&Name, &Body>, _) = (held.iter().collect(), in_effect(held));
        let now = self.nodes[node].now(self.now_ms);
        let gate = &mut self.nodes[node].gate;
        let handed = match kind {
            ResourceType::Nodes => resources::read_nodes(named(&all)).map(|members| {
                gate.set_gateways(
                    members.values().filter(|member| member.gateway).map(|member| member.node.id).collect(),
                );
                let nodes = members.into_iter().map(|(id, member)| (id, member.node)).collect();
                gate.set_nodes(now, &nodes);
            }),
            ResourceType::Placement => resources::read_placement(version, named(&all))
                .or_else(|_| resources::read_placement(version, named(&own)))
                .map(|placement| hand_placement(gate, now, placement)),
            ResourceType::Routes => resources::read_routes(version, named(&own)).map(|table| {
                // One that is not used is no worse than none.
                let _ = gate.install(now, Arc::new(table));
            }),
            ResourceType::Policy => resources::read_policies(named(&own)).map(|policies| gate.set_policies(policies)),
        };
        if let Err(error) = handed {
            self.ledger.fail("I26", || format!("node {node} has taken {kind:?} {version} and cannot read it: {error}"));
        }
        self.settle(node);
    }

    /// A node's process has started: it works with what is on its disk (I27).
    pub(crate) fn restore_agent(&mut self, node: usize) {
        let id = self.nodes[node].id;
        let before = Agent { saved: self.agents[node].saved.take(), ..Agent::new(id) };
        self.agents[node] = before;
        if let Some(saved) = self.agents[node].saved.clone() {
            match ClientStream::restore(id, &saved, Limits::default(), Timing::default()) {
                Ok(client) => self.agents[node].client = client,
                Err(error) => self.ledger.fail("I27", || format!("node {node} cannot use what it saved: {error}")),
            }
            if self.agents[node].client.export() != saved {
                self.ledger.fail("I27", || format!("node {node} has other tables than it saved"));
            }
            self.agents[node].held = PerType::from_fn(|kind| saved.types.of(kind).version);
        }
        for kind in ResourceType::ALL {
            self.hand_over(node, kind);
        }
        let has_placement = *self.agents[node].held.of(ResourceType::Placement) > Version::ZERO;
        if has_placement && self.nodes[node].gate.placement().is_none() {
            self.ledger.fail("I27", || format!("node {node} has saved a placement and does not use it"));
        }
        self.look_for_control(node);
    }

    // Control's side.

    fn on_said(&mut self, stream: usize, said: Said) {
        let Stream { node, replica, replica_life, open_at_control, .. } = self.control.streams[stream];
        if !open_at_control || !self.control.lives(replica, replica_life) {
            return;
        }
        let now = Duration::from_millis(self.now_ms);
        let id = self.nodes[node].id;
        match said {
            Said::Frame(frame) => {
                self.control.streams[stream].server.handle(frame, now);
                self.greet(stream);
                self.note_status(stream);
            }
            Said::Report(report) => self.tell_replica(replica, id, NodeEvent::Report(report)),
        }
        self.work(replica);
    }

    /// A node has said who it is: its stream replaces an earlier one.
    fn greet(&mut self, stream: usize) {
        let of = &mut self.control.streams[stream];
        if of.server.node().is_none() || std::mem::replace(&mut of.has_greeted, true) {
            return;
        }
        let (node, replica) = (of.node, of.replica);
        let held = versions(&of.server);
        let id = self.nodes[node].id;
        if let Some(old) = self.control.replicas[replica].streams.insert(id, stream) {
            self.control.streams[old].open_at_control = false;
        }
        self.tell_replica(replica, id, NodeEvent::Opened(held));
        let workers = self.shape.workers;
        let report = Report::Registration(registration(id, self.nodes[node].region, workers));
        self.tell_replica(replica, id, NodeEvent::Report(report));
    }

    fn note_status(&mut self, stream: usize) {
        let of = &self.control.streams[stream];
        let (replica, id) = (of.replica, self.nodes[of.node].id);
        let (held, behind, is_over) = (versions(&of.server), of.server.behind(), of.server.closed());
        let is_latest = self.control.replicas[replica].streams.get(&id) == Some(&stream);
        if let Some(reason) = is_over {
            self.trace.note(self.now_ms, 43, [replica, stream], || format!("control closes stream {stream}: {reason}"));
            return self.break_stream(stream);
        }
        if !is_latest {
            return;
        }
        self.tell_replica(replica, id, NodeEvent::Holds(held));
        let publishers = self.control.replicas[replica].publishers.as_ref();
        let ahead = behind.map(|(_, version)| version);
        let ahead = ahead.filter(|version| publishers.is_some_and(|publishers| publishers.is_foreign(*version)));
        if let Some(version) = ahead {
            self.tell_replica(replica, id, NodeEvent::Ahead(version));
        }
    }

    /// Gives the streams of a replica what is published.
    pub(crate) fn push(&mut self, replica: usize) {
        let now = Duration::from_millis(self.now_ms);
        let open: Vec<usize> = self.control.replicas[replica].streams.values().copied().collect();
        for stream in open {
            let of = &mut self.control.streams[stream];
            if !of.open_at_control {
                continue;
            }
            if let Some(publishers) = self.control.replicas[replica].publishers.as_mut() {
                of.server.publish(publishers.snapshot(&of.region));
            }
            while let Some(frame) = self.control.streams[stream].server.poll_transmit(now) {
                self.stream_later(10, stream, StreamEvent::Down { stream, told: Told::Frame(frame) });
            }
        }
    }

    /// A question or an acknowledgement of a node's interest.
    pub(crate) fn send_interest(&mut self, replica: usize, node: NodeId, frame: InterestFrame) {
        if let Some(&stream) = self.control.replicas[replica].streams.get(&node) {
            self.stream_later(10, stream, StreamEvent::Down { stream, told: Told::Interest(frame) });
        }
    }

    fn on_told(&mut self, stream: usize, told: Told) {
        let Stream { node, node_life, open_at_node, .. } = self.control.streams[stream];
        if !open_at_node || !self.nodes[node].alive || self.nodes[node].life != node_life {
            return;
        }
        let now = Duration::from_millis(self.now_ms);
        match told {
            Told::Frame(frame) => {
                // What is refused is not pushed again: a node that has nothing takes what it is given.
                let client = &self.agents[node].client;
                let has_all = ResourceType::ALL.iter().all(|kind| client.held(*kind).version() > Version::default());
                let refuses = self.refuses_pushes && has_all && self.rng.u8(..12) == 0;
                let judge = Judge { node: self.nodes[node].id, refuses };
                let before = PerType::from_fn(|kind| self.agents[node].client.held(kind).digest());
                self.agents[node].client.handle(Session(stream as u64), frame, &judge, now);
                let after = PerType::from_fn(|kind| self.agents[node].client.held(kind).digest());
                if refuses && before != after {
                    self.ledger.fail("I26", || format!("node {node} has refused a push and holds something else"));
                }
            }
            Told::Interest(frame) => {
                let of_node = self.nodes[node].now(self.now_ms);
                self.nodes[node].gate.handle_control(of_node, &frame);
            }
        }
        self.settle(node);
    }

    /// Breaks a stream: both ends learn so after a while.
    pub(crate) fn break_stream(&mut self, stream: usize) {
        self.stream_later(10, stream, StreamEvent::GoneAtNode { stream });
        self.stream_later(9, stream, StreamEvent::GoneAtControl { stream });
    }

    /// Breaks the stream that a node has.
    pub(crate) fn break_stream_of(&mut self, node: usize) {
        if let Some(stream) = self.agents[node].stream {
            self.trace.note(self.now_ms, 44, [node, stream], || format!("stream {stream} of node {node} breaks"));
            self.break_stream(stream);
        }
    }

    fn close_at_node(&mut self, stream: usize) {
        let Stream { node, node_life, .. } = self.control.streams[stream];
        if !std::mem::take(&mut self.control.streams[stream].open_at_node) {
            return;
        }
        let of_node = &self.nodes[node];
        if !of_node.alive || of_node.life != node_life || self.agents[node].stream != Some(stream) {
            return;
        }
        self.agents[node].stream = None;
        self.agents[node].client.disconnected(Session(stream as u64));
        self.nodes[node].gate.set_control(false);
        self.settle(node);
        self.look_for_control(node);
    }

    fn close_at_control(&mut self, stream: usize) {
        let Stream { node, replica, replica_life, .. } = self.control.streams[stream];
        if !std::mem::take(&mut self.control.streams[stream].open_at_control) {
            return;
        }
        let id = self.nodes[node].id;
        let of = &mut self.control.replicas[replica];
        if of.life == replica_life && of.alive && of.streams.get(&id) == Some(&stream) {
            of.streams.remove(&id);
            self.tell_replica(replica, id, NodeEvent::Closed);
            self.work(replica);
        }
    }

    /// A replica serves nobody any more.
    pub(crate) fn end_streams(&mut self, replica: usize) {
        self.control.replicas[replica].streams.clear();
        let of_replica = |stream: &&usize| {
            let of = &self.control.streams[**stream];
            of.replica == replica && (of.open_at_control || of.open_at_node)
        };
        let all: Vec<usize> = (0..self.control.streams.len()).collect();
        let open: Vec<usize> = all.iter().filter(of_replica).copied().collect();
        for stream in open {
            if std::mem::take(&mut self.control.streams[stream].open_at_control) {
                self.stream_later(10, stream, StreamEvent::GoneAtNode { stream });
            }
        }
    }

    /// A node is dead: control learns so.
    pub(crate) fn end_stream_of(&mut self, node: usize) {
        if let Some(stream) = self.agents[node].stream.take() {
            self.stream_later(9, stream, StreamEvent::GoneAtControl { stream });
        }
    }

    pub(crate) fn tick_streams(&mut self, now: Duration) {
        for stream in 0..self.control.streams.len() {
            let of = &mut self.control.streams[stream];
            if of.open_at_control && of.server.poll_timeout().is_some_and(|due| due <= now) {
                of.server.handle_timeout(now);
                self.note_status(stream);
                self.control.streams[stream].open_at_control &= self.control.streams[stream].server.closed().is_none();
            }
        }
        for node in 0..self.nodes.len() {
            let due = self.nodes[node].alive && self.agents[node].due_ms().is_some_and(|due| due <= millis(now));
            if due {
                self.agents[node].client.handle_timeout(now);
                self.settle(node);
            }
        }
    }

    /// I28: every node holds what the leader publishes, but what it has refused, and control knows all interest.
    pub(crate) fn check_control(&mut self) {
        let Some(leader) = self.control.leader() else {
            return self.ledger.fail("I28", || "no replica of control leads".into());
        };
        let view = self.control.view();
        for node in 0..self.nodes.len() {
            let stream = self.agents[node].stream.map(|stream| &self.control.streams[stream]);
            let Some(stream) = stream.filter(|stream| stream.replica == leader) else {
                self.ledger.fail("I28", || format!("node {node} has no stream to control {leader}"));
                continue;
            };
            let has_refused = stream.server.status().iter().any(|(_, status)| status.refused.is_some());
            if has_refused {
                continue;
            }
            if !stream.server.is_current() {
                self.ledger.fail("I28", || format!("node {node} does not hold what control {leader} publishes"));
            }
            let stored = view.placement().map(|placement| placement.shards().clone());
            let held = self.nodes[node].gate.placement().map(|placement| placement.shards().clone());
            if stored.as_ref().ok() != held.as_ref() {
                self.ledger.fail("I28", || format!("node {node} has another placement than is stored"));
            }
            let overlay = self.nodes[node].gate.overlay_len();
            if overlay > 0 {
                self.ledger.fail("I28", || format!("the base table of node {node} lacks {overlay} words of peers"));
            }
        }
    }
}

fn hand_placement(gate: &mut sluice_dataplane_core::Gate, now: sluice_dataplane_core::Now, placement: Placement) {
    if gate.placement().is_none_or(|held| held.shards() != placement.shards() || held.version() != placement.version())
    {
        gate.set_placement(now, Arc::new(placement));
    }
}

fn versions(server: &ServerStream) -> Versions {
    Versions::from_fn(|kind| server.status().of(kind).version)
}

fn in_effect(held: &HeldSet) -> BTreeMap<&Name, &Body> {
    let mut all: BTreeMap<&Name, &Body> = held.retired().collect();
    all.extend(held.iter());
    all
}

fn named<'a>(all: &'a BTreeMap<&'a Name, &'a Body>) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
    all.iter().map(|(name, body)| (name.as_str(), &***body))
}
