//! Two nodes, a network that tears anywhere, restarts, and a model that knows what must have arrived.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::Label;

use super::*;

/// A node's end, through all its lives.
pub(super) struct Side {
    pub(super) link: Link,
    /// Its life, from 1. The incarnation is the same number.
    pub(super) life: u32,
    connection: Option<u64>,
    /// Bytes that came and were not taken yet.
    held: [Vec<u8>; 3],
    /// The last counter taken of each life of the other, by this life.
    last: BTreeMap<u32, u64>,
    /// Reliable frames taken of each life of the other, by this life.
    taken: BTreeMap<u32, BTreeSet<u64>>,
    to_answer: Vec<(Receipt, u64)>,
    /// Counts the frames of this life, reliable or not.
    counter: u64,
    /// What this life sent: its counter by sequence, and whether its outcome came.
    sent: BTreeMap<Sequence, (u64, bool)>,
}

/// Bytes under way, of one direction.
#[derive(Default)]
struct Pipe {
    lanes: [Vec<u8>; 3],
}

pub(super) struct World {
    rng: fastrand::Rng,
    pub(super) sides: [Side; 2],
    /// From side 0, from side 1.
    pipes: [Pipe; 2],
    connections: u64,
    /// The last connection is no more, whoever has heard of it.
    torn: bool,
    limits: LinkLimits,
    frame_max: usize,
    /// (receiver, life of the sender, counter): reliable frames that some life of the receiver was given.
    ever_taken: BTreeSet<(usize, u32, u64)>,
    /// Checked by a test, so that a world in which nothing happens is noticed.
    pub(super) seen: Seen,
}

