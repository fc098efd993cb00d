//! A real etcd of one or three members, which can be killed and started again.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::node::free_port;

/// The members of an etcd, each with a folder that outlives its process.
#[derive(Debug)]
pub struct Etcd {
    folder: TempDir,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
    has_run: bool,
}

impl Etcd {
    /// An etcd of so many members, not started yet.
    #[must_use]
    pub fn new(members: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-etcd-").tempdir().expect("a folder");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let member = |_| Member { client: local(free_port()), peer: local(free_port()), process: None, has_run: false };
        Self { folder, members: (0..members).map(member).collect() }
    }

    /// Where clients find its members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://{}", member.client)).collect()
    }

    /// Starts one member and returns at once.
    pub fn start(&mut self, member: usize) {
        let cluster: Vec<String> =
            self.members.iter().enumerate().map(|(n, member)| format!("m{n}=http://{}", member.peer)).collect();
        let data = self.folder.path().join(format!("m{member}"));
        let log = self.log_file(member);
        let Member { client, peer, process, has_run } = &mut self.members[member];
        assert!(process.is_none(), "member {member} runs already");
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let state = if *has_run { "existing" } else { "new" };
        let child = Command::new("etcd")
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &format!("http://{client}")])
            .args(["--advertise-client-urls", &format!("http://{client}")])
            .args(["--listen-peer-urls", &format!("http://{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", state])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("etcd, of the package etcd-server");
        *process = Some(child);
        *has_run = true;
    }

    /// Starts all members that do not run, and waits until they answer.
    pub fn start_all(&mut self) {
        for member in 0..self.members.len() {
            if self.members[member].process.is_none() {
                self.start(member);
            }
        }
        self.await_health();
    }

    /// Waits until a majority answers.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn await_health(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.control(&["get", "nothing"]).is_none() {
            assert!(Instant::now() < deadline, "etcd does not answer");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills a member (SIGKILL).
    pub fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().expect("a child");
            process.wait().expect("a child");
        }
    }

    /// Kills all members.
    pub fn kill_all(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }

    /// The revision: it grows by one with each write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let answer = self.control(&["get", "nothing", "--write-out=json"]).expect("etcd answers");
        let after = answer.split("\"revision\":").nth(1).expect("a revision");
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }

    /// What etcdctl prints; `None` when it fails.
    fn control(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--dial-timeout=2s", "--command-timeout=3s", "--endpoints", &self.endpoints().join(",")])
            .args(arguments)
            .output()
            .expect("etcdctl, of the package etcd-client");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn log_file(&self, member: usize) -> PathBuf {
        self.folder.path().join(format!("m{member}.log"))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill_all();
    }
}
