//! Retained messages: sections 3.3.1.3 and 3.8.3.1.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER, Server, Version, bytes, fresh, id, number, publish,
    subscribe, user,
};

/// A client with a retained message at a topic of its own.
fn retained(payload: &str) -> (Client, String) {
    let topic = fresh("kept/");
    let mut client = Server::shared().connected(Version::V5);
    client.retain(&topic, payload, 1);
    (client, topic)
}

/// [MQTT-3.3.1-5]: the last retained message is kept.
#[test]
fn mqtt_3_3_1_5_a_retained_message_replaces_the_one_before() {
    let (mut client, topic) = retained("first");
    for (qos, payload) in [(0, "second"), (1, "third"), (2, "fourth")] {
        client.retain(&topic, payload, qos).ping();
        let mut late = Server::shared().connected(Version::V5);
        late.subscribe(&topic, 2);
        let message = late.expect_message(&topic, payload);
        assert!(message.retain);
        assert_eq!(message.qos, qos);
        late.expect_nothing();
    }
    client.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-6], [MQTT-3.3.1-7]: an empty payload removes it, is delivered itself, and is not kept.
#[test]
fn mqtt_3_3_1_6_an_empty_retained_message_removes_the_one_before() {
    let (mut client, topic) = retained("x");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe_with(&topic, RETAIN_NEVER | RETAIN_AS_PUBLISHED);
    client.retain(&topic, "", 1);
    assert!(watcher.expect_message(&topic, "").retain);
    let mut late = Server::shared().connected(Version::V5);
    late.subscribe(&topic, 1).expect_nothing();
}

/// [MQTT-3.3.1-8]: a message without RETAIN neither is kept nor touches what is.
#[test]
fn mqtt_3_3_1_8_other_messages_leave_the_retained_one_alone() {
    let (mut client, topic) = retained("kept");
    let plain = fresh("plain/");
    client.publish(&topic, "passing", 1).publish(&topic, "", 1).publish(&plain, "passing", 1);
    let mut late = Server::shared().connected(Version::V5);
    late.subscribe(&plain, 1).expect_nothing();
    late.subscribe(&topic, 1).expect_message(&topic, "kept");
    client.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-9], [MQTT-3.8.4-4]: Retain Handling 0 sends them for every SUBSCRIBE.
#[test]
fn mqtt_3_3_1_9_retain_handling_0_sends_retained_messages_each_time() {
    let (mut sender, topic) = retained("x");
    let mut client = Server::shared().connected(Version::V5);
    for _ in 0..3 {
        client.subscribe(&topic, 1).expect_message(&topic, "x");
    }
    sender.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-10]: Retain Handling 1 sends them for a new subscription only.
#[test]
fn mqtt_3_3_1_10_retain_handling_1_sends_retained_messages_once() {
    let (mut sender, topic) = retained("x");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe_with(&topic, RETAIN_IF_NEW | 1).expect_message(&topic, "x");
    client.subscribe_with(&topic, RETAIN_IF_NEW).expect_nothing();
    client.unsubscribe(&topic).subscribe_with(&topic, RETAIN_IF_NEW).expect_message(&topic, "x");
    sender.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-11]: Retain Handling 2 sends none.
#[test]
fn mqtt_3_3_1_11_retain_handling_2_sends_no_retained_messages() {
    let (mut sender, topic) = retained("x");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe_with(&topic, RETAIN_NEVER | 1).expect_nothing();
    sender.retain(&topic, "live", 1);
    client.expect_message(&topic, "live");
    sender.retain(&topic, "", 1);
}

/// [MQTT-3.3.1-12]: without Retain As Published a live message has RETAIN 0.
#[test]
fn mqtt_3_3_1_12_retain_is_cleared_on_live_messages() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0);
    client.retain(&topic, "kept", 0).publish(&topic, "passing", 0);
    assert!(!client.expect_message(&topic, "kept").retain);
    assert!(!client.expect_message(&topic, "passing").retain);
    client.retain(&topic, "", 0);
}

/// [MQTT-3.3.1-13]: with it the flag is the publisher's.
#[test]
fn mqtt_3_3_1_13_retain_as_published_keeps_the_flag() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe_with(&topic, RETAIN_AS_PUBLISHED);
    client.retain(&topic, "kept", 0).publish(&topic, "passing", 0);
    assert!(client.expect_message(&topic, "kept").retain);
    assert!(!client.expect_message(&topic, "passing").retain);
    client.retain(&topic, "", 0);
}

