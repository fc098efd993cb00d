//! The tree itself, held against every check.

use std::path::PathBuf;

use anyhow::Result;
use sluice_tests_tidy::{Tree, Violation, documents, house, layers, lengths, places, purity, words};

fn assert_none(found: impl IntoIterator<Item = Violation>) {
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort();
    let lines: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_crate_stays_within_its_layer() -> Result<()> {
    assert_none(layers::check(&layers::members(Tree::read()?.root())?));
    Ok(())
}

#[test]
fn what_decides_reads_no_clock_draws_no_randomness_and_touches_nothing() -> Result<()> {
    let files = Tree::read()?.rust()?;
    let is_pure = |path: &str| layers::PURE.iter().any(|folder| path.starts_with(&format!("{folder}/src/")));
    let pure: Vec<_> = files.iter().filter(|file| is_pure(&file.path) && !file.is_test()).collect();
    assert!(pure.len() > 50, "the sources of the pure crates are found");
    assert_none(pure.into_iter().flat_map(purity::check));
    Ok(())
}

#[test]
fn files_and_functions_are_short_and_flat() -> Result<()> {
    assert_none(Tree::read()?.rust()?.iter().flat_map(lengths::check));
    Ok(())
}

#[test]
fn names_say_something() -> Result<()> {
    let tree = Tree::read()?;
    assert_none(tree.files().filter_map(words::check_path).chain(tree.rust()?.iter().flat_map(words::check)));
    Ok(())
}

#[test]
fn nothing_is_left_unfinished() -> Result<()> {
    let tree = Tree::read()?;
    let code = tree.files().filter(|file| file.path.ends_with(".rs") || file.path.ends_with(".sh"));
    assert_none(code.flat_map(words::check_finished));
    Ok(())
}

#[test]
fn every_crate_stands_in_the_house_and_says_what_it_is() -> Result<()> {
    let tree = Tree::read()?;
    let sources = tree.rust()?;
    let docs = sources.iter().filter_map(|file| house::check_doc(&tree, file));
    assert_none(house::check_folders(&tree).into_iter().chain(docs));
    Ok(())
}

#[test]
fn documents_lead_somewhere_and_show_what_can_be_read() -> Result<()> {
    assert_none(documents::check(&Tree::read()?));
    Ok(())
}

#[test]
fn nothing_names_the_machine_it_was_written_on() -> Result<()> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    assert_none(places::check(&Tree::read()?, home.as_deref()));
    Ok(())
}
