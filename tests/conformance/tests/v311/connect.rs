//! Sections 3.1, 3.2 and 3.14: CONNECT, CONNACK, DISCONNECT.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, Outgoing as _, Server, Version, connect, disconnect, fresh, packet, pingreq, publish, subscribe, will,
    wire::put_bytes,
};

use crate::VERSIONS;

/// [MQTT-3.1.0-1]: anything but CONNECT first.
#[test]
fn mqtt_3_1_0_1_the_first_packet_must_be_connect() {
    let first = [pingreq().to_vec(), publish("t", "x").encode(Version::V311), vec![0x82, 6, 0, 1, 0, 1, b't', 0]];
    for bytes in first {
        let mut client = Server::shared().open();
        client.send_bytes(&bytes).expect_closed_silently();
    }
}

/// [MQTT-3.1.0-2]: a second CONNECT.
#[test]
fn mqtt_3_1_0_2_a_second_connect_disconnects() {
    for version in VERSIONS {
        let name = fresh("c");
        let mut client = Server::shared().client(connect(&name).version(version));
        client.send(connect(&name).version(version)).expect_closed();
    }
}

/// [MQTT-3.1.2-1]: another protocol name.
#[test]
fn mqtt_3_1_2_1_an_unknown_protocol_name_is_refused() {
    for (name, level) in [("MQTX", 4), ("mqtt", 4), ("MQIsdp", 4), ("MQTT", 3), ("MQIsdp", 5)] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).v311().protocol_name(name).level(level)).expect_protocol_refused();
    }
}

/// [MQTT-3.1.2-2]: a protocol level that the server does not know gets return code 1.
#[test]
fn mqtt_3_1_2_2_an_unknown_protocol_level_gets_return_code_1() {
    for level in [0, 1, 2, 6, 127] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).v311().level(level)).expect_protocol_refused();
    }
}

/// [MQTT-3.1.2-3]: the reserved flag.
#[test]
fn mqtt_3_1_2_3_the_reserved_connect_flag_must_be_zero() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).v311().flags(0x03)).expect_closed();
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.2.2-2], [MQTT-3.2.2-3]: a session with CleanSession 0 is created, kept,
/// filled while its client is away, and resumed.
#[test]
fn mqtt_3_1_2_4_clean_session_0_keeps_the_session() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        assert!(!client.connack().session_present);
        client.subscribe(&topic, 2);
        client.leave();
        let mut sender = Server::shared().connected(version);
        sender.publish(&topic, "1", 1).publish(&topic, "2", 2);
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        assert_eq!(client.connack().session_present, version == Version::V311);
        client.expect_message(&topic, "1");
        client.expect_message(&topic, "2");
        client.expect_nothing();
    }
}

/// [MQTT-3.1.2-6], [MQTT-3.2.2-1], [MQTT-3.1.4-3]: CleanSession 1 discards the session before and leaves none.
#[test]
fn mqtt_3_1_2_6_clean_session_1_discards_the_session() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        client.subscribe(&topic, 1);
        client.leave();
        let mut sender = Server::shared().connected(version);
        sender.publish(&topic, "waiting", 1);
        let mut client = Server::shared().client(connect(&name).version(version));
        assert!(!client.connack().session_present);
        sender.publish(&topic, "later", 1);
        client.expect_nothing();
        client.subscribe(&topic, 1);
        client.leave();
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        assert!(!client.connack().session_present);
        sender.publish(&topic, "later still", 1);
        client.expect_nothing();
    }
}

/// [MQTT-3.1.2-7]: retained messages outlive sessions.
#[test]
fn mqtt_3_1_2_7_retained_messages_outlive_the_session() {
    let topic = fresh("kept/");
    let mut client = Server::shared().connected(Version::V311);
    client.retain(&topic, "x", 1);
    client.leave();
    let mut late = Server::shared().connected(Version::V311);
    late.subscribe(&topic, 0).expect_message(&topic, "x");
    late.retain(&topic, "", 1);
}

fn watcher(topic: &str) -> Client {
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(topic, 2);
    client
}

