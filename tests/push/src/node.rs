//! A node: the real control task, with a consumer that remembers and a provider that says what a test says.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Instant,
};

use sluice_cluster::{
    Address, Labels, Member, NodeId, Placement, Policies, Process, ProtocolRange, Registration, Report, Version,
    Weight, interest::InterestFrame, routing::BaseTable,
};
use sluice_dataplane_server::control::{
    ControlHandle, ControlSettings, ControlStatus, ControlTask, JoinError, NodeIdentity, Proposed, ReportProvider,
    TableConsumer, join,
};
use tempfile::TempDir;

/// What a node was handed.
#[derive(Debug, Default)]
pub struct Seen {
    /// The nodes' table.
    pub nodes: Option<(Version, Arc<BTreeMap<NodeId, Member>>)>,
    /// The placement.
    pub placement: Option<Arc<Placement>>,
    /// The routes.
    pub routes: Option<Arc<BaseTable>>,
    /// The policies.
    pub policies: Option<(Version, Arc<Policies>)>,
    /// Tables of any type.
    pub handed: usize,
    /// Questions and acknowledgements about interest.
    pub interest: Vec<InterestFrame>,
    /// Why a nodes' table is refused, if it is to be.
    pub refuse_nodes: Option<String>,
    reports: VecDeque<Report>,
}

/// A node of a cluster.
pub struct TestNode {
    folder: TempDir,
    id: NodeId,
    seen: Arc<Mutex<Seen>>,
    running: Option<(ControlHandle, JoinHandle<()>)>,
    twin: Option<ControlHandle>,
}

struct Remembers(Arc<Mutex<Seen>>);

impl TableConsumer for Remembers {
    fn judge(&self, proposed: &Proposed<'_>) -> Result<(), String> {
        let seen = self.0.lock().unwrap();
        match (proposed, &seen.refuse_nodes) {
            (Proposed::Nodes(_), Some(reason)) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn nodes(&mut self, version: Version, nodes: Arc<BTreeMap<NodeId, Member>>) {
        let mut seen = self.0.lock().unwrap();
        seen.nodes = Some((version, nodes));
        seen.handed += 1;
    }

    fn placement(&mut self, placement: Arc<Placement>) {
        let mut seen = self.0.lock().unwrap();
        seen.placement = Some(placement);
        seen.handed += 1;
    }

    fn routes(&mut self, table: Arc<BaseTable>) {
        let mut seen = self.0.lock().unwrap();
        seen.routes = Some(table);
        seen.handed += 1;
    }

    fn policy(&mut self, version: Version, policies: Arc<Policies>) {
        let mut seen = self.0.lock().unwrap();
        seen.policies = Some((version, policies));
        seen.handed += 1;
    }
}

impl ReportProvider for Remembers {
    fn registration(&mut self) -> Registration {
        let process = Process {
            peer_addresses: vec!["127.0.0.1:7070".parse().unwrap()],
            client_addresses: Vec::new(),
            build: "test".parse().unwrap(),
            peer_protocol: ProtocolRange::new(1, 1).unwrap(),
            workers: 2,
        };
        Registration { labels: Labels::default(), weight: Weight::default(), process }
    }

    fn connected(&mut self, _: bool) {}

    fn poll_report(&mut self, _: Instant) -> Option<Report> {
        self.0.lock().unwrap().reports.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn interest(&mut self, frame: InterestFrame, _: Instant) {
        self.0.lock().unwrap().interest.push(frame);
    }
}

impl TestNode {
    /// A machine joins with a token, and does not run yet.
    ///
    /// # Errors
    /// Control refuses.
    pub fn join(endpoints: &[Address], token: &str) -> Result<Self, JoinError> {
        let folder = tempfile::tempdir().unwrap();
        let identity = Self::join_in(folder.path(), endpoints, token)?;
        Ok(Self { folder, id: identity.node(), seen: Arc::default(), running: None, twin: None })
    }

    /// Joins with what is in a folder.
    ///
    /// # Errors
    /// Control refuses.
    pub fn join_in(folder: &Path, endpoints: &[Address], token: &str) -> Result<Arc<NodeIdentity>, JoinError> {
        let settings = ControlSettings::new(endpoints.to_vec(), folder.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(join(&settings, &token.parse()?))
    }

    /// Runs, with what is in its folder.
    pub fn start(&mut self, endpoints: &[Address]) {
        let settings = ControlSettings::new(endpoints.to_vec(), self.folder.path().to_owned());
        self.start_with(settings);
    }

    /// Runs, with what is in its folder.
    pub fn start_with(&mut self, settings: ControlSettings) {
        let identity = Arc::new(NodeIdentity::load(self.folder.path()).unwrap().unwrap());
        let (consumer, provider) = (Remembers(Arc::clone(&self.seen)), Remembers(Arc::clone(&self.seen)));
        let (task, handle) = ControlTask::new(settings, identity, consumer, provider);
        self.running = Some((handle, task.spawn().unwrap()));
    }

    /// Runs a second time beside the first, as a copied machine would.
    ///
    /// # Panics
    /// The folder has no identity.
    pub fn start_twin(&mut self, endpoints: &[Address]) {
        let copy = tempfile::tempdir().unwrap();
        let identity = Arc::new(NodeIdentity::load(self.folder.path()).unwrap().unwrap());
        let settings = ControlSettings::new(endpoints.to_vec(), copy.path().to_owned());
        let (consumer, provider) = (Remembers(Arc::default()), Remembers(Arc::default()));
        let (task, handle) = ControlTask::new(settings, identity, consumer, provider);
        drop(task.spawn().unwrap());
        self.twin = Some(handle);
    }

    /// Stops, and forgets all but what is in its folder.
    pub fn stop(&mut self) {
        if let Some((handle, thread)) = self.running.take() {
            handle.stop();
            thread.join().unwrap();
        }
        *self.seen.lock().unwrap() = Seen::default();
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was handed.
    ///
    /// # Panics
    /// A call to it has panicked.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// How it stands.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn status(&self) -> ControlStatus {
        self.running.as_ref().unwrap().0.status().borrow().clone()
    }

    /// Reports something.
    ///
    /// # Panics
    /// It does not run.
    pub fn report(&self, report: Report) {
        self.seen().reports.push_back(report);
        self.running.as_ref().unwrap().0.wake();
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some((handle, _)) = &self.running {
            handle.stop();
        }
    }
}
