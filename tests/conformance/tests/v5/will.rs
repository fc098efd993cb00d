//! The will: sections 3.1.2.5 to 3.1.2.7 and 3.1.3.2 to 3.1.3.4.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, Server, Version, bytes, connect, disconnect, fresh, id, number, packet, publish, user, will,
    wire::put_bytes,
};

fn watcher(topic: &str) -> Client {
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(topic, 2);
    client
}

/// [MQTT-3.1.2-7], [MQTT-3.1.2-8]: the will is published when the connection breaks.
#[test]
fn mqtt_3_1_2_8_the_will_is_published_when_the_connection_breaks() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    Server::shared().client(connect(fresh("c")).will(will(&topic, "gone"))).vanish();
    assert!(!watcher.expect_message(&topic, "gone").retain);
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-8]: also after a protocol error, a keep alive timeout, a takeover and DISCONNECT 0x04.
#[test]
fn mqtt_3_1_2_8_the_will_is_published_whatever_ended_the_connection() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let (name, other) = (fresh("c"), fresh("c"));
    let mut client = Server::shared().client(connect(&name).will(will(&topic, "error")));
    client.send([0xC1, 0x00]).expect_disconnect(&[0x81]);
    watcher.expect_message(&topic, "error");
    let mut client = Server::shared().client(connect(&name).will(will(&topic, "with will")));
    client.send(disconnect(0x04)).expect_closed();
    watcher.expect_message(&topic, "with will");
    let mut client = Server::shared().client(connect(&other).will(will(&topic, "taken over")));
    let _new = Server::shared().client(connect(&other));
    client.expect_disconnect(&[0x8E]);
    watcher.expect_message(&topic, "taken over");
    let mut client = Server::shared().client(connect(&name).keep_alive(1).will(will(&topic, "silence")));
    client.expect_disconnect_or_closed(&[0x8D]);
    watcher.expect_message(&topic, "silence");
}

/// [MQTT-3.1.2-10], [MQTT-3.14.4-3]: DISCONNECT 0x00 deletes the will.
#[test]
fn mqtt_3_1_2_10_a_normal_disconnect_deletes_the_will() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(300).will(will(&topic, "never"))).leave();
    // Nor does it come back with the session.
    Server::shared().client(connect(&name).resume()).vanish();
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-10]: a published will is gone; the next connection has none unless it brings one.
#[test]
fn mqtt_3_1_2_10_a_published_will_is_not_published_again() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(300).will(will(&topic, "once"))).vanish();
    watcher.expect_message(&topic, "once");
    Server::shared().client(connect(&name).resume().expiry(300)).vanish();
    watcher.expect_nothing();
}

/// [MQTT-3.1.2-9]: Will Flag without will fields.
#[test]
fn mqtt_3_1_2_9_the_will_flag_asks_for_the_will_fields() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).flags(0x06)).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.2-11], [MQTT-3.1.2-13]: Will QoS and Will Retain without Will Flag.
#[test]
fn mqtt_3_1_2_11_will_qos_and_retain_need_the_will_flag() {
    for flags in [0x0A, 0x12, 0x22] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).flags(flags)).expect_refused_or_closed(&[0x81]);
    }
}

/// [MQTT-3.1.2-12]: Will QoS 0, 1 and 2 are kept; 3 is malformed.
#[test]
fn mqtt_3_1_2_12_the_will_has_its_qos() {
    for qos in 0..3 {
        let topic = fresh("will/");
        let mut watcher = watcher(&topic);
        Server::shared().client(connect(fresh("c")).will(will(&topic, "gone").qos(qos))).vanish();
        assert_eq!(watcher.expect_message(&topic, "gone").qos, qos);
    }
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).will(will("t", "x").qos(3))).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15]: Will Retain decides whether the will is retained.
#[test]
fn mqtt_3_1_2_15_a_retained_will_is_there_for_later_subscribers() {
    let (kept, passing) = (fresh("will/"), fresh("will/"));
    let mut watchers = [watcher(&kept), watcher(&passing)];
    Server::shared().client(connect(fresh("c")).will(will(&kept, "gone").qos(1).retain())).vanish();
    Server::shared().client(connect(fresh("c")).will(will(&passing, "gone").qos(1))).vanish();
    watchers[0].expect_message(&kept, "gone");
    watchers[1].expect_message(&passing, "gone");
    let mut late = Server::shared().connected(Version::V5);
    late.subscribe(&passing, 0).expect_nothing();
    late.subscribe(&kept, 0);
    assert!(late.expect_message(&kept, "gone").retain);
    late.retain(&kept, "", 1);
}

/// [MQTT-3.1.2-8]: not before the Will Delay Interval, then yes.
#[test]
fn mqtt_3_1_2_8_the_will_waits_for_its_delay() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    Server::shared().client(connect(fresh("c")).expiry(300).will(will(&topic, "late").delay(1))).vanish();
    watcher.expect_nothing();
    watcher.expect_message(&topic, "late");
}

