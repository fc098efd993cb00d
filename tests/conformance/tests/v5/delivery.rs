//! Sections 4.3, 4.5 and 4.6: the exchanges of each QoS, and order.

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, connect, fresh, puback, pubcomp, publish, pubrec, pubrel,
};

fn receiver(topic: &str, qos: u8) -> Client {
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(topic, qos);
    client
}

/// [MQTT-4.3.1-1]: QoS 0 goes out once, with DUP 0.
#[test]
fn mqtt_4_3_1_1_qos_0_is_sent_with_dup_0() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic, 0);
    let mut sender = Server::shared().connected(Version::V5);
    for qos in 0..3 {
        sender.publish(&topic, "x", qos);
        let message = receiver.expect_publish();
        assert_eq!((message.qos, message.dup), (0, false));
    }
    receiver.expect_nothing();
}

/// [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-4.3.2-3]: QoS 1 goes out with an id of its own and DUP 0, and takes a place
/// in the window until PUBACK.
#[test]
fn mqtt_4_3_2_1_qos_1_is_sent_once_and_waits_for_puback() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(2));
    receiver.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..3 {
        sender.publish(&topic, n.to_string(), 1);
    }
    let (first, second) = (receiver.expect_publish(), receiver.expect_publish());
    assert!(!first.dup && !second.dup && first.packet_id != second.packet_id);
    receiver.expect_nothing();
    receiver.send(puback(first.packet_id));
    assert_eq!(receiver.expect_publish().text(), "2");
}

/// [MQTT-4.3.2-4]: PUBACK names the PUBLISH.
#[test]
fn mqtt_4_3_2_4_qos_1_is_answered_by_puback() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").qos(1, 4711));
    assert!(client.expect_puback(4711).reason < 0x80);
}

/// [MQTT-4.3.2-5]: after PUBACK the same id is a new message, DUP or not.
#[test]
fn mqtt_4_3_2_5_after_puback_the_same_identifier_is_a_new_message() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic, 1);
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(&topic, "1").qos(1, 9)).expect_puback(9);
    client.send(publish(&topic, "2").qos(1, 9)).expect_puback(9);
    client.send(publish(&topic, "3").qos(1, 9).dup()).expect_puback(9);
    for text in ["1", "2", "3"] {
        receiver.expect_message(&topic, text);
    }
}

/// [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-4.3.3-4], [MQTT-4.3.3-5]: the sender's side of QoS 2.
#[test]
fn mqtt_4_3_3_1_the_servers_side_of_sending_qos_2() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(1));
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "1", 2).publish(&topic, "2", 2);
    let first = receiver.expect_publish();
    assert_eq!((first.qos, first.dup), (2, false));
    receiver.expect_nothing();
    receiver.send(pubrec(first.packet_id)).expect_pubrel(first.packet_id);
    receiver.expect_nothing();
    receiver.send(pubcomp(first.packet_id));
    assert_eq!(receiver.expect_publish().text(), "2");
}

/// [MQTT-4.3.3-7]: expiry does not end an exchange that began.
#[test]
fn mqtt_4_3_3_7_a_message_that_was_sent_does_not_expire() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).persistent());
    receiver.subscribe(&topic, 2);
    Server::shared().connected(Version::V5).deliver(publish(&topic, "x").expiry(1), 2);
    let first = receiver.expect_publish();
    std::thread::sleep(std::time::Duration::from_millis(1600));
    receiver.vanish();
    let mut receiver = Server::shared().client(connect(&name).persistent());
    let again = receiver.expect_publish();
    assert_eq!((again.packet_id, again.dup), (first.packet_id, true));
    receiver.send(pubrec(first.packet_id)).expect_pubrel(first.packet_id);
    receiver.send(pubcomp(first.packet_id)).expect_nothing();
}

/// [MQTT-4.3.3-13]: the exchange with the publisher goes on when the message has expired.
#[test]
fn mqtt_4_3_3_13_the_exchange_outlives_the_message() {
    let mut sender = Server::shared().connected(Version::V5);
    sender.send(publish(fresh("t/"), "x").qos(2, 1).expiry(1)).expect_pubrec(1);
    std::thread::sleep(std::time::Duration::from_millis(1600));
    sender.send(pubrel(1));
    assert_eq!(sender.expect_pubcomp(1).reason, 0);
}

