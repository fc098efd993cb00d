//! MQTT 4.11, Server redirection: CONNACK (3.2.2.2) and DISCONNECT (3.14.2.1) with 0x9C and a Server Reference
//! (3.2.2.3.16, 3.14.2.2.5).

use sluice_cluster::{Keyspaces, Label, Labels, Liveness, Policy, Weight};

use super::*;

const ME: NodeId = NodeId(1);

/// A node of a region, with an address of plain TCP.
fn node(id: u64, region: &str, phase: NodePhase, liveness: Liveness) -> (NodeId, Node) {
    let region = (Label::parse("region").unwrap(), Label::parse(region).unwrap());
    let labels = Labels::new([region]).unwrap();
    (NodeId(id), Node { id: NodeId(id), labels, weight: Weight::default(), phase, liveness })
}

fn active(id: u64, region: &str) -> (NodeId, Node) {
    node(id, region, NodePhase::Active, Liveness::Live)
}

fn policies(steer: Steer, home: Area) -> Policies {
    let keyspaces = Keyspaces::default();
    let sessions = keyspaces.keyspace(KeyspaceId::SESSIONS).unwrap().clone();
    let policy = Policy::new(Label::parse("sessions").unwrap(), sessions);
    Policies::new([Policy { steer, home, ..policy }]).unwrap()
}

fn steering(steer: Steer, home: Area, nodes: &[(NodeId, Node)]) -> Steering {
    let nodes: BTreeMap<NodeId, Node> = nodes.iter().cloned().collect();
    let of = |id: &NodeId| [format!("n{}:1883", id.0), format!("mqtts://n{}:8883", id.0)];
    let parsed = |id: &NodeId| of(id).iter().map(|text| text.parse().unwrap()).collect();
    let addresses = nodes.keys().map(|id| (*id, parsed(id))).collect();
    Steering::new(ME, &policies(steer, home), &nodes, &addresses)
}

const HOME: Steer = Steer { to: SteerTo::Home, transient: false };
const AREA: Steer = Steer { to: SteerTo::Area, transient: false };

fn comer(home: Home) -> Comer<'static> {
    let carrier = Some(Carrier::Tcp);
    Comer { client_id: "c", version: Version::V5, is_transient: false, carrier, via: None, home }
}

fn reach(nodes: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(NodeId).collect()
}

fn go(reference: &str, cause: Steered) -> Decision {
    Decision::Go { reference: reference.to_owned(), cause }
}

fn eu() -> Area {
    Area::Region(Label::parse("eu").unwrap())
}

#[test]
fn by_default_a_client_is_served_where_it_comes() {
    let table = steering(Steer::default(), Area::Anywhere, &[active(1, "eu"), active(2, "eu")]);
    assert_eq!(table.decide(&reach([2]), &comer(Home::Away(NodeId(2)))), Decision::Serve);
    assert_eq!(Steering::default().decide(&reach([]), &comer(Home::Here)), Decision::Serve);
}

#[test]
fn a_client_of_version_5_is_sent_to_the_home_of_its_session_by_the_address_for_what_it_came_by() {
    let table = steering(HOME, Area::Anywhere, &[active(1, "eu"), active(2, "us")]);
    let away = comer(Home::Away(NodeId(2)));
    assert_eq!(table.decide(&reach([2]), &away), go("n2:1883", Steered::Home));
    let by_tls = Comer { carrier: Some(Carrier::Tls), ..away };
    assert_eq!(table.decide(&reach([2]), &by_tls), go("n2:8883", Steered::Home));
    for carrier in [Some(Carrier::Ws), Some(Carrier::Wss), None] {
        let decision = table.decide(&reach([2]), &Comer { carrier, ..away });
        assert_eq!(decision, Decision::Stay(Unsteered::NoAddress), "{carrier:?}");
    }
    assert_eq!(table.decide(&reach([2]), &comer(Home::Here)), Decision::Serve);
}

