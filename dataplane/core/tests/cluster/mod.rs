//! A cluster without threads, sockets or disks: real workers and real gates, and links that tests cut and mend.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "each test file uses its part"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sluice_cluster::{
    self as cluster, ClusterId, Keyspaces, Label, Labels, Liveness, NodeId, NodePhase, Placement, Policies, Replicas,
    ShardKey, Version, Weight, interest::Incarnation, routing::RouteBuilder,
};
use sluice_dataplane_core::{
    Gate, GateOutput, GateSettings, Input, Settings,
    link::{Lane, LinkError, LinkLimits, Versions},
};
use sluice_mqtt::{Connect, QoS, ReasonCode, Version as Mqtt, encode};
use sluice_topic::Limits;

use crate::broker::{self, Broker};

/// A client of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Client(usize);

struct Node {
    id: NodeId,
    region: &'static str,
    phase: NodePhase,
    incarnation: u64,
    broker: Broker,
    gate: Gate,
}

/// The nodes, and what connects them.
pub struct Cluster {
    nodes: Vec<Node>,
    /// Where each client is served, and as whom.
    clients: Vec<(usize, broker::Client)>,
    /// Connections between nodes, the lower index first.
    up: BTreeMap<(usize, usize), u64>,
    connections: u64,
    /// For whom something may be ready: from, to.
    ready: BTreeSet<(usize, usize)>,
    /// Bytes on their way: from, to, lane.
    wires: BTreeMap<(usize, usize, usize), Vec<u8>>,
    /// Messages that left each node for each other one, in bytes of their lane.
    pub sent_bytes: BTreeMap<(usize, usize), usize>,
    /// Nodes whose bytes for another one do not leave: from, to.
    stalled: BTreeSet<(usize, usize)>,
    /// Links that were refused because a node did not know yet what it has stored.
    pub refused_links: usize,
    placement: Arc<Placement>,
    settings: Settings,
}

const LANES: [Lane; 3] = [Lane::Control, Lane::Messages, Lane::Bulk];

impl Cluster {
    /// A cluster of one region, all nodes linked.
    pub fn new(nodes: usize, workers: u16) -> Self {
        Self::with(&vec!["eu"; nodes], workers, Settings::default())
    }

