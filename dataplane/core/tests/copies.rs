//! What nodes show of retained messages whose home is out of reach.

#![allow(clippy::expect_used, reason = "these are tests")]

mod broker;
mod cluster;

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Client, Cluster, payload_set};
use sluice_cluster::{Home, Keyspace, KeyspaceId, Label, Policies, Policy, RemoteSubscribers};
use sluice_dataplane_core::{Settings, link::Versions};
use sluice_mqtt::{PublishHead, QoS, Version, encode};
use sluice_topic::{Limits, TopicFilter};

/// More than is held in memory.
const LARGE: usize = 3_000;

/// Three nodes with different numbers of workers.
fn cluster() -> Cluster {
    cluster_with(Settings::default())
}

fn cluster_with(settings: Settings) -> Cluster {
    Cluster::of(&["eu"; 3], &[2, 1, 3], settings)
}

/// A client that publishes at a node.
fn publisher(cluster: &mut Cluster, node: usize) -> Client {
    cluster.connect(node, &format!("publisher{node}"), true).0
}

/// Retains something and expects to hear that it is stored.
fn retain(cluster: &mut Cluster, client: Client, topic: &str, payload: &str) {
    cluster.retain(client, topic, 1, payload);
    let mut answer = cluster.read(client);
    if answer.is_empty() {
        // It may be wanted at a node that is cut off, and then waits until that counts as lost.
        cluster.pass_ms(10_100);
        answer = cluster.read(client);
    }
    assert!(answer == ["puback #1 no_matching_subscribers"] || answer == ["puback #1 success"], "{topic}: {answer:?}");
}

/// What a new subscription at a node is shown.
fn shown(cluster: &mut Cluster, node: usize, filter: &str) -> BTreeSet<String> {
    let (reader, _) = cluster.connect(node, &format!("reader{node}"), true);
    cluster.begin_subscribe(reader, filter, QoS::AtMostOnce);
    // The barrier does not wait for ever for who is cut off.
    cluster.pass_ms(5_100);
    assert!(cluster.take_suback(reader));
    payload_set(&cluster.read(reader))
}

fn set<const N: usize>(payloads: [&str; N]) -> BTreeSet<String> {
    payloads.map(str::to_owned).into()
}

/// Cuts a node off from all others, as if it were dead.
fn cut_off(cluster: &mut Cluster, node: usize) {
    (0..3).filter(|&other| other != node).for_each(|other| cluster.cut(node, other));
}

#[test]
fn small_messages_of_a_home_that_is_out_of_reach_are_shown_by_every_other_node() {
    let mut cluster = cluster();
    let publisher = publisher(&mut cluster, 0);
    let topics: Vec<String> = (0..3).flat_map(|node| [0, 1].map(|nth| cluster.topic_at_home(node, nth))).collect();
    for topic in &topics {
        retain(&mut cluster, publisher, topic, &format!("on-{topic}"));
    }
    retain(&mut cluster, publisher, &topics[4], "newer");
    let expected: BTreeSet<String> =
        topics.iter().map(|topic| if *topic == topics[4] { "newer".into() } else { format!("on-{topic}") }).collect();
    cut_off(&mut cluster, 2);
    for node in 0..2 {
        assert_eq!(shown(&mut cluster, node, "t/#"), expected, "node {node}");
        assert_eq!(shown(&mut cluster, node, &topics[4]), set(["newer"]), "node {node}");
    }
    assert_eq!(shown(&mut cluster, 2, "t/#"), expected, "the node that is cut off has copies, too");
    assert!(cluster.broker(0).stats().retained_copies_shown >= 2);
    assert_eq!(cluster.broker(0).stats().retained_copies_behind, 6, "three there, for each of two here");
}

