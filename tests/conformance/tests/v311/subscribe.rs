//! Sections 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.

use sluice_tests_conformance::{
    Incoming, Server, Version, connect, fresh, packet, puback, pubcomp, publish, pubrec, subscribe, unsubscribe,
};

use crate::VERSIONS;

/// [MQTT-3.8.1-1]: the flags of SUBSCRIBE.
#[test]
fn mqtt_3_8_1_1_subscribe_has_flags_2() {
    for first in [0x80, 0x81, 0x83, 0x86] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(first, b"\x00\x01\x00\x01t\x00")).expect_closed();
    }
}

/// [MQTT-3.8.3-1]: filters are UTF-8 and end within the packet.
#[test]
fn mqtt_3_8_3_1_a_filter_must_be_a_whole_string() {
    for body in [&b"\x00\x01\x00\x05ab"[..], b"\x00\x01\x00", b"\x00\x01\x00\x02\xC0\x80\x00"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(0x82, body)).expect_closed();
    }
}

/// [MQTT-3.8.3-2]: a server that grants wildcards grants them; one that does not refuses them. This one does.
#[test]
fn mqtt_3_8_3_2_wildcards_are_granted() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&format!("{topic}/#"), 1).subscribe(&format!("{topic}/+/a"), 2);
    client.publish(&format!("{topic}/b"), "x", 0).expect_message(&format!("{topic}/b"), "x");
}

/// [MQTT-3.8.3-3]: no filter at all.
#[test]
fn mqtt_3_8_3_3_subscribe_needs_a_filter() {
    for version in VERSIONS {
        let mut client = Server::shared().connected(version);
        client.send(subscribe(1)).expect_closed();
    }
}

/// [MQTT-3.8.3-4]: reserved bits, and QoS 3.
#[test]
fn mqtt_3_8_3_4_reserved_bits_of_the_requested_qos_are_malformed() {
    for options in [0x03, 0x04, 0x08, 0x10, 0x80] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(subscribe(1).filter(fresh("t/"), options)).expect_closed();
    }
}

/// [MQTT-3.8.4-1], [MQTT-3.8.4-2]: SUBACK with the identifier of the SUBSCRIBE.
#[test]
fn mqtt_3_8_4_1_subscribe_is_answered_by_suback() {
    let mut client = Server::shared().connected(Version::V311);
    for packet_id in [9, 3, 0xFFFF] {
        client.send(subscribe(packet_id).filter(fresh("t/"), 2)).expect_suback(packet_id, &[2]);
    }
}

/// [MQTT-3.8.4-3]: the same filter replaces the subscription, sends retained messages again, and interrupts nothing.
#[test]
fn mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
    let topic = fresh("t/");
    let mut sender = Server::shared().connected(Version::V311);
    sender.retain(&topic, "kept", 1);
    let mut client = Server::shared().connected(Version::V311);
    for qos in [2, 0, 1] {
        client.subscribe(&topic, qos).expect_message(&topic, "kept");
        sender.publish(&topic, "live", 2);
        assert_eq!(client.expect_message(&topic, "live").qos, qos);
        client.expect_nothing();
    }
    sender.retain(&topic, "", 1);
}

/// [MQTT-3.8.4-4], [MQTT-3.8.4-5], [MQTT-3.9.3-1]: several filters, one SUBACK, one code each, in order.
#[test]
fn mqtt_3_8_4_4_several_filters_get_one_suback() {
    for version in VERSIONS {
        let (a, b, c) = (fresh("t/"), fresh("t/"), fresh("t/"));
        let mut client = Server::shared().connected(version);
        client.send(subscribe(5).filter(&a, 1).filter(&b, 0).filter(&c, 2)).expect_suback(5, &[1, 0, 2]);
        client.publish(&c, "x", 0).expect_message(&c, "x");
    }
}

/// [MQTT-3.8.4-6]: the QoS of a delivery is the lower of the two.
#[test]
fn mqtt_3_8_4_6_messages_come_at_the_lower_qos() {
    for granted in 0..3 {
        let topic = fresh("t/");
        let mut receiver = Server::shared().connected(Version::V311);
        receiver.subscribe(&topic, granted);
        let mut sender = Server::shared().connected(Version::V311);
        for published in 0..3 {
            sender.publish(&topic, "x", published);
            assert_eq!(receiver.expect_message(&topic, "x").qos, granted.min(published));
        }
    }
}

