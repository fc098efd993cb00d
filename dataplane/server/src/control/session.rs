//! The control task: keeps a stream to control, and does on the side what is due: tables, saving, renewal.

mod stream;
mod upkeep;

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sluice_cluster::{Address, Member, NodeId, Placement, Policies, Version, wire::resources};
use sluice_discovery::{ClientOutput, ClientStream, CloseReason, PerType, ResourceType};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use self::stream::Trouble;
use self::upkeep::{Renewer, Saver};
use super::backoff::Backoff;
use super::routes::{RoutesBuilder, Source};
use super::saved::SavedFile;
use super::tables::{in_effect, named};
use super::{ControlSettings, ControlStatus, NodeIdentity, Refused, ReportProvider, TableConsumer, type_name};

/// Keeps a node in touch with control. Made with [`Self::new`], which hands over the saved tables; then [`Self::run`].
pub struct ControlTask<C, P> {
    settings: ControlSettings,
    consumer: C,
    provider: P,
    machine: ClientStream,
    current: Current,
    routes: RoutesBuilder,
    saver: Saver,
    renewer: Renewer,
    backoff: Backoff,
    began: Instant,
    sessions: u64,
    status: watch::Sender<ControlStatus>,
    wake: Arc<Notify>,
    stop: watch::Receiver<bool>,
}

/// The tables that the consumer has.
#[derive(Debug, Default)]
struct Current {
    nodes: Option<Arc<BTreeMap<NodeId, Member>>>,
    placement: Option<Arc<Placement>>,
    policies: Option<Arc<Policies>>,
}

/// What the rest of the node has of its control task. When the last of them is gone, the task stops.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    wake: Arc<Notify>,
    stop: Arc<watch::Sender<bool>>,
    status: watch::Receiver<ControlStatus>,
    identity: watch::Receiver<Arc<NodeIdentity>>,
}

impl ControlHandle {
    /// The provider has something to report.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ends the task, which saves what is not saved yet.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// How the task stands.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ControlStatus> {
        self.status.clone()
    }

    /// The identity, which is another one after each renewal.
    #[must_use]
    pub fn identity(&self) -> watch::Receiver<Arc<NodeIdentity>> {
        self.identity.clone()
    }
}

impl<C: TableConsumer, P: ReportProvider> ControlTask<C, P> {
    /// Reads the saved tables and hands them to the consumer before it returns.
    #[must_use]
    pub fn new(
        settings: ControlSettings,
        identity: Arc<NodeIdentity>,
        consumer: C,
        provider: P,
    ) -> (Self, ControlHandle) {
        let node = identity.node();
        let file = SavedFile::new(&settings.folder, settings.region.as_ref());
        let (status, status_seen) = watch::channel(ControlStatus {
            certificate_expires_s: identity.expires_s(),
            lost: Some(Instant::now()),
            ..ControlStatus::default()
        });
        let (identity, identity_seen) = watch::channel(identity);
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        // Nodes begin at different endpoints, the same node at the same.
        let first = usize::try_from(node.0 % 1024).unwrap_or_default();
        let backoff = Backoff::new(settings.endpoints.clone(), first, settings.pause_min, settings.pause_max);
        let mut task = Self {
            machine: restore(node, &file, &settings),
            consumer,
            provider,
            current: Current::default(),
            routes: RoutesBuilder::new(),
            saver: Saver::new(file),
            renewer: Renewer::new(settings.clone(), identity),
            backoff,
            began: Instant::now(),
            sessions: 0,
            status,
            wake: Arc::clone(&wake),
            stop: stopped,
            settings,
        };
        task.hand_over_saved();
        let handle = ControlHandle { wake, stop: Arc::new(stop), status: status_seen, identity: identity_seen };
        (task, handle)
    }

