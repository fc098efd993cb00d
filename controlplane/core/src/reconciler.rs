//! The reconciler: brings what is towards what is wanted, one step at a time.
//!
//! ```text
//!              lease                     wrote the next epoch
//! Following ─────────► Elected ────────────────────────────────► Leading
//!     ▲  ▲                │                                         │
//!     │  └── lease lost ──┴──────────────── lease lost ─────────────┤
//!     └──────────────────────────────── another one wrote an epoch ─┘
//! ```
//!
//! Level-triggered: it keeps a [`View`] of the store and what the nodes say of themselves, and works out from these alone
//! what is to be written next ([`writes`](self)), what the nodes should hold ([`Publication`]), and what operators should
//! know ([`Alarm`]). A crash anywhere means: work it out again.
//!
//! * One write is under way at a time. What it changes is taken in when the store says so, never before.
//! * Nothing is written or published while the store cannot be read whole, or is an older one than the nodes have seen.
//! * A leader plans and builds routes only when every node has reported, or has had its time to.
//!
//! Sans I/O: inputs are calls, [`Reconciler::advance`] works, outputs are polled. Time is monotonic; what is written down for
//! people is the wall's.

mod alarm;
mod fleet;
mod gateways;
mod publish;
mod routes;
mod witness;
mod writes;

use std::{collections::VecDeque, time::Duration};

use sluice_cluster::{Epoch, NodeId, Report, interest::InterestFrame};
use sluice_discovery::Warming;

pub use self::{
    alarm::{Alarm, Severity},
    fleet::{Fleet, NodeState, PeerState},
    publish::Publication,
    witness::Witness,
};
use self::{publish::Published, routes::Routes, writes::Writing};
use crate::{
    DEAD_AFTER_MS_DEFAULT, PlanReport, Violation,
    ledger::Revision,
    record::{Commit, ReplicaId},
    view::{Reading, View},
};

/// Periods and bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// After how many milliseconds of silence a node counts as dead.
    pub dead_after_ms: u64,
    /// How long a node may be unheard of, by control and by its peers, before it counts as silent.
    pub silent_after: Duration,
    /// How long a new leader waits for the nodes to report.
    pub warm_max: Duration,
    /// Between two plans.
    pub plan_every: Duration,
    /// How long the first placement of a cluster waits after a node that is new: those that start together share it.
    pub gather: Duration,
    /// Between the end of one build of the routes and the begin of the next, besides the time that the last one took.
    pub build_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dead_after_ms: DEAD_AFTER_MS_DEFAULT,
            // A stream is given up after 7 s of silence; a node has some time to come back with another one.
            silent_after: Duration::from_secs(10),
            warm_max: Duration::from_secs(30),
            plan_every: Duration::from_millis(100),
            gather: Duration::from_secs(2),
            build_every: Duration::from_millis(200),
        }
    }
}

/// The time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Since this process started; never goes back.
    pub now: Duration,
    /// Milliseconds since 1970, for people.
    pub wall_ms: u64,
}

/// What the store says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreEvent {
    /// Everything there is.
    Listed {
        /// The revision.
        revision: Revision,
        /// The entries.
        readings: Vec<Reading>,
    },
    /// What one revision changed.
    Changed {
        /// The revision.
        revision: Revision,
        /// The entries.
        readings: Vec<Reading>,
    },
    /// It is not heard of.
    Interrupted {
        /// What was found.
        reason: String,
    },
    /// It is heard of again.
    Resumed,
}

/// What became of the write that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Written {
    /// It is there.
    Committed(Revision),
    /// Nothing was written: an entry was modified at this revision, or is not there.
    Conflict(Revision),
    /// It is not known whether it is there.
    Unknown {
        /// What was found.
        reason: String,
    },
    /// The store does not take it.
    Refused {
        /// What it says.
        reason: String,
    },
}

/// What happens to a node's stream, at this replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NodeEvent {
    /// It is open, and this is what the node holds.
    Opened(Versions),
    /// The node holds something else.
    Holds(Versions),
    /// The node holds a later version than is published here.
    Ahead(sluice_cluster::Version),
    /// The node reports.
    Report(Report),
    /// It is over.
    Closed,
}

/// Of each resource type, the version that a node holds.
pub type Versions = sluice_discovery::PerType<sluice_cluster::Version>;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// To be written. Nothing else is asked for until [`Reconciler::on_written`].
    Commit(Commit),
    /// To be pushed to nodes.
    Publish(Publication),
    /// To be sent to a node on its stream.
    Interest(NodeId, InterestFrame),
    /// This node was removed, or there are too many: its stream is to be closed and not opened again.
    Refuse(NodeId),
    /// Another one leads: the lease is to be given up.
    Resign,
}

/// Whether this replica leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Office {
    /// Another one leads, or nobody.
    Following,
    /// It has the lease, and the epoch is not written yet.
    Elected,
    /// It leads.
    Leading {
        /// Of what it publishes.
        epoch: Epoch,
        /// The revision of the record that says so, which everything it writes expects.
        fence: Revision,
    },
}

