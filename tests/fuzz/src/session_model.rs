//! The broker against what SEMANTICS of MQTT promise, whatever clients, disk and process do.
//!
//! An input is a list of operations on a few clients that keep to the specification, on a node of one to three workers
//! and on its store. At its end everything heals, every client comes back and takes what it is owed; then the ledger is
//! balanced. Along the way each client checks what it is told. The names of the invariants are those that the broker's
//! own assertions quote:
//!
//! - I13: what was acknowledged is not lost, nor is a session; I14: nothing comes that was not published to a matching
//!   topic; I15: QoS 2 once; I16: first deliveries in order; I17: packet ids unique while in use, within the Receive
//!   Maximum; I18: an acknowledgement settles what it belongs to; I20: a retained topic is a register; I21: a will fires
//!   at most once, and once if it is due;
//! - a client that keeps to the rules is never refused or disconnected, and every request is answered.

mod client;
mod ledger;

use sluice_dataplane_core::Settings;
use sluice_mqtt::{
    Connect, ConnectProperties, Packet, QoS, Version, Will, WillProperties, decode_from_server, encode, split,
};

use self::{
    client::{Client, Standing, Terms},
    ledger::{Ledger, Message, MessageNumber},
};
use crate::{
    cursor::Cursor,
    node::{Node, SocketId},
};

const CLIENTS: usize = 4;
const TOPICS: [&str; 3] = ["a/1", "a/2", "b"];

struct Filter {
    text: &'static str,
    /// Bit by bit, the topics that it matches.
    topics: u8,
    is_shared: bool,
}

impl Filter {
    const fn plain(text: &'static str, topics: u8) -> Self {
        Self { text, topics, is_shared: false }
    }

    fn matches(&self, topic: usize) -> bool {
        self.topics >> topic & 1 == 1
    }
}

const FILTERS: [Filter; 6] = [
    Filter::plain("a/1", 0b001),
    Filter::plain("a/+", 0b011),
    Filter::plain("#", 0b111),
    Filter::plain("b", 0b100),
    Filter::plain("+/2", 0b010),
    Filter { text: "$share/g/a/1", topics: 0b001, is_shared: true },
];

/// Operations of three bytes behind a head of two: see the module.
pub fn fuzz_worker(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let mut run = Run::new(&mut cursor);
    for _ in 0..OPERATIONS_MAX {
        if cursor.is_empty() {
            break;
        }
        let operation = [cursor.byte(), cursor.byte(), cursor.byte()];
        run.apply(operation);
    }
    run.finish();
    // What was settled stays settled.
    run.crash(0, true);
    run.finish();
}

struct Run {
    node: Node,
    clients: Vec<Client>,
    ledger: Ledger,
    blocked: [bool; CLIENTS],
    /// Wills of connections that have ended since the store has settled.
    closing: [Option<MessageNumber>; CLIENTS],
    /// Wills of connections that a crash ended, as far as they may not have fired.
    fallen: [Option<MessageNumber>; CLIENTS],
}

impl Run {
    fn new(cursor: &mut Cursor<'_>) -> Self {
        let head = cursor.byte();
        let versions = cursor.byte();
        let settings = Settings {
            shards: 8,
            sys_interval_s: 0,
            takeovers_per_minute_max: 0,
            wills_per_minute_max: 0,
            control_rate_max: u32::MAX,
            outbound_window_max: WINDOW_MAX,
            // Small: what waits for a session has to be read back.
            block_cache_bytes_max: if head & 0x80 == 0 { 64 } else { 1 << 20 },
            ..Settings::default()
        };
        let client = |at: usize| match versions >> (at * 2) & 0b11 {
            0 => Client::new(at, Version::V311, WINDOW_MAX),
            narrow => Client::new(at, Version::V5, [1, 2, 5][usize::from(narrow) - 1]),
        };
        Self {
            node: Node::new(1 + u16::from(head) % 3, settings),
            clients: (0..CLIENTS).map(client).collect(),
            ledger: Ledger::default(),
            blocked: [false; CLIENTS],
            closing: [None; CLIENTS],
            fallen: [None; CLIENTS],
        }
    }

