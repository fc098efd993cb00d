//! Section 4.7: topic names and topic filters.

use sluice_tests_conformance::{Incoming, Server, Version, fresh, packet, publish, subscribe, wire::put_bytes};

/// Whether a message on `topic` reaches a subscription with `filter`, both under a prefix of their own.
fn reaches(filter: &str, topic: &str) -> bool {
    let prefix = fresh("m");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&format!("{prefix}{filter}"), 0);
    client.publish(&format!("{prefix}{topic}"), "x", 0);
    !client.drain().is_empty()
}

/// [MQTT-4.7.1-1]: where `#` may stand.
#[test]
fn mqtt_4_7_1_1_the_multi_level_wildcard_stands_alone_and_last() {
    for filter in ["a/#/b", "a#", "a/b#", "##", "#/", "a/##", "#/a"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(subscribe(1).filter(filter, 0));
        client.expect_filter_refused(1);
    }
    assert!(reaches("/#", "/a"));
    assert!(reaches("/#", "/a/b/c"));
    assert!(reaches("/#", ""), "also the parent level");
    assert!(!reaches("/a/#", "/b"));
}

/// [MQTT-4.7.1-2]: where `+` may stand.
#[test]
fn mqtt_4_7_1_2_the_single_level_wildcard_takes_a_whole_level() {
    for filter in ["a+", "+a/b", "a/b+/c", "++", "a/+#"] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(subscribe(1).filter(filter, 0));
        client.expect_filter_refused(1);
    }
    assert!(reaches("/+", "/a"));
    assert!(!reaches("/+", "/a/b"));
    assert!(!reaches("/+", ""));
    assert!(reaches("/+", "/"), "an empty level is a level");
    assert!(reaches("/+/b", "/a/b"));
    assert!(reaches("/+/+", "//"));
    assert!(reaches("/+/#", "/a/b/c"));
    assert!(!reaches("/+/b", "/a/c"));
}

/// [MQTT-4.7.1-2]: both wildcards as the first level.
#[test]
fn mqtt_4_7_1_2_wildcards_may_be_the_first_level() {
    let topic = fresh("first/");
    let leaf = topic.split_once('/').map(|(_, leaf)| leaf).unwrap_or_default().to_owned();
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&format!("+/{leaf}"), 0).publish(&topic, "x", 0).expect_message(&topic, "x");
    client.unsubscribe(&format!("+/{leaf}")).subscribe(&format!("+/{leaf}/#"), 0);
    client.publish(&topic, "y", 0).expect_message(&topic, "y");
}

/// [MQTT-4.7.2-1]: leading wildcards do not match topics that begin with `$`.
#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_match_dollar_topics() {
    let name = fresh("x");
    let topic = format!("$conformance/{name}");
    let mut named = Server::shared().connected(Version::V5);
    named.subscribe(&format!("$conformance/{name}/#"), 0).subscribe("$conformance/+", 0);
    let mut wild = Server::shared().connected(Version::V5);
    wild.subscribe(&format!("+/{name}"), 0).subscribe(&format!("+/{name}/#"), 0);
    Server::shared().connected(Version::V5).publish(&topic, "x", 0);
    named.expect_publish();
    wild.expect_nothing();
}

/// [MQTT-4.7.2-1]: `#` gets nothing of `$SYS`, `$SYS/#` does.
#[test]
fn mqtt_4_7_2_1_a_bare_multi_level_wildcard_gets_no_system_topics() {
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe("$SYS/#", 0);
    assert!(client.expect_publish().topic.starts_with("$SYS/"));
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter("#", 0).filter("+/#", 0));
    for packet in client.drain() {
        if let Incoming::Publish(publish) = packet {
            assert!(!publish.topic.starts_with('$'), "{publish:?}");
        }
    }
}

/// [MQTT-4.7.3-1]: an empty filter (empty names are in the chapter of PUBLISH).
#[test]
fn mqtt_4_7_3_1_filters_have_at_least_one_character() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter("", 0));
    client.expect_filter_refused(1);
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe("/", 0).publish("/", "x", 0).expect_message("/", "x");
}

/// [MQTT-4.7.3-2]: U+0000 in names and filters.
#[test]
fn mqtt_4_7_3_2_names_and_filters_have_no_null_character() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(publish("a\0b", "x"));
    client.expect_disconnect(&[0x81, 0x90]);
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter("a\0b", 0));
    client.expect_disconnect(&[0x81, 0x8F]);
}

/// [MQTT-4.7.3-3]: names of any length that a string may have are either taken or refused in good order.
#[test]
fn mqtt_4_7_3_3_the_longest_topic_name_is_handled() {
    let longest = "t".repeat(65_535);
    let mut body = Vec::new();
    put_bytes(&mut body, longest.as_bytes());
    body.extend_from_slice(b"\x00\x01\x00x");
    let mut client = Server::shared().connected(Version::V5);
    client.send(packet(0x32, &body));
    assert!(matches!(client.expect_puback(1).reason, 0x00 | 0x10 | 0x90));
    client.ping();
}

/// [MQTT-4.7.3-4]: no normalization, no case folding, no trimming.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    let prefix = fresh("n/");
    let composed = format!("{prefix}/\u{00E9}");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&composed, 0);
    for other in
        [format!("{prefix}/e\u{0301}"), format!("{prefix}/\u{00C9}"), format!("{composed} "), format!("{composed}/")]
    {
        client.publish(&other, "other", 0);
    }
    client.publish(&composed, "same", 0).expect_message(&composed, "same");
    client.expect_nothing();
}

/// [MQTT-4.7.3-4]: characters that nobody knows pass through.
#[test]
fn mqtt_4_7_3_4_unusual_characters_are_not_substituted() {
    let topic = format!("{}/\u{FFFF}\u{0001}\u{1F980}\u{202E}\u{FEFF}", fresh("n/"));
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0).publish(&topic, "x", 0).expect_message(&topic, "x");
}
