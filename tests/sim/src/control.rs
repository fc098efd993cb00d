//! Control: replicas with real reconcilers over a store that is cut off, loses answers and forgets its past, a lease that
//! decides nothing but who tries, and operators.

use std::{collections::BTreeMap, time::Duration};

use sluice_cluster::{Label, Labels, NodeId, NodePhase, Process, ProtocolRange, Registration, Report, Version, Weight};
use sluice_controlplane_core::{
    intent::{self, Author, Match},
    ledger::{Ledger, Revision, Versioned},
    publishers::Publishers,
    reconciler::{Clock, NodeEvent, Office, Output, Publication, Reconciler, Settings, StoreEvent, Witness, Written},
    record::{Commit, NodeRecord, Record, RecordKey, ReplicaId},
    view::{Reading, View},
};
use sluice_discovery::Limits;

use crate::{
    streams::Stream,
    world::{Event, World},
};

/// How long a lease holds without being renewed.
const LEASE_MS: u64 = 3_000;
/// How often leases are looked at.
const LEASE_LOOK_MS: u64 = 500;
/// Nobody answers: whoever has asked gives up.
const STORE_TIMEOUT_MS: u64 = 2_000;

/// What happens at control.
pub(crate) enum ControlEvent {
    /// A replica hears what the store has changed.
    Watch { replica: usize, life: u64 },
    /// A transaction comes to the store.
    Commit { replica: usize, life: u64, commit: Commit },
    /// A replica hears what became of its transaction.
    Written { replica: usize, life: u64, written: Written },
    /// Leases are renewed, run out, and are won.
    Leases,
    /// A replica that has lost its lease learns so.
    Lost { replica: usize, life: u64 },
    /// A replica's process starts again.
    Start { replica: usize },
    /// A replica reaches the store again.
    Mend { replica: usize },
    /// The store is there again.
    StoreBack,
}

/// A replica of control.
pub(crate) struct Replica {
    name: &'static str,
    pub(crate) life: u64,
    pub(crate) alive: bool,
    pub(crate) machine: Reconciler,
    /// Everything up to here was told to it.
    seen: Option<Revision>,
    /// Whether it reaches the store.
    hears_store: bool,
    /// Its lease has run out, and it does not know that yet.
    is_deposed: bool,
    pub(crate) publishers: Option<Publishers>,
    /// The latest stream of each node.
    pub(crate) streams: BTreeMap<NodeId, usize>,
}

/// Who may try to lead.
#[derive(Clone, Copy)]
struct Lease {
    replica: usize,
    /// Of the replica's process.
    life: u64,
    /// When it runs out without being renewed.
    until_ms: u64,
}

/// The whole of control.
pub(crate) struct Control {
    pub(crate) store: Ledger<RecordKey, Record>,
    store_up: bool,
    pub(crate) replicas: Vec<Replica>,
    lease: Option<Lease>,
    lives: u64,
    pub(crate) streams: Vec<Stream>,
    /// Whether answers of the store are lost.
    pub(crate) loses_answers: bool,
}

impl Control {
    /// Replicas over a store that knows the nodes of a cluster.
    pub(crate) fn new(replicas: usize, nodes: impl IntoIterator<Item = (NodeId, Registration)>) -> Self {
        let record = |registration| NodeRecord {
            registration,
            labels: Labels::default(),
            weight: None,
            phase: NodePhase::Active,
            since_ms: 0,
        };
        let entry = |(id, registration)| {
            let value = Record::Node(record(registration));
            (RecordKey::Node(id), Versioned { value, created: Revision(2), modified: Revision(2) })
        };
        let store = Ledger::restored(Revision(2), nodes.into_iter().map(entry).collect());
        let mut control = Self {
            store,
            store_up: true,
            replicas: Vec::new(),
            lease: None,
            lives: 0,
            streams: Vec::new(),
            loses_answers: false,
        };
        for name in ["c1", "c2", "c3"].into_iter().take(replicas) {
            let replica = control.start(name, Witness::default());
            control.replicas.push(replica);
        }
        control
    }