    fn apply(&mut self, [kind, what, how]: [u8; 3]) {
        let at = usize::from(what) % CLIENTS;
        let what = what >> 2;
        match kind % 16 {
            0..=2 => self.publish(at, what),
            3 => self.request(at, |client, ledger| client.subscribe(usize::from(what) % FILTERS.len(), how, ledger)),
            4 => self.request(at, |client, ledger| client.unsubscribe(usize::from(what) % FILTERS.len(), ledger)),
            5 => self.acknowledge(at, 1 + usize::from(what) % 8),
            6 => _ = self.read(at),
            7 => self.connect(at, what),
            8 => self.disconnect(at, how & 0xC0 == 0x80),
            9 => self.hang_up(at, what & 1 == 1),
            10 => (0..=what % 4).for_each(|n| _ = self.node.step(usize::from(how >> n))),
            11 => self.node.serve_store(at, usize::from(what) % 4),
            12 => self.block(at, what & 1 == 1),
            13 => self.node.pass_ms(1 << (what % 12)),
            14 if what & 1 == 1 => self.crash(at, what & 2 == 2),
            _ => self.request(at, |client, _| client.ping()),
        }
        match how >> 6 {
            0 => {}
            1 => self.node.settle(false),
            2 => self.settle(),
            _ => _ = self.settle_all(),
        }
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        if let Some(connection) = &self.clients[at].connection
            && self.node.is_open(connection.socket)
            && !bytes.is_empty()
        {
            self.node.send(connection.socket, bytes);
        }
    }

    fn request(&mut self, at: usize, bytes: impl FnOnce(&mut Client, &mut Ledger) -> Vec<u8>) {
        if self.clients[at].may_request() {
            let bytes = bytes(&mut self.clients[at], &mut self.ledger);
            self.send(at, &bytes);
        }
    }

    /// A message by a client, with the sessions that must get it.
    fn message(&mut self, at: usize, topic: usize, qos: QoS) -> Message {
        Message {
            publisher: self.clients[at].key(),
            is_will: false,
            topic,
            qos,
            retain: false,
            clears: false,
            withdrawn: false,
            acked_at: None,
            sent_at: 0,
            wanted: self.subscribed(topic, QoS::AtMostOnce),
            stored: self.subscribed(topic, QoS::AtLeastOnce),
            needed: if qos == QoS::AtMostOnce { Vec::new() } else { self.promised(topic) },
        }
    }

    fn subscribed(&self, topic: usize, qos: QoS) -> Vec<ledger::SessionKey> {
        self.clients.iter().filter(|client| client.has_subscribed(topic, qos)).map(Client::key).collect()
    }

    fn promised(&self, topic: usize) -> Vec<ledger::SessionKey> {
        self.clients.iter().filter(|client| client.is_promised(topic)).map(Client::key).collect()
    }

    fn publish(&mut self, at: usize, what: u8) {
        if !self.clients[at].may_request() {
            return;
        }
        let qos = QoS::from_bits(what >> 2 & 0b11).unwrap_or(QoS::AtLeastOnce);
        let mut message = self.message(at, usize::from(what) % TOPICS.len(), qos);
        message.retain = what & 0x10 != 0;
        message.clears = what & 0x30 == 0x30;
        if message.clears {
            // It carries no number, so that nobody can say that it came.
            message.needed.clear();
        }
        let number = self.ledger.send(message);
        let bytes = self.clients[at].publish(number, &self.ledger);
        self.send(at, &bytes);
    }

    fn acknowledge(&mut self, at: usize, count: usize) {
        let bytes = self.clients[at].acknowledge(count);
        self.send(at, &bytes);
    }

    /// The client reads what has come and answers what it answers at once; says how many bytes came.
    fn read(&mut self, at: usize) -> usize {
        let Some(socket) = self.clients[at].connection.as_ref().map(|connection| connection.socket) else { return 0 };
        let bytes = self.node.read(socket);
        let reply = self.clients[at].receive(&bytes, &mut self.ledger);
        if !self.node.is_open(socket) && self.clients[at].accepted().is_none() {
            // The store took longer than a CONNECT may wait.
            self.hang_up(at, false);
            return bytes.len();
        }
        assert!(self.node.is_open(socket), "a client that keeps to the rules was disconnected");
        self.send(at, &reply);
        bytes.len()
    }

