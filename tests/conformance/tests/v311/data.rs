//! Chapters 1 and 2: data representations, fixed header, packet identifiers.

use sluice_tests_conformance::{
    Server, Version, connect, fresh, packet, publish, pubrel, subscribe, unsubscribe, will, wire::put_bytes,
};

use crate::VERSIONS;

/// [MQTT-1.5.3-1], [MQTT-1.5.3-2], [MQTT-3.8.3-1], [MQTT-3.10.3-1]: ill-formed UTF-8 and U+0000 in any string.
#[test]
fn mqtt_1_5_3_1_ill_formed_strings_close_the_connection() {
    let _others = Server::shared().bystander();
    for text in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\x80", b"a\xE2\x82", b"a\0b"] {
        for version in VERSIONS {
            let mut client = Server::shared().connected(version);
            client.send(publish(text, "x")).expect_closed();
            let mut client = Server::shared().connected(version);
            client.send(subscribe(1).filter(text, 0)).expect_closed();
            let mut client = Server::shared().connected(version);
            client.send(unsubscribe(1).topic(text)).expect_closed();
        }
        let connects = [
            connect(text).v311(),
            connect(fresh("c")).v311().username(text),
            connect(fresh("c")).v311().will(will(text, "x")),
        ];
        for wrong in connects {
            let mut client = Server::shared().open();
            client.send(wrong).expect_refused_or_closed(&[2, 4]);
        }
    }
}

/// [MQTT-1.5.3-3]: U+FEFF stays.
#[test]
fn mqtt_1_5_3_3_a_byte_order_mark_is_kept() {
    let topic = format!("\u{FEFF}{}", fresh("bom/"));
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&topic, 0).publish(&topic, "x", 0).expect_message(&topic, "x");
    client.publish(topic.trim_start_matches('\u{FEFF}'), "without", 1).expect_nothing();
}

/// [MQTT-2.2.2-1], [MQTT-2.2.2-2]: flags that are not as the table has them.
#[test]
fn mqtt_2_2_2_2_invalid_flags_close_the_connection() {
    let wrong: [&[u8]; 8] = [
        b"\x41\x02\x00\x01",
        b"\x53\x02\x00\x01",
        b"\x60\x02\x00\x01",
        b"\x72\x02\x00\x01",
        b"\x80\x06\x00\x01\x00\x01t\x00",
        b"\xA0\x05\x00\x01\x00\x01t",
        b"\xC1\x00",
        b"\xE1\x00",
    ];
    for bytes in wrong {
        let mut client = Server::shared().connected(Version::V311);
        client.send(bytes).expect_closed();
    }
}

/// [MQTT-2.3.1-1]: identifier 0.
#[test]
fn mqtt_2_3_1_1_packet_identifier_zero_closes_the_connection() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut client = Server::shared().connected(version);
        client.send(publish(&topic, "x").qos(1, 0)).expect_closed();
        let mut client = Server::shared().connected(version);
        client.send(publish(&topic, "x").qos(2, 0)).expect_closed();
        let mut client = Server::shared().connected(version);
        client.send(subscribe(0).filter(&topic, 0)).expect_closed();
        let mut client = Server::shared().connected(version);
        client.send(unsubscribe(0).topic(&topic)).expect_closed();
    }
}

/// [MQTT-2.3.1-3], [MQTT-2.3.1-4]: the server's identifiers differ while in use, and stay in a resend.
#[test]
fn mqtt_2_3_1_4_the_server_assigns_unused_identifiers_and_keeps_them() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).v311().persistent());
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V311);
    for n in 0..20 {
        sender.publish(&topic, n.to_string(), 1 + n % 2);
    }
    let first: Vec<_> = (0..20).map(|_| receiver.expect_publish()).collect();
    let mut identifiers: Vec<_> = first.iter().map(|publish| publish.packet_id).collect();
    identifiers.sort_unstable();
    identifiers.dedup();
    assert_eq!(identifiers.len(), 20);
    receiver.vanish();
    let mut receiver = Server::shared().client(connect(&name).v311().persistent());
    for before in first {
        let again = receiver.expect_publish();
        assert_eq!((again.packet_id, &again.payload, again.dup), (before.packet_id, &before.payload, true));
        receiver.acknowledge(&again);
    }
}

/// [MQTT-2.3.1-5]: at QoS 0 the payload follows the topic at once.
#[test]
fn mqtt_2_3_1_5_qos_0_has_no_packet_identifier() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut body = Vec::new();
        put_bytes(&mut body, topic.as_bytes());
        body.extend_from_slice(b"\x00\x01x");
        let mut client = Server::shared().connected(version);
        client.subscribe(&topic, 2).send(packet(0x30, &body)).expect_message(&topic, b"\x00\x01x");
    }
}

/// [MQTT-2.3.1-6], [MQTT-2.3.1-7]: answers name what they answer.
#[test]
fn mqtt_2_3_1_6_answers_carry_the_identifier_of_the_request() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut client = Server::shared().connected(version);
        for packet_id in [1, 256, 0xFFFF] {
            client.send(publish(&topic, "x").qos(1, packet_id)).expect_puback(packet_id);
            client.send(publish(&topic, "x").qos(2, packet_id)).expect_pubrec(packet_id);
            client.send(pubrel(packet_id)).expect_pubcomp(packet_id);
            client.send(subscribe(packet_id).filter(fresh("t/"), 1)).expect_suback(packet_id, &[1]);
            client.send(unsubscribe(packet_id).topic(fresh("t/"))).expect_unsuback(packet_id, &[]);
        }
    }
}

/// [MQTT-4.8.0-1]: bytes after the last field, and fields that run past the end.
#[test]
fn mqtt_4_8_0_1_a_body_of_the_wrong_length_closes_the_connection() {
    let wrong: [(u8, &[u8]); 9] = [
        (0x40, b"\x00\x01\x00"),
        (0x62, b"\x00\x01\x00"),
        (0x62, b"\x00"),
        (0xC0, b"\x00"),
        (0xE0, b"\x00"),
        (0x82, b"\x00\x01\x00\x01t"),
        (0x82, b"\x00\x01\x00\x05t\x00"),
        (0xA2, b"\x00\x01\x00\x05t"),
        (0x32, b"\x00\x01t\x00"),
    ];
    for (first, body) in wrong {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(first, body)).expect_closed();
    }
}

/// [MQTT-4.8.0-1]: packets that only a server sends, and types that are reserved.
#[test]
fn mqtt_4_8_0_1_packets_of_a_server_close_the_connection() {
    let servers: [(u8, &[u8]); 6] =
        [(0x20, b"\x00\x00"), (0x90, b"\x00\x01\x00"), (0xB0, b"\x00\x01"), (0xD0, b""), (0x00, b""), (0xF0, b"")];
    for (first, body) in servers {
        let mut client = Server::shared().connected(Version::V311);
        client.send(packet(first, body)).expect_closed();
    }
}

/// [MQTT-4.8.0-1]: a Remaining Length of five bytes.
#[test]
fn mqtt_4_8_0_1_a_remaining_length_of_five_bytes_closes_the_connection() {
    let mut client = Server::shared().connected(Version::V311);
    client.send([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).expect_closed();
}
