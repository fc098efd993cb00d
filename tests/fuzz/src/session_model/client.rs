//! A client that keeps to the specification, and knows what it is owed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_mqtt::{Ack, ConnAck, Packet, Publish, QoS, ReasonCode, Version, encode};

use super::{
    FILTERS, TOPICS,
    ledger::{Ledger, MessageNumber, SessionKey},
};
use crate::node::SocketId;

/// What the client knows of its session at the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// The broker may or may not have one: a connection broke at the wrong moment.
    Unknown,
}

/// How a CONNECT was meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    pub(super) clean_start: bool,
    /// Whether the session outlives its connection.
    pub(super) persistent: bool,
    pub(super) will: Option<MessageNumber>,
}

pub(super) struct Connection {
    pub(super) socket: SocketId,
    pub(super) terms: Terms,
    /// Whether CONNACK has come.
    pub(super) accepted: bool,
    /// Bytes of a packet that is not whole.
    partial: Vec<u8>,
    /// Topics by the broker's aliases.
    aliases: BTreeMap<u16, String>,
    /// Packet ids of deliveries on this connection that are not done with.
    live: BTreeSet<u16>,
    /// What the client owes, oldest first.
    owed: VecDeque<Owed>,
    pings: usize,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::enum_variant_names, reason = "the names are those of the specification")]
enum Owed {
    PubAck(u16),
    PubRec(u16),
    PubComp(u16),
}

/// A request that waits for its answer, by packet id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    Publish(MessageNumber),
    /// PUBREC came, PUBCOMP has not.
    Release,
    Subscribe {
        filter: usize,
        qos: QoS,
    },
    Unsubscribe,
}

#[derive(Default)]
struct Subscription {
    qos: QoS,
    /// Whether SUBACK came and nothing was said about the filter since.
    certain: bool,
}

/// What a session has received.
#[derive(Default)]
struct Inbox {
    /// The last first delivery of each publisher, topic, published and delivered QoS.
    last: BTreeMap<(SessionKey, usize, QoS, QoS), MessageNumber>,
    /// Messages delivered at QoS 1 or 2 without RETAIN.
    seen: BTreeSet<MessageNumber>,
    /// Messages delivered exactly once, they say.
    once: BTreeSet<MessageNumber>,
    /// Deliveries that are not acknowledged, by packet id.
    open: BTreeMap<u16, (Option<MessageNumber>, QoS)>,
}

pub(super) struct Client {
    at: usize,
    pub(super) version: Version,
    receive_max: u16,
    generation: u32,
    pub(super) standing: Standing,
    /// Whether the client has thrown its session away, so that it has to start clean until that has worked.
    pub(super) discarded: bool,
    pub(super) connection: Option<Connection>,
    /// In order of sending, which is the order of sending again.
    requests: Vec<(u16, Request)>,
    subscriptions: BTreeMap<usize, Subscription>,
    /// Filters that messages of this session may have come through.
    ever: BTreeSet<usize>,
    inbox: Inbox,
    next_id: u16,
}

impl Client {
    pub(super) fn new(at: usize, version: Version, receive_max: u16) -> Self {
        Self {
            at,
            version,
            receive_max,
            generation: 0,
            standing: Standing::Absent,
            discarded: false,
            connection: None,
            requests: Vec::new(),
            subscriptions: BTreeMap::new(),
            ever: BTreeSet::new(),
            inbox: Inbox::default(),
            next_id: 0,
        }
    }

    pub(super) fn key(&self) -> SessionKey {
        SessionKey { client: self.at, generation: self.generation }
    }

    /// The connection, once it was accepted.
    pub(super) fn accepted(&self) -> Option<SocketId> {
        self.connection.as_ref().filter(|connection| connection.accepted).map(|connection| connection.socket)
    }

    pub(super) fn connected(&mut self, socket: SocketId, terms: Terms, ledger: &mut Ledger) {
        if terms.clean_start {
            // The client has thrown its session away; the broker may not get to hear of it.
            self.forget(ledger);
            self.standing = Standing::Unknown;
            self.discarded = true;
        } else if !terms.persistent {
            ledger.ending.insert(self.key());
        }
        let (partial, aliases, live, owed) = Default::default();
        let accepted = false;
        self.connection = Some(Connection { socket, terms, accepted, partial, aliases, live, owed, pings: 0 });
    }