#[test]
fn a_large_message_is_passed_over_while_its_home_is_out_of_reach_and_counted() {
    let mut cluster = cluster();
    let publisher = publisher(&mut cluster, 0);
    let topics = [0, 1].map(|nth| cluster.topic_at_home(2, nth));
    let large = "L".repeat(LARGE);
    retain(&mut cluster, publisher, &topics[0], &large);
    retain(&mut cluster, publisher, &topics[1], "small");
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&large, "small"]), "it is read from its home");
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set(["small"]));
    assert_eq!(cluster.broker(1).stats().retained_copies_passed_over, 1);
    cluster.mend_all(2);
    retain(&mut cluster, publisher, &topics[0], "small-by-now");
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set(["small-by-now", "small"]));
}

#[test]
fn what_was_removed_does_not_come_back_whether_its_copies_heard_of_it_at_once_or_later() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    let topics = [0, 1, 2].map(|nth| cluster.topic_at_home(2, nth));
    topics.iter().for_each(|topic| retain(&mut cluster, home, topic, topic));
    retain(&mut cluster, home, &topics[0], "");
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&topics[1], &topics[2]]));
    retain(&mut cluster, home, &topics[1], "");
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&topics[1], &topics[2]]), "it has not heard of it");
    cluster.mend_all(2);
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&topics[2]]));
    for node in [0, 1] {
        cluster.crash(node);
        assert_eq!(shown(&mut cluster, node, "t/#"), set([&topics[2]]), "node {node} after a restart");
    }
}

#[test]
fn a_node_that_is_restarted_while_homes_are_dead_still_shows_their_messages() {
    let mut cluster = cluster();
    let publisher = publisher(&mut cluster, 0);
    let topics: Vec<String> = (0..20).map(|nth| cluster.topic_at_home(2, nth)).collect();
    topics.iter().for_each(|topic| retain(&mut cluster, publisher, topic, topic));
    let expected: BTreeSet<String> = topics.into_iter().collect();
    cut_off(&mut cluster, 2);
    for (workers, node) in [(3, 0), (1, 0), (2, 1)] {
        cluster.crash_to_workers(node, workers);
        assert_eq!(shown(&mut cluster, node, "t/#"), expected, "node {node} with {workers} workers");
    }
    // Other topics fall to its workers than before: what it knows of its copies means nothing, and is asked for anew.
    cluster.mend_all(2);
    let home = publisher_again(&mut cluster, 2);
    for topic in expected.iter().skip(1) {
        retain(&mut cluster, home, topic, "");
    }
    cut_off(&mut cluster, 2);
    for node in [0, 1] {
        assert_eq!(shown(&mut cluster, node, "t/#"), expected.iter().take(1).cloned().collect(), "node {node}");
    }
}

fn publisher_again(cluster: &mut Cluster, node: usize) -> Client {
    cluster.connect(node, "publisher again", true).0
}

#[test]
fn a_home_that_comes_back_empty_empties_the_copies_of_it() {
    let mut cluster = cluster();
    let publisher = publisher(&mut cluster, 0);
    let (lost, kept) = (cluster.topic_at_home(2, 0), cluster.topic_at_home(1, 0));
    retain(&mut cluster, publisher, &lost, "lost");
    retain(&mut cluster, publisher, &kept, "kept");
    cluster.crash_without_disk(2);
    assert_eq!(shown(&mut cluster, 0, "t/#"), set(["lost", "kept"]), "while it is away");
    cluster.mend_all(2);
    cut_off(&mut cluster, 2);
    for node in 0..2 {
        assert_eq!(shown(&mut cluster, node, "t/#"), set(["kept"]), "node {node}");
    }
}

#[test]
fn a_home_that_is_restarted_tells_what_it_has_and_with_another_number_of_workers_too() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    let topics: Vec<String> = (0..30).map(|nth| cluster.topic_at_home(2, nth)).collect();
    topics.iter().for_each(|topic| retain(&mut cluster, home, topic, topic));
    let mut expected: BTreeSet<String> = topics.iter().cloned().collect();
    for (topic, workers) in topics.iter().zip([3, 1, 4]) {
        cluster.crash_to_workers(2, workers);
        let home = publisher(&mut cluster, 2);
        cluster.retain(home, topic, 0, "");
        expected.remove(topic);
        cluster.mend_all(2);
        cut_off(&mut cluster, 2);
        for node in 0..2 {
            assert_eq!(shown(&mut cluster, node, "t/#"), expected, "node {node}, {workers} workers at home");
        }
    }
}

