//! Cases that have names.

use std::time::Duration;

use sluice_cluster::{Epoch, Label, NodeId, NodePhase, Version};
use sluice_controlplane_core::{
    intent::{self, Match, PolicySpec, Refusal},
    ledger::{Revision, Transaction},
    reconciler::{Alarm, NodeEvent, Office, StoreEvent, Versions, Witness},
    record::{Leadership, NodeRecord, Record, RecordKey, ReplicaId},
    view::Reading,
};
use sluice_topic::{Limits, TopicFilter};

use crate::world::{Fate, World, phase, reading};

const TURNS_MAX: usize = 3_000;

fn settled(nodes: &[(u64, &'static str)]) -> World {
    let mut world = World::new(2, nodes.iter().copied());
    world.settle(TURNS_MAX);
    world.assert_settled();
    world
}

fn alarms(world: &World, nth: usize) -> Vec<&'static str> {
    world.replicas[nth].machine.alarms().iter().map(Alarm::code).collect()
}

fn epoch(world: &World) -> u64 {
    world.view().leadership().map_or(0, |leadership| leadership.epoch.0)
}

#[test]
fn a_new_leader_publishes_no_routes_before_every_live_node_has_reported() {
    let mut world = settled(&[(1, "eu"), (2, "eu"), (3, "us")]);
    world.elect(1, true);
    world.write(1, Fate::Answered);
    world.deliver(1);
    assert!(matches!(world.replicas[1].machine.office(), Office::Leading { .. }));
    let before: Vec<_> = world.nodes.iter().map(|node| node.routes.clone().unwrap().digest()).collect();
    for at in [0, 1] {
        world.connect(at, 1);
        (0..4).for_each(|_| world.serve(at));
    }
    world.pass(Duration::from_secs(20));
    world.advance(1);
    world.serve(0);
    assert_eq!(world.replicas[1].machine.routes().count(), 0, "node 3 has not said what it wants");
    assert_eq!(world.replicas[1].machine.warming().collect::<Vec<_>>(), [NodeId(3)]);
    world.pass(Duration::from_secs(20));
    world.advance(1);
    assert_eq!(world.replicas[1].machine.routes().count(), 2, "it had its time");
    world.settle(TURNS_MAX);
    world.assert_settled();
    let after: Vec<_> = world.nodes.iter().map(|node| node.routes.clone().unwrap().digest()).collect();
    assert_eq!(before, after);
}

#[test]
fn nothing_of_a_leader_that_does_not_know_that_it_is_none_is_taken() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.deliver(0);
    assert!(world.replicas[0].commit.is_some(), "it wants to move shards");
    world.elect(1, false);
    world.write(1, Fate::Answered);
    world.deliver(1);
    let before = world.view().placement_version();
    world.write(0, Fate::Answered);
    assert_eq!(world.view().placement_version(), before, "its write expects its own leadership");
    world.deliver(0);
    assert_eq!(world.replicas[0].machine.office(), Office::Following, "and now it knows");
    assert!(!world.replicas[0].has_lease);
    world.settle(TURNS_MAX);
    world.assert_settled();
}

#[test]
fn a_placement_that_was_planned_before_a_node_was_cordoned_is_not_written() {
    let mut world = settled(&[(1, "eu"), (2, "eu"), (3, "eu")]);
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.deliver(0);
    assert!(world.replicas[0].commit.is_some(), "it wants to move shards to nodes 2 and 3");
    assert!(phase(&mut world, 2, NodePhase::Cordoned));
    let before = world.view().placement_version();
    world.write(0, Fate::Answered);
    assert_eq!(world.view().placement_version(), before);
    world.settle(TURNS_MAX);
    world.assert_settled();
}

#[test]
fn a_store_restored_from_a_backup_is_noticed_by_whoever_watched_and_by_what_its_disk_says() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let backup = world.store.clone();
    // Time goes on: another leader, other moves.
    world.elect(1, true);
    world.settle(TURNS_MAX);
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.settle(TURNS_MAX);
    let held = world.nodes[1].placement.clone();
    world.restore(backup.clone());
    let writes = world.writes;
    world.deliver(1);
    assert!(alarms(&world, 1).contains(&"store.went_back"), "it watched");
    world.restart(0);
    world.elect(0, true);
    (0..50).for_each(|_| world.turn());
    assert!(alarms(&world, 0).contains(&"store.went_back"), "its disk says so");
    assert_eq!((world.writes, &world.nodes[1].placement), (writes, &held), "nothing is written or pushed");
}