    /// Runs on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(self) -> io::Result<thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        thread::Builder::new().name("control".into()).spawn(move || runtime.block_on(self.run()))
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        while !self.is_stopped() {
            let Some(endpoint) = self.backoff.endpoint() else {
                warn!("no endpoint of control is configured: tables stay as they are");
                self.pause(None).await;
                continue;
            };
            let trouble = self.stream(&endpoint).await;
            self.disconnected();
            let Some(trouble) = trouble else { continue };
            let pause = self.backoff.failed(trouble.leader.clone(), fastrand::f64());
            self.note(&endpoint, trouble);
            self.pause(Some(pause)).await;
        }
        self.saver.finish(|| self.machine.export()).await;
    }

    fn is_stopped(&self) -> bool {
        // Nobody can stop a task that nobody has.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Waits, and does what is due meanwhile; without an end until it is stopped.
    async fn pause(&mut self, pause: Option<Duration>) {
        let until = pause.map(|pause| tokio::time::Instant::now() + pause);
        while !self.is_stopped() {
            let mut stop = self.stop.clone();
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                _ = stop.wait_for(|stop| *stop) => return,
                work = due(&mut self.routes, &mut self.saver, &mut self.renewer) => self.do_due(work, None),
            }
        }
    }

    fn do_due(&mut self, work: Due, connected: Option<&Address>) {
        match work {
            Due::Routes(Some(table)) => self.consumer.routes(table),
            Due::Routes(None) => {}
            Due::Save => self.saver.save(self.machine.export()),
            Due::Renew => {
                let endpoint = connected.cloned().or_else(|| self.settings.endpoints.first().cloned());
                self.renewer.renew(endpoint);
            }
            Due::Renewed(expires_s) => self.status.send_modify(|status| status.certificate_expires_s = expires_s),
        }
    }

    /// Does what the machine asks for. Returns why the stream is over, if it is.
    fn carry_out(&mut self) -> Option<CloseReason> {
        let mut over = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                ClientOutput::Applied(applied) => {
                    let kind = applied.kind;
                    info!(table = type_name(kind), version = %applied.version, changed = applied.upserted.len(), removed = applied.removed.len(), "a table was taken");
                    self.hand_over(kind);
                    self.status.send_modify(|status| *status.refused.of_mut(kind) = None);
                    let is_routes = kind == ResourceType::Routes;
                    self.saver.changed(if is_routes {
                        self.settings.save_routes_after
                    } else {
                        self.settings.save_after
                    });
                }
                ClientOutput::Settled => {
                    // Routes are left as they are: what is too much in them costs a copy until the next table.
                    [ResourceType::Nodes, ResourceType::Placement].into_iter().for_each(|kind| self.hand_over(kind));
                    self.saver.changed(self.settings.save_routes_after);
                }
                ClientOutput::Refused { kind, version, refusal } => {
                    warn!(table = type_name(kind), %version, reason = %refusal, "a table was refused; the last good one stays");
                    let refused = Some(Refused { version, refusal });
                    self.status.send_modify(|status| *status.refused.of_mut(kind) = refused);
                }
                ClientOutput::Close(_, reason) => over = Some(reason),
            }
        }
        self.note_held();
        over
    }

    /// Hands the consumer what is in effect of a type, if it is not what it has.
    fn hand_over(&mut self, kind: ResourceType) {
        let held = self.machine.held(kind);
        let version = held.version();
        if version == Version::ZERO {
            return;
        }
        let all = in_effect(held);
        let own: BTreeMap<_, _> = held.iter().collect();
        let handed = match kind {
            ResourceType::Nodes => resources::read_nodes(named(&all)).map(|nodes| {
                if let Some(nodes) = self.current.nodes.replace_if_other(nodes) {
                    self.consumer.nodes(version, nodes);
                }
            }),
            ResourceType::Placement => {
                // Blocks of a keyspace that has only just gone may not fit to what replaces it.
                let read = resources::read_placement(version, named(&all));
                let read = read.or_else(|_| resources::read_placement(version, named(&own)));
                read.map(|placement| {
                    if let Some(placement) = self.current.placement.replace_if_other(placement) {
                        self.consumer.placement(placement);
                    }
                })
            }
            ResourceType::Routes => {
                self.routes.build(Source::held(held));
                Ok(())
            }
            ResourceType::Policy => resources::read_policies(named(&own)).map(|policies| {
                if let Some(policies) = self.current.policies.replace_if_other(policies) {
                    self.consumer.policy(version, policies);
                }
            }),
        };
        if let Err(error) = handed {
            error!(table = type_name(kind), %error, "an accepted table cannot be read");
        }
    }

    fn hand_over_saved(&mut self) {
        for kind in [ResourceType::Nodes, ResourceType::Placement, ResourceType::Policy] {
            self.hand_over(kind);
        }
        let routes = self.machine.held(ResourceType::Routes);
        if routes.version() > Version::ZERO {
            match Source::with_retired(routes).build() {
                Ok(table) => self.consumer.routes(Arc::new(table)),
                Err(error) => error!(%error, "saved routes cannot be put together"),
            }
        }
        self.note_held();
    }

    /// Says which tables the node has.
    fn note_held(&self) {
        let held = PerType::from_fn(|kind| self.machine.held(kind).version());
        let shards = self.current.placement.as_ref().map_or(0, |placement| placement.shards().len());
        self.status.send_if_modified(|status| {
            let is_new = (status.held, status.shards) != (held, shards);
            (status.held, status.shards) = (held, shards);
            is_new
        });
    }

    fn disconnected(&mut self) {
        self.provider.connected(false);
        self.status.send_modify(|status| {
            if status.connected.take().is_some() {
                status.lost = Some(Instant::now());
            }
        });
    }

    fn note(&self, endpoint: &Address, trouble: Trouble) {
        let is_new = self.status.borrow().trouble.as_ref() != Some(&trouble.what);
        if is_new {
            warn!(%endpoint, trouble = trouble.what, "control is not reached; the node goes on with the tables it has");
        }
        self.status.send_modify(|status| status.trouble = Some(trouble.what));
    }
}

/// What is to be done on the side.
enum Due {
    Routes(Option<Arc<sluice_cluster::routing::BaseTable>>),
    Save,
    Renew,
    Renewed(i64),
}

/// The next thing that is due. Nothing is lost when the wait is given up.
async fn due(routes: &mut RoutesBuilder, saver: &mut Saver, renewer: &mut Renewer) -> Due {
    tokio::select! {
        table = routes.next() => Due::Routes(table),
        () = saver.due() => Due::Save,
        renewed = renewer.due() => renewed.map_or(Due::Renew, Due::Renewed),
    }
}

fn restore(node: NodeId, file: &SavedFile, settings: &ControlSettings) -> ClientStream {
    let (limits, timing) = (settings.limits, settings.timing);
    let Some(saved) = file.load() else { return ClientStream::new(node, limits, timing) };
    ClientStream::restore(node, &saved, limits, timing).unwrap_or_else(|error| {
        warn!(%error, "saved tables are not used: control will send them");
        ClientStream::new(node, limits, timing)
    })
}

trait ReplaceIfOther<T> {
    /// Takes a value that is not the one here, and hands it out.
    fn replace_if_other(&mut self, value: T) -> Option<Arc<T>>;
}

impl<T: PartialEq> ReplaceIfOther<T> for Option<Arc<T>> {
    fn replace_if_other(&mut self, value: T) -> Option<Arc<T>> {
        if self.as_deref() == Some(&value) {
            return None;
        }
        Some(Arc::clone(self.insert(Arc::new(value))))
    }
}
