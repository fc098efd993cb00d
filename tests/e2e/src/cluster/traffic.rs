//! Clients of a cluster. Messages are numbered, and a number is the whole payload, so that one can tell what is missing.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sluice_mqtt::{QoS, ReasonCode};

use super::until;
use crate::client::{AckKind, Connection, Delivery, Hello, Received};

/// A client on a thread of its own that acknowledges whatever it receives, and keeps it in order.
#[derive(Debug)]
pub struct Subscriber {
    received: Arc<Mutex<Vec<Delivery>>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<io::Result<()>>,
    session_present: bool,
}

impl Subscriber {
    /// Connects, subscribes, and goes on when that is acknowledged. Without filters it has what its session has.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn start(address: SocketAddr, hello: &Hello<'_>, filters: &[&str], qos: QoS) -> Self {
        let mut connection = Connection::open_patiently(address, hello);
        let received = Arc::new(Mutex::new(Vec::new()));
        if !filters.is_empty() {
            connection.subscribe(&filters.iter().map(|&filter| filter.to_owned()).collect::<Vec<_>>(), qos);
            let granted = loop {
                match connection.expect_packet().expect("SUBACK") {
                    Received::SubAck(reasons) => break reasons,
                    other => keep(&mut connection, &received, other),
                }
            };
            assert!(granted.iter().all(|reason| !reason.is_error()), "{filters:?}: {granted:?}");
        }
        let (stop, session_present) = (Arc::new(AtomicBool::new(false)), connection.session_present());
        let thread = {
            let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
            thread::spawn(move || listen(connection, &received, &stop))
        };
        Self { received, stop, thread, session_present }
    }

    /// Whether the server had its session.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// What it received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Delivery> {
        self.received.lock().expect("deliveries").clone()
    }

    /// The numbers that came with a topic, in order.
    #[must_use]
    pub fn numbers(&self, topic: &str) -> Vec<u64> {
        numbers(&self.received(), topic)
    }

    /// Waits until the number `last` came with a topic, or that many messages.
    pub fn until_number(&self, topic: &str, last: u64) {
        let is_there = |numbers: &[u64]| numbers.contains(&last) || numbers.len() as u64 > last;
        until(&format!("{last} of {topic} arrives"), || is_there(&self.numbers(topic)));
    }

    /// Whether the server has ended the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Says goodbye, and returns what was received. Its session stays if it is a persistent one.
    ///
    /// # Panics
    /// When the connection had been ended by the server.
    #[must_use]
    pub fn stop(self) -> Vec<Delivery> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a thread").expect("a connection that lasts");
        std::mem::take(&mut *self.received.lock().expect("deliveries"))
    }
}

fn listen(mut connection: Connection, received: &Mutex<Vec<Delivery>>, stop: &AtomicBool) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        connection.receive(Duration::from_millis(20))?;
        while let Some(packet) = connection.next_packet()? {
            keep(&mut connection, received, packet);
        }
        connection.flush()?;
    }
    connection.disconnect()
}

fn keep(connection: &mut Connection, received: &Mutex<Vec<Delivery>>, packet: Received) {
    match packet {
        Received::Publish(delivery) => {
            match delivery.qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => connection.acknowledge(AckKind::PubAck, delivery.packet_id),
                QoS::ExactlyOnce => connection.acknowledge(AckKind::PubRec, delivery.packet_id),
            }
            received.lock().expect("deliveries").push(delivery);
        }
        Received::Ack(AckKind::PubRel, packet_id, _) => connection.acknowledge(AckKind::PubComp, packet_id),
        other => panic!("not expected of a server here: {other:?}"),
    }
}

/// The numbers that came with a topic, in order.
#[must_use]
pub fn numbers(deliveries: &[Delivery], topic: &str) -> Vec<u64> {
    let number = |delivery: &Delivery| String::from_utf8_lossy(&delivery.payload).parse().expect("a number");
    deliveries.iter().filter(|delivery| delivery.topic == topic).map(number).collect()
}

/// A client that publishes numbers and insists on its acknowledgements.
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    next_packet_id: u16,
}

impl Publisher {
    /// Connects.
    #[must_use]
    pub fn start(address: SocketAddr, client_id: &str) -> Self {
        let connection = Connection::open_patiently(address, &Hello::transient(client_id));
        Self { connection, next_packet_id: 1 }
    }

    /// Publishes these numbers, each when the one before is acknowledged.
    ///
    /// # Panics
    /// When one is refused.
    pub fn publish(&mut self, topic: &str, numbers: Range<u64>, qos: QoS) {
        for number in numbers {
            let reason = self.send(topic, number.to_string().as_bytes(), qos, false);
            assert!(!reason.is_error(), "{number} of {topic}: {reason}");
        }
    }

    /// Publishes a retained message.
    ///
    /// # Panics
    /// When it is refused.
    pub fn retain(&mut self, topic: &str, payload: &[u8]) {
        let reason = self.send(topic, payload, QoS::AtLeastOnce, true);
        assert!(!reason.is_error(), "{topic}: {reason}");
    }

    /// Publishes one message and waits until it is acknowledged; says how.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> ReasonCode {
        self.next_packet_id = self.next_packet_id % 60_000 + 1;
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { self.next_packet_id };
        self.connection.publish(topic, payload, qos, packet_id, false, retain);
        self.connection.flush().expect("a connection that lasts");
        let mut awaited: VecDeque<AckKind> = match qos {
            QoS::AtMostOnce => VecDeque::new(),
            QoS::AtLeastOnce => [AckKind::PubAck].into(),
            QoS::ExactlyOnce => [AckKind::PubRec, AckKind::PubComp].into(),
        };
        while let Some(kind) = awaited.pop_front() {
            let answer = self.connection.expect_packet().expect("an acknowledgement");
            let Received::Ack(got, id, reason) = answer else { panic!("{answer:?} instead of {kind:?}") };
            assert_eq!((got, id), (kind, packet_id));
            if reason.is_error() {
                return reason;
            }
            if kind == AckKind::PubRec {
                self.connection.acknowledge(AckKind::PubRel, packet_id);
            }
        }
        ReasonCode::Success
    }
}

/// A publisher on a thread of its own that goes on and on, a message every few milliseconds.
#[derive(Debug)]
pub struct Stream {
    topic: String,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Stream {
    /// Connects and begins with number 0.
    #[must_use]
    pub fn start(address: SocketAddr, topic: &str, qos: QoS) -> Self {
        let mut publisher = Publisher::start(address, &format!("stream of {topic}"));
        let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
        let thread = {
            let (stop, topic) = (Arc::clone(&stop), topic.clone());
            thread::spawn(move || {
                let mut next = 0;
                while !stop.load(Ordering::Relaxed) {
                    publisher.publish(&topic, next..next + 1, qos);
                    next += 1;
                    thread::sleep(Duration::from_millis(2));
                }
                next
            })
        };
        Self { topic, stop, thread }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Ends it; returns how many messages were acknowledged.
    ///
    /// # Panics
    /// When one was refused, or the connection broke.
    #[must_use]
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a stream that is never refused")
    }
}
