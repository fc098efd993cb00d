//! Section 3.1: CONNECT. The will has a module of its own.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Outgoing as _, Server, Version, bytes, connect, disconnect, fresh, id, number, packet, pingreq, publish, subscribe,
    unsubscribe, user, will, wire::put_bytes,
};

/// [MQTT-3.1.0-1]: anything but CONNECT first.
#[test]
fn mqtt_3_1_0_1_the_first_packet_must_be_connect() {
    let topic = fresh("t/");
    let first = [
        pingreq().to_vec(),
        publish(&topic, "x").encode(Version::V5),
        subscribe(1).filter(&topic, 0).encode(Version::V5),
        disconnect(0).encode(Version::V5),
        vec![0x40, 0x02, 0x00, 0x01],
    ];
    for bytes in first {
        let mut client = Server::shared().open();
        client.send_bytes(&bytes).expect_closed_silently();
    }
}

/// [MQTT-3.1.0-2]: a second CONNECT.
#[test]
fn mqtt_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let name = fresh("c");
    let mut client = Server::shared().client(connect(&name));
    client.send(connect(&name));
    client.expect_disconnect(&[0x82]);
}

/// [MQTT-3.1.2-1]: another protocol name.
#[test]
fn mqtt_3_1_2_1_an_unknown_protocol_name_is_refused() {
    for name in ["MQTX", "mqtt", "MQTTT", ""] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).protocol_name(name)).expect_protocol_refused();
    }
}

/// [MQTT-3.1.2-2]: another protocol version.
#[test]
fn mqtt_3_1_2_2_an_unknown_protocol_version_is_refused() {
    for level in [0, 1, 6, 255] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).level(level)).expect_protocol_refused();
    }
}

/// [MQTT-3.1.2-3]: the reserved connect flag.
#[test]
fn mqtt_3_1_2_3_the_reserved_connect_flag_must_be_zero() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).flags(0x03)).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.2-4], [MQTT-3.1.4-4]: Clean Start discards subscriptions and what waits.
#[test]
fn mqtt_3_1_2_4_clean_start_discards_the_session() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 1);
    client.leave();
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "waiting", 1);
    let mut client = Server::shared().client(connect(&name).expiry(300));
    assert!(!client.connack().session_present);
    sender.publish(&topic, "later", 1);
    client.expect_nothing();
}

/// [MQTT-3.1.2-5]: without Clean Start the session goes on.
#[test]
fn mqtt_3_1_2_5_an_existing_session_is_resumed() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 1);
    client.leave();
    Server::shared().connected(Version::V5).publish(&topic, "waiting", 1);
    let mut client = Server::shared().client(connect(&name).persistent());
    assert!(client.connack().session_present);
    client.expect_message(&topic, "waiting");
}

/// [MQTT-3.1.2-6]: without Clean Start and without a session a new one begins.
#[test]
fn mqtt_3_1_2_6_a_session_is_created_where_there_is_none() {
    let client = Server::shared().client(connect(fresh("c")).persistent());
    assert!(!client.connack().session_present);
}

/// [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT-3.1.4-1]: flags and payload that differ.
#[test]
fn mqtt_3_1_2_17_the_payload_must_hold_what_the_flags_say() {
    let name = fresh("c");
    let wrong = [
        // User name and password flags set, nothing there.
        connect(&name).flags(0x82),
        connect(&name).flags(0xC2),
        connect(&name).username("u").flags(0xC2),
        // Flags not set, fields there.
        connect(&name).username("u").flags(0x02),
        connect(&name).username("u").password("p").flags(0x82),
    ];
    for wrong in wrong {
        let mut client = Server::shared().open();
        client.send(wrong).expect_refused_or_closed(&[0x81]);
    }
}

/// [MQTT-3.1.2-17], [MQTT-3.1.2-19]: any combination of the two is allowed in version 5.
#[test]
fn mqtt_3_1_2_19_a_password_may_come_without_a_user_name() {
    let _ = Server::shared().client(connect(fresh("c")).username("u"));
    let _ = Server::shared().client(connect(fresh("c")).username("u").password("p"));
    let _ = Server::shared().client(connect(fresh("c")).password("p"));
}