    /// A cluster with a node in each of these regions, all linked.
    pub fn with(regions: &[&'static str], workers: u16, settings: Settings) -> Self {
        Self::of(regions, &vec![workers; regions.len()], settings)
    }

    /// As [`Self::with`], each node with its own number of workers.
    pub fn of(regions: &[&'static str], workers: &[u16], settings: Settings) -> Self {
        let settings = Settings { has_gate: true, ..settings };
        let ids: Vec<NodeId> = (1..=regions.len() as u64).map(NodeId).collect();
        let mut cluster = Self {
            nodes: Vec::new(),
            clients: Vec::new(),
            up: BTreeMap::new(),
            connections: 0,
            ready: BTreeSet::new(),
            wires: BTreeMap::new(),
            sent_bytes: BTreeMap::new(),
            stalled: BTreeSet::new(),
            refused_links: 0,
            placement: Arc::new(spread(&ids, Keyspaces::default())),
            settings: settings.clone(),
        };
        for ((&id, &region), &workers) in ids.iter().zip(regions).zip(workers) {
            let broker = Broker::new(workers, settings.clone());
            let gate = Gate::new(gate_settings(id, region, 1, workers, &settings));
            cluster.nodes.push(Node { id, region, phase: NodePhase::Active, incarnation: 1, broker, gate });
        }
        for node in 0..regions.len() {
            cluster.introduce(node);
            cluster.place(node);
        }
        cluster.settle();
        for a in 0..regions.len() {
            (a + 1..regions.len()).for_each(|b| cluster.link(a, b));
        }
        cluster.settle();
        cluster
    }

    /// Tells a node who the others are.
    fn introduce(&mut self, node: usize) {
        let fellows: BTreeMap<NodeId, cluster::Node> = self.nodes.iter().map(|node| (node.id, node_of(node))).collect();
        let Node { gate, broker, .. } = &mut self.nodes[node];
        gate.set_nodes(broker.now, &fellows);
    }

    /// Tells all nodes that clients find node `n` at `n<n>:1883`, over plain TCP.
    pub fn advertise(&mut self) {
        let address = |n: usize| vec![format!("n{n}:1883").parse().unwrap()];
        let addresses: BTreeMap<NodeId, Vec<_>> =
            self.nodes.iter().enumerate().map(|(n, node)| (node.id, address(n))).collect();
        self.nodes.iter_mut().for_each(|node| node.gate.set_client_addresses(addresses.clone()));
        self.settle();
    }

    /// Tells all nodes what operators do with one of them.
    pub fn set_phase(&mut self, node: usize, phase: NodePhase) {
        self.nodes[node].phase = phase;
        (0..self.nodes.len()).for_each(|node| self.introduce(node));
        self.settle();
    }

    /// Tells all nodes who is to take in what other regions send.
    pub fn set_gateways(&mut self, nodes: &[usize]) {
        let gateways: BTreeSet<NodeId> = nodes.iter().map(|&node| self.nodes[node].id).collect();
        self.nodes.iter_mut().for_each(|node| node.gate.set_gateways(gateways.clone()));
    }

    /// A node whose shards these are: a client id whose home it is.
    pub fn client_at_home(&self, node: usize, nth: usize) -> String {
        let mut names = (0..).map(|n| format!("c{n}"));
        let of = |name: &String| *self.placement.of_client(name).1.unwrap().voters().first().unwrap();
        names.by_ref().filter(|name| of(name) == self.nodes[node].id).nth(nth).unwrap()
    }

    /// A topic whose retained message has its home at a node.
    pub fn topic_at_home(&self, node: usize, nth: usize) -> String {
        let mut names = (0..).map(|n| format!("t/{n}"));
        let of = |name: &String| *self.placement.of_topic(name).1.unwrap().voters().first().unwrap();
        names.by_ref().filter(|name| of(name) == self.nodes[node].id).nth(nth).unwrap()
    }

    /// The node that has a topic's retained message.
    pub fn home_of_topic(&self, topic: &str) -> usize {
        let home = *self.placement.of_topic(topic).1.unwrap().voters().first().unwrap();
        self.nodes.iter().position(|node| node.id == home).unwrap()
    }

    /// Builds a base table for a region from what its nodes and the others say they want, and gives it to its nodes.
    pub fn push_routes(&mut self, region: &'static str, counter: u64) {
        let rows: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let rows: Vec<_> = node.gate.interest().map(|(filter, interest)| (filter.clone(), interest)).collect();
                (node.id, node.region, node.gate.position(), rows)
            })
            .collect();
        let mut builder = RouteBuilder::new(region.into());
        for (id, of, upto, rows) in &rows {
            builder.add(*id, &(*of).into(), *upto, rows.iter().map(|(filter, interest)| (filter, *interest)));
        }
        let table = Arc::new(builder.build(Version::new(1, counter)).0);
        for node in self.nodes.iter_mut().filter(|node| node.region == region) {
            node.gate.install(node.broker.now, Arc::clone(&table)).unwrap();
        }
        self.settle();
    }

    /// Gives all nodes these policies, and the placement of their keyspaces.
    pub fn set_policies(&mut self, policies: &Policies) {
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        self.placement = Arc::new(spread(&ids, policies.keyspaces().clone()));
        for node in &mut self.nodes {
            node.gate.set_policies(policies.clone());
            node.gate.set_placement(node.broker.now, Arc::clone(&self.placement));
        }
        self.settle();
    }

    /// Breaks the connection between two nodes. What is on its way is lost.
    pub fn cut(&mut self, a: usize, b: usize) {
        let Some(connection) = self.up.remove(&(a.min(b), a.max(b))) else { return };
        for (from, to) in [(a, b), (b, a)] {
            (0..LANES.len()).for_each(|lane| drop(self.wires.remove(&(from, to, lane))));
            let id = self.nodes[to].id;
            let Node { gate, broker, .. } = &mut self.nodes[from];
            gate.disconnected(broker.now, id, connection);
        }
        self.settle();
    }

    /// Cuts a connection, but delivers the first part of what is on its way from `a` to `b`, and nothing back.
    pub fn cut_in_the_middle(&mut self, a: usize, b: usize) {
        self.transmit(a, b);
        self.deliver(a, b);
        self.cut(a, b);
    }

    /// Connects two nodes.
    pub fn mend(&mut self, a: usize, b: usize) {
        self.link(a, b);
        self.settle();
    }