/// [MQTT-3.1.2-8], [MQTT-3.1.2-9]: the will is published when the connection breaks, whatever broke it.
#[test]
fn mqtt_3_1_2_8_the_will_is_published_when_the_connection_breaks() {
    for version in VERSIONS {
        let topic = fresh("will/");
        let mut watcher = watcher(&topic);
        let with_will = |text: &str| connect(fresh("c")).version(version).will(will(&topic, text).qos(1));
        Server::shared().client(with_will("vanished")).vanish();
        assert_eq!(watcher.expect_message(&topic, "vanished").qos, 1);
        let mut client = Server::shared().client(with_will("protocol error"));
        client.send([0x82, 0x00]).expect_closed();
        watcher.expect_message(&topic, "protocol error");
        let mut client = Server::shared().client(with_will("silence").keep_alive(1));
        client.expect_closed();
        watcher.expect_message(&topic, "silence");
        watcher.expect_nothing();
    }
}

/// [MQTT-3.1.2-9], [MQTT-3.1.2-11]: fields and flags of the will that do not go together.
#[test]
fn mqtt_3_1_2_9_will_flag_and_will_fields_go_together() {
    for flags in [0x06, 0x0A, 0x12, 0x22] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).v311().flags(flags)).expect_closed();
    }
}

/// [MQTT-3.1.2-10], [MQTT-3.14.4-3]: DISCONNECT removes the will.
#[test]
fn mqtt_3_1_2_10_disconnect_removes_the_will() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).v311().persistent().will(will(&topic, "never"))).leave();
    Server::shared().client(connect(&name).v311().persistent()).vanish();
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-10]: a will that was published is not published again.
#[test]
fn mqtt_3_1_2_10_a_published_will_is_removed() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).v311().persistent().will(will(&topic, "once"))).vanish();
    watcher.expect_message(&topic, "once");
    Server::shared().client(connect(&name).v311().persistent()).vanish();
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-12]: no will flag, no will.
#[test]
fn mqtt_3_1_2_12_without_a_will_nothing_is_published() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    Server::shared().client(connect(fresh("c")).v311()).vanish();
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-13], [MQTT-3.1.2-14], [MQTT-3.1.2-15]: Will QoS is 0 to 2, and 0 like Will Retain without a will.
#[test]
fn mqtt_3_1_2_14_will_qos_is_at_most_2() {
    for qos in 0..3 {
        let topic = fresh("will/");
        let mut watcher = watcher(&topic);
        Server::shared().client(connect(fresh("c")).v311().will(will(&topic, "x").qos(qos))).vanish();
        assert_eq!(watcher.expect_message(&topic, "x").qos, qos);
    }
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).v311().will(will("t", "x").qos(3))).expect_closed();
    for flags in [0x0A, 0x12, 0x1A, 0x22] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).v311().flags(flags)).expect_closed();
    }
}

/// [MQTT-3.1.2-16], [MQTT-3.1.2-17]: Will Retain.
#[test]
fn mqtt_3_1_2_17_will_retain_decides_whether_the_will_is_retained() {
    let (kept, passing) = (fresh("will/"), fresh("will/"));
    let mut watchers = [watcher(&kept), watcher(&passing)];
    Server::shared().client(connect(fresh("c")).v311().will(will(&kept, "x").retain())).vanish();
    Server::shared().client(connect(fresh("c")).v311().will(will(&passing, "x"))).vanish();
    watchers[0].expect_message(&kept, "x");
    watchers[1].expect_message(&passing, "x");
    let mut late = Server::shared().connected(Version::V311);
    late.subscribe(&passing, 0).expect_nothing();
    late.subscribe(&kept, 0);
    assert!(late.expect_message(&kept, "x").retain);
    late.retain(&kept, "", 1);
}

