//! What new subscribers get of what is retained, wherever it lies.

mod broker;

use broker::{Broker, Client, connect};
use sluice_dataplane_core::{Key, Settings};
use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};

/// More than is held in memory.
const LARGE: usize = 3_000;

fn settings() -> Settings {
    Settings { hybrid_retained_size_threshold: 1_000, ..Settings::default() }
}

fn client(broker: &mut Broker, client_id: &str) -> Client {
    broker.connect(&connect(Version::V5, client_id, true)).0
}

/// Publishes a retained message whose payload is `letter`, `len` times.
fn retain(broker: &mut Broker, from: Client, topic: &str, letter: char, len: usize) {
    let payload = letter.to_string().repeat(len);
    broker.publish_with(from, topic, QoS::AtLeastOnce, 1, payload.as_bytes(), true, false);
}

/// Each PUBLISH that a client has been sent: topic, first letter and length of the payload.
fn received(broker: &mut Broker, client: Client) -> Vec<String> {
    let words = broker.read(client);
    let publishes = words.iter().filter_map(|words| words.strip_prefix("publish "));
    let in_short = |words: &str| {
        let [topic, payload, .., "retain"] = *words.split(' ').collect::<Vec<_>>() else { panic!("not retained") };
        assert!(payload.bytes().all(|byte| byte == payload.as_bytes()[0]), "a payload in pieces");
        format!("{topic} {}{}", &payload[..1], payload.len())
    };
    publishes.map(in_short).collect()
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn large_and_small_messages_come_together_before_and_after_a_crash_from_every_worker() {
    let mut broker = Broker::new(3, settings());
    let publisher = client(&mut broker, "p");
    for n in 0..20 {
        retain(&mut broker, publisher, &format!("t/{n:02}/large"), 'L', LARGE + n);
        retain(&mut broker, publisher, &format!("t/{n:02}/small"), 's', 10);
    }
    let expected = (0..20).flat_map(|n| [format!("t/{n:02}/large L{}", LARGE + n), format!("t/{n:02}/small s10")]);
    let expected = expected.collect::<Vec<_>>();
    for life in 0..2 {
        for name in ["a", "b", "c", "d"] {
            let subscriber = client(&mut broker, name);
            broker.subscribe(subscriber, "t/#", QoS::AtMostOnce);
            assert_eq!(sorted(received(&mut broker, subscriber)), expected, "client {name}, life {life}");
        }
        broker.crash();
    }
}

#[test]
fn a_page_keeps_the_order_of_its_topics_whatever_lies_on_disk() {
    let mut broker = Broker::new(1, settings());
    let publisher = client(&mut broker, "p");
    for n in 0..100 {
        retain(&mut broker, publisher, &format!("t/{n:02}"), 'x', if n % 3 == 0 { LARGE } else { 5 });
    }
    let subscriber = client(&mut broker, "s");
    broker.subscribe(subscriber, "t/+", QoS::AtLeastOnce);
    let expected = (0..100).map(|n| format!("t/{n:02} x{}", if n % 3 == 0 { LARGE } else { 5 }));
    assert_eq!(received(&mut broker, subscriber), expected.collect::<Vec<_>>());
}

#[test]
fn a_register_that_is_emptied_twice_is_empty_after_a_crash_once_either_was_acknowledged() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut broker = Broker::new(2, settings());
        let [one, other] = ["p", "q"].map(|name| client(&mut broker, name));
        retain(&mut broker, one, "a", 's', 5);
        broker.sync_at_once = false;
        broker.publish_with(one, "a", QoS::AtMostOnce, 0, b"", true, false);
        broker.publish_with(other, "a", qos, 1, b"", true, false);
        let acknowledged = |words: &[String]| words.iter().any(|words| words.starts_with("pub"));
        assert!(!acknowledged(&broker.read(other)), "a crash would bring the message back");
        broker.sync();
        broker.settle();
        assert!(acknowledged(&broker.read(other)));
        broker.crash();
        let subscriber = client(&mut broker, "s");
        broker.sync_at_once = true;
        broker.subscribe(subscriber, "#", QoS::AtMostOnce);
        assert_eq!(received(&mut broker, subscriber), Vec::<String>::new());
    }
}

#[test]
fn a_large_register_is_replaced_emptied_and_stays_empty() {
    let mut broker = Broker::new(2, settings());
    let publisher = client(&mut broker, "p");
    retain(&mut broker, publisher, "a", 'o', LARGE);
    retain(&mut broker, publisher, "a", 'n', LARGE + 1);
    retain(&mut broker, publisher, "b", 'o', LARGE);
    retain(&mut broker, publisher, "b", 's', 3);
    retain(&mut broker, publisher, "c", 'o', LARGE);
    retain(&mut broker, publisher, "c", 'o', 0);
    for life in 0..2 {
        let subscriber = client(&mut broker, "s");
        broker.subscribe(subscriber, "+", QoS::AtMostOnce);
        assert_eq!(sorted(received(&mut broker, subscriber)), ["a n3001", "b s3"], "life {life}");
        broker.crash();
    }
    assert_eq!(broker.stored_keys().filter(|key| matches!(key, Key::Retained(..))).count(), 2);
}

