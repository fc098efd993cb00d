//! Time, and what takes it: queues between workers, disks, links that break at any byte, and clients' connections.
//!
//! Everything that happens is an event with a time. Events of one queue keep their order; between queues, chance decides.
//! A seed decides chance, so that the same seed gives the same run (I30).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fastrand::Rng;
use sluice_cluster::{ClusterId, NodeId, interest::Incarnation};
use sluice_dataplane_core::{
    ClosedBy, GateSettings, Input, Settings,
    link::{Lane, LinkError, LinkLimits, Versions},
};
use sluice_topic::Limits;

use crate::{
    client::{Client, Then},
    control::{Control, ControlEvent, registration},
    ledger::{Ledger, MessageId},
    node::{Effect, Node, SocketId},
    streams::{Agent, StreamEvent},
    trace::Trace,
};

/// A node that is out of reach for so long is given up by the others.
pub(crate) const LOST_AFTER_MS: u64 = 10_000;
/// SUBACK waits no longer.
pub(crate) const BARRIER_MS: u64 = 5_000;

/// What happens.
pub(crate) enum Event {
    /// A worker gets an input.
    Mail { node: usize, life: u64, to: usize, input: Input },
    /// A gate gets frames of a worker.
    ToGate { node: usize, life: u64, from: usize, frames: Vec<u8> },
    /// A batch is on stable storage.
    Synced { node: usize, life: u64, worker: usize, batch: u64 },
    /// Bytes arrive over a link.
    Wire { from: usize, to: usize, connection: u64, lane: Lane, bytes: Vec<u8> },
    /// A node learns that it has a connection.
    Connected { node: usize, life: u64, peer: usize, connection: u64 },
    /// A node learns that a connection is gone.
    Gone { node: usize, life: u64, peer: usize, connection: u64 },
    /// Two nodes try to connect.
    Dial { a: usize, b: usize },
    /// A partition ends.
    Heal { a: usize, b: usize },
    /// A node is killed.
    Kill { node: usize, back_after_ms: u64 },
    /// A dead node starts again.
    Restart { node: usize },
    /// A client's bytes arrive at a node.
    ToNode { socket: SocketId, bytes: Vec<u8> },
    /// A client's connection, and what it has sent, arrives at the node it belongs to.
    Proxied { socket: SocketId, bytes: Vec<u8> },
    /// A node learns that a client has closed its connection.
    HungUp { socket: SocketId },
    /// A node's bytes arrive at a client.
    ToClient { socket: SocketId, bytes: Vec<u8> },
    /// A client learns that its connection is gone.
    Closed { socket: SocketId },
    /// A client does what it has put off.
    Client { client: usize, socket: SocketId, then: Then },
    /// A filter was acknowledged a moment ago: somebody publishes what it matches.
    Probe { full: &'static str },
    /// Something happens at control.
    Control(Box<ControlEvent>),
    /// Something happens to a stream between a node and control.
    Stream(Box<StreamEvent>),
}

/// The connection between two nodes.
#[derive(Default)]
pub(crate) struct Line {
    connection: Option<u64>,
    /// Cut for good until it heals.
    pub(crate) blocked: bool,
    dialing: bool,
    /// When both gates have said that it is up: from, and to if it is down again.
    pub(crate) up: Vec<(u64, Option<u64>)>,
    /// Which of the gates say so.
    sides: BTreeSet<usize>,
}

/// A client's connection.
pub(crate) struct Socket {
    pub(crate) client: usize,
    pub(crate) entry: usize,
    /// The node that serves it.
    pub(crate) serving: usize,
    entry_life: u64,
    serving_life: u64,
    /// The connection between nodes that it goes over.
    over: u64,
    /// On its way to the node that serves it, with what comes behind.
    moving: Option<Vec<u8>>,
    /// Open as the nodes see it.
    pub(crate) open: bool,
    /// Whether the client knows that it is over, and since when.
    pub(crate) closed_ms: Option<u64>,
}

/// A queue: what it is, and between whom.
type Queue = (u8, usize, usize, usize);

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    #[expect(dead_code, reason = "it is said when something is wrong")]
    nodes: usize,
    pub(crate) regions: usize,
    pub(crate) workers: u16,
}

