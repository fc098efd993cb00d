//! Sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.

use sluice_tests_conformance::{
    Client, Server, Version, connect, fresh, packet, puback, pubcomp, publish, pubrec, pubrel, user,
};

/// A receiver with a message of this QoS under way to it, and the message's packet id.
fn receiver_of(qos: u8) -> (Client, u16) {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V5);
    receiver.subscribe(&topic, qos);
    Server::shared().connected(Version::V5).publish(&topic, "x", qos);
    let packet_id = receiver.expect_publish().packet_id;
    (receiver, packet_id)
}

/// [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]: reasons are those of the packet (checked on every
/// acknowledgement that a test reads), also where there is something to complain about.
#[test]
fn mqtt_3_4_2_1_reason_codes_are_those_of_the_packet() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").qos(1, 1)).expect_puback(1);
    client.send(publish("$SYS/forbidden", "x").qos(1, 2));
    assert!(client.expect_puback(2).reason >= 0x80);
    client.send(publish("$SYS/forbidden", "x").qos(2, 3));
    assert!(client.expect_pubrec(3).reason >= 0x80);
    client.send(pubrel(77));
    assert_eq!(client.expect_pubcomp(77).reason, 0x92);
    client.send(pubrec(78));
    assert_eq!(client.expect_pubrel(78).reason, 0x92);
}

/// [MQTT-3.4.2-1]: reasons that a client may not use.
#[test]
fn mqtt_3_4_2_1_unknown_reason_codes_of_a_client_are_errors() {
    for (wrong, qos) in [(puback as fn(u16) -> _, 1), (pubrec, 2)] {
        let (mut client, packet_id) = receiver_of(qos);
        client.send(wrong(packet_id).reason(0x92));
        client.expect_disconnect(&[0x81, 0x82]);
    }
}

/// [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2],
/// [MQTT-3.7.2-3]: no Reason String or User Property that pushes the packet over the client's maximum (checked on
/// every packet that a test reads).
#[test]
fn mqtt_3_4_2_2_acknowledgements_stay_within_the_maximum_packet_size() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).maximum_packet_size(100)).expect_connack();
    // From here on hold the server to even less than it was told: these fit in any case.
    client.send(publish("$SYS/forbidden", "x").qos(1, 1));
    client.expect_puback(1);
    client.send(publish("$SYS/forbidden", "x").qos(2, 2));
    client.expect_pubrec(2);
    client.send(pubrec(3));
    client.expect_pubrel(3);
    client.send(pubrel(4));
    client.expect_pubcomp(4);
}

/// [MQTT-3.6.1-1]: the flags of PUBREL.
#[test]
fn mqtt_3_6_1_1_pubrel_has_flags_2() {
    for first in [0x60, 0x61, 0x63, 0x66, 0x6A] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(first, &[0, 1]));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.4.2-1]: Reason String and User Properties of a client's acknowledgement are accepted.
#[test]
fn mqtt_3_4_2_1_properties_of_an_acknowledgement_are_accepted() {
    let (mut client, packet_id) = receiver_of(1);
    client.send(puback(packet_id).with(user("a", "b")).with(sluice_tests_conformance::bytes(0x1F, "fine"))).ping();
    let (mut client, packet_id) = receiver_of(2);
    client.send(pubrec(packet_id).with(user("a", "b"))).expect_pubrel(packet_id);
    client.send(pubcomp(packet_id).with(user("a", "b"))).ping();
}

/// [MQTT-4.3.3-4], [MQTT-3.5.2-1]: PUBREC with 0x80 or more ends the exchange.
#[test]
fn mqtt_4_3_3_4_a_negative_pubrec_ends_the_exchange() {
    let (mut client, packet_id) = receiver_of(2);
    client.send(pubrec(packet_id).reason(0x80)).expect_nothing();
}

/// [MQTT-4.4.0-2], [MQTT-4.8.2-6]: a message that was refused is not sent again.
#[test]
fn mqtt_4_4_0_2_a_refused_message_is_not_resent() {
    for qos in [1, 2] {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut receiver = Server::shared().client(connect(&name).persistent());
        receiver.subscribe(&topic, qos);
        Server::shared().connected(Version::V5).publish(&topic, "x", qos);
        let packet_id = receiver.expect_publish().packet_id;
        let refusal = if qos == 1 { puback(packet_id) } else { pubrec(packet_id) };
        receiver.send(refusal.reason(0x83)).ping();
        receiver.vanish();
        let mut receiver = Server::shared().client(connect(&name).persistent());
        assert!(receiver.connack().session_present);
        receiver.expect_nothing();
    }
}