/// [MQTT-4.3.3-8], [MQTT-4.3.3-10], [MQTT-4.3.3-11]: the receiver's side of QoS 2: PUBREC each time, one delivery,
/// PUBCOMP.
#[test]
fn mqtt_4_3_3_10_a_repeated_qos_2_publish_is_delivered_once() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic, 2);
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(&topic, "x").qos(2, 7)).expect_pubrec(7);
    client.send(publish(&topic, "x").qos(2, 7).dup()).expect_pubrec(7);
    client.send(publish(&topic, "x").qos(2, 7)).expect_pubrec(7);
    client.send(pubrel(7)).expect_pubcomp(7);
    receiver.expect_message(&topic, "x");
    receiver.expect_nothing();
}

/// [MQTT-4.3.3-9]: after a negative PUBREC the same id is a new message.
#[test]
fn mqtt_4_3_3_9_after_a_negative_pubrec_the_identifier_is_free() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic, 2);
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish("$SYS/forbidden", "x").qos(2, 7));
    assert!(client.expect_pubrec(7).reason >= 0x80);
    client.send(publish(&topic, "new").qos(2, 7));
    assert!(client.expect_pubrec(7).reason < 0x80);
    client.send(pubrel(7)).expect_pubcomp(7);
    receiver.expect_message(&topic, "new");
}

/// [MQTT-4.3.3-12]: after PUBCOMP the same id is a new message.
#[test]
fn mqtt_4_3_3_12_after_pubcomp_the_same_identifier_is_a_new_message() {
    let topic = fresh("t/");
    let mut receiver = receiver(&topic, 2);
    let mut client = Server::shared().connected(Version::V5);
    for text in ["1", "2"] {
        client.send(publish(&topic, text).qos(2, 3)).expect_pubrec(3);
        client.send(pubrel(3)).expect_pubcomp(3);
        client.send(pubrel(3));
        assert_eq!(client.expect_pubcomp(3).reason, 0x92);
        receiver.expect_message(&topic, text);
    }
    receiver.expect_nothing();
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]: messages of a publisher on a topic come in the order of their sending.
#[test]
fn mqtt_4_6_0_5_messages_come_in_the_order_of_publishing() {
    for qos in 0..3u8 {
        let topic = fresh("t/");
        let mut receiver = receiver(&format!("{topic}/#"), qos);
        let mut sender = Server::shared().connected(Version::V5);
        for n in 0..60u16 {
            match qos {
                2 => sender.publish(&topic, n.to_string(), 2),
                qos => sender.send(publish(&topic, n.to_string()).qos(qos, n + 1)),
            };
        }
        for n in 0..60u16 {
            receiver.expect_message(&topic, n.to_string());
        }
    }
}

/// [MQTT-4.6.0-5]: acknowledgements of a server come in the order of the packets, too.
#[test]
fn mqtt_4_6_0_5_acknowledgements_come_in_order() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    for packet_id in 1..=50 {
        client.send(publish(&topic, "x").qos(1, packet_id));
    }
    for packet_id in 1..=50 {
        client.expect_puback(packet_id);
    }
    for packet_id in 1..=50 {
        client.send(publish(&topic, "x").qos(2, packet_id));
    }
    for packet_id in 1..=50 {
        client.expect_pubrec(packet_id);
    }
    for packet_id in 1..=50 {
        client.send(pubrel(packet_id));
    }
    for packet_id in 1..=50 {
        client.expect_pubcomp(packet_id);
    }
}

/// [MQTT-4.6.0-6], [MQTT-4.4.0-1]: order holds across a time away.
#[test]
fn mqtt_4_6_0_6_queued_messages_keep_their_order() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).persistent());
    receiver.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "0", 1).publish(&topic, "1", 1);
    receiver.expect_publish();
    receiver.vanish();
    for n in 2..300u16 {
        sender.send(publish(&topic, n.to_string()).qos(1, n)).expect_puback(n);
    }
    let mut receiver = Server::shared().client(connect(&name).persistent());
    for n in 0..300u16 {
        receiver.expect_message(&topic, n.to_string());
    }
    receiver.expect_nothing();
}

/// [MQTT-4.3.2-4]: a PUBLISH that nobody receives is acknowledged, too.
#[test]
fn mqtt_4_3_2_4_no_matching_subscribers_is_no_failure() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("nobody/"), "x").qos(1, 1));
    assert!(matches!(client.expect_puback(1).reason, 0x00 | 0x10));
    let packets = client.drain();
    assert!(!packets.iter().any(|packet| matches!(packet, Incoming::Puback(_))), "{packets:?}");
}
