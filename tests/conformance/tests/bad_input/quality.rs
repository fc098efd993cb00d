//! Q: exchanges of QoS 1 and 2.

use sluice_tests_conformance::{
    Client, Incoming, Outgoing, Server, Version, connect, fresh, id, node, puback, publish, pubrec, pubrel,
};

fn receiver(topic: &str) -> Client {
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(topic, 2);
    client
}

#[test]
fn q1_exceeding_the_receive_maximum_is_an_error() {
    let _others = Server::shared().bystander();
    let mut client = Server::shared().connected(Version::V5);
    let most = client.connack().properties.number(id::RECEIVE_MAXIMUM).unwrap_or(65_535) as u16;
    for packet_id in 1..=most + 1 {
        client.send(publish(fresh("t/"), "x").qos(2, packet_id));
    }
    for packet_id in 1..=most {
        client.expect_pubrec(packet_id);
    }
    client.expect_disconnect(&[0x93]);
}

#[test]
fn q2_an_identifier_in_flight_is_never_delivered_twice() {
    for version in Version::ALL {
        let topic = fresh("t/");
        let mut receiver = receiver(&topic);
        let mut client = Server::shared().connected(version);
        client.send(publish(&topic, "first").qos(2, 7)).expect_pubrec(7);
        client.send(publish(&topic, "second").qos(2, 7));
        assert!(matches!(client.expect_pubrec(7).reason, 0x00 | 0x10 | 0x91));
        client.send(pubrel(7)).expect_pubcomp(7);
        receiver.expect_message(&topic, "first");
        receiver.expect_nothing();
    }
}

/// Subscribers on all workers that store what they are sent, so that the first exchange takes its time.
#[test]
fn q2_an_identifier_in_flight_stands_for_no_other_topic() {
    let server = node().start_plain();
    for version in Version::ALL {
        let topic = fresh("t/");
        let mut receivers: Vec<Client> = (0..6)
            .map(|_| {
                let mut client = server.client(connect(fresh("c")).persistent());
                client.subscribe(&format!("{topic}/#"), 2);
                client
            })
            .collect();
        let mut client = server.client(connect(fresh("c")).version(version).persistent());
        let others: Vec<_> = (0..20).map(|n| publish(format!("{topic}/{n}"), "second").qos(2, 7).retain()).collect();
        let first = publish(format!("{topic}/first"), "first").qos(2, 7);
        let mut together: Vec<&dyn Outgoing> = vec![&first];
        together.extend(others.iter().map(|other| other as &dyn Outgoing));
        client.send_together(&together);
        for n in 0..=others.len() {
            let reason = client.expect_pubrec(7).reason;
            assert!(matches!(reason, 0x00 | 0x10 | 0x91), "{version:?}: {reason:#04x} to number {n}");
        }
        client.send(pubrel(7)).expect_pubcomp(7);
        for receiver in &mut receivers {
            receiver.expect_message(&format!("{topic}/first"), "first");
            receiver.expect_nothing();
        }
        let mut late = server.connected(Version::V5);
        late.subscribe(&format!("{topic}/#"), 0).expect_nothing();
    }
}

#[test]
fn q3_dup_on_an_unknown_identifier_is_a_new_message() {
    for version in Version::ALL {
        for qos in 1..3 {
            let topic = fresh("t/");
            let mut receiver = receiver(&topic);
            Server::shared().connected(version).deliver(publish(&topic, "x").dup(), qos);
            receiver.expect_message(&topic, "x");
        }
    }
}

#[test]
fn q4_a_replay_after_coming_back_is_not_delivered_twice() {
    for version in Version::ALL {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut receiver = receiver(&topic);
        for _ in 0..3 {
            let mut client = Server::shared().client(connect(&name).version(version).persistent());
            client.send(publish(&topic, "x").qos(2, 7).dup()).expect_pubrec(7);
            client.vanish();
        }
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        client.send(pubrel(7)).expect_pubcomp(7);
        receiver.expect_message(&topic, "x");
        receiver.expect_nothing();
    }
}

#[test]
fn q5_hoarding_identifiers_is_bounded() {
    let _others = Server::shared().bystander();
    for version in Version::ALL {
        let mut client = Server::shared().client(connect(fresh("c")).version(version).persistent());
        let mut answered = 0;
        for packet_id in 1..=65_535 {
            client.send(publish("hoard/x", "x").qos(2, packet_id));
            match client.receive_or_end() {
                Some(Incoming::Pubrec(_)) => answered += 1,
                Some(Incoming::Disconnect(disconnect)) => {
                    assert!(matches!(disconnect.reason, 0x93 | 0x97));
                    break;
                }
                None => break,
                other => panic!("{other:?}"),
            }
        }
        // What version 5 clients are told, and what the others are held to by default.
        let most = if version == Version::V5 { 64 } else { 1_024 };
        assert_eq!(answered, most, "{version:?}");
    }
}

