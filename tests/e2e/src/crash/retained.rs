//! Retained messages as registers: whoever subscribes sees the last acknowledged value or a newer one.

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use sluice_mqtt::{QoS, ReasonCode, Version};

use super::{Stage, account::Violation, publisher::Done};
use crate::client::{AckKind, Connection, Hello, Received};

/// The state of one register. Write `n` is its `n`th, from 1; a write whose number is divisible by 50 clears it.
#[derive(Debug, Default)]
pub(super) struct Register {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// Registers of a run.
pub(super) const REGISTERS: usize = 6;

fn topic_of(register: usize) -> String {
    format!("register/{register}")
}

const fn clears(write: u64) -> bool {
    write.is_multiple_of(50)
}

/// Writes registers until told to stop and until everything is acknowledged.
pub(super) struct Writer<'a> {
    stage: &'a Stage,
    rng: fastrand::Rng,
    /// Unfinished writes, oldest first.
    writes: VecDeque<Write>,
    last_packet_id: u16,
}

struct Write {
    packet_id: u16,
    register: usize,
    number: u64,
    released: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        let rng = fastrand::Rng::with_seed(stage.plan.seed ^ 0x7e7e);
        Self { stage, rng, writes: VecDeque::new(), last_packet_id: 1 }
    }

    pub(super) fn run(mut self) {
        while !self.stage.ledger.failed() {
            let Some(connection) = self.stage.connect(&Hello::persistent(Version::V5, "register-writer")) else {
                return;
            };
            if let Ok(Done) = self.serve(connection) {
                return;
            }
            self.stage.pause_between_connections(&mut self.rng);
        }
    }

    fn serve(&mut self, mut connection: Connection) -> io::Result<Done> {
        for write in &self.writes {
            if write.released {
                connection.acknowledge(AckKind::PubRel, write.packet_id);
            } else {
                send(&mut connection, write, true);
            }
        }
        loop {
            if self.stage.ledger.failed() {
                return Ok(Done);
            }
            if !self.stage.is_draining() {
                self.write_one(&mut connection);
            } else if self.writes.is_empty() {
                connection.disconnect()?;
                return Ok(Done);
            }
            connection.flush()?;
            connection.receive(Duration::from_millis(4))?;
            while let Some(packet) = connection.next_packet()? {
                self.on_packet(&mut connection, &packet);
            }
        }
    }

    /// One register's writes are all at the same QoS, so that their order is promised.
    fn write_one(&mut self, connection: &mut Connection) {
        if self.writes.len() >= 20 {
            return;
        }
        let register = self.rng.usize(..REGISTERS);
        let number = self.stage.registers[register].sent.fetch_add(1, Ordering::AcqRel) + 1;
        self.last_packet_id = if self.last_packet_id == u16::MAX { 2 } else { self.last_packet_id + 1 };
        let write = Write { packet_id: self.last_packet_id, register, number, released: false };
        send(connection, &write, false);
        self.writes.push_back(write);
    }

    fn on_packet(&mut self, connection: &mut Connection, packet: &Received) {
        let Received::Ack(kind, packet_id, reason) = *packet else { return };
        let Some(at) = self.writes.iter().position(|write| write.packet_id == packet_id) else { return };
        let Write { register, number, .. } = self.writes[at];
        if reason.is_error() && reason != ReasonCode::PacketIdentifierNotFound {
            let what = format!("{kind:?} of write {number} to {}: {reason}", topic_of(register));
            return self.stage.ledger.fail("register-writer", &Violation::Refused(what), "");
        }
        if matches!(kind, AckKind::PubAck | AckKind::PubRec) {
            self.stage.registers[register].acknowledged.fetch_max(number, Ordering::AcqRel);
        }
        if kind == AckKind::PubRec {
            self.writes[at].released = true;
            connection.acknowledge(AckKind::PubRel, packet_id);
        } else {
            self.writes.remove(at);
        }
    }
}

fn send(connection: &mut Connection, write: &Write, dup: bool) {
    let payload = if clears(write.number) { String::new() } else { write.number.to_string() };
    let qos = if write.register.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
    connection.publish(&topic_of(write.register), payload.as_bytes(), qos, write.packet_id, dup, true);
}

/// Subscribes anew and looks whether every register shows what it must. Gives up without a verdict when the connection
/// breaks: the node may be killed meanwhile.
pub(super) fn check(stage: &Stage) -> io::Result<()> {
    let acknowledged: Vec<u64> = stage.registers.iter().map(|r| r.acknowledged.load(Ordering::Acquire)).collect();
    let mut connection = Connection::open(stage.address(), &Hello::transient("register-reader"))?;
    connection.subscribe(&["register/+".to_owned()], QoS::AtMostOnce);
    let mut seen = vec![None; REGISTERS];
    let deadline = Instant::now() + Duration::from_secs(3);
    let shown = |seen: &[Option<u64>]| (0..REGISTERS).all(|r| seen[r].is_some_and(|write| write >= acknowledged[r]));
    while !shown(&seen) && Instant::now() < deadline {
        connection.flush()?;
        connection.receive(Duration::from_millis(10))?;
        while let Some(packet) = connection.next_packet()? {
            if let Received::Publish(delivery) = packet {
                note(&mut seen, &delivery.topic, &delivery.payload, delivery.retain, &acknowledged, stage);
            }
        }
        // A register that was never set, or was cleared, may show nothing.
        let silent = |r: usize| seen[r].is_none() && may_be_clear(acknowledged[r], &stage.registers[r]);
        if deadline.saturating_duration_since(Instant::now()) < Duration::from_millis(2_500)
            && (0..REGISTERS).all(|r| seen[r].is_some() || silent(r))
        {
            return Ok(());
        }
    }
    for (register, seen) in seen.iter().enumerate() {
        if seen.is_none() && !may_be_clear(acknowledged[register], &stage.registers[register]) {
            let what =
                format!("{} shows nothing, write {} was acknowledged", topic_of(register), acknowledged[register]);
            stage.ledger.fail("register-reader", &Violation::RetainedLost(what), "");
        }
    }
    Ok(())
}

fn note(seen: &mut [Option<u64>], topic: &str, payload: &[u8], retain: bool, acknowledged: &[u64], stage: &Stage) {
    let register = topic.strip_prefix("register/").and_then(|n| n.parse::<usize>().ok()).filter(|r| *r < REGISTERS);
    let Some(register) = register else { return };
    // An empty message is a clearing that happens just now.
    let write = std::str::from_utf8(payload).ok().and_then(|n| n.parse().ok()).unwrap_or(acknowledged[register]);
    if retain && (write < acknowledged[register] || write > stage.registers[register].sent.load(Ordering::Acquire)) {
        let what = format!("{topic} shows write {write}, write {} was acknowledged", acknowledged[register]);
        stage.ledger.fail("register-reader", &Violation::RetainedLost(what), "");
    }
    seen[register] = seen[register].max(Some(write));
}

/// Whether one of the writes that the register may show is a clearing.
fn may_be_clear(acknowledged: u64, register: &Register) -> bool {
    acknowledged == 0 || (acknowledged..=register.sent.load(Ordering::Acquire)).any(clears)
}
