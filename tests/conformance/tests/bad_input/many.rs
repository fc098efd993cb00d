//! M: the same mistake again and again leaves nothing behind.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, Server, Version, connect, eventually, fresh, node, packet, puback, pubcomp, publish, pubrec, pubrel,
    subscribe, will,
};

fn refused_connects(server: &Server) {
    let wrong = [
        connect(fresh("c")).flags(0x03),
        connect(fresh("c")).level(9),
        connect(b"\xFF"),
        connect("x".repeat(5_000)),
        connect(fresh("c")).will(will("a/#", "x")),
        connect(fresh("c")).flags(0xC6),
    ];
    for wrong in wrong {
        let mut client = server.open();
        client.send(wrong);
        client.expect_end();
    }
}

fn errors_after_connect(server: &Server) {
    let wrong: [(u8, &[u8]); 8] = [
        (0x30, b"\x00\x03a/#\x00x"),
        (0x36, b"\x00\x01t\x00\x01\x00x"),
        (0x32, b"\x00\x01t\x00\x00\x00x"),
        (0x80, b"\x00\x01\x00\x00\x01t\x00"),
        (0x82, b"\x00\x01\x00"),
        (0xA2, b"\x00\x01\x00"),
        (0x30, b"\x00\x02\xC0\x80\x00"),
        (0x00, b""),
    ];
    for (first, body) in wrong {
        let mut client = server.client(connect(fresh("c")).will(will("m/will", "x")));
        client.send(subscribe(1).filter(fresh("m/"), 1)).send(packet(first, body));
        client.expect_end();
    }
}

/// Caches, pools and buffers grow to a size that they keep: what counts is that the memory comes to a level.
#[test]
fn m1_rejected_clients_leave_nothing_behind() {
    let server = node().section("log: {level: error}").start_plain();
    let round = || {
        for _ in 0..50 {
            refused_connects(&server);
            errors_after_connect(&server);
        }
        server.resident_kib().unwrap_or(0)
    };
    round();
    let descriptors = server.descriptors().unwrap_or(0);
    let mut levels = vec![round()];
    while levels.len() < 5 || levels[levels.len() - 1] > levels[levels.len() - 5] + 1024 {
        assert!(levels.len() < 25, "memory grows and grows, in KiB after each 700 clients: {levels:?}");
        levels.push(round());
    }
    eventually("descriptors are where they were", || server.descriptors().unwrap_or(0) <= descriptors);
}

/// The level that memory comes to over rounds of the same.
fn expect_level(server: &Server, what: &str, mut round: impl FnMut()) {
    let mut level = || {
        round();
        server.resident_kib().unwrap_or(0)
    };
    level();
    let mut levels = vec![level()];
    while levels.len() < 5 || levels[levels.len() - 1] > levels[levels.len() - 5] + 1024 {
        assert!(levels.len() < 25, "{what}: memory grows and grows, in KiB after each round: {levels:?}");
        levels.push(level());
    }
}

#[test]
fn m1_acknowledgements_of_nothing_leave_nothing_behind() {
    let server = node().section("log: {level: error}").start_plain();
    for version in Version::ALL {
        let mut client = server.connected(version);
        expect_level(&server, "acknowledgements", || {
            for first in 0..20 {
                let ids = first * 100 + 1..=first * 100 + 100;
                for id in ids.clone() {
                    client.send_together(&[&puback(id), &pubrec(id), &pubcomp(id), &pubrel(id)]);
                }
                for id in ids {
                    client.expect_pubrel(id);
                    client.expect_pubcomp(id);
                }
            }
        });
        client.ping();
    }
}

#[test]
fn m1_sessions_that_come_again_and_again_leave_nothing_behind() {
    let server = node().section("log: {level: error}").section("limits: {takeovers_per_minute: 0}").start_plain();
    let names: Vec<String> = (0..20).map(|_| fresh("c")).collect();
    for version in Version::ALL {
        expect_level(&server, "sessions", || {
            for _ in 0..20 {
                for name in &names {
                    let mut client = server.client(connect(name).version(version).persistent());
                    client.subscribe(&format!("m/{name}"), 1);
                    client.vanish();
                }
            }
        });
    }
    assert_eq!(server.metric("mqtt_sessions", "offline") as usize, names.len());
}

#[test]
fn m1_wills_that_are_published_all_the_time_leave_nothing_behind() {
    let server = node().section("log: {level: error}").start_plain();
    for expiry in [0, 1] {
        expect_level(&server, "wills", || {
            for n in 0..300 {
                let will = will("m/will", n.to_string()).qos(1).retain();
                server.client(connect(fresh("c")).expiry(expiry).will(will)).vanish();
            }
        });
    }
}

#[test]
fn m2_readers_that_do_not_read_and_half_closed_sockets_cost_no_cpu() {
    let server = node().start_plain();
    let topic = fresh("t/");
    let payload = vec![b'x'; 50_000];
    let deaf: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = server.client(connect(fresh("c")).receive_maximum(500));
            client.subscribe(&topic, 0);
            client
        })
        .collect();
    // Their sending half is closed, and what they are sent is not read: neither end of the socket can go on.
    let half_closed: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = server.client(connect(fresh("c")));
            client.subscribe(&topic, 0);
            client
        })
        .collect();
    let mut sender = server.connected(Version::V5);
    for _ in 0..200 {
        sender.send(publish(&topic, &payload));
    }
    sender.ping();
    for mut client in half_closed {
        client.stream().shutdown_write();
        std::mem::forget(client);
    }
    sleep(Duration::from_millis(300));
    let before = server.cpu_time().unwrap_or_default();
    sleep(Duration::from_millis(1_500));
    let used = server.cpu_time().unwrap_or_default().saturating_sub(before);
    assert!(used <= Duration::from_millis(100), "{used:?} of CPU in 1.5 s for 100 clients that do nothing");
    drop(deaf);
    sender.ping();
}
