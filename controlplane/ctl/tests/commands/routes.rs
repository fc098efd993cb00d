//! Every route of control has a command, and every command asks the routes that the table of commands says.

use std::collections::BTreeSet;

use serde_json::Value;
use sluice_controlplane_ctl::{
    commands::{COMMANDS, Row, command},
    failure::Exit,
    run::parse,
};

use crate::fake::Fake;

/// The document that control publishes.
const DOCUMENT: &str = include_str!("../../../server/openapi.json");

/// The pages of the dashboard, each of which says how the same is done in a terminal.
const PAGES: [&str; 5] = [
    include_str!("../../../server/src/http/ui/overview.js"),
    include_str!("../../../server/src/http/ui/topology.js"),
    include_str!("../../../server/src/http/ui/map.js"),
    include_str!("../../../server/src/http/ui/placement.js"),
    include_str!("../../../server/src/http/ui/nodes.js"),
];

/// Command lines beside the examples, that ask what no example asks.
const FURTHER: [&str; 12] = [
    "nodes cordon 4f2a000000000001 --dry-run",
    "get node 4f2a",
    "get placements",
    "get plan p-1",
    "get shards",
    "get revisions",
    "get links",
    "get alarms",
    "get tokens",
    "describe placement factory-eu",
    "describe plan p-1",
    "delete token x --yes",
];

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The row that a command line belongs to.
fn row_of(line: &str) -> &'static Row {
    let of = COMMANDS.iter().filter(|row| words(line).starts_with(&words(row.words)));
    of.max_by_key(|row| row.words.len()).unwrap_or_else(|| panic!("no row for {line}"))
}

fn lines() -> impl Iterator<Item = &'static str> {
    let examples = COMMANDS.iter().flat_map(|row| row.examples).map(|(line, _)| *line);
    examples.chain(FURTHER).chain(["delete node 4f2a --yes", "get nodes -o csv"])
}

/// Command lines that run without a world.
fn is_local(line: &str) -> bool {
    row_of(line).routes.is_empty()
}

#[test]
fn every_route_of_control_is_asked_by_a_command_and_commands_ask_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let methods = |(path, of): (&String, &Value)| -> Vec<(String, String)> {
        let for_programs =
            |of: &Value| of["tags"].as_array().is_none_or(|tags| !tags.iter().any(|tag| tag == "browser"));
        let methods = of.as_object().unwrap().iter().filter(|(_, of)| for_programs(of));
        methods.map(|(method, _)| (method.to_uppercase(), path.clone())).collect()
    };
    let published: BTreeSet<_> = document["paths"].as_object().unwrap().iter().flat_map(methods).collect();
    let routes = COMMANDS.iter().flat_map(|row| row.routes);
    let known = routes.map(|route| (route.method().to_owned(), route.path().to_owned()));
    assert_eq!(known.collect::<BTreeSet<_>>(), published, "a route has no command: add it to commands.rs");
}

#[test]
fn every_command_asks_all_the_routes_of_its_row_and_no_others() {
    for row in &COMMANDS {
        let mut asked = BTreeSet::new();
        for line in lines().filter(|line| row_of(line).words == row.words && !is_local(line)) {
            let mut fake = Fake::new().saying(true);
            // Whoever watches stops at once.
            fake.reads = if line.ends_with(" -w") { 1 } else { u32::MAX };
            let exit = fake.run(line).unwrap_or_else(|failure| failure.exit);
            assert!([Exit::Ok, Exit::Pending].contains(&exit), "{line}: {exit:?}");
            asked.extend(fake.asked.iter().map(|request| request.route));
        }
        assert_eq!(asked, row.routes.iter().copied().collect(), "{}", row.words);
    }
}

#[test]
fn every_command_has_a_row_and_every_row_a_command() {
    fn leaves(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
        for below in command.get_subcommands() {
            let words = format!("{words} {}", below.get_name());
            leaves(below, &words, found);
        }
        if !command.has_subcommands() {
            found.insert(words.trim().to_owned());
        }
    }
    let mut found = BTreeSet::new();
    leaves(&command(), "", &mut found);
    let rows: BTreeSet<_> = COMMANDS.iter().map(|row| row.words.to_owned()).collect();
    assert_eq!((found, rows.len()), (rows, COMMANDS.len()));
    command().debug_assert();
}

#[test]
fn every_example_is_a_command_line() {
    for line in lines() {
        let line = std::iter::once("sluicectl").chain(line.split(' ')).map(Into::into);
        parse(line).unwrap();
    }
}

#[test]
fn what_the_dashboard_says_to_type_is_a_command_line() {
    for page in PAGES {
        let mut said = 0;
        for rest in page.split("ctl: ").skip(1) {
            let quote = rest.chars().next().unwrap();
            let template = rest[1..].split(quote).next().unwrap().replace('\'', "");
            // What is filled in is the name of something.
            let mut parts = template.split("${");
            let mut line = parts.next().unwrap().to_owned();
            parts.for_each(|part| line += &format!("x{}", part.split_once('}').unwrap().1));
            let parsed = parse(line.split(' ').map(Into::into));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
            said += 1;
        }
        assert!(said > 0, "a page says nothing for a terminal");
    }
}

#[test]
fn a_dry_run_changes_nothing_whatever_the_command() {
    let mut tried = 0;
    for line in lines().filter(|line| !is_local(line)) {
        let dry = format!("{} --dry-run", line.replace(" --dry-run", ""));
        let args = std::iter::once("sluicectl").chain(dry.split(' ')).map(Into::into);
        if parse(args).is_err() {
            let is_read_or_makes_secrets = |row: &Row| {
                row.routes.iter().all(|route| route.only_reads())
                    || row.words.ends_with("token create")
                    || row.words == "placement plan"
            };
            assert!(is_read_or_makes_secrets(row_of(line)), "{line} has no --dry-run");
            continue;
        }
        tried += 1;
        let mut fake = Fake::new();
        assert_eq!(fake.run(&dry).unwrap(), Exit::Ok, "{dry}");
        assert!(fake.changes().iter().all(|change| change.ends_with("dry_run=true")), "{dry}: {:?}", fake.changes());
        assert!(!fake.shown.is_empty(), "{dry} says nothing");
    }
    assert!(tried > 15);
}
