//! A client that does what the specification says: the real codec, its own account of packet ids, and patience.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_mqtt::{
    Ack, ConnAck, Connect, ConnectProperties, Disconnect, Packet, Publish, PublishHead, QoS, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionOptions, Unsubscribe, UserProperties, Version,
    Will, WillProperties, decode_from_server, encode, split,
};

use crate::{
    ledger::{Delivery, Message, MessageId, SessionId, Status, is_large},
    node::SocketId,
    world::{Event, World},
};

/// What a client does a moment later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// It acknowledges a message at QoS 1.
    Acknowledge(u16),
    /// It has a message at QoS 2.
    Receive(u16),
    /// The exchange is over.
    Complete(u16),
}

/// How far a client's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Offline,
    Connecting,
    Online,
}

/// A CONNECT that waits for a node to come back has taken effect by then, or never will.
const HAUNTED_MS: u64 = 20_000;

/// A message that is not acknowledged yet.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    packet_id: u16,
    message: MessageId,
    /// PUBREC was there.
    released: bool,
}

/// What a SUBSCRIBE or UNSUBSCRIBE asks for.
#[derive(Clone, Debug)]
struct Asking {
    full: &'static str,
    /// Barriers that the node had missed by then.
    missed: u64,
    /// Whether the node knew then who the others are.
    knows_nodes: bool,
}

/// A client.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) persistent: bool,
    pub(crate) wishes: Vec<(&'static str, QoS)>,
    pub(crate) socket: Option<SocketId>,
    pub(crate) phase: Phase,
    pub(crate) session: Option<SessionId>,
    /// Whether it starts afresh the next time.
    pub(crate) clean_next: bool,
    pub(crate) receive_maximum: u16,
    /// How long it takes to acknowledge.
    pub(crate) slow_ms: u64,
    /// The will of its connection.
    pub(crate) will: Option<MessageId>,
    pub(crate) with_will: bool,
    /// What the CONNECT under way asks for: no old session, and one that stays.
    asked: (bool, bool),
    /// Whether a CONNECT was sent whose answer never came.
    unsure: bool,
    /// When a CONNECT for a fresh start was left without its answer: it may still take effect.
    haunted_ms: Option<u64>,
    last_packet_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 packet ids that were not released.
    incoming: BTreeSet<u16>,
    /// Deliveries that are not acknowledged.
    in_use: BTreeMap<u16, MessageId>,
    /// Those of them that came on this connection.
    on_connection: BTreeSet<u16>,
    asking: BTreeMap<u16, Asking>,
    bytes: Vec<u8>,
}

impl Client {
    pub(crate) fn new(name: String, version: Version, persistent: bool) -> Self {
        Self {
            name,
            version,
            persistent,
            wishes: Vec::new(),
            socket: None,
            phase: Phase::Offline,
            session: None,
            clean_next: false,
            receive_maximum: 32,
            slow_ms: 15,
            will: None,
            with_will: false,
            asked: (false, false),
            unsure: false,
            haunted_ms: None,
            last_packet_id: 0,
            outgoing: VecDeque::new(),
            incoming: BTreeSet::new(),
            in_use: BTreeMap::new(),
            on_connection: BTreeSet::new(),
            asking: BTreeMap::new(),
            bytes: Vec::new(),
        }
    }

    /// What waits for an answer, in words.
    pub(crate) fn unanswered(&self) -> Option<String> {
        let (messages, asking) = (&self.outgoing, self.asking.values().map(|asking| asking.full));
        let messages = messages.iter().map(|outgoing| (outgoing.message, outgoing.packet_id, outgoing.released));
        let any = !self.outgoing.is_empty() || !self.asking.is_empty();
        any.then(|| {
            format!("messages {:?}, subscriptions {:?}", messages.collect::<Vec<_>>(), asking.collect::<Vec<_>>())
        })
    }

    fn packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id % 60_000 + 1;
            let id = self.last_packet_id;
            if self.outgoing.iter().all(|o| o.packet_id != id) && !self.asking.contains_key(&id) {
                return id;
            }
        }
    }

    fn forget_session(&mut self) -> Vec<MessageId> {
        self.incoming.clear();
        self.in_use.clear();
        self.asking.clear();
        self.session = None;
        self.outgoing.drain(..).map(|outgoing| outgoing.message).collect()
    }
}