    /// Whether a message of this topic, sent at this moment, must come.
    pub(super) fn is_promised(&self, topic: usize) -> bool {
        self.has_subscribed(topic, QoS::AtLeastOnce)
    }

    /// Whether the session has subscribed to this topic for certain, at this QoS or a higher one.
    pub(super) fn has_subscribed(&self, topic: usize, at_least: QoS) -> bool {
        let reachable = self.accepted().is_some() || self.standing == Standing::Present;
        let own = |filter: usize| FILTERS[filter].matches(topic) && !FILTERS[filter].is_shared;
        let mut matching = self.subscriptions.iter().filter(|(filter, _)| own(**filter));
        reachable && matching.any(|(_, sub)| sub.certain && sub.qos >= at_least)
    }

    /// The connection is gone, and with it a transient session. What it was meant to be, if it was accepted.
    pub(super) fn lost(&mut self, ledger: &mut Ledger) -> Option<Terms> {
        let connection = self.connection.take()?;
        let terms = connection.terms;
        ledger.ending.remove(&self.key());
        self.standing = match (connection.accepted, self.standing) {
            (true, _) if terms.persistent => Standing::Present,
            (true, _) => Standing::Absent,
            (false, Standing::Present) if !terms.clean_start && terms.persistent => Standing::Present,
            (false, _) => Standing::Unknown,
        };
        match self.standing {
            Standing::Absent => self.forget(ledger),
            // Its session ended with this connection if CONNECT had arrived: one that is present next may be another.
            Standing::Unknown if !terms.persistent => {
                self.forget(ledger);
                self.discarded = true;
            }
            Standing::Unknown => self.doubt(ledger),
            Standing::Present => {}
        }
        self.keep_publishes();
        connection.accepted.then_some(terms)
    }

    /// Other requests do not outlive their connection: what became of them is not known.
    fn keep_publishes(&mut self) {
        self.requests.retain(|(_, request)| matches!(request, Request::Publish(_) | Request::Release));
    }

    /// The session has ended.
    fn forget(&mut self, ledger: &mut Ledger) {
        ledger.release(self.key());
        self.generation += 1;
        self.requests.clear();
        self.subscriptions.clear();
        self.ever.clear();
        self.inbox = Inbox::default();
    }

    /// The session may have ended.
    fn doubt(&mut self, ledger: &mut Ledger) {
        ledger.release(self.key());
        self.subscriptions.values_mut().for_each(|subscription| subscription.certain = false);
    }

