//! Why a source of credentials was refused.

use std::{fmt, path::PathBuf};

/// A file that authentication needs cannot be used. Whatever was in force before stays.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct SourceError {
    /// The file, as configured; empty where the configuration itself is at fault.
    pub path: PathBuf,
    /// Line in the file, from 1, where one is to blame.
    pub line: Option<u32>,
    /// What is wrong, in one clause.
    pub what: String,
    /// What to do; empty where nothing can be said.
    pub hint: String,
}

impl SourceError {
    pub(crate) fn new(path: impl Into<PathBuf>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.as_os_str().is_empty() {
            write!(f, "{}", self.path.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " -> {}", self.hint) }
    }
}