/// One replica of control.
#[derive(Debug)]
pub struct Reconciler {
    me: ReplicaId,
    settings: Settings,
    view: Option<View>,
    office: Office,
    /// The last epoch that it has led with. What it published then was counted, and the count is gone.
    led: Epoch,
    fleet: Fleet,
    routes: Routes,
    warming: Warming,
    witness: Witness,
    writing: Writing,
    published: Published,
    /// Whether something has changed that a plan depends on.
    is_plan_due: bool,
    plan_at: Duration,
    last_plan: Option<PlanReport>,
    refused_plan: Option<Vec<Violation>>,
    unreachable: Option<String>,
    refused_write: Option<String>,
    outputs: VecDeque<Output>,
    now: Duration,
}

impl Reconciler {
    /// A replica that knows nothing yet but what its disk says it saw before.
    #[must_use]
    pub fn new(me: ReplicaId, settings: Settings, witness: Witness) -> Self {
        let routes = Routes::new(&me);
        Self {
            me,
            settings,
            view: None,
            office: Office::Following,
            led: Epoch(0),
            fleet: Fleet::default(),
            routes,
            warming: Warming::default(),
            witness,
            writing: Writing::Idle,
            published: Published::default(),
            is_plan_due: true,
            plan_at: Duration::ZERO,
            last_plan: None,
            refused_plan: None,
            unreachable: None,
            refused_write: None,
            outputs: VecDeque::new(),
            now: Duration::ZERO,
        }
    }

