use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use sluice_cluster::WorkerId;
use sluice_mqtt::QoS;
use sluice_topic::{Limits, TopicFilter};

use super::*;
use crate::peers::take_page_message;

/// Payloads above this are left to the store in these tests.
const SMALL: usize = 100;

fn message<'a>(topic: &'a str, payload: &'a [u8], expires_wall_ms: u64) -> MessageRef<'a> {
    MessageRef { topic, forward: &[], payload, qos: QoS::AtLeastOnce, retain: true, expires_wall_ms, id: None }
}

fn filter(filter: &str) -> TopicFilter {
    TopicFilter::parse(filter, &Limits::default()).unwrap()
}

fn encoded(message: &MessageRef<'_>) -> Bytes {
    let mut out = Vec::new();
    message.encode(&mut out);
    out.into()
}

fn topics(mut messages: &[u8]) -> Vec<String> {
    let mut topics = Vec::new();
    while let Some(bytes) = take_page_message(&mut messages) {
        topics.push(MessageRef::decode(bytes).unwrap().topic.to_owned());
    }
    topics
}

fn put(registers: &mut Retained, message: &MessageRef<'_>) {
    if message.payload.len() > SMALL { registers.set_on_disk(message) } else { registers.set(message) }
}

/// Reads everything that matches, page by page, and the largest page.
fn read_all(registers: &Retained, disk: &BTreeMap<String, Bytes>, wanted: &str, wall_ms: u64) -> (Vec<String>, usize) {
    let (wanted, mut after, mut found, mut largest) = (filter(wanted), None::<Box<str>>, Vec::new(), 0);
    for _ in 0..10_000 {
        let page = registers.page(&wanted, after.as_deref(), wall_ms);
        largest = largest.max(page.len());
        let bodies = page.gaps.iter().map(|gap| disk.get(&*gap.topic).cloned()).collect::<Vec<_>>();
        found.extend(topics(&page.filled(&bodies)));
        match page.after {
            Some(next) => after = Some(next),
            None => return (found, largest),
        }
    }
    panic!("the pages do not end");
}

#[test]
fn a_large_message_counts_in_full_and_takes_next_to_no_memory() {
    let mut registers = Retained::with_seed(1);
    let payload = vec![7; 200_000];
    let large = message("a/large", &payload, 0);
    registers.set_on_disk(&large);
    assert_eq!((registers.len(), registers.bytes()), (1, large.encoded_len()));
    assert!(registers.memory_bytes() < 200);
    let small = message("a/large", b"small", 0);
    registers.set(&small);
    assert_eq!((registers.len(), registers.bytes()), (1, small.encoded_len()));
    assert_eq!(registers.find("a/large"), Some(Held::Here(small)));
    assert!(registers.clear("a/large"));
    assert!(!registers.clear("a/large"));
    assert_eq!((registers.len(), registers.bytes(), registers.memory_bytes()), (0, 0, 0));
}

#[test]
fn a_search_for_what_is_rare_is_broken_off_and_goes_on() {
    let mut registers = Retained::with_seed(1);
    for n in 0..3_000 {
        registers.set(&message(&format!("{n:04}/b/c"), b"1", 0));
    }
    registers.set(&message("2999/b/x", b"1", 0));
    let page = registers.page(&filter("+/+/x"), None, 0);
    assert!(page.messages.is_empty() && page.after.is_some() && page.visits == VISITS_MAX);
    assert_eq!(read_all(&registers, &BTreeMap::new(), "+/+/x", 0).0, ["2999/b/x"]);
}

#[test]
fn a_page_of_nothing_but_expired_messages_is_not_the_end() {
    let mut registers = Retained::with_seed(1);
    for n in 0..5_000 {
        registers.set(&message(&format!("t/{n:04}"), b"1", 10));
    }
    registers.set(&message("t/z", b"1", 0));
    assert_eq!(read_all(&registers, &BTreeMap::new(), "t/#", 10).0, ["t/z"]);
}

#[test]
fn expired_messages_are_found_a_bounded_number_at_a_time() {
    let mut registers = Retained::with_seed(1);
    for n in 0..100 {
        registers.set(&message(&format!("t/{n:02}"), b"1", if n % 2 == 0 { 10 } else { 30 }));
    }
    let (mut after, mut found) = (None, 0);
    for _ in 0..10 {
        let (expired, next) = registers.expired(&filter("#"), after.as_deref(), 10, 20);
        assert!(expired.len() <= 10);
        found += expired.len();
        after = next;
    }
    assert_eq!(found, 50);
}

fn reader() -> Reader {
    Reader { worker: WorkerId(3), query: 9 }
}

/// A page with the message of `a`, which the store has, being read.
fn reading(registers: &Retained) -> (Reads, u64) {
    let mut reads = Reads::default();
    reads.push(reader(), registers.page(&filter("#"), None, 0));
    let read = reads.next_read().unwrap();
    assert_eq!(reads.topics(read).collect::<Vec<_>>(), ["a"]);
    (reads, read)
}

fn whole(step: Step) -> Vec<Vec<u8>> {
    let Step::Whole { messages, after: None, .. } = step else { panic!("not whole: {step:?}") };
    let (mut messages, mut payloads) = (&messages[..], Vec::new());
    while let Some(bytes) = take_page_message(&mut messages) {
        payloads.push(MessageRef::decode(bytes).unwrap().payload.to_vec());
    }
    payloads
}