/// [MQTT-3.1.2-8]: the end of the session comes before the delay is over.
#[test]
fn mqtt_3_1_2_8_the_end_of_the_session_publishes_a_delayed_will() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(1).will(will(&topic, "expired").delay(600))).vanish();
    watcher.expect_message(&topic, "expired");
    Server::shared().client(connect(&name).expiry(300).will(will(&topic, "cleaned").delay(600))).vanish();
    let _new = Server::shared().client(connect(&name));
    watcher.expect_message(&topic, "cleaned");
    Server::shared().client(connect(fresh("c")).will(will(&topic, "at once").delay(600))).vanish();
    watcher.expect_message(&topic, "at once");
}

/// [MQTT-3.1.3-9]: a new connection within the delay.
#[test]
fn mqtt_3_1_3_9_coming_back_within_the_delay_cancels_the_will() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(300).will(will(&topic, "never").delay(1))).vanish();
    let client = Server::shared().client(connect(&name).resume().expiry(300));
    assert!(client.connack().session_present);
    sleep(Duration::from_millis(1500));
    watcher.expect_nothing();
}

/// [MQTT-3.1.3-10]: properties of the will, User Properties in order.
#[test]
fn mqtt_3_1_3_10_the_will_keeps_its_properties_and_their_order() {
    let topic = fresh("will/");
    let mut watcher = watcher(&topic);
    let will = will(&topic, "gone")
        .with(user("b", "1"))
        .with(number(id::PAYLOAD_FORMAT, 1))
        .with(number(id::MESSAGE_EXPIRY, 100))
        .with(bytes(id::CONTENT_TYPE, "text/plain"))
        .with(user("a", "2"))
        .with(bytes(id::RESPONSE_TOPIC, "answers"))
        .with(bytes(id::CORRELATION_DATA, b"\x00\xFF"))
        .with(user("b", "1"));
    Server::shared().client(connect(fresh("c")).will(will)).vanish();
    let properties = watcher.expect_message(&topic, "gone").properties;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(properties.users(), [pair("b", "1"), pair("a", "2"), pair("b", "1")]);
    assert_eq!(properties.number(id::PAYLOAD_FORMAT), Some(1));
    assert!(properties.number(id::MESSAGE_EXPIRY).is_some_and(|seconds| (90..=100).contains(&seconds)));
    assert_eq!(properties.text(id::CONTENT_TYPE).as_deref(), Some("text/plain"));
    assert_eq!(properties.text(id::RESPONSE_TOPIC).as_deref(), Some("answers"));
    assert_eq!(properties.bytes(id::CORRELATION_DATA), Some(&b"\x00\xFF"[..]));
    assert!(!properties.has(id::WILL_DELAY));
}

/// [MQTT-3.1.3-11]: the Will Topic is UTF-8 (and a topic name).
#[test]
fn mqtt_3_1_3_11_the_will_topic_must_be_utf_8() {
    for topic in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"a\0b"] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).will(will(topic, "x"))).expect_refused_or_closed(&[0x81]);
    }
    for topic in ["", "a/+", "#"] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).will(will(topic, "x"))).expect_refused_or_closed(&[0x81, 0x82, 0x90]);
    }
}

/// [MQTT-3.1.2-9], [MQTT-3.1.3-1]: a will cut short.
#[test]
fn mqtt_3_1_2_9_a_truncated_will_is_malformed() {
    let mut body = Vec::new();
    put_bytes(&mut body, b"MQTT");
    body.extend_from_slice(b"\x05\x06\x00\x3C\x00");
    put_bytes(&mut body, fresh("c").as_bytes());
    body.extend_from_slice(b"\x00\x00\x05will");
    let mut client = Server::shared().open();
    client.send(packet(0x10, &body)).expect_refused_or_closed(&[0x81]);
}

/// [MQTT-3.1.2-7]: a will goes to sessions that are away, too.
#[test]
fn mqtt_3_1_2_7_the_will_reaches_persistent_sessions() {
    let (topic, name) = (fresh("will/"), fresh("c"));
    let mut away = Server::shared().client(connect(&name).persistent());
    away.subscribe(&topic, 1);
    away.leave();
    Server::shared().client(connect(fresh("c")).will(will(&topic, "gone").qos(1))).vanish();
    // A PUBLISH that is acknowledged is behind the will.
    Server::shared().connected(Version::V5).deliver(publish(&topic, "after"), 1);
    let mut back = Server::shared().client(connect(&name).persistent());
    let texts = [back.expect_publish().text().to_owned(), back.expect_publish().text().to_owned()];
    assert!(texts.contains(&"gone".to_owned()) && texts.contains(&"after".to_owned()), "{texts:?}");
}
