//! What clients see of QoS, order and acknowledgements.

mod broker;

use broker::{Broker, Client, connect, put_publish, rules};
use sluice_dataplane_core::Settings;
use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};

fn ack(out: &mut Vec<u8>, version: Version, packet_id: u16) {
    encode::puback(out, version, &Ack::new(packet_id, ReasonCode::Success));
}

#[test]
fn a_message_reaches_subscribers_of_every_worker_at_every_qos() {
    for workers in [1, 2, 5] {
        let mut broker = Broker::new(workers, Settings::default());
        let (publisher, _) = broker.connect(&connect(Version::V5, "publisher", true));
        let subscribers: Vec<_> = (0..10)
            .map(|n| {
                let (client, _) = broker.connect(&connect(Version::V311, &format!("subscriber-{n}"), true));
                broker.subscribe(client, "a/+", QoS::ExactlyOnce);
                client
            })
            .collect();
        broker.publish(publisher, "a/b", QoS::AtMostOnce, 0, b"zero");
        broker.publish(publisher, "a/b", QoS::AtLeastOnce, 1, b"one");
        broker.publish(publisher, "a/b", QoS::ExactlyOnce, 2, b"two");
        assert_eq!(broker.read(publisher), ["puback #1 success", "pubrec #2 success"]);
        for client in subscribers {
            assert_eq!(broker.read(client), ["publish a/b zero q0", "publish a/b one q1 #1", "publish a/b two q2 #2"]);
        }
    }
}

#[test]
fn nobody_subscribed_is_said_to_version_5_publishers() {
    let mut broker = Broker::new(2, Settings::default());
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    broker.publish(publisher, "nowhere", QoS::AtLeastOnce, 5, b"");
    assert_eq!(broker.read(publisher), ["puback #5 no_matching_subscribers"]);
}

