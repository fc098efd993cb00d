//! Sections 4.1 and 4.4: session state and resending.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Incoming, Server, Version, connect, fresh, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};

/// [MQTT-4.1.0-1]: the session stays while its connection does, whatever the expiry.
#[test]
fn mqtt_4_1_0_1_the_session_outlives_its_expiry_while_connected() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).expiry(1));
    client.subscribe(&topic, 1);
    sleep(Duration::from_millis(2100));
    client.publish(&topic, "x", 0).expect_message(&topic, "x");
    let again = Server::shared().client(connect(&name).resume().expiry(1));
    assert!(again.connack().session_present);
}

/// [MQTT-4.1.0-2]: the session is gone when its expiry has passed.
#[test]
fn mqtt_4_1_0_2_the_session_ends_when_its_expiry_has_passed() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).expiry(1));
    client.subscribe(&topic, 1);
    client.vanish();
    sleep(Duration::from_millis(2500));
    Server::shared().connected(Version::V5).publish(&topic, "x", 1);
    let mut client = Server::shared().client(connect(&name).resume());
    assert!(!client.connack().session_present);
    client.expect_nothing();
}

/// [MQTT-4.4.0-1], [MQTT-4.3.2-3]: an unacknowledged QoS 1 PUBLISH comes again with its packet id, in order.
#[test]
fn mqtt_4_4_0_1_unacknowledged_messages_are_resent_in_order() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 1);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..4 {
        sender.publish(&topic, n.to_string(), 1);
    }
    let first: Vec<_> = (0..4).map(|_| client.expect_publish()).collect();
    client.send(puback(first[1].packet_id)).ping();
    client.vanish();
    sender.publish(&topic, "4", 1);
    let mut client = Server::shared().client(connect(&name).persistent());
    for (text, dup) in [("0", true), ("2", true), ("3", true), ("4", false)] {
        let again = client.expect_publish();
        assert_eq!((again.text(), again.dup), (text, dup));
        if let Some(before) = first.iter().find(|before| before.text() == text) {
            assert_eq!(again.packet_id, before.packet_id);
        }
        client.send(puback(again.packet_id));
    }
    client.expect_nothing();
}

/// [MQTT-4.4.0-1], [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-6]: at QoS 2 the PUBLISH comes again until PUBREC, then
/// only PUBREL until PUBCOMP, all with the same packet id.
#[test]
fn mqtt_4_3_3_6_after_pubrel_only_pubrel_is_resent() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 2);
    Server::shared().connected(Version::V5).publish(&topic, "x", 2);
    let packet_id = client.expect_publish().packet_id;
    client.vanish();
    let mut client = Server::shared().client(connect(&name).persistent());
    let again = client.expect_publish();
    assert_eq!((again.packet_id, again.dup, again.qos), (packet_id, true, 2));
    client.send(pubrec(packet_id)).expect_pubrel(packet_id);
    client.vanish();
    for _ in 0..2 {
        let mut client = Server::shared().client(connect(&name).persistent());
        client.expect_pubrel(packet_id);
        client.expect_nothing();
        client.vanish();
    }
    let mut client = Server::shared().client(connect(&name).persistent());
    client.expect_pubrel(packet_id);
    client.send(pubcomp(packet_id)).ping();
    client.vanish();
    let mut client = Server::shared().client(connect(&name).persistent());
    assert!(client.connack().session_present);
    client.expect_nothing();
}

/// [MQTT-4.4.0-1]: nothing is resent on a living connection.
#[test]
fn mqtt_4_4_0_1_nothing_is_resent_on_a_living_connection() {
    let topic = fresh("t/");
    let mut client = Server::shared().connected(Version::V5);
    client.subscribe(&topic, 2);
    Server::shared().connected(Version::V5).publish(&topic, "1", 1).publish(&topic, "2", 2);
    client.expect_publish();
    client.expect_publish();
    sleep(Duration::from_millis(1500));
    client.expect_nothing();
}

/// [MQTT-4.4.0-1], [MQTT-4.3.3-10]: what a client resends after coming back is not a new message.
#[test]
fn mqtt_4_4_0_1_a_clients_qos_2_exchange_survives_its_connection() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 2);
    let mut client = Server::shared().client(connect(&name).persistent());
    client.send(publish(&topic, "x").qos(2, 5)).expect_pubrec(5);
    client.vanish();
    let mut client = Server::shared().client(connect(&name).persistent());
    client.send(publish(&topic, "x").qos(2, 5).dup()).expect_pubrec(5);
    client.send(pubrel(5));
    assert_eq!(client.expect_pubcomp(5).reason, 0);
    watcher.expect_message(&topic, "x");
    watcher.expect_nothing();
}

/// [MQTT-4.5.0-1]: an accepted message is in the session of everybody who subscribed, here or away.
#[test]
fn mqtt_4_5_0_1_accepted_messages_reach_all_matching_sessions() {
    let topic = fresh("t/");
    let names: Vec<String> = (0..3).map(|_| fresh("c")).collect();
    for name in &names {
        let mut client = Server::shared().client(connect(name).persistent());
        client.send(subscribe(1).filter(format!("{topic}/#"), 2)).expect_suback(1, &[2]);
        client.leave();
    }
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..10 {
        sender.publish(&format!("{topic}/{n}"), n.to_string(), 1 + n % 2);
    }
    for name in &names {
        let mut client = Server::shared().client(connect(name).persistent());
        let mut texts: Vec<_> = (0..10)
            .map(|_| {
                let publish = client.expect_publish();
                client.acknowledge(&publish);
                publish.text().to_owned()
            })
            .collect();
        texts.sort();
        assert_eq!(texts, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
        client.expect_nothing();
    }
}

/// [MQTT-4.4.0-1]: a transient session that ends takes its exchanges with it.
#[test]
fn mqtt_4_4_0_1_a_new_session_knows_no_old_exchanges() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name));
    client.subscribe(&topic, 1);
    Server::shared().connected(Version::V5).publish(&topic, "x", 1);
    client.expect_publish();
    client.vanish();
    let mut client = Server::shared().client(connect(&name).resume());
    let packets = client.drain();
    assert!(!packets.iter().any(|packet| matches!(packet, Incoming::Publish(_))), "{packets:?}");
}
