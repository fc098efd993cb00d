//! That the checker catches bad plans: each is planted in a cluster that is well, and must be refused for the right reason.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod world;

use std::collections::BTreeMap;

use sluice_cluster::{
    Epoch, KeyspaceId, Keyspaces, NodeId, NodePhase, Placement, Policies, Policy, Replicas, ReplicasError, ShardId,
    ShardKey, Spread, Version,
};
use sluice_controlplane_core::{PlanInput, Violation, check};
use world::{World, in_region, key, keyspace, policy, replicas};

type Shards = BTreeMap<ShardKey, Replicas>;

/// Three zones in eu with a node each and a second one in zone a; one node in us. Sessions have three replicas in zones,
/// topics one, those of `k2` live in eu. All is at rest.
fn world() -> World {
    let mut world = World::new(policies());
    for (id, labels) in [
        (1, "region=eu zone=a"),
        (2, "region=eu zone=b"),
        (3, "region=eu zone=c"),
        (4, "region=eu zone=a"),
        (5, "region=us zone=a"),
    ] {
        world.add(id, labels);
    }
    let shards = [
        (SESSION, Replicas::first([1, 2, 3].map(NodeId))),
        (TOPIC, Replicas::first([NodeId(1)])),
        (FACTORY, Replicas::first([NodeId(2)])),
        // Topic shard 2 is on its way from node 2 to node 3, and sessions 1 from node 3 to node 4.
        (COPYING, of(&[2], &[3], &[2], 2)),
        (LEAVING, of(&[1, 2, 3, 5], &[], &[1], 4)),
    ];
    world.place(shards.into_iter().map(|(key, replicas)| (key, replicas.unwrap())).collect());
    world.carry_out();
    world
}

fn policies() -> Vec<Policy> {
    let sessions = replicas(policy("sessions", keyspace(0, &[], 2)), 3);
    vec![
        Policy { spread: Spread::Zone, ..sessions },
        policy("topics", keyspace(1, &[], 3)),
        in_region(policy("factory", keyspace(2, &["factory/#"], 1)), "eu"),
    ]
}

fn of(voters: &[u64], learners: &[u64], leaving: &[u64], epoch: u64) -> Result<Replicas, ReplicasError> {
    let ids = |numbers: &[u64]| numbers.iter().map(|&id| NodeId(id)).collect::<Vec<_>>();
    Replicas::new(ids(voters), ids(learners), ids(leaving), Epoch(epoch))
}

/// The next placement, with one entry changed.
fn changed(input: &PlanInput, key: ShardKey, replicas: Result<Replicas, ReplicasError>) -> Placement {
    edited(input, |shards| {
        shards.insert(key, replicas.unwrap());
    })
}

fn edited(input: &PlanInput, edit: impl FnOnce(&mut Shards)) -> Placement {
    let mut shards = input.parent.shards().clone();
    edit(&mut shards);
    let version = input.parent.version().next(input.leadership);
    Placement::new(version, input.parent.keyspaces().clone(), shards).unwrap()
}

fn violations(input: &PlanInput, new: &Placement) -> Vec<Violation> {
    check(input, new).err().unwrap_or_default()
}

#[test]
fn good_steps_pass() {
    let world = world();
    for (name, key, replicas) in [
        ("nothing changes", TOPIC, of(&[1], &[], &[], 1)),
        ("a copy begins", TOPIC, of(&[1], &[4], &[1], 2)),
        ("a learner that has caught up votes", COPYING, of(&[2, 3], &[], &[2], 3)),
        ("a copy is given up", COPYING, of(&[2], &[], &[], 3)),
        ("who was to leave leaves", LEAVING, of(&[2, 3, 5], &[], &[], 5)),
    ] {
        assert_eq!(violations(&world.input, &changed(&world.input, key, replicas)), [], "{name}");
    }
}

