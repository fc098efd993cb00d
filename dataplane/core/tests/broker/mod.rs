//! A node without threads, sockets or disk: real workers, driven by hand.
//!
//! Time stands still unless told to go on; the store keeps what it is given and answers when asked to, so that a test
//! can look at the moment between writing and storing, and can crash there.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::missing_panics_doc,
    reason = "each test file uses its part"
)]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use sluice_cluster::{NodeId, WorkerId};
use sluice_dataplane_access::Rules;
use sluice_dataplane_core::{
    ClosedBy, ConnId, Flush, Input, Key, Now, Op, Opened, Output, Settings, Then, Transport, Verdict, Worker,
    WriteBatch,
};
use sluice_mqtt::{
    Connect, ConnectProperties, Packet, PublishHead, QoS, ReasonCode, Version, decode_from_server, encode, split,
};

/// A client of the test node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Client(usize);

struct Socket {
    worker: usize,
    conn: Option<ConnId>,
    via: Option<NodeId>,
    version: Version,
    /// From the client, not consumed yet.
    inbound: Vec<u8>,
    /// To the client, not read yet.
    outbound: Vec<u8>,
    paused: bool,
    blocked: bool,
}

/// The node.
pub struct Broker {
    pub settings: Arc<Settings>,
    workers: Vec<Worker>,
    sockets: Vec<Socket>,
    /// Where the socket of a worker's connection is.
    places: HashMap<(usize, ConnId), usize>,
    mail: VecDeque<(usize, Input)>,
    /// What is on stable storage.
    disk: BTreeMap<Key, Bytes>,
    /// Written, not stored.
    unsynced: VecDeque<(usize, u64, WriteBatch)>,
    /// Whether batches are stored as soon as they are written.
    pub sync_at_once: bool,
    pub now: Now,
    pub verdict: Verdict,
    /// What clients may do, from the next start on.
    pub rules: Arc<Rules>,
    /// The most sessions that ended and messages that were handled in one tick of a worker.
    pub most_in_a_tick: u64,
    /// Counts the processes.
    boots: u64,
    /// How many workers the next process has, if not as many as this one.
    pub next_workers: Option<u16>,
    /// Bytes a test wants each receive call to see at most.
    pub chunk: usize,
    /// Frames between workers are kept back for now.
    held: Option<VecDeque<(usize, Input)>>,
    /// Frames that say that a group's message came back.
    bounces: usize,
    /// Frames for the gate, by the worker they are of.
    to_gate: VecDeque<(WorkerId, Vec<u8>)>,
    /// Clients that belong to another node.
    proxied: VecDeque<(Client, NodeId)>,
}

impl Broker {
    /// A node with empty storage.
    pub fn new(workers: u16, settings: Settings) -> Self {
        Self::on(workers, settings, BTreeMap::new())
    }

    fn on(workers: u16, settings: Settings, disk: BTreeMap<Key, Bytes>) -> Self {
        let settings = Arc::new(settings);
        let now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut broker = Self {
            workers: Vec::new(),
            sockets: Vec::new(),
            places: HashMap::new(),
            mail: VecDeque::new(),
            disk,
            unsynced: VecDeque::new(),
            sync_at_once: true,
            now,
            verdict: Verdict::Accept(Box::default()),
            rules: Arc::new(Rules::allow_all()),
            most_in_a_tick: 0,
            boots: 0,
            next_workers: None,
            chunk: usize::MAX,
            held: None,
            bounces: 0,
            to_gate: VecDeque::new(),
            proxied: VecDeque::new(),
            settings,
        };
        broker.boot(workers);
        broker.settle();
        broker
    }

    fn boot(&mut self, workers: u16) {
        let sharding = sluice_cluster::Sharding::new(self.settings.shards, workers);
        // No two processes have the same.
        let seed = self.boots * 1_000 + 7;
        self.boots += 1;
        self.workers = (0..workers)
            .map(|n| {
                let (settings, rules) = (Arc::clone(&self.settings), Arc::clone(&self.rules));
                let mut worker = Worker::new(WorkerId(n), workers, settings, rules, seed + u64::from(n));
                for (key, value) in &self.disk {
                    if sharding.worker_of(key.shard()) == WorkerId(n) {
                        worker.restore(key.clone(), value.clone()).unwrap();
                    }
                }
                worker.restored(self.now);
                worker
            })
            .collect();
    }

