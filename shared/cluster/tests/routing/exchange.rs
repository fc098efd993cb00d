//! What owner and receiver say to each other, one promise each.

use std::time::Duration;

use sluice_cluster::NodeId;
use sluice_cluster::interest::{
    Incarnation, Interest, InterestFrame, InterestMirror, InterestReceiver, InterestSource, Position, Sequence,
};

use crate::world::{LIMITS, filter};

const OWNER: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const WANTED: Option<Interest> = Some(Interest { durable: false, members: 0 });

struct Pair {
    now: Duration,
    source: InterestSource,
    receiver: InterestReceiver,
    mirror: InterestMirror,
    frames: usize,
}

impl Pair {
    fn new() -> Self {
        let mut receiver = InterestReceiver::new(Incarnation(1), &LIMITS);
        receiver.linked(OWNER, None, Duration::ZERO);
        let source = InterestSource::new(Incarnation(1), LIMITS);
        Self { now: Duration::ZERO, source, receiver, mirror: InterestMirror::default(), frames: 0 }
    }

    fn say(&mut self) -> Vec<InterestFrame> {
        std::iter::from_fn(|| self.source.poll_transmit(PEER, self.now)).collect()
    }

    fn hear(&mut self, frames: &[InterestFrame]) {
        frames.iter().for_each(|frame| self.receiver.handle(OWNER, frame, &mut self.mirror, self.now));
    }

    fn exchange(&mut self) {
        for _ in 0..4 {
            let back: Vec<_> = std::iter::from_fn(|| self.receiver.poll_transmit(OWNER, self.now)).collect();
            back.iter().for_each(|frame| self.source.handle(PEER, frame, self.now));
            let frames = self.say();
            self.frames += frames.len();
            self.hear(&frames);
        }
    }

    fn heard(&self) -> Vec<String> {
        self.mirror.rows(OWNER).map(|(filter, _)| filter.to_string()).collect()
    }
}

#[test]
fn a_change_is_acknowledged_when_it_is_in_effect_and_not_before() {
    let mut pair = Pair::new();
    pair.exchange();
    let change = pair.source.set(&filter("a/+"), WANTED);
    assert!(!pair.source.is_acknowledged(change, [PEER]));
    pair.exchange();
    assert!(pair.source.is_acknowledged(change, [PEER]) && pair.heard() == ["a/+"]);
    assert_eq!(pair.source.set(&filter("a/+"), WANTED), change, "who wants the same again waits for the same");
    assert!(!pair.source.is_acknowledged(change, [PEER, NodeId(3)]), "a peer that has never asked has heard nothing");
}

#[test]
fn a_lost_announcement_is_a_gap_and_is_said_again() {
    let mut pair = Pair::new();
    pair.exchange();
    pair.source.set(&filter("a"), WANTED);
    drop(pair.say());
    let change = pair.source.set(&filter("b"), WANTED);
    let late = pair.say();
    pair.now += Duration::from_millis(10);
    pair.hear(&late);
    assert_eq!(pair.heard(), [""; 0], "what stands behind a gap does not count");
    pair.now += LIMITS.resend_after;
    pair.exchange();
    assert!(pair.heard() == ["a", "b"] && pair.source.is_acknowledged(change, [PEER]));
    assert!(pair.source.poll_timeout().is_none(), "all is acknowledged");
}

#[test]
fn a_filter_that_came_and_went_often_costs_one_row() {
    let mut pair = Pair::new();
    for _ in 0..500 {
        pair.source.set(&filter("a"), WANTED);
        pair.source.set(&filter("a"), None);
    }
    pair.source.set(&filter("b"), WANTED);
    pair.exchange();
    assert!(pair.heard() == ["b"] && pair.frames <= 2);
}

#[test]
fn who_was_away_too_long_gets_a_snapshot_and_keeps_nothing_that_has_gone() {
    let mut pair = Pair::new();
    let names: Vec<String> = (0..20).map(|i| format!("t/{i:02}")).collect();
    for name in &names {
        pair.source.set(&filter(name), WANTED);
    }
    pair.exchange();
    assert_eq!(pair.heard(), names);
    for name in &names[..15] {
        pair.source.set(&filter(name), None);
    }
    pair.receiver.linked(OWNER, None, pair.now);
    let frames = |pair: &mut Pair| {
        let ask = pair.receiver.poll_transmit(OWNER, pair.now).unwrap();
        pair.source.handle(PEER, &ask, pair.now);
        pair.say()
    };
    let snapshot = frames(&mut pair);
    assert!(snapshot.len() > 1 && snapshot.iter().all(|frame| matches!(frame, InterestFrame::Snapshot { .. })));
    pair.hear(&snapshot);
    assert_eq!(pair.heard(), names[15..]);
}