/// [MQTT-3.1.2-22]: silence for one and a half times the keep alive.
#[test]
fn mqtt_3_1_2_22_keep_alive_timeout_closes() {
    let mut client = Server::shared().client(connect(fresh("c")).keep_alive(1));
    client.expect_disconnect_or_closed(&[0x8D]);
}

/// [MQTT-3.1.2-22]: any packet counts, and the connection stays while they come.
#[test]
fn mqtt_3_1_2_22_packets_keep_a_connection_alive() {
    let topic = fresh("t/");
    let mut client = Server::shared().client(connect(fresh("c")).keep_alive(1));
    for _ in 0..3 {
        sleep(Duration::from_millis(700));
        client.publish(&topic, "alive", 0);
    }
    client.ping();
}

/// [MQTT-3.1.2-23]: a session with an expiry outlives its connection, however that ended.
#[test]
fn mqtt_3_1_2_23_the_session_is_stored_while_its_expiry_runs() {
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(100)).vanish();
    let client = Server::shared().client(connect(&name).resume().expiry(100));
    assert!(client.connack().session_present);
    client.leave();
    assert!(Server::shared().client(connect(&name).resume()).connack().session_present);
}

/// [MQTT-3.1.2-23]: without an expiry the session ends with its connection.
#[test]
fn mqtt_3_1_2_23_a_session_without_expiry_ends_with_its_connection() {
    let name = fresh("c");
    Server::shared().client(connect(&name)).vanish();
    assert!(!Server::shared().client(connect(&name).resume()).connack().session_present);
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]: a message too large for its receiver is left out and counts as sent.
#[test]
fn mqtt_3_1_2_25_too_large_messages_are_discarded_as_if_sent() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().client(connect(fresh("c")).maximum_packet_size(128).receive_maximum(1));
    receiver.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    for qos in 0..3 {
        sender.publish(&topic, "x".repeat(200), qos);
        sender.publish(&topic, format!("small {qos}"), qos);
        receiver.expect_message(&topic, format!("small {qos}"));
    }
    receiver.expect_nothing();
}

/// [MQTT-3.1.2-26], [MQTT-3.3.2-11]: aliases of the server stay within what the client allows.
#[test]
fn mqtt_3_1_2_26_the_server_keeps_to_the_topic_alias_maximum() {
    let topics: Vec<String> = (0..6).map(|_| fresh("alias/")).collect();
    let mut receiver = Server::shared().client(connect(fresh("c")).topic_alias_maximum(2));
    for topic in &topics {
        receiver.subscribe(topic, 0);
    }
    let mut sender = Server::shared().connected(Version::V5);
    let mut names = [const { String::new() }; 3];
    for topic in topics.iter().cycle().take(18) {
        sender.publish(topic, topic, 0);
        let message = receiver.expect_publish();
        let alias = message.properties.number(id::TOPIC_ALIAS).unwrap_or(0) as usize;
        assert!(alias <= 2, "alias {alias}");
        if !message.topic.is_empty() {
            names[alias] = message.topic.clone();
        }
        assert_eq!(names[alias], *topic, "what the alias stands for");
        assert_eq!(message.text(), topic);
    }
}

/// [MQTT-3.1.2-27]: no alias towards a client that allows none.
#[test]
fn mqtt_3_1_2_27_no_alias_unless_the_client_allows_it() {
    for connect in [connect(fresh("c")), connect(fresh("c")).topic_alias_maximum(0)] {
        let topic = fresh("t/");
        let mut client = Server::shared().client(connect);
        client.subscribe(&topic, 0);
        for _ in 0..3 {
            client.publish(&topic, "x", 0);
            let message = client.expect_message(&topic, "x");
            assert!(!message.properties.has(id::TOPIC_ALIAS));
        }
    }
}

