use sluice_mqtt::QoS;
use sluice_topic::Limits;

use super::*;
use crate::{
    Key,
    message::MessageRef,
    peers::{put_page_bytes, take_page_message},
};

const HOME: NodeId = NodeId(9);

/// Copies of a home of two workers, by the only worker of a node, and what is stored.
struct Keeper {
    copies: Copies,
    ops: Vec<Op>,
    may_store: bool,
}

fn sharding(workers: u16) -> Sharding {
    Sharding::new(64, workers)
}

fn class() -> Class {
    Class { sharding: sharding(1), worker: 0 }
}

fn message<'a>(topic: &'a str, payload: &'a str) -> Entry<'a> {
    Entry::Small(MessageRef {
        topic,
        forward: b"",
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        retain: true,
        expires_wall_ms: 0,
        id: None,
    })
}

fn run(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut run = Vec::new();
    for entry in entries {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        put_page_bytes(&mut run, &bytes);
    }
    run
}

/// Topics of the home's first worker.
fn topics() -> impl Iterator<Item = String> {
    let at_home = Class { sharding: sharding(2), worker: 0 };
    (0..).map(|n| format!("t/{n:06}")).filter(move |topic| at_home.has(topic))
}

impl Keeper {
    fn new() -> Self {
        let mut keeper = Self { copies: Copies::with_seed(1), ops: Vec::new(), may_store: true };
        keeper.copies.linked(HOME);
        keeper
    }