    fn start(&mut self, name: &'static str, witness: Witness) -> Replica {
        self.lives += 1;
        let Ok(label) = Label::parse(name) else { panic!("{name} is a label") };
        let me = ReplicaId { name: label, life: self.lives };
        Replica {
            name,
            life: self.lives,
            alive: true,
            machine: Reconciler::new(me, Settings::default(), witness),
            seen: None,
            hears_store: true,
            is_deposed: false,
            publishers: None,
            streams: BTreeMap::new(),
        }
    }

    pub(crate) fn lives(&self, replica: usize, life: u64) -> bool {
        self.replicas[replica].alive && self.replicas[replica].life == life
    }

    fn reaches_store(&self, replica: usize) -> bool {
        self.store_up && self.replicas[replica].alive && self.replicas[replica].hears_store
    }

    /// The replica that leads, as far as it knows.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |of: &Replica| of.alive && matches!(of.machine.office(), Office::Leading { .. });
        self.replicas.iter().position(leads)
    }

    /// The store as it is.
    pub(crate) fn view(&self) -> View {
        let readings = self.store.entries().iter().map(|(key, held)| reading(key, Some(held.clone())));
        View::listed(self.store.revision(), readings)
    }

    fn stored_placement(&self) -> Version {
        self.view().placement().map_or(Version::ZERO, |placement| placement.version())
    }

    /// When a replica has something to do next.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let of_replica = |of: &Replica| [of.machine.poll_timeout(), of.machine.build_at()];
        let replicas = self.replicas.iter().filter(|of| of.alive).flat_map(of_replica).flatten();
        let streams = self.streams.iter().filter(|of| of.open_at_control).filter_map(|of| of.server.poll_timeout());
        replicas.chain(streams).min().map(millis)
    }

    /// What a replica has not heard of the store.
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
}