#[test]
fn an_acknowledgement_follows_the_disk_and_keeps_its_turn() {
    for workers in [1, 3] {
        let mut broker = Broker::new(workers, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
        broker.subscribe(subscriber, "stored", QoS::AtLeastOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
        broker.sync_at_once = false;
        broker.publish(publisher, "stored", QoS::AtLeastOnce, 1, b"x");
        broker.publish(publisher, "nowhere", QoS::AtLeastOnce, 2, b"y");
        assert_eq!(broker.read(publisher), [] as [&str; 0], "{workers} workers");
        assert_eq!(broker.read(subscriber), [] as [&str; 0]);
        broker.sync();
        assert_eq!(broker.read(publisher), ["puback #1 success", "puback #2 no_matching_subscribers"]);
        assert_eq!(broker.read(subscriber), ["publish stored x q1 #1"]);
    }
}

#[test]
fn what_was_acknowledged_survives_a_crash_and_comes_in_order() {
    for workers in [1, 4] {
        let mut broker = Broker::new(workers, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
        broker.subscribe(subscriber, "t/#", QoS::ExactlyOnce);
        broker.hang_up(subscriber);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", false));
        for n in 1..=50u16 {
            broker.publish(publisher, "t/x", QoS::AtLeastOnce, n, n.to_string().as_bytes());
        }
        assert_eq!(broker.read(publisher).len(), 50);
        broker.crash();
        let (subscriber, present) = broker.connect(&connect(Version::V5, "s", false));
        assert!(present);
        let got = broker.read(subscriber);
        let want: Vec<String> = (1..=50).map(|n| format!("publish t/x {n} q1 #{n}")).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn an_interrupted_qos_2_exchange_delivers_once() {
    for workers in [1, 2, 3, 4] {
        let mut broker = Broker::new(workers, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
        broker.subscribe(subscriber, "t", QoS::ExactlyOnce);
        broker.hang_up(subscriber);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", false));
        broker.publish(publisher, "t", QoS::ExactlyOnce, 9, b"once");
        assert_eq!(broker.read(publisher), ["pubrec #9 success"]);
        broker.crash();
        let (publisher, present) = broker.connect(&connect(Version::V5, "p", false));
        assert!(present);
        broker.publish_with(publisher, "t", QoS::ExactlyOnce, 9, b"once", false, true);
        assert_eq!(broker.read(publisher), ["pubrec #9 success"]);
        broker.packet(publisher, |out, v| encode::pubrel(out, v, &Ack::new(9, ReasonCode::Success)));
        assert_eq!(broker.read(publisher), ["pubcomp #9 success"]);
        // The same packet id for the next message is a new exchange.
        broker.publish(publisher, "t", QoS::ExactlyOnce, 9, b"twice");
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
        assert_eq!(broker.read(subscriber), ["publish t once q2 #1", "publish t twice q2 #2"], "{workers} workers");
    }
}

#[test]
fn a_released_message_is_never_sent_again_after_a_crash() {
    let mut broker = Broker::new(1, Settings::default());
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
    broker.subscribe(subscriber, "t", QoS::ExactlyOnce);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    broker.publish(publisher, "t", QoS::ExactlyOnce, 1, b"m");
    assert_eq!(broker.read(subscriber), ["publish t m q2 #1"]);
    broker.sync_at_once = false;
    broker.packet(subscriber, |out, v| encode::pubrec(out, v, &Ack::new(1, ReasonCode::Success)));
    assert_eq!(broker.read(subscriber), [] as [&str; 0], "PUBREL follows the disk");
    broker.sync();
    assert_eq!(broker.read(subscriber), ["pubrel #1 success"]);
    broker.crash();
    broker.sync_at_once = true;
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
    assert_eq!(broker.read(subscriber), ["pubrel #1 success"]);
    broker.packet(subscriber, |out, v| encode::pubcomp(out, v, &Ack::new(1, ReasonCode::Success)));
    broker.crash();
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
    assert_eq!(broker.read(subscriber), [] as [&str; 0]);
}

#[test]
fn unacknowledged_messages_come_again_with_their_packet_ids_and_dup() {
    let mut broker = Broker::new(1, Settings::default());
    let (subscriber, _) = broker.connect(&connect(Version::V311, "s", false));
    broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
    for n in 1..=3u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, &[b'0' + n as u8]);
    }
    broker.packet(subscriber, |out, v| ack(out, v, 2));
    assert_eq!(broker.read(subscriber).len(), 3);
    broker.hang_up(subscriber);
    let (subscriber, present) = broker.connect(&connect(Version::V311, "s", false));
    assert!(present);
    assert_eq!(broker.read(subscriber), ["publish t 1 q1 #1 dup", "publish t 3 q1 #3 dup"]);
    broker.packet(subscriber, |out, v| ack(out, v, 1));
    broker.packet(subscriber, |out, v| ack(out, v, 3));
    broker.hang_up(subscriber);
    let (subscriber, _) = broker.connect(&connect(Version::V311, "s", false));
    assert_eq!(broker.read(subscriber), [] as [&str; 0]);
    assert!(
        !broker.stored_keys().any(|k| matches!(k, sluice_dataplane_core::Key::Block(..))),
        "nothing is left behind"
    );
}

#[test]
fn a_window_that_is_full_holds_the_rest_back_in_order() {
    let settings = Settings { outbound_window_max: 4, ..Settings::default() };
    for persistent in [false, true] {
        let mut broker = Broker::new(1, settings.clone());
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", !persistent));
        broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
        for n in 1..=20u16 {
            broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
        }
        let mut got = Vec::new();
        for n in 1..=20u16 {
            got.extend(broker.read(subscriber));
            assert_eq!(got.len(), (3 + usize::from(n)).min(20));
            broker.packet(subscriber, |out, v| ack(out, v, n));
        }
        let want: Vec<String> = (1..=20).map(|n| format!("publish t {n} q1 #{n}")).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let mut broker = Broker::new(2, Settings::default());
    broker.chunk = 1;
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", true));
    broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    broker.publish(publisher, "t", QoS::AtLeastOnce, 1, b"x");
    assert_eq!(broker.read(subscriber), ["publish t x q1 #1"]);
}

#[test]
fn what_was_sent_before_the_disk_knew_comes_again_as_a_duplicate() {
    let mut broker = Broker::new(1, Settings::default());
    let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
    broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
    broker.hang_up(subscriber);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    for n in 1..=3000u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
    }
    broker.hold();
    let subscriber = broker.begin_connect(&connect(Version::V5, "s", false));
    broker.sync_at_once = false;
    let mut sent = std::collections::BTreeSet::new();
    loop {
        let packets = broker.read(subscriber);
        let published: Vec<&String> = packets.iter().filter(|words| words.starts_with("publish")).collect();
        if published.is_empty() {
            break;
        }
        for words in published {
            let packet_id = words.split(' ').nth(4).and_then(|id| id.strip_prefix('#')).unwrap().parse().unwrap();
            sent.insert(packet_id);
            broker.packet(subscriber, |out, v| ack(out, v, packet_id));
        }
    }
    assert!((200..3000).contains(&sent.len()), "{} were sent though no acknowledgement was stored", sent.len());
    broker.crash();
    broker.sync_at_once = true;
    let (subscriber, present) = broker.connect(&connect(Version::V5, "s", false));
    assert!(present);
    let mut again = 0;
    loop {
        let packets = broker.read(subscriber);
        if packets.is_empty() {
            break;
        }
        for words in packets {
            let packet_id: u16 = words.split(' ').nth(4).and_then(|id| id.strip_prefix('#')).unwrap().parse().unwrap();
            assert!(!sent.contains(&packet_id) || words.ends_with("dup"), "{words}");
            again += 1;
            broker.packet(subscriber, |out, v| ack(out, v, packet_id));
        }
    }
    assert_eq!(again, 3000);
}

#[test]
fn what_is_routed_again_goes_only_to_those_who_know_whether_they_have_it() {
    let mut routed_again = 0;
    for n in 0..8 {
        let mut broker = Broker::new(2, Settings::default());
        let (stores, transient) = (format!("stores-{n}"), format!("transient-{n}"));
        let (stores, _) = broker.connect(&connect(Version::V5, &stores, false));
        let (transient, _) = broker.connect(&connect(Version::V5, &transient, true));
        broker.subscribe(stores, "t", QoS::ExactlyOnce);
        broker.subscribe(transient, "t", QoS::ExactlyOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", false));
        // The disk is slow, so that the first PUBREC is never sent.
        broker.sync_at_once = false;
        broker.publish(publisher, "t", QoS::ExactlyOnce, 9, b"once");
        broker.sync_all_but(stores);
        broker.hang_up(publisher);
        let publisher = broker.begin_connect(&connect(Version::V5, "p", false));
        broker.sync_all_but(stores);
        broker.publish_with(publisher, "t", QoS::ExactlyOnce, 9, b"once", false, true);
        broker.sync_at_once = true;
        broker.settle();
        for subscriber in [stores, transient] {
            let got = broker.read(subscriber);
            assert_eq!(got.iter().filter(|words| words.starts_with("publish")).count(), 1, "{n}: {got:?}");
        }
        routed_again += usize::from(broker.read(publisher).iter().any(|words| words.starts_with("pubrec")));
    }
    assert!(routed_again > 0);
}

/// The first letter and the length of the payload of each PUBLISH that a client was sent.
fn in_short(broker: &mut Broker, client: Client) -> Vec<String> {
    let words = broker.read(client);
    let payloads =
        words.iter().filter(|words| words.starts_with("publish ")).filter_map(|words| words.split(' ').nth(2));
    payloads.map(|payload| format!("{}{}", &payload[..1], payload.len())).collect()
}

/// Messages are stored in blocks of 128 KiB: the last one of a turn may fill one to its end.
#[test]
fn a_message_that_fills_a_block_is_delivered_without_another() {
    for workers in [1, 2, 3] {
        for len in [131_000, 140_000, 300_000] {
            let mut broker = Broker::new(workers, Settings::default());
            let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
            broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
            let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
            broker.publish(publisher, "t", QoS::AtLeastOnce, 1, &vec![b'x'; len]);
            assert_eq!(broker.read(publisher), ["puback #1 success"]);
            assert_eq!(in_short(&mut broker, subscriber), [format!("x{len}")], "{workers} workers");
        }
    }
}

#[test]
fn a_burst_is_delivered_to_its_last_message() {
    for len in [3_000, 16_000, 32_000, 43_000, 60_000] {
        for count in 1..=16 {
            let mut broker = Broker::new(1, Settings::default());
            let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
            broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
            let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
            broker.publish_together(publisher, "t", QoS::AtLeastOnce, &vec![vec![b'x'; len]; count]);
            assert_eq!(broker.read(publisher).len(), count);
            let expected = vec![format!("x{len}"); count];
            assert_eq!(in_short(&mut broker, subscriber), expected);
        }
    }
}

/// A persistent publisher begins an exchange under packet id 7, and another one before the first is stored, with
/// subscribers on all workers. Gives what the publisher was told.
fn reuse_a_packet_id(broker: &mut Broker, version: Version, first: &str, second: &str) -> Vec<String> {
    for n in 0..8 {
        let (subscriber, _) = broker.connect(&connect(Version::V5, &format!("s{n}"), false));
        broker.subscribe(subscriber, "#", QoS::ExactlyOnce);
    }
    let (publisher, _) = broker.connect(&connect(version, "p", false));
    broker.sync_at_once = false;
    broker.publish(publisher, first, QoS::ExactlyOnce, 7, b"first");
    broker.publish_with(publisher, second, QoS::ExactlyOnce, 7, b"second", true, false);
    for _ in 0..3 {
        broker.sync();
    }
    broker.sync_at_once = true;
    broker.settle();
    broker.read(publisher)
}

#[test]
fn a_packet_id_in_use_stands_for_no_other_message() {
    for workers in [1, 2, 3] {
        for version in [Version::V311, Version::V5] {
            for second in ["a", "b", "c", "d", "e", "f"] {
                let mut broker = Broker::new(workers, Settings::default());
                let (watcher, _) = broker.connect(&connect(Version::V5, "w", false));
                broker.subscribe(watcher, "#", QoS::AtMostOnce);
                let told = reuse_a_packet_id(&mut broker, version, "first", second);
                assert_eq!(broker.read(watcher), ["publish first first q0"], "{workers} workers, {second}");
                let (late, _) = broker.connect(&connect(Version::V5, "late", true));
                broker.subscribe(late, "#", QoS::AtMostOnce);
                assert_eq!(broker.read(late), [] as [&str; 0], "{workers} workers, {second} is retained");
                if version == Version::V5 && workers > 1 {
                    assert!(
                        told.contains(&"pubrec #7 packet_identifier_in_use".to_owned()),
                        "{workers} workers, {second}: {told:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_may_not_be_published_does_not_go_under_the_packet_id_of_what_may() {
    for second in ["secret/a", "secret/b", "secret/c", "secret/d"] {
        let mut broker = Broker::new(2, Settings::default());
        broker.rules = rules(
            "  - deny: publish\n    everyone: true\n    topics: ['secret/#']\n\
             \x20 - allow: all\n    everyone: true\n    topics: ['#']\n",
        );
        broker.crash();
        let (watcher, _) = broker.connect(&connect(Version::V5, "w", true));
        broker.subscribe(watcher, "#", QoS::AtMostOnce);
        let told = reuse_a_packet_id(&mut broker, Version::V5, "first", second);
        assert_eq!(broker.read(watcher), ["publish first first q0"], "{second}");
        let refused = ["pubrec #7 not_authorized", "pubrec #7 packet_identifier_in_use"];
        assert!(told.iter().any(|words| refused.contains(&words.as_str())), "{second}: {told:?}");
    }
}

/// A client that reads nothing sends 200,000 packets of a kind, each of which has an answer of four bytes.
fn flood_unread(kind: &str, encode: impl Fn(&mut Vec<u8>, Version, u16)) {
    const PACKETS: usize = 200_000;
    let mut broker = Broker::new(1, Settings::default());
    let (client, _) = broker.connect(&connect(Version::V311, "c", true));
    broker.block(client, true);
    for _ in 0..PACKETS / 1_000 {
        broker.packet(client, |out, version| (1..=1_000).for_each(|packet_id| encode(out, version, packet_id)));
    }
    broker.pass_ms(1_100);
    let waiting = broker.stats().outbox_bytes;
    assert!(waiting <= 200_000, "{kind}: {waiting} bytes of answers wait for a client that does not read");
    let mut answers = 0;
    for _ in 0..1_000 {
        broker.block(client, false);
        answers += broker.read(client).len();
        broker.block(client, true);
    }
    assert_eq!(answers, PACKETS, "{kind}");
}

#[test]
fn a_client_that_reads_no_answers_is_heard_no_further_until_it_does() {
    flood_unread("publish", |out, version, packet_id| {
        put_publish(out, version, "t", QoS::AtLeastOnce, packet_id, b"x", false, false);
    });
    flood_unread("pubrel", |out, version, packet_id| {
        encode::pubrel(out, version, &Ack::new(packet_id, ReasonCode::Success));
    });
}

/// Few topics may have retained messages, and most of them are another worker's.
fn nothing_more_retained() -> Settings {
    Settings { retained_messages_max: 2, ..Settings::default() }
}

#[test]
fn a_version_3_publisher_is_not_told_that_a_refused_message_was_taken() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut broker = Broker::new(2, nothing_more_retained());
        let mut told = 0;
        for n in 0..40 {
            let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
            broker.publish_with(publisher, &format!("t/{n}"), qos, 1, b"x", true, false);
            told += broker.read(publisher).len();
            broker.hang_up(publisher);
        }
        let (reader, _) = broker.connect(&connect(Version::V5, "r", true));
        broker.subscribe(reader, "t/#", QoS::AtMostOnce);
        let retained = broker.read(reader).len();
        assert!(retained > 0 && told <= retained, "{told} acknowledged, {retained} retained");
    }
}

/// What has not happened yet when a publisher loses its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Unread,
    Unstored,
    Unanswered,
}

/// A persistent publisher is refused a retained message, perhaps by another worker, loses its connection, and sends the message
/// again.
fn refused_unread(workers: u16, topic: &str, cut: Cut) {
    let mut broker = Broker::new(workers, nothing_more_retained());
    for n in 0..20 {
        let (client, _) = broker.connect(&connect(Version::V5, &format!("filler-{n}"), true));
        broker.publish_with(client, &format!("filler/{n}"), QoS::AtLeastOnce, 1, b"x", true, false);
    }
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", false));
    if cut == Cut::Unanswered {
        broker.hold();
    }
    broker.sync_at_once = cut != Cut::Unstored;
    broker.publish_with(publisher, topic, QoS::ExactlyOnce, 9, b"x", true, false);
    broker.hang_up(publisher);
    broker.sync_at_once = true;
    broker.release();
    drop(broker.read(publisher));
    let (publisher, present) = broker.connect(&connect(Version::V5, "p", false));
    assert!(present);
    broker.publish_with(publisher, topic, QoS::ExactlyOnce, 9, b"x", true, true);
    let told = broker.read(publisher);
    let (reader, _) = broker.connect(&connect(Version::V5, "r", true));
    broker.subscribe(reader, topic, QoS::AtMostOnce);
    assert_eq!(broker.read(reader), [] as [&str; 0], "nothing more is retained");
    assert_eq!(told, ["pubrec #9 quota_exceeded"], "{topic}");
}

#[test]
fn a_refusal_that_was_not_read_is_no_success_after_coming_back() {
    for cut in [Cut::Unread, Cut::Unstored] {
        (0..20).for_each(|n| refused_unread(1, &format!("t/{n}"), cut));
    }
}

#[test]
fn a_refusal_of_another_worker_that_was_not_read_is_no_success_after_coming_back() {
    for cut in [Cut::Unread, Cut::Unstored, Cut::Unanswered] {
        (0..20).for_each(|n| refused_unread(2, &format!("t/{n}"), cut));
    }
}

#[test]
fn a_publisher_that_comes_back_waits_for_the_disk_of_the_other_worker_as_before() {
    let mut apart = 0;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let mut broker = Broker::new(2, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V5, "s", false));
        broker.subscribe(subscriber, "t", QoS::ExactlyOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, name, false));
        if broker.share_a_worker(subscriber, publisher) {
            continue;
        }
        apart += 1;
        broker.sync_at_once = false;
        broker.publish(publisher, "t", QoS::ExactlyOnce, 9, b"once");
        broker.sync_all_but(subscriber);
        broker.hang_up(publisher);
        broker.sync_all_but(subscriber);
        let publisher = broker.begin_connect(&connect(Version::V5, name, false));
        for _ in 0..3 {
            broker.sync_all_but(subscriber);
        }
        broker.publish_with(publisher, "t", QoS::ExactlyOnce, 9, b"once", false, true);
        for _ in 0..3 {
            broker.sync_all_but(subscriber);
        }
        let told = broker.read(publisher);
        assert!(!told.iter().any(|words| words.starts_with("pubrec")), "{told:?}");
        broker.sync_at_once = true;
        broker.settle();
        assert_eq!(broker.read(publisher).last().map(String::as_str), Some("pubrec #9 success"));
        assert_eq!(broker.read(subscriber), ["publish t once q2 #1"]);
    }
    assert!(apart > 0, "all publishers were on the subscriber's worker");
}

#[test]
fn a_message_that_waits_for_the_disk_is_not_overtaken_on_its_way_to_another_worker() {
    let mut apart = 0;
    for n in 0..12 {
        let mut broker = Broker::new(3, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V5, &format!("s-{n}"), true));
        let topic = format!("t/{n}");
        broker.subscribe(subscriber, &topic, QoS::ExactlyOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", false));
        apart += usize::from(!broker.share_a_worker(subscriber, publisher));
        broker.sync_at_once = false;
        // A retained message has an id where its register is another worker's; the one behind it has none.
        broker.publish_with(publisher, &topic, QoS::ExactlyOnce, 1, b"first", true, false);
        broker.publish(publisher, &topic, QoS::ExactlyOnce, 2, b"second");
        broker.sync_at_once = true;
        broker.settle();
        let got = broker.read(subscriber);
        let want = [format!("publish {topic} first q2 #1"), format!("publish {topic} second q2 #2")];
        assert_eq!(got, want);
    }
    assert!(apart > 0);
}