    fn connect(&mut self, at: usize, what: u8) {
        let is_new = self.clients[at].version == Version::V5;
        let (clean_start, persistent) = match what & 0b11 {
            1 => (true, false),
            2 if is_new => (true, true),
            3 if is_new => (false, false),
            _ => (false, true),
        };
        if self.clients[at].accepted().is_none() {
            // Two that are both under way could arrive in either order.
            self.hang_up(at, false);
        }
        // Its connection is taken over, and with that a transient session ends.
        self.clients[at].lost(&mut self.ledger);
        let again = self.clients[at].discarded;
        let (clean_start, persistent) = (clean_start || again, persistent && (is_new || !again));
        if let Some(number) = self.fallen[at].take() {
            // A client that is back before a broker that starts has published its will may have spared it.
            self.ledger.messages[number].needed.clear();
        }
        let will = (what & 0b100 != 0).then(|| self.will(at, usize::from(what >> 3) % TOPICS.len()));
        let terms = Terms { clean_start, persistent, will };
        let socket = self.node.open(usize::from(what >> 4));
        self.clients[at].connected(socket, terms, &mut self.ledger);
        self.blocked[at] = false;
        let bytes = self.connect_bytes(at, terms);
        self.send(at, &bytes);
    }

    fn will(&mut self, at: usize, topic: usize) -> MessageNumber {
        let mut message = self.message(at, topic, QoS::ExactlyOnce);
        message.needed.clear();
        message.is_will = true;
        self.ledger.send(message)
    }