#[test]
fn q6_a_crash_between_pubrec_and_pubrel_delivers_once() {
    let server = node().start_plain();
    let (name, watching, topic) = (fresh("c"), fresh("c"), fresh("t/"));
    let mut watcher = server.client(connect(&watching).persistent());
    watcher.subscribe(&topic, 2);
    let mut client = server.client(connect(&name).v311().persistent());
    client.send(publish(&topic, "x").qos(2, 7)).expect_pubrec(7);
    let server = server.kill_and_restart();
    let mut client = server.client(connect(&name).v311().persistent());
    client.send(publish(&topic, "x").qos(2, 7).dup()).expect_pubrec(7);
    let server = server.kill_and_restart();
    let mut client = server.client(connect(&name).v311().persistent());
    client.send(pubrel(7)).expect_pubcomp(7);
    let mut watcher = server.client(connect(&watching).persistent());
    assert!(watcher.connack().session_present);
    watcher.expect_message(&topic, "x");
    watcher.expect_nothing();
}

#[test]
fn q7_a_receiver_that_never_acknowledges_gets_no_more_than_its_window() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).persistent());
    receiver.subscribe(&topic, 1);
    receiver.leave();
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..200 {
        sender.publish(&topic, n.to_string(), 1);
    }
    let before = Server::shared().resident_kib();
    for _ in 0..50 {
        let mut receiver = Server::shared().client(connect(&name).persistent().receive_maximum(10));
        assert!(receiver.connack().session_present);
        assert_eq!(receiver.drain().len(), 10);
        receiver.vanish();
    }
    let grown = Server::shared().resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 64 * 1024), "{grown:?} KiB more");
    let mut receiver = Server::shared().client(connect(&name).persistent());
    for n in 0..200 {
        receiver.expect_message(&topic, n.to_string());
    }
}

#[test]
fn q8_a_stuck_identifier_is_skipped_when_identifiers_wrap() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(64));
    receiver.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "stuck", 1);
    let stuck = receiver.expect_publish().packet_id;
    let mut wrapped = false;
    let mut last = stuck;
    for round in 0..1_320u32 {
        for n in 1..=50 {
            sender.send(publish(&topic, "x").qos(1, n));
        }
        for n in 1..=50 {
            let message = receiver.expect_publish();
            assert_ne!(message.packet_id, stuck, "round {round}");
            wrapped |= message.packet_id < last;
            last = message.packet_id;
            receiver.send(puback(message.packet_id));
            sender.expect_puback(n);
        }
    }
    assert!(wrapped);
    receiver.send(puback(stuck)).expect_nothing();
}

#[test]
fn q9_a_full_inbox_ends_the_session_visibly() {
    let server = node().section("mqtt: {inbox: {messages_max: 10}}").start_plain();
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = server.client(connect(&name).persistent());
    receiver.subscribe(&topic, 1);
    receiver.leave();
    let mut sender = server.connected(Version::V5);
    let mut accepted = 0;
    for packet_id in 1..=30 {
        sender.send(publish(&topic, packet_id.to_string()).qos(1, packet_id));
        let reason = sender.expect_puback(packet_id).reason;
        assert!(matches!(reason, 0x00 | 0x10 | 0x97));
        accepted += usize::from(reason == 0);
    }
    let mut receiver = server.client(connect(&name).persistent());
    if receiver.connack().session_present {
        let received = receiver.drain().len();
        assert_eq!(received, accepted, "what was acknowledged must be there, or the session must be gone");
    } else {
        receiver.expect_nothing();
    }
}

#[test]
fn q9_dropping_the_oldest_or_the_newest_is_a_choice() {
    for (overflow, expected) in [("drop_oldest", 20..30), ("drop_newest", 0..10)] {
        let server = node().section(&format!("mqtt: {{inbox: {{messages_max: 10, overflow: {overflow}}}}}"));
        let server = server.start_plain();
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut receiver = server.client(connect(&name).persistent());
        receiver.subscribe(&topic, 1);
        receiver.leave();
        let mut sender = server.connected(Version::V5);
        for n in 0..30 {
            sender.send(publish(&topic, n.to_string()).qos(1, n + 1)).expect_puback(n + 1);
        }
        let mut receiver = server.client(connect(&name).persistent());
        assert!(receiver.connack().session_present);
        for n in expected {
            receiver.expect_message(&topic, n.to_string());
        }
        receiver.expect_nothing();
    }
}

#[test]
fn q2_an_identifier_is_free_again_after_its_exchange() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic);
    let mut client = Server::shared().connected(Version::V5);
    for n in 0..5 {
        client.send(publish(&topic, n.to_string()).qos(2, 7)).expect_pubrec(7);
        client.send(pubrel(7)).expect_pubcomp(7);
        receiver.expect_message(&topic, n.to_string());
    }
    client.send(pubrec(7)).expect_pubrel(7);
}
