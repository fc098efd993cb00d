//! The world: a store, replicas of control, nodes, time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_cluster::{Label, Liveness, NodeId, NodePhase, Placement, Report, Version, routing::BaseTable};
use sluice_controlplane_core::{
    PlanInput, check,
    intent::{self, Author, Refusal},
    ledger::{Ledger, Revision, Versioned},
    reconciler::{
        Alarm, Clock, NodeEvent, Office, Output, Publication, Reconciler, Settings, StoreEvent, Witness, Written,
    },
    record::{Commit, Record, RecordKey, ReplicaId},
    view::{Reading, View},
};

use crate::nodes::SimNode;

pub(crate) type Store = Ledger<RecordKey, Record>;

/// A replica of control.
pub(crate) struct Replica {
    pub(crate) machine: Reconciler,
    /// Everything up to here was delivered to it; `None`: nothing.
    seen: Option<Revision>,
    pub(crate) has_lease: bool,
    /// What it wants written, not carried out yet.
    pub(crate) commit: Option<(Commit, Option<PlanInput>)>,
    /// What it has put out, by what it is about, with the version of the push.
    published: BTreeMap<String, (Publication, Version)>,
    counter: u64,
    name: &'static str,
}

/// All of it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) now: Duration,
    lives: u64,
    /// Every placement that was ever stored, by its version.
    pub(crate) placements: BTreeMap<Version, Placement>,
    pub(crate) writes: usize,
    pub(crate) pushes: usize,
}

/// What a transaction meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Answered,
    Unanswered,
    Lost,
}

const NAMES: [&str; 3] = ["c1", "c2", "c3"];

