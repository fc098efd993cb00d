//! What the lines of a script mean.

use sluice_cluster::{
    Home, KeyspaceId, Label, Labels, Liveness, NodeId, NodePhase, Policies, Policy, RemoteSubscribers, Replicas,
    Selector, ShardKey, Spread, Weight,
};
use sluice_controlplane_core::{Loss, MoveBudget, SuggestionBounds, Traffic, diff, rehearse, simulate, suggest};

use crate::world::{World, filter, key, keyspace, label, policy, replicas};

/// A cluster that lines change.
pub(crate) struct Script {
    world: World,
    policies: Vec<Policy>,
    traffic: Traffic,
}

impl Default for Script {
    fn default() -> Self {
        Self { world: World::new([]), policies: Vec::new(), traffic: Traffic::default() }
    }
}

impl Script {
    /// Does what a line says, and returns what came of it.
    pub(crate) fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["policy", name, id, shards, options @ ..] => self.set_policy(name, id, shards, options),
            ["remove-policy", name] => self.remove_policy(name),
            ["node", id, labels @ ..] => self.world.add(number(id), &labels.join(" ")),
            ["phase", id, phase] => self.world.node(number(id)).phase = phase_of(phase),
            ["weight", id, weight] => {
                self.world.node(number(id)).weight = Weight::new(weight.parse().unwrap()).unwrap()
            }
            ["silence", id] => self.world.silence(number(id)),
            ["wake", id] => self.world.node(number(id)).liveness = Liveness::Live,
            ["wait-until-dead"] => self.world.wait_until_dead(),
            ["budget", moves, incoming] => {
                let (moves_max, incoming_max) = (moves.parse().unwrap(), incoming.parse().unwrap());
                self.world.input.budget = MoveBudget { moves_max, incoming_max };
            }
            ["give-up", shard] => {
                let key = shard_key(shard);
                let epoch = self.world.input.parent.replicas(key).unwrap().epoch();
                self.world.input.force_recover.insert(key, epoch);
            }
            ["place", shard, nodes] => self.place(shard, nodes),
            ["traffic", prefix, regions @ ..] => self.add_traffic(prefix, regions),
            ["report"] => self.world.carry_out(),
            ["report", ids @ ..] => ids.iter().for_each(|id| self.world.report(NodeId(number(id)), true, false)),
            ["report-copying", id] => self.world.report(NodeId(number(id)), false, false),
            ["report-empty"] => {
                let ids: Vec<NodeId> = self.world.input.nodes.keys().copied().collect();
                ids.into_iter().for_each(|id| self.world.report(id, true, true));
            }
            other => return self.ask(other),
        }
        String::new()
    }

    fn ask(&mut self, words: &[&str]) -> String {
        match words {
            ["plan"] => self.plan(),
            ["settle"] => format!("settled after {} plans\n{}", self.world.settle(200), self.show()),
            ["show"] => self.show(),
            ["preview"] => {
                let end = rehearse(self.world.input.clone());
                format!("{} plans until at rest\n{}", end.rounds, diff(&self.world.input.parent, &end.input.parent))
            }
            ["simulate", "node", id] => simulate(&self.world.input, &Loss::Node(NodeId(number(id)))).to_string(),
            ["simulate", "region", region] => simulate(&self.world.input, &Loss::Region(label(region))).to_string(),
            ["suggest"] => {
                let found = suggest(&self.world.input, &self.traffic, SuggestionBounds::default());
                found.iter().map(|suggestion| format!("{suggestion}\n")).collect()
            }
            other => panic!("no line says {other:?}"),
        }
    }

    /// Plans, and says why and which entries are different.
    fn plan(&mut self) -> String {
        let before = self.world.input.parent.clone();
        let next = self.world.step();
        let changed = next.placement.shards().iter().filter(|(key, of)| before.replicas(**key) != Some(of));
        let entries: String = changed.map(|(key, of)| entry(*key, of)).collect();
        let same = if before == next.placement { "nothing changes\n" } else { "" };
        format!("{}{same}{entries}", next.report)
    }

    fn show(&self) -> String {
        self.world.input.parent.shards().iter().map(|(key, of)| entry(*key, of)).collect()
    }

    fn set_policy(&mut self, name: &str, id: &str, shards: &str, options: &[&str]) {
        let options: Vec<(&str, &str)> = options.iter().filter_map(|option| option.split_once('=')).collect();
        let of = |wanted: &str| options.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let topics: Vec<&str> = of("topics").map(|topics| topics.split(',').collect()).unwrap_or_default();
        let mut new = policy(name, keyspace(number(id) as u16, &topics, shards.parse().unwrap()));
        new = replicas(new, of("replicas").map_or(1, |count| count.parse().unwrap()));
        new.home = of("home").map(home).unwrap_or_default();
        new.spread = match of("spread") {
            None | Some("node") => Spread::Node,
            Some("zone") => Spread::Zone,
            Some(key) => Spread::Label(label(key)),
        };
        new.fallback = of("fallback").map(|regions| regions.split(',').map(label).collect()).unwrap_or_default();
        if of("remote") == Some("deny") {
            new.remote_subscribers = RemoteSubscribers::Deny;
        }
        self.remove_policy(name);
        self.policies.push(new);
        self.world.input.policies = Policies::new(self.policies.iter().cloned()).unwrap();
    }

    fn remove_policy(&mut self, name: &str) {
        self.policies.retain(|policy| policy.name.as_str() != name);
        self.world.input.policies = Policies::new(self.policies.iter().cloned()).unwrap();
    }

    fn place(&mut self, shard: &str, nodes: &str) {
        let mut shards = self.world.input.parent.shards().clone();
        let voters = nodes.split(',').map(|id| NodeId(number(id)));
        shards.insert(shard_key(shard), Replicas::first(voters).unwrap());
        self.world.place(shards);
    }

    fn add_traffic(&mut self, prefix: &str, regions: &[&str]) {
        for (region, count) in regions.iter().filter_map(|part| part.split_once('=')) {
            self.traffic.add(&filter(prefix), &label(region), count.parse().unwrap());
        }
    }
}

fn entry(key: ShardKey, of: &Replicas) -> String {
    let list = |name: &str, nodes: &std::collections::BTreeSet<NodeId>| {
        let ids: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
        if ids.is_empty() { String::new() } else { format!(" {name} {}", ids.join(",")) }
    };
    let (voters, learners) = (list("voters", of.voters()), list("learners", of.learners()));
    format!("{key}: epoch {}{voters}{learners}{}\n", of.epoch(), list("leaving", of.leaving()))
}

fn home(text: &str) -> Home {
    match text.split_once(':') {
        Some(("region", region)) => Home::Region(label(region)),
        Some(("nodes", ids)) => Home::Nodes(ids.split(',').map(|id| NodeId(number(id))).collect()),
        Some((key, value)) => {
            Home::Selector(Selector::new(Labels::new([(label(key), Label::parse(value).unwrap())]).unwrap()).unwrap())
        }
        None => Home::Anywhere,
    }
}

fn phase_of(text: &str) -> NodePhase {
    let phases = [NodePhase::Joining, NodePhase::Active, NodePhase::Cordoned, NodePhase::Draining, NodePhase::Gone];
    phases.into_iter().find(|phase| phase.to_string() == text).unwrap()
}

fn shard_key(text: &str) -> ShardKey {
    let (keyspace, shard) = text.split_once('/').unwrap();
    let id = (0..100).find(|id| KeyspaceId(*id).to_string() == keyspace).unwrap();
    key(id, shard.parse().unwrap())
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}
