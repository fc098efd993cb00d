//! What is wrong with a rule file, and where.

use std::fmt;

/// A rule file was refused. Nothing of a refused file takes effect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct RulesError {
    /// Line of the cause, from 1.
    pub line: u32,
    /// Column of the cause in characters, from 1.
    pub column: u32,
    /// What is wrong, in one clause.
    pub what: String,
    /// What to write instead; empty where nothing can be said.
    pub hint: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.line, self.column, self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " -> {}", self.hint) }
    }
}