    /// Takes in what the store says.
    pub fn on_store(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Listed { revision, readings } => {
                let view = View::listed(revision, readings);
                if self.witness.saw_listing(revision) {
                    self.writing.on_other_store();
                }
                self.view = Some(view);
                self.unreachable = None;
            }
            StoreEvent::Changed { revision, readings } => {
                // Before the first listing nothing is known that could change.
                if let Some(view) = &mut self.view {
                    view.changed(revision, readings);
                    self.witness.saw_change(revision);
                }
                self.unreachable = None;
            }
            StoreEvent::Interrupted { reason } => self.unreachable = Some(reason),
            StoreEvent::Resumed => self.unreachable = None,
        }
        self.is_plan_due = true;
        self.refused_plan = None;
        self.on_view();
    }

    /// This replica has the lease.
    pub fn on_elected(&mut self) {
        if self.office == Office::Following {
            self.office = Office::Elected;
        }
    }

    /// This replica does not have the lease any more.
    pub fn on_lease_lost(&mut self) {
        self.step_down();
    }

    /// Takes in what became of the write.
    pub fn on_written(&mut self, written: Written) {
        self.refused_write = None;
        self.writing = match written {
            Written::Committed(revision) => Writing::Seen(revision),
            // An entry that is gone says nothing about when it went.
            Written::Conflict(Revision::ABSENT) => Writing::Again(self.now + writes::RETRY_AFTER),
            Written::Conflict(revision) => Writing::Seen(revision),
            Written::Unknown { .. } => Writing::Again(self.now + writes::UNKNOWN_AFTER),
            Written::Refused { reason } => {
                self.refused_write = Some(reason);
                Writing::Again(self.now + writes::REFUSED_AFTER)
            }
        };
        self.is_plan_due = true;
    }

    /// Takes in what happens to a node's stream. Only a leader has streams.
    pub fn on_node(&mut self, id: NodeId, event: NodeEvent, now: Duration) {
        self.now = now;
        match event {
            NodeEvent::Opened(held) => {
                self.witness.saw_versions(&held);
                self.fleet.opened(id, held, now);
                self.routes.linked(id, now);
            }
            NodeEvent::Holds(held) => {
                self.witness.saw_versions(&held);
                self.fleet.holds(id, held);
            }
            NodeEvent::Ahead(version) => self.witness.saw_ahead(version),
            NodeEvent::Report(Report::Interest(frame)) => {
                self.routes.on_frame(id, &frame, now);
                if self.routes.is_caught_up(id) {
                    self.warming.on_reported(id);
                }
            }
            NodeEvent::Report(report) => self.is_plan_due |= self.fleet.reported(id, report, now),
            NodeEvent::Closed => self.fleet.closed(id, now),
        }
    }

    /// Works out what is to be done. To be called after inputs, and when [`Self::poll_timeout`] says so; outputs follow.
    pub fn advance(&mut self, clock: Clock) {
        self.now = self.now.max(clock.now);
        if self.fleet.handle_timeout(self.now, self.settings.silent_after, self.settings.dead_after_ms) {
            self.is_plan_due = true;
        }
        if self.office == Office::Following || self.halted().is_some() {
            return;
        }
        self.warming.handle_timeout(self.now);
        self.advance_writes(clock);
        if let Office::Leading { .. } = self.office {
            self.publish();
            self.transmit_interest();
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::advance`] next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let silent = self.fleet.poll_timeout(self.settings.silent_after);
        if self.office == Office::Following || self.halted().is_some() {
            return silent;
        }
        let dead = self.fleet.next_death(self.now, self.settings.dead_after_ms);
        let plan = (self.may_plan() && self.is_plan_due && self.writing.is_idle()).then(|| self.plan_from());
        let interest = self.routes.poll_timeout(self.now);
        let all = [silent, dead, plan, interest, self.writing.poll_timeout(), self.warming.poll_timeout()];
        all.into_iter().flatten().min()
    }

    /// Whether the routes should be built: something has changed, and the last build is long enough ago.
    #[must_use]
    pub fn is_build_due(&self, now: Duration) -> bool {
        self.build_at().is_some_and(|at| at <= now)
    }

    /// When the routes should be built; `None`: nothing has changed, or this replica must not.
    #[must_use]
    pub fn build_at(&self) -> Option<Duration> {
        let may = matches!(self.office, Office::Leading { .. }) && self.halted().is_none() && self.warming.is_over();
        self.routes.build_at().filter(|_| may)
    }

    /// Builds the routes of all regions, which may take long; those that have changed are put out. Say afterwards how long
    /// it took: [`Self::on_built`].
    pub fn build_routes(&mut self) {
        let (Office::Leading { epoch, .. }, Some(view)) = (self.office, &self.view) else { return };
        let tables = self.routes.build(view, epoch);
        self.outputs.extend(tables.into_iter().map(Output::Publish));
    }

    /// The last build ended at `now` and took so long.
    pub fn on_built(&mut self, now: Duration, took: Duration) {
        self.routes.rest_until(now + self.settings.build_every + took);
    }

    /// Whether this replica leads.
    #[must_use]
    pub fn office(&self) -> Office {
        self.office
    }

    /// The store as it was last heard of; `None` before the first listing.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// What the nodes say.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What has been seen of later stores, to be kept on this replica's disk.
    #[must_use]
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Nodes that a new leader waits for.
    pub fn warming(&self) -> impl Iterator<Item = NodeId> {
        self.warming.waiting()
    }

    /// What the last plan did and waits for.
    #[must_use]
    pub fn last_plan(&self) -> Option<&PlanReport> {
        self.last_plan.as_ref()
    }

    /// Routes as they were built last.
    pub fn routes(&self) -> impl Iterator<Item = &std::sync::Arc<sluice_cluster::routing::BaseTable>> {
        self.routes.tables()
    }

    /// What operators should know.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        alarm::all(self)
    }

    /// Why nothing is written or published, if so.
    fn halted(&self) -> Option<Alarm> {
        alarm::halting(self)
    }

    /// Looks at who leads according to the store.
    fn on_view(&mut self) {
        let Some(view) = &self.view else { return };
        self.writing.on_view(view.revision());
        let Some(leadership) = view.leadership() else { return };
        self.witness.saw_stored(leadership.epoch);
        let fence = view.modified(&crate::record::RecordKey::Leadership);
        let is_mine = leadership.leader == self.me;
        match self.office {
            Office::Elected if is_mine && leadership.epoch > self.led => self.step_up(leadership.epoch, fence),
            Office::Leading { epoch, .. } if is_mine && leadership.epoch >= epoch => {
                let is_new = leadership.epoch > epoch;
                self.office = Office::Leading { epoch: leadership.epoch, fence };
                self.led = leadership.epoch;
                if is_new {
                    self.published = Published::default();
                    self.routes.publish_again();
                }
            }
            Office::Leading { .. } => {
                self.step_down();
                self.outputs.push_back(Output::Resign);
            }
            Office::Elected | Office::Following => {}
        }
    }

    fn step_up(&mut self, epoch: Epoch, fence: Revision) {
        self.office = Office::Leading { epoch, fence };
        self.led = epoch;
        self.published = Published::default();
        self.routes.publish_again();
        let view = self.view.iter();
        let nodes: Vec<NodeId> =
            view.flat_map(View::nodes).filter(|(_, node)| !node.is_gone()).map(|(id, _)| id).collect();
        let until = self.now + self.settings.warm_max;
        let unheard = nodes.iter().filter(|id| !self.routes.is_caught_up(**id));
        self.warming = Warming::new(unheard.map(|id| (*id, until)));
        self.fleet.expect(nodes, self.now);
        self.is_plan_due = true;
    }

    fn step_down(&mut self) {
        self.office = Office::Following;
        self.warming = Warming::default();
        self.fleet = Fleet::default();
        self.routes = Routes::new(&self.me);
        self.outputs.retain(|output| matches!(output, Output::Resign));
    }

    fn transmit_interest(&mut self) {
        let (routes, now) = (&mut self.routes, self.now);
        for id in self.fleet.connected() {
            let frames = std::iter::from_fn(|| routes.poll_transmit(id, now));
            self.outputs.extend(frames.map(|frame| Output::Interest(id, frame)));
        }
    }
}