#[test]
fn a_home_sends_those_to_itself_whose_bytes_another_node_passes_on() {
    let table = steering(HOME, Area::Anywhere, &[active(1, "eu"), active(2, "us")]);
    let passed_on = Comer { via: Some(NodeId(2)), ..comer(Home::Here) };
    assert_eq!(table.decide(&reach([2]), &passed_on), go("n1:1883", Steered::Home));
}

#[test]
fn clients_that_cannot_be_told_or_that_the_policy_leaves_alone_are_served() {
    let table = steering(HOME, Area::Anywhere, &[active(1, "eu"), active(2, "us")]);
    let away = comer(Home::Away(NodeId(2)));
    for version in [Version::V31, Version::V311] {
        let decision = table.decide(&reach([2]), &Comer { version, ..away });
        assert_eq!(decision, Decision::Stay(Unsteered::OldProtocol));
    }
    let transient = Comer { is_transient: true, ..away };
    assert_eq!(table.decide(&reach([2]), &transient), Decision::Stay(Unsteered::Transient));
    let all = steering(Steer { transient: true, ..HOME }, Area::Anywhere, &[active(1, "eu"), active(2, "us")]);
    assert_eq!(all.decide(&reach([2]), &transient), go("n2:1883", Steered::Home));
}

#[test]
fn nobody_is_sent_to_a_node_that_is_down_or_out_of_reach_or_takes_nothing_new() {
    let away = comer(Home::Away(NodeId(2)));
    let silent = Liveness::Silent { since_ms: 7 };
    let phases = [NodePhase::Joining, NodePhase::Cordoned, NodePhase::Draining, NodePhase::Gone];
    let targets = phases.map(|phase| node(2, "eu", phase, Liveness::Live));
    for target in targets.into_iter().chain([node(2, "eu", NodePhase::Active, silent)]) {
        let table = steering(HOME, Area::Anywhere, &[active(1, "eu"), target.clone()]);
        assert_eq!(table.decide(&reach([2]), &away), Decision::Stay(Unsteered::Unavailable), "{target:?}");
    }
    let table = steering(HOME, Area::Anywhere, &[active(1, "eu"), active(2, "eu")]);
    assert_eq!(table.decide(&reach([]), &away), Decision::Stay(Unsteered::Unavailable));
    assert_eq!(table.decide(&reach([]), &comer(Home::Unreachable)), Decision::Stay(Unsteered::Unavailable));
    let drained =
        steering(HOME, Area::Anywhere, &[node(1, "eu", NodePhase::Cordoned, Liveness::Live), active(2, "eu")]);
    let passed_on = Comer { via: Some(NodeId(2)), ..comer(Home::Here) };
    assert_eq!(drained.decide(&reach([2]), &passed_on), Decision::Stay(Unsteered::Unavailable), "not to itself either");
}

#[test]
fn into_an_area_go_those_that_come_from_outside_and_only_to_a_home_that_is_in_it() {
    let nodes = [active(1, "us"), active(2, "eu"), active(3, "eu"), active(4, "us")];
    let table = steering(AREA, eu(), &nodes);
    let all = reach([2, 3, 4]);
    assert_eq!(table.decide(&all, &comer(Home::Away(NodeId(2)))), go("n2:1883", Steered::Area));
    let stays = Decision::Stay(Unsteered::Unavailable);
    assert_eq!(table.decide(&all, &comer(Home::Away(NodeId(4)))), stays, "its home has not moved there yet");
    let passed_on = Comer { via: Some(NodeId(3)), ..comer(Home::Away(NodeId(2))) };
    assert_eq!(table.decide(&all, &passed_on), Decision::Serve, "it is in the area");
}

