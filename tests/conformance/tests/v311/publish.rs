//! Section 3.3: PUBLISH and retained messages.

use sluice_tests_conformance::{Incoming, Server, Version, connect, fresh, packet, publish, subscribe};

use crate::VERSIONS;

/// [MQTT-3.3.1-1]: a redelivery has DUP.
#[test]
fn mqtt_3_3_1_1_a_redelivery_has_dup() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut receiver = Server::shared().client(connect(&name).version(version).persistent());
        receiver.subscribe(&topic, 1);
        Server::shared().connected(version).publish(&topic, "x", 1);
        assert!(!receiver.expect_publish().dup);
        receiver.vanish();
        let mut receiver = Server::shared().client(connect(&name).version(version).persistent());
        assert!(receiver.expect_publish().dup);
    }
}

/// [MQTT-3.3.1-2]: DUP at QoS 0.
#[test]
fn mqtt_3_3_1_2_dup_at_qos_0_closes_the_connection() {
    let mut client = Server::shared().connected(Version::V311);
    client.send(publish(fresh("t/"), "x").dup()).expect_closed();
}

/// [MQTT-3.3.1-3]: DUP is not forwarded.
#[test]
fn mqtt_3_3_1_3_dup_is_not_forwarded() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V311);
    receiver.subscribe(&topic, 2);
    for qos in 1..3 {
        Server::shared().connected(Version::V311).deliver(publish(&topic, "x").dup(), qos);
        assert!(!receiver.expect_message(&topic, "x").dup);
    }
}

/// [MQTT-3.3.1-4]: QoS 3.
#[test]
fn mqtt_3_3_1_4_qos_3_closes_the_connection() {
    for version in VERSIONS {
        let mut client = Server::shared().connected(version);
        client.send(publish(fresh("t/"), "x").qos(3, 1)).expect_closed();
    }
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8]: the last retained message goes to new
/// subscriptions with RETAIN 1 and its QoS, also where it replaced another one.
#[test]
fn mqtt_3_3_1_5_retained_messages_are_kept_for_new_subscriptions() {
    for version in VERSIONS {
        let topic = fresh("kept/");
        let mut sender = Server::shared().connected(version);
        for qos in [2, 1, 0] {
            sender.retain(&topic, qos.to_string(), qos).ping();
            let mut late = Server::shared().connected(version);
            late.subscribe(&topic, 2);
            let message = late.expect_message(&topic, qos.to_string());
            assert_eq!((message.retain, message.qos), (true, qos));
            late.expect_nothing();
        }
        sender.retain(&topic, "", 1);
    }
}

/// [MQTT-3.3.1-9]: RETAIN is 0 towards an established subscription.
#[test]
fn mqtt_3_3_1_9_retain_is_0_towards_established_subscriptions() {
    let topic = fresh("kept/");
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&topic, 1).retain(&topic, "x", 0);
    assert!(!client.expect_message(&topic, "x").retain);
    client.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-10], [MQTT-3.3.1-11]: an empty retained message is delivered, removes the one before, and is not kept.
#[test]
fn mqtt_3_3_1_10_an_empty_retained_message_removes_the_one_before() {
    let topic = fresh("kept/");
    let mut client = Server::shared().connected(Version::V311);
    client.retain(&topic, "x", 1).subscribe(&topic, 1).expect_message(&topic, "x");
    client.retain(&topic, "", 0);
    assert!(!client.expect_message(&topic, "").retain);
    let mut late = Server::shared().connected(Version::V311);
    late.subscribe(&topic, 1).expect_nothing();
}

/// [MQTT-3.3.1-12]: messages without RETAIN leave the retained one alone.
#[test]
fn mqtt_3_3_1_12_other_messages_leave_the_retained_one_alone() {
    let (topic, plain) = (fresh("kept/"), fresh("plain/"));
    let mut client = Server::shared().connected(Version::V311);
    client.retain(&topic, "kept", 1).publish(&topic, "passing", 1).publish(&topic, "", 1).publish(&plain, "x", 1);
    let mut late = Server::shared().connected(Version::V311);
    late.subscribe(&plain, 1).expect_nothing();
    late.subscribe(&topic, 1).expect_message(&topic, "kept");
    client.retain(&topic, "", 1);
}

/// [MQTT-3.3.2-1]: the topic name is there, and UTF-8.
#[test]
fn mqtt_3_3_2_1_the_topic_name_must_be_there() {
    for body in [&b""[..], b"\x00", b"\x00\x05ab", b"\x00\x00"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(0x30, body)).expect_closed();
    }
}

/// [MQTT-3.3.2-2]: wildcards in a topic name.
#[test]
fn mqtt_3_3_2_2_a_topic_name_has_no_wildcards() {
    for topic in ["a/+", "#", "a/b#", "+/b"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(publish(topic, "x")).expect_closed();
    }
}

/// [MQTT-3.3.2-3]: what is delivered matches the filter.
#[test]
fn mqtt_3_3_2_3_a_delivered_topic_matches_the_filter() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&format!("{topic}/+/z"), 0).publish(&format!("{topic}/a/b"), "no", 0);
    client.publish(&format!("{topic}/a/z"), "yes", 0).expect_message(&format!("{topic}/a/z"), "yes");
}

/// [MQTT-3.3.4-1]: the answer of each QoS.
#[test]
fn mqtt_3_3_4_1_the_answer_depends_on_the_qos() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut client = Server::shared().connected(version);
        client.send(publish(&topic, "x")).ping();
        client.send(publish(&topic, "x").qos(1, 7)).expect_puback(7);
        client.send(publish(&topic, "x").qos(2, 8)).expect_pubrec(8);
        client.send(sluice_tests_conformance::pubrel(8)).expect_pubcomp(8);
        client.ping();
    }
}

/// [MQTT-3.3.5-1]: overlapping subscriptions deliver at the highest QoS among them.
#[test]
fn mqtt_3_3_5_1_overlapping_subscriptions_deliver_at_the_highest_qos() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V311);
    receiver.send(subscribe(1).filter(&topic, 0).filter(format!("{topic}/#"), 2)).expect_suback(1, &[0, 2]);
    Server::shared().connected(Version::V311).publish(&topic, "x", 2);
    let packets = receiver.drain();
    let qualities = packets.iter().filter_map(|packet| match packet {
        Incoming::Publish(publish) => Some(publish.qos),
        _ => None,
    });
    assert_eq!(qualities.max(), Some(2), "{packets:?}");
}

/// [MQTT-3.3.5-2]: a PUBLISH that is not authorised is acknowledged as any other, or the connection is closed.
#[test]
fn mqtt_3_3_5_2_a_publish_that_is_not_authorised_is_acknowledged_or_closed() {
    let mut client = Server::shared().connected(Version::V311);
    client.send(publish("$SYS/forbidden", "x").qos(1, 5));
    match client.receive_or_end() {
        None => {}
        Some(Incoming::Puback(ack)) => assert_eq!(ack.packet_id, 5),
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.6.1-1]: the flags of PUBREL.
#[test]
fn mqtt_3_6_1_1_pubrel_has_flags_2() {
    for first in [0x60, 0x61, 0x63, 0x66] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(first, &[0, 1])).expect_closed();
    }
}
