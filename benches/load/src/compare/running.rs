//! One started broker process, from its start to its end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::broker::{Broker, Place};
use super::certificate;
use crate::dial::{Client, dial};
use crate::target::Target;
use crate::{process, tls};

/// A broker that accepts connections. Ends with this value at the latest.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    target: Target,
    start_time: Duration,
    /// Removed after the process has ended, because fields are dropped after `drop`.
    dir: TempDir,
}

/// How long a broker may take to accept connections.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a broker may take to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(10);
const LOG: &str = "log";

impl Running {
    /// Starts `broker` with an empty folder on `cores`, encrypted or not, and waits until it accepts a client.
    pub(super) fn start(broker: &Broker, encrypted: bool, cores: &[usize]) -> Result<Self> {
        let dir = TempDir::with_prefix("load-").context("cannot create a temporary folder")?;
        let [port, admin_port] = free_ports()?;
        let mut command = broker.prepare(Place { port, admin_port, dir: dir.path() }, encrypted)?;
        let tls = if encrypted {
            certificate::write(dir.path())?;
            Some(tls::client(&dir.path().join(certificate::CERTIFICATE))?)
        } else {
            None
        };
        let log = File::create(dir.path().join(LOG)).context("cannot create the broker's log file")?;
        let errors = log.try_clone().context("cannot use the broker's log file twice")?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let started = Instant::now();
        let child = process::spawn_on(command, cores).with_context(|| format!("cannot start {}", broker.name))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let target = Target::single(address, tls, Some(child.id()));
        let mut running = Self { child, target, start_time: Duration::ZERO, dir };
        running.wait_until_ready(started)?;
        running.start_time = started.elapsed();
        Ok(running)
    }

    /// Where it listens.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// From starting the process to the first CONNACK.
    pub(super) fn start_time(&self) -> Duration {
        self.start_time
    }

    /// Ends the process in order, or by force if it does not end.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).context("cannot send SIGTERM to the broker")?;
        }
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if self.child.try_wait().context("cannot wait for the broker")?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn wait_until_ready(&mut self, started: Instant) -> Result<()> {
        let probe = [Client::new("load-probe".to_owned())];
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for the broker")? {
                bail!("it ended at once with {status}: {}", self.last_words());
            }
            let error = match dial(&self.target, &probe) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if started.elapsed() > START_MAX {
                return Err(error.context(format!("it accepts no client: {}", self.last_words())));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing can be done about a process that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ports that were free a moment ago.
pub(super) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    // Held together, so that no two are the same.
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port");
    let listeners = (0..COUNT).map(bind).collect::<Result<Vec<_>>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().context("no port")?.port();
    }
    Ok(ports)
}
