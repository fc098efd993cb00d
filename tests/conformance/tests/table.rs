//! `docs/conformance.md` says which test checks which clause. It is made from the tests' own doc comments and names and
//! from the lists in `clauses/`, and this test fails when any of them disagree.
//!
//! `UPDATE_CONFORMANCE=1 cargo test -p sluice-tests-conformance --test table` writes the page anew.
#![allow(clippy::expect_used, reason = "a test's tools fail by panicking: that is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

/// A family of tests: the folder below `tests/`, how its clauses are called, and the heading on the page.
struct Family {
    folder: &'static str,
    heading: &'static str,
    introduction: &'static str,
}

const FAMILIES: [Family; 3] = [
    Family {
        folder: "v5",
        heading: "MQTT 5",
        introduction: "The normative statements of the OASIS standard MQTT Version 5.0, by their ids.",
    },
    Family {
        folder: "v311",
        heading: "MQTT 3.1.1",
        introduction: "The normative statements of the OASIS standard MQTT Version 3.1.1, by their ids. Most of these \
                       tests also run against MQTT 3.1, which has the same rules without numbers.",
    },
    Family {
        folder: "bad_input",
        heading: "Bad input",
        introduction: "What clients may do wrong, by letter: P packets, C connecting, T topics, U strings, \
                       S subscriptions, Q exchanges of QoS 1 and 2, W wills, R retained messages, H shared groups, \
                       X overload, N TLS, WS WebSocket, PX PROXY protocol, M repetition, F files, A access.",
    },
];

/// A test as its source has it.
#[derive(Debug)]
struct Test {
    /// `module::name`.
    path: String,
    name: String,
    doc: String,
}

#[test]
fn every_clause_has_a_test_or_a_reason() {
    for family in &FAMILIES {
        let covered = coverage(family);
        for (clause, reason) in clauses(family) {
            assert!(
                reason.is_some() || covered.contains_key(&clause),
                "no test of {} names {clause}, and clauses/{}.txt gives no reason",
                family.heading,
                family.folder
            );
        }
    }
}

#[test]
fn every_test_names_clauses_that_exist() {
    for family in &FAMILIES {
        let known: BTreeSet<String> = clauses(family).into_iter().map(|(clause, _)| clause).collect();
        for test in tests(family) {
            for clause in named(family, &test) {
                assert!(known.contains(&clause), "{} names {clause}, which does not exist", test.path);
            }
        }
    }
}

#[test]
fn a_test_that_is_called_after_a_clause_says_so_in_its_comment() {
    for family in FAMILIES.iter().filter(|family| family.folder != "bad_input") {
        for test in tests(family) {
            if let Some(clause) = clause_in_name(&test.name) {
                assert!(named(family, &test).contains(&clause), "{} does not name {clause} in its comment", test.path);
            }
        }
    }
}

#[test]
fn the_page_says_what_the_tests_say() {
    let page = FAMILIES.iter().fold(INTRODUCTION.to_owned(), |page, family| page + "\n" + &section(family));
    let path = root().join("../../docs/conformance.md");
    if env::var_os("UPDATE_CONFORMANCE").is_some() {
        fs::write(&path, page).expect("the page");
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(expected, found)| expected != found);
    assert!(page == written, "docs/conformance.md is out of date at {differs:?}: see the head of tests/table.rs");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The clauses of a family in their order, with the reason where no test is wanted.
fn clauses(family: &Family) -> Vec<(String, Option<String>)> {
    let path = root().join("clauses").join(family.folder).with_extension("txt");
    let text = fs::read_to_string(path).expect("a list of clauses");
    text.lines()
        .map(|line| match line.split_once(" | ") {
            Some((clause, reason)) => (clause.to_owned(), Some(reason.to_owned())),
            None => (line.to_owned(), None),
        })
        .collect()
}

fn tests(family: &Family) -> Vec<Test> {
    let folder = root().join("tests").join(family.folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let module = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let source = fs::read_to_string(&file).expect("a source file");
        let mut doc = String::new();
        let mut is_test = false;
        for line in source.lines() {
            if let Some(comment) = line.strip_prefix("///") {
                doc.push_str(comment);
            } else if line == "#[test]" {
                is_test = true;
            } else {
                if is_test && let Some(rest) = line.strip_prefix("fn ") {
                    let name = rest.split('(').next().unwrap_or_default().to_owned();
                    found.push(Test { path: format!("{module}::{name}"), name, doc: doc.clone() });
                }
                doc.clear();
                is_test = false;
            }
        }
    }
    found
}

/// The clauses that a test is about.
fn named(family: &Family, test: &Test) -> BTreeSet<String> {
    if family.folder == "bad_input" {
        return test.name.split('_').next().map(str::to_uppercase).into_iter().collect();
    }
    let in_brackets = test.doc.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    in_brackets.filter(|text| text.starts_with("MQTT-")).map(str::to_owned).collect()
}

/// `mqtt_3_1_2_22_keep_alive` is named after MQTT-3.1.2-22.
fn clause_in_name(name: &str) -> Option<String> {
    let numbers: Vec<&str> = name
        .strip_prefix("mqtt_")?
        .split('_')
        .take_while(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    // A name may go on with a number of its own.
    let numbers = &numbers[..numbers.len().min(if numbers.starts_with(&["4", "2"]) { 3 } else { 4 })];
    let (last, chapter) = numbers.split_last()?;
    Some(format!("MQTT-{}-{last}", chapter.join(".")))
}

/// The tests of each clause.
fn coverage(family: &Family) -> BTreeMap<String, Vec<String>> {
    let mut covered = BTreeMap::<String, Vec<String>>::new();
    for test in tests(family) {
        for clause in named(family, &test) {
            covered.entry(clause).or_default().push(test.path.clone());
        }
    }
    covered
}

fn section(family: &Family) -> String {
    let covered = coverage(family);
    let clauses = clauses(family);
    let tested = clauses.iter().filter(|(clause, _)| covered.contains_key(clause)).count();
    let mut text = format!(
        "## {}\n\n{} {} of {} have tests, in `tests/conformance/tests/{}`.\n\n| Clause | Tests, or why there is none |\n|---|---|\n",
        family.heading,
        family.introduction,
        tested,
        clauses.len(),
        family.folder
    );
    for (clause, reason) in clauses {
        let tests = covered.get(&clause).map(|tests| tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>());
        let cell = match (tests, reason) {
            (Some(tests), _) => tests.join("<br>"),
            (None, Some(reason)) => reason,
            (None, None) => "**missing**".to_owned(),
        };
        text.push_str(&format!("| {clause} | {cell} |\n"));
    }
    text
}

const INTRODUCTION: &str = "# Conformance

Which test checks which statement of the standards, and which kind of bad input. The tests start the `sluice` binary and
talk to it over sockets, with an encoder and a decoder of their own. Run them with

```sh
cargo build -p sluice && cargo test -p sluice-tests-conformance
```

A statement about what every packet of the server looks like (reserved bits, reason codes, properties, the Maximum Packet
Size) is checked on every packet that any test reads; the test named here is the one that provokes it.

This page is made from the tests; `tests/conformance/tests/table.rs` fails when it is out of date.
";