#[test]
fn nodes_that_start_together_share_the_first_placement() {
    let mut world = World::new(1, [(1, "eu"), (2, "eu"), (3, "eu")]);
    world.settle(TURNS_MAX);
    let placement = world.view().placement().unwrap().clone();
    let homes =
        |id: u64| placement.shards().values().filter(|replicas| replicas.voters().contains(&NodeId(id))).count();
    assert!((1..=3).all(|id| homes(id) > 40), "{} {} {}", homes(1), homes(2), homes(3));
}

#[test]
fn a_store_restored_while_nobody_watched_is_noticed_though_its_leadership_is_the_last_one() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let backup = world.store.clone();
    assert!(phase(&mut world, 1, NodePhase::Cordoned));
    world.settle(TURNS_MAX);
    let held = world.nodes[1].held;
    world.restore(backup);
    world.restart(1);
    world.restart(0);
    world.elect(0, true);
    (0..50).for_each(|_| world.turn());
    assert!(alarms(&world, 0).contains(&"store.went_back"));
    assert_eq!(world.nodes[1].held, held, "nothing was pushed");
}

#[test]
fn a_replica_that_knows_nothing_learns_from_the_nodes_that_the_store_is_an_old_one() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let backup = world.store.clone();
    for nth in [1, 0, 1, 0] {
        world.elect(nth, true);
        world.settle(TURNS_MAX);
    }
    assert!(epoch(&world) >= 5);
    let held = world.nodes[0].held;
    world.restore(backup);
    let mut fresh = World::new(1, []);
    std::mem::swap(&mut fresh.store, &mut world.store);
    std::mem::swap(&mut fresh.nodes, &mut world.nodes);
    fresh.now = world.now;
    fresh.nodes.iter_mut().for_each(|node| node.stream = None);
    (0..50).for_each(|_| fresh.turn());
    assert!(alarms(&fresh, 0).contains(&"store.went_back"));
    assert_eq!(fresh.nodes[0].held, held, "nothing was pushed");
    // An operator decides that this store is the one to go on with.
    let above = fresh.replicas[0].machine.witness().epoch_above();
    assert!(fresh.ask(|view, _| intent::accept_store(view, above).map(Some)));
    fresh.settle(TURNS_MAX);
    assert!(!alarms(&fresh, 0).contains(&"store.went_back") && fresh.nodes[0].held != held);
    fresh.assert_settled();
}

#[test]
fn a_node_that_holds_more_than_was_published_under_this_epoch_stops_everything() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let (now, ahead) = (world.now, Version::new(epoch(&world), 9_999));
    world.replicas[0].machine.on_node(NodeId(1), NodeEvent::Ahead(ahead), now);
    world.advance(0);
    assert!(alarms(&world, 0).contains(&"store.went_back"));
}

#[test]
fn a_placement_that_cannot_be_read_is_not_an_empty_one() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let key = RecordKey::Shards(sluice_cluster::KeyspaceId::SESSIONS);
    let found = Err("torn".to_owned());
    let broken = Reading { raw_key: format!("{key:?}"), key: Some(key.clone()), found };
    let revision = world.store.revision();
    world.replicas[0].machine.on_store(StoreEvent::Changed { revision, readings: vec![broken] });
    assert!(phase(&mut world, 1, NodePhase::Draining));
    let writes = world.writes;
    (0..100).for_each(|_| world.turn());
    assert_eq!((world.writes, alarms(&world, 0)), (writes, vec!["store.broken"]));
    let held = world.nodes[0].placement.clone().unwrap();
    assert!(!held.shards().is_empty(), "nodes keep what they have");
    // Somebody repairs it.
    let repaired = reading(&key, world.store.entry(&key).cloned());
    world.replicas[0].machine.on_store(StoreEvent::Changed { revision, readings: vec![repaired] });
    world.settle(TURNS_MAX);
    assert!(alarms(&world, 0).is_empty() && world.writes > writes);
}