    /// Connects two nodes, and lets them speak for a few turns only.
    pub fn mend_in_part(&mut self, a: usize, b: usize, turns: usize) {
        self.link(a, b);
        for _ in 0..turns {
            self.settle_nodes();
            for (from, to) in [(a, b), (b, a)] {
                self.transmit(from, to);
                self.deliver(from, to);
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if self.up.contains_key(&(a.min(b), a.max(b))) {
            return;
        }
        self.connections += 1;
        self.up.insert((a.min(b), a.max(b)), self.connections);
        for (at, other) in [(a, b), (b, a)] {
            let id = self.nodes[other].id;
            let Node { gate, broker, .. } = &mut self.nodes[at];
            gate.connected(broker.now, id, self.connections);
        }
    }

    /// Kills a node; its disk is lost before it starts again.
    pub fn crash_without_disk(&mut self, node: usize) {
        self.nodes[node].broker.lose_disk();
        self.crash(node);
    }

    /// Kills a node, which starts again with another number of workers.
    pub fn crash_to_workers(&mut self, node: usize, workers: u16) {
        self.nodes[node].broker.next_workers = Some(workers);
        self.crash(node);
    }

    /// Kills a node, which starts again with a build that speaks these versions of the peer protocol.
    pub fn crash_to_versions(&mut self, node: usize, versions: Versions) {
        self.crash(node);
        let Node { id, region, incarnation, broker, gate, .. } = &mut self.nodes[node];
        *incarnation += 1;
        broker.crash();
        let settings = gate_settings(*id, region, *incarnation, broker.worker_count(), &self.settings);
        *gate = Gate::new(GateSettings { versions, ..settings });
        self.introduce(node);
        self.place(node);
    }

    /// Nothing that a node says to another one leaves any more, or it leaves again.
    pub fn stall(&mut self, from: usize, to: usize, stalled: bool) {
        if stalled {
            self.stalled.insert((from, to));
        } else {
            self.stalled.remove(&(from, to));
            self.settle();
        }
    }

    /// Kills a node and starts it again; links are to be mended by the test.
    pub fn crash(&mut self, node: usize) {
        self.crash_without_placement(node);
        self.place(node);
    }

    /// Tells a node where shards are.
    pub fn place(&mut self, node: usize) {
        let placement = Arc::clone(&self.placement);
        let Node { gate, broker, .. } = &mut self.nodes[node];
        gate.set_placement(broker.now, placement);
        self.settle();
    }

    /// As [`Self::crash`]; the node does not know where shards are.
    pub fn crash_without_placement(&mut self, node: usize) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|&other| other != node).collect();
        for &other in &others {
            self.cut(node, other);
        }
        let settings = self.settings.clone();
        let Node { id, region, incarnation, broker, gate, .. } = &mut self.nodes[node];
        *incarnation += 1;
        broker.crash();
        *gate = Gate::new(gate_settings(*id, region, *incarnation, broker.worker_count(), &settings));
        self.introduce(node);
        // Somebody is quicker than its workers.
        let other = self.nodes[others[0]].id;
        let Node { broker, gate, .. } = &mut self.nodes[node];
        gate.connected(broker.now, other, 0);
        self.settle();
    }

