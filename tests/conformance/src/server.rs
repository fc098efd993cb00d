//! The server under test: the real binary as a process of its own.

use std::{
    env,
    io::{BufRead as _, BufReader, Read},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    client::Client,
    fresh,
    outgoing::{Connect, connect},
    stream::Stream,
    websocket::WebSocket,
    wire::Version,
};

/// A running server. One that was started here ends with this value, or with the test process.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    endpoints: Vec<Endpoint>,
    folder: Option<TempDir>,
}

/// Where a server listens, as it said itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// `mqtt`, `mqtts`, `ws`, `wss` or `http`.
    pub scheme: String,
    /// The address.
    pub address: SocketAddr,
}

impl Server {
    /// The server with the default configuration that all tests of this binary share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match env::var("SLUICE_ADDR") {
            Ok(address) => Self::running(&address, env::var("SLUICE_WS").ok().as_deref()),
            Err(_) => Self::dev(),
        })
    }

    fn running(mqtt: &str, ws: Option<&str>) -> Self {
        let resolve = |text: &str| text.to_socket_addrs().expect("an address").next().expect("an address");
        let mut endpoints = vec![Endpoint { scheme: "mqtt".into(), address: resolve(mqtt) }];
        endpoints.extend(ws.map(|ws| Endpoint { scheme: "ws".into(), address: resolve(ws) }));
        Self { process: None, endpoints, folder: None }
    }

    /// A server with the default configuration of `sluice dev`.
    #[must_use]
    pub fn dev() -> Self {
        let any = "127.0.0.1:0";
        let args = ["dev", "--mqtt", any, "--ws", any, "--admin", any, "--workers", "2"];
        Self::start(&args.map(str::to_owned), &["mqtt", "ws", "http"], None)
    }

    /// A server that runs the node file `sluice.yaml` of a folder and must say that it serves these schemes.
    #[must_use]
    pub fn node(folder: TempDir, schemes: &[&str]) -> Self {
        Self::node_with(folder, schemes, &[])
    }

    /// As [`Self::node`], with more arguments.
    #[must_use]
    pub fn node_with(folder: TempDir, schemes: &[&str], more: &[&str]) -> Self {
        let mut args = node_args(folder.path());
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        Self::start(&args, schemes, Some(folder))
    }

    /// Kills a node at once (SIGKILL), and leaves its folder.
    #[must_use]
    pub fn kill(mut self) -> TempDir {
        self.process.take().expect("a process of ours").kill_hard();
        self.folder.take().expect("a node's folder")
    }

    fn start(args: &[String], schemes: &[&str], folder: Option<TempDir>) -> Self {
        let process = Process::start(args);
        let endpoints = process.wait_for(schemes);
        Self { process: Some(process), endpoints, folder }
    }

    /// Kills the process at once (SIGKILL) and starts it again on what it left on disk. For nodes, not `dev`.
    #[must_use]
    pub fn kill_and_restart(self) -> Self {
        let schemes: Vec<String> = self.endpoints.iter().map(|e| e.scheme.clone()).collect();
        let schemes: Vec<&str> = schemes.iter().map(String::as_str).collect();
        Self::node(self.kill(), &schemes)
    }

    /// The folder of a node.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("a node's folder").path()
    }

    /// Tells the server to read its files again (SIGHUP).
    pub fn reload(&self) {
        let pid = self.pid().expect("a process of ours").to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    }

    /// What the server printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// The process id, where the process was started here.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// The address of the first endpoint with this scheme.
    #[must_use]
    pub fn address(&self, scheme: &str) -> SocketAddr {
        let endpoint = self.endpoints.iter().find(|e| e.scheme == scheme);
        endpoint.unwrap_or_else(|| panic!("no {scheme} endpoint; set SLUICE_WS with SLUICE_ADDR")).address
    }

    /// A connection on which nothing was sent yet.
    #[must_use]
    pub fn open(&self) -> Client {
        Client::new(Stream::tcp(self.address("mqtt")))
    }

    /// A connection over WebSocket on which no MQTT was sent yet.
    #[must_use]
    pub fn open_websocket(&self) -> Client {
        let websocket = WebSocket::upgrade(Stream::tcp(self.address("ws")));
        Client::new(Stream::WebSocket(Box::new(websocket)))
    }

    /// A client that sent this CONNECT and was accepted.
    #[must_use]
    pub fn client(&self, connect: Connect) -> Client {
        let mut client = self.open();
        client.send(connect).expect_connack();
        client
    }

    /// A client with a client id of its own and a transient session.
    #[must_use]
    pub fn connected(&self, version: Version) -> Client {
        self.client(connect(fresh("c")).version(version))
    }

    /// Somebody who must not notice what a test does to the server.
    #[must_use]
    pub fn bystander(&self) -> Bystander {
        let topic = fresh("bystander/");
        let mut client = self.connected(Version::V5);
        client.subscribe(&topic, 1);
        Bystander { client, topic }
    }

    /// Resident memory of the process in KiB; `None` for a server that was not started here.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Open descriptors of the process; `None` for a server that was not started here.
    #[must_use]
    pub fn descriptors(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.pid()?)).ok()?.count())
    }

    /// CPU time of the process so far; `None` for a server that was not started here.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// The body of a GET on the admin endpoint.
    #[must_use]
    pub fn admin_get(&self, path: &str) -> String {
        let mut stream = Stream::tcp(self.address("http"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("an admin endpoint");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer of text");
        answer
    }

    /// The sum of a counter's samples whose labels contain `label`.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let page = self.admin_get("/metrics");
        let samples = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        samples.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<f64>().ok()).sum()
    }
}

