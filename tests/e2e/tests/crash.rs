//! A node that is killed loses nothing it acknowledged, doubles nothing at QoS 2, and keeps order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test")]

use std::{thread, time::Duration};

use sluice_mqtt::{QoS, ReasonCode, Version, Will, WillProperties};
use sluice_tests_e2e::{
    client::{AckKind, Connection, Delivery, Hello, Received},
    crash::{Plan, run},
    node::Node,
};

fn survive(seed: u64, kills: usize, workers: &[u16]) {
    let plan = Plan {
        seed,
        kills,
        workers: workers.to_vec(),
        publishers: 4,
        rate_per_publisher: 250,
        // With several workers, a QoS 2 message of a group may go to a second member after a kill.
        shared_group: workers == [1],
    };
    match run(&plan) {
        Ok(report) => assert!(report.kills == kills && report.acknowledged > 0, "{report}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn one_worker_loses_and_doubles_nothing_when_killed() {
    survive(fastrand::u64(..), 6, &[1]);
}

#[test]
fn two_workers_lose_and_double_nothing_when_killed() {
    survive(fastrand::u64(..), 6, &[2]);
}

#[test]
fn nothing_is_lost_or_doubled_when_the_number_of_workers_changes_at_a_restart() {
    survive(fastrand::u64(..), 6, &[1, 2, 4]);
}

#[test]
#[ignore = "takes about ten minutes"]
fn crash_long() {
    survive(fastrand::u64(..), 200, &[1, 2, 4]);
}

/// A node that runs.
fn node() -> Node {
    let mut node = Node::new();
    node.start(2);
    node
}

fn connect(node: &Node, client_id: &str) -> Connection {
    Connection::open_patiently(node.address(), &Hello::persistent(Version::V5, client_id))
}

fn subscriber(node: &Node, client_id: &str, filter: &str) -> Connection {
    let mut subscriber = connect(node, client_id);
    subscriber.subscribe(&[filter.to_owned()], QoS::ExactlyOnce);
    let granted = Received::SubAck(vec![ReasonCode::granted(QoS::ExactlyOnce)]);
    assert_eq!(subscriber.expect_packet().unwrap(), granted);
    subscriber
}

fn kill_and_restart(node: &mut Node) {
    node.kill().unwrap();
    node.start(2);
}

fn again(node: &Node, client_id: &str) -> Connection {
    let connection = connect(node, client_id);
    assert!(connection.session_present(), "the session of {client_id} is gone");
    connection
}

fn ack(kind: AckKind, packet_id: u16) -> Received {
    Received::Ack(kind, packet_id, ReasonCode::Success)
}

fn expect_delivery(connection: &mut Connection) -> Delivery {
    match connection.expect_packet().unwrap() {
        Received::Publish(delivery) => delivery,
        other => panic!("{other:?} instead of a message"),
    }
}

/// Nothing is on its way to a client: its PINGRESP would come behind it.
fn expect_nothing(connection: &mut Connection) {
    connection.flush().unwrap();
    thread::sleep(Duration::from_millis(200));
    connection.ping();
    assert_eq!(connection.expect_packet().unwrap(), Received::Pong);
}

#[test]
fn killed_between_pubrec_and_pubrel_the_node_still_knows_the_message() {
    let mut node = node();
    drop(subscriber(&node, "subscriber", "t"));
    let mut publisher = connect(&node, "publisher");
    publisher.publish("t", b"one", QoS::ExactlyOnce, 7, false, false);
    assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubRec, 7));
    kill_and_restart(&mut node);

    // As a client does whose PUBREC was lost.
    let mut publisher = again(&node, "publisher");
    publisher.publish("t", b"one", QoS::ExactlyOnce, 7, true, false);
    assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubRec, 7));
    publisher.acknowledge(AckKind::PubRel, 7);
    assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubComp, 7));
    kill_and_restart(&mut node);

    // As a client does whose PUBCOMP was lost; then the packet id stands for another message.
    let mut publisher = again(&node, "publisher");
    publisher.acknowledge(AckKind::PubRel, 7);
    let unknown = Received::Ack(AckKind::PubComp, 7, ReasonCode::PacketIdentifierNotFound);
    assert_eq!(publisher.expect_packet().unwrap(), unknown);
    publisher.publish("t", b"two", QoS::ExactlyOnce, 7, false, false);
    assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubRec, 7));

    let mut subscriber = again(&node, "subscriber");
    assert_eq!(expect_delivery(&mut subscriber).payload, b"one");
    assert_eq!(expect_delivery(&mut subscriber).payload, b"two");
    expect_nothing(&mut subscriber);
}

