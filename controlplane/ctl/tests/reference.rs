//! The reference page, docs/sluicectl.md: made from the command line itself.

#![allow(clippy::unwrap_used, reason = "a panic names the test")]

use std::{fmt::Write as _, path::Path};

use sluice_controlplane_ctl::{
    commands::{COMMANDS, Row, command},
    failure::Exit,
    run::CHECKS,
    target::VARIABLES,
};

/// What stands above this is written by hand.
const GENERATED: &str =
    "<!-- Below: made from the command line. UPDATE_DOCS=1 cargo test -p sluice-controlplane-ctl -->\n";

#[test]
fn the_reference_page_is_that_of_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sluicectl.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = page.split_once(GENERATED).expect("the page keeps its dividing line");
    let fresh = format!("{by_hand}{GENERATED}{}", generated());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == fresh, "docs/sluicectl.md is out of date: run this test with UPDATE_DOCS=1");
    for variable in VARIABLES {
        assert!(page.contains(variable), "{variable}");
    }
}

fn generated() -> String {
    let root = command();
    let mut page = String::new();
    page += "\n## Options of every command\n\n";
    page += &arguments(&root, true);
    page += "\n## Exit codes\n\n| code | |\n|--:|---|\n";
    for (exit, meaning) in Exit::ALL {
        writeln!(page, "| {} | {meaning} |", exit as u8).unwrap();
    }
    page += "\n## Checks\n\nWhat `sluicectl check` looks at, in this order.\n\n";
    page += "| name | what is so when it is well | what to do when it is not |\n|---|---|---|\n";
    for check in CHECKS {
        let (id, fix) = (check.id, check.fix.replace('|', "\\|"));
        writeln!(page, "| <a id=\"{id}\"></a>`{id}` | {} | {fix} |", check.title).unwrap();
    }
    page += "\n## Commands\n";
    for row in &COMMANDS {
        page += &section(&root, row);
    }
    page
}

fn section(root: &clap::Command, row: &Row) -> String {
    let mut at = root;
    for word in row.words.split(' ') {
        at = at.find_subcommand(word).unwrap();
    }
    let about = at.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n### {}\n\n{about}.\n\n```console\n", row.words);
    for (line, meaning) in row.examples {
        writeln!(text, "$ sluicectl {line}    # {meaning}").unwrap();
    }
    text += "```\n";
    let arguments = arguments(at, false);
    if !arguments.is_empty() {
        text += "\n";
        text += &arguments;
    }
    if !row.routes.is_empty() {
        let routes: Vec<String> =
            row.routes.iter().map(|route| format!("`{} {}`", route.method(), route.path())).collect();
        writeln!(text, "\nAsks control: {}.", routes.join(", ")).unwrap();
    }
    text
}

/// The arguments of a command, or those that all have.
fn arguments(of: &clap::Command, is_global: bool) -> String {
    let shown = of.get_arguments().filter(|argument| argument.is_global_set() == is_global);
    let shown = shown.filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()));
    let rows: Vec<String> = shown.map(argument).collect();
    if rows.is_empty() { String::new() } else { format!("| argument | |\n|---|---|\n{}", rows.concat()) }
}

fn argument(of: &clap::Arg) -> String {
    let value = of.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let takes = of.get_action().takes_values();
    let long = of.get_long().map(|long| format!("--{long}"));
    let short = of.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> = [short, long].into_iter().flatten().collect();
    let name = match (flags.is_empty(), takes) {
        (true, _) => value,
        (false, true) => format!("{} {value}", flags.join(", ")),
        (false, false) => flags.join(", "),
    };
    let mut help = of.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = of.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes && !values.is_empty() {
        write!(help, ": {}", values.join(", ")).unwrap();
    }
    let default = of.get_default_values().first().filter(|_| takes).map(|value| value.to_string_lossy().into_owned());
    if let Some(default) = default {
        write!(help, " (default: {default})").unwrap();
    }
    format!("| `{}` | {} |\n", name.replace('|', "\\|"), help.replace('|', "\\|"))
}