    /// Connects a node to all others.
    pub fn mend_all(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|&other| other != node).collect::<Vec<_>>() {
            self.link(node.min(other), node.max(other));
        }
        self.settle();
    }

    /// Lets time pass everywhere.
    pub fn pass_ms(&mut self, ms: u64) {
        let step_ms = 100.min(ms.max(1));
        for _ in 0..ms.div_ceil(step_ms) {
            for node in &mut self.nodes {
                node.broker.pass_ms(step_ms);
                if node.gate.poll_timeout().is_some_and(|due| due <= node.broker.now.mono_ms) {
                    node.gate.tick(node.broker.now);
                }
            }
            self.settle();
        }
    }

    /// Runs until nothing moves.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for node in 0..self.nodes.len() {
                moved |= self.turn(node);
            }
            for ((a, b), _) in self.up.clone() {
                for (from, to) in [(a, b), (b, a)] {
                    moved |= self.transmit(from, to);
                    moved |= self.deliver(from, to);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Runs every node by itself: nothing crosses a link.
    pub fn settle_nodes(&mut self) {
        while (0..self.nodes.len()).fold(false, |moved, node| moved | self.turn(node)) {}
    }

    fn turn(&mut self, at: usize) -> bool {
        let mut moved = false;
        let node = &mut self.nodes[at];
        node.broker.settle();
        while let Some((worker, frames)) = node.broker.take_for_gate() {
            moved = true;
            node.gate.from_worker(node.broker.now, worker, &frames);
        }
        while let Some(output) = node.gate.poll_output() {
            moved = true;
            match output {
                GateOutput::ToWorker { worker, frames } => node.broker.give_from_gate(worker, frames),
                GateOutput::Homes(homes) => node.broker.tell_all(&Input::Homes(homes)),
                GateOutput::Routes(routes) => node.broker.tell_all(&Input::Routes(routes)),
                GateOutput::Close { error: LinkError::Restoring, .. } => self.refused_links += 1,
                GateOutput::Close { error, .. } => panic!("a link has to be closed: {error}"),
                GateOutput::Reach { .. } | GateOutput::Lost { .. } => {}
            }
        }
        while let Some((client, to, bytes)) = self.nodes[at].broker.take_proxied() {
            moved = true;
            self.proxy(at, client, to, &bytes);
        }
        moved
    }

    fn proxy(&mut self, at: usize, client: broker::Client, to: NodeId, bytes: &[u8]) {
        let target = self.nodes.iter().position(|node| node.id == to).unwrap();
        let via = self.nodes[at].id;
        let version = self.nodes[at].broker.version_of(client);
        let served = self.nodes[target].broker.open_via(version, Some(via));
        if let Some(place) = self.clients.iter_mut().find(|place| **place == (at, client)) {
            *place = (target, served);
        }
        self.nodes[target].broker.send(served, bytes);
    }

    fn transmit(&mut self, from: usize, to: usize) -> bool {
        while let Some(dirty) = self.nodes[from].gate.next_dirty() {
            let to = self.nodes.iter().position(|node| node.id == dirty).unwrap();
            self.ready.insert((from, to));
        }
        if !self.ready.contains(&(from, to)) || self.stalled.contains(&(from, to)) {
            return false;
        }
        let id = self.nodes[to].id;
        let mut any = false;
        for (n, lane) in LANES.into_iter().enumerate() {
            let wire = self.wires.entry((from, to, n)).or_default();
            let Node { gate, broker, .. } = &mut self.nodes[from];
            let before = wire.len();
            any |= gate.transmit(broker.now, id, lane, wire, 64 * 1024);
            if lane == Lane::Messages {
                *self.sent_bytes.entry((from, to)).or_default() += wire.len() - before;
            }
        }
        if !any {
            self.ready.remove(&(from, to));
        }
        any
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(&connection) = self.up.get(&(from.min(to), from.max(to))) else { return false };
        let id = self.nodes[from].id;
        let mut any = false;
        for (n, lane) in LANES.into_iter().enumerate() {
            let Some(wire) = self.wires.get_mut(&(from, to, n)) else { continue };
            let Node { gate, broker, .. } = &mut self.nodes[to];
            let consumed = gate.receive(broker.now, id, connection, lane, wire).unwrap();
            wire.drain(..consumed);
            any |= consumed > 0;
        }
        any
    }

    /// A client that has sent CONNECT to a node.
    pub fn begin_connect(&mut self, node: usize, connect: &Connect<'_>) -> Client {
        let client = self.nodes[node].broker.open(connect.version);
        self.clients.push((node, client));
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, connect);
        self.nodes[node].broker.send(client, &bytes);
        self.settle();
        Client(self.clients.len() - 1)
    }

    /// A connected client, and whether its session was there.
    pub fn connect(&mut self, node: usize, client_id: &str, clean_start: bool) -> (Client, bool) {
        let client = self.begin_connect(node, &broker::connect(Mqtt::V5, client_id, clean_start));
        let (reason, present) = self.take_connack(client).unwrap_or_else(|| panic!("no CONNACK for {client_id}"));
        assert!(!reason.is_error(), "{client_id} is refused: {reason}");
        (client, present)
    }

    /// Publishes; the message comes to a node when the link to it breaks, so that it says nothing.
    pub fn publish_and_cut(&mut self, client: Client, topic: &str, qos: QoS, packet_id: u16, payload: &str, to: usize) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.publish(of_broker, topic, qos, packet_id, payload.as_bytes());
        self.settle_nodes();
        self.cut_in_the_middle(node, to);
    }

    /// Publishes; the message is on its way to a node when the link to it breaks.
    pub fn publish_and_lose(
        &mut self,
        client: Client,
        topic: &str,
        qos: QoS,
        packet_id: u16,
        payload: &str,
        to: usize,
    ) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.publish(of_broker, topic, qos, packet_id, payload.as_bytes());
        self.settle_nodes();
        self.cut(node, to);
    }

    /// Takes CONNACK, if that is the first packet.
    pub fn take_connack(&mut self, client: Client) -> Option<(ReasonCode, bool)> {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.take_connack(of_broker)
    }

    /// Takes CONNACK, if that is the first packet, with its Server Reference.
    pub fn take_reference(&mut self, client: Client) -> Option<(ReasonCode, Option<String>)> {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.take_reference(of_broker)
    }

    /// Takes SUBACK, if that is the first packet.
    pub fn take_suback(&mut self, client: Client) -> bool {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.take_suback(of_broker)
    }

    /// The node that serves a client.
    pub fn served_at(&self, client: Client) -> usize {
        self.clients[client.0].0
    }

    /// Subscribes and expects SUBACK.
    pub fn subscribe(&mut self, client: Client, filter: &str, qos: QoS) {
        self.begin_subscribe(client, filter, qos);
        assert!(self.take_suback(client), "no SUBACK for {filter}");
    }

    /// Sends SUBSCRIBE.
    pub fn begin_subscribe(&mut self, client: Client, filter: &str, qos: QoS) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.begin_subscribe(of_broker, filter, qos);
        self.settle();
    }

    /// Publishes; acknowledgements are left to the test.
    pub fn publish(&mut self, client: Client, topic: &str, qos: QoS, packet_id: u16, payload: &str) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.publish(of_broker, topic, qos, packet_id, payload.as_bytes());
        self.settle();
    }

    /// Publishes with RETAIN.
    pub fn retain(&mut self, client: Client, topic: &str, packet_id: u16, payload: &str) {
        let (node, of_broker) = self.clients[client.0];
        let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        self.nodes[node].broker.publish_with(of_broker, topic, qos, packet_id, payload.as_bytes(), true, false);
        self.settle();
    }

    /// Sends a packet as a client.
    pub fn packet(&mut self, client: Client, encode: impl FnOnce(&mut Vec<u8>, Mqtt)) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.packet(of_broker, encode);
        self.settle();
    }

    /// Takes the packets a client has been sent, in words.
    pub fn read(&mut self, client: Client) -> Vec<String> {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.read(of_broker)
    }

    /// The client's side closes.
    pub fn hang_up(&mut self, client: Client) {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.hang_up(of_broker);
        self.settle();
    }

    /// Whether the connection is open.
    pub fn is_open(&self, client: Client) -> bool {
        let (node, of_broker) = self.clients[client.0];
        self.nodes[node].broker.is_open(of_broker)
    }

    /// The broker of a node.
    pub fn broker(&mut self, node: usize) -> &mut Broker {
        &mut self.nodes[node].broker
    }

    /// The gate of a node.
    pub fn gate(&self, node: usize) -> &Gate {
        &self.nodes[node].gate
    }
}

