//! What holds for every plan, whatever happened before it.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "that is how a test fails; events that mean nothing pass"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_cluster::{
    Epoch, Home, KeyspaceId, Liveness, NodeId, NodePhase, Policies, Policy, Replicas, ShardKey, Spread, Weight,
};
use sluice_controlplane_core::{Loss, MoveBudget, NodeReport, PlanInput, ShardStatus, plan, rehearse, simulate};
use world::{World, in_region, key, keyspace, label, policy, replicas};

/// What can happen between two plans.
#[derive(Clone, Debug)]
enum Event {
    /// Plans; then the nodes of the mask report, those of the second one with complete copies.
    Plan {
        reporting: u16,
        complete: u16,
    },
    Phase {
        node: u64,
        phase: NodePhase,
    },
    Silence {
        node: u64,
    },
    Wake {
        node: u64,
    },
    WaitUntilDead,
    Join {
        node: u64,
        region: &'static str,
        zone: &'static str,
    },
    Weigh {
        node: u64,
        weight: u16,
    },
    Replicas {
        keyspace: usize,
        count: u8,
    },
    Home {
        keyspace: usize,
        region: Option<&'static str>,
    },
    Spread {
        keyspace: usize,
        is_by_zone: bool,
    },
    RemoveKeyspace,
    Budget {
        moves_max: u32,
        incoming_max: u32,
    },
    GiveUp {
        keyspace: u16,
        shard: u16,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let node = 1..=NODES_MAX;
    let phase = prop_oneof![
        4 => Just(NodePhase::Active),
        1 => Just(NodePhase::Cordoned),
        2 => Just(NodePhase::Draining),
        1 => Just(NodePhase::Gone),
    ];
    let region = prop_oneof![Just("eu"), Just("us")];
    let zone = prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        12 => (any::<u16>(), any::<u16>()).prop_map(|(reporting, complete)| Event::Plan { reporting, complete }),
        12 => Just(Event::Plan { reporting: u16::MAX, complete: u16::MAX }),
        3 => (node.clone(), phase).prop_map(|(node, phase)| Event::Phase { node, phase }),
        2 => node.clone().prop_map(|node| Event::Silence { node }),
        2 => node.clone().prop_map(|node| Event::Wake { node }),
        1 => Just(Event::WaitUntilDead),
        2 => (node.clone(), region.clone(), zone).prop_map(|(node, region, zone)| Event::Join { node, region, zone }),
        1 => (node, 1..400u16).prop_map(|(node, weight)| Event::Weigh { node, weight }),
        2 => (0..3usize, 1..=3u8).prop_map(|(keyspace, count)| Event::Replicas { keyspace, count }),
        1 => (0..3usize, prop::option::of(region)).prop_map(|(keyspace, region)| Event::Home { keyspace, region }),
        1 => (0..3usize, any::<bool>()).prop_map(|(keyspace, is_by_zone)| Event::Spread { keyspace, is_by_zone }),
        1 => Just(Event::RemoveKeyspace),
        1 => (0..6u32, 1..3u32).prop_map(|(moves_max, incoming_max)| Event::Budget { moves_max, incoming_max }),
        1 => (0..3u16, 0..6u16).prop_map(|(keyspace, shard)| Event::GiveUp { keyspace, shard }),
    ]
}

fn start() -> (World, Vec<Policy>) {
    let mut factory = in_region(policy("factory", keyspace(2, &["factory/#"], 4)), "eu");
    factory.fallback = vec![label("us")];
    let policies = vec![
        replicas(policy("sessions", keyspace(0, &[], 6)), 3),
        policy("topics", keyspace(1, &[], 6)),
        replicas(Policy { spread: Spread::Zone, ..factory }, 2),
    ];
    let mut world = World::new(policies.clone());
    for (id, labels) in [(1, "region=eu zone=a"), (2, "region=eu zone=b"), (3, "region=us zone=a"), (4, "region=us")] {
        world.add(id, labels);
    }
    (world, policies)
}

