//! The commands that run nothing: what they print and how they end.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

fn sluice(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    ended(&sluice(args).output().unwrap())
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("sluice.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    for args in [&["node"][..], &["nothing"], &["dev", "--mqtt", "nowhere"], &["dev", "--workers", "0"]] {
        let (code, _, error) = run(args);
        assert_eq!((code, error.starts_with("error: ")), (64, true), "{args:?}: {error}");
    }
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["dev", "--help"]).0, 0);
}

#[test]
fn the_default_file_is_complete_and_asks_who_may_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text, _) = run(&["config", "default"]);
    assert_eq!(code, 0);
    let (code, _, error) = run(&["config", "check", &file(dir.path(), &text)]);
    assert_eq!(code, 78);
    assert!(
        error.contains("listener [::]:1883 accepts anyone  -> add auth: required or allow_anonymous: true"),
        "{error}"
    );
    let (code, _, again) = run(&["node", "-c", &file(dir.path(), &text)]);
    assert_eq!((code, again), (78, error), "a node says the same");
    let open = text.replace("    # allow_anonymous: <true, false>", "    allow_anonymous: true");
    let (code, out, error) = run(&["config", "check", &file(dir.path(), &open)]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("tcp-1883  mqtt://[::]:1883  anyone, no TLS"), "{out}");
}

#[test]
fn checking_a_file_reads_what_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "listeners: [{bind: 'localhost:1'}]\naccess: {file: rules.yaml}\n");
    let (code, _, error) = run(&["config", "check", &path]);
    assert_eq!(code, 78);
    assert!(error.contains("sluice.yaml:2:10 ") && error.contains("rules.yaml: cannot be read"), "{error}");
}

#[test]
fn the_schema_is_json_and_so_is_the_version() {
    let schema: serde_json::Value = serde_json::from_str(&run(&["config", "schema"]).1).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let version: serde_json::Value = serde_json::from_str(&run(&["version", "--json"]).1).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_environment_is_as_strict_as_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "listeners: [{bind: 'localhost:1'}]\n");
    let output = sluice(&["config", "check", &path]).env("SLUICE_LISTENERS__0__BIN", "x").output().unwrap();
    let (code, _, error) = ended(&output);
    assert_eq!(code, 78);
    assert!(error.starts_with("error: SLUICE_LISTENERS__0__BIN: unknown key `bin`"), "{error}");
}

#[test]
fn a_password_becomes_a_line_that_the_password_file_takes() {
    for args in [&["password", "alice"][..], &["password", "alice", "--scram"]] {
        let mut child = sluice(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
        let (code, line, _) = ended(&child.wait_with_output().unwrap());
        assert_eq!(code, 0);
        let secret = sluice_dataplane_auth::NodeSecret::new(&[0; 32]);
        assert_eq!(sluice_dataplane_auth::PasswordFile::parse(&line, secret).unwrap().len(), 1, "{line}");
    }
    assert_eq!(run(&["password", "a:b"]).0, 64);
}

#[test]
fn nobody_at_the_port_is_unhealthy() {
    let (code, _, error) = run(&["healthcheck", "--admin", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(error.contains("127.0.0.1:1 does not answer"), "{error}");
}
