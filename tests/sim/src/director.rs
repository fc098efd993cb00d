//! What clients do and what goes wrong, by chance.

use sluice_mqtt::{QoS, Version};
use sluice_topic::matches;

use crate::{
    client::{Client, Phase},
    ledger::split_group,
    node::Node,
    world::{Event, World},
};

/// Where messages go.
pub(crate) const TOPICS: [&str; 5] = ["a/1", "a/2", "b/1", "b/2", "c"];
/// What clients subscribe to.
const FILTERS: [&str; 8] = ["a/1", "a/+", "b/1", "+/2", "c", "#", "b/#", "will/+"];
/// Shared groups.
const GROUPS: [&str; 3] = ["$share/g/a/+", "$share/h/#", "$share/g/b/1"];
/// In this time a cluster has started.
const BOOT_MS: u64 = 45_000;
/// How likely what is, in a hundred steps.
const PUBLISHES: u8 = 62;

/// Which faults a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) cuts: bool,
    pub(crate) partitions: bool,
    pub(crate) kills: bool,
    /// Nodes may be away for so long that they count as lost.
    pub(crate) losses: bool,
    pub(crate) slow_disks: bool,
    /// Replicas of control die, and streams to nodes break.
    pub(crate) control: bool,
    /// The store is out of reach, and loses answers.
    pub(crate) store: bool,
    /// Nodes refuse pushes.
    pub(crate) refusals: bool,
}

impl World {
    /// Makes up clients, and which faults there will be.
    pub(crate) fn populate(&mut self) -> Faults {
        let count = self.rng.usize(3..=9);
        for n in 0..count {
            let version = if self.rng.u8(..3) == 0 { Version::V311 } else { Version::V5 };
            let persistent = self.rng.u8(..5) < 2;
            let name = format!("{}{n}", if persistent { "stays" } else { "goes" });
            let mut client = Client::new(name, version, persistent);
            client.receive_maximum = if self.rng.u8(..4) == 0 { 2 } else { 32 };
            client.slow_ms = if self.rng.u8(..5) == 0 { 600 } else { 15 };
            client.with_will = self.rng.u8(..4) == 0;
            for _ in 0..self.rng.usize(0..3) {
                let wish = self.make_wish();
                if client.wishes.iter().all(|(full, _)| *full != wish.0) {
                    client.wishes.push(wish);
                }
            }
            self.clients.push(client);
        }
        let mut chance = |of: u8| self.rng.u8(..of) == 0;
        let quiet = chance(6);
        Faults {
            cuts: !quiet && chance(2),
            partitions: !quiet && chance(3),
            kills: !quiet && chance(2),
            losses: !quiet && chance(4),
            slow_disks: chance(3),
            control: !quiet && chance(2),
            store: !quiet && chance(3),
            refusals: !quiet && chance(4),
        }
    }

    /// The cluster comes up, before anything goes wrong: every node has its tables.
    pub(crate) fn boot(&mut self, faults: Faults) {
        let end = self.now_ms + BOOT_MS;
        let lacks = |node: &Node| node.gate.placement().is_none_or(|placement| placement.shards().is_empty());
        while self.nodes.iter().any(lacks) && self.now_ms < end {
            self.pass_ms(50);
        }
        if let Some(node) = self.nodes.iter().position(lacks) {
            self.ledger.fail("I28", || format!("node {node} has no placement long after the cluster has started"));
        }
        self.control.loses_answers = faults.store;
        self.refuses_pushes = faults.refusals;
        self.unrest = true;
    }

    fn make_wish(&mut self) -> (&'static str, QoS) {
        let shared = self.rng.u8(..4) == 0;
        let full =
            if shared { GROUPS[self.rng.usize(..GROUPS.len())] } else { FILTERS[self.rng.usize(..FILTERS.len())] };
        (full, self.some_qos())
    }

    fn some_qos(&mut self) -> QoS {
        QoS::from_bits([0, 1, 1, 2, 2][self.rng.usize(..5)]).unwrap_or(QoS::AtMostOnce)
    }

    /// One step, and the time until the next.
    pub(crate) fn step(&mut self, faults: Faults) {
        let at = self.rng.usize(..self.clients.len());
        match self.rng.u8(..100) {
            n if n < PUBLISHES => self.step_publish(at),
            62..80 => self.step_connection(at),
            80..84 => self.step_subscription(at),
            84..100 => self.step_fault(faults),
            _ => {}
        }
        let pause_ms = if self.rng.u8(..40) == 0 { self.rng.u64(200..2_500) } else { self.rng.u64(..25) };
        self.pass_ms(pause_ms);
    }

