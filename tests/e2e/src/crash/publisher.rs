//! A publisher with a session: what was not acknowledged is sent again after every loss of connection, in order, under
//! the same packet ids and with DUP; what was released is released again.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use sluice_mqtt::{ReasonCode, Version};

use super::{
    Stage,
    account::Violation,
    message::{Message, Stream, TOPICS},
};
use crate::client::{AckKind, Connection, Hello, Received};

/// A publisher.
pub(super) struct Publisher<'a> {
    stage: &'a Stage,
    number: u8,
    client_id: String,
    version: Version,
    rng: fastrand::Rng,
    /// Unfinished exchanges, oldest first.
    exchanges: VecDeque<Exchange>,
    last_packet_id: u16,
    /// Connections so far.
    connections: u32,
}

struct Exchange {
    packet_id: u16,
    message: Message,
    /// PUBREC came.
    released: bool,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(stage: &'a Stage, number: u8) -> Self {
        let version = if number.is_multiple_of(2) { Version::V5 } else { Version::V311 };
        Self {
            stage,
            number,
            client_id: format!("publisher-{number}"),
            version,
            rng: fastrand::Rng::with_seed(stage.plan.seed ^ u64::from(number) << 32),
            exchanges: VecDeque::new(),
            last_packet_id: 1,
            connections: 0,
        }
    }

    /// Publishes until told to stop and until everything is acknowledged.
    pub(super) fn run(mut self) {
        while !self.stage.ledger.failed() {
            let hello = Hello::persistent(self.version, &self.client_id);
            let Some(connection) = self.stage.connect(&hello) else { return };
            if self.connections > 0 && !connection.session_present() {
                self.stage.ledger.fail(&self.client_id, &Violation::SessionLost, "");
                return;
            }
            self.connections += 1;
            if let Ok(Done) = self.serve(connection) {
                return;
            }
            self.stage.pause_between_connections(&mut self.rng);
        }
    }

    /// `Ok`: all is done. `Err`: the connection is gone.
    fn serve(&mut self, mut connection: Connection) -> io::Result<Done> {
        self.resume(&mut connection);
        let mut credit = Credit::new(self.stage.plan.rate_per_publisher);
        let leave_at = self.stage.next_leave(&mut self.rng);
        loop {
            if self.stage.ledger.failed() {
                return Ok(Done);
            }
            if self.stage.is_draining() {
                if self.exchanges.is_empty() {
                    connection.disconnect()?;
                    return Ok(Done);
                }
            } else {
                self.publish_some(&mut connection, &mut credit);
                if Instant::now() > leave_at {
                    // Half of the time with a last burst on its way.
                    if self.rng.bool() {
                        connection.flush()?;
                    }
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            connection.flush()?;
            connection.receive(Duration::from_millis(2))?;
            while let Some(packet) = connection.next_packet()? {
                self.on_packet(&mut connection, &packet);
            }
        }
    }

    fn resume(&mut self, connection: &mut Connection) {
        for exchange in &self.exchanges {
            if exchange.released {
                connection.acknowledge(AckKind::PubRel, exchange.packet_id);
            } else {
                self.send(connection, exchange, true);
            }
        }
    }

    fn publish_some(&mut self, connection: &mut Connection, credit: &mut Credit) {
        while self.exchanges.len() < WINDOW && credit.take() {
            let topic = self.rng.u8(..TOPICS);
            let qos = self.rng.u8(1..=2);
            let message = self.stage.ledger.publish(Stream { publisher: self.number, topic, qos });
            let exchange = Exchange { packet_id: self.next_packet_id(), message, released: false };
            self.send(connection, &exchange, false);
            self.exchanges.push_back(exchange);
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        loop {
            // A small range, so that packet ids come again soon.
            self.last_packet_id = if self.last_packet_id >= 200 { 2 } else { self.last_packet_id + 1 };
            if self.exchanges.iter().all(|exchange| exchange.packet_id != self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    fn on_packet(&mut self, connection: &mut Connection, packet: &Received) {
        let Received::Ack(kind, packet_id, reason) = *packet else {
            return self.complain(&format!("a publisher got {packet:?}"));
        };
        let Some(at) = self.exchanges.iter().position(|exchange| exchange.packet_id == packet_id) else {
            return self.complain(&format!("{kind:?} {packet_id} for nothing"));
        };
        let (message, released) = (self.exchanges[at].message, self.exchanges[at].released);
        let at_qos2 = message.stream.qos == 2;
        // A released message that the server has done with before a crash is not known to it any more.
        let done_before = kind == AckKind::PubComp && reason == ReasonCode::PacketIdentifierNotFound;
        if reason != ReasonCode::Success && !done_before {
            return self.complain(&format!("{kind:?} of {message}: {reason}"));
        }
        match kind {
            AckKind::PubAck if !at_qos2 => {
                self.stage.ledger.on_acknowledged(message);
                self.exchanges.remove(at);
            }
            AckKind::PubRec if at_qos2 => {
                self.stage.ledger.on_acknowledged(message);
                self.exchanges[at].released = true;
                connection.acknowledge(AckKind::PubRel, packet_id);
            }
            AckKind::PubComp if at_qos2 && released => {
                self.stage.ledger.on_completed(message);
                self.exchanges.remove(at);
            }
            AckKind::PubAck | AckKind::PubRec | AckKind::PubComp | AckKind::PubRel => {
                self.complain(&format!("{kind:?} for {message} is out of place"));
            }
        }
    }

    fn send(&self, connection: &mut Connection, exchange: &Exchange, dup: bool) {
        let message = exchange.message.sent_on(self.connections);
        let (topic, payload) = (message.stream.topic_name(), message.payload());
        connection.publish(&topic, &payload, message.stream.qos(), exchange.packet_id, dup, false);
    }

    fn complain(&self, what: &str) {
        self.stage.ledger.fail(&self.client_id, &Violation::Refused(what.to_owned()), "");
    }
}

/// All that was to be done is done.
pub(super) struct Done;

/// How much may be published by now.
struct Credit {
    started: Instant,
    rate: u64,
    spent: u64,
}

impl Credit {
    fn new(rate: u64) -> Self {
        Self { started: Instant::now(), rate, spent: 0 }
    }

    fn take(&mut self) -> bool {
        let earned = self.started.elapsed().as_millis() as u64 * self.rate / 1000;
        self.spent += u64::from(self.spent <= earned);
        self.spent <= earned
    }
}

/// Unacknowledged messages of a publisher at one time: below what a server allows by default.
const WINDOW: usize = 48;