/// A connected client with a subscription. When it goes out of scope it checks that its connection still works.
#[derive(Debug)]
pub struct Bystander {
    client: Client,
    topic: String,
}

impl Drop for Bystander {
    fn drop(&mut self) {
        if !thread::panicking() {
            let topic = self.topic.clone();
            self.client.ping().send(crate::outgoing::publish(&topic, "undisturbed"));
            self.client.expect_message(&topic, "undisturbed");
        }
    }
}

/// Runs the binary to its end, as for a node file that it must refuse. Returns its exit code and all it printed.
#[must_use]
pub fn run_to_end(folder: &Path) -> (Option<i32>, String) {
    let args = node_args(folder);
    run_command(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs the binary with these arguments to its end. Returns its exit code and all it printed.
#[must_use]
pub fn run_command(args: &[&str]) -> (Option<i32>, String) {
    let mut child = without_settings(&mut Command::new(binary()))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server's binary");
    let deadline = Instant::now() + START_DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().expect("a child");
            child.wait().expect("a child");
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut output = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("text");
    child.stderr.take().expect("a pipe").read_to_string(&mut output).expect("text");
    (status, output)
}

/// Waits until `done` holds; fails with `what` when it does not in good time.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + crate::stream::DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on. Taken below the range from which the kernel gives ports to outgoing connections.
#[must_use]
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) * 7 + std::process::id() * 131;
        let port = 18_000 + (step % 14_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Keeps the tests' own variables from the server, which would take them for settings.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
        command.env_remove(name);
    }
    command
}

fn node_args(folder: &Path) -> Vec<String> {
    vec!["node".into(), "-c".into(), folder.join("sluice.yaml").display().to_string()]
}

/// The server's binary: `SLUICE_BIN`, or the one of this workspace, built when it is missing.
fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            if let Ok(binary) = env::var("SLUICE_BIN") {
                return binary.into();
            }
            let target = target_folder();
            let binary = target.join("sluice");
            if !binary.exists() {
                let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
                let built = Command::new(cargo).args(["build", "-p", "sluice"]).status();
                assert!(built.expect("cargo").success(), "the server does not build");
            }
            binary
        })
        .clone()
}

/// `target/debug` (or the profile in use): two levels above the test's own executable in `deps`.
fn target_folder() -> PathBuf {
    let own = env::current_exe().expect("an executable");
    own.ancestors().nth(2).expect("a target folder").to_owned()
}

/// A process that dies with the test process: a shell waits for the end of its input, which the kernel closes.
#[derive(Debug)]
struct Process {
    shell: Child,
    input: Option<ChildStdin>,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(args: &[String]) -> Self {
        let mut shell = without_settings(&mut Command::new("sh"))
            .args(["-c", GUARD, "guard"])
            .arg(binary())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut output = BufReader::new(shell.stdout.take().expect("a pipe"));
        let mut first = String::new();
        output.read_line(&mut first).expect("the process id");
        let pid = first.trim().parse().expect("the process id");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sink.lock().expect("lines").push(line);
            }
        });
        let input = shell.stdin.take();
        Self { shell, input, pid, lines }
    }

    fn output(&self) -> String {
        self.lines.lock().expect("lines").join("\n")
    }

    /// Waits until the process printed an address for each of these schemes and takes connections there.
    fn wait_for(&self, schemes: &[&str]) -> Vec<Endpoint> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let found = endpoints(&self.output());
            let complete = schemes.iter().all(|scheme| found.iter().any(|e| e.scheme == *scheme));
            if complete && found.iter().all(|e| TcpStream::connect(e.address).is_ok()) {
                return found;
            }
            assert!(Instant::now() < deadline, "the server does not serve {schemes:?}:\n{}", self.output());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill_hard(mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status();
        assert!(killed.expect("kill").success());
        drop(self.input.take());
        self.shell.wait().expect("a shell");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // The shell ends the server, by force after a while.
        let _ = self.shell.wait();
    }
}

/// The addresses in what a server printed, such as `mqtt://127.0.0.1:1883`.
fn endpoints(output: &str) -> Vec<Endpoint> {
    let mut found = Vec::<Endpoint>::new();
    for word in output.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '\'' | '(' | ')')) {
        let Some((scheme, rest)) = word.split_once("://") else { continue };
        let authority = rest.split('/').next().unwrap_or_default();
        let Ok(address) = authority.parse() else { continue };
        let endpoint = Endpoint { scheme: scheme.to_owned(), address };
        if SCHEMES.contains(&scheme) && !found.contains(&endpoint) {
            found.push(endpoint);
        }
    }
    found
}

const SCHEMES: [&str; 5] = ["mqtt", "mqtts", "ws", "wss", "http"];

/// Starting includes opening the store on a machine that does other things as well.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Starts the server, prints its process id, waits for the end of the input, and ends the server.
const GUARD: &str = r#"
"$@" 2>&1 &
pid=$!
echo $pid
read -r _
kill -TERM $pid 2>/dev/null
(sleep 5; kill -KILL $pid 2>/dev/null) >/dev/null 2>&1 &
wait $pid
"#;