#[test]
fn a_copy_goes_by_its_own_expiry_while_its_home_is_dead() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    let topics = [0, 1].map(|nth| cluster.topic_at_home(2, nth));
    for (topic, expiry_s) in topics.iter().zip([8, 60]) {
        let message_expiry = Some(expiry_s);
        cluster.packet(home, |out, version| {
            let head = PublishHead {
                version,
                dup: false,
                qos: QoS::AtMostOnce,
                retain: true,
                topic,
                packet_id: 0,
                message_expiry,
                topic_alias: None,
                subscription_ids: &[],
                forward: &[],
                payload_len: topic.len(),
            };
            encode::publish(out, &head, topic.as_bytes());
        });
    }
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&topics[0], &topics[1]]));
    cluster.pass_ms(4_000);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([&topics[1]]));
    assert_eq!(cluster.broker(1).stats().retained_copies, 1, "the other one is dropped");
}

#[test]
fn thousands_of_messages_are_caught_up_with_page_by_page_and_a_break_does_not_matter() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    cut_off(&mut cluster, 2);
    let payload = "x".repeat(60);
    let topics: Vec<String> = (0..12_000).map(|nth| format!("{}/{nth}", cluster.topic_at_home(2, nth % 7))).collect();
    let mut here = BTreeSet::new();
    for topic in &topics {
        cluster.retain(home, topic, 0, &format!("{topic}{payload}"));
        here.insert(format!("{topic}{payload}"));
    }
    let at_home = shown(&mut cluster, 2, "t/#");
    for _ in 0..3 {
        cluster.mend_in_part(1, 2, 6);
        cluster.cut(1, 2);
    }
    cluster.mend_all(2);
    cut_off(&mut cluster, 2);
    assert!(!at_home.is_empty());
    assert_eq!(shown(&mut cluster, 1, "t/#"), at_home);
    assert_eq!(shown(&mut cluster, 0, "t/#"), at_home);
}

#[test]
fn a_node_that_is_too_slow_for_the_changes_asks_for_what_it_has_missed() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    let topics: Vec<String> = (0..100).map(|nth| cluster.topic_at_home(2, nth)).collect();
    topics.iter().for_each(|topic| retain(&mut cluster, home, topic, topic));
    cluster.stall(2, 1, true);
    let payload = "x".repeat(1_000);
    for round in 0..60 {
        for topic in topics.iter().skip(1) {
            cluster.retain(home, topic, 0, &format!("{topic}-{round}{payload}"));
        }
    }
    cluster.retain(home, &topics[0], 0, "");
    assert!(cluster.gate(2).stats().copies_lost > 0, "more than may wait");
    cluster.stall(2, 1, false);
    let at_home = shown(&mut cluster, 2, "t/#");
    assert_eq!(at_home.len(), 99);
    cut_off(&mut cluster, 2);
    for node in 0..2 {
        assert_eq!(shown(&mut cluster, node, "t/#"), at_home, "node {node}");
    }
}

#[test]
fn copies_that_find_no_room_are_left_out_and_refuse_nothing_that_is_at_home_here() {
    let settings = Settings { retained_copies_bytes_max: 3_000, retained_messages_max: 12, ..Settings::default() };
    let mut cluster = Cluster::of(&["eu"; 2], &[1, 1], settings);
    let home = publisher(&mut cluster, 1);
    let payload = "x".repeat(200);
    for nth in 0..12 {
        let topic = cluster.topic_at_home(1, nth);
        retain(&mut cluster, home, &topic, &format!("{nth}{payload}"));
    }
    let here = publisher(&mut cluster, 0);
    for nth in 0..12 {
        let topic = cluster.topic_at_home(0, nth);
        retain(&mut cluster, here, &topic, &format!("here{nth}"));
    }
    let replaced = cluster.topic_at_home(1, 0);
    retain(&mut cluster, home, &replaced, &format!("newer{}", payload.repeat(4)));
    cluster.pass_ms(1_000);
    let stats = cluster.broker(0).stats();
    assert!(stats.retained_copies < 12 && stats.retained_copies_left_out > 0);
    assert!(stats.retained_copies_bytes <= 3_000);
    cluster.cut(0, 1);
    let left = shown(&mut cluster, 0, "t/#");
    assert!(left.len() > 12, "some find room: {}", left.len());
    assert!(!left.contains(&format!("0{payload}")), "nothing older is shown where the newer one found no room");
}

