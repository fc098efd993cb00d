//! T: topic names, topic filters, aliases and properties of PUBLISH.

use sluice_tests_conformance::{
    Incoming, NO_LOCAL, Server, Version, bytes, connect, fresh, id, node, number, pingreq, publish, subscribe,
};

use crate::OLD;

#[test]
fn t1_an_empty_topic_name_without_alias_is_an_error() {
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send(publish("", "x")).expect_thrown_out(&[0x82, 0x81, 0x90]);
    }
}

#[test]
fn t2_wildcards_in_a_topic_name_are_never_routed() {
    let prefix = fresh("t");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&format!("{prefix}/#"), 0);
    for version in Version::ALL {
        for topic in [format!("{prefix}/+/x"), format!("{prefix}/#")] {
            for qos in 0..3 {
                let mut client = Server::shared().connected(version);
                client.send(publish(&topic, "x").qos(qos, 1)).expect_thrown_out(&[0x90, 0x81, 0x82]);
            }
        }
    }
    watcher.expect_nothing();
}

#[test]
fn t3_a_topic_over_the_limit_is_refused() {
    let _others = Server::shared().bystander();
    for length in [4_097, 65_535] {
        let topic = "t".repeat(length);
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(&topic, "x").qos(1, 1));
        assert_eq!(client.expect_puback(1).reason, 0x90);
        client.send(subscribe(2).filter(&topic, 0));
        assert!(client.expect_any_suback(2).reasons[0] >= 0x80);
        client.send(publish(&topic, "x"));
        client.send([0xC0, 0]);
        match client.receive() {
            Incoming::Pingresp => {}
            Incoming::Disconnect(disconnect) => assert_eq!(disconnect.reason, 0x90),
            other => panic!("{other:?}"),
        }
        for version in OLD {
            let mut client = Server::shared().connected(version);
            client.send(publish(&topic, "x")).send([0xC0, 0]);
            assert!(matches!(client.receive_or_end(), None | Some(Incoming::Pingresp)));
        }
    }
    let topic = fresh("t/") + &"t".repeat(4_000);
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0).publish(&topic, "x", 0).expect_message(&topic, "x");
}

#[test]
fn t4_too_many_levels_are_refused() {
    let _others = Server::shared().bystander();
    for levels in [128, 2_000, 65_000] {
        let topic = "/".repeat(levels);
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(&topic, "x").qos(1, 1));
        assert_eq!(client.expect_puback(1).reason, 0x90, "{levels}");
        client.send(subscribe(2).filter(&topic, 0));
        assert!(client.expect_any_suback(2).reasons[0] >= 0x80, "{levels}");
        let mut client = Server::shared().connected(Version::V311);
        client.send(subscribe(2).filter(&topic, 0)).expect_filter_refused(2);
        let mut client = Server::shared().connected(Version::V311);
        client.send(publish(&topic, "x")).send([0xC0, 0]);
        assert!(matches!(client.receive_or_end(), None | Some(Incoming::Pingresp)));
    }
    let topic = fresh("t") + &"/".repeat(127);
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0).publish(&topic, "x", 0).expect_message(&topic, "x");
}

#[test]
fn t5_topics_of_the_server_cannot_be_published_to() {
    for topic in ["$SYS/broker/version", "$share/g/t", "$CONTROL/dynamic-security/v1"] {
        let mut watcher = Server::shared().connected(Version::V5);
        watcher.send(subscribe(1).filter(topic.replacen("$share/g/", "", 1), 0).filter(topic, 0));
        watcher.drain();
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(topic, "forged").qos(1, 1));
        assert!(matches!(client.expect_puback(1).reason, 0x87 | 0x90), "{topic}");
        client.send(publish(topic, "forged").qos(2, 2));
        assert!(matches!(client.expect_pubrec(2).reason, 0x87 | 0x90), "{topic}");
        for version in OLD {
            let mut client = Server::shared().connected(version);
            client.send(publish(topic, "forged").qos(1, 1));
            assert!(matches!(client.receive_or_end(), None | Some(Incoming::Puback(_))), "{topic}");
        }
        let came = watcher.drain();
        let forged = |packet: &Incoming| matches!(packet, Incoming::Publish(p) if p.payload == b"forged");
        assert!(!came.iter().any(forged), "{topic}: {came:?}");
    }
}

/// A topic that the server publishes to itself is known to it, and that gives nobody a right to it.
#[test]
fn t5_topics_that_the_server_has_published_to_cannot_be_published_to() {
    let server = node().section("sys_interval: 1s").start_plain();
    let mut watcher = server.connected(Version::V5);
    watcher.subscribe("$SYS/#", 0);
    let mut rounds = std::collections::BTreeMap::<String, u32>::new();
    while rounds.values().all(|&rounds| rounds < 2) {
        *rounds.entry(watcher.expect_publish().topic).or_default() += 1;
    }
    let topics: Vec<String> = rounds.into_keys().collect();
    for version in Version::ALL {
        for (topic, retain) in topics.iter().flat_map(|topic| [(topic, false), (topic, true)]) {
            for qos in 0..3 {
                let mut client = server.connected(version);
                let forged = publish(topic, "forged").qos(qos, 1);
                client.send(if retain { forged.retain() } else { forged }).send(pingreq());
                let answer = client.receive_or_end();
                if version == Version::V5 && qos > 0 {
                    let (Some(Incoming::Puback(ack)) | Some(Incoming::Pubrec(ack))) = answer else {
                        panic!("{topic}: {answer:?}")
                    };
                    assert!(matches!(ack.reason, 0x87 | 0x90), "{topic}: {ack:?}");
                }
            }
        }
    }
    let is_forged = |packet: &Incoming| matches!(packet, Incoming::Publish(p) if p.payload == b"forged");
    assert!(!watcher.drain().iter().any(is_forged));
    let mut late = server.connected(Version::V5);
    late.subscribe("$SYS/#", 0);
    assert!(!late.drain().iter().any(is_forged));
}

