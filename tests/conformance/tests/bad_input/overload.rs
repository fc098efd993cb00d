//! X: floods and slow readers.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use sluice_tests_conformance::{
    Client, Incoming, Outgoing as _, Server, Version, connect, eventually, fresh, node, pingreq, publish, pubrel,
    subscribe, unsubscribe,
};

use crate::OLD;

#[test]
fn x1_two_clients_that_take_over_from_each_other_are_stopped() {
    let _others = Server::shared().bystander();
    let name = fresh("c");
    let mut holder = Server::shared().client(connect(&name));
    let mut refused = false;
    for _ in 0..30 {
        let mut next = Server::shared().open();
        next.send(connect(&name));
        match next.receive() {
            Incoming::Connack(connack) if connack.reason == 0 => {
                holder.expect_disconnect(&[0x8E]);
                holder = next;
            }
            Incoming::Connack(connack) => {
                assert!(matches!(connack.reason, 0x9F | 0x97), "{connack:?}");
                next.expect_closed();
                refused = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused, "thirty takeovers in a row went through");
    holder.ping();
    for version in OLD {
        let mut next = Server::shared().open();
        next.send(connect(&name).version(version)).expect_refused_or_closed(&[3, 5]);
    }
    holder.ping();
}

/// Connects as `name`, does several things at once, and reads until the last of them is answered or somebody else took
/// the session over.
fn jitter(server: &Server, name: &str, topic: &str) {
    let mut client = server.open();
    client.send_together(&[
        &connect(name).persistent(),
        &subscribe(1).filter(topic, 1),
        &publish(topic, "x").qos(1, 2),
        &unsubscribe(3).topic(topic),
    ]);
    while let Some(packet) = client.receive_or_end() {
        if matches!(packet, Incoming::Unsuback(_) | Incoming::Disconnect(_)) {
            break;
        }
    }
}

/// What nine of ten pings of a bystander take at most while six clients do something forty times each.
fn slowest_tenth(bystander: &mut Client, load: impl Fn(usize) + Sync) -> Duration {
    let running = AtomicUsize::new(6);
    let mut waits = Vec::new();
    thread::scope(|scope| {
        for n in 0..6 {
            let (load, running) = (&load, &running);
            scope.spawn(move || {
                (0..40).for_each(|_| load(n));
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while running.load(Ordering::Relaxed) > 0 || waits.len() < 20 {
            let start = Instant::now();
            bystander.ping();
            waits.push(start.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
    });
    waits.sort_unstable();
    waits[waits.len() * 9 / 10]
}

#[test]
fn x2_jitter_on_one_client_id_leaves_a_consistent_session() {
    let server = node().section("limits: {takeovers_per_minute: 0}").start_plain();
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut bystander = server.connected(Version::V5);
    // The same load without anything to contend for, so that the two differ in nothing but the one client id.
    let names: Vec<String> = (0..6).map(|_| fresh("c")).collect();
    let apart = slowest_tenth(&mut bystander, |n| jitter(&server, &names[n], &topic));
    let contended = slowest_tenth(&mut bystander, |_| jitter(&server, &name, &topic));
    let bound = apart * 4 + Duration::from_millis(5);
    assert!(contended <= bound, "others wait {contended:?} at one client id, {apart:?} at six");
    bystander.ping();
    let mut client = server.client(connect(&name).expiry(10));
    client.subscribe(&topic, 1).publish(&topic, "after", 0).expect_message(&topic, "after");
    client.expect_nothing();
}

#[test]
fn x3_sessions_over_the_quota_of_a_user_are_refused() {
    let node = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").user("bob", "hidden");
    let server = node.section("limits: {sessions_per_principal: 3}").start_plain();
    let alice = |name: &str| connect(name).username("alice").password("secret");
    let names: Vec<String> = (0..3).map(|_| fresh("c")).collect();
    for name in &names {
        server.client(alice(name).persistent()).leave();
    }
    let mut client = server.open();
    client.send(alice(&fresh("c")).persistent()).expect_refused(&[0x97]);
    let mut client = server.open();
    client.send(alice(&fresh("c")).v311().persistent()).expect_refused(&[5, 3]);
    // Sessions that are there, transient ones and other users are not affected.
    assert!(server.client(alice(&names[0]).persistent()).connack().session_present);
    let _ = server.client(alice(&fresh("c")));
    let _ = server.client(connect(fresh("c")).username("bob").password("hidden").expiry(100));
    // A session that ends makes room.
    server.client(alice(&names[1])).leave();
    let _ = server.client(alice(&fresh("c")).persistent());
}

#[test]
fn x4_a_reader_that_reads_nothing_costs_a_bounded_buffer() {
    let server = node().start_plain();
    let _others = server.bystander();
    let topic = fresh("t/");
    let mut slow = server.client(connect(fresh("c")).keep_alive(600));
    slow.subscribe(&topic, 0);
    let before = server.resident_kib();
    let payload = vec![b'x'; 20_000];
    let mut sender = server.connected(Version::V5);
    for _ in 0..40 {
        for _ in 0..50 {
            sender.publish(&topic, &payload, 0);
        }
        sender.ping();
    }
    let grown = server.resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 12 * 1024), "{grown:?} KiB more for 40 MB that nobody reads");
    slow.send(pingreq());
    while slow.receive() != Incoming::Pingresp {}
}

#[test]
fn x4_a_publisher_that_reads_no_acknowledgements_is_heard_no_further() {
    for (kind, version) in [("publish", Version::V311), ("publish", Version::V5), ("pubrel", Version::V311)] {
        let server = node().start_plain();
        let _others = server.bystander();
        let mut client = server.connected(version);
        let before = server.resident_kib();
        client.stream().set_timeout(Duration::from_millis(500));
        // 20 MB, with 5 million answers of four bytes where they are that small.
        let piece: Vec<u8> = match kind {
            "publish" => publish("t", "").qos(1, 7).encode(version).repeat(1_000),
            _ => pubrel(7).encode(version).repeat(1_000),
        };
        let start = Instant::now();
        let mut sent = 0;
        while sent < 20_000_000 && start.elapsed() < Duration::from_secs(4) {
            if client.stream().write_all(&piece).is_err() {
                break;
            }
            sent += piece.len();
        }
        let grown = server.resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
        assert!(grown.is_none_or(|kib| kib < 4 * 1024), "{kind}: {grown:?} KiB more for {sent} bytes");
        assert!(sent < 20_000_000, "{kind}: all was read from a client that reads nothing");
        // It is heard again when it reads.
        client.stream().set_timeout(Duration::from_secs(15));
        for _ in 0..100_000 {
            assert!(matches!(client.receive(), Incoming::Puback(_) | Incoming::Pubcomp(_)));
        }
    }
}

/// What a node may hold, and what is asked of it: much more.
#[test]
fn x4_queues_in_memory_count_against_the_memory_budget() {
    const BUDGET_KIB: u64 = 64 * 1024;
    let server = node().section("limits: {memory_budget: 64MiB}").section("log: {level: error}").start_plain();
    let before = server.resident_kib();
    let subscribers: Vec<Client> = (0..30)
        .map(|n| {
            let mut client = server.client(connect(fresh("c")).receive_maximum(1));
            client.subscribe(&format!("t/{n}"), 1);
            client
        })
        .collect();
    let mut sender = server.connected(Version::V5);
    let payload = vec![b'x'; 65_000];
    let mut most = 0;
    // 312 MB that nobody acknowledges.
    for _ in 0..160 {
        for n in 0..30 {
            sender.send(publish(format!("t/{n}"), &payload).qos(1, 1)).expect_puback(1);
        }
        thread::sleep(Duration::from_millis(50));
        let grown = server.resident_kib().zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
        most = most.max(grown);
    }
    assert!(most < BUDGET_KIB * 2, "{most} KiB more with a budget of {BUDGET_KIB}");
    let closed = server.metric("mqtt_connections_closed_total", "quota_exceeded");
    assert!(closed > 0.0, "no session was closed for want of memory, and it grew by {most} KiB");
    drop(subscribers);
}

#[test]
fn x5_a_flood_of_pings_is_stopped() {
    let _others = Server::shared().bystander();
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        let flood: Vec<u8> = pingreq().repeat(50_000);
        thread::scope(|scope| {
            let mut writer = match client.stream() {
                sluice_tests_conformance::stream::Stream::Tcp(tcp) => tcp.try_clone().expect("a handle"),
                other => panic!("{other:?}"),
            };
            scope.spawn(move || std::io::Write::write_all(&mut writer, &flood));
            let end = loop {
                match client.receive_or_end() {
                    Some(Incoming::Pingresp) => {}
                    end => break end,
                }
            };
            match end {
                Some(Incoming::Disconnect(disconnect)) => assert_eq!(disconnect.reason, 0x96),
                // The reset that follows unread bytes may overtake the DISCONNECT.
                None => {}
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn x6_connections_over_the_rate_of_an_address_are_shed() {
    let server = node().section("limits: {accept_rate_per_address: 20}").start_plain();
    let mut served = 0;
    for _ in 0..200 {
        let mut client = server.open();
        client.send(connect(fresh("c")));
        match client.receive_or_end() {
            Some(Incoming::Connack(connack)) if connack.reason == 0 => served += 1,
            Some(Incoming::Connack(connack)) => assert_eq!(connack.reason, 0x9F),
            None => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..200).contains(&served), "{served} of 200 were served");
    eventually("the address is served again", || {
        thread::sleep(Duration::from_millis(200));
        let mut client = server.open();
        client.send(connect(fresh("c")));
        client.receive_or_end().is_some()
    });
}