#[test]
fn a_node_of_an_older_version_works_without_copies_and_shows_nothing_old() {
    let mut cluster = cluster();
    let home = publisher(&mut cluster, 2);
    let topic = cluster.topic_at_home(2, 0);
    retain(&mut cluster, home, &topic, "one");
    // A node that knows nothing of copies takes the place of one that does, and the other way round.
    cluster.crash_to_versions(2, Versions { min: 1, max: 1 });
    cluster.mend_all(2);
    let home = publisher_again(&mut cluster, 2);
    retain(&mut cluster, home, &topic, "two");
    assert_eq!(shown(&mut cluster, 1, "t/#"), set(["two"]));
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set([]), "it has shown something newer than its copy");
    cluster.mend_all(2);
    cluster.crash(2);
    cluster.mend_all(2);
    cut_off(&mut cluster, 2);
    assert_eq!(shown(&mut cluster, 1, "t/#"), set(["two"]));
}

#[test]
fn topics_that_are_denied_to_a_region_are_not_copied_there_and_what_was_is_removed() {
    let mut cluster = Cluster::of(&["eu", "us", "eu"], &[1, 2, 1], Settings::default());
    let home = publisher(&mut cluster, 0);
    let topic = (0..).map(|n| format!("private/{n}")).find(|topic| cluster.home_of_topic(topic) == 0).expect("one");
    retain(&mut cluster, home, &topic, "first");
    cluster.cut(0, 1);
    assert_eq!(shown(&mut cluster, 1, "private/#"), set(["first"]));
    cluster.mend(0, 1);
    let filter = TopicFilter::parse("private/#", &Limits::default()).expect("a filter");
    let keyspace = Keyspace::new(KeyspaceId(7), vec![filter], 4).expect("a keyspace");
    let policy = Policy {
        home: Home::Region(Label::parse("eu").expect("a label")),
        remote_subscribers: RemoteSubscribers::Deny,
        ..Policy::new(Label::parse("private").expect("a label"), keyspace)
    };
    cluster.set_policies(&Policies::new([policy]).expect("policies"));
    let topic = (0..).map(|n| format!("private/{n}")).find(|topic| cluster.home_of_topic(topic) == 0).expect("one");
    retain(&mut cluster, home, &topic, "second");
    assert_eq!(cluster.broker(1).stats().retained_copies, 0);
    cut_off(&mut cluster, 0);
    assert_eq!(shown(&mut cluster, 1, "private/#"), set([]));
    assert!(shown(&mut cluster, 2, "private/#").contains("second"), "in its region it is");
}

