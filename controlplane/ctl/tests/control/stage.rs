//! A replica of control in this process, and command lines against it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use sluice_controlplane_server::{ControlServer, config::ControlConfig};
use tokio::runtime::Runtime;

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica, and a folder in which commands run. Its file `token` has the first token.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    server: String,
    // It ends before its folder does.
    _control: ControlServer,
    _runtime: Runtime,
}

impl Stage {
    pub(crate) fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), ControlConfig::default())
    }

    /// With a certificate of the authority `ca.pem`; `other.pem` is one that knows nothing of it.
    pub(crate) fn start_with_tls() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ControlConfig::default();
        certificates(dir.path());
        config.http.cert = Some(dir.path().join("control.pem"));
        config.http.key = Some(dir.path().join("control.key"));
        Self::with(dir, config)
    }

    fn with(dir: tempfile::TempDir, mut config: ControlConfig) -> Self {
        config.control.name = "c1".into();
        config.control.data = dir.path().join("c1");
        config.nodes.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string().parse().unwrap();
        config.http.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let control = runtime.block_on(ControlServer::start(&config)).unwrap();
        let scheme = if config.http.cert.is_some() { "https" } else { "http" };
        let server = format!("{scheme}://{}", control.http());
        fs::copy(config.control.data.join("bootstrap-token"), dir.path().join("token")).unwrap();
        let stage = Self { dir, server, _control: control, _runtime: runtime };
        let line = if scheme == "https" { "status -o json --ca ca.pem" } else { "status -o json" };
        stage.wait_for(line, |out| out.contains("\"office\": \"leading\""));
        stage
    }

    pub(crate) fn server(&self) -> String {
        self.server.clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command line that names no server and no token against this replica. Code, standard output, standard error.
    pub(crate) fn run(&self, line: &str) -> (i32, String, String) {
        let mut environment = vec![];
        if !line.contains("--server") {
            environment.push(("SLUICE_SERVER", self.server.as_str()));
        }
        if !line.contains("--token") {
            environment.push(("SLUICE_TOKEN_FILE", "token"));
        }
        self.run_in(&environment, line)
    }

    /// Runs a command line in an environment that says nothing else.
    pub(crate) fn run_in(&self, environment: &[(&str, &str)], line: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicectl"));
        command.args(line.split(' ')).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        let output = command.envs(environment.iter().copied()).stdin(std::process::Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What a command shows that has to succeed.
    pub(crate) fn good(&self, line: &str) -> String {
        let (code, out, error) = self.run(line);
        assert_eq!(code, 0, "{line}: {error}");
        out
    }

    /// The same, as JSON.
    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.good(&format!("{line} -o json"))).unwrap()
    }

    /// Runs a command until it shows what it should.
    pub(crate) fn wait_for(&self, line: &str, is_so: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let (code, out, error) = self.run(line);
            if code == 0 && is_so(&out) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{line}: {out} {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An address at which nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority = |file: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(file), certificate.pem()).unwrap();
        Issuer::new(params, key)
    };
    let (own, _other) = (authority("ca.pem"), authority("other.pem"));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("control.pem"), params.signed_by(&key, &own).unwrap().pem()).unwrap();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join("control.key")).unwrap();
    file.write_all(key.serialize_pem().as_bytes()).unwrap();
}
