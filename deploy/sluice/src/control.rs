//! `sluice control`: a replica of control from its start to its end.

use std::{
    io::{self, Write as _},
    path::Path,
    thread,
};

use sluice_controlplane_server::{ControlServer, config::ControlConfig};
use sluice_dataplane_server::admin::Build;
use sluice_service::{
    lifecycle::{self, Request, Signals},
    telemetry,
};
use tokio::sync::mpsc;

use crate::exit::Failure;

/// Runs the replica of a configuration file.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let config = ControlConfig::load(path)?;
    telemetry::init(config.log.format, &config.log.level).map_err(Failure::failed)?;
    let mut requests = requests()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("control").build()?;
    runtime.block_on(async {
        // A store that cannot be reached keeps it from starting; whoever asked it to stop does not wait for that.
        let started = tokio::select! {
            started = ControlServer::start(&config) => started.map_err(|error| Failure::of_start(&error))?,
            () = stop(&mut requests) => return Ok(()),
        };
        let mut server = started;
        let mut out = io::stdout();
        // Nobody may be reading.
        let _ = write!(out, "{}", banner(&config, &server)).and_then(|()| out.flush());
        lifecycle::notify_ready("serving");
        let has_failed = tokio::select! {
            () = stop(&mut requests) => false,
            () = server.ended() => true,
        };
        lifecycle::notify_stopping("leaving");
        server.stop().await;
        if has_failed { Err(Failure::failed("a part of this replica has failed; the log says which")) } else { Ok(()) }
    })
}

fn banner(config: &ControlConfig, server: &ControlServer) -> String {
    let scheme = if config.http.cert.is_some() { "https" } else { "http" };
    format!(
        "sluice {}  control {}  data in {}\n  operators  {scheme}://{}/api/v1\n  nodes      {}  told to nodes as {}\n",
        Build::THIS.version,
        config.control.name,
        config.control.data.display(),
        server.http(),
        server.nodes(),
        config.advertised(server.nodes()),
    )
}

async fn stop(requests: &mut mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        if request == Request::Stop {
            return;
        }
        tracing::info!("the files of control are read at its start: nothing to read again");
    }
}

/// The requests that signals make.
fn requests() -> Result<mpsc::UnboundedReceiver<Request>, Failure> {
    let mut signals = Signals::take()?;
    let (sender, requests) = mpsc::unbounded_channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Some(request) = signals.wait() {
            // The receiver is gone only when the process ends.
            let _ = sender.send(request);
        }
    })?;
    Ok(requests)
}
