//! Section 4.9: flow control.

use sluice_tests_conformance::{
    Server, Version, connect, fresh, id, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};

/// [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2]: never more unacknowledged messages than the client's Receive Maximum.
#[test]
fn mqtt_3_3_4_9_the_server_keeps_to_the_receive_maximum() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(3));
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..12u8 {
        sender.publish(&topic, n.to_string(), 1 + n % 2);
    }
    let mut held: Vec<_> = (0..3).map(|_| receiver.expect_publish()).collect();
    for _ in 3..12 {
        receiver.expect_nothing();
        let oldest = held.remove(0);
        receiver.acknowledge(&oldest);
        held.push(receiver.expect_publish());
    }
    receiver.expect_nothing();
}

/// [MQTT-3.3.4-10], [MQTT-4.9.0-3]: everything else goes on while the window is full: PINGRESP, SUBACK, PUBACK,
/// PUBREL, QoS 0.
#[test]
fn mqtt_3_3_4_10_a_full_window_holds_back_nothing_but_publish() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(1));
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "1", 2).publish(&topic, "2", 2);
    let first = receiver.expect_publish();
    receiver.ping();
    receiver.send(subscribe(20).filter(fresh("t/"), 0)).expect_suback(20, &[0]);
    receiver.publish(&fresh("t/"), "x", 1).publish(&fresh("t/"), "x", 2);
    sender.publish(&topic, "0", 0);
    assert_eq!(receiver.expect_publish().qos, 0);
    receiver.send(pubrec(first.packet_id)).expect_pubrel(first.packet_id);
    receiver.expect_nothing();
    receiver.send(pubcomp(first.packet_id));
    assert_eq!(receiver.expect_publish().text(), "2");
}

/// [MQTT-4.9.0-2]: a PUBREC of 0x80 or more gives its place back, a PUBREC below does not.
#[test]
fn mqtt_4_9_0_2_a_negative_pubrec_frees_a_place_in_the_window() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).receive_maximum(1));
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "1", 2).publish(&topic, "2", 2);
    let first = receiver.expect_publish();
    receiver.send(pubrec(first.packet_id).reason(0x97));
    assert_eq!(receiver.expect_publish().text(), "2");
}

/// [MQTT-3.3.4-7], [MQTT-4.9.0-2]: a client that exceeds the server's Receive Maximum is disconnected.
#[test]
fn mqtt_3_3_4_7_exceeding_the_servers_receive_maximum_is_an_error() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    let most = client.connack().properties.number(id::RECEIVE_MAXIMUM).unwrap_or(65_535) as u16;
    for packet_id in 1..=most {
        client.send(publish(&topic, "x").qos(2, packet_id)).expect_pubrec(packet_id);
    }
    client.ping();
    client.send(publish(&topic, "one too many").qos(2, most + 1));
    client.expect_disconnect(&[0x93]);
}

/// [MQTT-4.9.0-2]: a place is free again after PUBCOMP, and at once after PUBACK.
#[test]
fn mqtt_4_9_0_2_completed_exchanges_give_their_places_back() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    let most = client.connack().properties.number(id::RECEIVE_MAXIMUM).unwrap_or(65_535) as u16;
    for round in 0..2 {
        for packet_id in 1..=most {
            client.send(publish(&topic, round.to_string()).qos(2, packet_id)).expect_pubrec(packet_id);
        }
        for packet_id in 1..=most {
            client.send(pubrel(packet_id)).expect_pubcomp(packet_id);
        }
    }
    for packet_id in 1..=2 * most {
        client.send(publish(&topic, "x").qos(1, packet_id)).expect_puback(packet_id);
    }
}

/// [MQTT-4.9.0-1]: the window counts anew on a new connection.
#[test]
fn mqtt_4_9_0_1_the_window_is_that_of_the_connection() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).persistent().receive_maximum(2));
    receiver.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..4 {
        sender.publish(&topic, n.to_string(), 1);
    }
    receiver.expect_publish();
    receiver.expect_publish();
    receiver.expect_nothing();
    receiver.vanish();
    let mut receiver = Server::shared().client(connect(&name).persistent().receive_maximum(1));
    for n in 0..4 {
        let message = receiver.expect_publish();
        assert_eq!(message.text(), n.to_string());
        receiver.expect_nothing();
        receiver.send(puback(message.packet_id));
    }
}
