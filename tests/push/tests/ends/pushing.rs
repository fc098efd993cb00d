//! Tables come to nodes, and stay there.

use std::{sync::Arc, time::Duration};

use sluice_cluster::interest::{Incarnation, InterestFrame, Stream};
use sluice_cluster::routing::{Matched, RoutingTable, Target};
use sluice_cluster::{KeyspaceId, Load, NodeId, Report};
use sluice_discovery::{Refusal, ResourceType};
use sluice_tests_push::{Control, Replica, TestNode, eventually, tables};

fn joined(control: &Control, replica: &Replica) -> TestNode {
    TestNode::join(&[replica.address()], &control.token()).unwrap()
}

fn publish_all(control: &Control, node: NodeId) {
    control.publish(ResourceType::Nodes, tables::nodes(&[node, NodeId(7)]));
    control.publish(ResourceType::Placement, tables::placement(&[(0, node, 1), (63, NodeId(7), 1)]));
    control.publish(ResourceType::Routes, tables::routes(NodeId(7), &["a/+", "b", "$share/g/c"]));
    control.publish(ResourceType::Policy, tables::policies("x/#"));
}

fn has_all(node: &TestNode) -> bool {
    let seen = node.seen();
    seen.nodes.is_some() && seen.placement.is_some() && seen.routes.is_some() && seen.policies.is_some()
}

fn check_all(node: &TestNode) {
    let seen = node.seen();
    assert!(seen.nodes.as_ref().unwrap().1.contains_key(&NodeId(7)));
    assert_eq!(seen.placement.as_ref().unwrap().shards().len(), 2);
    assert!(seen.policies.as_ref().unwrap().1.of(KeyspaceId(2)).is_some());
    let limits = sluice_cluster::interest::InterestLimits::default();
    let mut table = RoutingTable::new(node.id(), "".into(), Incarnation(1), &limits);
    table.install(Arc::clone(seen.routes.as_ref().unwrap()), Duration::ZERO).unwrap();
    let mut matched = Matched::default();
    table.find("a/1", &mut matched);
    assert_eq!(matched.targets(), [(Target::Node(NodeId(7)), false)]);
}

#[test]
fn all_four_types_reach_a_node_and_reports_reach_control() {
    let control = Control::new();
    let replica = control.start();
    let mut node = joined(&control, &replica);
    publish_all(&control, node.id());
    node.start(&[replica.address()]);
    eventually("the node has all tables", || has_all(&node));
    check_all(&node);
    eventually("control knows it", || control.are_current(&[node.id()]));
    assert_eq!(control.registration(node.id()).unwrap().process.workers, 2);

    let load = Load { connections: 5, ..Load::default() };
    node.report(Report::Load(load.clone()));
    eventually("the report is there", || control.reports(node.id()) == [Report::Load(load.clone())]);
    let ask = InterestFrame::Ask { stream: Stream { receiver: Incarnation(3), number: 1 }, have: None };
    control.send_interest(node.id(), ask.clone());
    eventually("the question is there", || node.seen().interest == [ask.clone()]);

    let handed = node.seen().handed;
    control.publish(ResourceType::Routes, tables::routes(NodeId(7), &["a/+", "d"]));
    eventually("the new routes are there", || node.seen().routes.as_ref().unwrap().len() == 2);
    assert_eq!(node.seen().handed, handed + 1, "what has not changed is not handed over again");
}

#[test]
fn what_a_node_refuses_changes_nothing_there_and_control_sees_why() {
    let control = Control::new();
    let replica = control.start();
    let mut node = joined(&control, &replica);
    publish_all(&control, node.id());
    node.start(&[replica.address()]);
    eventually("the node is current", || control.are_current(&[node.id()]));

    node.seen().refuse_nodes = Some("too few".into());
    let bad = control.publish(ResourceType::Nodes, tables::nodes(&[NodeId(7)]));
    let refusal = |kind| control.status(node.id()).unwrap().types.of(kind).refused.clone();
    eventually("control sees the refusal", || refusal(ResourceType::Nodes).is_some());
    assert_eq!(refusal(ResourceType::Nodes), Some((bad, Some(Refusal::Invalid("too few".into())))));
    assert_eq!(node.seen().nodes.as_ref().unwrap().1.len(), 2);

    control.publish(ResourceType::Placement, tables::placement(&[(0, node.id(), 1)]));
    eventually("a lost shard is refused by itself", || refusal(ResourceType::Placement).is_some());
    let lost = Refusal::Invalid("shard sessions/63 would lose its replicas".into());
    assert_eq!(refusal(ResourceType::Placement).unwrap().1, Some(lost));
    assert_eq!(node.status().refused.of(ResourceType::Nodes).as_ref().unwrap().version, bad);

    node.seen().refuse_nodes = None;
    control.publish(ResourceType::Nodes, tables::nodes(&[node.id(), NodeId(7), NodeId(8)]));
    eventually("a good table is taken", || node.seen().nodes.as_ref().unwrap().1.len() == 3);
}

