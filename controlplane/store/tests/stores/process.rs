//! Real etcd processes, in directories and on ports of their own.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use sluice_controlplane_store::{Etcd, EtcdSettings, MetaStore as _};
use tempfile::TempDir;

/// An etcd of some members.
pub(crate) struct Cluster {
    dir: TempDir,
    members: Vec<Member>,
    /// Further arguments of every member.
    arguments: Vec<String>,
    scheme: &'static str,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Cluster {
    /// Starts an etcd and waits until it takes writes.
    pub(crate) async fn start(members: usize) -> Self {
        Self::start_with(members, &[]).await
    }

    pub(crate) async fn start_with(members: usize, arguments: &[&str]) -> Self {
        let mut cluster = Self::prepare(members, "http", arguments.iter().map(|text| (*text).to_owned()).collect());
        (0..members).for_each(|nth| cluster.run(nth));
        cluster.wait(&cluster.settings()).await;
        cluster
    }

    /// Chooses ports; nothing runs yet.
    pub(crate) fn prepare(members: usize, scheme: &'static str, arguments: Vec<String>) -> Self {
        // Held together, so that no two are the same.
        let free: Vec<_> = (0..2 * members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let member = |pair: &[u16]| Member { client_port: pair[0], peer_port: pair[1], process: None };
        let members = ports.chunks(2).map(member).collect();
        Self { dir: tempfile::tempdir().unwrap(), members, arguments, scheme }
    }

    pub(crate) fn run(&mut self, nth: usize) {
        let name = |nth: usize| format!("m{nth}");
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer_port);
        let all = self.members.iter().enumerate().map(|(nth, member)| format!("{}={}", name(nth), peer(member)));
        let all = all.collect::<Vec<_>>().join(",");
        let member = &self.members[nth];
        let client = format!("{}://127.0.0.1:{}", self.scheme, member.client_port);
        let data = self.data(nth);
        let child = Command::new("etcd")
            .args(["--name", &name(nth), "--data-dir", data.to_str().unwrap()])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(member), "--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &all, "--initial-cluster-state", "new", "--log-level", "error"])
            .args(&self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed (Debian: etcd-server)");
        self.members[nth].process = Some(child);
    }

    pub(crate) fn data(&self, nth: usize) -> PathBuf {
        self.dir.path().join(format!("m{nth}"))
    }

    /// Ends a member at once, as a power cut would.
    pub(crate) fn kill(&mut self, nth: usize) {
        if let Some(mut process) = self.members[nth].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn endpoint(&self, nth: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.members[nth].client_port)
    }

    pub(crate) fn settings(&self) -> EtcdSettings {
        let endpoints = (0..self.members.len()).map(|nth| self.endpoint(nth)).collect();
        EtcdSettings { endpoints, timeout: Duration::from_secs(5), ..EtcdSettings::default() }
    }

    pub(crate) async fn connect(&self) -> Etcd {
        Etcd::connect(self.settings()).await.unwrap()
    }

    /// Serves the only member's data on other ports, where those who knew it do not find it.
    pub(crate) async fn moved(of: &mut Self) -> Self {
        of.kill(0);
        let mut aside = Self::prepare(1, "http", vec!["--force-new-cluster".to_owned()]);
        std::fs::rename(of.data(0), aside.data(0)).unwrap();
        aside.run(0);
        aside.wait(&aside.settings()).await;
        aside
    }

    /// Brings the data back to where it was.
    pub(crate) async fn back(mut aside: Self, of: &mut Self) {
        aside.kill(0);
        std::fs::rename(aside.data(0), of.data(0)).unwrap();
        of.arguments = vec!["--force-new-cluster".to_owned()];
        of.run(0);
        of.wait(&of.settings()).await;
    }

    /// Waits until it answers.
    pub(crate) async fn wait(&self, settings: &EtcdSettings) -> Etcd {
        super::suite::soon("an etcd", async {
            loop {
                if let Ok(store) = Etcd::connect(settings.clone()).await
                    && store.get("ready").await.is_ok()
                {
                    return store;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|nth| self.kill(nth));
    }
}