/// A bad plan: what is planted, and what the checker has to say about it.
type Planted = (&'static str, fn(&mut World) -> Placement, Violation);

#[test]
fn every_planted_bad_plan_is_refused_for_its_reason() {
    let steps = [steps(), epochs_and_losses(), facts(), decisions(), starts_and_ends(), places(), wholes()];
    for (name, plant, expected) in steps.into_iter().flatten() {
        let mut world = world();
        let new = plant(&mut world);
        let found = violations(&world.input, &new);
        assert!(found.contains(&expected), "{name}: {found:?} lacks {expected:?}");
    }
}

/// Steps that no shard may take, whatever the nodes report.
fn steps() -> Vec<Planted> {
    vec![
        (
            "two copies at once",
            |world| changed(&world.input, SESSION, of(&[1, 2, 3], &[4, 5], &[], 2)),
            Violation::Steps { key: SESSION },
        ),
        (
            "a voter replaced at once",
            |world| changed(&world.input, SESSION, of(&[1, 2, 4], &[], &[], 2)),
            Violation::Steps { key: SESSION },
        ),
        (
            "a voter without having been a learner",
            |world| changed(&world.input, TOPIC, of(&[1, 4], &[], &[1], 2)),
            Violation::Unready { key: TOPIC, node: NodeId(4) },
        ),
        (
            "the only voter replaced by an empty one",
            |world| changed(&world.input, TOPIC, of(&[4], &[], &[], 2)),
            Violation::Apart { key: TOPIC },
        ),
        (
            "two voters of three replaced",
            |world| changed(&world.input, SESSION, of(&[1, 4, 5], &[], &[], 2)),
            Violation::Apart { key: SESSION },
        ),
        (
            "a voter becomes a learner",
            |world| changed(&world.input, SESSION, of(&[1, 2], &[3], &[], 2)),
            Violation::Steps { key: SESSION },
        ),
        (
            "a learner votes and the old voter goes in one",
            |world| changed(&world.input, COPYING, of(&[3], &[], &[], 3)),
            Violation::Steps { key: COPYING },
        ),
    ]
}

/// Epochs that are wrong, and shards that lose what they need.
fn epochs_and_losses() -> Vec<Planted> {
    vec![
        (
            "a change without an epoch",
            |world| changed(&world.input, TOPIC, of(&[1], &[4], &[1], 1)),
            Violation::Epoch { key: TOPIC, before: Epoch(1), after: Epoch(1) },
        ),
        (
            "an epoch without a change",
            |world| changed(&world.input, TOPIC, of(&[1], &[], &[], 2)),
            Violation::Epoch { key: TOPIC, before: Epoch(1), after: Epoch(2) },
        ),
        (
            "an epoch that leaps",
            |world| changed(&world.input, TOPIC, of(&[1], &[4], &[1], 3)),
            Violation::Epoch { key: TOPIC, before: Epoch(1), after: Epoch(3) },
        ),
        (
            "an epoch that falls",
            |world| changed(&world.input, COPYING, of(&[2, 3], &[], &[2], 1)),
            Violation::Epoch { key: COPYING, before: Epoch(2), after: Epoch(1) },
        ),
        (
            "a replica that the policy wants is taken away",
            |world| changed(&world.input, SESSION, of(&[1, 2], &[], &[], 2)),
            Violation::Needed { key: SESSION },
        ),
        (
            "a replica that the policy wants is to leave",
            |world| changed(&world.input, SESSION, of(&[1, 2, 3], &[], &[3], 1)),
            Violation::Needed { key: SESSION },
        ),
        (
            "a shard with data is forgotten",
            |world| edited(&world.input, |shards| drop(shards.remove(&TOPIC))),
            Violation::Lost { key: TOPIC },
        ),
        (
            "a new shard begins with another epoch",
            |world| changed(&world.input, NEW, of(&[1], &[], &[], 2)),
            Violation::Epoch { key: NEW, before: Epoch(0), after: Epoch(2) },
        ),
        (
            "a new shard begins with a learner",
            |world| changed(&world.input, NEW, of(&[1], &[2], &[], 1)),
            Violation::Steps { key: NEW },
        ),
    ]
}

/// Steps that would be good if the nodes reported something else.
fn facts() -> Vec<Planted> {
    vec![
        (
            "a learner votes that has not caught up",
            |world| {
                world.report(NodeId(3), false, false);
                changed(&world.input, COPYING, of(&[2, 3], &[], &[2], 3))
            },
            Violation::Unready { key: COPYING, node: NodeId(3) },
        ),
        (
            "a learner votes whose node is away",
            |world| {
                world.silence(3);
                changed(&world.input, COPYING, of(&[2, 3], &[], &[2], 3))
            },
            Violation::Unready { key: COPYING, node: NodeId(3) },
        ),
        (
            "a voter goes while one that stays is away",
            |world| {
                world.silence(5);
                changed(&world.input, LEAVING, of(&[2, 3, 5], &[], &[], 5))
            },
            Violation::TooEarly { key: LEAVING, node: NodeId(1) },
        ),
        (
            "a voter goes before every node knows",
            |world| {
                let report = world.input.nodes.get_mut(&NodeId(4)).and_then(|known| known.report.as_mut()).unwrap();
                world.input.parent = bumped(&world.input.parent);
                assert!(report.applied < world.input.parent.version());
                changed(&world.input, LEAVING, of(&[2, 3, 5], &[], &[], 5))
            },
            Violation::Unannounced { key: LEAVING, node: NodeId(1) },
        ),
    ]
}

/// Steps that nobody could decide on.
fn decisions() -> Vec<Planted> {
    vec![
        (
            "a change on a change that is not in force",
            |world| {
                world.input.parent = changed(&world.input, SESSION, of(&[1, 2, 3], &[4], &[1], 2));
                changed(&world.input, SESSION, of(&[1, 2, 3], &[], &[], 3))
            },
            Violation::Unsettled { key: SESSION },
        ),
        (
            "a change while a majority is away",
            |world| {
                world.silence(1);
                world.silence(2);
                changed(&world.input, SESSION, of(&[1, 2, 3], &[4], &[1], 2))
            },
            Violation::Unsettled { key: SESSION },
        ),
        (
            "a voter goes that was needed to decide",
            |world| {
                world.silence(2);
                world.silence(5);
                changed(&world.input, SESSION, of(&[2, 3], &[], &[], 2))
            },
            Violation::Stalled { key: SESSION },
        ),
    ]
}

/// New starts that nobody allowed, and data that is taken away.
fn starts_and_ends() -> Vec<Planted> {
    vec![
        (
            "a new start while the voters can decide",
            |world| {
                world.input.force_recover.insert(SESSION, Epoch(1));
                changed(&world.input, SESSION, of(&[1], &[], &[], 2))
            },
            Violation::Steps { key: SESSION },
        ),
        (
            "a new start without the data that is left",
            |world| {
                world.input.force_recover.insert(SESSION, Epoch(1));
                world.silence(1);
                world.silence(2);
                changed(&world.input, SESSION, of(&[4], &[], &[], 2))
            },
            Violation::Forced { key: SESSION },
        ),
        (
            "a new start with a copy under way",
            |world| {
                world.input.force_recover.insert(SESSION, Epoch(1));
                world.silence(1);
                world.silence(2);
                changed(&world.input, SESSION, of(&[3], &[4], &[], 2))
            },
            Violation::Steps { key: SESSION },
        ),
        (
            "a new start from a placement that is out of date",
            |world| {
                world.input.force_recover.insert(SESSION, Epoch(1));
                world.silence(1);
                world.silence(2);
                let report = world.input.nodes.get_mut(&NodeId(3)).and_then(|known| known.report.as_mut()).unwrap();
                report.shards.get_mut(&SESSION).unwrap().epoch = Epoch(5);
                changed(&world.input, SESSION, of(&[3], &[], &[], 2))
            },
            Violation::Unsettled { key: SESSION },
        ),
        (
            "a voter goes before its successor votes",
            |world| {
                world.input.parent = changed(&world.input, SESSION, of(&[1, 2, 3], &[4], &[1], 2));
                world.carry_out();
                changed(&world.input, SESSION, of(&[2, 3], &[4], &[], 3))
            },
            Violation::Needed { key: SESSION },
        ),
        (
            "a keyspace is gone and its shard is not empty",
            |world| {
                world.input.policies = Policies::new(policies().into_iter().take(2)).unwrap();
                edited(&world.input, |shards| drop(shards.remove(&FACTORY)))
            },
            Violation::Lost { key: FACTORY },
        ),
    ]
}

/// Shards that are brought where they must not be.
fn places() -> Vec<Planted> {
    vec![
        (
            "out of the home",
            |world| changed(&world.input, FACTORY, of(&[2], &[5], &[2], 2)),
            Violation::Misplaced { key: FACTORY, node: NodeId(5) },
        ),
        (
            "to a node that drains",
            |world| {
                world.node(4).phase = NodePhase::Draining;
                changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2))
            },
            Violation::NoTaker { key: TOPIC, node: NodeId(4) },
        ),
        (
            "to a node that is cordoned",
            |world| {
                world.node(4).phase = NodePhase::Cordoned;
                changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2))
            },
            Violation::NoTaker { key: TOPIC, node: NodeId(4) },
        ),
        (
            "to a node that is away",
            |world| {
                world.silence(4);
                changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2))
            },
            Violation::NoTaker { key: TOPIC, node: NodeId(4) },
        ),
        (
            "to a node that nobody knows",
            |world| changed(&world.input, TOPIC, of(&[1], &[9], &[1], 2)),
            Violation::NoTaker { key: TOPIC, node: NodeId(9) },
        ),
        (
            "a new shard on a node that nobody knows",
            |world| changed(&world.input, NEW, of(&[9], &[], &[], 1)),
            Violation::NoTaker { key: NEW, node: NodeId(9) },
        ),
        (
            "a zone used twice without need",
            |world| changed(&world.input, SESSION, of(&[1, 2, 3], &[4], &[2], 2)),
            Violation::Crowded { key: SESSION },
        ),
    ]
}