/// [MQTT-3.9.3-2]: codes of SUBACK are 0, 1, 2 and 0x80 (checked on every SUBACK that a test reads).
#[test]
fn mqtt_3_9_3_2_a_refused_filter_gets_0x80_or_the_end() {
    for filter in ["a/#/b", "a+", "$share/g"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(subscribe(1).filter(filter, 0));
        match client.receive_or_end() {
            None => {}
            Some(Incoming::Suback(suback)) => assert_eq!(suback.reasons, [0x80]),
            other => panic!("{other:?}"),
        }
    }
}

/// [MQTT-3.10.1-1]: the flags of UNSUBSCRIBE.
#[test]
fn mqtt_3_10_1_1_unsubscribe_has_flags_2() {
    for first in [0xA0, 0xA1, 0xA3, 0xA6] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(first, b"\x00\x01\x00\x01t")).expect_closed();
    }
}

/// [MQTT-3.10.3-1]: filters are whole strings, one after the other.
#[test]
fn mqtt_3_10_3_1_a_filter_must_be_a_whole_string() {
    for body in [&b"\x00\x01\x00\x05ab"[..], b"\x00\x01\x00", b"\x00\x01\x00\x01t\x00"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(0xA2, body)).expect_closed();
    }
}

/// [MQTT-3.10.3-2]: no filter at all.
#[test]
fn mqtt_3_10_3_2_unsubscribe_needs_a_filter() {
    for version in VERSIONS {
        let mut client = Server::shared().connected(version);
        client.send(unsubscribe(1)).expect_closed();
    }
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-2]: the exact filter is deleted and nothing new comes; others stay.
#[test]
fn mqtt_3_10_4_1_filters_are_compared_byte_for_byte() {
    let topic = fresh("t/");
    let wild = format!("{topic}/+");
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&wild, 0);
    for other in [format!("{topic}/a"), format!("{topic}/#"), wild.to_uppercase()] {
        client.send(unsubscribe(5).topic(other)).expect_unsuback(5, &[]);
    }
    client.publish(&format!("{topic}/a"), "x", 0).expect_message(&format!("{topic}/a"), "x");
    client.unsubscribe(&wild).publish(&format!("{topic}/a"), "x", 1).expect_nothing();
}

/// [MQTT-3.10.4-3]: exchanges that began are completed.
#[test]
fn mqtt_3_10_4_3_exchanges_that_began_are_completed() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.subscribe(&topic, 2);
    Server::shared().connected(Version::V311).publish(&topic, "1", 1).publish(&topic, "2", 2);
    let (first, second) = (client.expect_publish(), client.expect_publish());
    client.unsubscribe(&topic);
    client.vanish();
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    assert_eq!(client.expect_publish().packet_id, first.packet_id);
    assert_eq!(client.expect_publish().packet_id, second.packet_id);
    client.send(puback(first.packet_id)).send(pubrec(second.packet_id));
    client.expect_pubrel(second.packet_id);
    client.send(pubcomp(second.packet_id)).expect_nothing();
}

/// [MQTT-3.10.4-4], [MQTT-3.10.4-5]: UNSUBACK with the identifier, also where nothing was there.
#[test]
fn mqtt_3_10_4_5_unsubscribe_is_answered_even_if_nothing_was_there() {
    for version in VERSIONS {
        let mut client = Server::shared().connected(version);
        client.send(unsubscribe(1234).topic(fresh("t/"))).expect_unsuback(1234, &[]);
    }
}

/// [MQTT-3.10.4-6]: several filters, one UNSUBACK.
#[test]
fn mqtt_3_10_4_6_several_filters_get_one_unsuback() {
    let (a, b) = (fresh("t/"), fresh("t/"));
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&a, 0).subscribe(&b, 0);
    client.send(unsubscribe(9).topic(&a).topic("not/there").topic(&b)).expect_unsuback(9, &[]);
    client.send(publish(&a, "x")).send(publish(&b, "x")).expect_nothing();
}
