//! `sluice dev` and `sluice node`: a node from its start to its end.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sluice_dataplane_server::{
    OnDamage, RunningNode,
    admin::{AdminServer, Build, NodeFace, StatusSource},
    config::{Bind, Listener, Node, NodeConfig, Protocol, Shutdown},
};
use sluice_service::{
    lifecycle::{self, Request, Signals},
    telemetry,
};

use crate::{banner, cli::DevArgs, exit::Failure};

/// Runs the node of a configuration file.
pub(crate) fn node(path: &Path, on_damage: OnDamage) -> Result<(), Failure> {
    let config = NodeConfig::load(path)?;
    run(&config, on_damage, |node, admin, took| {
        let mut text = format!(
            "sluice {}  node {}  {} workers  data in {}\n",
            Build::THIS.version,
            config.name(),
            config.workers(),
            config.store_path().display()
        );
        text.push_str(&banner::listeners(&config, Some(node.bound())));
        if config.access.file.is_none() {
            text.push_str("access: no rules, every client that comes in may publish and subscribe to everything\n");
        }
        text + &format!("operators: http://{}\nready in {:.2}s\n", admin, took.as_secs_f64())
    })
}

/// Runs a node to try things with.
pub(crate) fn dev(args: DevArgs) -> Result<(), Failure> {
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("sluice-dev-").tempdir()?),
    };
    let data = args.data.or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned())).unwrap_or_default();
    // Given on the command line, an open address is meant.
    let open = |bind, protocol| Listener { allow_anonymous: Some(true), ..Listener::at(bind, protocol) };
    let mut config = NodeConfig {
        node: Node { name: Some("dev".into()), data },
        listeners: vec![open(args.mqtt, Protocol::Mqtt), open(args.ws, Protocol::Ws)],
        workers: args.workers,
        ..NodeConfig::default()
    };
    config.admin.bind = args.admin;
    "warn,sluice=info".clone_into(&mut config.log.level);
    run(&config, OnDamage::Refuse, |node, admin, took| dev_banner(&config, (node, admin), took, temporary.is_some()))
}

fn dev_banner(
    config: &NodeConfig,
    (node, admin): (&RunningNode, SocketAddr),
    took: Duration,
    temporary: bool,
) -> String {
    let data = if temporary { "data is gone at the end".into() } else { config.node.data.display().to_string() };
    let mut text = format!("sluice {}  dev mode: no passwords, {data}\n", Build::THIS.version);
    text.push_str(&banner::listeners(config, Some(node.bound())));
    let port = match node.bound().first().map(|bound| &bound.bind) {
        Some(Bind::Tcp(address)) if address.port() != 1883 => format!(" -p {}", address.port()),
        _ => String::new(),
    };
    text + &format!(
        "operators: http://{admin}  (/health /ready /cluster/status /metrics)\n\
         try:  mosquitto_sub{port} -v -t 'demo/#'     and then     mosquitto_pub{port} -t demo/hello -m hi\n\
         ready in {took:.2}s\n",
        took = took.as_secs_f64()
    )
}

/// Starts the node, says so, and stays until it is told to stop.
fn run(
    config: &NodeConfig,
    on_damage: OnDamage,
    banner: impl Fn(&RunningNode, SocketAddr, Duration) -> String,
) -> Result<(), Failure> {
    telemetry::init(config.log.format, &config.log.level).map_err(Failure::failed)?;
    let patient = Arc::new(AtomicBool::new(false));
    let requests = requests(Arc::clone(&patient))?;
    let start = Instant::now();
    let face = NodeFace::new(config);
    let admin = AdminServer::start(config.admin.bind, Arc::clone(&face) as Arc<dyn StatusSource>)
        .with_context(|| format!("cannot listen on {} for operators", config.admin.bind))
        .map_err(|error| Failure::of_start(&error))?;
    let node = Arc::new(sluice_dataplane_server::start(config, on_damage).map_err(|error| Failure::of_start(&error))?);
    face.serving(Arc::clone(&node));
    patient.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    // Nobody may be reading.
    let _ = write!(out, "{}", banner(&node, admin.address(), start.elapsed())).and_then(|()| out.flush());
    lifecycle::notify_ready("serving");
    attend(&node, &requests);
    patient.store(false, Ordering::SeqCst);
    lifecycle::notify_stopping("disconnecting clients");
    tracing::info!(connections = node.connections(), "stopping");
    face.draining();
    let Shutdown { drain_rate, drain_timeout, server_reference } = &config.shutdown;
    node.shutdown(*drain_rate, drain_timeout.as_std(), server_reference.as_deref());
    // The store is closed when the last of these is gone.
    drop((admin, face, node));
    Ok(())
}

/// Serves signals and the watchdog until the node is to stop.
fn attend(node: &RunningNode, requests: &Receiver<Request>) {
    let interval = lifecycle::watchdog_interval().unwrap_or(STATUS_INTERVAL).min(STATUS_INTERVAL);
    loop {
        match requests.recv_timeout(interval) {
            Ok(Request::Reload) => {
                tracing::info!("reading all files again");
                node.reload();
            }
            Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if node.turns(PATIENCE) {
            lifecycle::notify_alive();
            lifecycle::notify_status(&format!("serving {} clients", node.connections()));
        } else {
            // Without a word from us the watchdog ends the process, and what restarts it gets clients going again.
            tracing::error!("a worker does not answer: its clients are stuck");
        }
    }
}

/// The requests that signals make. One to stop while nobody attends (the node starts or already stops) ends the process
/// at once, which loses nothing that was acknowledged.
fn requests(patient: Arc<AtomicBool>) -> Result<Receiver<Request>, Failure> {
    let mut signals = Signals::take()?;
    let (sender, requests) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Some(request) = signals.wait() {
            if request == Request::Stop && !patient.swap(false, Ordering::SeqCst) {
                process::exit(ENDED_BY_SIGNAL);
            }
            // The receiver is gone only when the process ends.
            let _ = sender.send(request);
        }
    })?;
    Ok(requests)
}

/// For the workers to end their turns. Turns take milliseconds; a machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the line of `systemctl status` is renewed.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);
/// As shells report a process that an interrupt ended.
const ENDED_BY_SIGNAL: i32 = 130;