impl World {
    pub(crate) fn new(replicas: usize, nodes: impl IntoIterator<Item = (u64, &'static str)>) -> Self {
        let mut world = Self {
            store: Store::default(),
            replicas: Vec::new(),
            nodes: nodes.into_iter().map(|(id, region)| SimNode::new(id, region)).collect(),
            now: Duration::from_secs(1),
            lives: 0,
            placements: BTreeMap::new(),
            writes: 0,
            pushes: 0,
        };
        (0..replicas).for_each(|nth| {
            let replica = world.start(NAMES[nth], Witness::default());
            world.replicas.push(replica);
        });
        world
    }

    fn start(&mut self, name: &'static str, witness: Witness) -> Replica {
        self.lives += 1;
        let me = ReplicaId { name: Label::parse(name).unwrap(), life: self.lives };
        let settings = Settings { dead_after_ms: 60_000, ..Settings::default() };
        let machine = Reconciler::new(me, settings, witness);
        Replica { machine, seen: None, has_lease: false, commit: None, published: BTreeMap::new(), counter: 0, name }
    }

    /// A replica's process ends, and another one begins with what was on its disk.
    pub(crate) fn restart(&mut self, nth: usize) {
        let (name, witness) = (self.replicas[nth].name, *self.replicas[nth].machine.witness());
        self.replicas[nth] = self.start(name, witness);
        self.close_streams(nth);
    }

    fn close_streams(&mut self, nth: usize) {
        self.nodes.iter_mut().filter(|node| node.stream == Some(nth)).for_each(|node| node.stream = None);
    }

    /// Gives the lease to a replica. With `is_told`, the one that had it learns so.
    pub(crate) fn elect(&mut self, nth: usize, is_told: bool) {
        for other in (0..self.replicas.len()).filter(|other| *other != nth) {
            if std::mem::take(&mut self.replicas[other].has_lease) && is_told {
                self.replicas[other].machine.on_lease_lost();
                self.forget_leader(other);
            }
        }
        self.replicas[nth].has_lease = true;
        self.replicas[nth].machine.on_elected();
        self.advance(nth);
    }

    /// A replica's lease runs out, and it learns so.
    pub(crate) fn lose_lease(&mut self, nth: usize) {
        self.replicas[nth].has_lease = false;
        self.replicas[nth].machine.on_lease_lost();
        self.forget_leader(nth);
    }

    fn forget_leader(&mut self, nth: usize) {
        self.replicas[nth].published.clear();
        self.replicas[nth].counter = 0;
        self.close_streams(nth);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock { now: self.now, wall_ms: 1_700_000_000_000 + self.now.as_millis() as u64 }
    }

    /// Delivers what the store has changed to a replica.
    pub(crate) fn deliver(&mut self, nth: usize) {
        let events = self.news(self.replicas[nth].seen);
        let replica = &mut self.replicas[nth];
        replica.seen = Some(self.store.revision());
        events.into_iter().for_each(|event| replica.machine.on_store(event));
        self.advance(nth);
    }

    fn news(&self, seen: Option<Revision>) -> Vec<StoreEvent> {
        let Some(Ok(log)) = seen.map(|seen| self.store.changes_after(seen)) else {
            let readings = self.store.entries().iter().map(|(key, held)| reading(key, Some(held.clone()))).collect();
            return vec![StoreEvent::Listed { revision: self.store.revision(), readings }];
        };
        let changed = log.map(|(revision, changes)| {
            let readings = changes.iter().map(|(key, held)| reading(key, held.clone())).collect();
            StoreEvent::Changed { revision: *revision, readings }
        });
        changed.collect()
    }

    /// Puts another store in the place of this one.
    pub(crate) fn restore(&mut self, store: Store) {
        self.store = store;
        self.replicas.iter_mut().for_each(|replica| replica.seen = None);
    }

    /// Lets a replica work and takes what it puts out.
    pub(crate) fn advance(&mut self, nth: usize) {
        let clock = self.clock();
        self.replicas[nth].machine.advance(clock);
        if self.replicas[nth].machine.is_build_due(self.now) {
            assert_eq!(self.replicas[nth].machine.warming().count(), 0, "routes are built when all have reported");
            self.replicas[nth].machine.build_routes();
            let now = self.now;
            self.replicas[nth].machine.on_built(now, Duration::from_millis(50));
        }
        while let Some(output) = self.replicas[nth].machine.poll_output() {
            self.take(nth, output);
        }
        let machine = &self.replicas[nth].machine;
        for due in [machine.poll_timeout(), machine.build_at()].into_iter().flatten() {
            assert!(due > self.now, "what is due has been done, or a driver would never sleep");
        }
        let alarms = self.replicas[nth].machine.alarms();
        let refused = alarms.iter().find(|alarm| matches!(alarm, Alarm::PlanRefused { .. }));
        assert!(refused.is_none(), "every plan passes the checker: {}", refused.unwrap());
    }

    fn take(&mut self, nth: usize, output: Output) {
        match output {
            Output::Commit(commit) => {
                assert!(self.replicas[nth].commit.is_none(), "one write is under way at a time");
                let input = self.replicas[nth].machine.plan_input();
                self.replicas[nth].commit = Some((commit, input));
            }
            Output::Publish(publication) => {
                let Office::Leading { epoch, .. } = self.replicas[nth].machine.office() else {
                    panic!("only a leader publishes")
                };
                let replica = &mut self.replicas[nth];
                replica.counter += 1;
                self.pushes += 1;
                let version = Version { leadership: epoch, counter: replica.counter };
                replica.published.insert(about(&publication), (publication, version));
            }
            Output::Interest(id, frame) => {
                let (control, now) = (NodeId(1000 + nth as u64), self.now);
                if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id && node.stream == Some(nth)) {
                    node.on_interest(control, &frame, now);
                }
            }
            Output::Refuse(id) => {
                self.nodes.iter_mut().filter(|node| node.id == id).for_each(|node| node.stream = None);
            }
            Output::Resign => {
                self.replicas[nth].has_lease = false;
                self.forget_leader(nth);
            }
        }
    }

    /// Carries out what a replica wants written.
    pub(crate) fn write(&mut self, nth: usize, fate: Fate) {
        let Some((commit, input)) = self.replicas[nth].commit.take() else { return };
        let outcome = if fate == Fate::Lost { None } else { Some(self.commit(input.as_ref(), &commit)) };
        let written = match outcome {
            Some(Ok(revision)) if fate == Fate::Answered => Written::Committed(revision),
            Some(Err(modified)) if fate == Fate::Answered => Written::Conflict(modified),
            Some(_) | None => Written::Unknown { reason: "no answer".into() },
        };
        self.replicas[nth].machine.on_written(written);
        self.advance(nth);
    }

