//! Programs of others that the tests run: clients, another broker, a load balancer.

use std::{
    env,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A running program. It is killed when this value goes.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// Whether tests with this client are to run. They are, unless `E2E_SKIP`, a list of names with commas between, says not.
#[must_use]
#[allow(clippy::print_stderr, reason = "a test that is left out must say so")]
pub fn wanted(client: &str) -> bool {
    let skip = env::var("E2E_SKIP").is_ok_and(|names| names.split(',').any(|name| name.trim() == client));
    if skip {
        eprintln!("skipped: E2E_SKIP names {client}");
    }
    !skip
}

/// A client that `install.sh` put into its folder.
#[must_use]
pub fn installed(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e-clients").join(path);
    assert!(path.exists(), "{} is missing: run tests/e2e/install.sh", path.display());
    path
}

impl Program {
    /// Starts a program; what it prints is kept.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name}: {error}; run tests/e2e/install.sh"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            keep_lines(child.stdout.take().expect("a pipe"), &lines),
            keep_lines(child.stderr.take().expect("a pipe"), &lines),
        ];
        Self { name, child, lines, readers }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    /// Waits until it printed a line with this text, and returns the line.
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            assert!(Instant::now() < deadline, "{} did not print '{text}':\n{}", self.name, self.lines().join("\n"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes to its input and closes it.
    pub fn input(&mut self, text: &str) {
        let mut input = self.child.stdin.take().expect("an input");
        input.write_all(text.as_bytes()).expect("a program that reads");
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// Waits for its end. Returns whether it ended well, and what it printed.
    #[must_use]
    pub fn finish(self) -> (bool, Vec<String>) {
        self.finish_within(PATIENCE)
    }

    fn finish_within(mut self, patience: Duration) -> (bool, Vec<String>) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, self.lines().join("\n"));
            thread::sleep(Duration::from_millis(10));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        (status.success(), self.lines())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub fn run(command: &mut Command) -> Vec<String> {
    run_within(PATIENCE, command)
}

/// Runs a program to its end, which takes a while, and returns what it printed.
///
/// # Panics
/// When it fails, or does not end in time.
pub fn run_within(patience: Duration, command: &mut Command) -> Vec<String> {
    let program = Program::start(command);
    let name = program.name.clone();
    let (success, lines) = program.finish_within(patience);
    assert!(success, "{name} failed:\n{}", lines.join("\n"));
    lines
}

fn keep_lines(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> thread::JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().expect("lines").push(line);
        }
    })
}

/// How long a program may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);