#[test]
fn t6_unusual_but_legal_topics_work() {
    for version in Version::ALL {
        let mark = fresh("x");
        for topic in
            [format!("$x/{mark}"), format!("${mark}"), format!("//{mark}"), format!("/{mark}"), format!("{mark}/")]
        {
            let mut client = Server::shared().connected(version);
            client.subscribe(&topic, 1).publish(&topic, "x", 0).expect_message(&topic, "x");
        }
    }
    for topic in ["$", "/", "//", "///"] {
        let mut client = Server::shared().connected(Version::V5);
        client.subscribe(topic, 0).publish(topic, "x", 0);
        assert_eq!(client.expect_publish().topic, topic);
    }
}

#[test]
fn t7_misplaced_wildcards_are_never_granted() {
    for version in Version::ALL {
        for filter in ["a/#/b", "a#", "a+", "+a/b", "##", ""] {
            let mut client = Server::shared().connected(version);
            client.send(subscribe(1).filter(filter, 0)).expect_filter_refused(1);
        }
    }
}

#[test]
fn t8_malformed_shared_subscriptions_are_never_granted() {
    for version in Version::ALL {
        for filter in ["$share//t", "$share/g", "$share/g/", "$share/a+b/t", "$share/g/#/x"] {
            let mut client = Server::shared().connected(version);
            client.send(subscribe(1).filter(filter, 0)).expect_filter_refused(1);
        }
    }
}

#[test]
fn t9_no_local_on_a_shared_subscription_is_an_error() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter("$share/g/t", NO_LOCAL)).expect_disconnect(&[0x82]);
}

#[test]
fn t10_wrong_topic_aliases_are_errors() {
    let topic = fresh("t/");
    for (alias, name, codes) in [
        (0, topic.as_str(), &[0x94][..]),
        (65, topic.as_str(), &[0x94]),
        (65_535, topic.as_str(), &[0x94]),
        (1, "", &[0x82, 0x94]),
        (64, "", &[0x82, 0x94]),
    ] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(name, "x").alias(alias)).expect_disconnect(codes);
    }
}

#[test]
fn t10_an_alias_may_be_set_anew_as_often_as_one_likes() {
    let topic = fresh("t");
    let mut receiver = Server::shared().connected(Version::V5);
    receiver.subscribe(&format!("{topic}/9999"), 0);
    let before = Server::shared().resident_kib();
    let mut client = Server::shared().connected(Version::V5);
    for n in 0..10_000 {
        client.send(publish(format!("{topic}/{n}"), "x").alias(1 + n % 3));
    }
    client.ping();
    receiver.expect_message(&format!("{topic}/9999"), "x");
    // 9,999 is a multiple of 3: the last name got the first alias.
    client.send(publish("", "last").alias(1));
    receiver.expect_message(&format!("{topic}/9999"), "last");
    let grown = Server::shared().resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 64 * 1024), "{grown:?} KiB more");
}

#[test]
fn t11_properties_that_publish_may_not_have_are_errors() {
    let topic = fresh("t/");
    let wrong = [
        (bytes(id::RESPONSE_TOPIC, "a/#"), &[0x82, 0x90][..]),
        (number(id::SUBSCRIPTION_ID, 5), &[0x82]),
        (number(id::PAYLOAD_FORMAT, 2), &[0x81, 0x82]),
    ];
    for (property, codes) in wrong {
        let mut client = Server::shared().connected(Version::V5);
        client.send(publish(&topic, "x").with(property)).expect_disconnect(codes);
    }
}

#[test]
fn t12_a_payload_that_is_not_what_it_says() {
    let topic = fresh("t/");
    let lie = || publish(&topic, b"\xFF\xFE").with(number(id::PAYLOAD_FORMAT, 1));
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 0).send(lie());
    assert_eq!(client.expect_publish().payload, b"\xFF\xFE");
    let server = node().section("mqtt: {validate_payload_format: true}").start_plain();
    let mut client = server.client(connect(fresh("c")));
    client.send(lie().qos(1, 1));
    assert_eq!(client.expect_puback(1).reason, 0x99);
    client.send(lie().qos(2, 2));
    assert_eq!(client.expect_pubrec(2).reason, 0x99);
    client.send(publish(&topic, "text").with(number(id::PAYLOAD_FORMAT, 1)).qos(1, 3));
    assert!(client.expect_puback(3).reason < 0x80);
}
