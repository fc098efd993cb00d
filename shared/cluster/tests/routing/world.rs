//! A few nodes in two regions, control, and a network that loses, doubles and reorders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sluice_cluster::interest::{
    Incarnation, Interest, InterestFrame, InterestLimits, InterestMirror, InterestReceiver, InterestSource, Position,
    Sequence,
};
use sluice_cluster::routing::{BaseTable, Matched, Reach, Region, RouteBuilder, RoutingTable, Target};
use sluice_cluster::{NodeId, Version};
use sluice_topic::{Limits, ParsedFilter, matches};

pub(crate) fn filter(text: &str) -> ParsedFilter {
    ParsedFilter::parse(text, &Limits::default()).unwrap()
}

pub(crate) const LIMITS: InterestLimits = InterestLimits {
    frame_bytes_max: 330,
    gone_bytes_max: 450,
    overlay_bytes_max: 1_100,
    resend_after: Duration::from_secs(1),
    ask_again_after: Duration::from_secs(1),
};

/// Nodes 1 to 3 are at home and linked to each other; node 4 is far away, known only through control.
pub(crate) const NODES: [NodeId; 4] = [NodeId(1), NodeId(2), NodeId(3), NodeId(4)];
const CONTROL: NodeId = NodeId(0);

pub(crate) fn region(node: NodeId) -> Region {
    if node.0 < 4 { "eu".into() } else { "us".into() }
}

fn is_linked(a: NodeId, b: NodeId) -> bool {
    a != b && region(a) == region(b)
}

fn reach(me: NodeId, peer: NodeId) -> Reach {
    if is_linked(me, peer) { Reach::Direct } else { Reach::ThroughControl }
}

pub(crate) struct Node {
    pub(crate) alive: bool,
    incarnation: Incarnation,
    pub(crate) source: InterestSource,
    pub(crate) table: RoutingTable,
    /// What it wants, and the change that said so.
    pub(crate) truth: BTreeMap<ParsedFilter, (Interest, Sequence)>,
    disk: Option<Arc<BaseTable>>,
    /// Up to where bases have told it of each owner.
    told: BTreeMap<NodeId, Position>,
    joined: BTreeSet<NodeId>,
}

