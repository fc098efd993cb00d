//! A subscriber with a session, and its habits.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use sluice_mqtt::{QoS, ReasonCode, Version};

use super::{
    Stage,
    account::{Account, Entry, Verdict, Violation},
    message::{Message, Stream},
    publisher::Done,
};
use crate::client::{AckKind, Connection, Delivery, Hello, Received};

/// How a subscriber behaves until the end of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Habit {
    /// Acknowledges at once.
    Prompt,
    /// Acknowledges in batches, some time later.
    Late,
    /// Is away more than it is there.
    Absent,
    /// Never acknowledges.
    Mute,
}

/// Who subscribes to what.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) version: Version,
    pub(super) habit: Habit,
    pub(super) filters: &'static [&'static str],
    pub(super) qos: QoS,
    /// Which streams it must get.
    pub(super) wants: fn(Stream) -> bool,
    pub(super) account: Account,
}

/// A subscriber.
pub(super) struct Subscriber<'a> {
    stage: &'a Stage,
    role: Role,
    rng: fastrand::Rng,
    connected_before: bool,
    subscribed: bool,
    /// QoS of open deliveries by packet id, oldest first: what to acknowledge how.
    open_qos: VecDeque<(u16, u8)>,
    acknowledge_at: Instant,
    /// What happened last, for the report.
    events: VecDeque<String>,
    progress: (u64, Instant),
}

impl<'a> Subscriber<'a> {
    pub(super) fn new(stage: &'a Stage, role: Role) -> Self {
        let rng = fastrand::Rng::with_seed(stage.plan.seed ^ role.name.len() as u64 ^ 0x5b5c_1234);
        Self {
            stage,
            role,
            rng,
            connected_before: false,
            subscribed: false,
            open_qos: VecDeque::new(),
            acknowledge_at: Instant::now(),
            events: VecDeque::new(),
            progress: (0, Instant::now()),
        }
    }

    /// Receives until everything published has come.
    pub(super) fn run(mut self) {
        while !self.stage.ledger.failed() {
            let hello = Hello::persistent(self.role.version, self.role.name);
            let Some(connection) = self.stage.connect(&hello) else { return };
            self.note(format!("connected, session present {}", connection.session_present()));
            if self.connected_before && !connection.session_present() {
                return self.fail(&Violation::SessionLost);
            }
            self.connected_before = true;
            self.role.account.on_connect();
            self.open_qos.clear();
            match self.serve(connection) {
                Ok(Done) => return,
                Err(error) => self.note(format!("disconnected: {error}")),
            }
            if self.role.habit == Habit::Absent && !self.stage.is_draining() {
                self.stage.sleep(Duration::from_millis(self.rng.u64(..1_500)));
            } else {
                self.stage.pause_between_connections(&mut self.rng);
            }
        }
    }

    fn serve(&mut self, mut connection: Connection) -> io::Result<Done> {
        if !self.subscribed {
            let filters: Vec<String> = self.role.filters.iter().map(|&filter| filter.to_owned()).collect();
            connection.subscribe(&filters, self.role.qos);
        }
        let leave_at = self.stage.next_leave(&mut self.rng);
        loop {
            if self.stage.ledger.failed() || (self.stage.is_settled() && self.is_complete()?) {
                return Ok(Done);
            }
            if !self.stage.is_draining() && Instant::now() > leave_at && self.subscribed {
                return Err(io::ErrorKind::Interrupted.into());
            }
            connection.flush()?;
            connection.receive(Duration::from_millis(3))?;
            while let Some(packet) = connection.next_packet()? {
                self.on_packet(&mut connection, packet);
                if self.stage.ledger.failed() {
                    return Ok(Done);
                }
            }
            self.acknowledge_what_is_open(&mut connection);
        }
    }

