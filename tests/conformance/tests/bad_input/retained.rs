//! R: retained messages.

use sluice_tests_conformance::{Incoming, Server, Version, connect, fresh, id, node, publish, subscribe, user};

/// The bound is that of the node; each worker enforces its part of it.
#[test]
fn r1_retained_messages_over_the_quota_are_refused() {
    let server = node().section("mqtt: {retained: {messages_max: 40}}").start_plain();
    let mut client = server.connected(Version::V5);
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let topic = format!("kept/{n}");
        client.send(publish(&topic, "x").retain().qos(1, 50));
        match client.expect_puback(50).reason {
            0x97 => refused.push(topic),
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
    let mut old = server.connected(Version::V311);
    old.send(publish(&refused[0], "x").retain().qos(1, 1));
    assert!(matches!(old.receive_or_end(), None | Some(Incoming::Puback(_))));
}

#[test]
fn r2_a_huge_retained_message_is_refused_at_its_header() {
    let before = Server::shared().resident_kib();
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send([0x33, 0xFF, 0xFF, 0xFF, 0x7F, 0x00, 0x01, b't']).expect_thrown_out(&[0x95]);
    }
    let grown = Server::shared().resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 64 * 1024), "{grown:?} KiB more");
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
    let mut greedy = server.connected(Version::V5);
    let loops: Vec<u8> = (0..200)
        .flat_map(|n| sluice_tests_conformance::Outgoing::encode(&subscribe(n + 1).filter("#", 0), Version::V5))
        .collect();
    greedy.send_bytes(&loops);
    loop {
        match greedy.receive_or_end() {
            Some(Incoming::Disconnect(disconnect)) => {
                assert!(matches!(disconnect.reason, 0x96 | 0x97));
                break;
            }
            Some(_) => {}
            None => panic!("closed without a reason"),
        }
    }
    other.ping();
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
