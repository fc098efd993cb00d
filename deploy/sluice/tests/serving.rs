//! A node from its start to its end, as an operator sees it.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

struct Running {
    child: Child,
    banner: String,
}

impl Running {
    /// Waits until the process says that it is ready.
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut banner = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        while !banner.contains("ready in ") {
            assert!(output.read_line(&mut banner).unwrap() > 0, "it ended:\n{banner}");
        }
        Self { child, banner }
    }

    fn address(&self, scheme: &str) -> String {
        let rest = self.banner.split(&format!("{scheme}://")).nth(1).unwrap_or_else(|| panic!("{}", self.banner));
        rest.split([' ', '/', '\n']).next().unwrap().to_owned()
    }

    fn healthcheck(&self, args: &[&str]) -> ExitStatus {
        let admin = self.address("http");
        let args = [&["healthcheck", "--admin", &admin], args].concat();
        Command::new(env!("CARGO_BIN_EXE_sluice")).args(args).status().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> Option<i32> {
        self.signal("-TERM");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ANY: &str = "127.0.0.1:0";

fn dev(data: &Path) -> Running {
    let data = data.display().to_string();
    Running::start(&["dev", "--mqtt", ANY, "--ws", ANY, "--admin", ANY, "--workers", "1", "--data", &data])
}

#[test]
fn dev_says_where_it_is_serves_there_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let node = dev(dir.path());
    assert!(node.banner.contains("reachable from: this machine only"), "{}", node.banner);
    for scheme in ["mqtt", "ws", "http"] {
        TcpStream::connect(node.address(scheme)).unwrap();
    }
    assert!(node.healthcheck(&[]).success());
    assert!(node.healthcheck(&["--ready"]).success());
    node.signal("-HUP");
    assert!(node.healthcheck(&["--ready"]).success(), "a reload disturbs nothing");
    assert_eq!(node.end(), Some(0));
    assert!(dir.path().join("store").is_dir(), "what was stored is kept");
}

#[test]
fn a_second_process_on_the_same_data_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let node = dev(dir.path());
    let data = dir.path().display().to_string();
    let second = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["dev", "--mqtt", ANY, "--ws", ANY, "--admin", ANY, "--data", &data])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.starts_with("error: "), "{error}");
    let taken = node.address("mqtt");
    let third = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["dev", "--mqtt", &taken, "--ws", ANY, "--admin", ANY])
        .output()
        .unwrap();
    let error = String::from_utf8(third.stderr).unwrap();
    assert!(error.contains(&format!("cannot listen on {taken}")) && error.contains("another process"), "{error}");
    assert_eq!(node.end(), Some(0));
}

#[test]
fn a_node_reads_its_file_and_says_who_may_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.yaml");
    let text = "node: {name: b1, data: data}\nworkers: 1\nadmin: {bind: '127.0.0.1:0'}\nlisteners:\n\
                \x20 - {bind: '0.0.0.0:0', allow_anonymous: true}\n  - {bind: 'unix:mqtt.sock'}\n";
    fs::write(&path, text).unwrap();
    let node = Running::start(&["node", "-c", &path.display().to_string()]);
    for says in ["node b1", "anyone, no TLS", "reachable from: other machines, but not all", "access: no rules"] {
        assert!(node.banner.contains(says), "{says}: {}", node.banner);
    }
    assert!(dir.path().join("mqtt.sock").exists());
    assert_eq!(node.end(), Some(0));
}

#[test]
fn a_process_that_is_tied_to_another_ends_with_it() {
    let script = r#""$0" --tied-to $$ dev --mqtt 127.0.0.1:0 --ws 127.0.0.1:0 --admin 127.0.0.1:0 & wait"#;
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", script, env!("CARGO_BIN_EXE_sluice")]).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running { child: shell, banner: String::new() };
    let mut output = BufReader::new(running.child.stdout.take().unwrap());
    while !running.banner.contains("ready in ") {
        assert!(output.read_line(&mut running.banner).unwrap() > 0, "it ended:\n{}", running.banner);
    }
    let mqtt = running.address("mqtt");
    TcpStream::connect(&mqtt).unwrap();
    running.child.kill().unwrap();
    let start = Instant::now();
    while TcpStream::connect(&mqtt).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "it outlives its parent");
        std::thread::sleep(Duration::from_millis(10));
    }
    let orphan = Command::new(env!("CARGO_BIN_EXE_sluice")).args(["--tied-to", "1", "version"]).output().unwrap();
    assert_eq!(orphan.status.code(), Some(1), "its parent is another one");
}
