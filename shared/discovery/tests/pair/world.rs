//! One node, its disk, the control leaders that come and go, and the network between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sluice_cluster::{NodeId, SetDigest, Version};
use sluice_discovery::{
    Body, ClientOutput, ClientStream, CloseReason, Down, Limits, Name, Nonce, PerType, Proposal, Publisher, Refusal,
    ResourceType, Response, Saved, ServerStream, Session, Timing, Up, Validate, Warming,
};

pub(crate) type Content = BTreeMap<Name, Body>;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn body(text: &str) -> Body {
    text.as_bytes().into()
}

pub(crate) fn content(rows: &[(&str, &str)]) -> Content {
    rows.iter().map(|(key, value)| (name(key), body(value))).collect()
}

pub(crate) fn digest(content: &Content) -> SetDigest {
    let mut digest = SetDigest::EMPTY;
    content.iter().for_each(|(name, body)| digest.add(name.as_str().as_bytes(), body));
    digest
}

/// The node's core: refuses poison, and placements on nodes that it does not know.
pub(crate) struct Core;

impl Validate for Core {
    fn validate(&self, proposal: &Proposal<'_>) -> Result<(), String> {
        for (name, body) in proposal.upserts() {
            if &**body == b"poison" {
                return Err(format!("{name} is poison"));
            }
            if proposal.kind() == ResourceType::Placement && !knows(proposal.held(ResourceType::Nodes), body) {
                return Err(format!("{name} is placed on a node that is not known"));
            }
        }
        Ok(())
    }
}

pub(crate) fn knows(nodes: &sluice_discovery::HeldSet, body: &Body) -> bool {
    let is_it = |name: &Name| name.as_str().as_bytes() == &**body;
    nodes.iter().any(|(name, _)| is_it(name)) || nodes.retired().any(|(name, _)| is_it(name))
}