    fn step_publish(&mut self, at: usize) {
        if self.clients[at].phase != Phase::Online {
            return self.step_connection(at);
        }
        let topic = TOPICS[self.rng.usize(..TOPICS.len())];
        let (qos, retain) = (self.some_qos(), self.rng.u8(..6) == 0);
        let tombstone = retain && self.rng.u8(..4) == 0;
        self.publish(at, topic, qos, retain, tombstone);
    }

    /// Somebody publishes at once what a filter matches that was just acknowledged (I24).
    pub(crate) fn probe(&mut self, full: &str) {
        if !self.unrest || self.rng.u8(..3) > 0 {
            return;
        }
        let (_, filter) = split_group(full);
        let topics: Vec<&'static str> = TOPICS.into_iter().filter(|topic| matches(filter, topic)).collect();
        let at = self.rng.usize(..self.clients.len());
        if !topics.is_empty() && self.clients[at].phase == Phase::Online {
            let (topic, qos) = (topics[self.rng.usize(..topics.len())], self.some_qos());
            self.publish(at, topic, qos, false, false);
        }
    }

    fn some_node(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).collect();
        if alive.is_empty() { None } else { Some(alive[self.rng.usize(..alive.len())]) }
    }

    fn step_connection(&mut self, at: usize) {
        let Some(node) = self.some_node() else { return };
        let offline = self.clients[at].phase == Phase::Offline;
        if offline || self.rng.u8(..8) == 0 {
            self.clients[at].clean_next |= self.rng.u8(..20) == 0;
            let transient = self.rng.u8(..16) == 0;
            if let Some(socket) = self.clients[at].socket.filter(|_| self.rng.bool()) {
                self.hang_up(socket);
            }
            return self.connect(at, node, transient);
        }
        match self.rng.u8(..10) {
            0 => self.disconnect(at),
            1 => {
                if let Some(socket) = self.clients[at].socket {
                    self.hang_up(socket);
                    self.client_is_cut_off(at);
                }
            }
            _ => {}
        }
    }

    fn step_subscription(&mut self, at: usize) {
        if self.clients[at].phase != Phase::Online {
            return;
        }
        let wish = self.make_wish();
        let place = self.clients[at].wishes.iter().position(|(full, _)| *full == wish.0);
        match place {
            Some(place) => {
                self.clients[at].wishes.remove(place);
                self.unsubscribe(at, wish.0);
            }
            None if self.clients[at].wishes.len() < 4 => {
                self.clients[at].wishes.push(wish);
                self.subscribe(at, wish.0, wish.1);
            }
            None => {}
        }
    }

    fn step_control(&mut self, node: usize) {
        let replica = self.rng.usize(..self.control.replicas.len());
        if self.rng.bool() {
            return self.break_stream_of(node);
        }
        let ms = if self.rng.u8(..4) == 0 { self.rng.u64(10_000..40_000) } else { self.rng.u64(100..5_000) };
        if self.rng.u8(..4) == 0 {
            // All of them: traffic does not notice.
            (0..self.control.replicas.len()).for_each(|replica| self.kill_replica(replica, ms));
        } else {
            self.kill_replica(replica, ms);
        }
    }

    fn step_store(&mut self) {
        let replica = self.rng.usize(..self.control.replicas.len());
        let ms = self.rng.u64(200..8_000);
        match self.rng.u8(..4) {
            0 => self.stop_store(ms),
            1 => self.compact_store(),
            _ => self.cut_from_store(replica, ms),
        }
    }

    fn step_fault(&mut self, faults: Faults) {
        let nodes = self.nodes.len();
        let (a, b) = (self.rng.usize(..nodes), self.rng.usize(..nodes));
        let long = faults.losses && self.rng.u8(..3) == 0;
        match self.rng.u8(..12) {
            0..3 if faults.cuts && a != b => self.cut(a, b),
            3 if faults.partitions && a != b => {
                let ms = if long { self.rng.u64(9_000..14_000) } else { self.rng.u64(200..7_000) };
                self.partition(a, b, ms);
            }
            4 if faults.kills && self.nodes[a].alive => {
                let ms = if long { self.rng.u64(9_000..14_000) } else { self.rng.u64(20..4_000) };
                if self.rng.bool() {
                    self.kill(a, ms);
                } else {
                    // While something waits for its disk.
                    let after_ms = self.rng.u64(1..200);
                    self.slow_until_ms[a] = self.now_ms + after_ms;
                    self.later(after_ms, Event::Kill { node: a, back_after_ms: ms });
                }
            }
            5 if faults.control => self.step_control(a),
            6 if faults.store => self.step_store(),
            7 => self.operate(a),
            8 if faults.slow_disks => {
                self.slow_until_ms[a] = self.now_ms + self.rng.u64(100..3_000);
            }
            _ => {}
        }
    }
}
