//! A Rust source as a syntax tree, and which of it is test code.

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::{Attribute, Item, spanned::Spanned};

use crate::File;

/// A parsed source.
pub struct RustFile {
    /// From the root of the tree.
    pub path: String,
    /// How many lines it has.
    pub lines: usize,
    /// What it says.
    pub syntax: syn::File,
}

impl RustFile {
    /// Parses a file.
    ///
    /// # Errors
    /// Syntax that the parser does not know.
    pub fn parse(file: &File) -> Result<Self> {
        let syntax = syn::parse_file(&file.text).with_context(|| format!("parsing {}", file.path))?;
        Ok(Self { path: file.path.clone(), lines: file.text.lines().count(), syntax })
    }

    /// Whether all of it is test code, an example or a bench: by its place, or because its parent module says so.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        let file = parts.next_back().unwrap_or_default();
        file == "tests.rs" || parts.any(|part| ["tests", "benches", "examples"].contains(&part))
    }

    /// The items that are compiled outside of tests.
    pub fn shipped(&self) -> impl Iterator<Item = &Item> {
        self.syntax.items.iter().filter(|item| !is_for_tests(attributes(item)))
    }
}

/// Whether the attributes hold something back for tests.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg_test = attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"));
        cfg_test || attribute.path().is_ident("test")
    })
}

/// The line at which something begins, and the one at which it ends.
pub(crate) fn lines_of(start: &impl Spanned, end: &impl Spanned) -> (usize, usize) {
    (line_of(start.span()), end.span().end().line)
}

/// The line at which a span begins.
pub(crate) fn line_of(span: Span) -> usize {
    span.start().line
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
