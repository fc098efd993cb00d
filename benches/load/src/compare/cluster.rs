//! A cluster of Sluice on this machine: control with an embedded store, and nodes with links to each other.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::running::free_ports;
use crate::process;
use crate::target::Target;

/// A cluster whose nodes are linked. Its processes end with this value.
#[derive(Debug)]
pub(super) struct Cluster {
    children: Vec<Child>,
    nodes: Vec<Node>,
    /// The largest UDP payload that links try, in bytes.
    mtu: u16,
    /// Removed after the processes have ended, because fields are dropped after `drop`.
    dir: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    mqtt: SocketAddr,
    admin: SocketAddr,
    pid: u32,
}

/// How long the cluster may take until its nodes are linked.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl Cluster {
    /// Starts control and so many nodes of one worker each on `cores`, and waits until the nodes are linked.
    pub(super) fn start(program: &Path, nodes: usize, cores: &[usize], mtu: u16) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
        let dir = TempDir::with_prefix("load-cluster-").context("cannot create a temporary folder")?;
        let mut cluster = Self { children: Vec::new(), nodes: Vec::new(), mtu, dir };
        let (api, push) = cluster.start_control(&program, cores)?;
        for nth in 0..nodes {
            cluster.start_node(&program, nth, (api, push), cores)?;
        }
        cluster.until_linked()?;
        Ok(cluster)
    }

    /// Subscribers at one node, publishers at another or the same one; what all nodes use is counted.
    pub(super) fn target(&self, subscribers: usize, publishers: usize) -> Target {
        let at = |nth: usize| self.nodes[nth].mqtt;
        let pids = self.nodes.iter().map(|node| node.pid).collect();
        Target { address: at(subscribers), publish_address: at(publishers), tls: None, pids }
    }

    fn start_control(&mut self, program: &Path, cores: &[usize]) -> Result<(SocketAddr, SocketAddr)> {
        let [api, push] = free_ports()?.map(local);
        let data = self.path("control");
        let text = format!(
            "control: {{name: c1, data: {data:?}}}\nstore: {{kind: embedded}}\nnodes: {{bind: \"{push}\"}}\nhttp: {{bind: \"{api}\"}}\n"
        );
        self.spawn(program, "control", &text, cores)?;
        self.until("control answers", || Ok(ask(api, "GET", "/ready", "")?.starts_with("HTTP/1.1 200")))?;
        Ok((api, push))
    }

    fn start_node(
        &mut self,
        program: &Path,
        nth: usize,
        (api, push): (SocketAddr, SocketAddr),
        cores: &[usize],
    ) -> Result<()> {
        let name = format!("n{nth}");
        let bearer = fs::read_to_string(self.path("control").join("bootstrap-token")).context("control's token")?;
        let answer = ask(api, "POST", "/api/v1/node-tokens", bearer.trim())?;
        let token = answer.split('"').find(|word| word.starts_with("slj")).context("no token for a node")?;
        let token_file = self.path(&format!("{name}.token"));
        fs::write(&token_file, token).context("cannot write a token")?;
        let [mqtt, admin, peers] = free_ports()?.map(local);
        let (data, mtu) = (self.path(&name), self.mtu);
        let text = format!(
            "node: {{name: {name}, data: {data:?}}}\nworkers: 1\nadmin: {{bind: \"{admin}\"}}\n\
             listeners: [{{bind: \"{mqtt}\", allow_anonymous: true}}]\n\
             cluster:\n  control: {{endpoints: [\"https://{push}\"], token: {token_file:?}}}\n  \
             labels: {{region: here}}\n  peers: {{bind: \"{peers}\", mtu_max: {mtu}}}\n"
        );
        let pid = self.spawn(program, &name, &text, cores)?;
        self.nodes.push(Node { mqtt, admin, pid });
        Ok(())
    }

    /// Starts `sluice control` or, for any other name, `sluice node`.
    fn spawn(&mut self, program: &Path, name: &str, config: &str, cores: &[usize]) -> Result<u32> {
        let file = self.path(&format!("{name}.yaml"));
        fs::write(&file, config).context("cannot write a configuration")?;
        let log = File::create(self.path(&format!("{name}.log"))).context("cannot create a log file")?;
        let mut command = Command::new(program);
        let role = if name == "control" { "control" } else { "node" };
        command.arg(role).arg("-c").arg(file).stdin(Stdio::null());
        command.stderr(log.try_clone().context("cannot use a log file twice")?).stdout(log);
        let child = process::spawn_on(command, cores).with_context(|| format!("cannot start {name}"))?;
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }

    fn until_linked(&mut self) -> Result<()> {
        let (admins, others) = (self.nodes.iter().map(|node| node.admin).collect::<Vec<_>>(), self.nodes.len() - 1);
        for admin in admins {
            self.until("the nodes are ready and linked", || {
                // With a placement: before, nothing that lasts is served.
                if !ask(admin, "GET", "/ready", "")?.starts_with("HTTP/1.1 200") {
                    return Ok(false);
                }
                let metrics = ask(admin, "GET", "/metrics", "")?;
                let links = metrics.lines().filter(|line| line.starts_with("mqtt_peer_round_trip_seconds{"));
                Ok(links.count() == others)
            })?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        // Who is asked may not listen yet.
        while !is_so().unwrap_or_default() {
            for child in &mut self.children {
                if let Some(status) = child.try_wait().context("cannot wait for a process")? {
                    bail!("a process ended with {status}: see {}", self.dir.path().display());
                }
            }
            ensure!(Instant::now() < deadline, "still waiting: {what}");
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended, and nothing can be done about a process that cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The whole answer to one request.
fn ask(address: SocketAddr, method: &str, path: &str, bearer: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
