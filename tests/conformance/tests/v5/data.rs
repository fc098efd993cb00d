//! Chapters 1 and 2: data types, fixed header, packet identifiers, properties.

use sluice_tests_conformance::{
    Server, Version, connect, fresh, packet, property, publish, subscribe, unsubscribe, user, wire::put_bytes,
};

/// Bytes that are no UTF-8, and U+0000.
const ILL_FORMED: [&[u8]; 6] = [b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\x80", b"a\xE2\x82", b"a\0b"];

/// [MQTT-1.5.4-1], [MQTT-1.5.4-2]: a topic name that is not well-formed UTF-8 or holds U+0000.
#[test]
fn mqtt_1_5_4_1_ill_formed_topic_names_are_malformed() {
    let _others = Server::shared().bystander();
    for topic in ILL_FORMED {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(topic, "x"));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-3.8.3-1], [MQTT-3.10.3-1]: the same for topic filters.
#[test]
fn mqtt_1_5_4_1_ill_formed_topic_filters_are_malformed() {
    for filter in ILL_FORMED {
        let mut client = Server::shared().connected(Version::V5);
        client.send(subscribe(1).filter(filter, 0));
        client.expect_disconnect(&[0x81]);
        let mut client = Server::shared().connected(Version::V5);
        client.send(unsubscribe(1).topic(filter));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-1.5.4-3]: U+FEFF is a character like any other, also in front.
#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_kept() {
    let topic = format!("\u{FEFF}{}", fresh("bom/"));
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0);
    client.publish(&topic, "x", 0).expect_message(&topic, "x");
    client.publish(topic.trim_start_matches('\u{FEFF}'), "without", 1).expect_nothing();
}

/// [MQTT-1.5.5-1]: a Remaining Length in more bytes than it needs.
#[test]
fn mqtt_1_5_5_1_a_long_form_of_the_remaining_length_is_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send([0xC0, 0x80, 0x00]);
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-1.5.5-1]: a Property Length in more bytes than it needs.
#[test]
fn mqtt_1_5_5_1_a_long_form_of_the_property_length_is_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(packet(0x30, b"\x00\x01t\x80\x00payload"));
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-1.5.7-1]: both strings of a User Property.
#[test]
fn mqtt_1_5_7_1_ill_formed_user_properties_are_malformed() {
    for property in [user(b"\xC0\x80", "value"), user("name", b"\xED\xA0\x80"), user("name", b"\0")] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(fresh("t/"), "x").with(property.clone()));
        client.expect_disconnect(&[0x81]);
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).with(property)).expect_refused_or_closed(&[0x81]);
    }
}

/// [MQTT-2.1.3-1]: reserved flags of the fixed header.
#[test]
fn mqtt_2_1_3_1_reserved_flags_must_have_their_value() {
    let wrong: [&[u8]; 8] = [
        b"\x41\x02\x00\x01",
        b"\x53\x02\x00\x01",
        b"\x60\x02\x00\x01",
        b"\x72\x02\x00\x01",
        b"\x80\x07\x00\x01\x00\x00\x01t\x00",
        b"\xA0\x06\x00\x01\x00\x00\x01t",
        b"\xC1\x00",
        b"\xE1\x00",
    ];
    for bytes in wrong {
        let mut client = Server::shared().connected(Version::V5);
        client.send(bytes);
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-2.2.1-2]: at QoS 0 properties follow the topic name at once, in both directions.
#[test]
fn mqtt_2_2_1_2_qos_0_has_no_packet_identifier() {
    let topic = fresh("t/");
    let mut body = Vec::new();
    put_bytes(&mut body, topic.as_bytes());
    body.extend_from_slice(b"\x00\x12\x34");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 2);
    client.send(packet(0x30, &body));
    client.expect_message(&topic, b"\x12\x34");
}

