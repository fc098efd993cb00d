//! A connection that sends what it is told and fails the test when something else comes back.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use crate::{
    incoming::{Ack, Connack, Incoming, Publish, Reason, Suback, decode, split},
    outgoing::{Outgoing, PublishOut, pingreq, puback, pubcomp, pubrec, pubrel, subscribe, unsubscribe},
    stream::{DEADLINE, Stream},
    wire::Version,
};

/// A client of the server under test.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    version: Version,
    received: Vec<u8>,
    /// Messages that came in the middle of another exchange.
    set_aside: VecDeque<Incoming>,
    packet_bytes_max: usize,
    next_packet_id: u16,
    last_connack: Option<Connack>,
}

impl Client {
    /// A client on a connected transport; nothing is sent yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            version: Version::V5,
            received: Vec::new(),
            set_aside: VecDeque::new(),
            packet_bytes_max: usize::MAX,
            next_packet_id: 0,
            last_connack: None,
        }
    }

    /// The version it speaks: that of the last CONNECT sent.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Says which version the bytes are in that a test sends itself.
    pub fn speak(&mut self, version: Version) -> &mut Self {
        self.version = version;
        self
    }

    /// The CONNACK that was accepted.
    #[must_use]
    pub fn connack(&self) -> &Connack {
        self.last_connack.as_ref().expect("a CONNACK")
    }

    /// The transport below.
    #[must_use]
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Sends a packet. A server that closed meanwhile is found out by what is expected next.
    pub fn send(&mut self, packet: impl Outgoing) -> &mut Self {
        self.version = packet.version().unwrap_or(self.version);
        self.packet_bytes_max = packet.packet_bytes_max().unwrap_or(self.packet_bytes_max);
        let bytes = packet.encode(self.version);
        self.send_bytes(&bytes)
    }

    /// Sends several packets in one write.
    pub fn send_together(&mut self, packets: &[&dyn Outgoing]) -> &mut Self {
        let mut bytes = Vec::new();
        for packet in packets {
            self.version = packet.version().unwrap_or(self.version);
            bytes.extend(packet.encode(self.version));
        }
        self.send_bytes(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match self.stream.write_all(bytes).and_then(|()| self.stream.flush()) {
            Ok(()) => self,
            Err(error) if is_closed(&error) => self,
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// The next packet; `None` when the server closed.
    pub fn receive_or_end(&mut self) -> Option<Incoming> {
        self.set_aside.pop_front().or_else(|| self.read_packet())
    }

    fn read_packet(&mut self) -> Option<Incoming> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some((first, body, length)) = split(&self.received) {
                assert!(length <= self.packet_bytes_max, "a packet over the Maximum Packet Size [MQTT-3.1.2-24]");
                let packet = decode(self.version, first, body);
                self.received.drain(..length);
                return Some(packet);
            }
            assert!(Instant::now() < deadline, "nothing whole came in time");
            if !self.fill() {
                assert!(self.received.is_empty(), "the server closed within a packet: {:02x?}", self.received);
                return None;
            }
        }
    }

    /// Reads what is there; `false` at the end of the stream.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend_from_slice(&chunk[..length]);
                true
            }
            Err(error) if is_closed(&error) => false,
            Err(error) => panic!("nothing came in time: {error}"),
        }
    }

    /// The next packet.
    pub fn receive(&mut self) -> Incoming {
        self.receive_or_end().expect("a packet, but the server closed")
    }

    /// CONNACK that accepts.
    pub fn expect_connack(&mut self) -> Connack {
        match self.receive() {
            Incoming::Connack(connack) if connack.reason == 0 => {
                self.last_connack = Some(connack.clone());
                connack
            }
            other => panic!("expected an accepting CONNACK, got {other:?}"),
        }
    }

    /// CONNACK that refuses with one of these codes, then the end.
    pub fn expect_refused(&mut self, codes: &[u8]) -> Connack {
        match self.receive() {
            Incoming::Connack(connack) if codes.contains(&connack.reason) => {
                self.expect_closed();
                connack
            }
            other => panic!("expected a CONNACK of {codes:02x?}, got {other:02x?}"),
        }
    }

    /// As [`Self::expect_refused`], or the end without an answer.
    pub fn expect_refused_or_closed(&mut self, codes: &[u8]) {
        match self.receive_or_end() {
            None => {}
            Some(Incoming::Connack(connack)) if codes.contains(&connack.reason) => self.expect_closed(),
            Some(other) => panic!("expected a CONNACK of {codes:02x?} or the end, got {other:02x?}"),
        }
    }

    /// A CONNECT of a protocol that the server does not speak was sent: the end, after nothing or a CONNACK that says
    /// "unacceptable protocol version" as version 3 or as version 5 has it.
    pub fn expect_protocol_refused(&mut self) {
        while self.fill() {}
        let allowed: [&[u8]; 3] = [b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"];
        assert!(allowed.contains(&self.received.as_slice()), "expected a refusal, got {:02x?}", self.received);
    }

    /// DISCONNECT with one of these reasons, then the end.
    pub fn expect_disconnect(&mut self, codes: &[u8]) -> Reason {
        match self.receive() {
            Incoming::Disconnect(disconnect) if codes.contains(&disconnect.reason) => {
                self.expect_closed();
                disconnect
            }
            other => panic!("expected a DISCONNECT of {codes:02x?}, got {other:02x?}"),
        }
    }

    /// As [`Self::expect_disconnect`], or the end without a DISCONNECT.
    pub fn expect_disconnect_or_closed(&mut self, codes: &[u8]) {
        match self.receive_or_end() {
            None => {}
            Some(Incoming::Disconnect(disconnect)) if codes.contains(&disconnect.reason) => self.expect_closed(),
            Some(other) => panic!("expected a DISCONNECT of {codes:02x?} or the end, got {other:02x?}"),
        }
    }

    /// The end of the connection as the version has it: DISCONNECT with one of these reasons in version 5, and just
    /// the end before.
    pub fn expect_thrown_out(&mut self, codes: &[u8]) {
        match self.version {
            Version::V5 => drop(self.expect_disconnect(codes)),
            Version::V31 | Version::V311 => self.expect_closed(),
        }
    }

    /// The end of the stream, and nothing before it.
    pub fn expect_closed(&mut self) {
        if let Some(packet) = self.receive_or_end() {
            panic!("expected the end, got {packet:02x?}");
        }
    }

    /// The end of the stream, whatever comes before it.
    pub fn expect_end(&mut self) {
        while self.fill() {}
    }

    /// The end of the stream, without a single byte before it.
    pub fn expect_closed_silently(&mut self) {
        while self.fill() {}
        assert!(self.received.is_empty(), "expected no reply, got {:02x?}", self.received);
    }

    /// PUBLISH.
    pub fn expect_publish(&mut self) -> Publish {
        match self.receive() {
            Incoming::Publish(publish) => publish,
            other => panic!("expected a PUBLISH, got {other:02x?}"),
        }
    }

    /// PUBLISH with this topic and payload; acknowledged at its QoS to the end of its exchange.
    pub fn expect_message(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Publish {
        let publish = self.expect_publish();
        assert_eq!(publish.topic, topic);
        assert_eq!(String::from_utf8_lossy(&publish.payload), String::from_utf8_lossy(payload.as_ref()));
        self.acknowledge(&publish);
        publish
    }

    /// The next packet that is no PUBLISH. Messages that come before it are kept for later.
    fn receive_past_messages(&mut self) -> Incoming {
        loop {
            match self.read_packet().expect("a packet, but the server closed") {
                message @ Incoming::Publish(_) => self.set_aside.push_back(message),
                packet => return packet,
            }
        }
    }

    /// Completes the exchange of a PUBLISH that came. More messages may come meanwhile.
    pub fn acknowledge(&mut self, publish: &Publish) {
        match publish.qos {
            0 => {}
            1 => drop(self.send(puback(publish.packet_id))),
            _ => {
                self.send(pubrec(publish.packet_id));
                match self.receive_past_messages() {
                    Incoming::Pubrel(ack) if ack.packet_id == publish.packet_id => {}
                    other => panic!("expected PUBREL {}, got {other:02x?}", publish.packet_id),
                }
                self.send(pubcomp(publish.packet_id));
            }
        }
    }

    /// PUBACK.
    pub fn expect_puback(&mut self, packet_id: u16) -> Ack {
        match self.receive() {
            Incoming::Puback(ack) if ack.packet_id == packet_id => ack,
            other => panic!("expected PUBACK {packet_id}, got {other:02x?}"),
        }
    }

    /// PUBREC.
    pub fn expect_pubrec(&mut self, packet_id: u16) -> Ack {
        match self.receive() {
            Incoming::Pubrec(ack) if ack.packet_id == packet_id => ack,
            other => panic!("expected PUBREC {packet_id}, got {other:02x?}"),
        }
    }

    /// PUBREL.
    pub fn expect_pubrel(&mut self, packet_id: u16) -> Ack {
        match self.receive() {
            Incoming::Pubrel(ack) if ack.packet_id == packet_id => ack,
            other => panic!("expected PUBREL {packet_id}, got {other:02x?}"),
        }
    }

    /// PUBCOMP.
    pub fn expect_pubcomp(&mut self, packet_id: u16) -> Ack {
        match self.receive() {
            Incoming::Pubcomp(ack) if ack.packet_id == packet_id => ack,
            other => panic!("expected PUBCOMP {packet_id}, got {other:02x?}"),
        }
    }

    /// SUBACK with exactly these reasons. A server may begin to send messages before it; they are kept for later.
    pub fn expect_suback(&mut self, packet_id: u16, reasons: &[u8]) -> Suback {
        match self.receive_past_messages() {
            Incoming::Suback(ack) if ack.packet_id == packet_id && ack.reasons == reasons => ack,
            other => panic!("expected SUBACK {packet_id} {reasons:02x?}, got {other:02x?}"),
        }
    }

    /// SUBACK whatever its reasons.
    pub fn expect_any_suback(&mut self, packet_id: u16) -> Suback {
        match self.receive() {
            Incoming::Suback(ack) if ack.packet_id == packet_id => ack,
            other => panic!("expected SUBACK {packet_id}, got {other:02x?}"),
        }
    }

    /// SUBACK that refuses its one filter, or the end of the connection for a malformed packet.
    pub fn expect_filter_refused(&mut self, packet_id: u16) {
        match self.receive_or_end() {
            Some(Incoming::Suback(ack)) if ack.packet_id == packet_id => {
                assert!(ack.reasons.len() == 1 && ack.reasons[0] >= 0x80, "the filter was granted: {ack:02x?}");
            }
            Some(Incoming::Disconnect(end)) if matches!(end.reason, 0x81 | 0x82 | 0x8F) => self.expect_closed(),
            None if self.version != Version::V5 => {}
            other => panic!("expected a refusal of the filter, got {other:02x?}"),
        }
    }

    /// UNSUBACK with exactly these reasons; earlier versions than 5 have none.
    pub fn expect_unsuback(&mut self, packet_id: u16, reasons: &[u8]) -> Suback {
        match self.receive() {
            Incoming::Unsuback(ack) if ack.packet_id == packet_id => {
                assert!(self.version != Version::V5 || ack.reasons == reasons, "{ack:02x?}, expected {reasons:02x?}");
                ack
            }
            other => panic!("expected UNSUBACK {packet_id}, got {other:02x?}"),
        }
    }

    /// AUTH.
    pub fn expect_auth(&mut self) -> Reason {
        match self.receive() {
            Incoming::Auth(auth) => auth,
            other => panic!("expected AUTH, got {other:02x?}"),
        }
    }

    /// PINGREQ and its answer, with nothing in between: everything that was under way to this client has come.
    pub fn ping(&mut self) -> &mut Self {
        self.send(pingreq());
        match self.receive() {
            Incoming::Pingresp => self,
            other => panic!("expected PINGRESP, got {other:02x?}"),
        }
    }

    /// Nothing is on its way to this client. Call it when what must not come would be caused by something that is
    /// already acknowledged.
    pub fn expect_nothing(&mut self) -> &mut Self {
        std::thread::sleep(Duration::from_millis(30));
        self.ping()
    }

    /// Everything that comes before the answer to a PINGREQ sent by now.
    pub fn drain(&mut self) -> Vec<Incoming> {
        std::thread::sleep(Duration::from_millis(30));
        self.send(pingreq());
        let mut packets = Vec::new();
        loop {
            match self.receive() {
                Incoming::Pingresp => return packets,
                packet => packets.push(packet),
            }
        }
    }

    /// A packet id that this client has not used yet.
    pub fn fresh_packet_id(&mut self) -> u16 {
        self.next_packet_id += 1;
        self.next_packet_id
    }

    /// Subscribes and expects the QoS to be granted. No retained message may come with it: see [`Self::send`].
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> &mut Self {
        self.subscribe_with(filter, qos)
    }

    /// Subscribes with an options byte and expects its QoS to be granted.
    pub fn subscribe_with(&mut self, filter: &str, options: u8) -> &mut Self {
        let packet_id = self.fresh_packet_id();
        self.send(subscribe(packet_id).filter(filter, options));
        self.expect_suback(packet_id, &[options & 3]);
        self
    }

    /// Unsubscribes from a filter that is there.
    pub fn unsubscribe(&mut self, filter: &str) -> &mut Self {
        let packet_id = self.fresh_packet_id();
        self.send(unsubscribe(packet_id).topic(filter));
        self.expect_unsuback(packet_id, &[0]);
        self
    }

    /// Publishes and completes the exchange; messages that come meanwhile are kept for later. At QoS 1 and 2 the acknowledgement must not be negative.
    pub fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) -> &mut Self {
        self.deliver(crate::outgoing::publish(topic, payload), qos)
    }

    /// Publishes a retained message and completes the exchange.
    pub fn retain(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) -> &mut Self {
        self.deliver(crate::outgoing::publish(topic, payload).retain(), qos)
    }

    /// Sends this PUBLISH at `qos` and completes the exchange.
    pub fn deliver(&mut self, publish: PublishOut, qos: u8) -> &mut Self {
        if qos == 0 {
            return self.send(publish);
        }
        let packet_id = self.fresh_packet_id();
        self.send(publish.qos(qos, packet_id));
        let reason = match self.receive_past_messages() {
            Incoming::Puback(ack) if qos == 1 && ack.packet_id == packet_id => ack.reason,
            Incoming::Pubrec(ack) if qos == 2 && ack.packet_id == packet_id => ack.reason,
            other => panic!("expected the answer to PUBLISH {packet_id}, got {other:02x?}"),
        };
        assert!(reason < 0x80, "the PUBLISH was refused with {reason:#04x}");
        if qos == 2 {
            self.send(pubrel(packet_id));
            match self.receive_past_messages() {
                Incoming::Pubcomp(ack) if ack.packet_id == packet_id => {}
                other => panic!("expected PUBCOMP {packet_id}, got {other:02x?}"),
            }
        }
        self
    }

    /// Sends DISCONNECT 0x00 and waits until the server has closed.
    pub fn leave(mut self) {
        self.send(crate::outgoing::disconnect(0));
        while self.receive_or_end().is_some() {}
    }

    /// Ends the connection without a DISCONNECT and waits until the server has noticed.
    pub fn vanish(mut self) {
        self.stream.shutdown_write();
        while self.receive_or_end().is_some() {}
    }
}

/// Whether an error says that the peer closed.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof | Kind::NotConnected
    )
}
