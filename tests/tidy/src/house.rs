//! The folders of the house, and that every crate says what it is.

use syn::{Expr, ExprLit, Lit, Meta};

use crate::{RustFile, Tree, Violation};

/// The folders at the top. Each crate lives in one of them.
const TOP: [&str; 8] = ["dataplane", "controlplane", "shared", "proto", "deploy", "tests", "benches", "docs"];

/// What a crate's documentation has at least, in characters: a sentence that says what it is.
const DOC_CHARACTERS_MIN: usize = 40;

/// Folders outside of `TOP`, and crates that are not named after theirs.
#[must_use]
pub fn check_folders(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.files() {
        if let Some((top, _)) = file.path.split_once('/')
            && !TOP.contains(&top)
            && !top.starts_with('.')
        {
            found.push(Violation::of(&file.path, format!("no folder '{top}' belongs at the top")));
        }
        if let Some(folder) = file.path.strip_suffix("/Cargo.toml")
            && let Some(name) = package_name(&file.text)
        {
            let wanted = format!("sluice-{}", folder.replace('/', "-"));
            // A program is named as it is called; what is in `shared` carries the short name.
            let short = wanted.replace("sluice-shared-", "sluice-");
            if ![wanted.as_str(), &short, "sluice"].contains(&name) {
                found.push(Violation::of(&file.path, format!("the crate '{name}' is to be called '{short}'")));
            }
        }
    }
    found
}

fn package_name(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = "))?;
    Some(line.trim().trim_matches('"'))
}

/// A crate without a sentence of its own about what it is. Of a crate with a library, the library has to say it.
#[must_use]
pub fn check_doc(tree: &Tree, file: &RustFile) -> Option<Violation> {
    let is_library = file.path.ends_with("/src/lib.rs");
    let program = file.path.strip_suffix("/src/main.rs");
    let is_program = program.is_some_and(|folder| !tree.has(&format!("{folder}/src/lib.rs")));
    let said: String = file.syntax.attrs.iter().filter_map(doc).collect();
    let empty = said.trim().chars().count() < DOC_CHARACTERS_MIN;
    ((is_library || is_program) && empty).then(|| Violation::at(&file.path, 1, "the crate does not say what it is"))
}

fn doc(attribute: &syn::Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    #[test]
    fn a_crate_outside_the_house_or_under_another_name_is_found() {
        let tree = Tree::of(&[
            ("tools/x/Cargo.toml", "[package]\nname = \"sluice-tools-x\""),
            ("dataplane/store/Cargo.toml", "[package]\nname = \"sluice-store\""),
            ("shared/topic/Cargo.toml", "[package]\nname = \"sluice-topic\""),
            ("dataplane/core/Cargo.toml", "[package]\nname = \"sluice-dataplane-core\""),
            (".ci/run", ""),
            ("Cargo.toml", "[workspace]"),
        ]);
        let paths: Vec<String> = check_folders(&tree).into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["tools/x/Cargo.toml", "dataplane/store/Cargo.toml"]);
    }

    #[test]
    fn a_crate_that_does_not_say_what_it_is_is_found() {
        let said = |path: &str, text: &str| {
            let tree = Tree::of(&[("a/src/lib.rs", "")]);
            check_doc(&tree, &RustFile::parse(&File { path: path.into(), text: text.into() }).unwrap()).is_none()
        };
        let sentence = "//! Topic names and filters: what is valid, and how they relate.\nfn f() {}";
        assert!(!said("a/src/lib.rs", "//! See the description.\nfn f() {}"));
        assert!(!said("b/src/main.rs", "fn main() {}"));
        assert!(said("a/src/lib.rs", sentence) && said("b/src/main.rs", sentence));
        assert!(said("a/src/main.rs", "fn main() {}"), "its library says it");
    }
}