fn node_of(node: &Node) -> cluster::Node {
    let region = (Label::parse("region").unwrap(), Label::parse(node.region).unwrap());
    cluster::Node {
        id: node.id,
        labels: Labels::new([region]).unwrap(),
        weight: Weight::default(),
        phase: node.phase,
        liveness: Liveness::Live,
    }
}

/// Every shard at one node, in turn.
fn spread(nodes: &[NodeId], keyspaces: Keyspaces) -> Placement {
    let keys: Vec<ShardKey> = keyspaces.iter().flat_map(|keyspace| keyspace.shard_keys()).collect();
    let at = |n: usize| Replicas::first([nodes[n % nodes.len()]]).unwrap();
    let shards = keys.into_iter().enumerate().map(|(n, key)| (key, at(n))).collect();
    Placement::new(Version::new(1, 1), keyspaces, shards).unwrap()
}

fn gate_settings(id: NodeId, region: &str, incarnation: u64, workers: u16, settings: &Settings) -> GateSettings {
    GateSettings {
        node: id,
        region: region.into(),
        incarnation: Incarnation(incarnation),
        workers,
        shards: settings.shards,
        topic_limits: Limits::default(),
        cluster: ClusterId(7),
        link_limits: LinkLimits::default(),
        interest_limits: sluice_cluster::interest::InterestLimits::default(),
        barrier_ms: 5_000,
        lost_after_ms: 10_000,
        versions: Versions::THIS,
        seed: 11,
    }
}

/// The payloads of the PUBLISH packets among some words.
pub fn payloads(words: &[String]) -> Vec<String> {
    let publishes = words.iter().filter(|words| words.starts_with("publish "));
    publishes.map(|words| words.split(' ').nth(2).unwrap_or_default().to_owned()).collect()
}

/// As a set.
pub fn payload_set(words: &[String]) -> BTreeSet<String> {
    payloads(words).into_iter().collect()
}
