//! A connection of a client with a session that outlives it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use sluice_mqtt::{
    Ack, Connect, ConnectProperties, Disconnect, Packet, Publish, PublishProperties, QoS, ReasonCode, Subscribe,
    SubscribeFilter, SubscriptionOptions, UserProperties, Version, Will, decode_from_server, encode, split,
};

/// Who connects, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The protocol.
    pub version: Version,
    /// The client id.
    pub client_id: &'a str,
    /// Whether an old session ends.
    pub clean_start: bool,
    /// How long the session outlives the connection, in seconds; version 3 keeps it if `clean_start` is false.
    pub expiry_s: u32,
    /// The will.
    pub will: Option<Will<'a>>,
}

impl<'a> Hello<'a> {
    /// A client whose session is kept.
    #[must_use]
    pub const fn persistent(version: Version, client_id: &'a str) -> Self {
        Self { version, client_id, clean_start: false, expiry_s: 86_400, will: None }
    }

    /// A client whose session ends with its connection.
    #[must_use]
    pub const fn transient(client_id: &'a str) -> Self {
        Self { version: Version::V5, client_id, clean_start: true, expiry_s: 0, will: None }
    }
}

/// A connected client. Dropped, it is gone without DISCONNECT.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    version: Version,
    session_present: bool,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// What a server sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// PUBLISH.
    Publish(Delivery),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP: its kind, packet id and reason.
    Ack(AckKind, u16, ReasonCode),
    /// SUBACK with its reasons.
    SubAck(Vec<ReasonCode>),
    /// PINGRESP.
    Pong,
}

/// The acknowledgements of a PUBLISH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// A PUBLISH of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub struct Delivery {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub dup: bool,
    pub retain: bool,
    pub packet_id: u16,
}

impl Connection {
    /// Connects and waits for CONNACK.
    ///
    /// # Errors
    /// Nobody listens, the connection breaks, or CONNACK refuses.
    pub fn open(address: SocketAddr, hello: &Hello<'_>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER_DEADLINE))?;
        let version = hello.version;
        let mut this = Self { stream, version, session_present: false, input: Vec::new(), output: Vec::new() };
        let mut properties = ConnectProperties::default();
        if version == Version::V5 {
            properties.session_expiry = Some(hello.expiry_s);
        }
        let connect = Connect {
            version,
            bridge: false,
            clean_start: hello.clean_start,
            keep_alive: 0,
            client_id: hello.client_id,
            will: hello.will,
            username: None,
            password: None,
            properties,
        };
        encode::connect(&mut this.output, &connect);
        this.flush()?;
        this.session_present = this.await_connack()?;
        Ok(this)
    }

    /// As [`Self::open`], tried again until the node serves.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[must_use]
    pub fn open_patiently(address: SocketAddr, hello: &Hello<'_>) -> Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match Self::open(address, hello) {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "{} cannot connect: {error}", hello.client_id),
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    fn await_connack(&mut self) -> io::Result<bool> {
        let deadline = Instant::now() + ANSWER_DEADLINE;
        while Instant::now() < deadline {
            self.receive(Duration::from_millis(50))?;
            if let Some(present) = self.take(|packet| match packet {
                Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => Ok(connack.session_present),
                Packet::ConnAck(connack) => Err(io::Error::other(format!("refused: {}", connack.reason))),
                _ => Err(io::Error::other(format!("{packet:?} instead of CONNACK"))),
            })? {
                return Ok(present);
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, "no CONNACK"))
    }

    /// Whether the server had a session.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Appends a PUBLISH. It leaves with [`Self::flush`].
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16, dup: bool, retain: bool) {
        let properties = PublishProperties::EMPTY;
        let packet = Publish { dup, qos, retain, topic, packet_id, properties, payload };
        encode::publish_packet(&mut self.output, self.version, &packet);
    }

    /// Appends an acknowledgement.
    pub fn acknowledge(&mut self, kind: AckKind, packet_id: u16) {
        let ack = Ack::new(packet_id, ReasonCode::Success);
        match kind {
            AckKind::PubAck => encode::puback(&mut self.output, self.version, &ack),
            AckKind::PubRec => encode::pubrec(&mut self.output, self.version, &ack),
            AckKind::PubRel => encode::pubrel(&mut self.output, self.version, &ack),
            AckKind::PubComp => encode::pubcomp(&mut self.output, self.version, &ack),
        }
    }