struct Leader {
    epoch: u64,
    counter: u64,
    receiver: InterestReceiver,
    mirror: InterestMirror,
    members: Vec<NodeId>,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) rng: fastrand::Rng,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) trace: Vec<String>,
    leader: Leader,
    bases: BTreeMap<Region, Vec<Arc<BaseTable>>>,
    wire: Vec<(NodeId, NodeId, InterestFrame)>,
    /// Who has yet to notice what: (observer, subject).
    unnoticed: Vec<(NodeId, NodeId)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let nodes = NODES.map(|id| (id, Node::new(id, Incarnation(1)))).into();
        let mut world = Self {
            now: Duration::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            nodes,
            trace: Vec::new(),
            leader: Leader::new(1),
            bases: BTreeMap::new(),
            wire: Vec::new(),
            unnoticed: Vec::new(),
        };
        NODES.into_iter().for_each(|id| world.announce_life(id));
        world
    }

    pub(crate) fn set(&mut self, id: NodeId, filter: &ParsedFilter, interest: Option<Interest>) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive) else { return };
        self.trace.push(format!("{id} wants {filter}: {interest:?}"));
        let change = node.source.set(filter, interest);
        match interest {
            Some(interest) => node.truth.insert(filter.clone(), (interest, change)),
            None => node.truth.remove(filter),
        };
    }

    pub(crate) fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.alive = false;
        node.truth.clear();
        self.trace.push(format!("{id} dies"));
        self.announce_life(id);
    }

    pub(crate) fn restart(&mut self, id: NodeId, with_disk: bool) {
        let node = self.nodes.get_mut(&id).unwrap();
        let (incarnation, disk) = (Incarnation(node.incarnation.0 + 1), node.disk.take().filter(|_| with_disk));
        *node = Node::new(id, incarnation);
        if let Some(base) = disk {
            node.told = base.positions().clone();
            node.table.install(base.clone(), self.now).unwrap();
            node.disk = Some(base);
        }
        self.trace.push(format!("{id} starts, disk {with_disk}"));
        self.unnoticed.retain(|(observer, _)| *observer != id);
        // It reads at once who belongs to the cluster; links come up one by one.
        for peer in NODES.into_iter().filter(|peer| *peer != id) {
            let node = self.nodes.get_mut(&id).unwrap();
            node.table.join(peer, &region(peer), reach(id, peer));
            node.joined.insert(peer);
            self.unnoticed.push((id, peer));
        }
        self.announce_life(id);
    }

    /// Everybody will notice that a node lives or has died.
    fn announce_life(&mut self, id: NodeId) {
        let observers = NODES.into_iter().chain([CONTROL]).filter(|observer| *observer != id);
        self.unnoticed.extend(observers.map(|observer| (observer, id)));
    }

    /// A leader takes over. It knows nothing.
    pub(crate) fn fail_over(&mut self) {
        self.leader = Leader::new(self.leader.epoch + 1);
        self.trace.push("control fails over".into());
        self.unnoticed.retain(|(observer, _)| *observer != CONTROL);
        self.unnoticed.extend(NODES.map(|node| (CONTROL, node)));
    }

    /// Somebody notices one thing.
    pub(crate) fn notice(&mut self, at: usize) {
        let (observer, subject) = self.unnoticed.swap_remove(at);
        let alive = self.nodes[&subject].alive;
        self.trace.push(format!("{observer} notices {subject}: {alive}"));
        if observer == CONTROL {
            self.leader.notice(subject, alive, self.now);
        } else if let Some(node) = self.nodes.get_mut(&observer).filter(|node| node.alive) {
            node.notice(observer, subject, alive, self.now);
        }
    }

    pub(crate) fn unnoticed(&self) -> usize {
        self.unnoticed.len()
    }

    /// Puts what everybody has to say on the wire.
    pub(crate) fn transmit(&mut self) {
        let now = self.now;
        for from in NODES {
            let node = self.nodes.get_mut(&from).unwrap();
            if !node.alive {
                continue;
            }
            for to in NODES.into_iter().filter(|to| is_linked(from, *to)).chain([CONTROL]) {
                let mut frames = Vec::new();
                frames.extend(std::iter::from_fn(|| node.source.poll_transmit(to, now)));
                frames.extend(std::iter::from_fn(|| node.table.poll_transmit(to, now)));
                self.wire.extend(frames.into_iter().map(|frame| (from, to, frame)));
            }
        }
        for to in NODES {
            let frames: Vec<_> = std::iter::from_fn(|| self.leader.receiver.poll_transmit(to, now)).collect();
            self.wire.extend(frames.into_iter().map(|frame| (CONTROL, to, frame)));
        }
    }

    /// Something happens to one frame on the wire.
    pub(crate) fn disturb(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        // Most frames stay near their order; some do not.
        let far = self.rng.u32(0..4) == 0;
        let at = if far { self.rng.usize(0..self.wire.len()) } else { 0 };
        match self.rng.u32(0..20) {
            0..2 => drop(self.wire.remove(at)),
            2 => {
                let frame = self.wire[at].clone();
                self.wire.push(frame);
            }
            _ => {
                let (from, to, frame) = self.wire.remove(at);
                self.deliver(from, to, &frame);
            }
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, frame: &InterestFrame) {
        self.trace.push(format!("{:?} {from} to {to}: {frame:?}", self.now));
        if to == CONTROL {
            return self.leader.receiver.handle(from, frame, &mut self.leader.mirror, self.now);
        }
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.alive) else { return };
        node.source.handle(from, frame, self.now);
        node.table.handle(from, frame, self.now);
    }

    /// Control builds a base for each region from what it knows.
    pub(crate) fn build(&mut self) {
        self.leader.counter += 1;
        let version = Version::new(self.leader.epoch, self.leader.counter);
        for home in [region(NODES[0]), region(NODES[3])] {
            let mut builder = RouteBuilder::new(home.clone());
            for &owner in &self.leader.members {
                if let Some(upto) = self.leader.receiver.have(owner) {
                    builder.add(owner, &region(owner), upto, self.leader.mirror.rows(owner));
                }
            }
            let (base, _) = builder.build(version);
            self.trace.push(format!("built {base:?} {}", base.digest()));
            self.bases.entry(home).or_default().push(Arc::new(base));
        }
    }

    /// A base of the latest ones, or any older one, reaches a node.
    pub(crate) fn push(&mut self, id: NodeId, age: usize) {
        let Some(bases) = self.bases.get(&region(id)) else { return };
        let Some(base) = bases.iter().rev().nth(age).cloned() else { return };
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive) else { return };
        let outcome = node.table.install(base.clone(), self.now);
        self.trace.push(format!("{id} installs {}: {outcome:?}", base.version()));
        if outcome.is_ok() {
            // Of whom the node does not know yet a base promises nothing: the next may lack it.
            for (owner, upto) in base.positions().iter().filter(|(owner, _)| node.joined.contains(owner)) {
                let told = node.told.entry(*owner).or_default();
                *told = (*told).max(*upto);
            }
            node.disk = Some(base);
        }
    }

    /// Time passes, everything arrives, everybody notices everything.
    pub(crate) fn calm(&mut self) {
        while !self.unnoticed.is_empty() {
            self.notice(0);
        }
        for _ in 0..60 {
            self.now += Duration::from_millis(250);
            self.transmit();
            for (from, to, frame) in std::mem::take(&mut self.wire) {
                self.deliver(from, to, &frame);
            }
        }
    }

    /// What a node has to find for a topic because somebody relies on it, and what it finds (I24).
    pub(crate) fn check_promises(&self, observer: NodeId) {
        let node = &self.nodes[&observer];
        if !node.alive {
            return;
        }
        let mut found = Matched::default();
        for topic in TOPICS {
            node.table.find(topic, &mut found);
            for (owner, filter, interest) in self.promises(observer) {
                if matches(filter.filter.as_str(), topic) {
                    assert!(names(&found, observer, owner, filter, interest), "{observer} lost {filter} of {owner}");
                }
            }
        }
    }

    /// What owners rely on at an observer: acknowledged to them, or in a base that was taken.
    fn promises(&self, observer: NodeId) -> Vec<(NodeId, &ParsedFilter, Interest)> {
        let mut promises = Vec::new();
        for (&owner, node) in self.nodes.iter().filter(|(owner, node)| **owner != observer && node.alive) {
            for (filter, (interest, change)) in &node.truth {
                let position = Position { incarnation: node.incarnation, sequence: *change };
                let told = self.nodes[&observer].told.get(&owner).is_some_and(|told| *told >= position);
                if told || node.source.is_acknowledged(*change, [observer]) {
                    promises.push((owner, filter, *interest));
                }
            }
        }
        promises
    }

    /// Quiet: exactly the truth.
    pub(crate) fn check_exact(&self, observer: NodeId) {
        let table = &self.nodes[&observer].table;
        let unknown: Vec<NodeId> = table.unknown().collect();
        assert_eq!((table.overlay_len(), table.carries_older_base(), unknown), (0, false, vec![]), "{table:?}");
        let mut found = Matched::default();
        for topic in TOPICS {
            table.find(topic, &mut found);
            let (mut targets, mut groups) = (BTreeMap::new(), BTreeMap::new());
            for (&owner, node) in self.nodes.iter().filter(|(owner, node)| **owner != observer && node.alive) {
                let matching = node.truth.iter().filter(|(filter, _)| matches(filter.filter.as_str(), topic));
                for (filter, (interest, _)) in matching {
                    let target = target(observer, owner);
                    if filter.group.is_some() {
                        let sum = groups.entry((filter.clone(), target)).or_insert(Interest::default());
                        sum.durable |= interest.durable;
                        sum.members += interest.members;
                    } else {
                        *targets.entry(target).or_insert(false) |= interest.durable;
                    }
                }
            }
            assert_eq!(found.targets(), targets.into_iter().collect::<Vec<_>>(), "{topic} at {observer}");
            let got: Vec<_> =
                found.groups().iter().map(|g| ((*g.filter).clone(), g.target.clone(), g.interest)).collect();
            let want: Vec<_> =
                groups.into_iter().map(|((filter, target), interest)| (filter, target, interest)).collect();
            assert_eq!(got, want, "{topic} at {observer}");
        }
    }
}

