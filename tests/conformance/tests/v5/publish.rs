//! Section 3.3: PUBLISH. Retained messages have a module of their own, so have exchanges and flow control.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Incoming, Server, Version, bytes, connect, fresh, id, number, packet, publish, subscribe, user, wire::put_bytes,
};

/// [MQTT-3.3.1-1]: what a client that comes back has not acknowledged comes again with DUP.
#[test]
fn mqtt_3_3_1_1_a_redelivery_has_dup() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut receiver = Server::shared().client(connect(&name).persistent());
    receiver.subscribe(&topic, 1);
    Server::shared().connected(Version::V5).publish(&topic, "x", 1);
    let first = receiver.expect_publish();
    assert!(!first.dup);
    receiver.vanish();
    let mut receiver = Server::shared().client(connect(&name).persistent());
    let again = receiver.expect_publish();
    assert!(again.dup);
    assert_eq!((again.packet_id, again.text()), (first.packet_id, "x"));
}

/// [MQTT-3.3.1-2]: DUP at QoS 0.
#[test]
fn mqtt_3_3_1_2_dup_at_qos_0_is_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").dup());
    client.expect_disconnect(&[0x81, 0x82]);
}

/// [MQTT-3.3.1-3]: DUP of the publisher does not travel on.
#[test]
fn mqtt_3_3_1_3_dup_is_not_forwarded() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V5);
    receiver.subscribe(&topic, 2);
    for qos in 1..3 {
        Server::shared().connected(Version::V5).deliver(publish(&topic, "x").dup(), qos);
        assert!(!receiver.expect_message(&topic, "x").dup);
    }
}

/// [MQTT-3.3.1-4]: QoS 3.
#[test]
fn mqtt_3_3_1_4_qos_3_is_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").qos(3, 1));
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-3.3.2-1]: a topic name that runs past the end of the packet.
#[test]
fn mqtt_3_3_2_1_the_topic_name_must_be_there() {
    for body in [&b""[..], b"\x00", b"\x00\x05ab"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(packet(0x30, body));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.3.2-2], [MQTT-4.7.0-1]: wildcards in a topic name.
#[test]
fn mqtt_3_3_2_2_a_topic_name_has_no_wildcards() {
    let prefix = fresh("t/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&format!("{prefix}/#"), 0);
    for topic in [format!("{prefix}/+"), format!("{prefix}/#"), format!("{prefix}/a+b"), format!("{prefix}/a#")] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(topic, "x"));
        client.expect_disconnect(&[0x90, 0x81, 0x82]);
    }
    watcher.expect_nothing();
}