#[test]
fn another_life_of_the_owner_voids_what_the_earlier_one_said() {
    let mut pair = Pair::new();
    pair.source.set(&filter("old"), WANTED);
    pair.exchange();
    let position =
        |incarnation, sequence| Position { incarnation: Incarnation(incarnation), sequence: Sequence(sequence) };
    pair.source = InterestSource::new(Incarnation(2), LIMITS);
    pair.source.set(&filter("new"), WANTED);
    pair.receiver.linked(OWNER, None, pair.now);
    pair.exchange();
    assert_eq!((pair.heard(), pair.receiver.have(OWNER)), (vec!["new".to_owned()], Some(position(2, 1))));
    pair.source = InterestSource::new(Incarnation(1), LIMITS);
    pair.source.set(&filter("ghost"), WANTED);
    pair.receiver.linked(OWNER, None, pair.now);
    pair.exchange();
    assert_eq!((pair.heard(), pair.receiver.have(OWNER)), (vec!["new".to_owned()], Some(position(2, 1))));
}

#[test]
fn a_restarted_receiver_knows_nothing_of_what_its_earlier_life_acknowledged() {
    let mut pair = Pair::new();
    let change = pair.source.set(&filter("a"), WANTED);
    pair.exchange();
    let stale = InterestFrame::Ack { stream: Default::default(), have: pair.source.position() };
    pair.receiver = InterestReceiver::new(Incarnation(2), &LIMITS);
    pair.receiver.linked(OWNER, None, pair.now);
    assert!(!pair.receiver.is_caught_up(OWNER));
    let ask = pair.receiver.poll_transmit(OWNER, pair.now).unwrap();
    pair.source.handle(PEER, &ask, pair.now);
    pair.source.handle(PEER, &stale, pair.now);
    assert!(!pair.source.is_acknowledged(change, [PEER]));
    pair.exchange();
    assert!(pair.source.is_acknowledged(change, [PEER]) && pair.receiver.is_caught_up(OWNER));
}

#[test]
fn a_snapshot_with_a_part_missing_is_worth_nothing() {
    let mut pair = Pair::new();
    let names: Vec<String> = (0..30).map(|i| format!("t/{i:02}")).collect();
    for name in &names {
        pair.source.set(&filter(name), WANTED);
    }
    for name in &names[..15] {
        pair.source.set(&filter(name), None);
    }
    let ask = pair.receiver.poll_transmit(OWNER, pair.now).unwrap();
    pair.source.handle(PEER, &ask, pair.now);
    let mut snapshot = pair.say();
    assert!(snapshot.len() > 3 && matches!(snapshot[0], InterestFrame::Snapshot { .. }));
    snapshot.remove(2);
    pair.hear(&snapshot);
    assert_eq!((pair.receiver.have(OWNER), pair.receiver.is_caught_up(OWNER)), (None, false));
    pair.now += LIMITS.resend_after;
    pair.exchange();
    assert_eq!((pair.heard(), pair.receiver.is_caught_up(OWNER)), (names[15..].to_vec(), true));
}

#[test]
fn a_receiver_has_not_caught_up_before_it_has_all_that_the_owner_had_counted() {
    let mut pair = Pair::new();
    for i in 0..9 {
        pair.source.set(&filter(&format!("t/{i}")), WANTED);
    }
    let ask = pair.receiver.poll_transmit(OWNER, pair.now).unwrap();
    pair.source.handle(PEER, &ask, pair.now);
    let frames = pair.say();
    let (last, first) = frames.split_last().unwrap();
    pair.hear(first);
    assert!(!first.is_empty() && !pair.receiver.is_caught_up(OWNER));
    pair.hear(std::slice::from_ref(last));
    assert!(pair.receiver.is_caught_up(OWNER));
}

#[test]
fn an_answer_to_an_earlier_life_of_the_receiver_is_dropped() {
    let mut pair = Pair::new();
    pair.source.set(&filter("a"), WANTED);
    let ask = pair.receiver.poll_transmit(OWNER, pair.now).unwrap();
    pair.source.handle(PEER, &ask, pair.now);
    let late = pair.say();
    pair.source.set(&filter("b"), WANTED);
    pair.receiver = InterestReceiver::new(Incarnation(2), &LIMITS);
    pair.receiver.linked(OWNER, None, pair.now);
    pair.hear(&late);
    assert!(!pair.receiver.is_caught_up(OWNER), "b was acknowledged in this node's name, for all it knows");
}
