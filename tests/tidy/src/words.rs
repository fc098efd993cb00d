//! Words that say nothing, in the names that this tree gives; and code that is not finished.

use syn::{
    Field, Generics, ImplItemFn, Item, PatIdent, Signature, Variant,
    visit::{self, Visit},
};

use crate::{File, RustFile, Violation, rust::line_of};

/// What a name must not say.
const BANNED: [&str; 5] = ["manager", "helper", "util", "common", "misc"];

/// Macros of unfinished code, and what marks an unfinished place.
const UNFINISHED: [&str; 4] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("TO", "DO")];

/// What X.509 calls the name of whom a certificate is for.
const TERMS: [&str; 1] = ["common_name"];

/// The banned word that a name is made with.
fn banned_in(name: &str) -> Option<&'static str> {
    let mut words = String::new();
    let mut inside = false;
    for character in name.chars() {
        if inside && character.is_uppercase() {
            words.push('_');
        }
        inside = character.is_lowercase();
        words.extend(character.to_lowercase());
    }
    let words = TERMS.iter().fold(words, |words, term| words.replace(term, ""));
    let of = |word: &str| BANNED.into_iter().find(|banned| word.strip_suffix('s').unwrap_or(word) == *banned);
    words.split(|c: char| !c.is_alphanumeric()).find_map(of)
}

/// Checks the names of files and folders.
#[must_use]
pub fn check_path(file: &File) -> Option<Violation> {
    banned_in(&file.path).map(|word| Violation::of(&file.path, format!("a path that says '{word}' says nothing")))
}

/// Checks the names that a source declares.
#[must_use]
pub fn check(file: &RustFile) -> Vec<Violation> {
    let mut names = Names { path: &file.path, found: Vec::new() };
    names.visit_file(&file.syntax);
    names.found
}

/// Finds what is not finished, in any text.
#[must_use]
pub fn check_finished(file: &File) -> Vec<Violation> {
    let lines = file.text.lines().enumerate();
    let marked = |line: &str| UNFINISHED.into_iter().find(|mark| line.contains(mark));
    lines
        .filter_map(|(at, line)| Some(Violation::at(&file.path, at + 1, format!("{} is left here", marked(line)?))))
        .collect()
}

struct Names<'a> {
    path: &'a str,
    found: Vec<Violation>,
}

impl Names<'_> {
    fn check(&mut self, name: &syn::Ident) {
        if let Some(word) = banned_in(&name.to_string()) {
            let what = format!("the name {name} says '{word}', which says nothing");
            self.found.push(Violation::at(self.path, line_of(name.span()), what));
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Const(item) => self.check(&item.ident),
            Item::Enum(item) => self.check(&item.ident),
            Item::Mod(item) => self.check(&item.ident),
            Item::Static(item) => self.check(&item.ident),
            Item::Struct(item) => self.check(&item.ident),
            Item::Trait(item) => self.check(&item.ident),
            Item::Type(item) => self.check(&item.ident),
            Item::Macro(item) => item.ident.iter().for_each(|name| self.check(name)),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        self.check(&signature.ident);
        visit::visit_signature(self, signature);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_field(&mut self, field: &'ast Field) {
        field.ident.iter().for_each(|name| self.check(name));
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.check(&variant.ident);
        visit::visit_variant(self, variant);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        self.check(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_generics(&mut self, generics: &'ast Generics) {
        generics.type_params().for_each(|parameter| self.check(&parameter.ident));
        visit::visit_generics(self, generics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn names(text: &str) -> Vec<String> {
        let file = RustFile::parse(&file("a.rs", text)).unwrap();
        check(&file).into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn a_banned_word_is_found_in_every_kind_of_name() {
        for text in [
            "struct SessionManager;",
            "mod utils { }",
            "fn common_part() {}",
            "const MISC: u8 = 0;",
            "struct A { helper: u8 }",
            "enum A { Util }",
            "fn f(helpers: u8) {}",
            "fn f() { let manager_of_b = 1; }",
        ] {
            assert_eq!(names(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn names_of_others_and_longer_words_are_left_alone() {
        assert_eq!(names("use hyper_util::rt; fn utility() { let common_name = hyper_util::common; }"), [""; 0]);
        assert!(check_path(&file("shared/utility/src/lib.rs", "")).is_none());
        assert!(check_path(&file("shared/util/src/lib.rs", "")).is_some());
        assert!(check_path(&file("tests/e2e/src/common.rs", "")).is_some());
    }

    #[test]
    fn unfinished_code_is_found_at_its_line() {
        let found = check_finished(&file("a.rs", concat!("fn f() {\n    todo", "!()\n}")));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }
}