/// [MQTT-3.1.2-28]: Response Information only on request.
#[test]
fn mqtt_3_1_2_28_no_response_information_unless_asked_for() {
    for connect in [connect(fresh("c")), connect(fresh("c")).with(number(id::REQUEST_RESPONSE, 0))] {
        let client = Server::shared().client(connect);
        assert!(!client.connack().properties.has(id::RESPONSE_INFORMATION));
    }
}

/// [MQTT-3.1.2-29]: no Reason String outside CONNACK, DISCONNECT and PUBLISH for a client that wants none.
#[test]
fn mqtt_3_1_2_29_no_reason_strings_without_request_problem_information() {
    let topic = fresh("t/");
    let quiet = connect(fresh("c")).with(number(id::REQUEST_PROBLEM, 0));
    let mut client = Server::shared().client(quiet);
    let silent = |properties: &sluice_tests_conformance::property::Properties| {
        !properties.has(id::REASON_STRING) && !properties.has(id::USER_PROPERTY)
    };
    client.send(publish(&topic, "x").qos(1, 1));
    assert!(silent(&client.expect_puback(1).properties));
    client.send(publish("$SYS/x", "x").qos(1, 2));
    assert!(silent(&client.expect_puback(2).properties));
    client.send(subscribe(3).filter(&topic, 0));
    assert!(silent(&client.expect_suback(3, &[0]).properties));
    client.send(unsubscribe(4).topic(fresh("t/")));
    assert!(silent(&client.expect_unsuback(4, &[0x11]).properties));
    client.send(sluice_tests_conformance::pubrel(99));
    assert!(silent(&client.expect_pubcomp(99).properties));
}

/// [MQTT-3.1.3-1], [MQTT-3.1.3-3]: the fields of the payload in their order, the client id first.
#[test]
fn mqtt_3_1_3_1_the_payload_fields_stand_in_their_order() {
    let topic = fresh("t/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 1);
    let full = connect(fresh("c")).will(will(&topic, "gone").qos(1).with(user("a", "b")));
    Server::shared().client(full.username("name").password("word").with(user("c", "d"))).vanish();
    let message = watcher.expect_message(&topic, "gone");
    assert_eq!(message.properties.users(), [("a".to_owned(), "b".to_owned())]);
}

/// [MQTT-3.1.3-2]: state belongs to the client id.
#[test]
fn mqtt_3_1_3_2_the_client_id_identifies_the_session() {
    let (name, other) = (fresh("c"), fresh("c"));
    Server::shared().client(connect(&name).persistent()).leave();
    assert!(!Server::shared().client(connect(&other).persistent()).connack().session_present);
    assert!(!Server::shared().client(connect(name.to_uppercase()).persistent()).connack().session_present);
    assert!(Server::shared().client(connect(&name).persistent()).connack().session_present);
}

/// [MQTT-3.1.3-3]: a CONNECT that ends before the client id.
#[test]
fn mqtt_3_1_3_3_the_client_id_must_be_there() {
    let mut body = Vec::new();
    put_bytes(&mut body, b"MQTT");
    body.extend_from_slice(b"\x05\x02\x00\x3C\x00");
    let mut client = Server::shared().open();
    client.send(packet(0x10, &body)).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.3-4]: the client id is UTF-8.
#[test]
fn mqtt_3_1_3_4_the_client_id_must_be_utf_8() {
    for name in [&b"a\xC0\x80"[..], b"\xED\xA0\x80", b"a\0b"] {
        let mut client = Server::shared().open();
        client.send(connect(name)).expect_refused_or_closed(&[0x81, 0x85]);
    }
    let unicode = format!("é漢{}", fresh(""));
    let _ = Server::shared().client(connect(unicode));
}

/// [MQTT-3.1.3-5]: the client ids that every server must take.
#[test]
fn mqtt_3_1_3_5_letters_and_digits_up_to_23_bytes_are_accepted() {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for name in [&alphabet[..23], &alphabet[23..46], &alphabet[39..], "a", "Z"] {
        Server::shared().client(connect(name)).leave();
    }
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]: an empty client id gets one that works like any other.
#[test]
fn mqtt_3_1_3_7_an_assigned_client_id_names_a_session() {
    let first = Server::shared().client(connect("").expiry(300));
    let second = Server::shared().client(connect("").expiry(300));
    let name = first.connack().properties.text(id::ASSIGNED_CLIENT_ID).expect("an Assigned Client Identifier");
    let other = second.connack().properties.text(id::ASSIGNED_CLIENT_ID).expect("an Assigned Client Identifier");
    assert_ne!(name, other);
    first.leave();
    let again = Server::shared().client(connect(&name).resume());
    assert!(again.connack().session_present);
    assert!(!again.connack().properties.has(id::ASSIGNED_CLIENT_ID));
}

/// [MQTT-3.1.3-8]: a client id that the server does not take.
#[test]
fn mqtt_3_1_3_8_a_rejected_client_id_gets_0x85_and_the_end() {
    let mut client = Server::shared().open();
    client.send(connect("x".repeat(5000))).expect_refused(&[0x85]);
}

/// [MQTT-3.1.3-12]: the user name is UTF-8.
#[test]
fn mqtt_3_1_3_12_the_user_name_must_be_utf_8() {
    for name in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"a\0b"] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).username(name)).expect_refused_or_closed(&[0x81, 0x86]);
    }
}