/// All of it.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now_ms: u64,
    pub(crate) shape: Shape,
    pub(crate) nodes: Vec<Node>,
    pub(crate) control: Control,
    /// Each node's end of the push.
    pub(crate) agents: Vec<Agent>,
    /// Whether nodes refuse pushes for no reason.
    pub(crate) refuses_pushes: bool,
    /// From when the cluster is up until everything heals.
    pub(crate) unrest: bool,
    pub(crate) lines: BTreeMap<(usize, usize), Line>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    /// Until when disks of a node are slow.
    pub(crate) slow_until_ms: Vec<u64>,
    /// When nodes were killed, and when a node has given another one up.
    pub(crate) kills: Vec<(u64, usize)>,
    pub(crate) losses: Vec<(u64, usize, usize)>,
    /// What registers held when everything was well.
    pub(crate) registers: BTreeMap<&'static str, MessageId>,
    /// Nodes that a node counts as lost.
    pub(crate) lost: BTreeSet<(usize, usize)>,
    settings: Arc<Settings>,
    events: BTreeMap<(u64, u64), Event>,
    last_event: u64,
    queues: BTreeMap<Queue, u64>,
    connections: u64,
    /// Connections that are broken: how many bytes of each direction and lane still arrive.
    broken: BTreeMap<(u64, usize, usize), usize>,
    /// What nodes have received of links and not consumed, and over which connection.
    received: BTreeMap<(usize, usize, usize), (u64, Vec<u8>)>,
    /// The connection that each node has to each other one, as it knows.
    known: BTreeMap<(usize, usize), u64>,
}

