//! Known cases, as scripts with what comes of them: `tests/plans/*.txt`.
//!
//! A line that begins with `> ` is done; what it says follows it. `UPDATE_PLANS=1 cargo test -p sluice-controlplane-core
//! --test golden` writes what is said anew, for the difference to be read.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod script;
mod world;

use std::{env, fs, path::Path};

use script::Script;

#[test]
fn the_scripts_say_what_they_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 10, "the scripts are found");
    for name in names {
        let text = fs::read_to_string(&name).unwrap();
        let said = play(&text);
        if env::var_os("UPDATE_PLANS").is_some() {
            fs::write(&name, said).unwrap();
        } else {
            assert!(text == said, "{} says something else (see UPDATE_PLANS):\n{said}", name.display());
        }
    }
}

/// The script with what each of its lines says.
fn play(text: &str) -> String {
    let mut script = Script::default();
    let mut said = String::new();
    for line in text.lines().filter(|line| line.is_empty() || line.starts_with("# ") || line.starts_with("> ")) {
        said += line;
        said += "\n";
        if let Some(command) = line.strip_prefix("> ") {
            said += &short(&script.play(command));
        }
    }
    said
}

/// Node ids as `n7`.
fn short(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_hexdigit();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("00000000") {
        let (before, id) = rest.split_at(at);
        let (id, after) = id.split_at(id.find(|c| !is_digit(c)).unwrap_or(id.len()));
        out += &format!("{before}n{}", u64::from_str_radix(id, 16).unwrap());
        rest = after;
    }
    out + rest
}