/// A connection, with what is on its way.
struct Connection {
    session: Session,
    server: ServerStream,
    up: VecDeque<(Duration, Up)>,
    down: VecDeque<(Duration, Down)>,
    /// The node's driver has been told that it is gone, or will never be.
    dead: bool,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) node: ClientStream,
    pub(crate) disk: Saved,
    pub(crate) publisher: Publisher,
    pub(crate) epoch: u64,
    /// What was published, to hold what is held against it.
    pub(crate) published: BTreeMap<(ResourceType, Version), Content>,
    pub(crate) outputs: Vec<ClientOutput>,
    pub(crate) trace: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) rng: fastrand::Rng,
    /// The longest time that a frame is on its way, in milliseconds.
    pub(crate) delay_ms_max: u64,
    connections: Vec<Connection>,
    sessions: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let limits = Limits { part_bytes_max: 400, type_bytes_max: 64 << 10, removed_bytes_max: 600 };
        Self {
            now: Duration::ZERO,
            node: ClientStream::new(NodeId(1), limits, Timing::default()),
            disk: Saved::default(),
            publisher: Publisher::new(1, Warming::default(), limits),
            epoch: 1,
            published: BTreeMap::new(),
            outputs: Vec::new(),
            trace: Vec::new(),
            limits,
            rng: fastrand::Rng::with_seed(seed),
            delay_ms_max: 40,
            connections: Vec::new(),
            sessions: 0,
        }
    }

    pub(crate) fn publish(&mut self, kind: ResourceType, wanted: &Content) -> Option<Version> {
        let version = self.publisher.publish(kind, wanted).unwrap();
        self.after_publish();
        version
    }

    /// Brings the streams up to date with the publisher, and records what it has published.
    pub(crate) fn after_publish(&mut self) {
        let snapshot = self.publisher.snapshot();
        for kind in ResourceType::ALL {
            let set = snapshot.of(kind);
            let rows = set.iter().map(|(name, body)| (name.clone(), body.clone())).collect();
            self.published.insert((kind, set.version()), rows);
        }
        self.connections.iter_mut().for_each(|connection| connection.server.publish(snapshot.clone()));
    }

    /// Control has another leader. The streams of the old one are cut.
    pub(crate) fn fail_over(&mut self, warming: Warming) {
        self.epoch += 1;
        self.publisher = Publisher::new(self.epoch, warming, self.limits);
        self.cut_all();
        self.after_publish();
    }

    pub(crate) fn connect(&mut self) {
        self.sessions += 1;
        let session = Session(self.sessions);
        let first = Nonce(self.sessions * 1000);
        let server = ServerStream::new(self.publisher.snapshot(), self.limits, Timing::default(), first, self.now);
        let (up, down) = (VecDeque::new(), VecDeque::new());
        self.connections.push(Connection { session, server, up, down, dead: false });
        self.node.connected(session, self.now);
        self.drain();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connections.last().is_some_and(|connection| !connection.dead)
    }

    /// Loses what is on its way on the newest connection, and the connection.
    pub(crate) fn cut(&mut self) {
        if let Some(connection) = self.connections.pop() {
            self.node.disconnected(connection.session);
        }
        self.drain();
    }

    pub(crate) fn cut_all(&mut self) {
        while !self.connections.is_empty() {
            self.cut();
        }
    }

    pub(crate) fn server(&self) -> &ServerStream {
        &self.connections.last().unwrap().server
    }

    pub(crate) fn save(&mut self) {
        self.disk = self.node.export();
    }

    /// The node dies and starts from its disk.
    pub(crate) fn restart(&mut self) {
        self.cut_all();
        self.node = ClientStream::restore(NodeId(1), &self.disk, self.limits, Timing::default()).unwrap();
    }

    /// A frame that nobody honest sent arrives at the node.
    pub(crate) fn inject(&mut self, frame: Down) {
        let session = Session(self.sessions);
        self.node.handle(session, frame, &Core, self.now);
        self.drain();
    }

    /// Frames move, clocks run: one step of the network.
    pub(crate) fn step(&mut self, advance: Duration) {
        self.now += advance;
        self.node.handle_timeout(self.now);
        while let Some((session, frame)) = self.node.poll_transmit(self.now) {
            let at = self.arrival();
            if let Some(connection) = self.connections.iter_mut().find(|connection| connection.session == session) {
                connection.up.push_back((at, frame));
            }
        }
        for at in 0..self.connections.len() {
            self.step_connection(at);
        }
        self.connections.retain(|connection| !connection.dead || !connection.down.is_empty());
        self.drain();
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step(Duration::from_millis(10));
        }
    }

    pub(crate) fn refusals(&self) -> Vec<&Refusal> {
        self.outputs.iter().filter_map(refusal).collect()
    }

    fn arrival(&mut self) -> Duration {
        self.now + Duration::from_millis(self.rng.u64(0..=self.delay_ms_max))
    }

    fn step_connection(&mut self, at: usize) {
        let now = self.now;
        self.connections[at].server.handle_timeout(now);
        while let Some(frame) = self.connections[at].server.poll_transmit(now) {
            let arrival = self.arrival();
            self.connections[at].down.push_back((arrival, frame));
        }
        // Only the head may arrive: a stream keeps its order however long its frames take.
        while let Some((_, frame)) = self.connections[at].up.pop_front_if(|(due, _)| *due <= now) {
            self.trace.push(format!("{now:?} up {:?} {frame:?}", self.connections[at].session));
            self.connections[at].server.handle(frame, now);
        }
        while let Some((_, frame)) = self.connections[at].down.pop_front_if(|(due, _)| *due <= now) {
            let session = self.connections[at].session;
            self.trace.push(format!("{now:?} down {session:?} {frame:?}"));
            self.deliver(session, frame);
        }
        if self.connections[at].server.closed().is_some() {
            self.connections[at].dead = true;
            self.node.disconnected(self.connections[at].session);
        }
    }

    fn deliver(&mut self, session: Session, frame: Down) {
        let before = PerType::from_fn(|kind| state(self.node.held(kind)));
        let already = self.outputs.len();
        self.node.handle(session, frame, &Core, self.now);
        self.drain();
        for output in &self.outputs[already..] {
            if let ClientOutput::Refused { .. } = output {
                let after = PerType::from_fn(|kind| state(self.node.held(kind)));
                assert_eq!(before, after, "I26: a NACK changes nothing");
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.trace.push(format!("{:?} {output:?}", self.now));
            if let ClientOutput::Close(session, _) = output {
                let closed = self.connections.iter_mut().find(|connection| connection.session == session);
                closed.into_iter().for_each(|connection| connection.dead = true);
            }
            self.outputs.push(output);
        }
    }
}

fn refusal(output: &ClientOutput) -> Option<&Refusal> {
    match output {
        ClientOutput::Refused { refusal, .. } => Some(refusal),
        ClientOutput::Applied(_) | ClientOutput::Settled | ClientOutput::Close(..) => None,
    }
}

/// Everything that a NACK must leave alone.
pub(crate) type State = (Version, Content, Content);

pub(crate) fn state(held: &sluice_discovery::HeldSet) -> State {
    let rows = |(name, body): (&Name, &Body)| (name.clone(), body.clone());
    (held.version(), held.iter().map(rows).collect(), held.retired().map(rows).collect())
}

/// All names of a type that are in effect.
pub(crate) fn in_effect(node: &ClientStream, kind: ResourceType) -> BTreeSet<Name> {
    let held = node.held(kind);
    held.iter().map(|(name, _)| name.clone()).chain(held.retired().map(|(name, _)| name.clone())).collect()
}

/// A whole response with an honest digest.
pub(crate) fn full(kind: ResourceType, version: Version, content: &Content) -> Response {
    let upsert =
        |(name, body): (&Name, &Body)| sluice_discovery::Resource { name: name.clone(), version, body: body.clone() };
    Response {
        kind,
        version,
        nonce: Nonce(u64::MAX),
        base: None,
        digest: digest(content),
        part: 0,
        last: true,
        upserts: content.iter().map(upsert).collect(),
        removals: Vec::new(),
    }
}

pub(crate) fn is_protocol_error(output: &ClientOutput) -> bool {
    matches!(output, ClientOutput::Close(_, CloseReason::Protocol(_)))
}