#[test]
fn a_key_of_a_later_version_is_told_and_stops_nothing() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let unknown = Reading { raw_key: "v1/state/new".into(), key: None, found: Err("not known".into()) };
    let revision = world.store.revision();
    world.replicas[0].machine.on_store(StoreEvent::Changed { revision, readings: vec![unknown] });
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.settle(TURNS_MAX);
    world.assert_settled();
    assert_eq!(alarms(&world, 0), ["store.broken"]);
}

#[test]
fn a_drained_node_is_emptied_and_removed_and_never_let_in_again() {
    let mut world = settled(&[(1, "eu"), (2, "eu"), (3, "eu")]);
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.settle(TURNS_MAX);
    let input = world.replicas[0].machine.plan_input().unwrap();
    assert_eq!(intent::drain_progress(&input, NodeId(1)), 0);
    assert!(world.ask(|view, author| intent::remove(view, &input, NodeId(1), false, author).map(Some)));
    world.settle(TURNS_MAX);
    assert_eq!(world.nodes[0].stream, None, "its stream was closed");
    world.connect(0, 0);
    world.advance(0);
    assert_eq!(world.nodes[0].stream, None, "and is not taken again");
    let members = world.nodes[1].members.clone().unwrap();
    assert!(members.iter().all(|member| member.node.id != NodeId(1)));
    assert!(world.nodes[1].routes.as_ref().unwrap().positions().get(&NodeId(1)).is_none());
}

#[test]
fn a_lost_node_is_given_up_its_shards_begin_anew_and_the_note_about_it_goes() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    world.kill(0);
    world.settle(TURNS_MAX);
    let input = world.replicas[0].machine.plan_input().unwrap();
    let refused = intent::Author { by: Label::parse("anna").unwrap(), at_ms: 1 };
    let refused = intent::remove(&world.view(), &input, NodeId(1), false, &refused);
    assert!(matches!(refused, Err(Refusal::NotEmpty { .. })));
    assert!(world.ask(|view, author| intent::remove(view, &input, NodeId(1), true, author).map(Some)));
    assert!(!world.view().given_up().is_empty());
    world.settle(TURNS_MAX);
    let view = world.view();
    let placement = view.placement().unwrap();
    assert!(placement.shards().values().all(|of| of.voters().iter().eq([&NodeId(2)])));
    assert!(view.given_up().is_empty());
}

#[test]
fn while_it_is_paused_nothing_new_moves() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    assert!(world.ask(|view, author| intent::pause(view, true, author)));
    assert!(phase(&mut world, 1, NodePhase::Draining));
    let before = world.view().placement_version();
    world.settle(TURNS_MAX);
    assert_eq!(world.view().placement_version(), before);
    assert!(world.ask(|view, author| intent::pause(view, false, author)));
    world.settle(TURNS_MAX);
    assert!(world.view().placement_version() > before);
}

#[test]
fn a_plan_larger_than_a_transaction_is_written_in_parts_that_are_plans_themselves() {
    let mut world = World::new(1, [(1, "eu")]);
    let filter = |text: String| TopicFilter::parse(&text, &Limits::default()).unwrap();
    for number in 0..200 {
        let name = Label::parse(&format!("p{number}")).unwrap();
        let spec = PolicySpec { shards: Some(2), ..PolicySpec::new(name, vec![filter(format!("t/{number}"))]) };
        assert!(world.ask(|view, author| intent::put(view, &spec, Match::Any, author)));
    }
    world.settle(TURNS_MAX);
    let view = world.view();
    assert_eq!(view.placement().unwrap().shards().len(), 200 * 2 + 2 * 64);
    assert!(world.placements.len() >= 4, "in {} parts", world.placements.len());
}

#[test]
fn routes_are_built_at_most_once_in_the_time_that_was_set() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let mut builds = 0;
    for number in 0..100 {
        world.nodes[0].want(&format!("x/{number}"));
        world.serve(0);
        let before = world.nodes[0].held;
        world.serve(0);
        builds += usize::from(world.nodes[0].held != before);
        world.pass(Duration::from_millis(10));
    }
    // A second of changes every 10 ms, builds every 200 ms and the 50 ms that they took.
    assert!((2..=6).contains(&builds), "{builds} builds");
}