/// [MQTT-3.3.2-3]: what is delivered matches the subscription.
#[test]
fn mqtt_3_3_2_3_a_delivered_topic_matches_the_filter() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&format!("{topic}/+/end"), 0);
    client.publish(&format!("{topic}/a/other"), "no", 0).publish(&format!("{topic}/a/b/end"), "no", 0);
    client.publish(&format!("{topic}/a/end"), "yes", 0).expect_message(&format!("{topic}/a/end"), "yes");
    client.expect_nothing();
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]: properties
/// of an Application Message arrive unaltered, User Properties in order, live and from the queue.
#[test]
fn mqtt_3_3_2_4_properties_are_forwarded_unaltered() {
    let (topic, name) = (fresh("t/"), fresh("c"));
    let message = publish(&topic, "héllo")
        .with(user("z", "1"))
        .with(number(id::PAYLOAD_FORMAT, 1))
        .with(bytes(id::RESPONSE_TOPIC, "answers/é"))
        .with(user("a", ""))
        .with(bytes(id::CORRELATION_DATA, b"\x00\x01\xFF"))
        .with(bytes(id::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .with(user("", "2"))
        .with(user("z", "1"));
    let mut away = Server::shared().client(connect(&name).persistent());
    away.subscribe(&topic, 1);
    away.leave();
    let mut live = Server::shared().connected(Version::V5);
    live.subscribe(&topic, 2);
    for qos in 0..3 {
        Server::shared().connected(Version::V5).deliver(message.clone(), qos);
    }
    let mut back = Server::shared().client(connect(&name).persistent());
    let mut received: Vec<_> = (0..3).map(|_| live.expect_message(&topic, "héllo")).collect();
    received.extend((0..2).map(|_| back.expect_message(&topic, "héllo")));
    for publish in received {
        let properties = publish.properties;
        assert_eq!(properties.number(id::PAYLOAD_FORMAT), Some(1));
        assert_eq!(properties.text(id::RESPONSE_TOPIC).as_deref(), Some("answers/é"));
        assert_eq!(properties.bytes(id::CORRELATION_DATA), Some(&b"\x00\x01\xFF"[..]));
        assert_eq!(properties.text(id::CONTENT_TYPE).as_deref(), Some("text/plain; charset=utf-8"));
        let users = [("z", "1"), ("a", ""), ("", "2"), ("z", "1")];
        assert_eq!(properties.users(), users.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!properties.has(id::MESSAGE_EXPIRY));
    }
}

/// [MQTT-3.3.2-4]: a payload that says it is not text arrives as it was sent.
#[test]
fn mqtt_3_3_2_4_a_payload_of_any_bytes_is_forwarded_unaltered() {
    let topic = fresh("t/");
    let payload: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 1);
    client.send(publish(&topic, &payload).with(number(id::PAYLOAD_FORMAT, 0)));
    let message = client.expect_publish();
    assert_eq!(message.payload, payload);
    assert_eq!(message.properties.number(id::PAYLOAD_FORMAT).unwrap_or(0), 0);
    client.send(publish(&topic, ""));
    client.expect_message(&topic, "");
}

/// [MQTT-3.3.2-5]: what expired while its receiver was away is gone.
#[test]
fn mqtt_3_3_2_5_expired_messages_are_not_delivered() {
    let (topic, name) = (fresh("t/"), fresh("c"));
    let mut away = Server::shared().client(connect(&name).persistent());
    away.subscribe(&topic, 2);
    away.leave();
    let mut sender = Server::shared().connected(Version::V5);
    sender.deliver(publish(&topic, "short 1").expiry(1), 1);
    sender.deliver(publish(&topic, "long").expiry(100), 1);
    sender.deliver(publish(&topic, "short 2").expiry(1), 2);
    sleep(Duration::from_millis(2100));
    let mut back = Server::shared().client(connect(&name).persistent());
    back.expect_message(&topic, "long");
    back.expect_nothing();
}

/// [MQTT-3.3.2-6]: the time that a message waited is taken off its expiry.
#[test]
fn mqtt_3_3_2_6_the_remaining_expiry_is_forwarded() {
    let (topic, name) = (fresh("t/"), fresh("c"));
    let mut live = Server::shared().connected(Version::V5);
    live.subscribe(&topic, 1);
    let mut away = Server::shared().client(connect(&name).persistent());
    away.subscribe(&topic, 1);
    away.leave();
    Server::shared().connected(Version::V5).deliver(publish(&topic, "x").expiry(100), 1);
    let seconds = live.expect_message(&topic, "x").properties.number(id::MESSAGE_EXPIRY);
    assert!(matches!(seconds, Some(99..=100)), "{seconds:?}");
    sleep(Duration::from_millis(2100));
    let mut back = Server::shared().client(connect(&name).persistent());
    let seconds = back.expect_message(&topic, "x").properties.number(id::MESSAGE_EXPIRY);
    assert!(matches!(seconds, Some(80..=98)), "{seconds:?}");
}

/// [MQTT-3.3.2-7]: an alias dies with its connection.
#[test]
fn mqtt_3_3_2_7_aliases_do_not_outlive_the_connection() {
    let (topic, name) = (fresh("t/"), fresh("c"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.deliver(publish(&topic, "x").alias(1), 1);
    client.vanish();
    let mut client = Server::shared().client(connect(&name).persistent());
    assert!(client.connack().session_present);
    client.send(publish("", "y").alias(1));
    client.expect_disconnect(&[0x82, 0x94]);
}

/// [MQTT-3.3.2-8]: alias 0.
#[test]
fn mqtt_3_3_2_8_topic_alias_zero_is_invalid() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").alias(0));
    client.expect_disconnect(&[0x94]);
}

/// [MQTT-3.3.2-9], [MQTT-3.2.2-17]: an alias above the maximum in CONNACK.
#[test]
fn mqtt_3_3_2_9_a_topic_alias_above_the_maximum_is_invalid() {
    let mut client = Server::shared().connected(Version::V5);
    let most = client.connack().properties.number(id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0);
    client.send(publish(fresh("t/"), "x").alias(most as u16 + 1));
    client.expect_disconnect(&[0x94]);
}

/// [MQTT-3.3.2-12]: every alias up to the maximum, set, used and set anew.
#[test]
fn mqtt_3_3_2_12_all_aliases_up_to_the_maximum_work() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&format!("{topic}/#"), 0);
    let most = client.connack().properties.number(id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0) as u16;
    assert!(most > 0, "the server takes aliases");
    for alias in 1..=most {
        let name = format!("{topic}/{alias}");
        client.send(publish(&name, "set").alias(alias)).expect_message(&name, "set");
    }
    for alias in 1..=most {
        client.send(publish("", "used").alias(alias)).expect_message(&format!("{topic}/{alias}"), "used");
    }
    let name = format!("{topic}/new");
    client.send(publish(&name, "changed").alias(1)).expect_message(&name, "changed");
    client.send(publish("", "used").alias(1)).expect_message(&name, "used");
}

/// [MQTT-3.3.2-13], [MQTT-3.3.2-19]: Response Topic and Content Type are UTF-8.
#[test]
fn mqtt_3_3_2_13_string_properties_must_be_utf_8() {
    for property in [id::RESPONSE_TOPIC, id::CONTENT_TYPE] {
        for text in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"\0"] {
            let mut client = Server::shared().connected(Version::V5);
            client.send(publish(fresh("t/"), "x").with(bytes(property, text)));
            client.expect_disconnect(&[0x81]);
        }
    }
}

