//! Sections 4.3 to 4.6: exchanges, resending, order.

use sluice_tests_conformance::{Server, Version, connect, fresh, puback, pubcomp, publish, pubrec, pubrel};

use crate::VERSIONS;

/// [MQTT-4.3.1-1]: QoS 0 with DUP 0.
#[test]
fn mqtt_4_3_1_1_qos_0_is_sent_with_dup_0() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut client = Server::shared().connected(version);
        client.subscribe(&topic, 0).publish(&topic, "x", 0);
        let message = client.expect_publish();
        assert_eq!((message.qos, message.dup), (0, false));
        client.expect_nothing();
    }
}

/// [MQTT-4.3.2-1]: the sender's side of QoS 1.
#[test]
fn mqtt_4_3_2_1_the_servers_side_of_sending_qos_1() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).v311().persistent());
    receiver.subscribe(&topic, 1);
    Server::shared().connected(Version::V311).publish(&topic, "1", 1).publish(&topic, "2", 1);
    let (first, second) = (receiver.expect_publish(), receiver.expect_publish());
    assert!(!first.dup && !second.dup && first.packet_id != second.packet_id);
    receiver.send(puback(first.packet_id)).ping();
    receiver.vanish();
    let mut receiver = Server::shared().client(connect(&name).v311().persistent());
    assert_eq!(receiver.expect_publish().packet_id, second.packet_id);
    receiver.expect_nothing();
}

/// [MQTT-4.3.2-2]: the receiver's side of QoS 1: after PUBACK the identifier is free.
#[test]
fn mqtt_4_3_2_2_after_puback_the_same_identifier_is_a_new_message() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V311);
    receiver.subscribe(&topic, 1);
    let mut client = Server::shared().connected(Version::V311);
    client.send(publish(&topic, "1").qos(1, 9)).expect_puback(9);
    client.send(publish(&topic, "2").qos(1, 9).dup()).expect_puback(9);
    receiver.expect_message(&topic, "1");
    receiver.expect_message(&topic, "2");
}

/// [MQTT-4.3.3-1], [MQTT-4.4.0-1]: the sender's side of QoS 2, across broken connections.
#[test]
fn mqtt_4_3_3_1_the_servers_side_of_sending_qos_2() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let again = || Server::shared().client(connect(&name).version(version).persistent());
        let mut receiver = again();
        receiver.subscribe(&topic, 2);
        Server::shared().connected(version).publish(&topic, "x", 2);
        let first = receiver.expect_publish();
        assert_eq!((first.qos, first.dup), (2, false));
        receiver.vanish();
        let mut receiver = again();
        let second = receiver.expect_publish();
        assert_eq!((second.packet_id, second.dup), (first.packet_id, true));
        receiver.send(pubrec(first.packet_id)).expect_pubrel(first.packet_id);
        receiver.vanish();
        let mut receiver = again();
        receiver.expect_pubrel(first.packet_id);
        receiver.expect_nothing();
        receiver.send(pubcomp(first.packet_id)).ping();
        receiver.vanish();
        again().expect_nothing();
    }
}

/// [MQTT-4.3.3-2]: the receiver's side of QoS 2.
#[test]
fn mqtt_4_3_3_2_a_qos_2_message_is_taken_once() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut receiver = Server::shared().connected(version);
        receiver.subscribe(&topic, 2);
        let mut client = Server::shared().connected(version);
        client.send(publish(&topic, "1").qos(2, 7)).expect_pubrec(7);
        client.send(publish(&topic, "1").qos(2, 7).dup()).expect_pubrec(7);
        client.send(pubrel(7)).expect_pubcomp(7);
        client.send(publish(&topic, "2").qos(2, 7)).expect_pubrec(7);
        client.send(pubrel(7)).expect_pubcomp(7);
        receiver.expect_message(&topic, "1");
        receiver.expect_message(&topic, "2");
        receiver.expect_nothing();
    }
}

/// [MQTT-4.3.3-2], [MQTT-4.4.0-1]: also when its sender comes back in between.
#[test]
fn mqtt_4_3_3_2_a_qos_2_message_is_taken_once_across_connections() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().connected(Version::V311);
    receiver.subscribe(&topic, 2);
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.send(publish(&topic, "x").qos(2, 7)).expect_pubrec(7);
    client.vanish();
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.send(publish(&topic, "x").qos(2, 7).dup()).expect_pubrec(7);
    client.send(pubrel(7)).expect_pubcomp(7);
    client.send(pubrel(7)).expect_pubcomp(7);
    receiver.expect_message(&topic, "x");
    receiver.expect_nothing();
}

/// [MQTT-4.5.0-1]: an accepted message is in the session of everybody who subscribed.
#[test]
fn mqtt_4_5_0_1_accepted_messages_reach_all_matching_sessions() {
    let topic = fresh("t/");
    let names = [fresh("c"), fresh("c"), fresh("c")];
    for name in &names {
        let mut client = Server::shared().client(connect(name).v311().persistent());
        client.subscribe(&format!("{topic}/#"), 1);
        client.leave();
    }
    Server::shared().connected(Version::V311).publish(&format!("{topic}/x"), "x", 1);
    for name in &names {
        let mut client = Server::shared().client(connect(name).v311().persistent());
        client.expect_message(&format!("{topic}/x"), "x");
    }
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]: a topic is ordered, live and from the queue, resends first.
#[test]
fn mqtt_4_6_0_6_messages_come_in_the_order_of_publishing() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut receiver = Server::shared().client(connect(&name).version(version).persistent());
        receiver.subscribe(&topic, 1);
        let mut sender = Server::shared().connected(version);
        sender.publish(&topic, "0", 1).publish(&topic, "1", 1);
        receiver.expect_publish();
        receiver.expect_publish();
        receiver.vanish();
        for n in 2..60u16 {
            sender.send(publish(&topic, n.to_string()).qos(1, n));
        }
        for n in 2..60u16 {
            sender.expect_puback(n);
        }
        let mut receiver = Server::shared().client(connect(&name).version(version).persistent());
        for n in 0..60u16 {
            receiver.expect_message(&topic, n.to_string());
        }
    }
}