#[test]
fn a_replica_with_an_earlier_life_of_the_same_name_writes_an_epoch_of_its_own() {
    let mut world = settled(&[(1, "eu")]);
    let before = epoch(&world);
    world.restart(0);
    world.settle(TURNS_MAX);
    assert_eq!(epoch(&world), before + 1);
}

#[test]
fn a_leader_without_the_store_that_hears_of_its_successor_may_lead_again() {
    for is_restarted in [false, true] {
        let mut world = settled(&[(1, "eu"), (2, "eu")]);
        world.elect(1, false);
        world.write(1, Fate::Answered);
        world.deliver(1);
        let successor = Version { leadership: Epoch(epoch(&world)), counter: 1 };
        let (held, now) = (Versions::from_fn(|_| successor), world.clock().now);
        world.replicas[0].machine.on_node(NodeId(1), NodeEvent::Holds(held), now);
        assert!(alarms(&world, 0).contains(&"store.went_back"), "it has not seen such a leadership in the store");
        if is_restarted {
            world.restart(0);
        }
        world.deliver(0);
        world.elect(0, true);
        world.settle(TURNS_MAX);
        world.assert_settled();
        assert!(alarms(&world, 0).is_empty() && epoch(&world) > successor.leadership.0);
    }
}

#[test]
fn a_node_that_says_the_same_again_is_no_write_and_one_that_moved_is() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let writes = world.writes;
    world.disconnect(0);
    world.nodes[0].restart();
    world.settle(TURNS_MAX);
    assert_eq!(world.writes, writes);
    world.disconnect(0);
    world.nodes[0].region = "us";
    world.nodes[0].routes = None;
    world.settle(TURNS_MAX);
    assert!(world.writes > writes);
    world.assert_settled();
}

#[test]
fn what_a_witness_keeps_is_what_it_was() {
    let witness = Witness::restored(Epoch(4), Epoch(2), Revision(7));
    assert_eq!((witness.epoch(), witness.barrier(), witness.epoch_above()), (Epoch(4), Epoch(2), Epoch(5)));
}

#[test]
fn a_replica_that_loses_its_lease_and_has_it_back_leads_under_a_new_epoch() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    let before = epoch(&world);
    world.lose_lease(0);
    world.elect(0, true);
    world.replicas[0].machine.on_store(StoreEvent::Resumed);
    assert_eq!(
        world.replicas[0].machine.office(),
        Office::Elected,
        "what it counted under its last epoch is forgotten"
    );
    world.settle(TURNS_MAX);
    world.assert_settled();
    assert!(epoch(&world) > before && alarms(&world, 0).is_empty());
}

#[test]
fn a_record_of_somebody_elses_leadership_makes_a_leader_resign() {
    let mut world = settled(&[(1, "eu")]);
    let stranger = ReplicaId { name: Label::parse("x").unwrap(), life: 99 };
    let leadership = Leadership { epoch: Epoch(epoch(&world) + 1), leader: stranger };
    world.store.commit(&Transaction::new().put(RecordKey::Leadership, Record::Leadership(leadership))).unwrap();
    world.deliver(0);
    assert!(world.replicas[0].machine.office() == Office::Following && !world.replicas[0].has_lease);
}

#[test]
fn a_node_that_has_been_gone_for_a_month_is_forgotten() {
    let mut world = settled(&[(1, "eu"), (2, "eu")]);
    assert!(phase(&mut world, 1, NodePhase::Draining));
    world.settle(TURNS_MAX);
    let input = world.replicas[0].machine.plan_input().unwrap();
    assert!(world.ask(|view, author| intent::remove(view, &input, NodeId(1), false, author).map(Some)));
    world.kill(0);
    world.settle(TURNS_MAX);
    assert!(world.view().node(NodeId(1)).is_some_and(NodeRecord::is_gone));
    world.pass(Duration::from_secs(31 * 24 * 3600));
    world.settle(TURNS_MAX);
    assert_eq!(world.view().node(NodeId(1)), None);
    assert!(world.store.revision() > Revision(1));
}
