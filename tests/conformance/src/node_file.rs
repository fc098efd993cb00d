//! Configuration files for servers that are not the default one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher as _, password_hash::SaltString};
use tempfile::TempDir;

use crate::{
    scram,
    server::{Server, run_command, run_to_end},
};

/// A node file under construction, in a folder of its own.
#[derive(Debug)]
pub struct NodeFile {
    folder: TempDir,
    listeners: Vec<String>,
    sections: Vec<String>,
    chain: Vec<String>,
    users: Vec<String>,
}

/// A node with one plain listener at loopback, two workers and defaults for the rest.
#[must_use]
pub fn node() -> NodeFile {
    NodeFile {
        folder: tempfile::Builder::new().prefix("sluice-conformance-").tempdir().expect("a folder"),
        listeners: Vec::new(),
        sections: Vec::new(),
        chain: Vec::new(),
        users: Vec::new(),
    }
}

impl NodeFile {
    /// Adds a listener, as a YAML flow mapping without its braces. The first one replaces the plain listener.
    #[must_use]
    pub fn listener(mut self, keys: &str) -> Self {
        self.listeners.push(keys.to_owned());
        self
    }

    /// Adds a top-level section.
    #[must_use]
    pub fn section(mut self, yaml: &str) -> Self {
        self.sections.push(yaml.to_owned());
        self
    }

    /// Writes a file into the node's folder, readable by its owner only.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        write_private(&self.folder.path().join(name), content.as_ref());
        self
    }

    /// Adds a step to the authentication chain.
    #[must_use]
    pub fn step(mut self, yaml: &str) -> Self {
        self.chain.push(yaml.to_owned());
        self
    }

    /// Adds a user who may log in with this password, also by SCRAM-SHA-256.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        let line = user_line(name, password);
        self.user_line(line)
    }

    /// Adds a line to the password file.
    #[must_use]
    pub fn user_line(mut self, line: String) -> Self {
        if self.users.is_empty() {
            self.chain.push(PASSWORD_STEP.to_owned());
        }
        self.users.push(line);
        self.file_of_users()
    }

    fn file_of_users(self) -> Self {
        let lines = self.users.join("\n") + "\n";
        self.file("users", lines)
    }

    /// Uses these access rules.
    #[must_use]
    pub fn rules(self, yaml: &str) -> Self {
        self.file("access.yaml", yaml).section("access: {file: access.yaml}")
    }

    /// The folder of the node.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self) {
        let mut text = "node: {data: data}\nworkers: 2\nadmin: {bind: '127.0.0.1:0'}\nlisteners:\n".to_owned();
        if self.listeners.is_empty() {
            text.push_str("  - {bind: '127.0.0.1:0'}\n");
        }
        for listener in &self.listeners {
            text.push_str(&format!("  - {{{listener}}}\n"));
        }
        if !self.chain.is_empty() {
            text.push_str("auth:\n  chain:\n");
        }
        for step in &self.chain {
            text.push_str(&format!("    - {step}\n"));
        }
        for section in &self.sections {
            text.push_str(section.trim_end());
            text.push('\n');
        }
        write_private(&self.folder.path().join("sluice.yaml"), text.as_bytes());
    }

    /// Starts the node, which must serve these schemes besides `http`.
    #[must_use]
    pub fn start(self, schemes: &[&str]) -> Server {
        self.write();
        Server::node(self.folder, &[schemes, &["http"]].concat())
    }

    /// Starts a node that serves plain MQTT.
    #[must_use]
    pub fn start_plain(self) -> Server {
        self.start(&["mqtt"])
    }

    /// What `sluice config check` says of the file, which must be good.
    #[must_use]
    pub fn checked(self) -> String {
        self.write();
        let file = self.folder.path().join("sluice.yaml").display().to_string();
        let (code, output) = run_command(&["config", "check", &file]);
        assert_eq!(code, Some(0), "the file must be good:\n{output}");
        output
    }

    /// Tries to start the node, which must refuse. Returns what it said.
    #[must_use]
    pub fn refused(self) -> String {
        self.write();
        let (code, output) = run_to_end(self.folder.path());
        assert!(code.is_some_and(|code| code != 0), "the node must refuse to start ({code:?}):\n{output}");
        output
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("a file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("permissions");
    fs::rename(&new, path).expect("a rename");
}

/// A line of the password file.
#[must_use]
pub fn user_line(name: &str, password: &str) -> String {
    // The least that is accepted: these tests are about outcomes, not about cost.
    let hash = hash(password, 1024, 1);
    format!("{name}:{hash} {}", scram::verifier(password))
}

/// A line whose hash takes so much memory (KiB) and so many passes.
#[must_use]
pub fn user_line_of_cost(name: &str, password: &str, memory_kib: u32, passes: u32) -> String {
    format!("{name}:{}", hash(password, memory_kib, passes))
}

fn hash(password: &str, memory_kib: u32, passes: u32) -> String {
    let salt = SaltString::encode_b64(b"conformance salt").expect("a salt");
    let params = Params::new(memory_kib, passes, 1, None).expect("parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes(), &salt).expect("a hash").to_string()
}

const PASSWORD_STEP: &str = "password: {file: users}";
