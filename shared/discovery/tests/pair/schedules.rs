//! Thousands of random schedules.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_cluster::{NodeId, Version};
use sluice_discovery::{Down, Name, PerType, ResourceType, Warming};

use crate::world::{Content, World, body, digest, full, in_effect, knows, name, state};

const SEEDS: u64 = 3_000;
const STEPS: usize = 150;

/// A world, what is wanted of it, and what must not go missing.
struct Run {
    world: World,
    wanted: PerType<Content>,
    /// The held versions never go below these.
    seen: PerType<Version>,
    /// Routes that the node has had and that were wanted ever since.
    kept: BTreeSet<Name>,
    /// Nodes whose routes the leader knows.
    reported: BTreeSet<u64>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Self {
            world: World::new(seed),
            wanted: PerType::default(),
            seen: PerType::default(),
            kept: BTreeSet::new(),
            reported: OWNERS.into_iter().collect(),
        };
        for (kind, row) in ResourceType::ALL.into_iter().zip(["n0", "s", "0/r", "p"]) {
            run.wanted.of_mut(kind).insert(name(row), body(if row == "s" { "n0" } else { "1" }));
        }
        run.publish_all();
        run
    }

    fn step(&mut self) {
        match self.world.rng.u32(0..100) {
            0..55 => {
                let span = Duration::from_millis(self.world.rng.u64(0..120));
                self.world.step(span);
            }
            55..75 => self.change(),
            75..80 => self.world.cut(),
            80..86 => self.world.connect(),
            86..89 => self.world.save(),
            89..91 => self.restart(),
            91..94 => self.fail_over(),
            94..97 => self.report(),
            _ => self.intrude(),
        }
        self.check();
    }

    /// The operators, the subscribers or the membership want something else.
    fn change(&mut self) {
        let rng = &mut self.world.rng;
        let kind = ResourceType::ALL[rng.usize(0..4)];
        let row = rng.u32(0..12);
        let value = if rng.u32(0..50) == 0 { "poison".to_owned() } else { rng.u32(0..5).to_string() };
        let add = rng.bool();
        match kind {
            ResourceType::Nodes if add || row == 0 => self.put(kind, &format!("n{row}"), &value),
            ResourceType::Nodes => self.remove_node(&format!("n{row}")),
            ResourceType::Placement => self.place(row),
            ResourceType::Routes if add => self.put(kind, &format!("{}/{row}", row % 3), &value),
            ResourceType::Routes => {
                self.wanted.of_mut(kind).remove(&name(&format!("{}/{row}", row % 3)));
            }
            ResourceType::Policy if add => self.put(kind, &format!("p{row}"), &value),
            ResourceType::Policy => {
                self.wanted.of_mut(kind).remove(&name(&format!("p{row}")));
            }
        }
        let routes = self.wanted.of(ResourceType::Routes);
        self.kept.retain(|route| routes.contains_key(route));
        self.publish_all();
    }

    fn put(&mut self, kind: ResourceType, row: &str, value: &str) {
        self.wanted.of_mut(kind).insert(name(row), body(value));
    }

    fn place(&mut self, row: u32) {
        let nodes: Vec<Name> = self.wanted.of(ResourceType::Nodes).keys().cloned().collect();
        let node = &nodes[self.world.rng.usize(0..nodes.len())];
        self.put(ResourceType::Placement, &format!("s{row}"), node.as_str());
    }

    /// What was placed on a node moves before it goes, as a planner would do it.
    fn remove_node(&mut self, node: &str) {
        let placed = self.wanted.of_mut(ResourceType::Placement).values_mut();
        placed.filter(|on| &***on == node.as_bytes()).for_each(|on| *on = body("n0"));
        self.wanted.of_mut(ResourceType::Nodes).remove(&name(node));
    }

    fn publish_all(&mut self) {
        for kind in ResourceType::ALL {
            let mut content = self.wanted.of(kind).clone();
            let known = |route: &Name| self.reported.contains(&owner(route));
            if kind == ResourceType::Routes {
                content.retain(|route, _| known(route));
                content.insert(name("head"), body("1"));
            }
            self.world.publish(kind, &content);
        }
    }

    fn fail_over(&mut self) {
        let until = self.world.now + Duration::from_secs(3_600);
        self.world.fail_over(Warming::new(OWNERS.map(|owner| (NodeId(owner), until))));
        self.reported.clear();
        self.publish_all();
    }

    fn report(&mut self) {
        let owner = OWNERS[self.world.rng.usize(0..OWNERS.len())];
        self.reported.insert(owner);
        self.publish_all();
        self.world.publisher.warming_mut().on_reported(NodeId(owner));
        self.world.publisher.finish_warming(self.world.now);
        self.world.after_publish();
    }

    fn restart(&mut self) {
        self.world.restart();
        self.seen = PerType::from_fn(|kind| self.world.node.held(kind).version());
        let has = in_effect(&self.world.node, ResourceType::Routes);
        self.kept.retain(|route| has.contains(route));
    }

    /// A push that no sound leader makes.
    fn intrude(&mut self) {
        let kind = ResourceType::ALL[self.world.rng.usize(0..4)];
        let held = self.world.node.held(kind).version();
        if held == Version::ZERO {
            return;
        }
        let mut push = full(kind, Version::new(held.leadership.0, held.counter + 1), &[(name("z"), body("n0"))].into());
        match self.world.rng.u32(0..5) {
            0 => push.version = Version::new(held.leadership.0.saturating_sub(1), held.counter + 1),
            1 => push.upserts.clear(),
            2 => push.digest.0 ^= 1,
            3 => push.base = Some(Version::new(held.leadership.0, held.counter + 7)),
            _ => push.part = 3,
        }
        let before = state(self.world.node.held(kind));
        self.world.inject(Down::Response(push));
        assert_eq!(state(self.world.node.held(kind)), before, "I26: what is refused changes nothing");
    }

    fn check(&mut self) {
        let node = &self.world.node;
        for kind in ResourceType::ALL {
            let held = node.held(kind);
            assert!(held.version() >= *self.seen.of(kind), "I26: {kind:?} went back");
            *self.seen.of_mut(kind) = held.version();
            let content: Content = held.iter().map(|(name, body)| (name.clone(), body.clone())).collect();
            assert_eq!(held.digest(), digest(&content));
            if held.version() != Version::ZERO {
                assert_eq!(self.world.published.get(&(kind, held.version())), Some(&content), "{kind:?}");
            }
        }
        let nodes = node.held(ResourceType::Nodes);
        for (shard, on) in node.held(ResourceType::Placement).iter() {
            assert!(knows(nodes, on), "make before break: {shard} is on a node that has gone");
        }
        let routes = in_effect(node, ResourceType::Routes);
        assert!(self.kept.is_subset(&routes), "a route that is wanted has gone: {:?} {routes:?}", self.kept);
        let wanted = self.wanted.of(ResourceType::Routes);
        self.kept.extend(routes.into_iter().filter(|route| wanted.contains_key(route)));
    }

    /// Faults have healed: everybody has reported, nothing is poison, the network works [I28].
    fn heal(&mut self) {
        for kind in ResourceType::ALL {
            self.wanted.of_mut(kind).values_mut().filter(|body| &***body == b"poison").for_each(|it| *it = body("9"));
        }
        if self.wanted.of(ResourceType::Policy).is_empty() {
            self.put(ResourceType::Policy, "none", "1");
        }
        self.reported = OWNERS.into_iter().collect();
        self.publish_all();
        OWNERS.into_iter().for_each(|owner| self.world.publisher.warming_mut().on_reported(NodeId(owner)));
        self.world.publisher.finish_warming(self.world.now);
        self.world.after_publish();
        let end = self.world.now + Duration::from_secs(20);
        while self.world.now < end {
            if !self.world.is_connected() {
                self.world.connect();
            }
            self.world.step(Duration::from_millis(50));
            self.check();
        }
        for kind in ResourceType::ALL {
            let (_, held, retired) = state(self.world.node.held(kind));
            let mut wanted = self.wanted.of(kind).clone();
            if kind == ResourceType::Routes {
                wanted.insert(name("head"), body("1"));
            }
            assert_eq!((held, retired), (wanted, Content::new()), "I28: both ends agree on {kind:?}");
        }
        assert!(self.world.server().is_current(), "I28: and control knows it");
    }
}

fn owner(route: &Name) -> u64 {
    route.as_str().split('/').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Runs one schedule, and says by its seed which one failed.
fn run(seed: u64) -> Vec<String> {
    let outcome = std::panic::catch_unwind(|| {
        let mut run = Run::new(seed);
        (0..STEPS).for_each(|_| run.step());
        run.heal();
        run.world.trace
    });
    outcome.unwrap_or_else(|_| panic!("seed {seed} failed"))
}

#[test]
fn i26_i28_any_schedule_keeps_the_invariants_and_heals() {
    (0..SEEDS).for_each(|seed| drop(run(seed)));
}

#[test]
fn i30_the_same_seed_gives_the_same_trace() {
    for seed in [3, 77, 1234] {
        assert_eq!(run(seed), run(seed));
    }
}

const OWNERS: [u64; 3] = [0, 1, 2];