#[test]
fn who_comes_to_a_drained_node_is_sent_to_its_home_or_to_others_of_the_region_in_turns() {
    let draining = node(1, "eu", NodePhase::Draining, Liveness::Live);
    let cordoned = node(4, "eu", NodePhase::Cordoned, Liveness::Live);
    let nodes = [draining, active(2, "eu"), active(3, "eu"), cordoned, active(5, "us")];
    let table = steering(Steer::default(), Area::Anywhere, &nodes);
    let all = reach([2, 3, 4, 5]);
    let at = |home| Comer { ..comer(home) };
    let to = |decision: Decision| {
        let Decision::Go { reference, cause: Steered::DrainConnect } = &decision else { panic!("{decision:?}") };
        reference.clone()
    };
    assert_eq!(to(table.decide(&all, &at(Home::Away(NodeId(5))))).split(' ').next(), Some("n5:1883"));
    let mut first = BTreeMap::new();
    for n in 0..100 {
        let client_id = format!("c{n}");
        let reference = to(table.decide(&all, &Comer { client_id: &client_id, ..at(Home::Here) }));
        let parts: BTreeSet<&str> = reference.split(' ').collect();
        assert_eq!(parts, BTreeSet::from(["n2:1883", "n3:1883"]));
        *first.entry(reference.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(first.values().all(|count| *count > 25), "{first:?}");
    let old = Comer { version: Version::V311, ..at(Home::Here) };
    assert!(!to(table.decide(&all, &old)).is_empty(), "it cannot be told, but must go as well");
    assert_eq!(to(table.decide(&reach([5]), &at(Home::Here))), "n5:1883", "of another region when there is no other");
    let by_socket = Comer { carrier: None, ..at(Home::Here) };
    assert_eq!(to(table.decide(&all, &by_socket)), "");
}

#[test]
fn a_drained_node_keeps_its_clients_while_nobody_else_can_take_them() {
    let draining = |id| node(id, "eu", NodePhase::Draining, Liveness::Live);
    let table = steering(Steer::default(), Area::Anywhere, &[draining(1), draining(2), active(3, "eu")]);
    assert_eq!(table.decide(&reach([2]), &comer(Home::Here)), Decision::Serve);
    assert!(!table.is_left(ME, &reach([2])) && table.is_left(ME, &reach([2, 3])));
    assert!(table.is_left(NodeId(2), &reach([2, 3])) && !table.is_left(NodeId(3), &reach([2, 3])));
}

#[test]
fn who_comes_back_is_served_for_a_while_and_who_has_followed_may_be_told_again() {
    let mut pointed = Pointed::new(7);
    assert_eq!(pointed.point(0, "c"), Ok(()));
    assert_eq!(pointed.point(POINTED_MS - 1, "c"), Err(Unsteered::CameBack));
    assert_eq!(pointed.point(POINTED_MS, "c"), Ok(()));
    pointed.arrived("c");
    assert_eq!(pointed.point(POINTED_MS + 1, "c"), Ok(()));
    assert_eq!(pointed.point(POINTED_MS + 2, "c"), Err(Unsteered::CameBack));
}

#[test]
fn the_memory_of_who_was_told_is_bounded_and_nobody_is_told_who_would_not_be_remembered() {
    let mut pointed = Pointed::new(7);
    for n in 0..POINTED_MAX + 5 {
        let said = pointed.point(n as u64 % 2, &n.to_string());
        assert_eq!(said.is_ok(), n < POINTED_MAX, "{n}");
    }
    assert_eq!(pointed.point(1, "0"), Err(Unsteered::CameBack));
    // One that goes to and fro leaves its old places until they are due.
    let mut one = Pointed::new(7);
    for _ in 0..2 * POINTED_MAX {
        let _ = one.point(0, "c");
        one.arrived("c");
    }
    assert_eq!((one.due.len(), one.point(0, "c")), (POINTED_MAX, Err(Unsteered::TooMany)));
    assert_eq!(one.point(POINTED_MS, "c"), Ok(()));
    assert_eq!((one.due.len(), one.until_ms.len()), (1, 1));
}