impl World {
    /// Something happens at control.
    pub(crate) fn on_control(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Watch { replica, life } if self.control.lives(replica, life) => self.on_watch(replica),
            ControlEvent::Written { replica, life, written } if self.control.lives(replica, life) => {
                self.control.replicas[replica].machine.on_written(written);
                self.work(replica);
            }
            ControlEvent::Lost { replica, life } if self.control.lives(replica, life) => {
                self.trace
                    .note(self.now_ms, 30, [replica, 0], || format!("control {replica} learns that it leads no more"));
                self.control.replicas[replica].is_deposed = false;
                self.control.replicas[replica].machine.on_lease_lost();
                self.work(replica);
            }
            ControlEvent::Watch { .. } | ControlEvent::Written { .. } | ControlEvent::Lost { .. } => {}
            ControlEvent::Commit { replica, life, commit } => self.on_commit(replica, life, &commit),
            ControlEvent::Leases => self.on_leases(),
            ControlEvent::Start { replica } => self.start_replica(replica),
            ControlEvent::Mend { replica } => {
                self.control.replicas[replica].hears_store = true;
                self.resume_watch(replica);
            }
            ControlEvent::StoreBack => {
                self.control.store_up = true;
                (0..self.control.replicas.len()).for_each(|replica| self.resume_watch(replica));
            }
        }
    }

    fn control_later(&mut self, after_ms: u64, event: ControlEvent) {
        self.later(after_ms, Event::Control(Box::new(event)));
    }

    /// Control begins to work.
    pub(crate) fn start_control(&mut self) {
        for replica in 0..self.control.replicas.len() {
            self.watch_later(replica);
        }
        self.control_later(0, ControlEvent::Leases);
    }

    fn watch_later(&mut self, replica: usize) {
        let after_ms = if self.rng.u8(..6) == 0 { self.rng.u64(..400) } else { self.rng.u64(1..8) };
        let life = self.control.replicas[replica].life;
        let event = Event::Control(Box::new(ControlEvent::Watch { replica, life }));
        self.enqueue((8, replica, 0, 0), after_ms, event);
    }

    fn on_watch(&mut self, replica: usize) {
        if !self.control.reaches_store(replica) {
            return;
        }
        let events = self.control.news(self.control.replicas[replica].seen);
        let revision = self.control.store.revision();
        let of = &mut self.control.replicas[replica];
        of.seen = Some(revision);
        events.into_iter().for_each(|event| of.machine.on_store(event));
        self.work(replica);
    }

    fn on_commit(&mut self, replica: usize, life: u64, commit: &Commit) {
        let reaches = self.control.lives(replica, life) && self.control.reaches_store(replica);
        let is_lost = self.control.loses_answers && self.rng.u8(..10) == 0;
        if !reaches || is_lost {
            let written = Written::Unknown { reason: "no answer".into() };
            return self.control_later(STORE_TIMEOUT_MS, ControlEvent::Written { replica, life, written });
        }
        let before = self.control.stored_placement();
        let outcome = self.control.store.commit(commit);
        self.trace.note(self.now_ms, 31, [replica, 0], || format!("control {replica} writes {:?}", outcome.is_ok()));
        let after = self.control.stored_placement();
        if after < before {
            self.ledger.fail("I26", || format!("the stored placement goes from {before:?} back to {after:?}"));
        }
        if outcome.is_ok() {
            (0..self.control.replicas.len()).for_each(|replica| self.watch_later(replica));
        }
        let written = match outcome {
            _ if self.control.loses_answers && self.rng.u8(..10) == 0 => Written::Unknown { reason: "lost".into() },
            Ok(revision) => Written::Committed(revision),
            Err(conflict) => Written::Conflict(conflict.modified),
        };
        let after_ms = self.rng.u64(1..10);
        self.control_later(after_ms, ControlEvent::Written { replica, life, written });
    }

    fn on_leases(&mut self) {
        let now_ms = self.now_ms;
        if self.control.store_up {
            if let Some(Lease { replica, life, until_ms }) = self.control.lease {
                if self.control.reaches_store(replica) && self.control.lives(replica, life) {
                    self.control.lease = Some(Lease { replica, life, until_ms: now_ms + LEASE_MS });
                } else if until_ms <= now_ms {
                    self.control.lease = None;
                    self.control.replicas[replica].is_deposed = self.control.lives(replica, life);
                    let after_ms = self.rng.u64(..2_000);
                    self.control_later(after_ms, ControlEvent::Lost { replica, life });
                }
            }
            let may =
                |replica: &usize| self.control.reaches_store(*replica) && !self.control.replicas[*replica].is_deposed;
            let candidates: Vec<usize> = (0..self.control.replicas.len()).filter(may).collect();
            if self.control.lease.is_none() && !candidates.is_empty() {
                let replica = candidates[self.rng.usize(..candidates.len())];
                self.trace.note(now_ms, 32, [replica, 0], || format!("control {replica} is elected"));
                let life = self.control.replicas[replica].life;
                self.control.lease = Some(Lease { replica, life, until_ms: now_ms + LEASE_MS });
                self.control.replicas[replica].machine.on_elected();
                self.work(replica);
            }
        }
        self.control_later(LEASE_LOOK_MS, ControlEvent::Leases);
    }

    /// Lets a replica do what it has to do.
    pub(crate) fn work(&mut self, at: usize) {
        let now = Duration::from_millis(self.now_ms);
        let clock = Clock { now, wall_ms: 1_700_000_000_000 + self.now_ms };
        let replica = &mut self.control.replicas[at];
        replica.machine.advance(clock);
        match replica.machine.office() {
            Office::Leading { epoch, .. } => {
                if replica.publishers.as_ref().is_none_or(|of| of.epoch() != epoch) {
                    replica.publishers = Some(Publishers::new(epoch, Limits::default()));
                    self.end_streams(at);
                }
            }
            Office::Following | Office::Elected => {
                replica.publishers = None;
                self.end_streams(at);
            }
        }
        let replica = &mut self.control.replicas[at];
        if replica.machine.warming().next().is_none() {
            replica.publishers.iter_mut().for_each(Publishers::warm);
        }
        if replica.machine.is_build_due(now) {
            replica.machine.build_routes();
            replica.machine.on_built(now, Duration::from_millis(20));
        }
        while let Some(output) = self.control.replicas[at].machine.poll_output() {
            self.carry_out(at, output);
        }
        self.push(at);
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Commit(commit) => {
                let (after_ms, life) = (self.rng.u64(1..10), self.control.replicas[at].life);
                self.control_later(after_ms, ControlEvent::Commit { replica: at, life, commit });
            }
            Output::Publish(publication) => {
                self.trace.note(self.now_ms, 33, [at, 0], || format!("control {at} publishes {}", about(&publication)));
                let Some(publishers) = &mut self.control.replicas[at].publishers else { return };
                publishers.publish(&publication);
                if let Some((kind, failure)) = publishers.failures().first_key_value() {
                    self.ledger.fail("push", || format!("control {at} cannot publish {kind:?}: {failure}"));
                }
            }
            Output::Interest(node, frame) => self.send_interest(at, node, frame),
            Output::Refuse(node) => self.ledger.fail("push", || format!("control {at} refuses node {node}")),
            Output::Resign => {
                if self.control.lease.is_some_and(|lease| lease.replica == at) {
                    self.control.lease = None;
                }
            }
        }
    }

    /// Something a node says comes to a replica.
    pub(crate) fn tell_replica(&mut self, at: usize, node: NodeId, event: NodeEvent) {
        let now = Duration::from_millis(self.now_ms);
        let event = match event {
            NodeEvent::Report(Report::Replicas(mut report)) => {
                let publishers = self.control.replicas[at].publishers.as_ref();
                report.applied = publishers.map_or(Version::ZERO, |of| of.placement_of(report.applied));
                NodeEvent::Report(Report::Replicas(report))
            }
            event @ (NodeEvent::Opened(_)
            | NodeEvent::Holds(_)
            | NodeEvent::Ahead(_)
            | NodeEvent::Report(_)
            | NodeEvent::Closed) => event,
        };
        self.control.replicas[at].machine.on_node(node, event, now);
    }

    /// Does what is due at control.
    pub(crate) fn tick_control(&mut self) {
        let now = Duration::from_millis(self.now_ms);
        for at in 0..self.control.replicas.len() {
            let of = &self.control.replicas[at];
            let due = of.machine.poll_timeout().into_iter().chain(of.machine.build_at()).min();
            if of.alive && due.is_some_and(|due| due <= now) {
                self.work(at);
            }
        }
        self.tick_streams(now);
    }

    // What goes wrong.

    /// Kills a replica; it starts again after a while.
    pub(crate) fn kill_replica(&mut self, replica: usize, back_after_ms: u64) {
        if !std::mem::take(&mut self.control.replicas[replica].alive) {
            return;
        }
        self.trace.note(self.now_ms, 34, [replica, 0], || format!("control {replica} dies for {back_after_ms} ms"));
        self.end_streams(replica);
        self.control.replicas[replica].publishers = None;
        self.control_later(back_after_ms, ControlEvent::Start { replica });
    }

    /// Starts a replica that is dead, with what was on its disk.
    pub(crate) fn start_replica(&mut self, replica: usize) {
        let of = &self.control.replicas[replica];
        if of.alive {
            return;
        }
        let (name, witness) = (of.name, *of.machine.witness());
        self.control.replicas[replica] = self.control.start(name, witness);
        self.watch_later(replica);
    }

    /// Cuts a replica off from the store for a while.
    pub(crate) fn cut_from_store(&mut self, replica: usize, ms: u64) {
        self.trace
            .note(self.now_ms, 35, [replica, 0], || format!("control {replica} is cut off from the store for {ms} ms"));
        self.control.replicas[replica].hears_store = false;
        self.interrupt(replica);
        self.control_later(ms, ControlEvent::Mend { replica });
    }

    /// The store is away for a while.
    pub(crate) fn stop_store(&mut self, ms: u64) {
        self.trace.note(self.now_ms, 36, [0, 0], || format!("the store is away for {ms} ms"));
        self.control.store_up = false;
        (0..self.control.replicas.len()).for_each(|replica| self.interrupt(replica));
        self.control_later(ms, ControlEvent::StoreBack);
    }

    /// The store forgets how it came to what it is: who has not heard it lists everything.
    pub(crate) fn compact_store(&mut self) {
        let revision = self.control.store.revision();
        self.control.store.compact(revision);
    }

    fn interrupt(&mut self, replica: usize) {
        if self.control.replicas[replica].alive {
            let reason = "cut off".into();
            self.control.replicas[replica].machine.on_store(StoreEvent::Interrupted { reason });
            self.work(replica);
        }
    }

    fn resume_watch(&mut self, replica: usize) {
        if self.control.reaches_store(replica) {
            self.control.replicas[replica].machine.on_store(StoreEvent::Resumed);
            self.watch_later(replica);
            self.work(replica);
        }
    }

    /// An operator does something that moves nothing.
    pub(crate) fn operate(&mut self, node: usize) {
        let Ok(by) = Label::parse("anna") else { return };
        let author = Author { by, at_ms: self.now_ms };
        let (view, id) = (self.control.view(), self.nodes[node].id);
        let asked = match self.rng.u8(..3) {
            0 => intent::pause(&view, self.rng.bool(), &author),
            1 => intent::set_phase(&view, id, NodePhase::Cordoned, Match::Any, &author),
            _ => intent::set_phase(&view, id, NodePhase::Active, Match::Any, &author),
        };
        if let Ok(Some(commit)) = asked
            && self.control.store_up
            && self.control.store.commit(&commit).is_ok()
        {
            self.trace.note(self.now_ms, 37, [node, 0], || format!("an operator changes something about node {node}"));
            (0..self.control.replicas.len()).for_each(|replica| self.watch_later(replica));
        }
    }

    /// Mends everything about control.
    pub(crate) fn heal_control(&mut self) {
        self.control.loses_answers = false;
        self.control.store_up = true;
        for replica in 0..self.control.replicas.len() {
            self.start_replica(replica);
            self.control.replicas[replica].hears_store = true;
            self.resume_watch(replica);
        }
    }
}

