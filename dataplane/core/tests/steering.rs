//! Clients that are told to use another server: MQTT 4.11, by CONNACK (3.2.2.2) and by DISCONNECT (3.14.2.1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod broker;
mod cluster;

use std::collections::BTreeSet;

use cluster::{Client, Cluster, payloads};
use sluice_cluster::{Home, KeyspaceId, Keyspaces, Label, NodePhase, Policies, Policy, Steer, SteerTo};
use sluice_dataplane_core::{Input, Settings, stats::Steered, stats::Unsteered};
use sluice_mqtt::{Connect, QoS, ReasonCode, Version, Will};

/// The policy of sessions.
fn policies(to: SteerTo, transient: bool, home: Home) -> Policies {
    let sessions = Keyspaces::default().keyspace(KeyspaceId::SESSIONS).unwrap().clone();
    let policy = Policy::new(Label::parse("sessions").unwrap(), sessions);
    Policies::new([Policy { steer: Steer { to, transient }, home, ..policy }]).unwrap()
}

/// Three nodes that say where clients find them, and steer them home.
fn steering() -> Cluster {
    let mut cluster = Cluster::new(3, 2);
    cluster.advertise();
    cluster.set_policies(&policies(SteerTo::Home, false, Home::Anywhere));
    cluster
}

fn said(cluster: &mut Cluster, node: usize, connect: &Connect<'_>) -> (ReasonCode, Option<String>) {
    let client = cluster.begin_connect(node, connect);
    let (reason, reference) = cluster.take_reference(client).expect("an answer");
    assert_eq!(cluster.is_open(client), reason == ReasonCode::Success);
    (reason, reference)
}

fn used_another(reference: &str) -> (ReasonCode, Option<String>) {
    (ReasonCode::UseAnotherServer, Some(reference.into()))
}

const SERVED: (ReasonCode, Option<String>) = (ReasonCode::Success, None);

fn counted(cluster: &mut Cluster, node: usize) -> ([u64; Steered::COUNT], [u64; Unsteered::COUNT]) {
    let stats = cluster.broker(node).stats();
    (stats.steered, stats.unsteered)
}

#[test]
fn by_4_11_a_client_is_told_where_its_session_is_and_is_served_there() {
    let mut cluster = steering();
    let name = cluster.client_at_home(1, 0);
    let hello = broker::connect(Version::V5, &name, false);
    assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"));
    assert_eq!(said(&mut cluster, 1, &hello), SERVED);
    assert_eq!(counted(&mut cluster, 1).0[Steered::Home as usize], 1);
    // It has followed: when it comes to another node again, it is told again.
    assert_eq!(said(&mut cluster, 2, &hello), used_another("n1:1883"));
}

#[test]
fn a_client_that_cannot_follow_is_served_when_it_comes_back_wherever_it_comes() {
    let mut cluster = steering();
    let name = cluster.client_at_home(1, 0);
    let hello = broker::connect(Version::V5, &name, false);
    assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"));
    assert_eq!(said(&mut cluster, 2, &hello), SERVED);
    assert_eq!(said(&mut cluster, 0, &hello), SERVED);
    assert_eq!(counted(&mut cluster, 1).1[Unsteered::CameBack as usize], 2);
    cluster.pass_ms(600_000);
    assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"), "it may have learned");
}

#[test]
fn clients_of_version_3_are_served_where_they_come() {
    let mut cluster = steering();
    for (nth, version) in [Version::V31, Version::V311].into_iter().enumerate() {
        let name = cluster.client_at_home(1, nth);
        let client = cluster.begin_connect(0, &broker::connect(version, &name, false));
        assert_eq!(cluster.take_connack(client), Some((ReasonCode::Success, false)), "{version:?}");
        cluster.subscribe(client, "t", QoS::AtLeastOnce);
        let (publisher, _) = cluster.connect(2, "publisher", true);
        cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
        assert_eq!(payloads(&cluster.read(client)), ["m"]);
    }
    assert_eq!(counted(&mut cluster, 1).1[Unsteered::OldProtocol as usize], 2);
}