/// [MQTT-3.3.2-14]: wildcards in a Response Topic.
#[test]
fn mqtt_3_3_2_14_a_response_topic_has_no_wildcards() {
    for answers in ["a/+", "#"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(fresh("t/"), "x").with(bytes(id::RESPONSE_TOPIC, answers)));
        client.expect_disconnect(&[0x82, 0x81, 0x90]);
    }
}

/// [MQTT-3.3.4-1]: the answer is that of the QoS, whoever receives the message.
#[test]
fn mqtt_3_3_4_1_the_answer_depends_on_the_qos() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(&topic, "x")).ping();
    client.send(publish(&topic, "x").qos(1, 1));
    assert!(matches!(client.expect_puback(1).reason, 0x00 | 0x10));
    client.send(publish(&topic, "x").qos(2, 2));
    assert!(matches!(client.expect_pubrec(2).reason, 0x00 | 0x10));
    client.send(sluice_tests_conformance::pubrel(2));
    assert_eq!(client.expect_pubcomp(2).reason, 0);
    client.ping();
}

/// [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5]: overlapping subscriptions: at most one copy a
/// subscription, one of them at the highest QoS, every identifier said.
#[test]
fn mqtt_3_3_4_2_overlapping_subscriptions_deliver_with_the_highest_qos() {
    let topic = fresh("t/");
    let mut receiver = Server::shared().connected(Version::V5);
    receiver.send(subscribe(1).filter(&topic, 0).identifier(7)).expect_suback(1, &[0]);
    receiver.send(subscribe(2).filter(format!("{topic}/#"), 2).identifier(268_435_455)).expect_suback(2, &[2]);
    receiver.send(subscribe(3).filter(topic.replace("t/", "+/"), 1)).expect_suback(3, &[1]);
    Server::shared().connected(Version::V5).publish(&topic, "x", 2);
    let packets = receiver.drain();
    let copies: Vec<_> = packets
        .iter()
        .filter_map(|packet| match packet {
            Incoming::Publish(publish) => Some(publish),
            _ => None,
        })
        .collect();
    assert!((1..=3).contains(&copies.len()), "{packets:?}");
    assert_eq!(copies.iter().map(|copy| copy.qos).max(), Some(2));
    let mut identifiers: Vec<_> = copies.iter().flat_map(|copy| copy.properties.numbers(id::SUBSCRIPTION_ID)).collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [7, 268_435_455]);
}

/// [MQTT-3.3.4-3]: the identifier of a single subscription, also on retained and queued messages.
#[test]
fn mqtt_3_3_4_3_the_subscription_identifier_comes_with_every_message() {
    let (topic, name) = (fresh("t/"), fresh("c"));
    let mut sender = Server::shared().connected(Version::V5);
    sender.retain(&topic, "kept", 1);
    let mut receiver = Server::shared().client(connect(&name).persistent());
    receiver.send(subscribe(1).filter(&topic, 1).identifier(42)).expect_suback(1, &[1]);
    let identifiers = |publish: &sluice_tests_conformance::Publish| publish.properties.numbers(id::SUBSCRIPTION_ID);
    assert_eq!(identifiers(&receiver.expect_message(&topic, "kept")), [42]);
    sender.publish(&topic, "live", 1);
    assert_eq!(identifiers(&receiver.expect_message(&topic, "live")), [42]);
    receiver.leave();
    sender.publish(&topic, "queued", 1).retain(&topic, "", 1);
    let mut receiver = Server::shared().client(connect(&name).persistent());
    assert_eq!(identifiers(&receiver.expect_message(&topic, "queued")), [42]);
}

/// [MQTT-3.3.4-6]: a Subscription Identifier from a client.
#[test]
fn mqtt_3_3_4_6_a_client_may_not_send_subscription_identifiers() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish(fresh("t/"), "x").with(number(id::SUBSCRIPTION_ID, 1)));
    client.expect_disconnect(&[0x82, 0x81]);
}

/// [MQTT-3.3.2-1]: an empty topic name without an alias.
#[test]
fn mqtt_3_3_2_1_an_empty_topic_name_needs_an_alias() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish("", "x"));
    client.expect_disconnect(&[0x82, 0x81, 0x90]);
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish("", "x").alias(1));
    client.expect_disconnect(&[0x82, 0x94]);
}

/// [MQTT-3.2.2-15]: a packet above the Maximum Packet Size of CONNACK.
#[test]
fn mqtt_3_2_2_15_a_packet_over_the_servers_maximum_is_refused() {
    let mut client = Server::shared().connected(Version::V5);
    let most = client.connack().properties.number(id::MAXIMUM_PACKET_SIZE).expect("a Maximum Packet Size");
    let mut body = Vec::new();
    put_bytes(&mut body, fresh("t/").as_bytes());
    body.resize(most as usize, 0);
    client.send(packet(0x30, &body));
    client.expect_disconnect(&[0x95]);
}