#[test]
fn regions_that_are_cut_apart_show_what_the_other_had_and_catch_up_when_they_are_joined() {
    let mut cluster = Cluster::of(&["eu", "eu", "us", "us"], &[1, 2, 2, 1], Settings::default());
    let publisher = publisher(&mut cluster, 0);
    let topics: Vec<String> = (0..4).map(|node| cluster.topic_at_home(node, 0)).collect();
    topics.iter().for_each(|topic| retain(&mut cluster, publisher, topic, &format!("old-{topic}")));
    let between = [(0, 2), (0, 3), (1, 2), (1, 3)];
    between.iter().for_each(|&(eu, us)| cluster.cut(eu, us));
    cluster.retain(publisher, &topics[1], 0, "new");
    let old: BTreeSet<String> = topics.iter().map(|topic| format!("old-{topic}")).collect();
    let mut new = old.clone();
    new.remove(&format!("old-{}", topics[1]));
    new.insert("new".into());
    for (node, expected) in [(0, &new), (1, &new), (2, &old), (3, &old)] {
        assert_eq!(shown(&mut cluster, node, "t/#"), *expected, "node {node}");
    }
    between.iter().for_each(|&(eu, us)| cluster.mend(eu, us));
    between.iter().for_each(|&(eu, us)| cluster.cut(eu, us));
    for node in 0..4 {
        assert_eq!(shown(&mut cluster, node, "t/#"), new, "node {node}");
    }
}

/// Nodes, links and processes come and go while registers change; then a home is cut off, and everybody shows what it has.
#[test]
fn copies_are_what_their_homes_have_whatever_happened_before() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let workers: Vec<u16> = (0..3).map(|_| rng.u16(1..=3)).collect();
        let mut cluster = Cluster::of(&["eu"; 3], &workers, Settings::default());
        let topics: Vec<(usize, String)> = (0..3)
            .flat_map(|node| (0..6).map(move |nth| (node, nth)))
            .map(|(node, nth)| (node, cluster.topic_at_home(node, nth)))
            .collect();
        let mut registers: BTreeMap<String, String> = BTreeMap::new();
        for step in 0..60 {
            let node = rng.usize(..3);
            match rng.u8(..12) {
                0 => cluster.cut(node, (node + 1) % 3),
                1 => cluster.mend(node, (node + 1) % 3),
                2 => {
                    cluster.crash(node);
                    cluster.mend_all(node);
                }
                3 => {
                    cluster.crash_to_workers(node, rng.u16(1..=3));
                    cluster.mend_all(node);
                }
                4 => {
                    cluster.crash_without_disk(node);
                    topics
                        .iter()
                        .filter(|(home, _)| *home == node)
                        .for_each(|(_, topic)| drop(registers.remove(topic)));
                }
                5 => cluster.stall(node, (node + 1) % 3, true),
                6 => cluster.stall(node, (node + 1) % 3, false),
                _ => {
                    let (home, topic) = &topics[rng.usize(..topics.len())];
                    let client_id = cluster.client_at_home(*home, 0);
                    let (client, _) = cluster.connect(*home, &client_id, true);
                    let payload = if rng.u8(..3) == 0 { String::new() } else { format!("{topic}={step}") };
                    cluster.retain(client, topic, 0, &payload);
                    cluster.hang_up(client);
                    registers.insert(topic.clone(), payload);
                }
            }
        }
        for node in 0..3 {
            cluster.stall(node, (node + 1) % 3, false);
            cluster.cut(node, (node + 1) % 3);
        }
        (0..3).for_each(|node| cluster.mend(node, (node + 1) % 3));
        let home = rng.usize(..3);
        cut_off(&mut cluster, home);
        let expected: BTreeSet<String> = registers.into_values().filter(|payload| !payload.is_empty()).collect();
        for node in (0..3).filter(|&node| node != home) {
            assert_eq!(shown(&mut cluster, node, "t/#"), expected, "seed {seed}: node {node} without {home}");
        }
    }
}

#[test]
fn version_3_clients_are_shown_copies_too() {
    let mut cluster = cluster();
    let publisher = publisher(&mut cluster, 0);
    let topic = cluster.topic_at_home(2, 0);
    retain(&mut cluster, publisher, &topic, "m");
    cut_off(&mut cluster, 2);
    let reader = cluster.begin_connect(1, &broker::connect(Version::V311, "old", true));
    assert!(cluster.take_connack(reader).is_some());
    cluster.begin_subscribe(reader, &topic, QoS::AtLeastOnce);
    cluster.pass_ms(5_100);
    assert!(cluster.take_suback(reader));
    assert_eq!(payload_set(&cluster.read(reader)), set(["m"]));
}