/// Whether what was found keeps a promise: the target, and that it stores if it has to.
fn names(found: &Matched, observer: NodeId, owner: NodeId, filter: &ParsedFilter, interest: Interest) -> bool {
    let target = target(observer, owner);
    let plain = found.targets().iter().any(|(it, durable)| *it == target && (*durable || !interest.durable));
    let group = found.groups().iter().any(|group| {
        let enough = group.interest.members >= interest.members && (group.interest.durable || !interest.durable);
        group.target == target && *group.filter == *filter && enough
    });
    // A target that may want everything is found as a plain one that stores.
    let anything = found.targets().iter().any(|(it, durable)| *it == target && *durable);
    if filter.group.is_some() { group || anything } else { plain }
}

fn target(observer: NodeId, owner: NodeId) -> Target {
    if region(observer) == region(owner) { Target::Node(owner) } else { Target::Region(region(owner)) }
}

impl Node {
    fn new(id: NodeId, incarnation: Incarnation) -> Self {
        Self {
            alive: true,
            incarnation,
            source: InterestSource::new(incarnation, LIMITS),
            table: RoutingTable::new(id, region(id), incarnation, &LIMITS),
            truth: BTreeMap::new(),
            disk: None,
            told: BTreeMap::new(),
            joined: BTreeSet::new(),
        }
    }

    fn notice(&mut self, me: NodeId, subject: NodeId, alive: bool, now: Duration) {
        if alive {
            self.table.join(subject, &region(subject), reach(me, subject));
            self.joined.insert(subject);
            if is_linked(me, subject) {
                self.table.linked(subject, now);
            }
        } else {
            self.source.forget(subject);
            self.table.leave(subject);
            self.told.remove(&subject);
            self.joined.remove(&subject);
        }
    }
}

impl Leader {
    fn new(epoch: u64) -> Self {
        let receiver = InterestReceiver::new(Incarnation(epoch), &LIMITS);
        Self { epoch, counter: 0, receiver, mirror: InterestMirror::default(), members: Vec::new() }
    }

    fn notice(&mut self, subject: NodeId, alive: bool, now: Duration) {
        self.members.retain(|member| *member != subject);
        if alive {
            self.members.push(subject);
            self.receiver.linked(subject, None, now);
        } else {
            self.receiver.forget(subject);
            self.mirror.forget(subject);
        }
    }
}

pub(crate) const TOPICS: [&str; 9] = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/b/a", "b/a/a", "$s/a"];