    fn connect_bytes(&self, at: usize, terms: Terms) -> Vec<u8> {
        let client = &self.clients[at];
        let payload = terms.will.map(|number| number.to_string()).unwrap_or_default();
        let will = terms.will.map(|number| Will {
            qos: QoS::ExactlyOnce,
            retain: false,
            topic: TOPICS[self.ledger.messages[number].topic],
            payload: payload.as_bytes(),
            properties: WillProperties::default(),
        });
        let mut properties = ConnectProperties::default();
        if client.version == Version::V5 {
            properties.session_expiry = terms.persistent.then_some(100_000);
            properties.receive_maximum = Some(client.receive_max());
            properties.topic_alias_maximum = (at % 2 == 1).then_some(2);
        }
        let connect = Connect {
            version: client.version,
            bridge: false,
            clean_start: terms.clean_start,
            keep_alive: 0,
            client_id: ["c0", "c1", "c2", "c3"][at],
            will,
            username: None,
            password: None,
            properties,
        };
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &connect);
        bytes
    }

    /// The client says goodbye. `heard`: the broker has stored it before anything else happens.
    fn disconnect(&mut self, at: usize, heard: bool) {
        let Some(socket) = self.clients[at].accepted() else { return };
        self.send(at, &[0xE0, 0]);
        if heard {
            self.settle();
        }
        let terms = self.clients[at].lost(&mut self.ledger);
        if let (Some(number), true) = (terms.and_then(|terms| terms.will), heard) {
            self.ledger.messages[number].withdrawn = true;
        }
        self.node.hang_up(socket);
    }

    fn hang_up(&mut self, at: usize, read: bool) {
        let Some(socket) = self.clients[at].connection.as_ref().map(|connection| connection.socket) else { return };
        if read {
            self.read(at);
        }
        let terms = self.clients[at].lost(&mut self.ledger);
        self.node.hang_up(socket);
        self.closing[at] = terms.and_then(|terms| terms.will).or(self.closing[at]);
        self.will_is_due(terms);
    }

    fn will_is_due(&mut self, terms: Option<Terms>) {
        if let Some(number) = terms.and_then(|terms| terms.will) {
            self.ledger.messages[number].needed = self.promised(self.ledger.messages[number].topic);
            self.ledger.ack(number);
        }
    }

    fn crash(&mut self, survivors: usize, read: bool) {
        if read {
            (0..CLIENTS).for_each(|at| _ = self.read(at));
        }
        self.node.crash(survivors);
        let mut due = Vec::new();
        for client in &mut self.clients {
            due.push(client.crashed(&mut self.ledger));
        }
        for (at, terms) in due.into_iter().enumerate() {
            let closing = self.closing[at].take();
            self.fallen[at] = terms.and_then(|terms| terms.will).or(closing).or(self.fallen[at]);
            self.will_is_due(terms);
        }
        self.blocked = [false; CLIENTS];
    }

    fn block(&mut self, at: usize, blocked: bool) {
        if let Some(connection) = &self.clients[at].connection {
            self.node.block(connection.socket, blocked);
            self.blocked[at] = blocked;
        }
    }

    /// Everything at the broker that can move moves, and is stored.
    fn settle(&mut self) {
        self.node.settle(true);
        self.closing = [None; CLIENTS];
    }

    /// Everything that can move moves, and every client does what it owes. Says whether all is quiet: nothing came and
    /// nothing is waited for.
    fn settle_all(&mut self) -> bool {
        self.settle();
        let mut silent = true;
        for at in 0..CLIENTS {
            silent &= self.read(at) == 0;
            self.acknowledge(at, usize::MAX);
        }
        self.node.settle(true);
        silent && self.clients.iter().all(Client::is_quiet)
    }

    /// Everything heals, every client with a session comes back and takes what it is owed.
    fn finish(&mut self) {
        for at in 0..CLIENTS {
            self.block(at, false);
        }
        self.node.pass_ms(1);
        self.settle_until_quiet();
        for _ in 0..WILLS_DUE_S {
            self.node.pass_ms(1_000);
            self.settle_until_quiet();
        }
        self.fallen = [None; CLIENTS];
        for at in 0..CLIENTS {
            if self.clients[at].connection.is_none() && self.clients[at].standing != Standing::Absent {
                self.connect(at, 0);
            }
        }
        self.settle_until_quiet();
        self.ledger.check_nothing_is_lost();
        for topic in 0..TOPICS.len() {
            self.check_retained(topic);
        }
    }

    fn settle_until_quiet(&mut self) {
        let quiet = (0..ROUNDS_MAX).any(|_| self.settle_all());
        assert!(quiet, "a request is not answered");
    }

    /// I20: a new subscriber is sent what the topic holds.
    fn check_retained(&mut self, topic: usize) {
        let socket = self.node.open(topic);
        let mut bytes = Vec::new();
        let connect = Connect {
            version: Version::V311,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: "probe",
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        encode::connect(&mut bytes, &connect);
        bytes.extend_from_slice(&[0x82, 5 + TOPICS[topic].len() as u8, 0, 1, 0, TOPICS[topic].len() as u8]);
        bytes.extend_from_slice(TOPICS[topic].as_bytes());
        bytes.push(0);
        self.node.send(socket, &bytes);
        self.node.settle(true);
        let held = retained_in(&self.node.read(socket), socket);
        self.node.hang_up(socket);
        self.node.settle(true);
        let candidates = self.ledger.retained_candidates(topic);
        assert!(candidates.contains(&held), "I20: {} holds {held:?}, not one of {candidates:?}", TOPICS[topic]);
    }
}

/// The retained message that a subscriber was sent.
fn retained_in(bytes: &[u8], socket: SocketId) -> Option<MessageNumber> {
    let (mut at, mut held, mut granted) = (0, None, false);
    while let Ok(Some(frame)) = split(&bytes[at..], u32::MAX) {
        let body = &bytes[at + frame.header_len..at + frame.total()];
        match decode_from_server(Version::V311, frame.first, body).expect("the broker's packets are well formed") {
            Packet::Publish(publish) if publish.retain => {
                let text = std::str::from_utf8(publish.payload).expect("a payload of this model");
                assert!(held.is_none(), "I20: a topic holds one message");
                held = text.parse().ok();
            }
            Packet::SubAck(_) => granted = true,
            _ => {}
        }
        at += frame.total();
    }
    assert!(granted, "the probe {socket:?} has subscribed");
    held
}

/// What one input may ask for.
const OPERATIONS_MAX: usize = 300;
/// Of what a client of version 3 has not acknowledged.
const WINDOW_MAX: u16 = 8;
/// After so many seconds the wills of a process that died have fired.
const WILLS_DUE_S: usize = 4;
/// A round lets every packet that may be under way arrive.
const ROUNDS_MAX: usize = 2_000;
