//! Three nodes, two replicas of control, three members of etcd: real processes, real TLS and QUIC.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::{collections::BTreeSet, net::SocketAddr};

use sluice_mqtt::{QoS, ReasonCode};
use sluice_tests_e2e::{
    client::Hello,
    cluster::{
        Cluster,
        traffic::{Reader, Writer, payloads, persistent},
    },
};

/// Everything that a cluster does, on one that is started once: starting is the slow part.
#[test]
fn three_nodes_are_one_broker_with_control_and_without() {
    let mut cluster = Cluster::start(3);
    let nodes = cluster.nodes();
    every_qos_crosses_in_order(&nodes);
    wildcards_and_several_nodes(&nodes);
    groups_share_over_all_nodes(&nodes);
    retained_messages_are_seen_everywhere(&nodes);
    a_client_id_is_unique(&nodes);
    sessions_are_found_from_every_node(&nodes);
    clients_write_nothing_to_etcd(&cluster);
    nothing_stops_without_control_and_etcd(&mut cluster);
}

fn every_qos_crosses_in_order(nodes: &[SocketAddr]) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = format!("order/{}", qos as u8);
        let readers: Vec<Reader> = (0..nodes.len())
            .map(|n| Reader::subscribe(nodes[n], &Hello::transient(&format!("r{n}{topic}")), &[&topic], qos))
            .collect();
        let mut writer = Writer::new(nodes[0], "order-writer");
        let sent: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        for payload in &sent {
            let reason = writer.publish(&topic, payload, qos, false).unwrap();
            assert!(reason.is_none_or(|reason| reason == ReasonCode::Success), "{reason:?}");
        }
        for (n, reader) in readers.into_iter().enumerate() {
            assert_eq!(payloads(&reader.read(sent.len())), sent, "QoS {} at node {n}", qos as u8);
        }
    }
}

fn wildcards_and_several_nodes(nodes: &[SocketAddr]) {
    let all = Reader::subscribe(nodes[1], &Hello::transient("all"), &["wild/#"], QoS::AtLeastOnce);
    let one = Reader::subscribe(nodes[2], &Hello::transient("one"), &["wild/+/b", "wild/x/#"], QoS::AtLeastOnce);
    let mut sent = Vec::new();
    for (n, &node) in nodes.iter().enumerate() {
        let mut writer = Writer::new(node, &format!("wild-writer-{n}"));
        for topic in ["wild/a/b", "wild/x/b", "wild/c"] {
            let payload = format!("{n}:{topic}");
            writer.publish(topic, &payload, QoS::AtLeastOnce, false).unwrap();
            sent.push(payload);
        }
    }
    assert_eq!(payloads(&all.read(9)), sent);
    let expected: Vec<String> = sent.iter().filter(|payload| !payload.ends_with("/c")).cloned().collect();
    assert_eq!(payloads(&one.read(6)), expected, "a message that matches twice comes once");
}

fn groups_share_over_all_nodes(nodes: &[SocketAddr]) {
    let members: Vec<Reader> = (0..6)
        .map(|n| {
            let hello = format!("member-{n}");
            Reader::subscribe(nodes[n % nodes.len()], &Hello::transient(&hello), &["$share/g/work"], QoS::AtLeastOnce)
        })
        .collect();
    let mut writer = Writer::new(nodes[0], "group-writer");
    for n in 0..300 {
        writer.publish("work", &n.to_string(), QoS::AtLeastOnce, false).unwrap();
    }
    let taken: Vec<Vec<String>> = members.into_iter().map(|member| payloads(&member.read(50))).collect();
    let all: Vec<&String> = taken.iter().flatten().collect();
    assert_eq!(all.len(), 300, "each message once");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 300, "and all of them");
    assert!(taken.iter().all(|taken| !taken.is_empty()), "every member has its share");
}

fn retained_messages_are_seen_everywhere(nodes: &[SocketAddr]) {
    let mut expected = BTreeSet::new();
    for (n, &node) in nodes.iter().enumerate() {
        let mut writer = Writer::new(node, &format!("retain-writer-{n}"));
        for m in 0..20 {
            let payload = format!("{n}-{m}");
            let reason = writer.publish(&format!("kept/{n}/{m}"), &payload, QoS::AtLeastOnce, true).unwrap();
            assert!(reason.is_some_and(|reason| !reason.is_error()), "{reason:?}");
            expected.insert(payload);
        }
    }
    for (n, &node) in nodes.iter().enumerate() {
        let reader = Reader::subscribe(node, &Hello::transient(&format!("kept-{n}")), &["kept/#"], QoS::AtLeastOnce);
        let got: BTreeSet<String> = payloads(&reader.read(expected.len())).into_iter().collect();
        assert_eq!(got, expected, "at node {n}");
    }
}