/// What is wrong with the placement as a whole.
fn wholes() -> Vec<Planted> {
    vec![
        (
            "too many moves",
            |world| {
                world.input.budget.moves_max = 2;
                changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2))
            },
            Violation::Budget { moves: 3, max: 2 },
        ),
        (
            "a move during a pause",
            |world| {
                world.input.budget.moves_max = 0;
                changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2))
            },
            Violation::Budget { moves: 3, max: 0 },
        ),
        (
            "too many moves to one node",
            |world| {
                world.input.budget.incoming_max = 1;
                changed(&world.input, TOPIC, of(&[1], &[3], &[1], 2))
            },
            Violation::Incoming { node: NodeId(3), moves: 2, max: 1 },
        ),
        (
            "a change without a version",
            |world| {
                let new = changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2));
                Placement::new(world.input.parent.version(), new.keyspaces().clone(), new.shards().clone()).unwrap()
            },
            Violation::Version { parent: Version::default(), new: Version::default() },
        ),
        (
            "a version of an earlier leader",
            |world| {
                world.input.leadership = Epoch(3);
                let version = Version { leadership: Epoch(2), counter: 1 };
                let new = changed(&world.input, TOPIC, of(&[1], &[4], &[1], 2));
                Placement::new(version, new.keyspaces().clone(), new.shards().clone()).unwrap()
            },
            Violation::Version { parent: Version::default(), new: Version { leadership: Epoch(2), counter: 1 } },
        ),
        (
            "a keyspace with another number of shards",
            |world| {
                let keyspaces = world.input.parent.keyspaces().resized(KeyspaceId::TOPICS, 8).unwrap();
                let version = world.input.parent.version().next(Epoch(0));
                Placement::new(version, keyspaces, world.input.parent.shards().clone()).unwrap()
            },
            Violation::Keyspace { id: KeyspaceId::TOPICS },
        ),
        (
            "a keyspace that no policy has",
            |world| {
                let all = world.input.parent.keyspaces().iter().cloned().chain([keyspace(3, &["x"], 1)]);
                let keyspaces = Keyspaces::new(all).unwrap();
                let version = world.input.parent.version().next(Epoch(0));
                Placement::new(version, keyspaces, world.input.parent.shards().clone()).unwrap()
            },
            Violation::Keyspace { id: KeyspaceId(3) },
        ),
        (
            "a shard of a keyspace that is none",
            |world| changed(&world.input, key(7, 0), of(&[1], &[], &[], 1)),
            Violation::Keyspace { id: KeyspaceId(7) },
        ),
    ]
}

fn bumped(placement: &Placement) -> Placement {
    let version = placement.version().next(Epoch(0));
    Placement::new(version, placement.keyspaces().clone(), placement.shards().clone()).unwrap()
}

const SESSION: ShardKey = shard(0, 0);
const LEAVING: ShardKey = shard(0, 1);
const TOPIC: ShardKey = shard(1, 0);
const NEW: ShardKey = shard(1, 1);
const COPYING: ShardKey = shard(1, 2);
const FACTORY: ShardKey = shard(2, 0);

const fn shard(keyspace: u16, shard: u16) -> ShardKey {
    ShardKey { keyspace: KeyspaceId(keyspace), shard: ShardId(shard) }
}
