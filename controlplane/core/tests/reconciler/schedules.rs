//! Many worlds in which everything happens in any order, by seed; and afterwards everything comes to rest.

use std::time::Duration;

use fastrand::Rng;
use sluice_cluster::{Home, Label, NodeId, NodePhase, ReplicaCount};
use sluice_controlplane_core::intent::{self, Match, PolicySpec};
use sluice_topic::{Limits, TopicFilter};

use crate::world::{Fate, World, phase};

/// Unless the environment says another number as `SEEDS`.
const SEEDS: u64 = 40;
const STEPS: usize = 400;
/// Every shard may have to move several times, one step each, few at a time.
const TURNS_MAX: usize = 6_000;

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn policy(random: &mut Rng) -> PolicySpec {
    let (name, filters) =
        [("sessions", ""), ("topics", ""), ("a", "a/#"), ("b", "b/+"), ("c", "a/+")][random.usize(..5)];
    let filter = |text: &str| TopicFilter::parse(text, &Limits::default()).unwrap();
    let filters = if filters.is_empty() { vec![] } else { vec![filter(filters)] };
    let homes = [Home::Anywhere, Home::Region(label("eu")), Home::Region(label("us"))];
    PolicySpec {
        shards: Some(6),
        home: homes[random.usize(..3)].clone(),
        replicas: ReplicaCount::new(random.u8(1..=3)).unwrap(),
        ..PolicySpec::new(label(name), filters)
    }
}

fn operate(world: &mut World, random: &mut Rng) {
    let id = random.u64(1..=5);
    match random.u8(..9) {
        0..=2 => {
            let spec = policy(random);
            world.ask(|view, author| intent::put(view, &spec, Match::Any, author));
        }
        3 => {
            let name = policy(random).name;
            world.ask(|view, author| intent::delete(view, &name, Match::Any, author).map(Some));
        }
        4 => {
            let is_paused = random.bool();
            world.ask(|view, author| intent::pause(view, is_paused, author));
        }
        5 => {
            let number = random.u64(..20);
            world.ask(|view, author| intent::restore(view, number, author));
        }
        6 => drop(phase(world, id, NodePhase::Cordoned)),
        7 => drop(phase(world, id, NodePhase::Draining)),
        _ => drop(phase(world, id, NodePhase::Active)),
    }
}

fn step(world: &mut World, random: &mut Rng) {
    let (replica, node) = (random.usize(..3), random.usize(..5));
    match random.u8(..100) {
        0..=24 => world.deliver(replica),
        25..=44 => {
            world.write(replica, [Fate::Answered, Fate::Answered, Fate::Unanswered, Fate::Lost][random.usize(..4)])
        }
        45..=59 => world.connect(node, replica),
        60..=79 => world.serve(node),
        80..=84 => operate(world, random),
        85..=87 => world.elect(replica, random.bool()),
        88 => world.restart(replica),
        89 => world.disconnect(node),
        90 => world.kill(node),
        91..=92 if !world.nodes[node].is_up => world.nodes[node].restart(),
        93 => world.nodes[node].want(&format!("x/{}", random.u8(..20))),
        94 => world.nodes[node].is_lazy = random.bool(),
        _ => world.pass(Duration::from_millis(random.u64(..2_000))),
    }
    world.advance(replica);
}

#[test]
fn whatever_happens_no_rule_is_broken_and_afterwards_everything_comes_to_rest() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let told = std::panic::catch_unwind(|| {
            let mut random = Rng::with_seed(seed);
            let mut world = World::new(3, [(1, "eu"), (2, "eu"), (3, "eu"), (4, "us"), (5, "us")]);
            (0..STEPS).for_each(|_| step(&mut world, &mut random));
            world.ask(|view, author| intent::pause(view, false, author));
            for at in 0..5 {
                world.nodes[at].is_lazy = false;
                if !world.nodes[at].is_up {
                    world.nodes[at].restart();
                }
            }
            world.settle(TURNS_MAX);
            world.assert_settled();
            let (writes, pushes) = (world.writes, world.pushes);
            (0..400).for_each(|_| world.turn());
            assert_eq!((world.writes, world.pushes), (writes, pushes), "nothing changes: nothing is written or pushed");
        });
        assert!(told.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_world_again() {
    let run = || {
        let mut random = Rng::with_seed(7);
        let mut world = World::new(3, [(1, "eu"), (2, "eu"), (3, "eu"), (4, "us"), (5, "us")]);
        (0..STEPS).for_each(|_| step(&mut world, &mut random));
        (world.store, world.placements)
    };
    assert!(run() == run());
}

#[test]
fn a_node_that_never_comes_back_is_replaced_and_its_table_row_says_so() {
    let mut world = World::new(1, [(1, "eu"), (2, "eu"), (3, "eu"), (4, "eu")]);
    let spec = PolicySpec { replicas: ReplicaCount::new(3).unwrap(), ..PolicySpec::new(label("sessions"), vec![]) };
    world.ask(|view, author| intent::put(view, &spec, Match::Any, author));
    world.settle(TURNS_MAX);
    world.kill(3);
    world.settle(TURNS_MAX);
    world.assert_settled();
    let view = world.view();
    let placement = view.placement().unwrap();
    let sessions = placement.shards().iter().filter(|(key, _)| key.keyspace.0 == 0);
    assert!(sessions.clone().count() == 64 && sessions.clone().all(|(_, of)| !of.voters().contains(&NodeId(4))));
}