    /// Kills the process: what was not stored is gone, and so are all connections. Starts it again.
    pub fn crash(&mut self) {
        self.crash_and_serve_at_once();
        self.settle();
    }

    /// As [`Self::crash`], and the first bytes of a client come before the workers have heard of each other.
    pub fn crash_and_serve_at_once(&mut self) {
        let workers = self.next_workers.take().unwrap_or(self.workers.len() as u16);
        self.unsynced.clear();
        self.mail.clear();
        self.to_gate.clear();
        self.proxied.clear();
        self.held = None;
        self.places.clear();
        for socket in &mut self.sockets {
            socket.conn = None;
        }
        self.now.mono_ms += 100;
        self.now.wall_ms += 100;
        self.boot(workers);
    }

    /// Lets time pass.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let next = self.workers.iter().filter_map(Worker::poll_timeout).min().unwrap_or(end);
            let step = next.clamp(self.now.mono_ms + 1, end) - self.now.mono_ms;
            self.now.mono_ms += step;
            self.now.wall_ms += step;
            for at in 0..self.workers.len() {
                self.tick(at);
            }
            self.settle();
        }
    }

    fn tick(&mut self, at: usize) {
        let handled = |worker: &Worker| {
            let stats = worker.stats();
            stats.sessions_expired + stats.messages_sent.iter().sum::<u64>() + stats.dropped.iter().sum::<u64>()
        };
        let before = handled(&self.workers[at]);
        self.workers[at].tick(self.now);
        self.most_in_a_tick = self.most_in_a_tick.max(handled(&self.workers[at]) - before);
    }

    /// Stores everything that was written.
    pub fn sync(&mut self) {
        self.sync_workers(|_| true);
    }

    /// Stores what was written, except by the worker of a client.
    pub fn sync_all_but(&mut self, client: Client) {
        let slow = self.sockets[client.0].worker;
        self.sync_workers(|worker| worker != slow);
    }

    fn sync_workers(&mut self, is_synced: impl Fn(usize) -> bool) {
        let (synced, left) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|(worker, ..)| is_synced(*worker));
        self.unsynced = left;
        let synced: VecDeque<(usize, u64, WriteBatch)> = synced;
        for (worker, batch, ops) in synced {
            for op in ops.ops {
                match op {
                    Op::Put(key, value) => self.disk.insert(key, value),
                    Op::Drop(key) => self.disk.remove(&key),
                };
            }
            self.mail.push_back((worker, Input::Stored { batch }));
        }
        self.run();
    }

    /// What is on stable storage is gone.
    pub fn lose_disk(&mut self) {
        self.disk.clear();
    }

    /// Keys on stable storage.
    pub fn stored_keys(&self) -> impl Iterator<Item = &Key> {
        self.disk.keys()
    }

    /// Runs until nothing moves.
    pub fn settle(&mut self) {
        loop {
            self.run();
            if !self.sync_at_once || self.unsynced.is_empty() {
                return;
            }
            self.sync();
        }
    }

    fn run(&mut self) {
        loop {
            let mut moved = false;
            while let Some((worker, input)) = self.mail.pop_front() {
                self.workers[worker].handle(self.now, input);
                moved = true;
            }
            for worker in 0..self.workers.len() {
                moved |= self.turn(worker);
            }
            if !moved {
                return;
            }
        }
    }

    fn turn(&mut self, at: usize) -> bool {
        let mut moved = false;
        if self.workers[at].poll_timeout() == Some(0) {
            moved = true;
            self.tick(at);
        }
        while let Some(output) = self.workers[at].poll_output() {
            moved = true;
            self.perform(at, output);
        }
        while let Some(id) = self.workers[at].next_dirty() {
            moved = true;
            self.flush(at, id);
        }
        moved
    }

    fn flush(&mut self, at: usize, id: ConnId) {
        let Some(&place) = self.places.get(&(at, id)) else { return };
        let socket = &mut self.sockets[place];
        let blocked = socket.blocked;
        if let Some(outbox) = self.workers[at].outbox(id)
            && !blocked
        {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            loop {
                let n = outbox.fill(&mut slices);
                let bytes: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
                if bytes.is_empty() {
                    break;
                }
                socket.outbound.extend_from_slice(&bytes);
                let len = bytes.len();
                slices = [std::io::IoSlice::new(&[]); 64];
                outbox.advance(len);
            }
        }
        let flush = if blocked { Flush::Blocked } else { Flush::Done };
        self.workers[at].flushed(self.now, id, flush);
    }

    fn perform(&mut self, at: usize, output: Output) {
        match output {
            Output::Write { batch, ops } => self.unsynced.push_back((at, batch, ops)),
            Output::Load { shard, first } => {
                let block = self.disk.get(&Key::Block(shard, first)).cloned();
                self.mail.push_back((at, Input::Loaded { shard, first, block }));
            }
            Output::LoadRetained { read, topics } => {
                let value = |(shard, topic)| self.written(&Key::Retained(shard, topic));
                let messages = topics.into_iter().map(value).collect();
                self.mail.push_back((at, Input::LoadedRetained { read, messages }));
            }
            Output::ToWorker { worker, frames } if worker.index() == self.workers.len() => {
                self.to_gate.push_back((WorkerId(at as u16), frames));
            }
            Output::ToWorker { worker, frames } => {
                let from = WorkerId(at as u16);
                self.bounces += usize::from(says_bounced(&frames));
                let mail = self.held.as_mut().unwrap_or(&mut self.mail);
                mail.push_back((worker.index(), Input::FromWorker { from, frames }));
            }
            Output::Authenticate { conn, .. } => {
                let verdict = self.verdict.clone();
                self.mail.push_back((at, Input::Authenticated { conn, verdict }));
            }
            Output::Close { conn } => {
                self.flush(at, conn);
                self.end(at, conn, ClosedBy::Broker);
            }
            Output::Pause { conn } => self.set_paused(at, conn, true),
            Output::Resume { conn } => {
                self.set_paused(at, conn, false);
                if let Some(&place) = self.places.get(&(at, conn)) {
                    self.feed(place);
                }
            }
            Output::Log(_) => {}
        }
    }

    /// Gives all workers a clock to time messages by.
    pub fn set_clock(&mut self, clock: fn() -> u64) {
        self.workers.iter_mut().for_each(|worker| worker.set_clock(Some(clock)));
    }

    /// What a read finds: what is on stable storage and all that was written since.
    fn written(&self, key: &Key) -> Option<Bytes> {
        let ops = self.unsynced.iter().rev().flat_map(|(_, _, batch)| batch.ops.iter().rev());
        let last = ops.into_iter().find(|op| matches!(op, Op::Put(k, _) | Op::Drop(k) if k == key));
        match last {
            Some(Op::Put(_, value)) => Some(value.clone()),
            Some(Op::Drop(_)) => None,
            None => self.disk.get(key).cloned(),
        }
    }

    fn set_paused(&mut self, at: usize, conn: ConnId, paused: bool) {
        if let Some(&place) = self.places.get(&(at, conn)) {
            self.sockets[place].paused = paused;
        }
    }

    fn end(&mut self, at: usize, conn: ConnId, by: ClosedBy) {
        if let Some(place) = self.places.remove(&(at, conn)) {
            self.sockets[place].conn = None;
        }
        self.workers[at].closed(self.now, conn, by);
    }

    /// Offers what a client has sent, more and more of it where it is to come in pieces.
    fn feed(&mut self, n: usize) {
        let mut offered = 0;
        loop {
            let socket = &mut self.sockets[n];
            let Some(id) = socket.conn else { return };
            if socket.paused || (offered == socket.inbound.len() && offered > 0) || socket.inbound.is_empty() {
                return;
            }
            offered = socket.inbound.len().min(offered.saturating_add(self.chunk));
            let at = socket.worker;
            let received = self.workers[at].receive(self.now, id, &socket.inbound[..offered]);
            socket.inbound.drain(..received.consumed);
            offered -= received.consumed;
            match received.then {
                Then::Continue => {}
                Then::Pause => {
                    self.sockets[n].paused = true;
                    return;
                }
                Then::HandOver(worker) => {
                    let socket = &mut self.sockets[n];
                    let conn = self.workers[worker.index()].open(self.now, Opened { via: socket.via, ..opened() });
                    socket.worker = worker.index();
                    socket.conn = Some(conn);
                    self.places.remove(&(at, id));
                    self.places.insert((worker.index(), conn), n);
                    offered = 0;
                }
                Then::Proxy(node) => {
                    self.places.remove(&(at, id));
                    self.sockets[n].conn = None;
                    self.proxied.push_back((Client(n), node));
                    return;
                }
                Then::Close => {
                    self.flush(at, id);
                    self.end(at, id, ClosedBy::Broker);
                    return;
                }
            }
        }
    }

    /// A connection without bytes.
    pub fn open(&mut self, version: Version) -> Client {
        self.open_via(version, None)
    }

    /// A connection without bytes, that a client has to another node.
    pub fn open_via(&mut self, version: Version, via: Option<NodeId>) -> Client {
        let at = self.sockets.len() % self.workers.len();
        let conn = self.workers[at].open(self.now, Opened { via, ..opened() });
        self.places.insert((at, conn), self.sockets.len());
        let (conn, inbound, outbound) = (Some(conn), Vec::new(), Vec::new());
        self.sockets.push(Socket { worker: at, conn, via, version, inbound, outbound, paused: false, blocked: false });
        Client(self.sockets.len() - 1)
    }

    /// A client that has sent CONNECT, and may wait for the answer.
    pub fn begin_connect(&mut self, connect: &Connect<'_>) -> Client {
        let client = self.open(connect.version);
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, connect);
        self.send(client, &bytes);
        client
    }

    /// A connected client.
    pub fn connect(&mut self, connect: &Connect<'_>) -> (Client, bool) {
        let client = self.begin_connect(connect);
        let (reason, present) = self.take_connack(client).unwrap_or_else(|| panic!("no CONNACK"));
        assert!(!reason.is_error(), "refused: {reason}");
        (client, present)
    }

    /// Sends bytes as a client.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        self.sockets[client.0].inbound.extend_from_slice(bytes);
        self.feed(client.0);
        self.settle();
    }

    /// Sends one packet as a client.
    pub fn packet(&mut self, client: Client, encode: impl FnOnce(&mut Vec<u8>, Version)) {
        let mut bytes = Vec::new();
        encode(&mut bytes, self.sockets[client.0].version);
        self.send(client, &bytes);
    }

    /// Subscribes and takes the SUBACK.
    pub fn subscribe(&mut self, client: Client, filter: &str, qos: QoS) {
        self.begin_subscribe(client, filter, qos);
        assert!(self.take_suback(client), "no SUBACK for {filter}");
    }

    /// Sends SUBSCRIBE.
    pub fn begin_subscribe(&mut self, client: Client, filter: &str, qos: QoS) {
        let body = subscribe_body(self.sockets[client.0].version, 77, filter, qos as u8);
        let mut bytes = vec![0x82, body.len() as u8];
        bytes.extend_from_slice(&body);
        self.send(client, &bytes);
    }

    /// Publishes; acknowledgements are left to the test.
    pub fn publish(&mut self, client: Client, topic: &str, qos: QoS, packet_id: u16, payload: &[u8]) {
        self.publish_with(client, topic, qos, packet_id, payload, false, false);
    }

    /// Publishes with RETAIN and DUP.
    #[allow(clippy::too_many_arguments, reason = "a packet has that many fields")]
    pub fn publish_with(
        &mut self,
        client: Client,
        topic: &str,
        qos: QoS,
        packet_id: u16,
        payload: &[u8],
        retain: bool,
        dup: bool,
    ) {
        self.packet(client, |out, version| put_publish(out, version, topic, qos, packet_id, payload, retain, dup));
    }

    /// Publishes several messages at once, under the packet ids from 1 on.
    pub fn publish_together(&mut self, client: Client, topic: &str, qos: QoS, payloads: &[Vec<u8>]) {
        self.packet(client, |out, version| {
            for (packet_id, payload) in (1..).zip(payloads) {
                put_publish(out, version, topic, qos, packet_id, payload, false, false);
            }
        });
    }

    /// The client's side closes.
    pub fn hang_up(&mut self, client: Client) {
        let socket = &self.sockets[client.0];
        if let Some(conn) = socket.conn {
            self.end(socket.worker, conn, ClosedBy::Client);
        }
        self.settle();
    }

    /// Whether the connection is open.
    pub fn is_open(&self, client: Client) -> bool {
        self.sockets[client.0].conn.is_some()
    }

    /// Lets a socket take no more bytes, or take them again.
    pub fn block(&mut self, client: Client, blocked: bool) {
        self.sockets[client.0].blocked = blocked;
        let (at, conn) = (self.sockets[client.0].worker, self.sockets[client.0].conn);
        if let Some(conn) = conn
            && !blocked
        {
            self.flush(at, conn);
        }
        self.settle();
    }

    /// Keeps frames between workers back, so that what happens next happens while they are on their way.
    pub fn hold(&mut self) {
        self.held = Some(VecDeque::new());
    }

    /// Lets frames go that were kept back.
    pub fn release(&mut self) {
        self.mail.extend(self.held.take().unwrap_or_default());
        self.settle();
    }

    /// Whether two clients are served by one worker.
    pub fn share_a_worker(&self, one: Client, other: Client) -> bool {
        self.sockets[one.0].worker == self.sockets[other.0].worker
    }

    /// Whether a group's message had to go back to the worker it came from.
    pub fn bounced(&self) -> bool {
        self.bounces > 0
    }

    /// Takes frames for the gate.
    pub fn take_for_gate(&mut self) -> Option<(WorkerId, Vec<u8>)> {
        self.to_gate.pop_front()
    }

    /// Gives a worker frames of the gate.
    pub fn give_from_gate(&mut self, worker: WorkerId, frames: Vec<u8>) {
        let from = WorkerId(self.workers.len() as u16);
        self.mail.push_back((worker.index(), Input::FromWorker { from, frames }));
    }

    /// A client that belongs to another node, and what it has sent.
    pub fn take_proxied(&mut self) -> Option<(Client, NodeId, Vec<u8>)> {
        let (client, node) = self.proxied.pop_front()?;
        Some((client, node, std::mem::take(&mut self.sockets[client.0].inbound)))
    }

    /// Takes CONNACK, if that is the first packet: its reason, and whether the session was there.
    pub fn take_connack(&mut self, client: Client) -> Option<(ReasonCode, bool)> {
        self.take(client, |packet| match packet {
            Packet::ConnAck(connack) => Some((connack.reason, connack.session_present)),
            _ => None,
        })
    }

    /// Takes CONNACK, if that is the first packet, with its Server Reference.
    pub fn take_reference(&mut self, client: Client) -> Option<(ReasonCode, Option<String>)> {
        self.take(client, |packet| match packet {
            Packet::ConnAck(connack) => Some((connack.reason, connack.properties.server_reference.map(str::to_owned))),
            _ => None,
        })
    }

    /// Takes SUBACK, if that is the first packet.
    pub fn take_suback(&mut self, client: Client) -> bool {
        self.take(client, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).is_some()
    }

    /// The protocol of a client.
    pub fn version_of(&self, client: Client) -> Version {
        self.sockets[client.0].version
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> u16 {
        self.workers.len() as u16
    }

    /// Gives an input to every worker.
    pub fn tell_all(&mut self, input: &Input) {
        for at in 0..self.workers.len() {
            self.workers[at].handle(self.now, input.clone());
        }
        self.settle();
    }

    /// Sum over the workers.
    pub fn stats(&self) -> sluice_dataplane_core::Stats {
        let mut sum = sluice_dataplane_core::Stats::default();
        self.workers.iter().for_each(|worker| sum.add(worker.stats()));
        sum
    }

    /// Takes the packets a client has been sent, in words.
    pub fn read(&mut self, client: Client) -> Vec<String> {
        let version = self.sockets[client.0].version;
        let bytes = std::mem::take(&mut self.sockets[client.0].outbound);
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(frame) = split(&bytes[at..], u32::MAX).unwrap() {
            let body = &bytes[at + frame.header_len..at + frame.total()];
            words.push(in_words(&decode_from_server(version, frame.first, body).unwrap()));
            at += frame.total();
        }
        words
    }

    /// Takes the first packet a client has been sent, if it is the one looked for.
    pub fn take<T>(&mut self, client: Client, find: impl FnOnce(&Packet<'_>) -> Option<T>) -> Option<T> {
        let version = self.sockets[client.0].version;
        let bytes = std::mem::take(&mut self.sockets[client.0].outbound);
        let frame = split(&bytes, u32::MAX).unwrap()?;
        let body = &bytes[frame.header_len..frame.total()];
        let found = find(&decode_from_server(version, frame.first, body).unwrap());
        self.sockets[client.0].outbound = bytes[frame.total()..].to_vec();
        found
    }
}

/// Appends a PUBLISH.
#[allow(clippy::too_many_arguments, reason = "a packet has that many fields")]
pub fn put_publish(
    out: &mut Vec<u8>,
    version: Version,
    topic: &str,
    qos: QoS,
    packet_id: u16,
    payload: &[u8],
    retain: bool,
    dup: bool,
) {
    let head = PublishHead {
        version,
        dup,
        qos,
        retain,
        topic,
        packet_id,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: &[],
        forward: &[],
        payload_len: payload.len(),
    };
    encode::publish(out, &head, payload);
}

/// Whether frames hold a shared group's message that comes back: kind 3, the ticket, then the mark.
fn says_bounced(mut frames: &[u8]) -> bool {
    while let Some((length, rest)) = frames.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        if frame[0] == 3 && frame[9] == 1 {
            return true;
        }
        frames = rest;
    }
    false
}

