//! `sluice demo`: a cluster whose regions are as far apart as one likes, and can be cut off from each other.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cluster::{ask, samples, until},
    service::{Service, binary},
};

/// A demo that runs; it is killed when it goes.
#[derive(Debug)]
pub struct Demo {
    service: Service,
    folder: TempDir,
    api: SocketAddr,
    token: String,
}

impl Demo {
    /// Starts a demo with these arguments at free ports, and waits until all its nodes have links to each other.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-regions-").tempdir().expect("a folder");
        let data = folder.path().join("data");
        let own = ["demo", "--mqtt-port", "0", "--api", "127.0.0.1:0", "--data", data.to_str().expect("UTF-8")];
        let all = [&own[..], arguments].concat();
        let service = Service::new(&binary(), all, folder.path().join("log")).with("XDG_RUNTIME_DIR", folder.path());
        let mut demo = Self { service, folder, api: SocketAddr::from(([127, 0, 0, 1], 0)), token: String::new() };
        demo.service.start();
        until("the demo is ready", || demo.service.log_tail(usize::MAX).contains("ready in"));
        demo.api = demo.address("control", "http:");
        let token = demo.path("control/bootstrap-token");
        fs::read_to_string(token).expect("a token").trim().clone_into(&mut demo.token);
        demo
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// The first address of the line of a process's configuration that has this word.
    fn address(&self, name: &str, word: &str) -> SocketAddr {
        let file = fs::read_to_string(self.path(&format!("{name}.yaml"))).expect("a configuration");
        let line = file.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in:\n{file}"));
        line.split('"').nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// Where a node's clients come.
    #[must_use]
    pub fn mqtt(&self, node: &str) -> SocketAddr {
        self.address(node, "allow_anonymous")
    }

    /// The samples of a metric of a node, each with its line.
    #[must_use]
    pub fn metric(&self, node: &str, name: &str) -> Vec<(String, f64)> {
        samples(self.address(node, "admin:"), name)
    }

    /// Asks control.
    #[must_use]
    pub fn control(&self, method: &str, path: &str, body: &str) -> Value {
        ask(self.api, &self.token, method, path, body)
    }

    /// Waits until so many nodes have shards and hold all that control publishes.
    pub fn until_synced(&self, nodes: usize) {
        until("the nodes have all that is published", || {
            let answer = self.control("GET", "/api/v1/nodes", "");
            let is_placed = |node: &Value| node["shards"].as_u64() > Some(0);
            let placed = answer["items"].as_array().is_some_and(|nodes| nodes.iter().all(is_placed));
            let tables = answer["items"].as_array().into_iter().flatten().flat_map(|node| node["sync"].as_array());
            let states: Vec<&Value> = tables.flatten().map(|table| &table["state"]).collect();
            // Four types of resources.
            placed && states.len() == 4 * nodes && states.iter().all(|state| *state == "SYNCED")
        });
    }

    /// The link to the dashboard that the demo prints.
    #[must_use]
    pub fn dashboard(&self) -> String {
        let said = self.service.log_tail(usize::MAX);
        let link = said.lines().find_map(|line| line.strip_prefix("Dashboard"));
        link.unwrap_or_else(|| panic!("no link in:\n{said}")).trim().to_owned()
    }

    /// Gives the running demo an order, such as `partition eu us`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn order(&self, words: &[&str]) {
        let mut command = Command::new(binary());
        let output = command.arg("demo").args(words).env("XDG_RUNTIME_DIR", self.folder.path()).output();
        let output = output.expect("the server's binary");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