/// [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT-3.1.2-20], [MQTT-3.1.2-21], [MQTT-3.1.2-22]: user name and password are
/// there exactly when their flags say so, and no password without a user name.
#[test]
fn mqtt_3_1_2_18_flags_and_fields_of_credentials_go_together() {
    let name = fresh("c");
    let wrong = [
        connect(&name).v311().flags(0x82),
        connect(&name).v311().flags(0xC2),
        connect(&name).v311().username("u").flags(0xC2),
        connect(&name).v311().username("u").flags(0x02),
        connect(&name).v311().username("u").password("p").flags(0x82),
        connect(&name).v311().password("p"),
    ];
    for wrong in wrong {
        let mut client = Server::shared().open();
        client.send(wrong).expect_closed();
    }
    let _ = Server::shared().client(connect(&name).v311().username("u").password("p"));
}

/// [MQTT-3.1.2-24]: silence for one and a half times the keep alive.
#[test]
fn mqtt_3_1_2_24_keep_alive_timeout_disconnects() {
    let mut client = Server::shared().client(connect(fresh("c")).v311().keep_alive(1));
    for _ in 0..3 {
        sleep(Duration::from_millis(600));
        client.ping();
    }
    client.expect_closed();
}

/// [MQTT-3.1.3-1], [MQTT-3.1.3-3]: the payload's fields in their order.
#[test]
fn mqtt_3_1_3_1_the_payload_fields_stand_in_their_order() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let full = connect(fresh("c")).v311().will(will(&topic, "text")).username("name").password("word");
    Server::shared().client(full).vanish();
    watcher.expect_message(&topic, "text");
    let mut without_client_id = Vec::new();
    put_bytes(&mut without_client_id, b"MQTT");
    without_client_id.extend_from_slice(b"\x04\x02\x00\x3C");
    let mut client = Server::shared().open();
    client.send(packet(0x10, &without_client_id)).expect_closed_silently();
}

/// [MQTT-3.1.3-2]: the client id says whose the session is.
#[test]
fn mqtt_3_1_3_2_the_client_id_identifies_the_session() {
    let name = fresh("c");
    Server::shared().client(connect(&name).v311().persistent()).leave();
    assert!(!Server::shared().client(connect(fresh("c")).v311().persistent()).connack().session_present);
    assert!(Server::shared().client(connect(&name).v311().persistent()).connack().session_present);
}

/// [MQTT-3.1.3-4], [MQTT-3.1.3-10], [MQTT-3.1.3-11]: client id, will topic and user name are UTF-8.
#[test]
fn mqtt_3_1_3_4_strings_of_connect_must_be_utf_8() {
    let wrong = [
        connect(b"a\xED\xA0\x80").v311(),
        connect(fresh("c")).v311().will(will(b"\xC0\x80", "x")),
        connect(fresh("c")).v311().username(b"\xFF"),
    ];
    for wrong in wrong {
        let mut client = Server::shared().open();
        client.send(wrong).expect_refused_or_closed(&[2, 4]);
    }
}

/// [MQTT-3.1.3-5]: the client ids that every server must take.
#[test]
fn mqtt_3_1_3_5_letters_and_digits_up_to_23_bytes_are_accepted() {
    let alphabet = "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba9876543210";
    for version in VERSIONS {
        for name in [&alphabet[..23], &alphabet[23..46], &alphabet[39..], "b", "Y"] {
            Server::shared().client(connect(name).version(version)).leave();
        }
    }
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7]: an empty client id with CleanSession 1 gets a session of its own.
#[test]
fn mqtt_3_1_3_6_an_empty_client_id_is_assigned_one() {
    let topic = fresh("t/");
    let mut first = Server::shared().client(connect("").v311());
    let mut second = Server::shared().client(connect("").v311());
    first.subscribe(&topic, 0);
    second.publish(&topic, "x", 0);
    first.expect_message(&topic, "x");
    second.expect_nothing();
}

/// [MQTT-3.1.3-8]: an empty client id with CleanSession 0.
#[test]
fn mqtt_3_1_3_8_an_empty_client_id_with_clean_session_0_gets_return_code_2() {
    let mut client = Server::shared().open();
    client.send(connect("").v311().resume()).expect_refused(&[2]);
}

/// [MQTT-3.1.3-9], [MQTT-3.2.2-4], [MQTT-3.2.2-5]: a client id that the server does not take.
#[test]
fn mqtt_3_1_3_9_a_rejected_client_id_gets_return_code_2() {
    for version in VERSIONS {
        let mut client = Server::shared().open();
        client.send(connect("x".repeat(5000)).version(version).persistent()).expect_refused(&[2]);
    }
}