#[derive(Default, Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) received: u64,
    pub(super) again: u64,
    pub(super) answered: u64,
    pub(super) lives: u64,
    pub(super) connections: u64,
    pub(super) refused: u64,
    pub(super) memory_bytes_max: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let frame_max = [20, 200, 3_000][rng.usize(..3)];
        let window_bytes_max = [4 * 1024, 64 * 1024][rng.usize(..2)];
        let limits =
            LinkLimits { window_bytes_max, bulk_bytes_max: 8_192, control_bytes_max: 8_192, ..LinkLimits::default() };
        let limits = LinkLimits { frame_bytes_max: 3_100, ..limits };
        let sides = [0, 1].map(|side| Side::new(side, 1, limits));
        let pipes = Default::default();
        let (ever_taken, seen) = Default::default();
        Self { rng, sides, pipes, connections: 0, torn: true, limits, frame_max, ever_taken, seen }
    }

    /// One thing happens.
    pub(super) fn step(&mut self) {
        let side = self.rng.usize(..2);
        match self.rng.u32(..100) {
            0..30 => self.send(side),
            30..36 => self.send_lost(side),
            36..60 => self.pump(side),
            60..84 => self.deliver(side),
            84..95 => self.answer(side),
            95..97 => self.tear(),
            97..99 => self.connect(),
            _ => self.restart(side),
        }
        self.check_bounds();
    }

    fn send(&mut self, side: usize) {
        for _ in 0..=self.rng.usize(..8) {
            let it = &mut self.sides[side];
            let reliable = self.rng.u32(..4) > 0;
            it.counter += 1;
            let frame = Frame { life: it.life, counter: it.counter, reliable };
            match it.link.send(&frame.encode(self.rng.usize(..self.frame_max)), reliable) {
                Sent::Queued(sequence) => {
                    assert_eq!(sequence.is_some(), reliable);
                    it.sent.extend(sequence.map(|sequence| (sequence, (it.counter, false))));
                }
                Sent::Refused => self.seen.refused += 1,
            }
        }
    }

    fn send_lost(&mut self, side: usize) {
        let link = &mut self.sides[side].link;
        let bytes = vec![7; self.rng.usize(..100)];
        if self.rng.bool() {
            link.send_control(&bytes)
        } else {
            link.send_bulk(&bytes)
        };
    }

    /// Moves bytes from a link into the network.
    fn pump(&mut self, side: usize) {
        let lane = Lane::ALL[self.rng.usize(..3)];
        let max = [1, 10, 300, 100_000][self.rng.usize(..4)];
        self.pump_lane(side, lane, max);
    }

    fn pump_lane(&mut self, side: usize, lane: Lane, max: usize) -> bool {
        let wire = &mut self.pipes[side].lanes[lane.index()];
        let before = wire.len();
        let some = self.sides[side].link.transmit(lane, wire, max);
        assert_eq!(some, wire.len() > before);
        assert!(wire.len() - before <= max + self.limits.frame_bytes_max + 128 * 1024);
        some
    }

    /// Moves bytes from the network into the other link.
    fn deliver(&mut self, from: usize) {
        let lane = Lane::ALL[self.rng.usize(..3)];
        let whole = self.pipes[from].lanes[lane.index()].len();
        let bytes = if self.rng.bool() { whole } else { self.rng.usize(..=whole) };
        self.deliver_lane(from, lane, bytes);
    }

    fn deliver_lane(&mut self, from: usize, lane: Lane, bytes: usize) {
        let moved: Vec<u8> = self.pipes[from].lanes[lane.index()].drain(..bytes).collect();
        let to = 1 - from;
        if self.torn || self.sides[to].connection != Some(self.connections) {
            return;
        }
        self.sides[to].held[lane.index()].extend_from_slice(&moved);
        if self.offer(to, lane) {
            self.offer(to, Lane::Messages);
            self.offer(to, Lane::Bulk);
        }
    }

    /// Offers the held bytes of a lane; says whether the link came up with them.
    fn offer(&mut self, to: usize, lane: Lane) -> bool {
        let Self { sides, ever_taken, seen, connections, .. } = self;
        let Side { link, held, last, taken, to_answer, sent, .. } = &mut sides[to];
        let held = &mut held[lane.index()];
        let mut up = false;
        let consumed = link.receive(*connections, lane, held, &mut |event| match event {
            Event::Up { new_life, protocol, .. } => {
                assert_eq!(protocol, Versions::THIS.max);
                up = true;
                seen.lives += u64::from(new_life);
            }
            Event::Received { receipt, again, frame } => {
                let frame = Frame::decode(frame);
                assert_eq!(frame.reliable, receipt.is_some());
                let before = last.insert(frame.life, frame.counter).unwrap_or(0);
                assert!(before < frame.counter, "frame {} comes behind frame {before}", frame.counter);
                seen.received += 1;
                seen.again += u64::from(again);
                let Some(receipt) = receipt else { return };
                taken.entry(frame.life).or_default().insert(frame.counter);
                let is_first = ever_taken.insert((to, frame.life, frame.counter));
                assert!(is_first || again, "an earlier life had it and this one is not told");
                to_answer.push((receipt, frame.counter));
            }
            Event::Answered { first, count, outcome } => {
                for sequence in first.0..first.0 + u64::from(count) {
                    let (counter, known) = sent.get_mut(&Sequence(sequence)).unwrap();
                    assert!(!std::mem::replace(known, true), "told twice what became of {sequence}");
                    assert_eq!(outcome, outcome_of(*counter));
                    seen.answered += 1;
                }
            }
            Event::Control(bytes) | Event::Bulk(bytes) => assert!(bytes.iter().all(|byte| *byte == 7)),
        });
        held.drain(..consumed.unwrap());
        up
    }

    fn answer(&mut self, side: usize) {
        for _ in 0..self.rng.usize(..20) {
            let it = &mut self.sides[side];
            if it.to_answer.is_empty() {
                return;
            }
            // Most are answered in order, some early or late.
            let at = if self.rng.u32(..4) > 0 { 0 } else { self.rng.usize(..it.to_answer.len()) };
            let (receipt, counter) = it.to_answer.remove(at);
            it.link.answer(receipt, outcome_of(counter));
        }
    }

    /// The connection breaks. What is under way is lost; one side may not hear of it before the next one.
    fn tear(&mut self) {
        self.torn = true;
        for side in &mut self.sides {
            if self.rng.bool() {
                side.disconnect();
            }
        }
    }

    pub(super) fn connect(&mut self) {
        self.pipes = Default::default();
        self.torn = false;
        self.connections += 1;
        self.seen.connections += 1;
        for side in &mut self.sides {
            side.link.connected(Duration::ZERO, self.connections);
            side.held = Default::default();
            side.connection = Some(self.connections);
        }
    }

    pub(super) fn restart(&mut self, side: usize) {
        self.torn = true;
        let life = self.sides[side].life + 1;
        // Receipts of the life before are kept by nobody: a node's memory is gone.
        self.sides[side] = Side::new(side, life, self.limits);
        if self.rng.bool() {
            self.sides[1 - side].disconnect();
        }
    }

    fn check_bounds(&mut self) {
        for side in &self.sides {
            let window = self.limits.window_bytes_max;
            assert!(side.link.load().window_bytes <= window);
            let memory = side.link.kept.memory();
            // Ends of chunks that a frame did not fit into, and freed chunks that are kept.
            assert!(memory <= 4 * window + 32 * 1024, "{memory} bytes for a window of {window}");
            self.seen.memory_bytes_max = self.seen.memory_bytes_max.max(memory);
        }
    }

    /// Nothing breaks any more: everything arrives and is answered.
    pub(super) fn settle(&mut self) {
        self.connect();
        loop {
            let mut moved = false;
            for side in [0, 1] {
                for lane in Lane::ALL {
                    moved |= self.pump_lane(side, lane, 1_000);
                    let bytes = self.pipes[side].lanes[lane.index()].len();
                    self.deliver_lane(side, lane, bytes);
                }
                let answers = std::mem::take(&mut self.sides[side].to_answer);
                moved |= !answers.is_empty();
                answers.into_iter().for_each(|(it, counter)| self.sides[side].link.answer(it, outcome_of(counter)));
            }
            if !moved {
                break;
            }
        }
        for side in [0, 1] {
            self.check_settled(side);
        }
    }

    fn check_settled(&self, side: usize) {
        let (it, other) = (&self.sides[side], &self.sides[1 - side]);
        assert!(it.held.iter().all(Vec::is_empty));
        for (sequence, (counter, known)) in &it.sent {
            assert!(known, "nobody said what became of {sequence:?}");
            let ever = self.ever_taken.contains(&(1 - side, it.life, *counter));
            assert!(ever, "frame {counter} never arrived");
        }
        let load = it.link.load();
        assert_eq!((load.window_bytes, load.unanswered, load.to_answer, load.duplicates), (0, 0, 0, 0));
        assert!(other.taken.get(&it.life).is_none_or(|taken| taken.len() <= it.sent.len()));
        assert_eq!(it.link.answers.unconfirmed() as u64, other.link.runs_taken - other.link.runs_confirmed);
    }
}