    fn commit(&mut self, input: Option<&PlanInput>, commit: &Commit) -> Result<Revision, Revision> {
        let before = self.view().placement().unwrap().clone();
        let revision = self.store.commit(commit).map_err(|conflict| conflict.modified)?;
        self.writes += 1;
        let view = self.view();
        let placement = view.placement().unwrap().clone();
        if let Some(input) = input.filter(|_| placement != before) {
            // What it was computed from is what it replaces, or the store would not have taken it.
            assert_eq!((&*before, &input.policies), (&input.parent, &**view.policies().unwrap()));
            for (id, known) in &input.nodes {
                assert_eq!(view.node(*id).map(|node| node.phase), Some(known.node.phase), "planned with another phase");
            }
            assert_eq!(check(input, &placement), Ok(()));
            assert!(placement.version() > before.version());
        }
        let known = self.placements.entry(placement.version()).or_insert_with(|| placement.as_ref().clone());
        assert_eq!(*known, *placement, "one placement to a version");
        Ok(revision)
    }

    /// An operator asks for something, of any replica.
    pub(crate) fn ask(&mut self, request: impl FnOnce(&View, &Author) -> Result<Option<Commit>, Refusal>) -> bool {
        let author = Author { by: Label::parse("anna").unwrap(), at_ms: self.clock().wall_ms };
        match request(&self.view(), &author) {
            Ok(Some(commit)) => self.commit(None, &commit).is_ok(),
            Ok(None) | Err(_) => false,
        }
    }

    pub(crate) fn view(&self) -> View {
        let readings = self.store.entries().iter().map(|(key, held)| reading(key, Some(held.clone())));
        View::listed(self.store.revision(), readings)
    }

    /// A node opens a stream to a replica, which takes it only if it leads.
    pub(crate) fn connect(&mut self, at: usize, nth: usize) {
        let leads = matches!(self.replicas[nth].machine.office(), Office::Leading { .. });
        let node = &mut self.nodes[at];
        if !node.is_up || !leads || node.stream.is_some() {
            return;
        }
        node.stream = Some(nth);
        let (id, now) = (node.id, self.now);
        node.interest.forget(NodeId(1000 + nth as u64));
        let machine = &mut self.replicas[nth].machine;
        machine.on_node(id, NodeEvent::Opened(node.held), now);
        machine.on_node(id, NodeEvent::Report(Report::Registration(node.registration())), now);
        self.advance(nth);
    }

    pub(crate) fn disconnect(&mut self, at: usize) {
        let Some(nth) = self.nodes[at].stream.take() else { return };
        let (id, now) = (self.nodes[at].id, self.now);
        self.replicas[nth].machine.on_node(id, NodeEvent::Closed, now);
        self.advance(nth);
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.disconnect(at);
        self.nodes[at].is_up = false;
    }

    /// A node takes what is pushed to it, and says what it has.
    pub(crate) fn serve(&mut self, at: usize) {
        let up: Vec<NodeId> = self.nodes.iter().filter(|node| node.is_up).map(|node| node.id).collect();
        let Some(nth) = self.nodes[at].stream else { return };
        let (node, replica, now) = (&mut self.nodes[at], &mut self.replicas[nth], self.now);
        let id = node.id;
        // As the push protocol does: nothing older than what is held is sent, and control is told.
        let highest = node.held.iter().map(|(_, version)| *version).max().unwrap();
        let Office::Leading { epoch, .. } = replica.machine.office() else { return };
        if highest.leadership > epoch || (highest.leadership == epoch && highest.counter > replica.counter) {
            replica.machine.on_node(id, NodeEvent::Ahead(highest), now);
            return self.advance(nth);
        }
        let mut published: Vec<_> = replica.published.values().cloned().collect();
        published.sort_by_key(|(_, version)| *version);
        published.iter().for_each(|(publication, version)| node.apply(publication, *version));
        replica.machine.on_node(id, NodeEvent::Holds(node.held), now);
        replica.machine.on_node(id, NodeEvent::Report(node.replicas()), now);
        replica.machine.on_node(id, NodeEvent::Report(node.peers(&up)), now);
        while let Some(frame) = node.interest.poll_transmit(NodeId(1000 + nth as u64), now) {
            replica.machine.on_node(id, NodeEvent::Report(Report::Interest(frame)), now);
        }
        self.advance(nth);
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.replicas.iter().position(|of| of.has_lease && matches!(of.machine.office(), Office::Leading { .. }))
    }