/// [MQTT-3.1.4-1], [MQTT-4.13.1-1]: properties that CONNECT may not have, or not with this value.
#[test]
fn mqtt_3_1_4_1_a_connect_against_the_format_closes() {
    let wrong = [
        number(id::RECEIVE_MAXIMUM, 0),
        number(id::MAXIMUM_PACKET_SIZE, 0),
        number(id::REQUEST_PROBLEM, 2),
        number(id::REQUEST_RESPONSE, 2),
        number(id::TOPIC_ALIAS, 1),
        bytes(id::AUTH_DATA, "data without method"),
    ];
    for property in wrong {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).with(property)).expect_refused_or_closed(&[0x81, 0x82]);
    }
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).expiry(1).expiry(1)).expect_refused_or_closed(&[0x82]);
    let mut trailing = connect(fresh("c")).body();
    trailing.push(0);
    let mut client = Server::shared().open();
    client.send(packet(0x10, &trailing)).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.4-3]: a new connection with the same client id ends the old one.
#[test]
fn mqtt_3_1_4_3_the_old_connection_is_told_that_its_session_was_taken_over() {
    let name = fresh("c");
    let mut old = Server::shared().client(connect(&name).expiry(300));
    let new = Server::shared().client(connect(&name).resume().expiry(300));
    assert!(new.connack().session_present);
    old.expect_disconnect(&[0x8E]);
}

/// [MQTT-3.1.4-5]: success is acknowledged with 0x00.
#[test]
fn mqtt_3_1_4_5_a_connect_is_acknowledged() {
    assert_eq!(Server::shared().client(connect(fresh("c"))).connack().reason, 0);
}

/// [MQTT-3.1.4-6]: what follows a refused CONNECT is not looked at.
#[test]
fn mqtt_3_1_4_6_nothing_is_processed_after_a_refused_connect() {
    let topic = fresh("t/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 1);
    let mut client = Server::shared().open();
    client.send_together(&[&connect("x".repeat(5000)), &publish(&topic, "smuggled")]);
    client.expect_refused(&[0x85]);
    watcher.expect_nothing();
}

/// [MQTT-3.1.4-6]: packets may follow CONNECT at once; they count if it succeeds.
#[test]
fn mqtt_3_1_4_6_packets_may_follow_an_accepted_connect_at_once() {
    let topic = fresh("t/");
    let mut client = Server::shared().open();
    let subscribe = subscribe(1).filter(&topic, 1);
    client.send_together(&[&connect(fresh("c")), &subscribe, &publish(&topic, "early").qos(1, 2)]);
    client.expect_connack();
    client.expect_suback(1, &[1]);
    let packets = client.drain();
    assert_eq!(packets.len(), 2, "{packets:?}");
}
