//! Sections 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use sluice_tests_conformance::{
    Server, Version, connect, fresh, packet, puback, pubcomp, publish, pubrec, subscribe, unsubscribe, user,
};

/// [MQTT-3.10.1-1]: the flags of UNSUBSCRIBE.
#[test]
fn mqtt_3_10_1_1_unsubscribe_has_flags_2() {
    for first in [0xA0, 0xA1, 0xA3, 0xA6, 0xAA] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(first, b"\x00\x01\x00\x00\x01t"));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.10.3-1]: a filter that runs past the end.
#[test]
fn mqtt_3_10_3_1_a_truncated_filter_is_malformed() {
    for body in [&b"\x00\x01\x00\x00\x05ab"[..], b"\x00\x01\x00\x00"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(0xA2, body));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.10.3-2]: no filter at all.
#[test]
fn mqtt_3_10_3_2_unsubscribe_needs_a_filter() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(unsubscribe(1));
    client.expect_disconnect(&[0x82, 0x81]);
}

/// [MQTT-3.10.4-1]: filters are compared as they are written, wildcards included.
#[test]
fn mqtt_3_10_4_1_filters_are_compared_character_by_character() {
    let topic = fresh("t/");
    let wild = format!("{topic}/+");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&wild, 0);
    for other in [format!("{topic}/a"), format!("{topic}/#"), format!("{topic}/+/"), wild.to_uppercase()] {
        client.send(unsubscribe(5).topic(&other)).expect_unsuback(5, &[0x11]);
    }
    client.publish(&format!("{topic}/a"), "x", 0).expect_message(&format!("{topic}/a"), "x");
    client.unsubscribe(&wild).publish(&format!("{topic}/a"), "x", 1).expect_nothing();
}

/// [MQTT-3.10.4-2]: no new messages after UNSUBACK.
#[test]
fn mqtt_3_10_4_2_no_new_messages_after_unsubscribe() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 1).unsubscribe(&topic);
    Server::shared().connected(Version::V5).publish(&topic, "x", 1);
    client.expect_nothing();
}

/// [MQTT-3.10.4-3]: an exchange that began goes on.
#[test]
fn mqtt_3_10_4_3_exchanges_that_began_are_completed() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 2);
    Server::shared().connected(Version::V5).publish(&topic, "1", 1).publish(&topic, "2", 2);
    let (first, second) = (client.expect_publish(), client.expect_publish());
    client.unsubscribe(&topic);
    client.vanish();
    let mut client = Server::shared().client(connect(&name).persistent());
    assert_eq!(client.expect_publish().packet_id, first.packet_id);
    assert_eq!(client.expect_publish().packet_id, second.packet_id);
    client.send(puback(first.packet_id)).send(pubrec(second.packet_id));
    client.expect_pubrel(second.packet_id);
    client.send(pubcomp(second.packet_id)).expect_nothing();
}

/// [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.11.3-2]: UNSUBACK in any case.
#[test]
fn mqtt_3_10_4_5_unsubscribe_is_answered_even_if_nothing_was_there() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(unsubscribe(77).topic(fresh("t/")).with(user("a", "b")));
    client.expect_unsuback(77, &[0x11]);
}

/// [MQTT-3.10.4-6], [MQTT-3.11.3-1]: several filters, one UNSUBACK, reasons in order.
#[test]
fn mqtt_3_10_4_6_several_filters_get_one_unsuback() {
    let (a, b) = (fresh("t/"), fresh("t/"));
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter(&a, 0).filter(&b, 0)).expect_suback(1, &[0, 0]);
    client.send(unsubscribe(2).topic(&a).topic("not/there").topic(&b).topic(&a));
    client.expect_unsuback(2, &[0x00, 0x11, 0x00, 0x11]);
    client.send(publish(&a, "x")).send(publish(&b, "x")).expect_nothing();
}

/// [MQTT-3.11.2-1], [MQTT-3.11.2-2]: UNSUBACK stays within the Maximum Packet Size.
#[test]
fn mqtt_3_11_2_1_unsuback_stays_within_the_maximum_packet_size() {
    let mut client = Server::shared().client(connect(fresh("c")).maximum_packet_size(90));
    client.send(unsubscribe(1).topic("not/there")).expect_unsuback(1, &[0x11]);
}
