//! A replica from its start to its end.

use std::{
    fs, io, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use anyhow::Context as _;
use ring::rand::{SecureRandom, SystemRandom};
use sluice_cluster::Label;
use sluice_controlplane_core::{
    reconciler::{Reconciler, Settings},
    record::ReplicaId,
};
use sluice_controlplane_store::{Embedded, Etcd, EtcdSettings, EtcdTls, MetaStore};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};
use tracing::warn;

use super::{
    driver::{Driver, Handle},
    election,
    kept::{JoinTokens, KeptAuthority},
    witness::WitnessFile,
};
use crate::{
    Authority, Join, Push, PushSettings, ServeSettings,
    access::Access,
    config::{self, ControlConfig, StoreKind},
    http::{self, Api},
    serve,
};

/// A running replica.
pub struct ControlServer {
    http: SocketAddr,
    nodes: SocketAddr,
    handle: Handle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a replica does not start.
pub type StartError = anyhow::Error;

impl ControlServer {
    /// Starts a replica. Waits for a metadata store that cannot be reached.
    ///
    /// # Errors
    /// A file, an address or the store cannot be had, or contradicts the configuration.
    pub async fn start(config: &ControlConfig) -> Result<Self, StartError> {
        let data = &config.control.data;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(|| data.display().to_string())?;
        let witness = WitnessFile::open(data).with_context(|| format!("{}/witness", data.display()))?;
        let nodes =
            TcpListener::bind(config.nodes.bind).await.with_context(|| format!("nodes: {}", config.nodes.bind))?;
        let http = TcpListener::bind(config.http.bind).await.with_context(|| format!("http: {}", config.http.bind))?;
        let tls = http::tls(&config.http)?;
        let store = open_store(config, data).await?;
        let kept = KeptAuthority(Arc::clone(&store));
        let lifetime = config.nodes.certificate_lifetime.as_std();
        let authority = insist(|| Authority::open(&kept, &config.control.cluster, lifetime)).await?;
        let authority = Arc::new(authority);
        let access = Access::follow(Arc::clone(&store));
        let first = data.join("bootstrap-token");
        insist_on_io(|| access.bootstrap(&first)).await?;

        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let push = Push::new(PushSettings::default(), events);
        let (leases, lease_events) = mpsc::channel(4);
        let resign = Arc::new(Notify::new());
        let dead_after_ms = u64::try_from(config.nodes.dead_after.as_std().as_millis()).unwrap_or(u64::MAX);
        let settings = Settings { dead_after_ms, ..Settings::default() };
        let reconciler = Reconciler::new(replica(config)?, settings, witness.witness());
        let (driver, handle) = Driver::new(
            reconciler,
            Arc::clone(&store),
            push.clone(),
            witness,
            (lease_events, Arc::clone(&resign)),
            inbox,
        );
        let (stop, stopped) = watch::channel(false);
        let advertised = config.advertised(nodes.local_addr()?);
        let server = Self {
            http: http.local_addr()?,
            nodes: nodes.local_addr()?,
            handle: handle.clone(),
            stop,
            tasks: Vec::new(),
        };
        let tokens = JoinTokens::new(Arc::clone(&store));
        let api = Api::new(config, handle, access, tokens.clone(), Arc::clone(&authority));
        let events = api.events();
        let watched = server.handle.clone();
        let join = Join::new(Arc::clone(&authority), Arc::new(tokens));
        let election = election::run(store, advertised, config.store.lease.as_std(), resign, leases);
        Ok(server.running([
            spawn(stopped.clone(), "driver", |stop| driver.run(stop)),
            spawn(stopped.clone(), "nodes", |stop| serve(nodes, authority, push, join, ServeSettings::default(), stop)),
            spawn(stopped.clone(), "events", |stop| events.run(watched, stop)),
            spawn(stopped, "http", |stop| http::serve(http, tls, api, stop)),
            tokio::spawn(election),
        ]))
    }