/// [MQTT-3.3.1-9]: wildcard subscriptions get all that match, and nothing else; `$` topics only by name.
#[test]
fn mqtt_3_3_1_9_a_wildcard_subscription_gets_all_retained_messages_that_match() {
    let prefix = fresh("kept/");
    let mut sender = Server::shared().connected(Version::V5);
    let names = ["a", "b", "a/x", "a/y", "b/x/z"];
    for name in names {
        sender.retain(&format!("{prefix}/{name}"), name, 1);
    }
    let expect = |filter: &str, expected: &[&str]| {
        let mut client = Server::shared().connected(Version::V5);
        client.subscribe(&format!("{prefix}/{filter}"), 0);
        let mut texts: Vec<_> = expected.iter().map(|_| client.expect_publish().text().to_owned()).collect();
        texts.sort();
        assert_eq!(texts, expected, "{filter}");
        client.expect_nothing();
    };
    expect("+", &["a", "b"]);
    expect("a/#", &["a", "a/x", "a/y"]);
    expect("+/x", &["a/x"]);
    expect("+/x/#", &["a/x", "b/x/z"]);
    expect("#", &["a", "a/x", "a/y", "b", "b/x/z"]);
    for name in names {
        sender.retain(&format!("{prefix}/{name}"), "", 1);
    }
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]: a retained message expires, and says what is left.
#[test]
fn mqtt_3_3_2_5_retained_messages_expire() {
    let (short, long) = (fresh("kept/"), fresh("kept/"));
    let mut sender = Server::shared().connected(Version::V5);
    sender.deliver(publish(&short, "x").retain().expiry(1), 1);
    sender.deliver(publish(&long, "x").retain().expiry(100), 1);
    sleep(Duration::from_millis(2100));
    let mut late = Server::shared().connected(Version::V5);
    late.subscribe(&short, 1).expect_nothing();
    late.subscribe(&long, 1);
    let left = late.expect_message(&long, "x").properties.number(id::MESSAGE_EXPIRY);
    assert!(matches!(left, Some(80..=98)), "{left:?}");
    sender.retain(&long, "", 1);
}

/// [MQTT-3.3.2-17], [MQTT-3.3.2-20]: a retained message keeps its properties, small or large.
#[test]
fn mqtt_3_3_2_17_retained_messages_keep_their_properties() {
    for size in [10, 5_000] {
        let topic = fresh("kept/");
        let payload = "x".repeat(size);
        let mut sender = Server::shared().connected(Version::V5);
        let message = publish(&topic, &payload).retain().with(user("a", "1")).with(user("a", "2"));
        let message = message.with(bytes(id::CONTENT_TYPE, "text/plain")).with(number(id::PAYLOAD_FORMAT, 1));
        sender.deliver(message, 1);
        let mut late = Server::shared().connected(Version::V5);
        let properties = late.subscribe(&topic, 1).expect_message(&topic, &payload).properties;
        assert_eq!(properties.users().len(), 2);
        assert_eq!(properties.text(id::CONTENT_TYPE).as_deref(), Some("text/plain"));
        assert_eq!(properties.number(id::PAYLOAD_FORMAT), Some(1));
        sender.retain(&topic, "", 1);
    }
}

/// [MQTT-3.8.4-8]: a retained message comes at the lower of its QoS and the granted one.
#[test]
fn mqtt_3_8_4_8_retained_messages_come_at_the_lower_qos() {
    let topic = fresh("kept/");
    let mut sender = Server::shared().connected(Version::V5);
    for published in 0..3 {
        sender.retain(&topic, "x", published).ping();
        for granted in 0..3 {
            let mut late = Server::shared().connected(Version::V5);
            late.subscribe(&topic, granted);
            assert_eq!(late.expect_message(&topic, "x").qos, published.min(granted));
        }
    }
    sender.retain(&topic, "", 1);
}

/// [MQTT-3.8.4-5]: one SUBSCRIBE with several filters sends the retained messages of each, after SUBACK.
#[test]
fn mqtt_3_8_4_5_retained_messages_of_several_filters() {
    let (mut sender, first) = retained("1");
    let second = fresh("kept/");
    sender.retain(&second, "2", 1);
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter(&first, 1).filter(&second, RETAIN_NEVER).filter(&second, 0));
    client.expect_suback(1, &[1, 0, 0]);
    let mut texts = [client.expect_publish().text().to_owned(), client.expect_publish().text().to_owned()];
    texts.sort();
    assert_eq!(texts, ["1", "2"]);
    sender.retain(&first, "", 1).retain(&second, "", 1);
}