#[test]
fn a_message_that_was_released_is_never_sent_again() {
    let mut node = node();
    let mut subscriber = subscriber(&node, "subscriber", "t");
    let mut publisher = connect(&node, "publisher");
    publisher.publish("t", b"one", QoS::ExactlyOnce, 7, false, false);
    assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubRec, 7));
    let packet_id = expect_delivery(&mut subscriber).packet_id;
    subscriber.acknowledge(AckKind::PubRec, packet_id);
    assert_eq!(subscriber.expect_packet().unwrap(), ack(AckKind::PubRel, packet_id));
    for _ in 0..2 {
        kill_and_restart(&mut node);
        subscriber = again(&node, "subscriber");
        assert_eq!(subscriber.expect_packet().unwrap(), ack(AckKind::PubRel, packet_id));
    }
    subscriber.acknowledge(AckKind::PubComp, packet_id);
    expect_nothing(&mut subscriber);
}

#[test]
fn what_a_client_never_acknowledges_comes_again_unchanged_after_every_kill() {
    let mut node = node();
    drop(subscriber(&node, "mute", "t"));
    let mut publisher = connect(&node, "publisher");
    for n in 1..=100 {
        publisher.publish("t", &[n], QoS::AtLeastOnce, u16::from(n), false, false);
        assert_eq!(publisher.expect_packet().unwrap(), ack(AckKind::PubAck, u16::from(n)));
    }
    let mut before: Option<Vec<(u16, Vec<u8>)>> = None;
    for _ in 0..3 {
        let mut mute = again(&node, "mute");
        let came: Vec<Delivery> = (0..100).map(|_| expect_delivery(&mut mute)).collect();
        assert!(before.is_none() || came.iter().all(|delivery| delivery.dup), "sent again without DUP");
        let came: Vec<_> = came.into_iter().map(|delivery| (delivery.packet_id, delivery.payload)).collect();
        assert_eq!(*before.get_or_insert_with(|| came.clone()), came);
        kill_and_restart(&mut node);
    }
}

#[test]
fn a_queue_of_an_absent_client_outlives_kills_and_is_drained_in_order() {
    const MESSAGES: u16 = 5_000;
    let mut node = node();
    drop(subscriber(&node, "absent", "t"));
    let mut publisher = connect(&node, "publisher");
    for n in 0..MESSAGES {
        publisher.publish("t", &n.to_be_bytes(), QoS::AtLeastOnce, 2 + n % 50, false, false);
        if n % 50 == 49 {
            (0..50).for_each(|_| assert!(matches!(publisher.expect_packet().unwrap(), Received::Ack(..))));
        }
    }
    kill_and_restart(&mut node);
    let mut absent = again(&node, "absent");
    for n in 0..MESSAGES {
        let delivery = expect_delivery(&mut absent);
        assert_eq!(delivery.payload, n.to_be_bytes());
        absent.acknowledge(AckKind::PubAck, delivery.packet_id);
    }
    expect_nothing(&mut absent);
}

#[test]
fn the_last_acknowledged_value_of_a_retained_topic_outlives_a_kill() {
    let mut node = node();
    let mut publisher = connect(&node, "publisher");
    for (n, payload) in [&b"old"[..], b"new"].into_iter().enumerate() {
        publisher.publish("kept", payload, QoS::AtLeastOnce, 2 + n as u16, false, true);
        assert!(matches!(publisher.expect_packet().unwrap(), Received::Ack(AckKind::PubAck, ..)));
    }
    publisher.publish("cleared", b"old", QoS::AtLeastOnce, 8, false, true);
    publisher.publish("cleared", b"", QoS::AtLeastOnce, 9, false, true);
    (0..2).for_each(|_| assert!(matches!(publisher.expect_packet().unwrap(), Received::Ack(AckKind::PubAck, ..))));
    kill_and_restart(&mut node);
    let mut reader = subscriber(&node, "reader", "#");
    let delivery = expect_delivery(&mut reader);
    assert_eq!((delivery.topic.as_str(), &delivery.payload[..], delivery.retain), ("kept", &b"new"[..], true));
    expect_nothing(&mut reader);
}

#[test]
fn the_will_of_a_client_that_was_connected_comes_once_after_a_kill() {
    let mut node = node();
    drop(subscriber(&node, "heir", "will"));
    let properties = WillProperties::default();
    let will = Will { qos: QoS::ExactlyOnce, retain: false, topic: "will", payload: b"gone", properties };
    let hello = Hello { will: Some(will), ..Hello::persistent(Version::V5, "testator") };
    let testator = Connection::open_patiently(node.address(), &hello);
    kill_and_restart(&mut node);
    drop(testator);
    let mut heir = again(&node, "heir");
    let delivery = expect_delivery(&mut heir);
    assert_eq!(delivery.payload, b"gone");
    heir.acknowledge(AckKind::PubRec, delivery.packet_id);
    assert_eq!(heir.expect_packet().unwrap(), ack(AckKind::PubRel, delivery.packet_id));
    heir.acknowledge(AckKind::PubComp, delivery.packet_id);
    expect_nothing(&mut heir);
    kill_and_restart(&mut node);
    expect_nothing(&mut again(&node, "heir"));
}
