//! A process of our own side that can be killed at any moment and started again: a node, control, a member of etcd.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

/// A process whose command and log outlive it. It is killed when this value goes.
#[derive(Debug)]
pub struct Service {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    log: PathBuf,
    process: Option<Child>,
}

impl Service {
    /// A process that was not started yet.
    pub fn new<A: Into<OsString>>(program: &Path, arguments: impl IntoIterator<Item = A>, log: PathBuf) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.to_owned(), arguments, environment: Vec::new(), log, process: None }
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The server's binary as `sluice ROLE -c FILE`. What it prints is appended to `log`.
    #[must_use]
    pub fn sluice(role: &str, file: &Path, log: PathBuf) -> Self {
        Self::new(&binary(), [OsString::from(role), "-c".into(), file.into()], log)
    }

    /// Starts the process and returns at once.
    ///
    /// # Panics
    /// When it runs.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.program.display());
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        let spawned = command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn();
        self.process = Some(spawned.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())));
    }

    /// Whether it was started and not killed since.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.process.is_some()
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

    /// The last lines that the process printed, over all its lives.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// An address of this machine where nobody listens, below the range from which the kernel gives ports to outgoing
/// connections.
#[must_use]
pub fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
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
