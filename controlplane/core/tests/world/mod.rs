//! A cluster for tests: nodes that do what plans say, as soon or as late as a test wants.

#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it, and a panic names the test")]

use std::collections::BTreeMap;

use sluice_cluster::{
    Home, Keyspace, KeyspaceId, Label, Labels, Liveness, Node, NodeId, NodePhase, Placement, Policies, Policy,
    ReplicaCount, Replicas, ShardId, ShardKey, Spread, Version, Weight,
};
use sluice_controlplane_core::{
    KnownNode, MoveBudget, NodeReport, Plan, PlanInput, Presence, ShardStatus, check, plan,
};
use sluice_topic::{Limits, TopicFilter};

pub(crate) fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub(crate) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn key(keyspace: u16, shard: u16) -> ShardKey {
    ShardKey { keyspace: KeyspaceId(keyspace), shard: ShardId(shard) }
}

pub(crate) fn keyspace(id: u16, filters: &[&str], shards: u16) -> Keyspace {
    Keyspace::new(KeyspaceId(id), filters.iter().map(|text| filter(text)).collect(), shards).unwrap()
}

/// One replica, anywhere, spread over nodes.
pub(crate) fn policy(name: &str, keyspace: Keyspace) -> Policy {
    Policy { spread: Spread::Node, ..Policy::new(label(name), keyspace) }
}

pub(crate) fn replicas(policy: Policy, count: u8) -> Policy {
    Policy { replicas: ReplicaCount::new(count).unwrap(), ..policy }
}

pub(crate) fn in_region(policy: Policy, region: &str) -> Policy {
    Policy { home: Home::Region(label(region)), ..policy }
}

/// A cluster as control sees it.
pub(crate) struct World {
    pub(crate) input: PlanInput,
}

impl World {
    pub(crate) fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let policies = Policies::new(policies).unwrap();
        let budget = MoveBudget { moves_max: 4, incoming_max: 2 };
        Self { input: PlanInput { policies, budget, ..PlanInput::default() } }
    }

    /// Sessions and topics of a few shards each, with as many replicas.
    pub(crate) fn small(sessions: u8, topics: u8) -> Self {
        let sessions = replicas(policy("sessions", keyspace(0, &[], 6)), sessions);
        let topics = replicas(policy("topics", keyspace(1, &[], 6)), topics);
        Self::new([sessions, topics])
    }

    /// Adds an active node with labels as in `region=eu zone=a`.
    pub(crate) fn add(&mut self, id: u64, labels: &str) {
        let pairs = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
        let labels = Labels::new(pairs.map(|(key, value)| (label(key), label(value)))).unwrap();
        let (weight, phase, liveness) = (Weight::default(), NodePhase::Active, Liveness::Live);
        let node = Node { id: NodeId(id), labels, weight, phase, liveness };
        self.input.nodes.insert(NodeId(id), KnownNode { node, report: None });
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.input.nodes.get_mut(&NodeId(id)).unwrap().node
    }

    pub(crate) fn silence(&mut self, id: u64) {
        let since_ms = self.input.now_ms;
        self.node(id).liveness = Liveness::Silent { since_ms };
    }

    /// Lets silent nodes count as dead.
    pub(crate) fn wait_until_dead(&mut self) {
        self.input.now_ms += self.input.dead_after_ms;
    }

    /// Puts entries into the placement as if they had always been there.
    pub(crate) fn place(&mut self, shards: BTreeMap<ShardKey, Replicas>) {
        let keyspaces = self.input.policies.keyspaces().clone();
        self.input.parent = Placement::new(Version::default(), keyspaces, shards).unwrap();
    }

    /// Plans, has the plan checked, and makes it the parent.
    pub(crate) fn step(&mut self) -> Plan {
        let next = plan(&self.input);
        assert_eq!(check(&self.input, &next.placement), Ok(()), "{}", next.report);
        self.input.parent = next.placement.clone();
        next
    }

    /// A node applies the parent placement and reports; its copies are complete or not.
    pub(crate) fn report(&mut self, id: NodeId, is_caught_up: bool, is_empty: bool) {
        if self.input.presence(id) != Presence::Reachable {
            return;
        }
        let parent = &self.input.parent;
        let members = parent.shards().iter().filter(|(_, of)| of.voters().contains(&id) || of.learners().contains(&id));
        let status = |replicas: &Replicas| {
            let has_data = replicas.voters().contains(&id) || is_caught_up;
            ShardStatus { epoch: replicas.epoch(), is_caught_up: has_data, is_empty }
        };
        let shards = members.map(|(key, replicas)| (*key, status(replicas))).collect();
        let applied = parent.version();
        self.input.nodes.get_mut(&id).unwrap().report = Some(NodeReport { applied, shards });
    }

    /// All nodes do at once what the parent placement says.
    pub(crate) fn carry_out(&mut self) {
        for id in self.input.nodes.keys().copied().collect::<Vec<_>>() {
            self.report(id, true, false);
        }
    }

    /// Plans and carries out until nothing changes; at most `rounds_max` times.
    pub(crate) fn settle(&mut self, rounds_max: usize) -> usize {
        for rounds in 0..rounds_max {
            self.carry_out();
            let before = self.input.parent.version();
            if self.step().placement.version() == before {
                return rounds;
            }
        }
        panic!("no fixed point after {rounds_max} plans");
    }

    /// Shards a node will have.
    pub(crate) fn shards_of(&self, id: NodeId) -> usize {
        self.input.parent.shards().values().filter(|of| of.target().any(|node| node == id)).count()
    }
}
