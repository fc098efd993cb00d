//! Sections 3.12 to 3.14: PINGREQ, PINGRESP, DISCONNECT.

use sluice_tests_conformance::{Server, Version, connect, disconnect, fresh, id, number, packet, publish, user, will};

/// [MQTT-3.12.4-1]: PINGREQ is answered.
#[test]
fn mqtt_3_12_4_1_pingreq_is_answered() {
    let mut client = Server::shared().connected(Version::V5);
    client.ping().ping().ping();
}

/// [MQTT-3.14.0-1]: no DISCONNECT before an accepting CONNACK.
#[test]
fn mqtt_3_14_0_1_no_disconnect_before_connack() {
    let mut client = Server::shared().open();
    client.send_bytes(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).expect_closed_silently();
    let mut client = Server::shared().open();
    client.send(connect("x".repeat(5000))).expect_refused_or_closed(&[0x85]);
}

/// [MQTT-3.14.1-1]: the flags of DISCONNECT.
#[test]
fn mqtt_3_14_1_1_disconnect_has_flags_0() {
    for first in [0xE1, 0xE2, 0xE8] {
        let mut client = Server::shared().connected(Version::V5);
        client.send([first, 0x00]);
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.14.2-1]: reasons that only a server may use, or nobody.
#[test]
fn mqtt_3_14_2_1_unknown_reasons_of_a_client_are_errors() {
    let topic = fresh("will/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 0);
    for reason in [0x01, 0x05, 0x8E, 0xFF] {
        let mut client = Server::shared().client(connect(fresh("c")).will(will(&topic, "gone")));
        client.send(disconnect(reason));
        client.expect_disconnect_or_closed(&[0x81, 0x82]);
        watcher.expect_message(&topic, "gone");
    }
}

/// [MQTT-3.14.2-2], [MQTT-3.14.2-3], [MQTT-3.14.2-4]: a server's DISCONNECT has no Session Expiry Interval and stays
/// within the Maximum Packet Size (checked on every DISCONNECT that a test reads).
#[test]
fn mqtt_3_14_2_2_a_servers_disconnect_has_its_properties_only() {
    let mut client = Server::shared().client(connect(fresh("c")).expiry(300).maximum_packet_size(90));
    client.send(publish("", "x"));
    client.expect_disconnect(&[0x82, 0x81, 0x90]);
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2], [MQTT-4.13.2-1]: nothing follows a server's DISCONNECT but the end.
#[test]
fn mqtt_3_14_4_2_the_server_closes_after_its_disconnect() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0);
    client.send_together(&[&vec![0xC1, 0x00], &publish(&topic, "x"), &sluice_tests_conformance::pingreq()]);
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-3.14.4-2]: the server closes when a client says DISCONNECT, and sends nothing more.
#[test]
fn mqtt_3_14_4_2_the_server_closes_after_a_clients_disconnect() {
    for reason in [0x00, 0x04, 0x80, 0x82, 0x93, 0x97] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(disconnect(reason).with(user("a", "b")));
        client.expect_closed();
    }
}

/// [MQTT-3.14.4-3]: DISCONNECT 0x00 discards the will; any other reason does not.
#[test]
fn mqtt_3_14_4_3_only_a_normal_disconnect_discards_the_will() {
    let topic = fresh("will/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 0);
    Server::shared().client(connect(fresh("c")).will(will(&topic, "never"))).leave();
    let mut client = Server::shared().client(connect(fresh("c")).will(will(&topic, "gone")));
    client.send(disconnect(0x80)).expect_closed();
    watcher.expect_message(&topic, "gone");
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-23], [MQTT-4.1.0-2]: DISCONNECT may change the Session Expiry Interval.
#[test]
fn mqtt_3_1_2_23_disconnect_may_change_the_session_expiry() {
    let name = fresh("c");
    let mut client = Server::shared().client(connect(&name).expiry(300));
    client.send(disconnect(0).with(number(id::SESSION_EXPIRY, 0))).expect_closed();
    assert!(!Server::shared().client(connect(&name).resume()).connack().session_present);
    let mut client = Server::shared().client(connect(&name).expiry(1));
    client.send(disconnect(0).with(number(id::SESSION_EXPIRY, 300))).expect_closed();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(Server::shared().client(connect(&name).resume()).connack().session_present);
}

/// [MQTT-4.13.1-1]: a Session Expiry Interval that CONNECT left at 0 cannot be set by DISCONNECT.
#[test]
fn mqtt_4_13_1_1_disconnect_cannot_set_an_expiry_that_was_zero() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(disconnect(0).with(number(id::SESSION_EXPIRY, 10)));
    client.expect_disconnect_or_closed(&[0x82]);
}

/// [MQTT-4.13.1-1]: packets that only a server sends.
#[test]
fn mqtt_4_13_1_1_packets_of_a_server_are_protocol_errors() {
    let servers: [(u8, &[u8]); 5] =
        [(0x20, b"\x00\x00\x00"), (0x90, b"\x00\x01\x00\x00"), (0xB0, b"\x00\x01\x00\x00"), (0xD0, b""), (0x00, b"")];
    for (first, body) in servers {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(first, body));
        client.expect_disconnect(&[0x82, 0x81]);
    }
}
