//! Checks of the house that no compiler makes: which crate may use which, how long files and functions may be, which
//! words are not used, and that the documents say what is there.
//!
//! Each module holds one check as a function from the tree to [`Violation`]s; `tests/tree.rs` runs all of them on the
//! checkout. Every check is held by a test of its own that shows it one offender.

#![allow(clippy::wildcard_enum_match_arm, reason = "a syntax tree has more kinds than any check looks at")]

pub mod documents;
pub mod house;
pub mod layers;
pub mod lengths;
pub mod places;
pub mod purity;
pub mod rust;
pub mod tree;
pub mod words;

use std::fmt;

pub use rust::RustFile;
pub use tree::{File, Tree};

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// The file, from the root of the tree.
    pub path: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong, in words.
    pub what: String,
}

impl Violation {
    /// Something wrong at a line of a file.
    pub fn at(path: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }

    /// Something wrong with a file as a whole.
    pub fn of(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}