/// Lets an event happen. Plans are checked against each other and by the checker.
fn happen(world: &mut World, policies: &mut Vec<Policy>, event: &Event) {
    let exists = |world: &World, node: u64| world.input.nodes.contains_key(&NodeId(node));
    match *event {
        Event::Plan { reporting, complete } => plan_once(world, reporting, complete),
        Event::Phase { node, phase } if exists(world, node) && world.node(node).phase != NodePhase::Gone => {
            world.node(node).phase = phase;
        }
        Event::Silence { node } if exists(world, node) => world.silence(node),
        Event::Wake { node } if exists(world, node) => world.node(node).liveness = Liveness::Live,
        Event::Weigh { node, weight } if exists(world, node) => world.node(node).weight = Weight::new(weight).unwrap(),
        Event::Join { node, region, zone } if !exists(world, node) => {
            world.add(node, &format!("region={region} zone={zone}"));
        }
        Event::WaitUntilDead => world.wait_until_dead(),
        Event::Budget { moves_max, incoming_max } => world.input.budget = MoveBudget { moves_max, incoming_max },
        Event::GiveUp { keyspace, shard } => {
            let seen = world.input.parent.replicas(key(keyspace, shard)).map(Replicas::epoch);
            world.input.force_recover.extend(seen.map(|epoch| (key(keyspace, shard), epoch)));
        }
        Event::Replicas { keyspace, count } if keyspace < policies.len() => {
            policies[keyspace] = replicas(policies[keyspace].clone(), count);
        }
        Event::Home { keyspace, region } if keyspace < policies.len() => {
            policies[keyspace].home = region.map_or(Home::Anywhere, |region| Home::Region(label(region)));
        }
        Event::Spread { keyspace, is_by_zone } if keyspace < policies.len() => {
            policies[keyspace].spread = if is_by_zone { Spread::Zone } else { Spread::Node };
        }
        Event::RemoveKeyspace => policies.truncate(2),
        _ => {}
    }
    world.input.policies = Policies::new(policies.iter().cloned()).unwrap();
}

/// Any replicas that their type allows, of nodes that exist and of some that do not.
fn entry() -> impl Strategy<Value = Replicas> {
    let nodes = || prop::collection::btree_set((1..=NODES_MAX + 1).prop_map(NodeId), 0..5);
    (nodes(), nodes(), nodes(), 1..5u64).prop_filter_map("no replicas", |(voters, learners, leaving, epoch)| {
        let learners: BTreeSet<_> = learners.difference(&voters).take(2).copied().collect();
        let leaving: BTreeSet<_> = leaving.intersection(&voters).copied().collect();
        Replicas::new(voters, learners, leaving, Epoch(epoch)).ok()
    })
}

/// Nodes report what may or may not be so: epochs of before, of now and of later, copies complete or not.
fn lie(world: &mut World, reports: &[Vec<(u8, bool, bool)>]) {
    let (version, shards) = (world.input.parent.version(), world.input.parent.shards().clone());
    for (known, lies) in world.input.nodes.values_mut().zip(reports) {
        let status = |(replicas, lie): (&Replicas, &(u8, bool, bool))| ShardStatus {
            epoch: Epoch(replicas.epoch().0 + 1 - u64::from(lie.0.min(1)) - u64::from(lie.0 == 2 && lie.1)),
            is_caught_up: lie.1,
            is_empty: lie.2,
        };
        let told = shards.iter().zip(lies.iter().cycle());
        let shards = told.map(|((key, replicas), lie)| (*key, status((replicas, lie)))).collect();
        known.report = Some(NodeReport { applied: version, shards });
    }
}

