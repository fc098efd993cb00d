//! The brokers: which are installed, and how to start each on a port of its own.
//!
//! Each is configured for one core, no authentication, TCP_NODELAY and limits out of the way of the workloads.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The bare forwarder's name in tables.
pub(super) const FORWARDER: &str = "forwarder";
/// The peer that is installed everywhere, which some bounds refer to.
pub(super) const MOSQUITTO: &str = "mosquitto";
/// The product's name in tables.
pub(super) const SLUICE: &str = "sluice";

/// A broker that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    /// Its name in tables.
    pub(super) name: String,
    program: PathBuf,
    /// In these and in `files` and `environment`, {port}, {admin} and {dir} are filled in.
    arguments: Vec<String>,
    /// Instead of `arguments` when the port is to speak TLS, with the certificate of `certificate`; `None` if this
    /// program does not know how.
    tls_arguments: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    /// Files to write into {dir} before the start: name and text.
    files: Vec<(String, String)>,
    version_arguments: Vec<String>,
}

/// Where a started broker listens and keeps its files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// For MQTT.
    pub(super) port: u16,
    /// For everything else a broker wants to listen on.
    pub(super) admin_port: u16,
    /// An empty folder.
    pub(super) dir: &'a Path,
}

impl Broker {
    /// The product, with a store on disk and so many workers.
    pub(super) fn sluice(program: &Path, workers: usize) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
        let line = "dev --mqtt 127.0.0.1:{port} --ws 127.0.0.1:0 --admin 127.0.0.1:{admin} --data {dir}/data --workers";
        let name = if workers == 1 { SLUICE.to_owned() } else { format!("{SLUICE}-{workers}") };
        let mut broker = Self::new(&name, &program, line, "version");
        broker.arguments.push(workers.to_string());
        let text = "node: {data: \"{dir}/data\"}\nadmin: {bind: \"127.0.0.1:{admin}\"}\nworkers: 1\n\
                    listeners:\n  - bind: 127.0.0.1:{port}\n    allow_anonymous: true\n    tls:\n      \
                    certificates: [{cert: \"{dir}/server.crt\", key: \"{dir}/server.key\"}]\n";
        let broker = broker.with_file("node.yaml", text).with_tls("node -c {dir}/node.yaml");
        Ok(broker)
    }

    /// This program as the bare forwarder.
    pub(super) fn forwarder() -> Result<Self> {
        let program = env::current_exe().context("cannot find this program's own file")?;
        Ok(Self::new(FORWARDER, &program, "limit --addr 127.0.0.1:{port}", "--version"))
    }

    fn new(name: &str, program: &Path, arguments: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: words(arguments),
            tls_arguments: None,
            environment: Vec::new(),
            files: Vec::new(),
            version_arguments: words(version),
        }
    }

    fn with_file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    fn with_tls(mut self, arguments: &str) -> Self {
        self.tls_arguments = Some(words(arguments));
        self
    }

    fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        self
    }

    /// Writes the broker's files and returns the command that starts it, with TLS or without. Fails if it is not known
    /// how this broker does TLS.
    pub(super) fn prepare(&self, place: Place<'_>, tls: bool) -> Result<Command> {
        let tls_arguments = || self.tls_arguments.as_ref().context("no set-up with TLS is known");
        let arguments = if tls { tls_arguments()? } else { &self.arguments };
        for (name, text) in &self.files {
            let path = place.dir.join(name);
            fs::write(&path, place.fill(text)).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut command = Command::new(&self.program);
        command.args(arguments.iter().map(|argument| place.fill(argument)));
        command.envs(self.environment.iter().map(|(name, value)| (name, place.fill(value))));
        command.current_dir(place.dir);
        Ok(command)
    }

    /// The first line the program says about its version; its path if it says nothing.
    pub(super) fn version(&self) -> String {
        let output = Command::new(&self.program).args(&self.version_arguments).output();
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| !line.trim().is_empty());
        line.map_or_else(|| self.program.display().to_string(), |line| line.trim().to_owned())
    }
}

