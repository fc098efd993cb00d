//! Sections 3.8 and 3.9: SUBSCRIBE and SUBACK.

use sluice_tests_conformance::{
    Incoming, NO_LOCAL, Server, Version, bytes, connect, fresh, id, packet, property::number, publish, subscribe, user,
};

/// [MQTT-3.8.1-1]: the flags of SUBSCRIBE.
#[test]
fn mqtt_3_8_1_1_subscribe_has_flags_2() {
    for first in [0x80, 0x81, 0x83, 0x86, 0x8A] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(first, b"\x00\x01\x00\x00\x01t\x00"));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.8.3-1]: a filter that runs past the end, or has no options.
#[test]
fn mqtt_3_8_3_1_a_truncated_filter_is_malformed() {
    for body in [&b"\x00\x01\x00\x00\x05ab"[..], b"\x00\x01\x00\x00\x01t", b"\x00\x01\x00\x00", b"\x00"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(0x82, body));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.8.3-2]: no filter at all.
#[test]
fn mqtt_3_8_3_2_subscribe_needs_a_filter() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1));
    client.expect_disconnect(&[0x82, 0x81]);
}

/// [MQTT-3.8.3-3]: No Local keeps a client's own messages from it, also from its queue.
#[test]
fn mqtt_3_8_3_3_no_local_keeps_own_messages_away() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe_with(&topic, NO_LOCAL | 1);
    client.publish(&topic, "own 0", 0).publish(&topic, "own 1", 1).publish(&topic, "own 2", 2);
    Server::shared().connected(Version::V5).publish(&topic, "other", 1);
    client.expect_message(&topic, "other");
    client.expect_nothing();
    let mut both = Server::shared().connected(Version::V5);
    both.subscribe(&topic, 0).publish(&topic, "own", 0).expect_message(&topic, "own");
}

/// [MQTT-3.8.3-4]: No Local on a shared subscription.
#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_an_error() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter("$share/g/t", NO_LOCAL));
    client.expect_disconnect(&[0x82]);
}

/// [MQTT-3.8.3-5]: reserved option bits, QoS 3, Retain Handling 3.
#[test]
fn mqtt_3_8_3_5_reserved_subscription_options_are_malformed() {
    for options in [0x40, 0x80, 0xC0, 0x03, 0x30] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(subscribe(1).filter(fresh("t/"), options));
        client.expect_disconnect(&[0x81, 0x82]);
    }
}

/// [MQTT-3.8.4-1], [MQTT-3.8.4-2]: SUBACK with the identifier of the SUBSCRIBE.
#[test]
fn mqtt_3_8_4_1_subscribe_is_answered_by_suback() {
    let mut client = Server::shared().connected(Version::V5);
    for packet_id in [7, 1, 0xFFFF] {
        client.send(subscribe(packet_id).filter(fresh("t/"), 0).with(user("a", "b")));
        client.expect_suback(packet_id, &[0]);
    }
}

/// [MQTT-3.8.4-3]: the same filter again replaces the subscription: its QoS, options and identifier.
#[test]
fn mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter(&topic, 2).identifier(1)).expect_suback(1, &[2]);
    client.send(subscribe(2).filter(&topic, 1).identifier(2)).expect_suback(2, &[1]);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "x", 2);
    let message = client.expect_message(&topic, "x");
    assert_eq!((message.qos, message.properties.numbers(id::SUBSCRIPTION_ID)), (1, vec![2]));
    client.send(subscribe(3).filter(&topic, 0)).expect_suback(3, &[0]);
    sender.publish(&topic, "y", 2);
    let message = client.expect_message(&topic, "y");
    assert_eq!((message.qos, message.properties.numbers(id::SUBSCRIPTION_ID)), (0, vec![]));
    client.expect_nothing();
}

/// [MQTT-3.8.4-4]: no message is lost while a subscription is replaced.
#[test]
fn mqtt_3_8_4_4_replacing_a_subscription_loses_nothing() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..15u16 {
        sender.send(publish(&topic, n.to_string()).qos(1, n + 1));
        client.send(subscribe(100 + n).filter(&topic, 1));
    }
    let packets = client.drain();
    for n in 0..15u16 {
        sender.expect_puback(n + 1);
    }
    let mut texts = Vec::new();
    for packet in packets.into_iter().chain(client.drain()) {
        if let Incoming::Publish(publish) = packet {
            texts.push(publish.text().to_owned());
        }
    }
    assert_eq!(texts, (0..15).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1]: several filters, one SUBACK, one reason each, in order.
#[test]
fn mqtt_3_8_4_5_several_filters_get_one_suback() {
    let (a, b, c) = (fresh("t/"), fresh("t/"), fresh("t/"));
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(9).filter(&a, 2).filter(&b, 0).filter(&c, 1).filter(format!("{a}/#"), 2));
    client.expect_suback(9, &[2, 0, 1, 2]);
    client.publish(&b, "b", 0).expect_message(&b, "b");
    client.publish(&c, "c", 0).expect_message(&c, "c");
}

/// [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2]: a filter that cannot be granted does not spoil
/// the others, if the server answers it at all.
#[test]
fn mqtt_3_8_4_7_each_filter_is_granted_or_refused_by_itself() {
    let (good, other) = (fresh("t/"), fresh("t/"));
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter(&good, 1).filter("a/#/b", 0).filter(&other, 2));
    match client.receive() {
        Incoming::Suback(suback) => {
            assert_eq!((suback.packet_id, suback.reasons.len()), (1, 3));
            assert_eq!((suback.reasons[0], suback.reasons[2]), (1, 2));
            assert!(suback.reasons[1] >= 0x80);
            client.publish(&good, "x", 0).expect_message(&good, "x");
        }
        Incoming::Disconnect(disconnect) => assert!(matches!(disconnect.reason, 0x81 | 0x8F)),
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.8.4-8]: the QoS of a delivery is the lower of the published and the granted one.
#[test]
fn mqtt_3_8_4_8_messages_come_at_the_lower_qos() {
    for granted in 0..3 {
        let topic = fresh("t/");
        let mut receiver = Server::shared().connected(Version::V5);
        receiver.subscribe(&topic, granted);
        let mut sender = Server::shared().connected(Version::V5);
        for published in 0..3 {
            sender.publish(&topic, "x", published);
            assert_eq!(receiver.expect_message(&topic, "x").qos, granted.min(published));
        }
    }
}

/// [MQTT-3.9.2-1], [MQTT-3.9.2-2]: SUBACK stays within the Maximum Packet Size.
#[test]
fn mqtt_3_9_2_1_suback_stays_within_the_maximum_packet_size() {
    let mut client = Server::shared().client(connect(fresh("c")).maximum_packet_size(90));
    client.send(subscribe(1).filter("$share/g", 0));
    client.expect_filter_refused(1);
}

/// [MQTT-3.8.3-1]: a Subscription Identifier of 0, twice, or a property of another packet.
#[test]
fn mqtt_3_8_3_1_wrong_properties_of_subscribe_are_errors() {
    let topic = fresh("t/");
    let wrong = [
        subscribe(1).filter(&topic, 0).identifier(0),
        subscribe(1).filter(&topic, 0).identifier(1).identifier(2),
        subscribe(1).filter(&topic, 0).with(number(id::SESSION_EXPIRY, 1)),
        subscribe(1).filter(&topic, 0).with(bytes(id::CONTENT_TYPE, "x")),
    ];
    for wrong in wrong {
        let mut client = Server::shared().connected(Version::V5);
        client.send(wrong);
        client.expect_disconnect(&[0x82, 0x81]);
    }
}