impl World {
    /// A world in which all nodes are linked, or about to be.
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let nodes = rng.usize(2..=5);
        let shape = Shape { nodes, regions: if nodes > 2 { rng.usize(1..=2) } else { 1 }, workers: rng.u16(1..=3) };
        let settings = Settings {
            has_gate: true,
            takeovers_per_minute_max: 0,
            wills_per_minute_max: 0,
            control_rate_max: u32::MAX,
            sys_interval_s: 0,
            hybrid_retained_size_threshold: 64,
            ..Settings::default()
        };
        let ids: Vec<NodeId> = (1..=nodes as u64).map(NodeId).collect();
        let replicas = rng.usize(1..=3);
        let region = |id: NodeId| if (id.0 as usize) <= nodes.div_ceil(shape.regions) { "eu" } else { "us" };
        let mut world = Self {
            rng,
            now_ms: 1_000,
            shape,
            nodes: Vec::new(),
            control: Control::new(replicas, ids.iter().map(|&id| (id, registration(id, region(id), shape.workers)))),
            agents: ids.iter().map(|&id| Agent::new(id)).collect(),
            refuses_pushes: false,
            unrest: false,
            lines: BTreeMap::new(),
            sockets: Vec::new(),
            clients: Vec::new(),
            ledger: Ledger::default(),
            trace: Trace::new(verbose),
            slow_until_ms: vec![0; nodes],
            kills: Vec::new(),
            losses: Vec::new(),
            registers: BTreeMap::new(),
            lost: BTreeSet::new(),
            settings: Arc::new(settings),
            events: BTreeMap::new(),
            last_event: 0,
            queues: BTreeMap::new(),
            connections: 0,
            broken: BTreeMap::new(),
            received: BTreeMap::new(),
            known: BTreeMap::new(),
        };
        for &id in &ids {
            let gate = world.gate_settings(id, region(id), 1);
            world.nodes.push(Node::new(gate, region(id), Arc::clone(&world.settings), world.now_ms));
        }
        for a in 0..nodes {
            world.look_for_control(a);
            for b in a + 1..nodes {
                world.lines.insert((a, b), Line::default());
                world.dial_later(a, b);
            }
        }
        world.start_control();
        world
    }

    fn gate_settings(&mut self, id: NodeId, region: &str, life: u64) -> GateSettings {
        GateSettings {
            node: id,
            region: region.into(),
            incarnation: Incarnation(life),
            workers: self.shape.workers,
            shards: self.settings.shards,
            topic_limits: Limits::default(),
            cluster: ClusterId(7),
            link_limits: LinkLimits::default(),
            interest_limits: sluice_cluster::interest::InterestLimits::default(),
            barrier_ms: BARRIER_MS,
            lost_after_ms: LOST_AFTER_MS,
            versions: Versions::THIS,
            seed: self.rng.u64(..),
        }
    }

    // Time.

    /// Something happens after a while.
    pub(crate) fn later(&mut self, after_ms: u64, event: Event) {
        self.last_event += 1;
        self.events.insert((self.now_ms + after_ms, self.last_event), event);
    }

    /// As [`Self::later`], behind what stands in the same queue.
    pub(crate) fn enqueue(&mut self, queue: Queue, after_ms: u64, event: Event) {
        let last = self.queues.entry(queue).or_default();
        *last = (*last).max(self.now_ms + after_ms);
        let due = *last;
        self.last_event += 1;
        self.events.insert((due, self.last_event), event);
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.ledger.violation.is_none() {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let next = event.into_iter().chain(self.due_ms()).min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now_ms = self.now_ms.max(next);
            match self.events.first_entry().filter(|first| first.key().0 <= self.now_ms) {
                Some(first) => {
                    let event = first.remove();
                    self.happen(event);
                }
                None => self.tick(),
            }
        }
        self.now_ms = self.now_ms.max(end);
    }

    fn due_ms(&self) -> Option<u64> {
        let nodes = self.nodes.iter().zip(&self.agents).filter(|(node, _)| node.alive);
        let nodes = nodes.flat_map(|(node, agent)| [node.due_ms(), agent.due_ms()]).flatten();
        nodes.chain(self.control.due_ms()).min()
    }

    fn tick(&mut self) {
        let mut any = false;
        for at in 0..self.nodes.len() {
            if self.nodes[at].due_ms().is_some_and(|due| due <= self.now_ms) {
                self.nodes[at].tick(self.now_ms);
                self.settle(at);
                any |= self.nodes[at].due_ms().is_some_and(|due| due <= self.now_ms);
            }
        }
        self.tick_control();
        any |= self.due_ms().is_some_and(|due| due <= self.now_ms);
        // What is still due now gets its turn when a moment has passed.
        self.now_ms += u64::from(any);
    }

    fn happen(&mut self, event: Event) {
        let lives = |world: &Self, node: usize, life: u64| world.nodes[node].alive && world.nodes[node].life == life;
        match event {
            Event::Mail { node, life, to, input } if lives(self, node, life) => {
                self.nodes[node].mail(self.now_ms, to, input);
                self.settle(node);
            }
            Event::ToGate { node, life, from, frames } if lives(self, node, life) => {
                self.nodes[node].give_gate(self.now_ms, from, &frames);
                self.settle(node);
            }
            Event::Synced { node, life, worker, batch } if lives(self, node, life) => {
                self.nodes[node].synced(self.now_ms, worker, batch);
                self.settle(node);
            }
            Event::Connected { node, life, peer, connection } if lives(self, node, life) => {
                self.on_connected(node, peer, connection);
            }
            Event::Gone { node, life, peer, connection } if lives(self, node, life) => {
                self.on_gone(node, peer, connection);
            }
            Event::Mail { .. }
            | Event::ToGate { .. }
            | Event::Synced { .. }
            | Event::Connected { .. }
            | Event::Gone { .. } => {}
            Event::Wire { from, to, connection, lane, bytes } => self.on_wire(from, to, connection, lane, bytes),
            Event::Dial { a, b } => self.on_dial(a, b),
            Event::Heal { a, b } => self.heal(a, b),
            Event::Kill { node, back_after_ms } if self.nodes[node].alive && self.unrest => {
                self.kill(node, back_after_ms);
            }
            Event::Kill { .. } => {}
            Event::Restart { node } => self.restart(node),
            Event::ToNode { socket, bytes } => self.on_client_bytes(socket, bytes),
            Event::Proxied { socket, bytes } => self.on_proxied(socket, &bytes),
            Event::HungUp { socket } => self.on_hung_up(socket),
            Event::ToClient { socket, bytes } => self.on_node_bytes(socket, &bytes),
            Event::Closed { socket } => self.on_closed(socket),
            Event::Client { client, socket, then } => self.client_then(client, socket, then),
            Event::Probe { full } => self.probe(full),
            Event::Control(event) => self.on_control(*event),
            Event::Stream(event) => self.on_stream(*event),
        }
    }

    /// Lets a node do what it has to do, and takes on what takes time.
    pub(crate) fn settle(&mut self, at: usize) {
        self.nodes[at].settle(self.now_ms);
        for effect in std::mem::take(&mut self.nodes[at].effects) {
            self.take_on(at, effect);
        }
        self.transmit(at);
        self.settle_agent(at);
        self.check_bounds(at);
    }

    /// I29: what waits for another node is within its bound.
    fn check_bounds(&mut self, at: usize) {
        let gate = &self.nodes[at].gate;
        let most = self.nodes.iter().map(|other| gate.queued_bytes(other.id)).max().unwrap_or_default();
        let bound = LinkLimits::default().window_bytes_max;
        if most > bound {
            self.ledger.fail("I29", || format!("{most} bytes of node {at} wait for another one, more than {bound}"));
        }
    }

    fn take_on(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        // A worker may be busy for longer than a message takes to another node and back.
        let soon = match self.rng.u8(..64) {
            0 => self.rng.u64(..60),
            1..8 => self.rng.u64(..6),
            _ => self.rng.u64(..2),
        };
        match effect {
            Effect::Mail { from, to, input } => {
                self.enqueue((0, node, from, to), soon, Event::Mail { node, life, to, input });
            }
            Effect::ToGate { from, frames } => {
                self.enqueue((1, node, from, 0), soon, Event::ToGate { node, life, from, frames });
            }
            Effect::Written { worker, batch } => {
                let is_slow = self.slow_until_ms[node] > self.now_ms;
                let after_ms = if is_slow { self.rng.u64(50..900) } else { self.rng.u64(..12) };
                self.enqueue((2, node, worker, 0), after_ms, Event::Synced { node, life, worker, batch });
            }
            Effect::Bytes { socket, bytes } => {
                let after_ms = self.leg_ms(socket);
                self.enqueue((3, socket, 0, 0), after_ms, Event::ToClient { socket, bytes });
            }
            Effect::Closed { socket } => {
                let after_ms = self.leg_ms(socket);
                self.sockets[socket].open = false;
                self.enqueue((3, socket, 0, 0), after_ms, Event::Closed { socket });
            }
            Effect::Proxy { socket, node: to, bytes } => self.proxy(node, socket, to, bytes),
            Effect::Reach { node: peer, up } => self.on_reach(node, peer.0 as usize - 1, up),
            Effect::Lost { node: peer } => {
                let peer = peer.0 as usize - 1;
                self.trace.note(self.now_ms, 1, [node, peer], || format!("node {node} counts node {peer} as lost"));
                self.losses.push((self.now_ms, node, peer));
                self.lost.insert((node, peer));
            }
            Effect::Close { node: peer, connection, error } => {
                self.on_close(node, peer.0 as usize - 1, connection, &error);
            }
        }
    }

    // Links.

    fn on_close(&mut self, node: usize, peer: usize, connection: u64, error: &LinkError) {
        if !matches!(error, LinkError::Silent | LinkError::Restoring) {
            self.ledger.fail("link", || format!("node {node} closes its connection to node {peer}: {error}"));
        }
        if self.lines[&pair(node, peer)].connection == Some(connection) {
            self.cut(node, peer);
        }
    }

    fn on_reach(&mut self, node: usize, peer: usize, up: bool) {
        self.trace.note(self.now_ms, 2, [node, peer], || format!("node {node} to node {peer}: up = {up}"));
        if up {
            self.lost.remove(&(node, peer));
        }
        let now_ms = self.now_ms;
        let Some(line) = self.lines.get_mut(&pair(node, peer)) else { return };
        let was_up = line.sides.len() == 2;
        if up {
            line.sides.insert(node);
        } else {
            line.sides.remove(&node);
        }
        match (was_up, line.sides.len() == 2) {
            (false, true) => line.up.push((now_ms, None)),
            (true, false) => line.up.last_mut().into_iter().for_each(|(_, end)| *end = Some(now_ms)),
            (true, true) | (false, false) => {}
        }
    }

    /// What a node has to send leaves.
    fn transmit(&mut self, from: usize) {
        if !self.nodes[from].alive {
            return;
        }
        while let Some(id) = self.nodes[from].gate.next_dirty() {
            let to = id.0 as usize - 1;
            let Some(&connection) = self.known.get(&(from, to)) else { continue };
            for lane in Lane::ALL {
                let max = if self.rng.u8(..4) == 0 { self.rng.usize(1..400) } else { 64 * 1024 };
                while let Some(bytes) = self.nodes[from].transmit(self.now_ms, id, lane, max) {
                    let after_ms = self.distance_ms(from, to);
                    let event = Event::Wire { from, to, connection, lane, bytes };
                    self.enqueue((4, from, to, connection as usize * 3 + lane.index()), after_ms, event);
                }
            }
        }
    }

    fn distance_ms(&mut self, a: usize, b: usize) -> u64 {
        let far = if self.nodes[a].region == self.nodes[b].region { 1 } else { 40 };
        let jitter = if self.rng.u8(..10) == 0 { self.rng.u64(..30) } else { self.rng.u64(..3) };
        far + jitter
    }

    fn on_wire(&mut self, from: usize, to: usize, connection: u64, lane: Lane, mut bytes: Vec<u8>) {
        if let Some(left) = self.broken.get_mut(&(connection, from, lane.index())) {
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        if !self.nodes[to].alive || self.known.get(&(to, from)) != Some(&connection) || bytes.is_empty() {
            // The node does not know of the connection yet: then it reads when it does.
            let early = self.nodes[to].alive && !bytes.is_empty() && self.is_coming(from, to, connection);
            if early {
                self.hold(from, to, connection, lane, &bytes);
            }
            return;
        }
        self.hold(from, to, connection, lane, &bytes);
        self.read_link(from, to, connection);
    }

    fn is_coming(&self, from: usize, to: usize, connection: u64) -> bool {
        self.known.get(&(to, from)).is_none_or(|known| *known < connection)
    }

    fn hold(&mut self, from: usize, to: usize, connection: u64, lane: Lane, bytes: &[u8]) {
        let held = self.received.entry((to, from, lane.index())).or_insert((connection, Vec::new()));
        if held.0 > connection {
            return;
        }
        if held.0 < connection {
            *held = (connection, Vec::new());
        }
        held.1.extend_from_slice(bytes);
    }

    /// A node reads all lanes of a link.
    fn read_link(&mut self, from: usize, to: usize, connection: u64) {
        let id = self.nodes[from].id;
        for lane in Lane::ALL {
            let Some((of, held)) = self.received.get_mut(&(to, from, lane.index())) else { continue };
            if *of != connection || held.is_empty() {
                continue;
            }
            let now = self.nodes[to].now(self.now_ms);
            match self.nodes[to].gate.receive(now, id, connection, lane, held) {
                Ok(consumed) => drop(held.drain(..consumed)),
                Err(LinkError::Replaced) => {
                    self.settle(to);
                    return self.cut(from, to);
                }
                Err(error) => {
                    self.settle(to);
                    self.ledger.fail("link", || format!("node {to} does not take what node {from} says: {error}"));
                    return;
                }
            }
        }
        self.settle(to);
    }

    fn dial_later(&mut self, a: usize, b: usize) {
        let after_ms = self.rng.u64(1..400);
        let line = self.lines.entry(pair(a, b)).or_default();
        if !line.dialing {
            line.dialing = true;
            self.later(after_ms, Event::Dial { a, b });
        }
    }

    fn on_dial(&mut self, a: usize, b: usize) {
        let both = self.nodes[a].alive && self.nodes[b].alive;
        let Some(line) = self.lines.get_mut(&pair(a, b)) else { return };
        line.dialing = false;
        if !both || line.blocked || line.connection.is_some() {
            return;
        }
        if !self.agents[a].knows_nodes() || !self.agents[b].knows_nodes() {
            // Nobody lets in who is not in its table.
            return self.dial_later(a, b);
        }
        let Some(line) = self.lines.get_mut(&pair(a, b)) else { return };
        self.connections += 1;
        let connection = self.connections;
        line.connection = Some(connection);
        self.trace.note(self.now_ms, 3, [a, b], || format!("connection {connection} between nodes {a} and {b}"));
        for (node, peer) in [(a, b), (b, a)] {
            let (after_ms, life) = (self.distance_ms(a, b), self.nodes[node].life);
            self.enqueue(
                (5, node, peer, connection as usize),
                after_ms,
                Event::Connected { node, life, peer, connection },
            );
        }
    }

    fn on_connected(&mut self, node: usize, peer: usize, connection: u64) {
        if self.known.get(&(node, peer)).is_some_and(|known| *known > connection) {
            return;
        }
        self.known.insert((node, peer), connection);
        let id = self.nodes[peer].id;
        let now = self.nodes[node].now(self.now_ms);
        self.nodes[node].gate.connected(now, id, connection);
        self.settle(node);
        self.read_link(peer, node, connection);
    }

    fn on_gone(&mut self, node: usize, peer: usize, connection: u64) {
        if self.known.get(&(node, peer)) == Some(&connection) {
            self.known.remove(&(node, peer));
        }
        let id = self.nodes[peer].id;
        let now = self.nodes[node].now(self.now_ms);
        self.nodes[node].gate.disconnected(now, id, connection);
        self.drop_proxied(node, peer, connection);
        self.settle(node);
    }

    /// Connections of clients that go over a link end with it.
    fn drop_proxied(&mut self, node: usize, peer: usize, connection: u64) {
        for socket in 0..self.sockets.len() {
            let Socket { entry, serving, over, open, closed_ms, .. } = self.sockets[socket];
            if over != connection {
                continue;
            }
            if (entry, serving) == (node, peer) && closed_ms.is_none() {
                let after_ms = self.rng.u64(1..10);
                self.enqueue((3, socket, 0, 0), after_ms, Event::Closed { socket });
            } else if (serving, entry) == (node, peer) && open {
                self.sockets[socket].open = false;
                self.nodes[node].hang_up(self.now_ms, socket, ClosedBy::Transport);
            }
        }
    }

    /// Breaks the connection of two nodes: some of the bytes on their way arrive.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.break_line(a, b, 300);
        self.dial_later(a, b);
    }

    /// Lets nothing through between two nodes for a while.
    pub(crate) fn partition(&mut self, a: usize, b: usize, ms: u64) {
        self.trace.note(self.now_ms, 4, [a, b], || format!("nodes {a} and {b} are apart for {ms} ms"));
        self.break_line(a, b, 2_000);
        self.lines.entry(pair(a, b)).or_default().blocked = true;
        self.later(ms, Event::Heal { a, b });
    }

    /// Two nodes can reach each other.
    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        self.lines.entry(pair(a, b)).or_default().blocked = false;
        self.dial_later(a, b);
    }

    fn break_line(&mut self, a: usize, b: usize, noticed_ms: u64) {
        let Some(connection) = self.lines.get_mut(&pair(a, b)).and_then(|line| line.connection.take()) else { return };
        self.trace.note(self.now_ms, 5, [a, b], || format!("connection {connection} of nodes {a} and {b} breaks"));
        for (node, peer) in [(a, b), (b, a)] {
            for lane in 0..Lane::ALL.len() {
                let left = if self.rng.bool() { self.rng.usize(..400) } else { 0 };
                self.broken.insert((connection, node, lane), left);
            }
            let (after_ms, life) = (self.rng.u64(..noticed_ms), self.nodes[node].life);
            self.enqueue((5, node, peer, connection as usize), after_ms, Event::Gone { node, life, peer, connection });
        }
    }

    // Nodes.

    /// Kills a node; it starts again after a while.
    pub(crate) fn kill(&mut self, node: usize, back_after_ms: u64) {
        self.trace.note(self.now_ms, 6, [node, 0], || format!("node {node} dies for {back_after_ms} ms"));
        self.kills.push((self.now_ms, node));
        self.ledger.killed_ms = self.now_ms;
        let rng = &mut self.rng;
        self.nodes[node].kill(|waiting| rng.usize(..=waiting));
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.break_line(node, peer, 1_500);
            self.known.remove(&(node, peer));
            self.received.retain(|(to, _, _), _| *to != node);
            self.on_reach(node, peer, false);
            self.lost.remove(&(node, peer));
        }
        for socket in 0..self.sockets.len() {
            let Socket { entry, serving, closed_ms, .. } = self.sockets[socket];
            self.sockets[socket].open &= serving != node;
            if entry == node && closed_ms.is_none() {
                let after_ms = self.rng.u64(1..200);
                self.enqueue((3, socket, 0, 0), after_ms, Event::Closed { socket });
            }
        }
        self.end_stream_of(node);
        self.later(back_after_ms, Event::Restart { node });
    }

    /// Starts a dead node.
    pub(crate) fn restart(&mut self, node: usize) {
        if self.nodes[node].alive {
            return;
        }
        let (id, region, life) = (self.nodes[node].id, self.nodes[node].region, self.nodes[node].life + 1);
        self.trace.note(self.now_ms, 7, [node, 0], || format!("node {node} starts its life {life}"));
        let gate = self.gate_settings(id, region, life);
        self.nodes[node].restart(&gate, self.now_ms);
        self.restore_agent(node);
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.dial_later(node.min(peer), node.max(peer));
        }
    }

    // Clients' connections.

    fn leg_ms(&mut self, socket: SocketId) -> u64 {
        let Socket { entry, serving, .. } = self.sockets[socket];
        let leg = self.rng.u64(1..6);
        if entry == serving { leg } else { leg + self.distance_ms(entry, serving) }
    }

    /// A client connects to a node.
    pub(crate) fn open_socket(&mut self, client: usize, node: usize) -> SocketId {
        let life = self.nodes[node].life;
        let socket = self.sockets.len();
        self.sockets.push(Socket {
            client,
            entry: node,
            serving: node,
            entry_life: life,
            serving_life: life,
            over: 0,
            moving: None,
            open: true,
            closed_ms: None,
        });
        self.nodes[node].open(self.now_ms, socket, None);
        self.settle(node);
        socket
    }

    /// A client sends bytes.
    pub(crate) fn send(&mut self, socket: SocketId, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let after_ms = self.leg_ms(socket);
            self.enqueue((6, socket, 0, 0), after_ms, Event::ToNode { socket, bytes });
        }
    }

    /// A client closes its connection.
    pub(crate) fn hang_up(&mut self, socket: SocketId) {
        let now_ms = self.now_ms;
        self.sockets[socket].closed_ms.get_or_insert(now_ms);
        let after_ms = self.leg_ms(socket);
        self.enqueue((6, socket, 0, 0), after_ms, Event::HungUp { socket });
    }

    /// The node that has a connection open.
    pub(crate) fn serves(&self, socket: SocketId) -> Option<usize> {
        let Socket { serving, serving_life, open, .. } = self.sockets[socket];
        let node = &self.nodes[serving];
        (open && node.alive && node.life == serving_life).then_some(serving)
    }

    fn on_client_bytes(&mut self, socket: SocketId, bytes: Vec<u8>) {
        if let Some(moving) = &mut self.sockets[socket].moving {
            moving.extend_from_slice(&bytes);
        } else if let Some(node) = self.serves(socket) {
            self.nodes[node].receive(self.now_ms, socket, &bytes);
            self.settle(node);
        }
    }

    /// The entry node gives a connection to the node that it belongs to.
    fn proxy(&mut self, entry: usize, socket: SocketId, to: NodeId, bytes: Vec<u8>) {
        let to = to.0 as usize - 1;
        let current = self.lines[&pair(entry, to)].connection;
        let Some(over) = self.known.get(&(entry, to)).copied().filter(|known| Some(*known) == current) else {
            self.sockets[socket].open = false;
            self.enqueue((3, socket, 0, 0), 5, Event::Closed { socket });
            return;
        };
        let after_ms = self.distance_ms(entry, to);
        let life = self.nodes[to].life;
        let place = &mut self.sockets[socket];
        (place.serving, place.serving_life, place.over, place.moving) = (to, life, over, Some(Vec::new()));
        self.enqueue((6, socket, 0, 0), after_ms, Event::Proxied { socket, bytes });
    }

    fn on_proxied(&mut self, socket: SocketId, bytes: &[u8]) {
        let moving = self.sockets[socket].moving.take().unwrap_or_default();
        let Socket { entry, over, .. } = self.sockets[socket];
        let node = self.serves(socket).filter(|node| self.known.get(&(*node, entry)) == Some(&over));
        let Some(node) = node else {
            self.sockets[socket].open = false;
            self.enqueue((3, socket, 0, 0), 5, Event::Closed { socket });
            return;
        };
        let via = self.nodes[entry].id;
        self.nodes[node].open(self.now_ms, socket, Some(via));
        self.nodes[node].receive(self.now_ms, socket, bytes);
        self.nodes[node].receive(self.now_ms, socket, &moving);
        self.settle(node);
    }

    fn on_hung_up(&mut self, socket: SocketId) {
        if let Some(node) = self.serves(socket) {
            self.sockets[socket].open = false;
            self.nodes[node].hang_up(self.now_ms, socket, ClosedBy::Client);
            self.settle(node);
        }
    }

    fn on_node_bytes(&mut self, socket: SocketId, bytes: &[u8]) {
        let Socket { client, entry, entry_life, closed_ms, .. } = self.sockets[socket];
        let entry_lives = self.nodes[entry].alive && self.nodes[entry].life == entry_life;
        if entry_lives && closed_ms.is_none() && self.clients[client].socket == Some(socket) {
            self.client_receives(client, socket, bytes);
        }
    }

    fn on_closed(&mut self, socket: SocketId) {
        let (client, now_ms) = (self.sockets[socket].client, self.now_ms);
        if self.sockets[socket].closed_ms.is_none() {
            self.sockets[socket].closed_ms = Some(now_ms);
            if self.clients[client].socket == Some(socket) {
                self.client_is_cut_off(client);
            }
        }
    }
}

/// Two nodes, the lower one first.
pub(crate) fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
