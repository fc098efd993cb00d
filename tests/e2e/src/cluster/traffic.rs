//! What clients do on several nodes, and what must come of it: every message is accounted for.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use sluice_mqtt::{QoS, ReasonCode, Version};

use crate::client::{AckKind, Connection, Delivery, Hello, Received};

/// A client that acknowledges what it is sent, and remembers it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    got: Vec<Delivery>,
    /// Packet ids of QoS 2 messages that were taken and not released.
    held: BTreeMap<u16, ()>,
}

impl Reader {
    /// Connects, subscribes, and returns when the subscription is in effect.
    ///
    /// # Panics
    /// When a node refuses.
    #[must_use]
    pub fn subscribe(address: SocketAddr, hello: &Hello<'_>, filters: &[&str], qos: QoS) -> Self {
        let mut reader = Self::resume(address, hello);
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        reader.connection.subscribe(&filters, qos);
        reader.connection.flush().expect("a connection");
        loop {
            match reader.connection.expect_packet().expect("SUBACK") {
                Received::SubAck(reasons) => {
                    assert!(reasons.iter().all(|reason| !reason.is_error()), "{filters:?}: {reasons:?}");
                    return reader;
                }
                other => reader.take(other),
            }
        }
    }

    /// Connects to a session that has its subscriptions.
    #[must_use]
    pub fn resume(address: SocketAddr, hello: &Hello<'_>) -> Self {
        let connection = Connection::open_patiently(address, hello);
        Self { connection, got: Vec::new(), held: BTreeMap::new() }
    }

    /// Whether the node had a session.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.connection.session_present()
    }

    /// Reads until there are so many messages, or it takes too long; then a little longer, for what is too much.
    #[must_use]
    pub fn read(mut self, messages: usize) -> Vec<Delivery> {
        let deadline = Instant::now() + PATIENCE;
        while self.got.len() < messages && Instant::now() < deadline {
            if self.read_some().is_err() {
                return self.got;
            }
        }
        let end = Instant::now() + AFTERWARDS;
        while Instant::now() < end && self.read_some().is_ok() {}
        self.got
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn read_some(&mut self) -> io::Result<()> {
        while let Some(packet) = self.connection.next_packet()? {
            self.take(packet);
        }
        self.connection.flush()?;
        self.connection.receive(Duration::from_millis(20))
    }

    /// What came so far.
    #[must_use]
    pub fn got(&self) -> &[Delivery] {
        &self.got
    }

    fn take(&mut self, packet: Received) {
        match packet {
            Received::Publish(delivery) => {
                match delivery.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.connection.acknowledge(AckKind::PubAck, delivery.packet_id),
                    QoS::ExactlyOnce => self.connection.acknowledge(AckKind::PubRec, delivery.packet_id),
                }
                let again = delivery.qos == QoS::ExactlyOnce && self.held.insert(delivery.packet_id, ()).is_some();
                if !again {
                    self.got.push(delivery);
                }
            }
            Received::Ack(AckKind::PubRel, packet_id, _) => {
                self.held.remove(&packet_id);
                self.connection.acknowledge(AckKind::PubComp, packet_id);
            }
            Received::Ack(..) | Received::SubAck(_) | Received::Pong => {}
        }
    }
}

/// A client that publishes and waits for each acknowledgement.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    packet_id: u16,
}

impl Writer {
    /// A client whose session ends with it.
    #[must_use]
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        Self { connection: Connection::open_patiently(address, &Hello::transient(client_id)), packet_id: 100 }
    }

    /// Publishes, and says what the node answered; `Ok(None)` at QoS 0.
    ///
    /// # Errors
    /// The connection is gone, or no answer came.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) -> io::Result<Option<ReasonCode>> {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(100);
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { self.packet_id };
        self.connection.publish(topic, payload.as_bytes(), qos, packet_id, false, retain);
        self.connection.flush()?;
        match qos {
            QoS::AtMostOnce => Ok(None),
            QoS::AtLeastOnce => self.await_ack(AckKind::PubAck).map(Some),
            QoS::ExactlyOnce => {
                let reason = self.await_ack(AckKind::PubRec)?;
                if !reason.is_error() {
                    self.connection.acknowledge(AckKind::PubRel, packet_id);
                    self.connection.flush()?;
                    self.await_ack(AckKind::PubComp)?;
                }
                Ok(Some(reason))
            }
        }
    }

    fn await_ack(&mut self, kind: AckKind) -> io::Result<ReasonCode> {
        loop {
            if let Received::Ack(of, packet_id, reason) = self.connection.expect_packet()?
                && of == kind
                && packet_id == self.packet_id
            {
                return Ok(reason);
            }
        }
    }
}

/// The payloads of some deliveries.
#[must_use]
pub fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.payload).into_owned()).collect()
}

/// A client with a session that is kept, of version 5.
#[must_use]
pub const fn persistent(client_id: &str) -> Hello<'_> {
    Hello::persistent(Version::V5, client_id)
}

/// How long messages may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to look for what should not come.
const AFTERWARDS: Duration = Duration::from_millis(300);
