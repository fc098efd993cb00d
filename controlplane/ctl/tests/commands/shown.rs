//! What people see of answers. What is wanted stands in `shown.txt`, which `UPDATE_SHOWN=1` writes.

use std::path::Path;

use crate::fake::Fake;

#[test]
fn answers_are_shown_as_the_pages_that_are_kept() {
    let lines = [
        "status",
        "status --short",
        "check",
        "nodes ls",
        "nodes ls -o wide",
        "nodes ls -o csv",
        "nodes sync",
        "nodes describe 4f2a",
        "placement ls",
        "placement ls -o wide",
        "placement get factory-eu",
        "placement get factory-eu -o yaml",
        "placement show",
        "placement show --moving",
        "placement show --by-node",
        "placement plan -f factory.yaml",
        "placement history",
        "placement simulate --kill 4f2a",
        "placement suggest",
        "placement suggest --policies",
        "placement delete factory-eu --dry-run",
        "topics where factory/eu/line1/temp",
        "links ls",
        "links matrix",
        "store status",
        "alarms ls",
        "alarms ls -o jsonl",
        "token ls -o wide",
        "whoami",
        "whoami -o json",
        "nodes remove 4f2a --lost --dry-run",
    ];
    let mut page = String::new();
    for line in lines {
        let mut fake = Fake::new();
        let exit = fake.run(line).unwrap();
        page += &format!("$ sluicectl {line}\n{}[{}]\n\n", fake.shown, exit as u8);
        assert!(!fake.shown.lines().any(|line| line.ends_with(' ')), "{line}: blanks at the end of a line");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/shown.txt");
    if std::env::var_os("UPDATE_SHOWN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = kept.lines().zip(page.lines()).find(|(kept, made)| kept != made);
    assert!(kept == page, "{differing:?}: if that is meant, UPDATE_SHOWN=1 cargo test -p sluice-controlplane-ctl");
}