    fn keep<R>(&mut self, keep: impl FnOnce(&mut Copies, &mut Keeping<'_>) -> R) -> R {
        let (ops, may_store) = (&mut self.ops, self.may_store);
        let sharding = sharding(1);
        let mut keeping =
            Keeping { sharding, first: ShardId(0), ops, wall_ms: 1_000, bytes_max: usize::MAX, may_store };
        keep(&mut self.copies, &mut keeping)
    }

    /// The questions that are asked: of which worker, which life and version, and from which topic on.
    fn asked(&mut self) -> Vec<(u64, u16, u64, u64, Option<String>)> {
        let mut asked = Vec::new();
        while let Some((HOME, frame)) = self.copies.next_ask(class()) {
            let Some(CopyFrame::Ask(ask)) = CopyFrame::decode(&frame) else { panic!("no question") };
            asked.push((ask.query, ask.to, ask.life, ask.version, ask.after.map(str::to_owned)));
        }
        asked
    }

    fn answer(&mut self, query: u64, from: u16, version: u64, changes: &[u8], page: Option<RegisterPage<'_>>) {
        let sharding = sharding(2);
        let is_caught_up = true;
        let answer = Answer { to: 0, from, sharding, query, life: 5, version, is_caught_up, changes, page };
        self.keep(|copies, keeping| copies.on_answer(HOME, &answer, keeping));
    }

    /// Answers all questions with nothing.
    fn catch_up(&mut self) {
        for _ in 0..2 {
            for (query, to, ..) in self.asked() {
                self.answer(query, to, 3, &[], Some(RegisterPage { begin: "", end: "", entries: &[] }));
            }
        }
        assert_eq!(self.copies.behind(), 0);
    }

    fn change(&mut self, from: u16, version: u64, entry: &Entry<'_>) {
        self.keep(|copies, keeping| copies.on_change(HOME, (from, 5, version), entry, keeping));
    }

    fn shown(&self) -> Vec<String> {
        let filter = TopicFilter::parse("#", &Limits::default()).unwrap();
        let (page, _) = self.copies.page(HOME, &filter, None, 1_000);
        let (mut rest, mut shown) = (&page.messages[..], Vec::new());
        while let Some(bytes) = take_page_message(&mut rest) {
            shown.push(String::from_utf8(MessageRef::decode(bytes).unwrap().payload.to_vec()).unwrap());
        }
        shown
    }
}

#[test]
fn every_worker_of_a_home_is_asked_and_a_bounded_number_at_a_time() {
    let mut keeper = Keeper::new();
    let asked = keeper.asked();
    assert_eq!(asked, [(1, 0, 0, 0, Some(String::new()))]);
    let sharding = sharding(5);
    let page = Some(RegisterPage { begin: "", end: "", entries: &[] });
    let is_caught_up = true;
    let answer = Answer { to: 0, from: 0, sharding, query: 1, life: 5, version: 3, is_caught_up, changes: &[], page };
    keeper.keep(|copies, keeping| copies.on_answer(HOME, &answer, keeping));
    let asked: Vec<u16> = keeper.asked().into_iter().map(|(_, to, ..)| to).collect();
    assert_eq!(asked, [1, 2], "two of the four others");
    keeper.answer(2, 1, 0, &[], page);
    assert_eq!(keeper.copies.behind(), 0, "it has two workers after all");
}

#[test]
fn changes_are_taken_in_their_order_and_only_when_none_was_missed() {
    let mut keeper = Keeper::new();
    keeper.change(0, 4, &message("a", "too early"));
    assert_eq!(keeper.shown(), [""; 0]);
    keeper.catch_up();
    keeper.change(0, 4, &message("a", "four"));
    keeper.change(0, 3, &message("a", "three"));
    assert_eq!(keeper.shown(), ["four"], "a change that was in the answer does not come back");
    keeper.copies.lost(HOME, 0);
    keeper.change(0, 6, &message("a", "six"));
    assert_eq!(keeper.shown(), ["four"], "five is missing");
    let asked = keeper.asked();
    assert_eq!((asked[0].1, asked[0].2, asked[0].3, &asked[0].4), (0, 5, 4, &None));
    keeper.answer(asked[0].0, 0, 6, &run(&[Entry::Gone { topic: "a" }, message("b", "six")]), None);
    assert_eq!((keeper.shown(), keeper.copies.behind()), (vec!["six".to_owned()], 0));
}

#[test]
fn an_answer_to_an_earlier_question_changes_nothing() {
    let mut keeper = Keeper::new();
    let (query, ..) = keeper.asked()[0];
    keeper.copies.unlinked(HOME, false);
    keeper.copies.linked(HOME);
    let page = run(&[message("a", "old")]);
    keeper.answer(query, 0, 3, &[], Some(RegisterPage { begin: "", end: "", entries: &page }));
    assert_eq!(keeper.shown(), [""; 0]);
}

#[test]
fn a_page_removes_what_the_home_does_not_have_in_its_part_of_the_order_and_nothing_else() {
    let mut keeper = Keeper::new();
    let topics: Vec<String> = topics().take(4).collect();
    keeper.catch_up();
    for (version, topic) in (4..).zip(&topics) {
        keeper.change(0, version, &message(topic, topic));
    }
    let of_the_other = (0..).map(|n| format!("t/{n:06}")).find(|topic| !topics.contains(topic)).unwrap();
    keeper.change(1, 4, &message(&of_the_other, "other"));
    keeper.copies.lost(HOME, 0);
    let (query, ..) = keeper.asked()[0];
    // It is not known any more what was missed: all is shown again.
    let page = run(&[message(&topics[1], "newer")]);
    keeper.answer(query, 0, 9_000, &[], Some(RegisterPage { begin: "", end: &topics[1], entries: &page }));
    let mut expected = vec!["newer", &topics[2], &topics[3], "other"];
    expected.sort_unstable();
    let sorted = |mut shown: Vec<String>| {
        shown.sort_unstable();
        shown
    };
    assert_eq!(sorted(keeper.shown()), expected);
    let asked = keeper.asked();
    assert_eq!((asked[0].3, asked[0].4.as_deref()), (9_000, Some(&*topics[1])));
    keeper.answer(asked[0].0, 0, 9_000, &[], Some(RegisterPage { begin: &topics[1], end: "", entries: &[] }));
    assert_eq!(sorted(keeper.shown()), ["newer", "other"]);
}

#[test]
fn a_home_that_has_nothing_left_is_followed_in_parts() {
    let mut keeper = Keeper::new();
    keeper.catch_up();
    for (version, topic) in (4..).zip(topics().take(9_000)) {
        keeper.change(0, version, &message(&topic, "m"));
    }
    keeper.copies.lost(HOME, 0);
    let mut rounds = 0;
    while let Some((query, _, _, _, after)) = keeper.asked().pop() {
        let before = keeper.copies.len();
        let begin = if rounds == 0 { String::new() } else { after.unwrap() };
        keeper.answer(query, 0, 10_000, &[], Some(RegisterPage { begin: &begin, end: "", entries: &[] }));
        assert!(before - keeper.copies.len() <= 4_096);
        rounds += 1;
    }
    assert_eq!((rounds, keeper.copies.len(), keeper.copies.behind()), (3, 0, 0));
}

#[test]
fn copies_that_may_be_older_than_what_was_shown_are_not_shown_until_they_are_whole() {
    let mut keeper = Keeper::new();
    keeper.catch_up();
    keeper.change(0, 4, &message("a", "four"));
    keeper.copies.unlinked(HOME, true);
    assert_eq!(keeper.shown(), ["four"], "they were what the home had");
    keeper.copies.linked(HOME);
    keeper.copies.unlinked(HOME, false);
    assert_eq!(keeper.shown(), ["four"], "nothing newer was shown");
    keeper.copies.linked(HOME);
    keeper.copies.unlinked(HOME, true);
    assert_eq!(keeper.shown(), [""; 0], "the home may have shown something newer");
    keeper.copies.linked(HOME);
    keeper.catch_up();
    keeper.copies.unlinked(HOME, true);
    assert_eq!(keeper.shown(), [""; 0], "it was removed");
}

#[test]
fn what_a_full_disk_does_not_take_is_not_kept_so_that_a_restart_shows_nothing_older() {
    let mut keeper = Keeper::new();
    keeper.catch_up();
    keeper.change(0, 4, &message("a", "four"));
    keeper.may_store = false;
    keeper.change(0, 5, &message("a", "five"));
    assert_eq!((keeper.shown(), keeper.copies.left_out()), (vec![], 1));
    assert!(matches!(keeper.ops.last(), Some(Op::Drop(Key::Copy(_, HOME, topic))) if &**topic == "a"));
}

#[test]
fn what_is_stored_comes_back_and_goes_on_where_it_was() {
    let mut keeper = Keeper::new();
    keeper.catch_up();
    keeper.change(0, 4, &message("a", "four"));
    keeper.change(1, 7, &message("b", "seven"));
    keeper.keep(|copies, keeping| copies.store_positions(keeping));
    let stored: BTreeMap<Key, Option<bytes::Bytes>> = keeper
        .ops
        .into_iter()
        .map(|op| match op {
            Op::Put(key, value) => (key, Some(value)),
            Op::Drop(key) => (key, None),
        })
        .collect();
    for (workers, life, versions) in [(1, 5, [4, 7]), (2, 0, [0, 0])] {
        let mut copies = Copies::with_seed(2);
        for (key, value) in &stored {
            let (Key::Copy(_, node, topic), Some(value)) = (key, value) else { panic!("{key:?}") };
            assert_eq!(copies.restore(*node, topic, value, workers), Some(()));
        }
        copies.linked(HOME);
        let mut again = Keeper { copies, ops: Vec::new(), may_store: true };
        let asked: Vec<_> = again.asked().into_iter().map(|(_, _, life, version, _)| (life, version)).collect();
        let expected = versions.map(|version| (life, version));
        assert_eq!(asked, expected[..asked.len()], "with {workers} workers");
        assert_eq!(again.shown(), ["four", "seven"]);
    }
    let mut copies = Copies::with_seed(2);
    assert_eq!(copies.restore(HOME, "a", b"\x01", 1), None, "not a register");
}

#[test]
fn copies_of_a_node_that_is_no_home_any_more_go_a_bounded_number_at_a_time() {
    let mut keeper = Keeper::new();
    keeper.catch_up();
    for (version, topic) in (4..).zip(topics().take(250)) {
        keeper.change(0, version, &message(&topic, "m"));
    }
    keeper.copies.unlinked(HOME, false);
    let (mut cursor, mut rounds) = (None, 0);
    let sweep = |keeper: &mut Keeper, cursor: &mut Option<(NodeId, Box<str>)>| {
        let before = keeper.copies.len();
        keeper.keep(|copies, keeping| copies.sweep(cursor, 100, |node| node != HOME, keeping));
        assert!(before - keeper.copies.len() <= 100);
    };
    sweep(&mut keeper, &mut cursor);
    assert_eq!(keeper.copies.len(), 150);
    // It is back: what it has is copied anew, and stays.
    keeper.copies.linked(HOME);
    assert_eq!(keeper.asked(), [(3, 0, 0, 0, Some(String::new()))]);
    sweep(&mut keeper, &mut cursor);
    assert_eq!(keeper.copies.len(), 150);
    keeper.copies.unlinked(HOME, false);
    while !keeper.copies.homes.is_empty() {
        sweep(&mut keeper, &mut cursor);
        rounds += 1;
    }
    assert!(rounds >= 2);
    let ops = keeper.ops.iter().filter(|op| matches!(op, Op::Drop(Key::Copy(_, HOME, topic)) if topic.is_empty()));
    assert!(ops.count() > 0, "how far they went is forgotten");
}