#[test]
fn transient_sessions_are_steered_only_if_the_policy_says_so() {
    let mut cluster = steering();
    let name = cluster.client_at_home(1, 0);
    let hello = broker::connect(Version::V5, &name, true);
    assert_eq!(said(&mut cluster, 0, &hello), SERVED);
    cluster.set_policies(&policies(SteerTo::Home, true, Home::Anywhere));
    assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"));
    assert_eq!(said(&mut cluster, 0, &hello), SERVED, "it cannot follow");
}

#[test]
fn who_may_not_connect_learns_nothing() {
    let mut cluster = steering();
    let rules =
        "  - {deny: publish, everyone: true, topics: ['secret']}\n  - {allow: all, everyone: true, topics: ['#']}\n";
    let rules = broker::rules(rules);
    (0..3).for_each(|node| cluster.broker(node).tell_all(&Input::Rules(rules.clone())));
    let name = cluster.client_at_home(1, 0);
    let will =
        Will { topic: "secret", payload: b"w", qos: QoS::AtMostOnce, retain: false, properties: Default::default() };
    let hello = broker::connect(Version::V5, &name, false);
    let with_will = Connect { will: Some(will), ..hello };
    assert_eq!(said(&mut cluster, 0, &with_will), (ReasonCode::NotAuthorized, None));
    assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"), "and is not remembered as one who was told");
}

#[test]
fn nobody_is_sent_to_a_node_that_takes_nothing_new_or_cannot_be_reached() {
    let mut cluster = steering();
    let (one, two) = (cluster.client_at_home(1, 0), cluster.client_at_home(1, 1));
    cluster.set_phase(1, NodePhase::Cordoned);
    assert_eq!(said(&mut cluster, 0, &broker::connect(Version::V5, &one, false)), SERVED);
    cluster.set_phase(1, NodePhase::Active);
    cluster.set_policies(&policies(SteerTo::Home, true, Home::Anywhere));
    cluster.cut(0, 1);
    assert_eq!(said(&mut cluster, 0, &broker::connect(Version::V5, &two, true)), SERVED);
    assert_eq!(counted(&mut cluster, 0).1[Unsteered::Unavailable as usize], 1);
}

#[test]
fn into_an_area_go_clients_that_come_from_outside_of_it() {
    let mut cluster = Cluster::with(&["eu", "eu", "us"], 1, Settings::default());
    cluster.advertise();
    let eu = Home::Region(Label::parse("eu").unwrap());
    cluster.set_policies(&policies(SteerTo::Area, false, eu));
    let name = cluster.client_at_home(1, 0);
    let hello = broker::connect(Version::V5, &name, false);
    assert_eq!(said(&mut cluster, 0, &hello), SERVED, "it is in the area");
    assert_eq!(said(&mut cluster, 2, &hello), used_another("n1:1883"));
    let outside = cluster.client_at_home(2, 0);
    assert_eq!(
        said(&mut cluster, 2, &broker::connect(Version::V5, &outside, false)),
        SERVED,
        "its home is not there yet"
    );
}

/// Whether the client was told by DISCONNECT, and where to go.
fn told(cluster: &mut Cluster, client: Client) -> Option<String> {
    let words = cluster.read(client);
    words.iter().find_map(|words| words.strip_prefix("disconnect use_another_server ")).map(str::to_owned)
}