impl Side {
    fn new(side: usize, life: u32, limits: LinkLimits) -> Self {
        Self {
            link: link_of(side as u64, 1 - side as u64, u64::from(life), limits),
            life,
            connection: None,
            held: Default::default(),
            last: BTreeMap::new(),
            taken: BTreeMap::new(),
            to_answer: Vec::new(),
            counter: 0,
            sent: BTreeMap::new(),
        }
    }

    fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.link.disconnected(connection);
            self.held = Default::default();
        }
    }
}

/// A link of node `me` to node `peer`.
pub(super) fn link_of(me: u64, peer: u64, incarnation: u64, limits: LinkLimits) -> Link {
    Link::new(identity_of(me, incarnation), NodeId(peer), limits)
}

pub(super) fn identity_of(node: u64, incarnation: u64) -> Identity {
    Identity {
        cluster: ClusterId(9),
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
        generation: 1,
        versions: Versions::THIS,
        region: Label::parse("eu").ok(),
    }
}

/// What becomes of a frame: mostly the same, sometimes something else.
pub(super) fn outcome_of(counter: u64) -> Outcome {
    match counter % 13 {
        3 => Outcome { matched: false, refused: None },
        7 => Outcome { matched: true, refused: Some(ReasonCode::QuotaExceeded) },
        _ => Outcome { matched: true, refused: None },
    }
}

struct Frame {
    life: u32,
    counter: u64,
    reliable: bool,
}

impl Frame {
    fn encode(&self, padding: usize) -> Vec<u8> {
        let mut bytes = self.life.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.counter.to_le_bytes());
        bytes.push(u8::from(self.reliable));
        bytes.resize(bytes.len() + padding, self.counter as u8);
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let counter = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        assert!(bytes[13..].iter().all(|byte| *byte == counter as u8), "bytes of another frame");
        Self { life: u32::from_le_bytes(bytes[..4].try_into().unwrap()), counter, reliable: bytes[12] == 1 }
    }
}
