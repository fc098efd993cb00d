//! R: retained messages.

use sluice_tests_conformance::{Client, Incoming, Server, Version, connect, fresh, id, node, publish, subscribe, user};

/// The bound is that of the node; each worker enforces its part of it.
#[test]
fn r1_retained_messages_over_the_quota_are_refused() {
    let server = node().section("mqtt: {retained: {messages_max: 40}}").start_plain();
    let mut client = server.connected(Version::V5);
    let mut kept = Vec::new();
    for n in 0..100 {
        let topic = format!("kept/{n}");
        client.send(publish(&topic, "x").retain().qos(1, 50));
        match client.expect_puback(50).reason {
            0x97 => {}
            reason => {
                assert!(reason < 0x80);
                kept.push(topic);
            }
        }
    }
    assert!((20..=40).contains(&kept.len()), "{} kept", kept.len());
    // What is there may change, and may go.
    client.retain(&kept[0], "y", 1).retain(&kept[1], "", 1);
    let mut late = server.connected(Version::V5);
    late.subscribe("kept/#", 0);
    assert_eq!(late.drain().len(), kept.len() - 1);
}

/// A version 3 client cannot be told that a message was refused. It must not be told that it was taken, either.
#[test]
fn r1_no_version_3_client_is_acknowledged_for_what_is_not_retained() {
    for version in crate::OLD {
        let server = node().section("mqtt: {retained: {messages_max: 2}}").start_plain();
        let mut acknowledged = 0;
        for n in 0..40 {
            let mut client = server.connected(version);
            client.send(publish(format!("kept/{n}"), "x").retain().qos(1, 1));
            acknowledged += usize::from(matches!(client.receive_or_end(), Some(Incoming::Puback(_))));
        }
        let mut late = server.connected(Version::V5);
        late.subscribe("kept/#", 0);
        let kept = late.drain().len();
        assert!(acknowledged <= kept, "{version:?}: {acknowledged} acknowledged, {kept} kept");
        assert!((1..=2).contains(&kept), "{version:?}: {kept} kept");
    }
}

#[test]
fn r2_a_huge_retained_message_is_refused_at_its_header() {
    let server = node().start_plain();
    let huge = [0x33, 0xFF, 0xFF, 0xFF, 0x7F, 0x00, 0x01, b't'];
    for version in Version::ALL {
        server.connected(version).send(huge).expect_thrown_out(&[0x95]);
    }
    // Another sixty, on a server that has met each kind: 4 KiB each at most.
    let before = server.resident_kib();
    for version in Version::ALL.repeat(20) {
        server.connected(version).send(huge).expect_thrown_out(&[0x95]);
    }
    let grown = server.resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib <= 60 * 4), "{grown:?} KiB more for 60 headers");
}

#[test]
fn r3_retain_where_it_is_not_available() {
    let server = node().section("mqtt: {retain_available: false}").start_plain();
    let mut client = server.connected(Version::V5);
    client.send(publish("t", "x").retain().qos(1, 1)).expect_disconnect(&[0x9A]);
    let mut client = server.connected(Version::V311);
    client.send(publish("t", "x").retain().qos(1, 1));
    assert!(matches!(client.receive_or_end(), None | Some(Incoming::Puback(_))));
    let mut late = server.connected(Version::V311);
    late.subscribe("t", 0).expect_nothing();
}

#[test]
fn r4_a_loop_of_wildcard_subscriptions_is_held_back() {
    let server = node().section("limits: {control_rate: 50}").start_plain();
    let mut client = server.connected(Version::V5);
    for n in 0..50 {
        client.retain(&format!("kept/{n}"), "x", 1);
    }
    let mut other = server.connected(Version::V5);
    for version in Version::ALL {
        let mut greedy = server.connected(version);
        // One after the other: what is sent together may be lost with the connection, and with it what came before.
        let mut granted = 0;
        while granted < 200 {
            greedy.send(subscribe(granted + 1).filter("#", 0));
            match next_but_messages(&mut greedy) {
                Some(Incoming::Suback(_)) => granted += 1,
                Some(Incoming::Disconnect(disconnect)) if matches!(disconnect.reason, 0x96 | 0x97) => break,
                None if version != Version::V5 => break,
                end => panic!("{version:?}: {end:?}"),
            }
        }
        assert!((40..150).contains(&granted), "{version:?}: {granted} of 200 were granted at 50 a second");
    }
    other.ping();
}

fn next_but_messages(client: &mut Client) -> Option<Incoming> {
    loop {
        match client.receive_or_end() {
            Some(Incoming::Publish(_)) => {}
            other => return other,
        }
    }
}

#[test]
fn r5_a_bomb_of_user_properties_is_refused() {
    let _others = Server::shared().bystander();
    let topic = fresh("t/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 0);
    for (count, size) in [(65, 1), (1_000, 10), (3, 4_000)] {
        let value = "x".repeat(size);
        let bomb = (0..count).fold(publish(&topic, "x"), |publish, _| publish.with(user("k", &value)));
        let mut client = Server::shared().connected(Version::V5);
        client.send(bomb.qos(1, 1));
        match client.receive() {
            Incoming::Disconnect(disconnect) => assert!(matches!(disconnect.reason, 0x81 | 0x95 | 0x97)),
            Incoming::Puback(ack) => assert!(matches!(ack.reason, 0x97 | 0x80 | 0x83)),
            other => panic!("{other:?}"),
        }
    }
    watcher.expect_nothing();
    let most = (0..64).fold(publish(&topic, "x"), |publish, n| publish.with(user("k", n.to_string())));
    Server::shared().connected(Version::V5).deliver(most, 1);
    assert_eq!(watcher.expect_message(&topic, "x").properties.users().len(), 64);
}

#[test]
fn r2_a_retained_message_of_the_largest_size_is_kept_whole() {
    let topic = fresh("kept/");
    let mut client = Server::shared().client(connect(fresh("c")));
    let most = client.connack().properties.number(id::MAXIMUM_PACKET_SIZE).unwrap_or(0) as usize;
    let payload = vec![b'x'; most - topic.len() - 20];
    client.retain(&topic, &payload, 1);
    let mut late = Server::shared().connected(Version::V5);
    late.subscribe(&topic, 1);
    assert_eq!(late.expect_publish().payload.len(), payload.len());
    client.retain(&topic, "", 1);
}