    /// The process at the other end died: which packet id stood for which message at QoS 1 is not kept.
    pub(super) fn crashed(&mut self, ledger: &mut Ledger) -> Option<Terms> {
        self.inbox.open.retain(|_, (_, qos)| *qos == QoS::ExactlyOnce);
        self.lost(ledger)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 200 + 1;
            if self.requests.iter().all(|(id, _)| *id != self.next_id) {
                return self.next_id;
            }
        }
    }

    pub(super) fn receive_max(&self) -> u16 {
        self.receive_max
    }

    /// Whether another request may be sent: the broker's Receive Maximum is far above.
    pub(super) fn may_request(&self) -> bool {
        self.accepted().is_some() && self.requests.len() < 40
    }

    pub(super) fn publish(&mut self, number: MessageNumber, ledger: &Ledger) -> Vec<u8> {
        let mut id = 0;
        if ledger.messages[number].qos > QoS::AtMostOnce {
            id = self.free_id();
            self.requests.push((id, Request::Publish(number)));
        }
        publish_bytes(self.version, number, id, false, ledger)
    }

    pub(super) fn subscribe(&mut self, filter: usize, options: u8, ledger: &mut Ledger) -> Vec<u8> {
        // Retain Handling 0 or 2 in version 5.
        let handling = if self.version == Version::V5 { options & 0b0010_0000 } else { 0 };
        let qos = QoS::from_bits(options % 3).unwrap_or_default();
        let id = self.free_id();
        self.requests.push((id, Request::Subscribe { filter, qos }));
        self.ever.insert(filter);
        let before = self.subscriptions.entry(filter).or_default();
        before.certain = false;
        if qos == QoS::AtMostOnce {
            ledger.release_topics(self.key(), |topic| FILTERS[filter].matches(topic));
        }
        request_bytes(self.version, 0x82, id, FILTERS[filter].text, Some(handling | qos as u8))
    }

    pub(super) fn unsubscribe(&mut self, filter: usize, ledger: &mut Ledger) -> Vec<u8> {
        let id = self.free_id();
        self.requests.push((id, Request::Unsubscribe));
        self.subscriptions.remove(&filter);
        ledger.release_topics(self.key(), |topic| FILTERS[filter].matches(topic));
        request_bytes(self.version, 0xA2, id, FILTERS[filter].text, None)
    }

    pub(super) fn ping(&mut self) -> Vec<u8> {
        self.connection.iter_mut().for_each(|connection| connection.pings += 1);
        vec![0xC0, 0]
    }

    /// Acknowledgements for the oldest deliveries.
    pub(super) fn acknowledge(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(connection) = &mut self.connection else { return bytes };
        for _ in 0..count {
            let Some(owed) = connection.owed.pop_front() else { break };
            match owed {
                Owed::PubAck(id) => {
                    encode::puback(&mut bytes, self.version, &Ack::new(id, ReasonCode::Success));
                    connection.live.remove(&id);
                    self.inbox.open.remove(&id);
                }
                Owed::PubRec(id) => encode::pubrec(&mut bytes, self.version, &Ack::new(id, ReasonCode::Success)),
                Owed::PubComp(id) => {
                    encode::pubcomp(&mut bytes, self.version, &Ack::new(id, ReasonCode::Success));
                    connection.live.remove(&id);
                    self.inbox.open.remove(&id);
                }
            }
        }
        bytes
    }

    /// Whether nothing is owed on either side of the connection.
    pub(super) fn is_quiet(&self) -> bool {
        let owed = self.connection.as_ref().is_some_and(|c| !c.accepted || c.pings > 0 || !c.owed.is_empty());
        !owed && (self.connection.is_none() || self.requests.is_empty())
    }

    /// Bytes from the broker; what comes back is sent at once.
    pub(super) fn receive(&mut self, bytes: &[u8], ledger: &mut Ledger) -> Vec<u8> {
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let mut buffer = std::mem::take(&mut connection.partial);
        buffer.extend_from_slice(bytes);
        let (mut at, mut reply) = (0, Vec::new());
        while let Some(frame) = sluice_mqtt::split(&buffer[at..], u32::MAX).expect("the broker's packets have a header")
        {
            let Some(body) = buffer.get(at + frame.header_len..at + frame.total()) else { break };
            let packet = sluice_mqtt::decode_from_server(self.version, frame.first, body);
            let packet = packet.expect("the broker's packets are well formed");
            self.take(&packet, ledger, &mut reply);
            at += frame.total();
        }
        if let Some(connection) = &mut self.connection {
            connection.partial = buffer.split_off(at);
        }
        reply
    }

    fn take(&mut self, packet: &Packet<'_>, ledger: &mut Ledger, reply: &mut Vec<u8>) {
        let Some(connection) = &mut self.connection else { return };
        assert!(connection.accepted || matches!(packet, Packet::ConnAck(_)), "CONNACK comes first: {packet:?}");
        match packet {
            Packet::ConnAck(connack) => self.take_connack(connack, ledger, reply),
            Packet::Publish(publish) => self.take_publish(publish, ledger),
            Packet::PubAck(ack) => self.take_answer(ack, false, ledger),
            Packet::PubRec(ack) => {
                self.take_answer(ack, true, ledger);
                encode::pubrel(reply, self.version, &Ack::new(ack.packet_id, ReasonCode::Success));
            }
            Packet::PubComp(ack) => {
                let request = self.request(ack.packet_id);
                assert_eq!(request, Request::Release, "I18: PUBCOMP {} settles no release", ack.packet_id);
            }
            Packet::PubRel(ack) => {
                connection.live.insert(ack.packet_id);
                connection.owed.push_back(Owed::PubComp(ack.packet_id));
            }
            Packet::SubAck(suback) => {
                let Request::Subscribe { filter, qos } = self.request(suback.packet_id) else {
                    panic!("I18: SUBACK {} settles no SUBSCRIBE", suback.packet_id);
                };
                let granted: Vec<u8> = suback.reasons.iter().map(|reason| reason as u8).collect();
                assert_eq!(granted, [qos as u8], "what was asked for is granted");
                let again = self
                    .requests
                    .iter()
                    .any(|(_, r)| matches!(r, Request::Subscribe { filter: f, .. } if *f == filter));
                if let Some(subscription) = self.subscriptions.get_mut(&filter) {
                    *subscription = Subscription { qos, certain: !again };
                }
            }
            Packet::UnsubAck(ack) => assert_eq!(self.request(ack.packet_id), Request::Unsubscribe, "I18"),
            Packet::PingResp => {
                assert!(connection.pings > 0, "a PINGRESP that nobody asked for");
                connection.pings -= 1;
            }
            other => panic!("a client that keeps to the rules is told {other:?}"),
        }
    }

    fn take_connack(&mut self, connack: &ConnAck<'_>, ledger: &mut Ledger, reply: &mut Vec<u8>) {
        let Some(connection) = &mut self.connection else { return };
        assert_eq!(connack.reason, ReasonCode::Success, "a client that keeps to the rules is refused");
        assert!(!connection.accepted, "a second CONNACK");
        connection.accepted = true;
        ledger.ending.remove(&SessionKey { client: self.at, generation: self.generation });
        let may_be_present = self.standing != Standing::Absent && !connection.terms.clean_start;
        let must_be_present = self.standing == Standing::Present && !connection.terms.clean_start;
        let present = connack.session_present;
        assert!(may_be_present || !present, "I13: a session that had ended is present");
        assert!(!must_be_present || present, "I13: a session was lost");
        if !present {
            self.forget(ledger);
        }
        (self.standing, self.discarded) = (Standing::Present, false);
        self.send_again(ledger, reply);
    }

    /// What was not acknowledged, in the order in which it was sent [MQTT-4.4.0-1].
    fn send_again(&mut self, ledger: &Ledger, reply: &mut Vec<u8>) {
        for (id, request) in &self.requests {
            match request {
                Request::Publish(number) => {
                    reply.extend_from_slice(&publish_bytes(self.version, *number, *id, true, ledger));
                }
                Request::Release => encode::pubrel(reply, self.version, &Ack::new(*id, ReasonCode::Success)),
                Request::Subscribe { .. } | Request::Unsubscribe => {}
            }
        }
    }

    /// Takes the request that a packet id stands for.
    fn request(&mut self, id: u16) -> Request {
        let at = self.requests.iter().position(|(of, _)| *of == id);
        let at = at.unwrap_or_else(|| panic!("I18: an answer to packet id {id}, which is not in use"));
        self.requests.remove(at).1
    }

    /// PUBACK, or PUBREC, which leaves a release behind.
    fn take_answer(&mut self, ack: &Ack<'_>, releases: bool, ledger: &mut Ledger) {
        let at = self.requests.iter().position(|(id, _)| *id == ack.packet_id);
        let Some((at, Request::Publish(number))) = at.map(|at| (at, self.requests[at].1)) else {
            // A PUBREC for a message sent again may come twice.
            assert!(releases && at.is_some(), "I18: an acknowledgement of packet id {}, not in use", ack.packet_id);
            return;
        };
        let message = &ledger.messages[number];
        assert_eq!(releases, message.qos == QoS::ExactlyOnce, "the acknowledgement of another QoS");
        assert!(!ack.reason.is_error(), "message {number} was refused: {:?}", ack.reason);
        if ack.reason == ReasonCode::NoMatchingSubscribers {
            assert!(!ledger.had_a_taker(number), "message {number} matched nobody, they say: {message:?}");
        }
        ledger.ack(number);
        if releases {
            self.requests[at].1 = Request::Release;
        } else {
            self.requests.remove(at);
        }
    }

    fn take_publish(&mut self, publish: &Publish<'_>, ledger: &mut Ledger) {
        let Some(connection) = &mut self.connection else { return };
        let topic = match publish.properties.topic_alias {
            Some(alias) if publish.topic.is_empty() => connection.aliases.get(&alias).expect("an alias that was set"),
            Some(alias) => {
                connection.aliases.insert(alias, publish.topic.to_owned());
                publish.topic
            }
            None => publish.topic,
        };
        if publish.payload.is_empty() {
            // The message that cleared a topic does not say its number.
            if publish.qos > QoS::AtMostOnce {
                self.take_acknowledged(None, publish);
            }
            return;
        }
        let number = number_of(publish.payload);
        let message = &ledger.messages[number];
        assert_eq!(topic, TOPICS[message.topic], "I14: message {number} came under another topic");
        let reachable = self.ever.iter().any(|filter| FILTERS[*filter].matches(message.topic));
        assert!(reachable, "I14: message {number} came without a subscription");
        assert!(publish.qos <= message.qos, "message {number} was published at {:?}", message.qos);
        assert!(!message.withdrawn, "I21: will {number} came although its client had said goodbye");
        if publish.qos == QoS::AtMostOnce {
            assert!(!publish.dup);
            self.check_order(number, publish, ledger);
        } else if self.take_acknowledged(Some(number), publish) {
            self.take_new(number, publish, ledger);
        }
    }

    /// Notes that a delivery is to be acknowledged; says whether it is a new one to the client.
    fn take_acknowledged(&mut self, number: Option<MessageNumber>, publish: &Publish<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let id = publish.packet_id;
        assert!(connection.live.insert(id), "I17: packet id {id} is in use on this connection");
        assert!(connection.live.len() <= usize::from(self.receive_max), "I17: more than the Receive Maximum");
        let owed = if publish.qos == QoS::ExactlyOnce { Owed::PubRec(id) } else { Owed::PubAck(id) };
        connection.owed.push_back(owed);
        let Some(before) = self.inbox.open.insert(id, (number, publish.qos)) else { return true };
        assert_eq!(before, (number, publish.qos), "packet id {id} stands for another message");
        assert!(publish.dup, "message {number:?} came again without DUP");
        false
    }

    fn take_new(&mut self, number: MessageNumber, publish: &Publish<'_>, ledger: &mut Ledger) {
        if publish.qos == QoS::ExactlyOnce {
            let is_new = publish.retain || self.is_shared() || self.inbox.once.insert(number);
            assert!(is_new, "I15: message {number} came twice to session {:?}", self.key());
        }
        if !publish.retain {
            let published_once = ledger.messages[number].qos == QoS::ExactlyOnce;
            let again = !self.inbox.seen.insert(number);
            let doubled = again && published_once && !publish.dup && !self.is_shared();
            assert!(!doubled, "I15: message {number}, published at QoS 2, was delivered twice");
            if !again {
                self.check_order(number, publish, ledger);
            }
            ledger.received(self.key(), number);
        }
    }

    /// First deliveries come in the order of publishing [MQTT-4.6.0-6].
    fn check_order(&mut self, number: MessageNumber, publish: &Publish<'_>, ledger: &Ledger) {
        let message = &ledger.messages[number];
        // What is sent again at QoS 1 or 2 may come again at QoS 0, where nobody can tell.
        let is_copy = publish.qos == QoS::AtMostOnce && message.qos > QoS::AtMostOnce;
        // Sent before the session wanted it, or had it stored, it comes when its publisher sends it again.
        let who = if publish.qos == QoS::AtMostOnce { &message.wanted } else { &message.stored };
        let is_late = !who.contains(&self.key());
        if message.is_will || publish.retain || is_copy || is_late || self.is_shared() {
            return;
        }
        let key = (message.publisher, message.topic, message.qos, publish.qos);
        if let Some(last) = self.inbox.last.insert(key, number) {
            assert!(last < number, "I16: {number} came after {last}");
        }
    }

    /// Whether copies may come through a shared group: nothing is promised about their order and number.
    fn is_shared(&self) -> bool {
        self.ever.iter().any(|filter| FILTERS[*filter].is_shared)
    }
}

fn number_of(payload: &[u8]) -> MessageNumber {
    let text = std::str::from_utf8(payload).expect("a payload of this model");
    text.parse().expect("a payload that says its number")
}

fn publish_bytes(version: Version, number: MessageNumber, id: u16, dup: bool, ledger: &Ledger) -> Vec<u8> {
    let message = &ledger.messages[number];
    let payload = if message.clears { String::new() } else { number.to_string() };
    let head = sluice_mqtt::PublishHead {
        version,
        dup: dup && message.qos > QoS::AtMostOnce,
        qos: message.qos,
        retain: message.retain,
        topic: TOPICS[message.topic],
        packet_id: id,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: &[],
        forward: &[],
        payload_len: payload.len(),
    };
    let mut bytes = Vec::new();
    encode::publish(&mut bytes, &head, payload.as_bytes());
    bytes
}

/// A SUBSCRIBE or an UNSUBSCRIBE of one filter.
fn request_bytes(version: Version, first: u8, id: u16, filter: &str, options: Option<u8>) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
    body.extend_from_slice(filter.as_bytes());
    body.extend(options);
    let mut bytes = vec![first, body.len() as u8];
    bytes.append(&mut body);
    bytes
}
