//! A connection of an MQTT 5 client.

use std::{io, net::SocketAddr, time::Duration};

use sluice_mqtt::{
    Ack, Connect, ConnectProperties, Disconnect, Packet, Publish, PublishProperties, QoS, ReasonCode, Subscribe,
    SubscribeFilter, SubscriptionOptions, UserProperties, Version, decode_from_server, encode, split,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A client that is connected.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    has_session: bool,
}

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hello<'a> {
    pub(super) client_id: &'a str,
    /// Whether an older session ends.
    pub(super) clean_start: bool,
    /// How long the session outlives the connection, in seconds.
    pub(super) expiry_s: u32,
}

/// What a node said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    Publish {
        topic: String,
        payload: Vec<u8>,
        packet_id: u16,
    },
    /// An acknowledgement, and whether the message was accepted.
    PubAck {
        packet_id: u16,
        accepted: bool,
    },
    /// Whether the subscription was granted.
    SubAck {
        granted: bool,
    },
    Nothing,
}

impl Client {
    /// Connects, and waits until the node answers.
    ///
    /// # Errors
    /// Nobody listens, or it refuses, or takes too long.
    pub(super) async fn connect(address: SocketAddr, hello: Hello<'_>) -> io::Result<Self> {
        timeout(CONNECT_DEADLINE, Self::connect_patiently(address, hello)).await?
    }

    async fn connect_patiently(address: SocketAddr, hello: Hello<'_>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, input: Vec::new(), output: Vec::new(), has_session: false };
        let Hello { client_id, clean_start, expiry_s } = hello;
        let connect = Connect {
            version: VERSION,
            bridge: false,
            clean_start,
            keep_alive: KEEP_ALIVE_S,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties { session_expiry: Some(expiry_s), ..ConnectProperties::default() },
        };
        encode::connect(&mut client.output, &connect);
        client.flush().await?;
        loop {
            client.read().await?;
            let answer = client.take(|packet| {
                let Packet::ConnAck(answer) = packet else { return Err(unexpected(&packet)) };
                if answer.reason.is_error() {
                    return Err(io::Error::other(format!("refused: {}", answer.reason)));
                }
                Ok(answer.session_present)
            })?;
            if let Some(has_session) = answer {
                client.has_session = has_session;
                return Ok(client);
            }
        }
    }

    /// Whether the node knew the session.
    pub(super) fn has_session(&self) -> bool {
        self.has_session
    }

    /// Waits for the next packet. Nothing is lost when it is not waited for to the end.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            if let Some(heard) = self.heard()? {
                return Ok(heard);
            }
            self.read().await?;
        }
    }

    /// The next packet of what came in.
    ///
    /// # Errors
    /// The node ends the connection, or says what no node may say.
    pub(super) fn heard(&mut self) -> io::Result<Option<Heard>> {
        self.take(|packet| match packet {
            Packet::Publish(publish) => {
                let (topic, payload) = (publish.topic.to_owned(), publish.payload.to_vec());
                Ok(Heard::Publish { topic, payload, packet_id: publish.packet_id })
            }
            Packet::PubAck(ack) => Ok(Heard::PubAck { packet_id: ack.packet_id, accepted: !ack.reason.is_error() }),
            Packet::SubAck(ack) => Ok(Heard::SubAck { granted: ack.reasons.iter().all(|reason| !reason.is_error()) }),
            Packet::PingResp => Ok(Heard::Nothing),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Err(unexpected(&packet)),
        })
    }

    /// Appends a PUBLISH at QoS 1; it leaves with [`Self::flush`], as everything that follows here.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8], packet_id: u16, dup: bool) {
        let properties = PublishProperties::EMPTY;
        let packet = Publish { dup, qos: QoS::AtLeastOnce, retain: false, topic, packet_id, properties, payload };
        encode::publish_packet(&mut self.output, VERSION, &packet);
    }

    /// Appends a PUBACK, or nothing for the packet id 0 of QoS 0.
    pub(super) fn acknowledge(&mut self, packet_id: u16) {
        if packet_id != 0 {
            encode::puback(&mut self.output, VERSION, &Ack::new(packet_id, ReasonCode::Success));
        }
    }

    /// Appends a SUBSCRIBE at QoS 1.
    pub(super) fn subscribe(&mut self, filter: &str) {
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
        let filters = [SubscribeFilter { filter, options }];
        let user_properties = UserProperties::EMPTY;
        let packet =
            Subscribe { packet_id: 1, subscription_id: None, user_properties, filters: filters.as_slice().into() };
        encode::subscribe(&mut self.output, VERSION, &packet);
    }

    /// Appends a PINGREQ.
    pub(super) fn ping(&mut self) {
        encode::pingreq(&mut self.output);
    }

    /// Writes what was appended. To be waited for to the end.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    /// Says goodbye.
    pub(super) async fn disconnect(mut self) {
        encode::disconnect(&mut self.output, VERSION, &Disconnect::new(ReasonCode::Success));
        // It may be gone already.
        let _ = self.flush().await;
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take<T>(&mut self, read: impl FnOnce(Packet<'_>) -> io::Result<T>) -> io::Result<Option<T>> {
        let Some(frame) = split(&self.input, PACKET_BYTES_MAX).map_err(io::Error::other)? else { return Ok(None) };
        if self.input.len() < frame.total() {
            return Ok(None);
        }
        let body = &self.input[frame.header_len..frame.total()];
        let result = decode_from_server(VERSION, frame.first, body).map_err(io::Error::other).and_then(read);
        self.input.drain(..frame.total());
        result.map(Some)
    }
}

/// A packet that ends the connection: DISCONNECT, or one that no node sends to such a client.
fn unexpected(packet: &Packet<'_>) -> io::Error {
    io::Error::other(format!("the node says {:?}", packet.packet_type()))
}

const VERSION: Version = Version::V5;
/// As long as a client waits for its ping to be due three times.
pub(super) const KEEP_ALIVE_S: u16 = 30;
/// How often a client pings, so that a node that is silent is noticed.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const PACKET_BYTES_MAX: u32 = 1 << 20;
