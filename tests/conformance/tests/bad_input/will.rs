//! W: the will.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, Server, Version, bytes, connect, eventually, fresh, id, node, number, property::raw, user, will,
};

use crate::OLD;

fn watcher(server: &Server, topic: &str) -> Client {
    let mut client = server.connected(Version::V5);
    client.subscribe(topic, 1);
    client
}

const DENY_WILLS: &str = "rules:
  - deny: publish
    everyone: true
    topics: [forbidden/#]
  - allow: all
    everyone: true
    topics: ['#']
";

#[test]
fn w1_a_will_that_may_not_be_published_is_refused_at_connect() {
    let server = node().rules(DENY_WILLS).start_plain();
    let mut client = server.open();
    client.send(connect(fresh("c")).will(will("forbidden/x", "x"))).expect_refused(&[0x87]);
    for version in OLD {
        let mut client = server.open();
        client.send(connect(fresh("c")).version(version).will(will("forbidden/x", "x"))).expect_refused(&[5]);
    }
    let _ = server.client(connect(fresh("c")).will(will("fine/x", "x")));
}

#[test]
fn w2_a_refused_client_has_no_will() {
    let server = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").start_plain();
    let topic = fresh("will/");
    let mut watcher = server.client(connect(fresh("c")).username("alice").password("secret"));
    watcher.subscribe(&topic, 1);
    for version in Version::ALL {
        let mut client = server.open();
        let wrong = connect(fresh("c")).version(version).username("alice").password("no").will(will(&topic, "never"));
        client.send(wrong).expect_refused(&[0x86, 0x97, 0x9F, 4, 5]);
    }
    watcher.expect_nothing();
}

#[test]
fn w3_many_wills_at_once_are_published_once_each() {
    let topic = fresh("will");
    let mut watcher = watcher(Server::shared(), &format!("{topic}/+"));
    let clients: Vec<_> = (0..200)
        .map(|n| {
            let will = will(format!("{topic}/{n}"), "gone").qos(1);
            Server::shared().client(connect(fresh("c")).will(will))
        })
        .collect();
    drop(clients);
    let mut seen: Vec<String> = (0..200)
        .map(|_| {
            let publish = watcher.expect_publish();
            watcher.acknowledge(&publish);
            publish.topic
        })
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
    watcher.expect_nothing();
}

#[test]
fn w3_wills_of_a_node_that_is_killed_come_once_each_after_its_restart() {
    let server = node().start_plain();
    let (name, topic) = (fresh("c"), fresh("will"));
    let watch = || connect(&name).persistent();
    let mut watcher = server.client(watch());
    watcher.subscribe(&format!("{topic}/+"), 1);
    let clients: Vec<_> = (0..200)
        .map(|n| {
            let will = will(format!("{topic}/{n}"), "gone").qos(1);
            let connect = connect(fresh("c")).will(will);
            server.client(if n % 2 == 0 { connect } else { connect.persistent() })
        })
        .collect();
    let server = server.kill_and_restart();
    drop(clients);
    let mut watcher = server.client(watch());
    assert!(watcher.connack().session_present);
    let mut seen: Vec<String> = (0..200)
        .map(|_| {
            let publish = watcher.expect_publish();
            watcher.acknowledge(&publish);
            publish.topic
        })
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
    watcher.expect_nothing();
    watcher.leave();
    // Nor do they come again after another.
    let server = server.kill_and_restart();
    let mut watcher = server.client(watch());
    sleep(Duration::from_millis(500));
    watcher.expect_nothing();
}

#[test]
fn w4_a_will_fires_when_its_session_ends_before_its_delay() {
    let topic = fresh("will/");
    let mut watcher = watcher(Server::shared(), &topic);
    for delay in [100, 0xFFFF_FFFF] {
        Server::shared().client(connect(fresh("c")).expiry(1).will(will(&topic, "x").delay(delay))).vanish();
        watcher.expect_nothing();
        watcher.expect_message(&topic, "x");
    }
}

#[test]
fn w5_a_will_whose_right_was_revoked_is_not_published() {
    let open = "rules:\n  - allow: all\n    everyone: true\n    topics: ['#']\n";
    let server = node().rules(open).start_plain();
    let topic = "forbidden/will";
    let mut watcher = watcher(&server, topic);
    let client = server.client(connect(fresh("c")).will(will(topic, "never")));
    sluice_tests_conformance::node_file::write_private(&server.folder().join("access.yaml"), DENY_WILLS.as_bytes());
    server.reload();
    let mut prober = server.connected(Version::V5);
    eventually("the new rules are in force", || {
        let packet_id = prober.fresh_packet_id();
        prober.send(sluice_tests_conformance::publish("forbidden/probe", "x").qos(1, packet_id));
        prober.expect_puback(packet_id).reason == 0x87
    });
    client.vanish();
    watcher.expect_nothing();
}

#[test]
fn w6_wills_with_wrong_properties_or_too_large_are_refused() {
    let wrong = [
        will("t", "x").delay(1).delay(2),
        will("t", "x").with(number(id::TOPIC_ALIAS, 1)),
        will("t", "x").with(raw(0x7F, b"\x00")),
        will("t", "x").with(number(id::PAYLOAD_FORMAT, 2)),
        will("t", "x").with(bytes(id::RESPONSE_TOPIC, "a/#")),
        will("", "x"),
        will("a/+", "x"),
    ];
    for wrong in wrong {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).will(wrong)).expect_refused_or_closed(&[0x81, 0x82, 0x90]);
    }
    for length in [16 * 1024 + 1, 60_000, 65_000] {
        let mut client = Server::shared().open();
        let large = will("t", "x".repeat(length)).with(user("a", "b"));
        client.send(connect(fresh("c")).will(large)).expect_refused(&[0x95, 0x97]);
    }
    let _ = Server::shared().client(connect(fresh("c")).will(will(fresh("t/"), "x".repeat(16 * 1024))));
}

#[test]
fn w7_a_flood_of_wills_comes_once_each_and_disturbs_nobody() {
    let _others = Server::shared().bystander();
    let topic = fresh("will/");
    let mut watcher = watcher(Server::shared(), &topic);
    for n in 0..100 {
        let client = Server::shared().client(connect(fresh("c")).will(will(&topic, n.to_string()).qos(1)));
        client.vanish();
        watcher.expect_message(&topic, n.to_string());
    }
    sleep(Duration::from_millis(50));
    watcher.expect_nothing();
}

#[test]
fn w7_a_client_that_leaves_wills_all_the_time_is_held_off() {
    let server = node().section("limits: {wills_per_minute: 5}").start_plain();
    let _others = server.bystander();
    let (topic, name) = (fresh("will/"), fresh("c"));
    let mut watcher = watcher(&server, &topic);
    for n in 0..5 {
        server.client(connect(&name).will(will(&topic, n.to_string()).qos(1))).vanish();
        watcher.expect_message(&topic, n.to_string());
    }
    let mut client = server.open();
    client.send(connect(&name).will(will(&topic, "one too many"))).expect_refused(&[0x9F]);
    watcher.expect_nothing();
    // It is this client that waits.
    let _ = server.client(connect(fresh("c")).will(will(&topic, "of another")));
}