#[test]
fn the_clients_of_a_drained_node_leave_at_the_rate_that_is_set_for_other_nodes_of_the_region() {
    let settings = Settings { drain_per_second: 10, ..Settings::default() };
    let mut cluster = Cluster::with(&["eu", "eu", "eu", "us"], 2, settings);
    cluster.advertise();
    let clients: Vec<Client> = (0..30).map(|n| cluster.connect(0, &format!("c{n}"), true).0).collect();
    let elsewhere = cluster.connect(1, "elsewhere", true).0;
    let old = cluster.begin_connect(0, &broker::connect(Version::V311, "old", true));
    assert!(cluster.take_connack(old).is_some());
    let open = |cluster: &Cluster| clients.iter().chain([&old]).filter(|client| cluster.is_open(**client)).count();
    cluster.set_phase(0, NodePhase::Draining);
    cluster.pass_ms(2_000);
    let left = open(&cluster);
    assert!((8..=23).contains(&left), "{left} of 31 after one to two seconds at 10 a second");
    cluster.pass_ms(4_000);
    assert_eq!(open(&cluster), 0);
    let references: BTreeSet<String> = clients.iter().map(|client| told(&mut cluster, *client).unwrap()).collect();
    let both = BTreeSet::from(["n1:1883 n2:1883", "n2:1883 n1:1883"].map(String::from));
    // The home of its session comes first, wherever it is.
    let near: BTreeSet<String> = references.iter().filter(|text| !text.contains("n3")).cloned().collect();
    assert_eq!(near, both);
    assert!(cluster.is_open(elsewhere));
    assert_eq!(counted(&mut cluster, 0).0[Steered::DrainConnected as usize], 31);
}

#[test]
fn a_drained_node_sends_new_clients_on_and_takes_them_again_when_the_drain_is_called_off() {
    let mut cluster = Cluster::new(2, 2);
    cluster.advertise();
    let here = cluster.client_at_home(0, 0);
    let away = cluster.client_at_home(1, 0);
    cluster.set_phase(0, NodePhase::Draining);
    for name in [&here, &away] {
        for clean_start in [true, false] {
            let hello = broker::connect(Version::V5, name, clean_start);
            assert_eq!(said(&mut cluster, 0, &hello), used_another("n1:1883"), "{name} {clean_start}");
        }
    }
    let old = cluster.begin_connect(0, &broker::connect(Version::V311, "old", true));
    assert_eq!(cluster.take_connack(old).map(|(reason, _)| reason), Some(ReasonCode::ServerUnavailable));
    assert_eq!(said(&mut cluster, 1, &broker::connect(Version::V5, &here, false)), SERVED, "its shard is still here");
    cluster.set_phase(0, NodePhase::Active);
    let (client, _) = cluster.connect(0, &here, false);
    cluster.pass_ms(5_000);
    assert!(cluster.is_open(client));
}

#[test]
fn who_is_connected_to_a_drained_node_leaves_it_wherever_its_session_is_served() {
    let mut cluster = Cluster::new(2, 1);
    cluster.advertise();
    let (passed_on, of_other) = (cluster.client_at_home(1, 0), cluster.client_at_home(0, 0));
    let (leaving, _) = cluster.connect(0, &passed_on, false);
    let (staying, _) = cluster.connect(1, &of_other, false);
    assert_eq!((cluster.served_at(leaving), cluster.served_at(staying)), (1, 0));
    cluster.set_phase(0, NodePhase::Draining);
    cluster.pass_ms(3_000);
    assert_eq!(told(&mut cluster, leaving), Some("n1:1883".into()));
    assert!(cluster.is_open(staying), "its connection is not at the node that is drained");
}

#[test]
fn a_node_keeps_its_clients_while_no_other_can_take_them_and_lets_them_go_when_one_can() {
    let mut cluster = Cluster::new(2, 1);
    cluster.advertise();
    let (client, _) = cluster.connect(0, "c", true);
    cluster.set_phase(1, NodePhase::Cordoned);
    cluster.set_phase(0, NodePhase::Draining);
    cluster.pass_ms(3_000);
    assert!(cluster.is_open(client));
    let name = cluster.client_at_home(0, 0);
    assert_eq!(said(&mut cluster, 0, &broker::connect(Version::V5, &name, false)), SERVED);
    cluster.set_phase(1, NodePhase::Active);
    cluster.pass_ms(3_000);
    assert!(!cluster.is_open(client));
}