    fn on_packet(&mut self, connection: &mut Connection, packet: Received) {
        match packet {
            Received::Publish(delivery) => self.on_delivery(&delivery),
            Received::Ack(AckKind::PubRel, packet_id, _) => {
                self.note(format!("PUBREL {packet_id}"));
                self.role.account.on_released(packet_id);
                self.open_qos.retain(|(open, _)| *open != packet_id);
                connection.acknowledge(AckKind::PubComp, packet_id);
            }
            Received::SubAck(reasons) => {
                if reasons.iter().any(|reason| *reason != ReasonCode::granted(self.role.qos)) {
                    return self.fail(&Violation::Refused(format!("SUBACK {reasons:?}")));
                }
                self.subscribed = true;
                self.stage.subscribed.fetch_add(1, Ordering::AcqRel);
            }
            other @ (Received::Ack(..) | Received::Pong) => {
                self.fail(&Violation::Refused(format!("a subscriber got {other:?}")));
            }
        }
    }

    fn on_delivery(&mut self, delivery: &Delivery) {
        let qos = delivery.qos.bits();
        let message = Message::parse(&delivery.topic, &delivery.payload);
        let ours = message.filter(|m| (self.role.wants)(m.stream) && m.number < self.stage.ledger.published(m.stream));
        let Some(message) = ours else {
            let text = String::from_utf8_lossy(&delivery.payload).into_owned();
            return self.fail(&Violation::Foreign(format!("{} {text:.40}", delivery.topic)));
        };
        let dup = if delivery.dup { " DUP" } else { "" };
        self.note(format!("PUBLISH {} {message} at QoS {qos}{dup}", delivery.packet_id));
        let entry = Entry { message, qos, dup: delivery.dup, packet_id: delivery.packet_id };
        match self.role.account.on_publish(entry) {
            Ok(Verdict::First) => self.stage.ledger.delivered.fetch_add(1, Ordering::Relaxed),
            Ok(Verdict::Again) => self.stage.ledger.redelivered.fetch_add(1, Ordering::Relaxed),
            Err(violation) => return self.fail(&violation),
        };
        self.open_qos.push_back((delivery.packet_id, qos));
    }

    fn acknowledge_what_is_open(&mut self, connection: &mut Connection) {
        let draining = self.stage.is_draining();
        match self.role.habit {
            Habit::Mute if !draining => return,
            Habit::Late if !draining && Instant::now() < self.acknowledge_at => return,
            Habit::Late | Habit::Mute | Habit::Prompt | Habit::Absent => {}
        }
        self.acknowledge_at = Instant::now() + Duration::from_millis(self.rng.u64(..120));
        while let Some((packet_id, qos)) = self.open_qos.pop_front() {
            if qos == 2 {
                connection.acknowledge(AckKind::PubRec, packet_id);
                self.role.account.on_taken(packet_id);
            } else {
                connection.acknowledge(AckKind::PubAck, packet_id);
                self.role.account.on_acknowledged(packet_id);
            }
        }
    }

    /// Whether everything has come; an error of the run when nothing comes any more.
    fn is_complete(&mut self) -> io::Result<bool> {
        let wanted = || Stream::all(self.stage.plan.publishers).filter(|stream| (self.role.wants)(*stream));
        let received: u64 = wanted().map(|stream| self.role.account.received(stream)).sum();
        let missing = wanted().find(|s| self.role.account.received(*s) < self.stage.ledger.published(*s));
        let Some(missing) = missing else { return Ok(true) };
        if self.progress.0 != received {
            self.progress = (received, Instant::now());
        } else if self.progress.1.elapsed() > PATIENCE {
            let missing = self.role.account.missing(missing);
            self.fail(&Violation::Lost { missing, instead: None });
        }
        Ok(false)
    }

    fn note(&mut self, event: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(format!("{:7} ms  {event}", self.stage.ledger.now_ms()));
    }

    fn fail(&mut self, violation: &Violation) {
        let mut context = format!("  what {} saw last:\n", self.role.name);
        for event in &self.events {
            let _ = writeln!(context, "    {event}");
        }
        self.stage.ledger.fail(self.role.name, violation, &context);
    }
}

/// Events kept for the report.
const EVENTS: usize = 120;
/// How long nothing may come while something is missing.
const PATIENCE: Duration = Duration::from_secs(15);
