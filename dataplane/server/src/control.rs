//! The node's side of control: joining, the push stream, and the last good tables on disk.
//!
//! [`identity`]: a node's key and certificates; [`join()`] gets them for a token. [`ControlTask`] keeps a stream to one of the
//! control endpoints, hands what is pushed to a [`TableConsumer`], takes what goes up from a [`ReportProvider`], saves the
//! tables, and renews the certificate. A node that starts while control is away has the tables it had.
//!
//! ```text
//!          saved tables ──► consumer
//! start ──┤                                    stream over, or control silent
//!          └──► dialling ──► connected ◄─────────────────┐
//!                  ▲  │          │                       │
//!                  └──┘ next     └───────────────────────┘
//!                  endpoint, with growing pauses
//! ```
//!
//! Nothing here knows what the tables are for.

mod backoff;
mod dial;
pub mod identity;
mod join;
mod routes;
mod saved;
mod session;
mod tables;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sluice_cluster::{
    Address, Label, Member, NodeId, Placement, Policies, Registration, Report, Version,
    interest::{InterestFrame, Position},
    routing::BaseTable,
};
use sluice_discovery::{Limits, PerType, Refusal, ResourceType, Timing};

pub use self::dial::{DialError, connect};
pub use self::identity::NodeIdentity;
pub use self::join::{JoinError, JoinToken, join, renew};
pub use self::session::{ControlHandle, ControlTask};

/// How to reach control, and what is kept of it.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// Where control is: at least one; tried in turn.
    pub endpoints: Vec<Address>,
    /// A folder for the identity and the tables, which this task has for itself.
    pub folder: PathBuf,
    /// The node's region. Tables that were saved in another one are not used.
    pub region: Option<Label>,
    /// As at control.
    pub limits: Limits,
    /// As at control.
    pub timing: Timing,
    /// How long an attempt to connect may take, with TLS.
    pub connect_max: Duration,
    /// The pause after all endpoints have failed; doubled each time, up to `pause_max`.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How soon changed tables are saved.
    pub save_after: Duration,
    /// How soon changed routes are saved: they are large, and older ones only cost copies until peers have spoken.
    pub save_routes_after: Duration,
}

impl ControlSettings {
    /// The usual bounds and periods.
    #[must_use]
    pub fn new(endpoints: Vec<Address>, folder: PathBuf) -> Self {
        Self {
            endpoints,
            folder,
            region: None,
            limits: Limits::default(),
            timing: Timing::default(),
            connect_max: Duration::from_secs(5),
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(10),
            save_after: Duration::from_millis(200),
            save_routes_after: Duration::from_secs(60),
        }
    }
}

/// Takes what control pushes. Calls come from the control task, one at a time, and should be short.
pub trait TableConsumer: Send + 'static {
    /// Whether this node can live with a table, asked before it is accepted. What can be told from the tables alone has
    /// been checked.
    ///
    /// # Errors
    /// Why not: control and its operators read it.
    fn judge(&self, proposed: &Proposed<'_>) -> Result<(), String>;

    /// Who the nodes are, from here on.
    fn nodes(&mut self, version: Version, nodes: Arc<BTreeMap<NodeId, Member>>);

    /// Who has which shard, from here on.
    fn placement(&mut self, placement: Arc<Placement>);

    /// The base table, from here on. It comes a moment after it was accepted; of several only the last may come.
    fn routes(&mut self, table: Arc<BaseTable>);

    /// What operators want, from here on.
    fn policy(&mut self, version: Version, policies: Arc<Policies>);
}

/// A table that control would like this node to hold.
#[derive(Debug)]
pub enum Proposed<'a> {
    /// Who the nodes are.
    Nodes(&'a BTreeMap<NodeId, Member>),
    /// Who has which shard.
    Placement(&'a Placement),
    /// A base table of this version, with the interest of these owners up to these positions.
    Routes(Version, &'a BTreeMap<NodeId, Position>),
    /// What operators want.
    Policy(&'a Policies),
}

/// Has what goes to control. Calls come from the control task, one at a time, and should be short.
/// [`ControlHandle::wake`] says that there is something.
pub trait ReportProvider: Send + 'static {
    /// What the node says of itself when a stream opens.
    fn registration(&mut self) -> Registration;

    /// A stream is open, and `poll_report` will be called; or it is over, and what was sent may not have come.
    fn connected(&mut self, is_connected: bool);

    /// The next report, when the transport has room for one.
    fn poll_report(&mut self, now: Instant) -> Option<Report>;

    /// When to poll next without being woken.
    fn poll_timeout(&self) -> Option<Instant>;

    /// A question or an acknowledgement of control about this node's interest.
    fn interest(&mut self, frame: InterestFrame, now: Instant);
}

/// How the control task stands, for operators.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ControlStatus {
    /// The endpoint of the open stream.
    pub connected: Option<Address>,
    /// When the last stream was over, or the first was wanted.
    pub lost: Option<Instant>,
    /// The version held of each type.
    pub held: PerType<Version>,
    /// Shards that the placement in effect has a home for: none in a cluster that is being made.
    pub shards: usize,
    /// The last refusal of each type, until something newer of it is accepted.
    pub refused: PerType<Option<Refused>>,
    /// Why the last attempt to connect failed, or the last stream ended.
    pub trouble: Option<String>,
    /// When the certificate expires, in seconds since the Unix epoch.
    pub certificate_expires_s: i64,
    /// Streams that were opened.
    pub streams: u64,
}

impl ControlStatus {
    /// How long there has been no stream; `None` = there is one.
    #[must_use]
    pub fn without_for(&self, now: Instant) -> Option<Duration> {
        let lost = self.lost.filter(|_| self.connected.is_none());
        lost.map(|lost| now.saturating_duration_since(lost))
    }
}

/// A table that was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its version.
    pub version: Version,
    /// Why.
    pub refusal: Refusal,
}

/// What a type is called in logs.
pub(crate) fn type_name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Nodes => "nodes",
        ResourceType::Placement => "placement",
        ResourceType::Routes => "routes",
        ResourceType::Policy => "policy",
    }
}
