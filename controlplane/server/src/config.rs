//! The file of a replica of control: everything that is decided on this machine. What operators want of the cluster is never
//! in it: that is changed through the HTTP interface.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_cluster::{Address, Label};
use sluice_service::{
    config::{ConfigError, Duration, KeyPath, Problem, Source},
    telemetry::LogFormat,
};

/// The file of a replica of control.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Which replica this is.
    pub control: Control,
    /// Where the cluster's metadata is kept.
    pub store: Store,
    /// Where nodes come in, with certificates of the cluster's own authority.
    pub nodes: Nodes,
    /// The HTTP interface of operators.
    pub http: Http,
    /// What is logged, to standard error.
    pub log: Log,
}

/// Which replica this is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Its name among the replicas, such as `c1`.
    pub name: String,
    /// The name of the cluster. Fixed once its authority exists.
    pub cluster: String,
    /// The directory of everything it keeps; created when missing.
    pub data: PathBuf,
}

/// Where the cluster's metadata is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `embedded`: in this process, for a control of one replica. `etcd`: in an etcd that all replicas share.
    pub kind: StoreKind,
    /// How the etcd is reached.
    pub etcd: Etcd,
    /// How long the lease of the replica that leads lasts. Another one takes over after that.
    pub lease: Duration,
}

/// Which metadata store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In this process.
    #[default]
    Embedded,
    /// In etcd.
    Etcd,
}

/// How the etcd is reached.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// All of its members, such as `http://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// In front of every key, so that several clusters can share an etcd.
    pub prefix: String,
    /// The user's name, if it asks for one.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// A PEM file of the authority that its certificates are signed by.
    pub ca: Option<PathBuf>,
    /// A PEM file of the certificate that this replica shows.
    pub cert: Option<PathBuf>,
    /// A PEM file of the key of that certificate.
    pub key: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Where nodes come in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// The address.
    pub bind: SocketAddr,
    /// Where nodes reach this replica, as `host:port`, when that is not `bind`.
    pub advertise: Option<String>,
    /// After how long a silence a node counts as dead, and its shards are brought elsewhere.
    pub dead_after: Duration,
    /// How long certificates of nodes are valid; they are renewed when a third of it is left.
    pub certificate_lifetime: Duration,
}

/// The HTTP interface of operators.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The address.
    pub bind: SocketAddr,
    /// A PEM file of the certificate that it shows. With `key`: HTTPS.
    pub cert: Option<PathBuf>,
    /// A PEM file of the key of that certificate.
    pub key: Option<PathBuf>,
    /// Whether tokens may travel without TLS to an address that other machines reach.
    pub allow_plaintext: bool,
}

/// What is logged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// From which level on: `error`, `warn`, `info`, `debug` or `trace`, or pairs such as `info,sluice_controlplane_server=debug`.
    pub level: String,
}

impl Default for Control {
    fn default() -> Self {
        Self { name: "c1".into(), cluster: "sluice".into(), data: "/var/lib/sluice/control".into() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { kind: StoreKind::Embedded, etcd: Etcd::default(), lease: Duration::secs(10) }
    }
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".into()],
            prefix: "/sluice/".into(),
            user: None,
            password_file: None,
            ca: None,
            cert: None,
            key: None,
            timeout: Duration::secs(3),
        }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            bind: (Ipv6Addr::UNSPECIFIED, 7081).into(),
            advertise: None,
            dead_after: Duration::secs(300),
            certificate_lifetime: Duration::secs(30 * 24 * 3600),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 7080).into(), cert: None, key: None, allow_plaintext: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl ControlConfig {
    /// Reads a file, with the overrides of the process's environment. Relative paths in it are taken from the file's own
    /// directory.
    ///
    /// # Errors
    /// Everything that is wrong with it, located.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let source = Source::read(path)?.with_environment(environment);
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
        source.refuse(problems(&config))?;
        Ok(config)
    }

    /// Where nodes are told to find this replica.
    #[must_use]
    pub fn advertised(&self, bound: SocketAddr) -> String {
        let own = || match bound.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port()),
            _ => bound,
        };
        self.nodes.advertise.clone().unwrap_or_else(|| own().to_string())
    }

    fn resolve_paths(&mut self, from: &Path) {
        let etcd = &mut self.store.etcd;
        let files = [
            &mut etcd.password_file,
            &mut etcd.ca,
            &mut etcd.cert,
            &mut etcd.key,
            &mut self.http.cert,
            &mut self.http.key,
        ];
        for path in files.into_iter().flatten().chain([&mut self.control.data]) {
            if path.is_relative() {
                *path = from.join(&*path);
            }
        }
    }
}

