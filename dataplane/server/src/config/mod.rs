//! The file of a node: everything that is decided on this machine.
//!
//! [`NodeConfig::load`] reads the file and the environment, checks what the keys say together, and locates each mistake.
//! What it returns is valid: nothing behind it checks again. What belongs to the whole cluster (policies, placements) is
//! never in this file; each key has one owner.

mod access;
mod bind;
mod cluster;
mod files;
mod limits;
mod listener;
mod memory;
mod mqtt;
mod network;
mod settings;
mod storage;
mod validate;

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_service::{
    config::{ConfigError, Duration, KeyPath, Problem, Source},
    telemetry::LogFormat,
};

pub use self::{
    access::{Access, Auth},
    bind::Bind,
    cluster::{Cluster, Control, Etcd, Peers},
    limits::Limits,
    listener::{Certificate, ClientAuth, Listener, ListenerAuth, OpenTo, Protocol, ProxyProtocol, Tls, WebSocket},
    memory::MemoryBudget,
    mqtt::{Inbox, Mqtt, Overflow, Retained, Shared, SharedStrategy},
    network::Network,
    storage::{Durability, Storage},
};

/// The file of a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Who this node is.
    pub node: Node,
    /// Where clients come in, one entry for each address. A listener that can be reached from other machines must say
    /// who may come in: `auth: required` with an `auth.chain`, or `allow_anonymous: true`.
    pub listeners: Vec<Listener>,
    /// How the credentials of clients are checked.
    pub auth: Auth,
    /// What clients may publish and subscribe to.
    pub access: Access,
    /// What this broker offers in MQTT, and how much of it.
    pub mqtt: Mqtt,
    /// Bounds against overload and abuse.
    pub limits: Limits,
    /// Where and how safely state is stored.
    pub storage: Storage,
    /// The cluster that this node belongs to.
    pub cluster: Cluster,
    /// The HTTP port for operators: `/health`, `/ready`, `/cluster/status`, `/metrics`.
    pub admin: Admin,
    /// What is logged, to standard error.
    pub log: Log,
    /// How the node goes down.
    pub shutdown: Shutdown,
    /// Threads that serve clients. Without it, one for each CPU that the process may use.
    pub workers: Option<NonZeroU16>,
    /// How often the `$SYS` topics are published; `0` = never.
    pub sys_interval: Duration,
}

/// Who a node is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// The name in logs and answers. Without it, the machine's name.
    pub name: Option<String>,
    /// The directory of everything the node keeps; created when missing.
    pub data: PathBuf,
}

/// The port for operators.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Its address. It has no password of its own: beyond this machine, let only monitoring reach it.
    pub bind: SocketAddr,
}

/// What is logged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// From which level on: `error`, `warn`, `info`, `debug` or `trace`, or pairs such as
    /// `info,sluice_dataplane_server=debug`.
    pub level: String,
}

/// How a node goes down.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Clients disconnected a second, so that they do not all come back at once elsewhere; `0` = all together.
    pub drain_rate: u32,
    /// After this long the rest is disconnected together.
    pub drain_timeout: Duration,
    /// Where version 5 clients are sent (Server Reference), such as `broker2.example.com:8883`. Without it, to other nodes
    /// of the cluster, of the same region if there are any.
    pub server_reference: Option<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            node: Node::default(),
            listeners: vec![Listener::default()],
            auth: Auth::default(),
            access: Access::default(),
            mqtt: Mqtt::default(),
            limits: Limits::default(),
            storage: Storage::default(),
            cluster: Cluster::default(),
            admin: Admin::default(),
            log: Log::default(),
            shutdown: Shutdown::default(),
            workers: None,
            sys_interval: Duration::secs(10),
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { name: None, data: "/var/lib/sluice".into() }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 7090).into() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_rate: 0, drain_timeout: Duration::secs(30), server_reference: None }
    }
}

impl NodeConfig {
    /// Reads a file, with the overrides of the process's environment. Relative paths in it are taken from the file's
    /// own directory.
    ///
    /// # Errors
    /// Everything that is wrong with it, located.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let source = Source::read(path)?.with_environment(environment());
        let mut config = Self::from_source(&source)?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Understands and checks a configuration that was read elsewhere; relative paths stay as they are.
    ///
    /// # Errors
    /// Everything that is wrong with it, located.
    pub fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let config: Self = source.parse()?;
        source.refuse(validate::problems(&config))?;
        Ok(config)
    }

    /// The number of workers: as configured, or the CPUs that the process may use.
    #[must_use]
    pub fn workers(&self) -> u16 {
        let cpus = || std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(WORKERS_MAX));
        self.workers.map_or_else(|| cpus().min(WORKERS_MAX), NonZeroU16::get)
    }

    /// The node's name: as configured, or the machine's.
    #[must_use]
    pub fn name(&self) -> String {
        let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = self.node.name.clone().or_else(machine);
        name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "node".into())
    }

    /// The store's directory.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.storage.path.clone().unwrap_or_else(|| self.node.data.join("store"))
    }

    /// Whether it is one node of several.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.cluster.control.is_some()
    }

    /// Who can get in through a listener.
    #[must_use]
    pub fn open_to(&self, listener: &Listener) -> OpenTo {
        listener.open_to(!self.auth.chain.is_empty())
    }

    /// Takes relative paths from a directory.
    fn resolve_paths(&mut self, from: &Path) {
        let own = [Some(&mut self.node.data), self.storage.path.as_mut(), self.access.file.as_mut()];
        let own = own.into_iter().flatten();
        let control = self.cluster.control.iter_mut().filter_map(|control| control.token.as_mut());
        let listeners = self.listeners.iter_mut().flat_map(Listener::paths_mut);
        for path in own.chain(control).chain(listeners).chain(self.auth.chain.iter_mut().flat_map(access::paths_mut)) {
            if path.is_relative() {
                *path = from.join(&*path);
            }
        }
    }
}

/// The process's environment. A variable that is not UTF-8 cannot be the name or value of a key.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The path of a key at the top.
fn top(key: &str) -> KeyPath {
    KeyPath::root().key(key)
}

/// More workers than any machine has cores; a worker is a thread and owns shards.
const WORKERS_MAX: u16 = 256;

#[cfg(test)]
mod tests;
