//! What clients see of QoS, order and acknowledgements.

mod broker;

use broker::{Broker, connect};
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
