//! A cluster of real processes: [`Etcd`] of three members, two replicas of control, and nodes that have joined.
//! [`traffic`] has its clients.

mod etcd;
pub mod traffic;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub use self::etcd::Etcd;
use crate::service::{Service, free_address};

/// All processes; they are killed when it goes.
#[derive(Debug)]
pub struct Cluster {
    /// What control keeps its knowledge in.
    pub etcd: Etcd,
    /// The replicas.
    pub controls: Vec<Control>,
    /// The nodes.
    pub nodes: Vec<Member>,
    token: String,
    folder: TempDir,
}

/// A replica of control.
#[derive(Debug)]
pub struct Control {
    /// Its process.
    pub service: Service,
    /// Where it answers HTTP.
    pub http: SocketAddr,
    push: SocketAddr,
}

/// A node of the cluster.
#[derive(Debug)]
pub struct Member {
    /// Its process.
    pub service: Service,
    /// Where its clients come.
    pub mqtt: SocketAddr,
    admin: SocketAddr,
}

impl Cluster {
    /// Starts three members of etcd, two replicas of control and so many nodes, and waits until each node has a link to
    /// every other one and a stream to control.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-cluster-").tempdir().expect("a folder");
        let etcd = Etcd::start(&folder.path().join("etcd"), 3);
        let mut this = Self { etcd, controls: Vec::new(), nodes: Vec::new(), token: String::new(), folder };
        (0..2).for_each(|nth| this.add_control(nth));
        (0..nodes).for_each(|nth| this.add_node(nth));
        this.until_linked();
        this.until_placed();
        this
    }

    /// Waits until every shard has a home, and every node knows.
    fn until_placed(&self) {
        until("shards are placed", || {
            (0..self.controls.len()).any(|nth| {
                let answer = self.control(nth, "GET", "/api/v1/nodes", "");
                let Some(nodes) = answer["items"].as_array() else { return false };
                let has_all = |node: &Value| {
                    let tables = node["sync"].as_array().into_iter().flatten();
                    node["shards"].as_u64() > Some(0) && tables.clone().all(|table| table["state"] == "SYNCED")
                };
                nodes.len() == self.nodes.len() && nodes.iter().all(has_all)
            })
        });
    }

    fn add_control(&mut self, nth: usize) {
        let name = format!("c{nth}");
        let (http, push) = (free_address(), free_address());
        let (file, data) = (self.path(&format!("{name}.yaml")), self.path(&name));
        let yaml = format!(
            "control: {{name: {name}, data: {data}}}\n\
             store: {{kind: etcd, etcd: {{endpoints: [{endpoints}]}}}}\n\
             nodes: {{bind: '{push}'}}\n\
             http: {{bind: '{http}'}}\n",
            data = data.display(),
            endpoints = self.etcd.endpoints(),
        );
        fs::write(&file, yaml).expect("a file");
        let mut service = Service::sluice("control", &file, self.path(&format!("{name}.log")));
        service.start();
        self.controls.push(Control { service, http, push });
        if nth == 0 {
            // The first one that starts leaves it.
            let token = data.join("bootstrap-token");
            until("control leaves its first token", || token.exists());
            fs::read_to_string(token).expect("a file").trim().clone_into(&mut self.token);
        }
        self.until_control_answers(nth);
    }

    fn add_node(&mut self, nth: usize) {
        let made = self.control(0, "POST", "/api/v1/node-tokens", "");
        let token = made["token"].as_str().unwrap_or_else(|| panic!("no token: {made}")).to_owned();
        let name = format!("n{nth}");
        let (mqtt, admin) = (free_address(), free_address());
        let (file, secret) = (self.path(&format!("{name}.yaml")), self.path(&format!("{name}.token")));
        fs::write(&secret, token).expect("a file");
        let endpoints = self.controls.iter().map(|control| format!("'https://{}'", control.push));
        let yaml = format!(
            "node: {{name: {name}, data: {data}}}\n\
             workers: 2\n\
             admin: {{bind: '{admin}'}}\n\
             listeners: [{{bind: '{mqtt}', allow_anonymous: true}}]\n\
             limits: {{takeovers_per_minute: 0}}\n\
             cluster:\n\
             \x20 control: {{endpoints: [{endpoints}], token: {secret}}}\n\
             \x20 labels: {{region: eu}}\n\
             \x20 peers: {{bind: '{peers}'}}\n",
            data = self.path(&name).display(),
            endpoints = endpoints.collect::<Vec<_>>().join(", "),
            secret = secret.display(),
            peers = free_address(),
        );
        fs::write(&file, yaml).expect("a file");
        let mut service = Service::sluice("node", &file, self.path(&format!("{name}.log")));
        service.start();
        self.nodes.push(Member { service, mqtt, admin });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until every node has a link to every other one, and a stream to control.
    pub fn until_linked(&self) {
        for node in &self.nodes {
            until("a node has its links and control", || {
                let links = node.metric("mqtt_peer_round_trip_seconds").len();
                links + 1 == self.nodes.len() && node.sum("mqtt_config_stream_connected") > 0.5
            });
        }
    }

    /// Waits until a replica of control can serve.
    pub fn until_control_answers(&self, nth: usize) {
        let url = format!("http://{}/ready", self.controls[nth].http);
        until("control is ready", || fetch(&["--fail", &url]).is_some());
    }

    /// Asks a replica of control. An answer that is no JSON is null.
    #[must_use]
    pub fn control(&self, nth: usize, method: &str, path: &str, body: &str) -> Value {
        ask(self.controls[nth].http, &self.token, method, path, body)
    }

    /// Kills all replicas of control (SIGKILL).
    pub fn kill_control(&mut self) {
        for control in &mut self.controls {
            control.service.kill().unwrap_or_else(|status| panic!("control ended by itself: {status}"));
        }
    }

    /// Starts all replicas of control on what they have on disk.
    pub fn start_control(&mut self) {
        self.controls.iter_mut().for_each(|control| control.service.start());
        (0..self.controls.len()).for_each(|nth| self.until_control_answers(nth));
    }
}