impl World {
    /// A client connects to a node; a connection that it has is left behind, open, or closed.
    pub(crate) fn connect(&mut self, at: usize, node: usize, transient: bool) {
        self.leave(at);
        let socket = self.open_socket(at, node);
        let client = &mut self.clients[at];
        let clean = client.clean_next || transient || !client.persistent;
        // Before version 5 a session that begins afresh ends with its connection.
        let stays = client.persistent && !transient && !(clean && client.version != Version::V5);
        client.clean_next = false;
        client.asked = (clean, stays);
        client.socket = Some(socket);
        client.phase = Phase::Connecting;
        client.bytes.clear();
        client.on_connection.clear();
        let version = client.version;
        let will = client.with_will.then(|| self.make_will());
        let payload = will.map(|will| self.ledger.payload(will, 0)).unwrap_or_default();
        let topic = will.map_or("", |will| self.ledger.messages[will].topic);
        let qos = QoS::ExactlyOnce;
        let properties = WillProperties::default();
        let client = &mut self.clients[at];
        client.will = will;
        let v5 = version == Version::V5;
        let connect = Connect {
            version,
            bridge: false,
            clean_start: clean,
            keep_alive: 0,
            client_id: &client.name,
            will: will.map(|_| Will { qos, retain: false, topic, payload: &payload, properties }),
            username: None,
            password: None,
            properties: ConnectProperties {
                session_expiry: (v5 && stays).then_some(36_000),
                receive_maximum: v5.then_some(client.receive_maximum),
                ..ConnectProperties::default()
            },
        };
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &connect);
        let name = client.name.clone();
        self.trace.note(self.now_ms, 10, [at, node], || {
            format!("{name} connects to node {node} on socket {socket} (clean {clean}, stays {stays}, will {will:?})")
        });
        self.send(socket, bytes);
    }

    fn make_will(&mut self) -> MessageId {
        let session = self.ledger.begin(false, 0);
        self.ledger.sessions[session].over = true;
        self.ledger.publish(Message {
            topic: "will/x",
            qos: 2,
            retain: false,
            tombstone: false,
            will: true,
            publisher: session,
            sent_ms: self.now_ms,
            resent: false,
            alone: false,
            accepted_by: None,
            status: Status::Unknown,
        })
    }

    /// A client thinks no more of the connection that it has.
    pub(crate) fn leave(&mut self, at: usize) {
        if let Some(socket) = self.clients[at].socket {
            let now_ms = self.now_ms;
            self.sockets[socket].closed_ms.get_or_insert(now_ms);
            self.client_is_cut_off(at);
        }
    }

    /// A client's connection is gone.
    pub(crate) fn client_is_cut_off(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let socket = client.socket.take();
        self.trace.note(self.now_ms, 11, [at, 0], || format!("{} is off socket {socket:?}", client.name));
        client.unsure |= client.phase == Phase::Connecting;
        if client.phase == Phase::Connecting && client.asked.0 {
            client.haunted_ms = Some(self.now_ms);
        }
        client.phase = Phase::Offline;
        client.asking.clear();
        let stays = client.session.is_some_and(|session| self.ledger.sessions[session].persistent);
        if !stays {
            self.end_session(at);
        }
    }

    fn end_session(&mut self, at: usize) {
        let session = self.clients[at].session;
        for message in self.clients[at].forget_session() {
            self.ledger.answered(message, Status::Unknown);
        }
        session.into_iter().for_each(|session| self.ledger.sessions[session].over = true);
    }

    /// A client says goodbye.
    pub(crate) fn disconnect(&mut self, at: usize) {
        let client = &self.clients[at];
        let Some(socket) = client.socket.filter(|_| client.phase == Phase::Online) else { return };
        let mut bytes = Vec::new();
        encode::disconnect(&mut bytes, client.version, &Disconnect::new(ReasonCode::Success));
        self.send(socket, bytes);
        self.hang_up(socket);
        self.client_is_cut_off(at);
    }

    /// A client subscribes.
    pub(crate) fn subscribe(&mut self, at: usize, full: &'static str, qos: QoS) {
        let (Some(socket), Some(session)) = (self.clients[at].socket, self.clients[at].session) else { return };
        let serving = self.sockets[socket].serving;
        let (missed, knows_nodes) = (self.barriers_missed(serving), self.agents[serving].knows_nodes());
        let client = &mut self.clients[at];
        let packet_id = client.packet_id();
        client.asking.insert(packet_id, Asking { full, missed, knows_nodes });
        let retain_handling = RetainHandling::Send;
        let options = SubscriptionOptions { qos, no_local: false, retain_as_published: false, retain_handling };
        let filters = [SubscribeFilter { filter: full, options }];
        let user_properties = UserProperties::EMPTY;
        let packet = Subscribe { packet_id, subscription_id: None, user_properties, filters: filters[..].into() };
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, client.version, &packet);
        let name = client.name.clone();
        self.trace
            .note(self.now_ms, 12, [at, 0], || format!("{name} (session {session}) subscribes to {full} {qos:?}"));
        self.ledger.subscribe(session, full, self.now_ms);
        self.send(socket, bytes);
    }

    fn barriers_missed(&self, node: usize) -> u64 {
        self.nodes[node].gate.stats().barriers_missed
    }

    /// A client unsubscribes.
    pub(crate) fn unsubscribe(&mut self, at: usize, full: &'static str) {
        let (Some(socket), Some(session)) = (self.clients[at].socket, self.clients[at].session) else { return };
        let client = &mut self.clients[at];
        let packet_id = client.packet_id();
        let filters = [full];
        let packet = Unsubscribe { packet_id, user_properties: UserProperties::EMPTY, filters: filters[..].into() };
        let mut bytes = Vec::new();
        encode::unsubscribe(&mut bytes, client.version, &packet);
        self.trace.note(self.now_ms, 13, [at, 0], || format!("session {session} unsubscribes from {full}"));
        self.ledger.unsubscribe(session, full, self.now_ms);
        self.send(socket, bytes);
    }

    /// A client publishes, unless too much of it is unacknowledged.
    pub(crate) fn publish(&mut self, at: usize, topic: &'static str, qos: QoS, retain: bool, tombstone: bool) {
        let client = &mut self.clients[at];
        let (Some(socket), Some(publisher)) = (client.socket, client.session) else { return };
        if client.outgoing.len() >= 16 {
            return;
        }
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { client.packet_id() };
        let message = self.ledger.publish(Message {
            topic,
            qos: qos as u8,
            retain,
            tombstone,
            will: false,
            publisher,
            sent_ms: self.now_ms,
            resent: false,
            alone: false,
            accepted_by: None,
            status: if qos == QoS::AtMostOnce { Status::Unknown } else { Status::Open },
        });
        if qos != QoS::AtMostOnce {
            self.clients[at].outgoing.push_back(Outgoing { packet_id, message, released: false });
        }
        self.trace.note(self.now_ms, 14, [at, message], || {
            let what = if tombstone { "empties" } else { "publishes" };
            format!("session {publisher} {what} {message} on {topic} {qos:?} retain {retain} #{packet_id}")
        });
        self.send_publish(at, socket, message, packet_id, false);
    }

    fn send_publish(&mut self, at: usize, socket: SocketId, message: MessageId, packet_id: u16, dup: bool) {
        let large = if is_large(message) { 100 } else { 0 };
        let payload = self.ledger.payload(message, large);
        self.ledger.messages[message].alone |= !self.agents[self.sockets[socket].serving].knows_nodes();
        let of = &self.ledger.messages[message];
        let head = PublishHead {
            version: self.clients[at].version,
            dup,
            qos: QoS::from_bits(of.qos).unwrap_or(QoS::AtMostOnce),
            retain: of.retain,
            topic: of.topic,
            packet_id,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            forward: &[],
            payload_len: payload.len(),
        };
        let mut bytes = Vec::new();
        encode::publish(&mut bytes, &head, &payload);
        self.send(socket, bytes);
    }

    /// Bytes for a client have come.
    pub(crate) fn client_receives(&mut self, at: usize, socket: SocketId, bytes: &[u8]) {
        self.clients[at].bytes.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.clients[at].bytes);
        let mut taken = 0;
        while self.clients[at].socket == Some(socket) {
            let rest = &held[taken..];
            let frame = match split(rest, u32::MAX) {
                Ok(Some(frame)) if frame.total() <= rest.len() => frame,
                Ok(_) => break,
                Err(error) => return self.ledger.fail("codec", || format!("a client is sent bytes: {error:?}")),
            };
            let body = &rest[frame.header_len..frame.total()];
            match decode_from_server(self.clients[at].version, frame.first, body) {
                Ok(packet) => self.client_takes(at, socket, &packet),
                Err(error) => return self.ledger.fail("codec", || format!("a client is sent a packet: {error:?}")),
            }
            taken += frame.total();
        }
        if self.clients[at].socket == Some(socket) {
            self.clients[at].bytes = held[taken..].to_vec();
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a server sends no other packets")]
    fn client_takes(&mut self, at: usize, socket: SocketId, packet: &Packet<'_>) {
        match packet {
            Packet::ConnAck(connack) => self.on_connack(at, socket, connack),
            Packet::Publish(publish) => self.on_publish(at, socket, publish),
            Packet::PubAck(ack) => self.on_answer(at, socket, ack, 1),
            Packet::PubRec(ack) => self.on_answer(at, socket, ack, 2),
            Packet::PubComp(ack) => self.on_pubcomp(at, ack),
            Packet::PubRel(ack) => {
                self.clients[at].incoming.remove(&ack.packet_id);
                self.put_off(at, socket, Then::Complete(ack.packet_id));
            }
            Packet::SubAck(suback) => self.on_suback(at, socket, suback),
            Packet::UnsubAck(_) => {}
            Packet::Disconnect(disconnect) => {
                let (name, reason) = (self.clients[at].name.clone(), disconnect.reason);
                self.trace.note(self.now_ms, 15, [at, 0], || format!("{name} is told to go: {}", reason.name()));
            }
            other => {
                let other = format!("{other:?}");
                self.ledger.fail("codec", || format!("a client is sent {other}"));
            }
        }
    }

    fn on_connack(&mut self, at: usize, socket: SocketId, connack: &ConnAck<'_>) {
        let (reason, present) = (connack.reason, connack.session_present);
        let node = self.sockets[socket].serving;
        let name = self.clients[at].name.clone();
        self.trace.note(self.now_ms, 16, [at, node], || {
            format!("{name}: CONNACK {} of node {node}, session present {present}", reason.name())
        });
        if reason.is_error() {
            self.hang_up(socket);
            return self.client_is_cut_off(at);
        }
        let client = &mut self.clients[at];
        let unsure = std::mem::take(&mut client.unsure);
        let (clean, stays) = client.asked;
        if present && (clean || client.session.is_none() || unsure) {
            if clean {
                let name = client.name.clone();
                self.ledger.fail("I10", || format!("{name} has asked for a fresh start and is given an old session"));
            }
            // It is not known which session this is: a fresh start is.
            self.clients[at].clean_next = true;
            self.hang_up(socket);
            self.end_session(at);
            return self.client_is_cut_off(at);
        }
        client.phase = Phase::Online;
        if let Some(will) = client.will {
            self.ledger.messages[will].accepted_by = Some(node);
        }
        if present {
            return self.resume(at, socket);
        }
        let haunted = client.haunted_ms.is_some_and(|at_ms| at_ms + HAUNTED_MS > self.now_ms);
        if client.session.is_some() && !clean && !unsure && !haunted {
            let name = client.name.clone();
            self.ledger.fail("I13", || format!("{name} had a persistent session and has none"));
        }
        self.end_session(at);
        let session = self.ledger.begin(stays, node);
        self.clients[at].session = Some(session);
        for (full, qos) in self.clients[at].wishes.clone() {
            self.subscribe(at, full, qos);
        }
    }

    /// The session is there: what was not acknowledged is sent again, in order [MQTT-4.4.0-1].
    fn resume(&mut self, at: usize, socket: SocketId) {
        let version = self.clients[at].version;
        for Outgoing { packet_id, message, released } in self.clients[at].outgoing.clone() {
            if released {
                let mut bytes = Vec::new();
                encode::pubrel(&mut bytes, version, &Ack::new(packet_id, ReasonCode::Success));
                self.send(socket, bytes);
            } else {
                self.ledger.messages[message].resent = true;
                self.send_publish(at, socket, message, packet_id, true);
            }
        }
        let Some(session) = self.clients[at].session else { return };
        let is_open = |full: &str| {
            let subs = &self.ledger.sessions[session].subs;
            subs.iter().any(|sub| sub.full == full && sub.acked_ms.is_none() && sub.ended_ms.is_none())
        };
        let open: Vec<(&'static str, QoS)> =
            self.clients[at].wishes.iter().filter(|(full, _)| is_open(full)).copied().collect();
        open.into_iter().for_each(|(full, qos)| self.subscribe(at, full, qos));
    }

    fn on_suback(&mut self, at: usize, socket: SocketId, suback: &SubAck<'_>) {
        let Some(asking) = self.clients[at].asking.remove(&suback.packet_id) else { return };
        let Some(session) = self.clients[at].session else { return };
        let node = self.sockets[socket].serving;
        let Some(granted) = suback.reasons.iter().next().filter(|reason| !reason.is_error()) else { return };
        let is_alone = self.barriers_missed(node) > asking.missed || !asking.knows_nodes;
        let known_to = self.awaited_by(node, is_alone);
        self.trace.note(self.now_ms, 17, [at, session], || {
            format!("SUBACK of {} for session {session} of node {node}, known to {known_to:?}", asking.full)
        });
        self.ledger.granted(session, asking.full, granted.code(), self.now_ms, known_to);
        self.later(1, Event::Probe { full: asking.full });
    }

    /// The nodes that a SUBACK of a node speaks for.
    fn awaited_by(&self, node: usize, is_alone: bool) -> BTreeSet<usize> {
        let all = 0..self.nodes.len();
        let is_awaited = |other: &usize| {
            let of_region = self.nodes[*other].region == self.nodes[node].region;
            *other == node || (!is_alone && of_region && !self.lost.contains(&(node, *other)))
        };
        all.filter(is_awaited).collect()
    }

    /// PUBACK or PUBREC.
    fn on_answer(&mut self, at: usize, socket: SocketId, ack: &Ack<'_>, qos: u8) {
        let client = &mut self.clients[at];
        let place = client.outgoing.iter().position(|outgoing| outgoing.packet_id == ack.packet_id);
        let place = place.filter(|&place| self.ledger.messages[client.outgoing[place].message].qos == qos);
        let Some(place) = place else {
            let (name, packet_id) = (client.name.clone(), ack.packet_id);
            return self.ledger.fail("I18", || format!("{name} hears of packet id {packet_id}, which is not in use"));
        };
        let message = client.outgoing[place].message;
        let node = self.sockets[socket].serving;
        self.ledger.messages[message].accepted_by = Some(node);
        let (now_ms, reason) = (self.now_ms, ack.reason);
        self.trace
            .note(now_ms, 18, [at, message], || format!("{message} is answered by node {node}: {}", reason.name()));
        if reason.is_error() {
            self.ledger.answered(message, Status::Refused);
            self.clients[at].outgoing.remove(place);
            return;
        }
        self.ledger.answered(message, Status::Taken { at_ms: now_ms });
        if reason == ReasonCode::NoMatchingSubscribers {
            self.ledger.unmatched.insert(message);
        }
        if qos == 1 {
            self.clients[at].outgoing.remove(place);
            return;
        }
        self.clients[at].outgoing[place].released = true;
        let mut bytes = Vec::new();
        encode::pubrel(&mut bytes, self.clients[at].version, &Ack::new(ack.packet_id, ReasonCode::Success));
        self.send(socket, bytes);
    }

    fn on_pubcomp(&mut self, at: usize, ack: &Ack<'_>) {
        let outgoing = &mut self.clients[at].outgoing;
        outgoing.retain(|outgoing| outgoing.packet_id != ack.packet_id || !outgoing.released);
    }

    fn on_publish(&mut self, at: usize, socket: SocketId, publish: &Publish<'_>) {
        let Some(session) = self.clients[at].session else { return };
        let (packet_id, qos) = (publish.packet_id, publish.qos);
        if qos == QoS::ExactlyOnce && self.clients[at].incoming.contains(&packet_id) {
            // PUBREC was lost.
            self.note_in_use(at, packet_id, None);
            return self.put_off(at, socket, Then::Receive(packet_id));
        }
        let node = self.ledger.sessions[session].node;
        let delivery = Delivery {
            home_since_ms: self.home_in_reach_since(node, publish.topic),
            node_since_ms: self.kills.iter().rev().find(|(_, killed)| *killed == node).map_or(0, |(at, _)| *at),
            session,
            socket,
            topic: publish.topic,
            payload: publish.payload,
            qos: qos as u8,
            retain: publish.retain,
            dup: publish.dup,
        };
        let Some(message) = self.ledger.deliver(&delivery, self.now_ms) else { return };
        let (dup, retain) = (publish.dup, publish.retain);
        self.trace.note(self.now_ms, 19, [session, message], || {
            format!("session {session} gets {message} {qos:?} #{packet_id} dup {dup} retain {retain}")
        });
        if qos == QoS::AtMostOnce {
            return;
        }
        self.note_in_use(at, packet_id, Some(message));
        if qos == QoS::ExactlyOnce {
            self.clients[at].incoming.insert(packet_id);
            self.put_off(at, socket, Then::Receive(packet_id));
        } else {
            self.put_off(at, socket, Then::Acknowledge(packet_id));
        }
    }

    /// I17: a packet id in use stands for no other message, and no more are in use than the client takes.
    fn note_in_use(&mut self, at: usize, packet_id: u16, message: Option<MessageId>) {
        let client = &mut self.clients[at];
        let name = client.name.clone();
        let known = client.in_use.get(&packet_id).copied();
        if !client.on_connection.insert(packet_id) {
            self.ledger.fail("I17", || format!("{name} is sent packet id {packet_id} twice on one connection"));
        } else if let Some((known, message)) = known.zip(message).filter(|(known, message)| known != message) {
            self.ledger.fail("I17", || format!("{name}: packet id {packet_id} was {known} and is {message}"));
        }
        if let Some(message) = message {
            client.in_use.insert(packet_id, message);
        }
        let (in_use, max) = (client.on_connection.len(), usize::from(client.receive_maximum));
        if client.version == Version::V5 && in_use > max {
            self.ledger.fail("I17", || format!("{name} takes {max} messages at once and is sent {in_use}"));
        }
    }

    fn put_off(&mut self, at: usize, socket: SocketId, then: Then) {
        let slow_ms = self.clients[at].slow_ms;
        let after_ms = self.rng.u64(..=slow_ms);
        self.enqueue((7, socket, 0, 0), after_ms, Event::Client { client: at, socket, then });
    }

    /// A client does what it has put off.
    pub(crate) fn client_then(&mut self, at: usize, socket: SocketId, then: Then) {
        let client = &mut self.clients[at];
        if client.socket != Some(socket) {
            return;
        }
        let mut bytes = Vec::new();
        let ack = |packet_id| Ack::new(packet_id, ReasonCode::Success);
        match then {
            Then::Acknowledge(id) => {
                client.in_use.remove(&id);
                client.on_connection.remove(&id);
                encode::puback(&mut bytes, client.version, &ack(id));
            }
            Then::Receive(id) => encode::pubrec(&mut bytes, client.version, &ack(id)),
            Then::Complete(id) => {
                client.in_use.remove(&id);
                client.on_connection.remove(&id);
                encode::pubcomp(&mut bytes, client.version, &ack(id));
            }
        }
        self.send(socket, bytes);
    }
}
