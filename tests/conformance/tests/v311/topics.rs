//! Section 4.7: topic names and topic filters.

use sluice_tests_conformance::{Server, Version, fresh, packet, publish, subscribe, wire::put_bytes};

/// [MQTT-4.7.1-1]: wildcards in a topic name.
#[test]
fn mqtt_4_7_1_1_wildcards_are_for_filters_only() {
    for topic in ["+", "a/#"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(publish(topic, "x").qos(1, 1)).expect_closed();
    }
}

/// [MQTT-4.7.1-2], [MQTT-4.7.1-3]: where wildcards may stand.
#[test]
fn mqtt_4_7_1_2_misplaced_wildcards_are_refused() {
    for filter in ["a/#/b", "a#", "##", "#/", "a+", "+a/b", "a/b+/c", "++"] {
        let mut client = Server::shared().connected(Version::V311);
        client.send(subscribe(1).filter(filter, 0)).expect_filter_refused(1);
    }
}

/// [MQTT-4.7.1-2], [MQTT-4.7.1-3]: what wildcards match.
#[test]
fn mqtt_4_7_1_3_wildcards_match_levels() {
    let matches = [
        ("/#", "/a/b", true),
        ("/#", "", true),
        ("/+", "/a", true),
        ("/+", "", false),
        ("/+", "/a/b", false),
        ("/+/b", "/a/b", true),
        ("/+/+", "/a/", true),
        ("/a/+/#", "/a", false),
    ];
    for (filter, topic, expected) in matches {
        let prefix = fresh("m");
        let mut client = Server::shared().connected(Version::V311);
        client.subscribe(&format!("{prefix}{filter}"), 0).publish(&format!("{prefix}{topic}"), "x", 0);
        assert_eq!(!client.drain().is_empty(), expected, "{filter} {topic}");
    }
}

/// [MQTT-4.7.2-1]: leading wildcards and `$`.
#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_match_dollar_topics() {
    let name = fresh("x");
    let mut named = Server::shared().connected(Version::V311);
    named.subscribe(&format!("$conformance/{name}"), 0);
    let mut wild = Server::shared().connected(Version::V311);
    wild.subscribe(&format!("+/{name}"), 0);
    Server::shared().connected(Version::V311).publish(&format!("$conformance/{name}"), "x", 0);
    named.expect_publish();
    wild.expect_nothing();
}

/// [MQTT-4.7.3-1]: empty names and filters.
#[test]
fn mqtt_4_7_3_1_names_and_filters_have_at_least_one_character() {
    let mut client = Server::shared().connected(Version::V311);
    client.send(publish("", "x")).expect_closed();
    let mut client = Server::shared().connected(Version::V311);
    client.send(subscribe(1).filter("", 0)).expect_filter_refused(1);
}

/// [MQTT-4.7.3-2]: U+0000.
#[test]
fn mqtt_4_7_3_2_names_and_filters_have_no_null_character() {
    let mut client = Server::shared().connected(Version::V311);
    client.send(publish("a\0", "x")).expect_closed();
    let mut client = Server::shared().connected(Version::V311);
    client.send(subscribe(1).filter("\0", 0)).expect_closed();
}

/// [MQTT-4.7.3-3]: the longest name is taken, dropped with an acknowledgement, or the connection is closed.
#[test]
fn mqtt_4_7_3_3_the_longest_topic_name_is_handled() {
    let _others = Server::shared().bystander();
    let mut body = Vec::new();
    put_bytes(&mut body, "t".repeat(65_535).as_bytes());
    body.extend_from_slice(b"\x00\x01x");
    let mut client = Server::shared().connected(Version::V311);
    client.send(packet(0x32, &body));
    if client.receive_or_end().is_some() {
        client.ping();
    }
}

/// [MQTT-4.7.3-4]: no normalization.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    let prefix = fresh("n/");
    let topic = format!("{prefix}/\u{00E9}");
    let mut client = Server::shared().connected(Version::V311);
    client.subscribe(&topic, 0);
    for other in [format!("{prefix}/e\u{0301}"), format!("{prefix}/\u{00C9}"), format!("{topic}/"), format!("/{topic}")]
    {
        client.publish(&other, "other", 0);
    }
    client.publish(&topic, "same", 0).expect_message(&topic, "same");
    client.expect_nothing();
}