fn opened() -> Opened {
    Opened { listener: 0, peer: None, transport: Transport::Tcp, certificate: None, via: None }
}

/// Access rules: the entries of `rules`.
pub fn rules(entries: &str) -> Arc<Rules> {
    Arc::new(Rules::parse(&format!("rules:\n{entries}"), 1).unwrap())
}

/// A CONNECT with nothing special.
pub fn connect(version: Version, client_id: &str, clean_start: bool) -> Connect<'_> {
    let session_expiry = (version == Version::V5 && !clean_start).then_some(3600);
    Connect {
        version,
        bridge: false,
        clean_start,
        keep_alive: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties { session_expiry, ..ConnectProperties::default() },
    }
}

fn subscribe_body(version: Version, packet_id: u16, filter: &str, options: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
    body.extend_from_slice(filter.as_bytes());
    body.push(options);
    body
}

fn in_words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(p) => {
            let dup = if p.dup { " dup" } else { "" };
            let retain = if p.retain { " retain" } else { "" };
            let payload = String::from_utf8_lossy(p.payload);
            let id = if p.packet_id == 0 { String::new() } else { format!(" #{}", p.packet_id) };
            format!("publish {} {payload} q{}{id}{dup}{retain}", p.topic, p.qos as u8)
        }
        Packet::PubAck(a) => format!("puback #{} {}", a.packet_id, a.reason.name()),
        Packet::PubRec(a) => format!("pubrec #{} {}", a.packet_id, a.reason.name()),
        Packet::PubRel(a) => format!("pubrel #{} {}", a.packet_id, a.reason.name()),
        Packet::PubComp(a) => format!("pubcomp #{} {}", a.packet_id, a.reason.name()),
        Packet::Disconnect(d) => {
            let reference = d.properties.server_reference.map(|to| format!(" {to}")).unwrap_or_default();
            format!("disconnect {}{reference}", d.reason.name())
        }
        other => format!("{:?}", other.packet_type()).to_lowercase(),
    }
}