#[test]
fn what_happens_to_a_message_while_it_is_read_decides_what_the_subscriber_gets() {
    let (old, new) = (vec![1; 500], vec![2; 500]);
    let old_bytes = encoded(&message("a", &old, 0));
    let mut registers = Retained::with_seed(1);
    registers.set_on_disk(&message("a", &old, 0));

    let (mut reads, read) = reading(&registers);
    assert_eq!(whole(reads.answered(read, vec![Some(old_bytes.clone())], &registers)), [&old[..]]);

    let (mut reads, read) = reading(&registers);
    registers.set(&message("a", b"small", 0));
    assert_eq!(whole(reads.answered(read, vec![Some(old_bytes.clone())], &registers)), [b"small"]);

    registers.set_on_disk(&message("a", &old, 0));
    let (mut reads, read) = reading(&registers);
    registers.set_on_disk(&message("a", &new, 0));
    assert_eq!(reads.answered(read, vec![Some(old_bytes.clone())], &registers), Step::Again);
    assert_eq!(reads.topics(read).collect::<Vec<_>>(), ["a"]);
    let new_bytes = encoded(&message("a", &new, 0));
    assert_eq!(whole(reads.answered(read, vec![Some(new_bytes)], &registers)), [&new[..]]);

    let (mut reads, read) = reading(&registers);
    registers.clear("a");
    assert!(whole(reads.answered(read, vec![Some(old_bytes)], &registers)).is_empty());
}

#[test]
fn a_topic_that_changes_all_the_time_does_not_hold_its_page_up() {
    let payload = vec![1; 500];
    let mut registers = Retained::with_seed(1);
    registers.set_on_disk(&message("a", &payload, 0));
    let (mut reads, read) = reading(&registers);
    let mut answers = 0;
    loop {
        registers.set_on_disk(&message("a", &payload, 0));
        answers += 1;
        match reads.answered(read, vec![Some(encoded(&message("a", &payload, 0)))], &registers) {
            Step::Again => {}
            step @ Step::Whole { .. } => {
                assert_eq!(whole(step), [&payload[..]]);
                break;
            }
        }
    }
    assert_eq!(answers, 4);
}

#[test]
#[should_panic(expected = "I20")]
fn a_store_that_lost_a_message_is_not_believed() {
    let mut registers = Retained::with_seed(1);
    registers.set_on_disk(&message("a", &[1; 500], 0));
    let (mut reads, read) = reading(&registers);
    reads.answered(read, vec![None], &registers);
}

#[test]
fn no_more_is_read_at_a_time_than_there_is_room_for() {
    let payload = vec![1; 5 << 20];
    let mut registers = Retained::with_seed(1);
    registers.set_on_disk(&message("a", &payload, 0));
    let mut reads = Reads::default();
    for _ in 0..3 {
        reads.push(reader(), registers.page(&filter("a"), None, 0));
    }
    assert_eq!((reads.next_read(), reads.next_read()), (Some(1), None));
    let answer = encoded(&message("a", &payload, 0));
    assert_eq!(whole(reads.answered(1, vec![Some(answer)], &registers)), [payload]);
    assert_eq!((reads.next_read(), reads.next_read()), (Some(2), None));
}

fn any_topic() -> impl Strategy<Value = String> {
    "[ab$]{1,2}(/[abc]{0,1}){0,3}".prop_map(|topic| topic)
}

fn any_filter() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["#", "+/#", "a/+", "a/#", "+/b", "+/+/c", "a/b", "$a/#", "b"])
}

#[derive(Clone, Debug)]
enum Change {
    Set(String, usize, u64),
    Clear(String),
}

fn any_change() -> impl Strategy<Value = Change> {
    let payload = prop::sample::select(vec![1, 30, 100, 101, 400, 70_000]);
    prop_oneof![
        4 => (any_topic(), payload, prop::sample::select(vec![0, 5, 50])).prop_map(|(t, n, e)| Change::Set(t, n, e)),
        1 => any_topic().prop_map(Change::Clear),
    ]
}

proptest! {
    #[test]
    fn pages_give_what_a_plain_map_gives(changes in prop::collection::vec(any_change(), 0..60), wanted in any_filter()) {
        let mut registers = Retained::with_seed(1);
        let (mut plain, mut disk) = (BTreeMap::new(), BTreeMap::new());
        for change in &changes {
            match change {
                Change::Set(topic, len, expires) => {
                    let payload = vec![b'x'; *len];
                    let message = message(topic, &payload, *expires);
                    put(&mut registers, &message);
                    plain.insert(topic.replace('/', "\0"), (topic.clone(), *expires, message.encoded_len()));
                    disk.insert(topic.clone(), encoded(&message));
                }
                Change::Clear(topic) => {
                    let had = plain.remove(&topic.replace('/', "\0")).is_some();
                    prop_assert_eq!(registers.clear(topic), had);
                    disk.remove(topic);
                }
            }
        }
        prop_assert_eq!(registers.len(), plain.len());
        prop_assert_eq!(registers.bytes(), plain.values().map(|(_, _, len)| len).sum::<usize>());
        let is_due = |topic: &str, expires: u64| sluice_topic::matches(wanted, topic) && (expires == 0 || expires > 20);
        let due = plain.values().filter(|(topic, expires, _)| is_due(topic, *expires));
        let (found, largest) = read_all(&registers, &disk, wanted, 20);
        prop_assert_eq!(found, due.map(|(topic, ..)| topic.clone()).collect::<Vec<_>>());
        prop_assert!(largest <= 64 * 1024 || largest >= 70_000);
    }
}