impl Place<'_> {
    fn fill(&self, text: &str) -> String {
        let text = text.replace("{port}", &self.port.to_string()).replace("{admin}", &self.admin_port.to_string());
        text.replace("{dir}", &self.dir.display().to_string())
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The brokers found on PATH, or where Debian puts servers.
pub(super) fn installed() -> Vec<Broker> {
    let makers = [mosquitto, nats, rumqttd, nanomq, emqx];
    makers.iter().filter_map(|make| make()).collect()
}

/// Reads NAME=COMMAND.
pub(crate) fn parse_custom(text: &str) -> Result<Broker, String> {
    let parse = || {
        let (name, line) = text.split_once('=').context("write NAME=COMMAND")?;
        ensure!(!name.is_empty() && line.contains("{port}"), "the command must say where {{port}} goes");
        let (program, arguments) = line.trim().split_once(' ').unwrap_or((line, ""));
        let path = find(program).with_context(|| format!("there is no program {program:?}"))?;
        Ok(Broker::new(name, &path, arguments, "--version"))
    };
    parse().map_err(|error: anyhow::Error| error.to_string())
}

fn mosquitto() -> Option<Broker> {
    // It would give up root, and with it the folder, before it reads the key; who is not root stays who he is.
    let text = "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n\
                user root\nmax_queued_messages 0\nmax_inflight_messages 0\nmax_connections -1\nlog_dest none\n";
    let tls = format!("{text}certfile {{dir}}/server.crt\nkeyfile {{dir}}/server.key\n");
    let broker = Broker::new(MOSQUITTO, &find(MOSQUITTO)?, "-c {dir}/mosquitto.conf", "-h");
    let broker = broker.with_file("mosquitto.conf", text).with_file("tls.conf", &tls);
    Some(broker.with_tls("-c {dir}/tls.conf"))
}

fn nats() -> Option<Broker> {
    let text = "server_name: load\nlisten: 127.0.0.1:{admin}\n\
                jetstream { store_dir: \"{dir}/jetstream\" }\nmqtt { listen: 127.0.0.1:{port} }\n";
    let broker = Broker::new("nats", &find("nats-server")?, "-c {dir}/nats.conf", "--version");
    Some(broker.with_file("nats.conf", text).with_environment(&[("GOMAXPROCS", "1")]))
}

fn rumqttd() -> Option<Broker> {
    let text = "id = 0\n[router]\nid = 0\nmax_connections = 20010\nmax_outgoing_packet_count = 200\n\
                max_segment_size = 104857600\nmax_segment_count = 10\n[v4.1]\nname = \"v4\"\n\
                listen = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n[v4.1.connections]\n\
                connection_timeout_ms = 60000\nmax_payload_size = 262144\nmax_inflight_count = 1000\n\
                dynamic_filters = true\n";
    let broker = Broker::new("rumqttd", &find("rumqttd")?, "-c {dir}/rumqttd.toml", "--version");
    Some(broker.with_file("rumqttd.toml", text))
}

fn nanomq() -> Option<Broker> {
    let text = "mqtt { max_mqueue_len = 65535 }\nlisteners.tcp { bind = \"127.0.0.1:{port}\" }\n\
                auth { allow_anonymous = true, no_match = allow, deny_action = ignore }\n";
    let broker = Broker::new("nanomq", &find("nanomq")?, "start --conf {dir}/nanomq.conf", "--version");
    Some(broker.with_file("nanomq.conf", text))
}

fn emqx() -> Option<Broker> {
    let broker = Broker::new("emqx", &find("emqx")?, "foreground", "--version");
    Some(broker.with_environment(&[
        ("EMQX_LISTENERS__TCP__DEFAULT__BIND", "127.0.0.1:{port}"),
        ("EMQX_NODE__DATA_DIR", "{dir}"),
        ("EMQX_DASHBOARD__LISTENERS__HTTP__BIND", "127.0.0.1:{admin}"),
    ]))
}

/// A program by path, on PATH, or in the folders of servers that PATH of a user leaves out.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).canonicalize().ok();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_broker_needs_a_name_a_program_and_a_port() {
        let broker = parse_custom("mine=/bin/sh -c {port} {dir}").unwrap();
        assert_eq!(broker.name, "mine");
        assert_eq!(broker.arguments, ["-c", "{port}", "{dir}"]);
        assert!(parse_custom("/bin/sh {port}").is_err());
        assert!(parse_custom("mine=/bin/sh").is_err());
        assert!(parse_custom("mine=/no/such/program {port}").is_err());
    }

    #[test]
    fn ports_and_folder_are_filled_into_files_and_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let broker =
            Broker::new("x", Path::new("/bin/true"), "--port {port} {dir}/f", "-V").with_file("f", "at {admin}");
        let command = broker.prepare(Place { port: 7, admin_port: 8, dir: dir.path() }, false).unwrap();
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments, ["--port", "7", &format!("{}/f", dir.path().display())]);
        assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), "at 8");
    }
}