/// What the keys say together.
fn problems(config: &ControlConfig) -> Vec<Problem> {
    let mut found = Vec::new();
    let at = |section: &str, key: &str| KeyPath::root().key(section).key(key);
    let mut say = |path: KeyPath, message: String, hint: &str| found.push(Problem::new(path, message).hint(hint));
    if let Err(error) = Label::parse(&config.control.name) {
        say(at("control", "name"), error.to_string(), "a name has letters, digits and . _ / - only");
    }
    if let Some(Err(error)) = config.nodes.advertise.as_ref().map(|text| text.parse::<Address>()) {
        say(at("nodes", "advertise"), error.to_string(), "such as control-1.example.com:7081");
    }
    if config.store.kind == StoreKind::Etcd && config.store.etcd.endpoints.is_empty() {
        say(at("store", "etcd").key("endpoints"), "no etcd to ask".into(), "name all its members");
    }
    if config.store.etcd.user.is_some() != config.store.etcd.password_file.is_some() {
        say(
            at("store", "etcd").key("user"),
            "a user needs a password_file, and the other way round".into(),
            "name both",
        );
    }
    if config.store.etcd.cert.is_some() != config.store.etcd.key.is_some() {
        say(at("store", "etcd").key("cert"), "a certificate needs its key".into(), "name both cert and key");
    }
    if config.store.lease.as_std() < LEASE_MIN {
        say(at("store", "lease"), "a lease of less than 2s is lost on a busy machine".into(), "10s is a good start");
    }
    if !(LIFETIME_MIN..=LIFETIME_MAX).contains(&config.nodes.certificate_lifetime.as_std()) {
        let message = "certificates are valid for 96 hours to 30 days".to_owned();
        say(
            at("nodes", "certificate_lifetime"),
            message,
            "a node outlives 72 hours without control, and a removed one is remembered for 30 days",
        );
    }
    let http = &config.http;
    if http.cert.is_some() != http.key.is_some() {
        say(at("http", "cert"), "a certificate needs its key".into(), "name both cert and key");
    }
    if !http.bind.ip().is_loopback() && http.cert.is_none() && !http.allow_plaintext {
        let message = format!("{} can be reached from other machines, and tokens would travel in the clear", http.bind);
        say(
            at("http", "bind"),
            message,
            "add http.cert and http.key, or http.allow_plaintext: true behind a proxy that has TLS",
        );
    }
    found
}

const LIFETIME_MIN: std::time::Duration = std::time::Duration::from_secs(96 * 3600);
/// As long as a node that was removed is remembered.
const LIFETIME_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
const LEASE_MIN: std::time::Duration = std::time::Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use sluice_service::config::reference;

    use super::*;

    fn wrong(yaml: &str) -> String {
        let source = Source::from_text("control.yaml", yaml);
        ControlConfig::from_source(&source).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_good_and_every_key_says_what_it_is() {
        assert_eq!(wrong("{}"), "");
        assert_eq!(reference::undocumented(&reference::keys::<ControlConfig>()), Vec::<String>::new());
    }

    #[test]
    fn tokens_do_not_travel_in_the_clear_unless_that_is_said() {
        assert!(wrong("http: {bind: \"0.0.0.0:7080\"}").contains("in the clear"));
        assert_eq!(wrong("http: {bind: \"0.0.0.0:7080\", allow_plaintext: true}"), "");
    }

    #[test]
    fn what_does_not_go_together_is_told_where_it_stands() {
        assert!(wrong("store: {etcd: {user: root}}").contains("password_file"));
        assert!(wrong("http: {cert: a.pem}").contains("needs its key"));
        assert!(wrong("control: {name: \"a b\"}").contains("' '"));
        assert!(wrong("nodes: {advertise: here}").contains("port"));
        assert!(wrong("nodes: {certificate_lifetime: 1h}").contains("96 hours"));
        assert!(wrong("store: {lease: 1s}").contains("busy machine"));
        assert!(wrong("stor: {}").contains("stor"));
    }
}
