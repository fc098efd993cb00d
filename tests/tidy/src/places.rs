//! What belongs to the machine somebody worked on and not to the tree: paths of that machine, and registries that only
//! it can reach.

use std::path::Path;

use crate::{File, Tree, Violation};

/// Folders that exist on every machine: a checkout right below one of them gives nothing away.
const EVERYWHERE: [&str; 10] = ["/", "/tmp", "/home", "/Users", "/opt", "/srv", "/usr", "/var", "/mnt", "/root"];

/// The only registry that a lock file names.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks all files.
#[must_use]
pub fn check(tree: &Tree, home: Option<&Path>) -> Vec<Violation> {
    let places = places(tree.root(), home);
    tree.files().flat_map(|file| check_paths(file, &places).into_iter().chain(check_sources(file))).collect()
}

/// The paths that name this machine: where the checkout stands, the folder around it, and whoever works here.
fn places(root: &Path, home: Option<&Path>) -> Vec<String> {
    let around = root.parent().filter(|path| !EVERYWHERE.iter().any(|known| Path::new(known) == *path));
    let home = home.filter(|path| !EVERYWHERE.iter().any(|known| Path::new(known) == *path));
    [Some(root), around, home].into_iter().flatten().map(|path| format!("{}/", path.display())).collect()
}

fn check_paths(file: &File, places: &[String]) -> Vec<Violation> {
    let lines = file.text.lines().enumerate();
    let named = |line: &str| places.iter().find(|place| contains_path(line, place));
    lines
        .filter_map(|(at, line)| named(line).map(|place| (at, place)))
        .map(|(at, place)| Violation::at(&file.path, at + 1, format!("names {place}, which is a path of one machine")))
        .collect()
}

/// Whether a line holds a path that begins with `place`, and not merely one that goes through a folder of that name.
fn contains_path(line: &str, place: &str) -> bool {
    let begins =
        |at: usize| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}*)".contains(before));
    line.match_indices(place).any(|(at, _)| begins(at))
}

fn check_sources(file: &File) -> Vec<Violation> {
    if !file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    let foreign = lines.filter(|(_, line)| line.starts_with("source = ") && !line.contains(REGISTRY));
    foreign.map(|(at, line)| Violation::at(&file.path, at + 1, format!("{line} is not the public registry"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_checkout_is_found_and_a_folder_of_the_same_name_is_not() {
        let tree = Tree::of(&[
            ("a.md", "see /checkout/sluice/x"),
            ("b.md", "x\nor /checkout/other"),
            ("c.md", "/usr/checkout/y and $ROOT/checkout/z, /home/bob/"),
        ]);
        let found: Vec<_> = check(&tree, None).into_iter().map(|violation| (violation.path, violation.line)).collect();
        assert_eq!(found, [("a.md".to_owned(), 1), ("b.md".to_owned(), 2)]);
        assert_eq!(check(&tree, Some(Path::new("/home/bob"))).len(), 3);
    }

    #[test]
    fn a_lock_file_that_names_another_registry_is_found() {
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"registry+https://mirror.example/index\"\n");
        assert_eq!(check(&Tree::of(&[("Cargo.lock", &lock)]), None).len(), 1);
    }
}