/// [MQTT-2.2.1-3]: a packet identifier of 0 in PUBLISH, SUBSCRIBE and UNSUBSCRIBE.
#[test]
fn mqtt_2_2_1_3_packet_identifier_zero_is_refused() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(&topic, "x").qos(1, 0));
    client.expect_disconnect(&[0x81, 0x82]);
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(0).filter(&topic, 0));
    client.expect_disconnect(&[0x81, 0x82]);
    let mut client = Server::shared().connected(Version::V5);
    client.send(unsubscribe(0).topic(&topic));
    client.expect_disconnect(&[0x81, 0x82]);
}

/// [MQTT-2.2.1-4]: identifiers of messages under way to a client differ and are not zero.
#[test]
fn mqtt_2_2_1_4_the_server_uses_unused_packet_identifiers() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V5);
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..40 {
        sender.publish(&topic, n.to_string(), 1 + n % 2);
    }
    let mut seen: Vec<u16> = (0..40).map(|_| receiver.expect_publish().packet_id).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 40);
    assert!(!seen.contains(&0));
}

/// [MQTT-2.2.1-5]: PUBACK, PUBREC and PUBCOMP name the identifier of the PUBLISH.
#[test]
fn mqtt_2_2_1_5_acknowledgements_name_the_publish() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    for packet_id in [1, 2, 255, 256, 0xFFFE, 0xFFFF] {
        client.send(publish(&topic, "x").qos(1, packet_id));
        client.expect_puback(packet_id);
        client.send(publish(&topic, "x").qos(2, packet_id));
        client.expect_pubrec(packet_id);
        client.send(sluice_tests_conformance::pubrel(packet_id));
        client.expect_pubcomp(packet_id);
    }
}

/// [MQTT-2.2.1-6]: SUBACK and UNSUBACK name the identifier of the request.
#[test]
fn mqtt_2_2_1_6_suback_and_unsuback_name_the_request() {
    let filter = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    for packet_id in [1, 0x1234, 0xFFFF] {
        client.send(subscribe(packet_id).filter(&filter, 0));
        client.expect_suback(packet_id, &[0]);
        client.send(unsubscribe(packet_id).topic(&filter));
        client.expect_unsuback(packet_id, &[0]);
    }
}

/// [MQTT-2.2.2-1]: a packet whose properties would be needed and whose Property Length is missing.
#[test]
fn mqtt_2_2_2_1_a_missing_property_length_is_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(packet(0x82, b"\x00\x01"));
    client.expect_disconnect(&[0x81, 0x82]);
    let mut client = Server::shared().connected(Version::V5);
    client.send(packet(0x30, b"\x00\x01t"));
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-2.2.2-1]: acknowledgements may leave out reason and properties, or say that there are none.
#[test]
fn mqtt_2_2_2_1_short_and_long_forms_of_an_acknowledgement_mean_the_same() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 1);
    for form in [&b""[..], b"\x00", b"\x00\x00"] {
        client.publish(&topic, "x", 0);
        client.deliver(publish(&topic, "y"), 0);
        assert_eq!(client.expect_publish().text(), "x");
        assert_eq!(client.expect_publish().text(), "y");
        let mut sender = Server::shared().connected(Version::V5);
        sender.publish(&topic, "z", 1);
        let message = client.expect_publish();
        client.send(packet(0x40, &[&message.packet_id.to_be_bytes()[..], form].concat()));
        client.ping();
    }
}

/// [MQTT-4.13.1-1]: an unknown property, one that stands twice, one of another packet.
#[test]
fn mqtt_4_13_1_1_wrong_properties_close_the_connection() {
    let topic = fresh("t/");
    let wrong = [
        publish(&topic, "x").with(property::raw(0x7F, b"\x00")),
        publish(&topic, "x").expiry(1).expiry(2),
        publish(&topic, "x").with(property::number(property::id::SESSION_EXPIRY, 1)),
        publish(&topic, "x").with(property::number(property::id::PAYLOAD_FORMAT, 2)),
    ];
    for wrong in wrong {
        let mut client = Server::shared().connected(Version::V5);
        client.send(wrong);
        client.expect_disconnect(&[0x81, 0x82]);
    }
}