    /// Appends a SUBSCRIBE.
    pub fn subscribe(&mut self, filters: &[String], qos: QoS) {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let filters: Vec<_> = filters.iter().map(|filter| SubscribeFilter { filter, options }).collect();
        let packet = Subscribe {
            packet_id: SUBSCRIBE_PACKET_ID,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters: filters.as_slice().into(),
        };
        encode::subscribe(&mut self.output, self.version, &packet);
    }

    /// Appends a PINGREQ.
    pub fn ping(&mut self) {
        encode::pingreq(&mut self.output);
    }

    /// Says goodbye; the session stays.
    ///
    /// # Errors
    /// The connection broke before.
    pub fn disconnect(mut self) -> io::Result<()> {
        encode::disconnect(&mut self.output, self.version, &Disconnect::new(ReasonCode::Success));
        self.flush()
    }

    /// Writes what was appended.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Takes in what arrives within this time.
    ///
    /// # Errors
    /// The connection broke.
    pub fn receive(&mut self, within: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(within))?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.input.extend_from_slice(&chunk[..read]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next packet of what came in.
    ///
    /// # Errors
    /// The server said DISCONNECT.
    ///
    /// # Panics
    /// When it is not what a server may send.
    pub fn next_packet(&mut self) -> io::Result<Option<Received>> {
        self.take(|packet| match packet {
            Packet::Publish(publish) => Ok(Received::Publish(Delivery {
                topic: publish.topic.to_owned(),
                payload: publish.payload.to_vec(),
                qos: publish.qos,
                dup: publish.dup,
                retain: publish.retain,
                packet_id: publish.packet_id,
            })),
            Packet::PubAck(ack) => Ok(Received::Ack(AckKind::PubAck, ack.packet_id, ack.reason)),
            Packet::PubRec(ack) => Ok(Received::Ack(AckKind::PubRec, ack.packet_id, ack.reason)),
            Packet::PubRel(ack) => Ok(Received::Ack(AckKind::PubRel, ack.packet_id, ack.reason)),
            Packet::PubComp(ack) => Ok(Received::Ack(AckKind::PubComp, ack.packet_id, ack.reason)),
            Packet::SubAck(suback) => Ok(Received::SubAck(suback.reasons.iter().collect())),
            Packet::PingResp => Ok(Received::Pong),
            Packet::Disconnect(disconnect) => Err(io::Error::other(format!("told to go: {}", disconnect.reason))),
            other => panic!("not expected of a server here: {other:?}"),
        })
    }

    /// Waits for the next packet.
    ///
    /// # Errors
    /// The connection broke, or nothing came in time.
    pub fn expect_packet(&mut self) -> io::Result<Received> {
        self.flush()?;
        let deadline = Instant::now() + ANSWER_DEADLINE;
        loop {
            if let Some(packet) = self.next_packet()? {
                return Ok(packet);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(ErrorKind::TimedOut, "nothing came"));
            }
            self.receive(Duration::from_millis(50))?;
        }
    }

    fn take<T>(&mut self, read: impl FnOnce(&Packet<'_>) -> io::Result<T>) -> io::Result<Option<T>> {
        let frame = split(&self.input, u32::MAX).expect("a packet");
        let Some(frame) = frame.filter(|frame| self.input.len() >= frame.total()) else { return Ok(None) };
        let body = &self.input[frame.header_len..frame.total()];
        let packet = decode_from_server(self.version, frame.first, body).expect("a packet of a server");
        let result = read(&packet)?;
        self.input.drain(..frame.total());
        Ok(Some(result))
    }
}

/// How often a client tries to connect to a node that is down.
const RETRY_INTERVAL: Duration = Duration::from_millis(15);
/// How long an answer may take on a machine that does other things as well.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Packet ids of PUBLISH start above it.
const SUBSCRIBE_PACKET_ID: u16 = 1;
