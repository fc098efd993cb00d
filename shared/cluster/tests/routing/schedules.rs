//! Thousands of random schedules.

use std::time::Duration;

use sluice_cluster::interest::Interest;

use crate::world::{NODES, World, filter};

const SEEDS: u64 = 2_000;
const STEPS: usize = 250;

const FILTERS: [&str; 16] = [
    "a",
    "b",
    "a/a",
    "a/b",
    "b/a",
    "a/+",
    "+/a",
    "+/+",
    "a/#",
    "#",
    "+/#",
    "a/b/a",
    "$s/#",
    "$share/g/a/+",
    "$share/g/#",
    "$share/h/a/+",
];

fn step(world: &mut World) {
    let node = NODES[world.rng.usize(0..NODES.len())];
    match world.rng.u32(0..100) {
        0..24 => subscribe(world),
        24..34 => world.transmit(),
        34..70 => (0..3).for_each(|_| world.disturb()),
        70..76 => world.now += Duration::from_millis(world.rng.u64(0..900)),
        76..82 => world.build(),
        82..90 => {
            let old = world.rng.u32(0..4) == 0;
            let age = if old { world.rng.usize(0..6) } else { 0 };
            world.push(node, age);
        }
        90..96 => {
            let unnoticed = world.unnoticed();
            if unnoticed > 0 {
                let at = world.rng.usize(0..unnoticed);
                world.notice(at);
            }
        }
        96..98 => live_or_die(world),
        _ if world.rng.bool() => world.fail_over(),
        _ => {}
    }
    NODES.into_iter().for_each(|observer| world.check_promises(observer));
}

fn subscribe(world: &mut World) {
    let node = NODES[world.rng.usize(0..NODES.len())];
    let filter = filter(FILTERS[world.rng.usize(0..FILTERS.len())]);
    let members = if filter.group.is_some() { world.rng.u32(0..3) } else { 0 };
    let interest = Interest { durable: world.rng.u32(0..4) == 0, members };
    let wanted = world.rng.u32(0..5) < 3;
    world.set(node, &filter, wanted.then_some(interest));
}

fn live_or_die(world: &mut World) {
    let node = NODES[world.rng.usize(0..NODES.len())];
    if world.nodes[&node].alive {
        world.kill(node);
    } else {
        let with_disk = world.rng.bool();
        world.restart(node, with_disk);
    }
}

fn heal(world: &mut World) {
    for node in NODES {
        if !world.nodes[&node].alive {
            world.restart(node, true);
        }
    }
    world.calm();
    world.build();
    NODES.into_iter().for_each(|node| world.push(node, 0));
    world.calm();
    for observer in NODES {
        world.check_promises(observer);
        world.check_exact(observer);
    }
}

fn run(seed: u64) -> Vec<String> {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| step(&mut world));
        heal(&mut world);
        world.trace
    });
    outcome.unwrap_or_else(|_| panic!("seed {seed} failed"))
}

#[test]
fn i24_i28_a_match_names_all_it_has_promised_and_the_truth_once_quiet() {
    (0..SEEDS).for_each(|seed| drop(run(seed)));
}

#[test]
fn i30_the_same_seed_gives_the_same_trace() {
    for seed in [5, 91, 1001] {
        assert_eq!(run(seed), run(seed));
    }
}