impl Drop for Cluster {
    /// A test that fails tells what the processes said.
    #[allow(clippy::print_stderr, reason = "that is where it is looked for")]
    fn drop(&mut self) {
        if thread::panicking() {
            let controls = self.controls.iter().map(|control| &control.service);
            for (nth, service) in controls.chain(self.nodes.iter().map(|node| &node.service)).enumerate() {
                eprintln!("---- process {nth}:\n{}", service.log_tail(20));
            }
        }
    }
}

impl Member {
    /// Waits until the node takes clients.
    pub fn until_ready(&self) {
        let url = format!("http://{}/ready", self.admin);
        until("a node is ready", || fetch(&["--fail", &url]).is_some());
    }

    /// The samples of a metric, whatever their labels: each with its line.
    #[must_use]
    pub fn metric(&self, name: &str) -> Vec<(String, f64)> {
        samples(self.admin, name)
    }

    /// The samples of a metric, summed.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.metric(name).iter().map(|(_, value)| value).sum()
    }
}

/// The samples of a metric at a node's admin address, whatever their labels: each with its line.
#[must_use]
pub fn samples(admin: SocketAddr, name: &str) -> Vec<(String, f64)> {
    let text = fetch(&[&format!("http://{admin}/metrics")]).unwrap_or_default();
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let sample = |line: &str| Some((line.to_owned(), line.rsplit_once(' ')?.1.parse().ok()?));
    text.lines().filter(of_name).filter_map(sample).collect()
}

/// Waits for something that must come to be.
///
/// # Panics
/// When it does not within a minute.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "still waiting: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Asks control. An answer that is no JSON is null.
#[must_use]
pub fn ask(http: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> Value {
    let url = format!("http://{http}{path}");
    let token = format!("Authorization: Bearer {token}");
    // A resource that is put is a new one.
    let condition = if method == "PUT" { "If-None-Match: *" } else { "X-Condition: none" };
    let headers = ["--header", &token, "--header", "Content-Type: application/json", "--header", condition];
    let text = fetch(&[&["--request", method], &headers[..], &["--data", body, &url]].concat());
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// What curl fetched, if it could.
fn fetch(arguments: &[&str]) -> Option<String> {
    let output = Command::new("curl").args(["--silent", "--max-time", "10"]).args(arguments).output().expect("curl");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
