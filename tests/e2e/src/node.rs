//! A node that can be killed at any moment and started again on what it left on disk.

use std::{
    env,
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

/// A node with a folder and an address that outlive its process.
#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

impl Node {
    /// A node that was not started yet, with room for whatever the tests queue.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-crash-").tempdir().expect("a folder");
        let port = free_port();
        Self { folder, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process: None }
    }

    /// Where it listens whenever it runs.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the process with this many workers and returns at once.
    ///
    /// # Panics
    /// When it runs.
    pub fn start(&mut self, workers: u16) {
        assert!(self.process.is_none(), "the node runs already");
        let file = self.folder.path().join("sluice.yaml");
        fs::write(&file, configuration(self.address, workers)).expect("a configuration file");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = Command::new(binary());
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        let process = command
            .args([Path::new("node"), Path::new("-c"), &file])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("the server's binary");
        self.process = Some(process);
    }

    /// Kills the process (SIGKILL). `Err`: it had ended by itself.
    ///
    /// # Errors
    /// How it ended.
    pub fn kill(&mut self) -> Result<(), ExitStatus> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        if let Some(status) = process.try_wait().expect("a child") {
            return Err(status);
        }
        process.kill().expect("a child");
        process.wait().expect("a child");
        Ok(())
    }

    /// The last lines that the node printed, over all its lives.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("node.log")
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Clients come back as often as they like, and queue as much as they like: neither is what is tested.
fn configuration(address: SocketAddr, workers: u16) -> String {
    format!(
        "node: {{data: data}}\n\
         workers: {workers}\n\
         admin: {{bind: '127.0.0.1:0'}}\n\
         listeners: [{{bind: '{address}'}}]\n\
         mqtt: {{inbox: {{messages_max: 5000000, bytes_max: 4GiB}}}}\n\
         limits: {{takeovers_per_minute: 0, memory_budget: off}}\n"
    )
}

/// A port that nobody listens on, below the range from which the kernel gives ports to outgoing connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The server's binary: `SLUICE_BIN`, or the one of this workspace, built when it is missing.
pub(crate) fn binary() -> PathBuf {
    if let Ok(binary) = env::var("SLUICE_BIN") {
        return binary.into();
    }
    let own = env::current_exe().expect("an executable");
    let profile = own.ancestors().find(|folder| folder.join("deps").is_dir()).expect("a target folder");
    let binary = profile.join("sluice");
    if !binary.exists() {
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let built = Command::new(cargo).args(["build", "-p", "sluice"]).status();
        assert!(built.expect("cargo").success(), "the server does not build");
    }
    binary
}