/// What a node says of itself.
pub(crate) fn registration(id: NodeId, region: &str, workers: u16) -> Registration {
    let label = |text: &str| Label::parse(text).ok();
    let region = label("region").zip(label(region));
    let address = format!("10.0.0.{}:7070", id.0).parse();
    let build = "0.1.0".parse();
    let protocol = ProtocolRange::new(1, 1);
    let (Ok(address), Ok(build), Ok(peer_protocol)) = (address, build, protocol) else { panic!("these can be read") };
    let process =
        Process { peer_addresses: vec![address], client_addresses: Vec::new(), build, peer_protocol, workers };
    Registration { labels: Labels::new(region).unwrap_or_default(), weight: Weight::default(), process }
}

fn reading(key: &RecordKey, held: Option<Versioned<Record>>) -> Reading {
    Reading { raw_key: format!("{key:?}"), key: Some(key.clone()), found: Ok(held) }
}

fn about(publication: &Publication) -> String {
    match publication {
        Publication::Nodes(members) => format!("{} nodes", members.len()),
        Publication::Placement(placement) => format!("placement {}", placement.version()),
        Publication::Routes(region, table) => format!("routes {} of {region}", table.version()),
        Publication::Policy(_) => "policies".into(),
    }
}

/// Milliseconds, rounded up: never before it is due.
pub(crate) fn millis(at: Duration) -> u64 {
    at.as_nanos().div_ceil(1_000_000) as u64
}