#[test]
fn a_subscriber_waits_for_a_large_message_that_the_store_has_not_been_given_yet() {
    let mut broker = Broker::new(1, settings());
    let publisher = client(&mut broker, "p");
    broker.sync_at_once = false;
    // The store takes two batches at a time: the last is still open.
    for (topic, letter) in [("a", '1'), ("a", '2'), ("b", '3')] {
        retain(&mut broker, publisher, topic, letter, LARGE);
    }
    let subscriber = client(&mut broker, "s");
    broker.subscribe(subscriber, "+", QoS::AtMostOnce);
    assert!(received(&mut broker, subscriber).is_empty());
    broker.sync();
    broker.sync();
    assert_eq!(received(&mut broker, subscriber), ["a 23000", "b 33000"]);
}

#[test]
fn a_client_that_takes_nothing_for_a_while_loses_nothing_at_qos_0() {
    for workers in [1, 3] {
        let mut broker = Broker::new(workers, settings());
        let publisher = client(&mut broker, "p");
        for n in 0..30 {
            retain(&mut broker, publisher, &format!("t/{n:02}"), 'x', 20_000);
        }
        let subscriber = client(&mut broker, "s");
        // No SUBACK comes through a socket that takes nothing.
        broker.block(subscriber, true);
        broker.send(subscriber, &[0x82, 9, 0, 7, 0, 0, 3, b't', b'/', b'#', 0]);
        assert!(broker.read(subscriber).is_empty());
        for _ in 0..40 {
            broker.block(subscriber, false);
            broker.block(subscriber, true);
        }
        assert_eq!(received(&mut broker, subscriber).len(), 30, "{workers} workers");
    }
}

#[test]
fn what_is_retained_flows_no_faster_than_a_persistent_session_acknowledges() {
    let settings = Settings { inbox_bytes_max: 200_000, outbound_window_max: 2, ..settings() };
    let mut broker = Broker::new(2, settings);
    let publisher = client(&mut broker, "p");
    for n in 0..40 {
        retain(&mut broker, publisher, &format!("t/{n:02}"), 'x', 20_000);
    }
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
    broker.subscribe(subscriber, "t/#", QoS::AtLeastOnce);
    let mut topics = Vec::new();
    for packet_id in 1..=40 {
        topics.extend(received(&mut broker, subscriber));
        broker.packet(subscriber, |out, version| {
            encode::puback(out, version, &Ack::new(packet_id, ReasonCode::Success));
        });
    }
    topics.extend(received(&mut broker, subscriber));
    assert!(broker.is_open(subscriber));
    assert_eq!(sorted(topics), (0..40).map(|n| format!("t/{n:02} x20000")).collect::<Vec<_>>());
}

#[test]
fn bytes_on_disk_count_against_the_bound() {
    let mut broker = Broker::new(1, Settings { retained_bytes_max: 10_000, ..settings() });
    let publisher = client(&mut broker, "p");
    let mut acknowledged = Vec::new();
    for topic in ["a", "b", "c", "d", "a"] {
        retain(&mut broker, publisher, topic, 'x', LARGE);
        acknowledged.extend(broker.read(publisher));
    }
    let is_refused = acknowledged.iter().map(|ack| ack.contains("quota")).collect::<Vec<_>>();
    assert_eq!(is_refused, [false, false, false, true, false], "{acknowledged:?}");
    assert_eq!(broker.stats().retained_bytes, 3 * (LARGE as u64 + 8));
}

#[test]
fn a_search_for_what_is_rare_finds_it_among_many_on_all_workers() {
    let mut broker = Broker::new(2, Settings { publish_rate_max: 0, ..settings() });
    let publisher = client(&mut broker, "p");
    for n in 0..20_000 {
        broker.publish_with(publisher, &format!("d/{n}/state"), QoS::AtMostOnce, 0, b"1", true, false);
    }
    for n in [17, 4_711] {
        retain(&mut broker, publisher, &format!("d/{n}/x"), 'r', LARGE);
    }
    let subscribers = ["a", "b", "c"].map(|name| client(&mut broker, name));
    for subscriber in subscribers {
        broker.subscribe(subscriber, "+/+/x", QoS::AtMostOnce);
        assert_eq!(sorted(received(&mut broker, subscriber)), ["d/17/x r3000", "d/4711/x r3000"]);
    }
}

#[test]
fn a_message_that_is_sent_again_does_not_replace_a_newer_one() {
    for workers in [1, 2, 3] {
        for crash in [false, true] {
            for topic in ["a", "b", "c", "d"] {
                let mut broker = Broker::new(workers, settings());
                let (slow, _) = broker.connect(&connect(Version::V5, "slow", false));
                // Its connection is gone when the topic's worker answers.
                broker.hold();
                broker.publish_with(slow, topic, QoS::ExactlyOnce, 9, b"1", true, false);
                broker.hang_up(slow);
                broker.release();
                let other = client(&mut broker, "other");
                broker.publish_with(other, topic, QoS::AtLeastOnce, 1, b"2", true, false);
                assert!(broker.read(other)[0].starts_with("puback #1"));
                if crash {
                    broker.crash();
                }
                let (slow, present) = broker.connect(&connect(Version::V5, "slow", false));
                assert!(present);
                broker.publish_with(slow, topic, QoS::ExactlyOnce, 9, b"1", true, true);
                assert!(broker.read(slow)[0].starts_with("pubrec #9"));
                let late = client(&mut broker, "late");
                broker.subscribe(late, topic, QoS::AtMostOnce);
                let expected = format!("publish {topic} 2 q0 retain");
                assert_eq!(broker.read(late), [expected], "{workers} workers, crash: {crash}");
            }
        }
    }
}