fn a_client_id_is_unique(nodes: &[SocketAddr]) {
    let mut before = Reader::resume(nodes[0], &Hello::transient("unique"));
    for &node in nodes.iter().cycle().skip(1).take(6) {
        let next = Reader::resume(node, &Hello::transient("unique"));
        let gone = (0..200).any(|_| before.read_some().is_err());
        assert!(gone, "whoever came before is told to go");
        before = next;
    }
}

fn sessions_are_found_from_every_node(nodes: &[SocketAddr]) {
    let names: Vec<String> = (0..9).map(|n| format!("kept-session-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let topic = format!("to/{name}");
        let reader = Reader::subscribe(nodes[n % 3], &persistent(name), &[&topic], QoS::ExactlyOnce);
        drop(reader);
    }
    let mut writer = Writer::new(nodes[1], "session-writer");
    for name in &names {
        for payload in ["a", "b"] {
            let reason = writer.publish(&format!("to/{name}"), payload, QoS::ExactlyOnce, false).unwrap();
            assert_eq!(reason, Some(ReasonCode::Success), "{name}");
        }
    }
    for (n, name) in names.iter().enumerate() {
        let reader = Reader::resume(nodes[(n + 1) % 3], &persistent(name));
        assert!(reader.session_present(), "{name}");
        assert_eq!(payloads(&reader.read(2)), ["a", "b"], "{name}");
    }
}

fn clients_write_nothing_to_etcd(cluster: &Cluster) {
    let nodes = cluster.nodes();
    let before = cluster.settled_revision();
    for n in 0..1_000 {
        let node = nodes[n % nodes.len()];
        let name = format!("counted-{n}");
        let hello = if n % 2 == 0 { persistent(&name) } else { Hello::transient(&name) };
        drop(Reader::subscribe(node, &hello, &[&format!("counted/{n}/#")], QoS::AtLeastOnce));
        let mut writer = Writer::new(node, &format!("counted-writer-{n}"));
        writer.publish(&format!("counted/{n}"), "r", QoS::AtLeastOnce, true).unwrap();
    }
    assert_eq!(cluster.etcd_revision() - before, 0, "writes to etcd");
}

fn nothing_stops_without_control_and_etcd(cluster: &mut Cluster) {
    let nodes = cluster.nodes();
    let early = Reader::subscribe(nodes[2], &persistent("early"), &["static/#"], QoS::AtLeastOnce);
    cluster.kill_control_and_etcd();
    let mut writer = Writer::new(nodes[0], "static-writer");
    let late = Reader::subscribe(nodes[1], &Hello::transient("late"), &["static/#"], QoS::AtLeastOnce);
    for n in 0..50 {
        let reason = writer.publish("static/1", &n.to_string(), QoS::AtLeastOnce, false).unwrap();
        assert_eq!(reason, Some(ReasonCode::Success));
    }
    let mut taken = Reader::resume(nodes[1], &Hello::transient("taken"));
    let taker = Reader::resume(nodes[0], &Hello::transient("taken"));
    assert!((0..200).any(|_| taken.read_some().is_err()), "takeovers go on");
    drop(taker);
    // A node that is restarted meanwhile comes back with what it knew.
    cluster.restart_node(1);
    let again = Reader::subscribe(nodes[1], &Hello::transient("again"), &["static/#"], QoS::AtLeastOnce);
    for n in 50..100 {
        let reason = writer.publish("static/1", &n.to_string(), QoS::AtLeastOnce, false).unwrap();
        assert_eq!(reason, Some(ReasonCode::Success));
    }
    let expected = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(payloads(&late.read(50)), expected(0..50), "until its node was killed");
    assert_eq!(payloads(&again.read(50)), expected(50..100));
    assert_eq!(payloads(&early.read(100)), expected(0..100));
    cluster.start_control_and_etcd();
    let after = Reader::subscribe(nodes[2], &Hello::transient("after"), &["static/#"], QoS::AtLeastOnce);
    writer.publish("static/1", "after", QoS::AtLeastOnce, false).unwrap();
    assert_eq!(payloads(&after.read(1)), ["after"]);
}