    fn running(mut self, tasks: impl IntoIterator<Item = JoinHandle<()>>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// Where operators come in.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where nodes come in.
    #[must_use]
    pub fn nodes(&self) -> SocketAddr {
        self.nodes
    }

    /// What it knows.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until a part ends that should not.
    pub async fn ended(&mut self) {
        std::future::poll_fn(|context| {
            let mut ended = self.tasks.iter_mut().map(|task| Pin::new(task).poll(context).is_ready());
            if ended.any(|is_over| is_over) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Ends: streams first, then the lease, so that another replica leads at once.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // One that has ended before was waited for already.
        for task in self.tasks.into_iter().filter(|task| !task.is_finished()) {
            // A panic there was reported there.
            let _ = tokio::time::timeout(STOP_MAX, task).await;
        }
    }
}

/// Runs a part of the process until it is told to stop. A part that fails takes the others with it.
fn spawn<F, E>(
    stopped: watch::Receiver<bool>,
    name: &'static str,
    part: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
) -> JoinHandle<()>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let mut stop = stopped;
    let until = Box::pin(async move {
        let _ = stop.wait_for(|stop| *stop).await;
    });
    let running = part(until);
    tokio::spawn(async move {
        if let Err(error) = running.await {
            tracing::error!(part = name, %error, "a part of this replica has failed");
        }
    })
}

fn replica(config: &ControlConfig) -> Result<ReplicaId, StartError> {
    let mut life = [0; 8];
    SystemRandom::new().fill(&mut life).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(ReplicaId { name: Label::parse(&config.control.name)?, life: u64::from_le_bytes(life) })
}

async fn open_store(config: &ControlConfig, data: &Path) -> Result<Arc<dyn MetaStore>, StartError> {
    match config.store.kind {
        StoreKind::Embedded => {
            let path = data.join("store");
            let store = Embedded::open(&path).with_context(|| path.display().to_string())?;
            Ok(Arc::new(store))
        }
        StoreKind::Etcd => {
            let settings = etcd(&config.store.etcd)?;
            loop {
                match Etcd::connect(settings.clone()).await {
                    Ok(store) => return Ok(Arc::new(store)),
                    Err(error) if error.is_passing() => wait_for_store(&error).await,
                    Err(error) => return Err(error).context("etcd"),
                }
            }
        }
    }
}

fn etcd(config: &config::Etcd) -> Result<EtcdSettings, StartError> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let password = config.password_file.as_deref().map(read).transpose()?;
    let password = password.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
    let authority = config.ca.as_deref().map(read).transpose()?;
    let identity = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
        (Some(_) | None, Some(_) | None) => None,
    };
    let has_tls = authority.is_some() || identity.is_some();
    Ok(EtcdSettings {
        endpoints: config.endpoints.clone(),
        prefix: config.prefix.clone(),
        user: config.user.clone().zip(password),
        tls: has_tls.then_some(EtcdTls { authority, identity, server_name: None }),
        timeout: config.timeout.as_std(),
        quota_bytes: None,
    })
}

/// Tries until the store answers. What it answers may still be an error.
async fn insist<T, F>(attempt: impl Fn() -> F) -> Result<T, StartError>
where
    F: Future<Output = Result<T, crate::AuthorityError>>,
{
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error @ crate::AuthorityError::Store(_)) => wait_for_store(&error).await,
            Err(error) => return Err(error).context("the cluster's authority"),
        }
    }
}

async fn insist_on_io<F>(attempt: impl Fn() -> F) -> Result<(), StartError>
where
    F: Future<Output = io::Result<()>>,
{
    loop {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Other => wait_for_store(&error).await,
            Err(error) => return Err(error).context("the first token"),
        }
    }
}

async fn wait_for_store(error: &(dyn std::fmt::Display + Sync)) {
    warn!(%error, "waiting for the metadata store");
    tokio::time::sleep(STORE_RETRY_AFTER).await;
}

/// Events of all streams that wait for the driver. Beyond, streams wait.
const EVENTS_MAX: usize = 1024;
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);
const STOP_MAX: Duration = Duration::from_secs(8);