#[test]
fn a_node_that_starts_without_control_has_the_tables_it_had() {
    let control = Control::new();
    let replica = control.start();
    let mut node = joined(&control, &replica);
    publish_all(&control, node.id());
    node.start(&[replica.address()]);
    eventually("the node is current", || control.are_current(&[node.id()]));
    let endpoint = replica.address();
    control.stop(replica);
    node.stop();
    assert!(!has_all(&node));
    node.start(&[endpoint]);
    assert!(has_all(&node), "they are there before anything is dialled");
    check_all(&node);
}

#[test]
fn when_control_comes_back_nothing_is_sent_again() {
    let control = Control::new();
    let replica = control.start();
    let mut node = joined(&control, &replica);
    publish_all(&control, node.id());
    node.start(&[replica.address()]);
    eventually("the node is current", || control.are_current(&[node.id()]) && has_all(&node));
    let (address, handed) = (replica.socket(), node.seen().handed);
    control.stop(replica);
    control.change_leader(2);
    eventually("the node notices", || node.status().connected.is_none());
    let _replica = control.start_at(address);
    eventually("the node has the new leader's versions", || control.are_current(&[node.id()]));
    eventually("the routes carry the new version", || node.seen().routes.as_ref().unwrap().version().leadership.0 == 2);
    // Placement and routes carry their versions and are handed over with the new ones; the rest is what it was.
    assert_eq!(node.seen().handed, handed + 2);
    let status = control.status(node.id()).unwrap();
    assert!(ResourceType::ALL.iter().all(|kind| status.types.of(*kind).diverged == 0));
}

#[test]
fn a_node_goes_to_another_replica_when_its_own_dies_and_to_the_leader_when_it_is_told() {
    let control = Control::new();
    let (one, two) = (control.start(), control.start());
    let mut node = joined(&control, &one);
    publish_all(&control, node.id());
    node.start(&[one.address(), two.address()]);
    eventually("the node is connected", || node.status().connected.is_some());
    let at_one = node.status().connected == Some(one.address());
    let (dies, stays) = if at_one { (one, two) } else { (two, one) };
    control.stop(dies);
    eventually("the node is at the other", || node.status().connected == Some(stays.address()));

    let hidden = control.start();
    control.lead(&hidden);
    let mut other = joined(&control, &stays);
    other.start(&[stays.address()]);
    eventually("a node is sent to the leader", || other.status().connected == Some(hidden.address()));
}

#[test]
fn a_hundred_nodes_are_served_at_once() {
    let control = Control::new();
    let replica = control.start();
    publish_all(&control, NodeId(6));
    let mut nodes: Vec<TestNode> = (0..100).map(|_| joined(&control, &replica)).collect();
    nodes.iter_mut().for_each(|node| node.start(&[replica.address()]));
    let ids: Vec<NodeId> = nodes.iter().map(TestNode::id).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    eventually("all are current", || control.are_current(&ids));
    control.publish(ResourceType::Nodes, tables::nodes(&ids));
    eventually("all have the next table", || control.are_current(&ids));
    eventually("all were handed it", || {
        nodes.iter().all(|node| node.seen().nodes.as_ref().is_some_and(|(_, nodes)| nodes.len() == 100))
    });
    assert_eq!(control.connections(), 100, "nobody had to come twice");
}

#[test]
fn a_second_stream_of_a_node_ends_the_first() {
    let control = Control::new();
    let replica = control.start();
    let mut node = joined(&control, &replica);
    publish_all(&control, node.id());
    node.start(&[replica.address()]);
    eventually("the node is current", || control.are_current(&[node.id()]));
    let before = control.connections();
    node.start_twin(&[replica.address()]);
    eventually("the first stream is over", || {
        control.gone().iter().any(|reason| reason == "this stream was ended in favour of another")
    });
    eventually("the second is let in", || control.connections() > before);
}