fn plan_once(world: &mut World, reporting: u16, complete: u16) {
    let before = world.input.parent.clone();
    let next = world.step();
    let again = plan(&world.input);
    assert_eq!(again.report.actions(), 0, "without news nothing moves\n{}then:\n{}", next.report, again.report);
    assert_eq!(again.placement, next.placement);
    for (key, replicas) in before.shards() {
        let after = next.placement.replicas(*key);
        assert!(after.is_none_or(|after| after.epoch() >= replicas.epoch()), "{key}: epochs only grow");
        let is_retired = world.input.policies.of(key.keyspace).is_none();
        assert!(after.is_some() || is_retired, "{key} lost");
    }
    for id in 1..=NODES_MAX {
        if reporting & (1 << id) != 0 && world.input.nodes.contains_key(&NodeId(id)) {
            world.report(NodeId(id), complete & (1 << id) != 0, complete & 1 != 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_every_plan_passes_the_checker_and_without_news_nothing_moves(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let (mut world, mut policies) = start();
        for event in &events {
            happen(&mut world, &mut policies, event);
        }
    }

    #[test]
    fn a_placement_that_no_planner_made_is_planned_on_as_well(
        entries in prop::collection::btree_map((0..4u16, 0..6u16), entry(), 1..16),
        reports in prop::collection::vec(prop::collection::vec((0..3u8, any::<bool>(), any::<bool>()), 16), 8),
        events in prop::collection::vec(event(), 1..12),
    ) {
        let (mut world, mut policies) = start();
        let keys = |(keyspace, shard): (u16, u16)| key(keyspace, shard % 4);
        world.place(entries.into_iter().map(|(of, replicas)| (keys(of), replicas)).collect());
        for event in &events {
            happen(&mut world, &mut policies, event);
            lie(&mut world, &reports);
            world.step();
        }
    }

    #[test]
    fn whatever_happened_planning_comes_to_rest_when_nodes_do_what_they_are_told(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let (mut world, mut policies) = start();
        for event in &events {
            happen(&mut world, &mut policies, event);
        }
        world.input.budget = MoveBudget { moves_max: 3, incoming_max: 1 };
        world.wait_until_dead();
        let rounds = world.settle(500);
        prop_assert!(rounds < 500);
        let input = &world.input;
        for (key, replicas) in input.parent.shards() {
            let sheds = |id: &NodeId| input.nodes.get(id).is_some_and(|known| known.node.phase.sheds_shards());
            let is_stuck = !input.has_quorum(replicas);
            prop_assert!(is_stuck || !replicas.is_moving(), "{} {:?}", key, replicas);
            let home = input.policies.of(key.keyspace).map_or(Home::Anywhere, |policy| policy.home.clone());
            let is_outside = |id: &NodeId| input.nodes.get(id).is_some_and(|known| !home.includes(&known.node));
            let others = takers(input, *key).iter().filter(|id| !replicas.voters().contains(id)).count();
            prop_assert!(is_stuck || others == 0 || !replicas.voters().iter().any(|id| sheds(id) || is_outside(id)), "{} {:?}", key, replicas);
        }
    }

    #[test]
    fn a_simulated_loss_does_to_each_shard_what_the_loss_would_do(
        events in prop::collection::vec(event(), 1..30),
        lost in 1..=NODES_MAX,
    ) {
        let (mut world, mut policies) = start();
        for event in &events {
            happen(&mut world, &mut policies, event);
        }
        let foretold = simulate(&world.input, &Loss::Node(NodeId(lost)));
        let before = world.input.clone();
        if foretold.nodes.contains(&NodeId(lost)) {
            world.silence(lost);
        }
        for (key, replicas) in before.parent.shards() {
            let is_hit = foretold.nodes.iter().any(|id| replicas.voters().contains(id));
            let (could, can) = (before.has_quorum(replicas), world.input.has_quorum(replicas));
            prop_assert_eq!(foretold.stop.contains(key), could && !can, "{}", key);
            prop_assert_eq!(foretold.fail_over.contains(key), is_hit && can, "{}", key);
        }
        let after: BTreeSet<ShardKey> = foretold.repaired.union(&foretold.short).copied().collect();
        prop_assert_eq!(&after, &foretold.fail_over);
        prop_assert!(foretold.repaired.is_disjoint(&foretold.short));
    }

    #[test]
    fn equal_nodes_end_with_equal_shares_from_any_start(
        nodes in 3..9u64,
        count in 1..=3u8,
        homes in prop::collection::vec(prop::collection::btree_set(1..9u64, 1..=3), 12),
    ) {
        let mut world = World::small(count, 1);
        (1..=nodes).for_each(|id| world.add(id, ""));
        let entry = |(shard, nodes): (u16, &BTreeSet<u64>), of: u64| {
            let voters: BTreeSet<NodeId> = nodes.iter().map(|id| NodeId(id % of + 1)).collect();
            (key(shard / 6, shard % 6), Replicas::first(voters).unwrap())
        };
        world.place((0..).zip(&homes).map(|of| entry(of, nodes)).collect());
        world.settle(500);
        let shares: Vec<usize> = (1..=nodes).map(|id| world.shards_of(NodeId(id))).collect();
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{:?}", shares);
        prop_assert_eq!(shares.iter().sum::<usize>(), 6 * usize::from(count) + 6);
    }

    #[test]
    fn a_node_has_shards_for_its_weight(weights in prop::collection::vec(1..500u16, 2..8)) {
        let mut world = World::small(1, 1);
        for (id, weight) in (1..).zip(&weights) {
            world.add(id, "");
            world.node(id).weight = Weight::new(*weight).unwrap();
        }
        world.settle(500);
        for (a, b) in (1..=weights.len() as u64).flat_map(|a| (1..=weights.len() as u64).map(move |b| (a, b))) {
            let (full, other) = (world.shards_of(NodeId(a)), world.shards_of(NodeId(b)));
            let weight = |id: u64| usize::from(weights[id as usize - 1]);
            prop_assert!(full * weight(b) <= (other + 1) * weight(a), "{} and {}: {} and {}", a, b, full, other);
        }
    }

    #[test]
    fn replicas_end_in_different_zones_when_there_are_enough(
        zones in prop::collection::vec(0..4u8, 3..9),
        homes in prop::collection::vec(prop::collection::btree_set(1..3u64, 1..3), 6),
    ) {
        let sessions = Policy { spread: Spread::Zone, ..replicas(policy("sessions", keyspace(0, &[], 6)), 3) };
        let mut world = World::new([sessions, policy("topics", keyspace(1, &[], 6))]);
        (1..).zip(&zones).for_each(|(id, zone)| world.add(id, &format!("zone=z{zone}")));
        let entry = |(shard, nodes): (u16, &BTreeSet<u64>)| {
            (key(0, shard), Replicas::first(nodes.iter().map(|id| NodeId(*id))).unwrap())
        };
        world.place((0..).zip(&homes).map(entry).collect());
        world.settle(500);
        let possible = zones.iter().collect::<BTreeSet<_>>().len().min(3);
        for shard in 0..6 {
            let replicas = world.input.parent.replicas(key(0, shard)).unwrap();
            let used: BTreeSet<u8> = replicas.voters().iter().map(|id| zones[id.0 as usize - 1]).collect();
            prop_assert_eq!((used.len(), replicas.voters().len()), (possible, 3), "{:?}", replicas);
        }
    }

    #[test]
    fn moves_under_way_stay_within_the_budget(moves_max in 1..5u32, incoming_max in 1..3u32, joining in 1..4u64) {
        let mut world = World::small(1, 1);
        world.add(1, "");
        world.settle(10);
        (2..2 + joining).for_each(|id| world.add(id, ""));
        world.input.budget = MoveBudget { moves_max, incoming_max };
        for _ in 0..60 {
            world.carry_out();
            world.step();
            let moving = world.input.parent.shards().values().filter(|of| of.is_moving()).count();
            prop_assert!(moving <= moves_max as usize);
            let mut incoming = BTreeMap::new();
            for id in world.input.parent.shards().values().flat_map(Replicas::learners) {
                *incoming.entry(*id).or_insert(0) += 1;
            }
            prop_assert!(incoming.values().all(|count| *count <= incoming_max));
        }
        prop_assert!((1..2 + joining).all(|id| world.shards_of(NodeId(id)) > 0));
    }
}

#[test]
fn equal_inputs_have_equal_plans_and_a_rehearsal_ends_where_careful_planning_does() {
    let (mut world, _) = start();
    let rehearsed = rehearse(world.input.clone());
    assert!(rehearsed.is_settled);
    assert_eq!(plan(&world.input), plan(&world.input));
    world.settle(100);
    assert_eq!(world.input.parent.shards(), rehearsed.input.parent.shards());
}

/// Nodes of a shard's home that take shards.
fn takers(input: &PlanInput, key: ShardKey) -> Vec<NodeId> {
    let home = input.policies.of(key.keyspace).map_or(Home::Anywhere, |policy| policy.home.clone());
    let nodes = input.nodes.values().map(|known| &known.node);
    nodes
        .filter(|node| node.phase.takes_shards() && node.liveness == Liveness::Live && home.includes(node))
        .map(|node| node.id)
        .collect()
}

#[test]
fn a_keyspace_keeps_its_number_of_shards_whatever_its_policy_says() {
    let mut world = World::small(1, 1);
    world.add(1, "");
    world.settle(5);
    world.input.policies = Policies::new([policy("topics", keyspace(1, &[], 9))]).unwrap();
    let report = world.step().report.to_string();
    assert!(report.contains("keyspace topics has 6 shards and keeps them"), "{report}");
    assert_eq!(world.input.parent.placed_shards(KeyspaceId::TOPICS), 6);
}

const NODES_MAX: u64 = 8;
