//! An etcd of several real members.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{output_of, until};
use crate::service::{Service, free_address};

/// An etcd whose members can be killed and started again.
#[derive(Debug)]
pub struct Etcd {
    folder: PathBuf,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    service: Service,
    client: SocketAddr,
    peer: SocketAddr,
}

impl Etcd {
    /// Starts so many members, and waits until they take writes.
    #[must_use]
    pub fn start(folder: &Path, members: usize) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let places: Vec<_> = (0..members).map(|_| (free_address(), free_address())).collect();
        let all = places.iter().enumerate().map(|(nth, (_, peer))| format!("m{nth}=http://{peer}"));
        let all = all.collect::<Vec<_>>().join(",");
        let member = |(nth, (client, peer)): (usize, &(SocketAddr, SocketAddr))| {
            let mut service = service(folder, nth, *client, *peer, &["--initial-cluster", &all]);
            service.start();
            Member { service, client: *client, peer: *peer }
        };
        let etcd = Self { folder: folder.to_owned(), members: places.iter().enumerate().map(member).collect() };
        etcd.until_healthy();
        etcd
    }

    /// The addresses for its clients, as YAML.
    #[must_use]
    pub fn endpoints(&self) -> String {
        let of = |member: &Member| format!("'http://{}'", member.client);
        self.members.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// How many writes it has taken since it was made.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let status = self.ctl(&["endpoint", "status", "--write-out=json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        status[0]["Status"]["header"]["revision"].as_u64().expect("a revision")
    }

    /// Keeps all that is in it as a file.
    pub fn save(&self, file: &Path) {
        self.ctl(&["snapshot", "save", file.to_str().expect("UTF-8")]);
    }

    /// Kills all members (SIGKILL).
    pub fn kill(&mut self) {
        for member in &mut self.members {
            member.service.kill().unwrap_or_else(|status| panic!("etcd ended by itself: {status}"));
        }
    }

    /// Starts all members but so many of the first on what they have on disk, and waits until they take writes.
    pub fn start_again(&mut self, away: usize) {
        self.members.iter_mut().skip(away).for_each(|member| member.service.start());
        self.until_healthy();
    }

    /// Kills all members and starts one in the place of the first, with what was saved.
    pub fn restore(&mut self, file: &Path) {
        self.kill();
        self.members.truncate(1);
        let first = &mut self.members[0];
        let peer = format!("http://{}", first.peer);
        let cluster = format!("m0={peer}");
        let data = self.folder.join("restored");
        let arguments = ["--name", "m0", "--initial-cluster", &cluster, "--initial-advertise-peer-urls", &peer];
        let (file, data) = (file.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
        etcdctl(first.client, &[&["snapshot", "restore", file, "--data-dir", data], &arguments[..]].concat());
        first.service = service(&self.folder, 0, first.client, first.peer, &["--data-dir", data]);
        first.service.start();
        self.until_healthy();
    }

    fn until_healthy(&self) {
        let client = self.running();
        until("etcd is healthy", || {
            let mut command = Command::new("etcdctl");
            let asked = command.env("ETCDCTL_API", "3").arg(format!("--endpoints=http://{client}"));
            asked.args(["endpoint", "health"]).output().is_ok_and(|output| output.status.success())
        });
        // A member that answers may still be without a leader.
        std::thread::sleep(Duration::from_millis(100));
    }

    fn ctl(&self, arguments: &[&str]) -> String {
        etcdctl(self.running(), arguments)
    }

    /// The address of a member that runs.
    fn running(&self) -> SocketAddr {
        self.members.iter().find(|member| member.service.is_started()).expect("a member that runs").client
    }
}

fn service(folder: &Path, nth: usize, client: SocketAddr, peer: SocketAddr, more: &[&str]) -> Service {
    let (name, client, peer) = (format!("m{nth}"), format!("http://{client}"), format!("http://{peer}"));
    let data = folder.join(&name);
    let arguments = [
        ["--name", &name, "--data-dir", data.to_str().expect("UTF-8")],
        ["--listen-client-urls", &client, "--advertise-client-urls", &client],
        ["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer],
    ];
    let arguments = arguments.concat().into_iter().chain(more.iter().copied());
    Service::new(Path::new("etcd"), arguments, folder.join(format!("{name}.log")))
}

fn etcdctl(client: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("etcdctl");
    output_of(command.env("ETCDCTL_API", "3").arg(format!("--endpoints=http://{client}")).args(arguments))
}