/// [MQTT-3.1.4-1], [MQTT-3.2.2-6]: a CONNECT against the format is closed without CONNACK.
#[test]
fn mqtt_3_1_4_1_a_malformed_connect_is_closed_without_connack() {
    let mut trailing = connect(fresh("c")).v311().body();
    trailing.push(0);
    let mut short = connect(fresh("c")).v311().body();
    short.pop();
    for body in [trailing, short, Vec::new()] {
        let mut client = Server::shared().open();
        client.send(packet(0x10, &body)).expect_closed_silently();
    }
    let mut client = Server::shared().open();
    client.send(packet(0x11, &connect(fresh("c")).v311().body())).expect_closed_silently();
}

/// [MQTT-3.1.4-2]: a new connection with the same client id disconnects the old one.
#[test]
fn mqtt_3_1_4_2_the_existing_client_is_disconnected() {
    for version in VERSIONS {
        let name = fresh("c");
        let mut old = Server::shared().client(connect(&name).version(version));
        let mut new = Server::shared().client(connect(&name).version(version));
        old.expect_closed();
        new.ping();
    }
}

/// [MQTT-3.1.4-4], [MQTT-3.2.0-1]: CONNACK 0, before anything else.
#[test]
fn mqtt_3_1_4_4_a_connect_is_acknowledged_first_of_all() {
    for version in VERSIONS {
        let (name, topic) = (fresh("c"), fresh("t/"));
        let mut client = Server::shared().client(connect(&name).version(version).persistent());
        client.subscribe(&topic, 1);
        client.leave();
        Server::shared().connected(version).publish(&topic, "waiting", 1);
        let mut client = Server::shared().open();
        client.send_together(&[&connect(&name).version(version).persistent(), &pingreq()]);
        client.expect_connack();
    }
}

/// [MQTT-3.1.4-5]: nothing after a refused CONNECT counts.
#[test]
fn mqtt_3_1_4_5_nothing_is_processed_after_a_refused_connect() {
    let topic = fresh("t/");
    let mut watcher = watcher(&topic);
    let mut client = Server::shared().open();
    client.send_together(&[&connect("x".repeat(5000)).v311(), &publish(&topic, "smuggled")]);
    client.expect_refused(&[2]);
    watcher.expect_nothing();
}

/// [MQTT-3.14.1-1]: the flags of DISCONNECT; the will is published then.
#[test]
fn mqtt_3_14_1_1_disconnect_with_flags_is_malformed() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    for first in [0xE1, 0xE2, 0xE8] {
        let mut client = Server::shared().client(connect(fresh("c")).v311().will(will(&topic, "x")));
        client.send([first, 0x00]).expect_closed();
        watcher.expect_message(&topic, "x");
    }
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]: the server closes if the client does not, and ignores what follows.
#[test]
fn mqtt_3_14_4_2_nothing_after_disconnect_counts() {
    let topic = fresh("t/");
    let mut watcher = watcher(&topic);
    let mut client = Server::shared().connected(Version::V311);
    client.send_together(&[&disconnect(0), &publish(&topic, "late")]).expect_closed();
    watcher.expect_nothing();
}

/// [MQTT-3.12.4-1]: PINGREQ is answered.
#[test]
fn mqtt_3_12_4_1_pingreq_is_answered() {
    for version in VERSIONS {
        Server::shared().connected(version).ping().ping();
    }
}

/// [MQTT-4.1.0-1], [MQTT-4.1.0-2]: session state lasts as long as the session: subscriptions of a connected client, and
/// of an absent one with CleanSession 0.
#[test]
fn mqtt_4_1_0_1_session_state_lasts_as_long_as_the_session() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.send(subscribe(1).filter(&topic, 1)).expect_suback(1, &[1]);
    client.publish(&topic, "1", 0).expect_message(&topic, "1");
    client.vanish();
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.publish(&topic, "2", 0).expect_message(&topic, "2");
}
