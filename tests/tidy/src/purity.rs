//! What code that decides must not do: read a clock, draw randomness, touch a file or a socket, start a thread, wait.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree};

use crate::{RustFile, Violation, rust::line_of};

/// Paths that pure code does not name, or begin. A path is also found by its last two names, so that an import of the
/// module in front does not hide it.
const FORBIDDEN: [&str; 23] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "std::os",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::env",
    "std::thread",
    "thread::spawn",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::mpsc",
    "rand",
    "getrandom",
];

/// Checks the shipped part of one source.
#[must_use]
pub fn check(file: &RustFile) -> Vec<Violation> {
    let mut paths = Vec::new();
    for item in file.shipped() {
        match item {
            Item::Use(import) => flatten(&mut Vec::new(), &import.tree, &mut paths),
            item => collect(item.to_token_stream(), &mut paths),
        }
    }
    let said = |(path, line): &(Vec<String>, usize)| {
        let path = path.join("::");
        let what = forbidden(&path).map(|_| format!("code that decides names {path}"))?;
        Some(Violation::at(&file.path, *line, what))
    };
    paths.iter().filter_map(said).collect()
}

fn forbidden(path: &str) -> Option<&'static str> {
    if path == "async" || path == "await" {
        return Some("async");
    }
    let within = |forbidden: &&str| {
        let starts = path.strip_prefix(*forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        // A lone `rand` may be a variable; as a path it is the crate.
        let is_path = forbidden.contains("::") || path.contains("::");
        let ends = forbidden.contains("::") && path.ends_with(&format!("::{forbidden}"));
        starts && is_path || ends
    };
    FORBIDDEN.into_iter().find(|path| within(path))
}

/// The paths that an import brings.
fn flatten(front: &mut Vec<String>, tree: &UseTree, paths: &mut Vec<(Vec<String>, usize)>) {
    let mut leaf = |front: &[String], name: &syn::Ident| {
        let path = front.iter().cloned().chain([name.to_string()]).collect();
        paths.push((path, line_of(name.span())));
    };
    match tree {
        UseTree::Path(path) => {
            front.push(path.ident.to_string());
            flatten(front, &path.tree, paths);
            front.pop();
        }
        UseTree::Name(name) if name.ident == "self" => paths.push((front.clone(), line_of(name.ident.span()))),
        UseTree::Name(name) => leaf(front, &name.ident),
        UseTree::Rename(renamed) => leaf(front, &renamed.ident),
        UseTree::Glob(glob) => paths.push((front.clone(), line_of(glob.star_token.spans[0]))),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(front, tree, paths)),
    }
}

/// The paths that stand in code, macros included.
fn collect(tokens: TokenStream, paths: &mut Vec<(Vec<String>, usize)>) {
    let mut path = Vec::new();
    let (mut line, mut colons) = (0, 0);
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    paths.push((std::mem::take(&mut path), line));
                    line = line_of(name.span());
                }
                path.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                collect(group.stream(), paths);
                colons = 0;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
        }
    }
    paths.push((path, line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn lines(text: &str) -> Vec<usize> {
        let file = RustFile::parse(&File { path: "shared/topic/src/a.rs".into(), text: text.into() }).unwrap();
        check(&file).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn clocks_files_sockets_threads_and_randomness_are_found_however_they_are_named() {
        for text in [
            "use std::time::Instant;",
            "use std::{mem, time::{Duration, SystemTime}};",
            "use std::time; fn f() { time::Instant::now(); }",
            "fn f() { let x = vec![std::fs::read(\"a\")]; }",
            "use std::net::TcpStream as Stream;",
            "use std::thread; ",
            "use std::thread::{self};",
            "fn f() { assert!(g(rand::random())); }",
            "use std::sync::{Arc, Mutex};",
            "async fn f() {}",
            "fn f() -> impl Future { g(async { h().await }) }",
        ] {
            assert!(!lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_pure_and_what_only_tests_do_is_left_alone() {
        let text = "use std::{io::IoSlice, net::SocketAddr, sync::Arc, time::Duration};
            fn f(instant: u64, rand: u64) { let fs = rand; fs::<u8>(crate::env); }
            #[cfg(test)] mod tests { use std::time::Instant; }";
        assert_eq!(lines(text), [0; 0]);
        assert_eq!(lines("fn f() {\n  std::thread::sleep(x)\n}"), [2]);
    }
}