    /// Everything that can happen without anything going wrong, once.
    pub(crate) fn turn(&mut self) {
        if self.replicas.iter().all(|replica| !replica.has_lease) {
            self.elect(0, true);
        }
        for nth in 0..self.replicas.len() {
            self.write(nth, Fate::Answered);
            self.deliver(nth);
        }
        if let Some(leader) = self.leader() {
            (0..self.nodes.len()).for_each(|at| {
                if self.nodes[at].stream.is_some_and(|nth| nth != leader) {
                    self.disconnect(at);
                }
                self.connect(at, leader);
                self.serve(at);
            });
        }
        self.pass(Duration::from_millis(250));
    }

    /// Turns until nothing is written for a while; at most so often.
    pub(crate) fn settle(&mut self, turns_max: usize) {
        let mut quiet = 0;
        for _ in 0..turns_max {
            let before = self.writes;
            self.turn();
            quiet = if self.writes == before { quiet + 1 } else { 0 };
            // Longer than a leader waits for nodes, and than a node takes to count as dead.
            if quiet > 300 {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What has to hold when everything is quiet.
    pub(crate) fn assert_settled(&self) {
        let view = self.view();
        let placement = view.placement().unwrap();
        assert!(placement.shards().values().all(|of| !of.is_moving()), "nothing is under way");
        let up = |id: NodeId| self.nodes.iter().any(|node| node.id == id && node.is_up);
        for (id, record) in view.nodes().filter(|(id, _)| up(*id)) {
            assert_ne!(record.phase, NodePhase::Joining, "{id} has joined");
        }
        let leader = &self.replicas[self.leader().expect("somebody leads")].machine;
        for node in self.nodes.iter().filter(|node| node.is_up && view.node(node.id).is_some_and(|of| !of.is_gone())) {
            assert_eq!(node.placement.as_ref(), Some(placement), "{} holds what is stored", node.id);
            let members = node.members.as_ref().expect("it holds the nodes");
            for member in members.iter() {
                assert_eq!(member.node.liveness == Liveness::Live, up(member.node.id), "{}", member.node.id);
            }
            let routes = node.routes.as_ref().expect("it holds routes");
            assert!(knows_all(routes, self), "{} knows where everything is wanted", node.id);
        }
        assert_eq!(leader.warming().count(), 0);
    }
}

/// Whether the table has what every node that is up wants.
fn knows_all(routes: &Arc<BaseTable>, world: &World) -> bool {
    let view = world.view();
    let serving = world.nodes.iter().filter(|node| node.is_up && view.node(node.id).is_some_and(|of| !of.is_gone()));
    serving.into_iter().all(|node| routes.positions().get(&node.id) == Some(&node.interest.position()))
}

pub(crate) fn reading(key: &RecordKey, held: Option<Versioned<Record>>) -> Reading {
    Reading { raw_key: format!("{key:?}"), key: Some(key.clone()), found: Ok(held) }
}

fn about(publication: &Publication) -> String {
    match publication {
        Publication::Nodes(_) => "nodes".into(),
        Publication::Placement(_) => "placement".into(),
        Publication::Routes(region, _) => format!("routes {region}"),
        Publication::Policy(_) => "policy".into(),
    }
}

/// Drains, cordons, or brings a node back.
pub(crate) fn phase(world: &mut World, id: u64, phase: NodePhase) -> bool {
    world.ask(|view, author| intent::set_phase(view, NodeId(id), phase, intent::Match::Any, author))
}
