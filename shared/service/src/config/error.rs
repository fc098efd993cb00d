//! What is wrong with a configuration, and where.

use std::fmt;

use super::KeyPath;

/// Why a configuration was refused: one error or several, never none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// What is wrong, in the order of the file.
    pub errors: Vec<Located>,
}

/// One error and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// The file or the environment variable.
    pub origin: String,
    /// Line and column, both from 1; `None` where the whole file is meant.
    pub position: Option<(usize, usize)>,
    /// The text of that line.
    pub line: Option<String>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that is well formed and still not right, such as two listeners on one port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key to point at.
    pub path: KeyPath,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with the value at `path`.
    #[must_use]
    pub fn new(path: KeyPath, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), hint: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl ConfigError {
    pub(super) fn one(error: Located) -> Self {
        Self { errors: vec![error] }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.errors.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.origin)?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}")?;
        }
        write!(f, " {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "  -> {hint}")?;
        }
        if let (Some((number, column)), Some(line)) = (self.position, &self.line) {
            let shown: String =
                line.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let margin = number.to_string().len().max(4);
            write!(f, "\n{number:margin$} | {shown}")?;
            if column <= LINE_CHARS_MAX {
                write!(f, "\n{:margin$} | {:indent$}^", "", "", indent = column - 1)?;
            }
        }
        Ok(())
    }
}

/// Longer lines are cut when they are shown.
const LINE_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_shows_the_line_and_points_at_the_column() {
        let error = Located {
            origin: "sluice.yaml".into(),
            position: Some((14, 5)),
            line: Some("  - bnd: 0.0.0.0:1883".into()),
            message: "unknown key `bnd`".into(),
            hint: Some("did you mean `bind`?".into()),
        };
        assert_eq!(
            error.to_string(),
            "sluice.yaml:14:5 unknown key `bnd`  -> did you mean `bind`?\n  14 |   - bnd: 0.0.0.0:1883\n     |     ^"
        );
    }

    #[test]
    fn an_error_about_the_environment_has_no_line() {
        let error = Located {
            origin: "SLUICE_WORKERS".into(),
            position: None,
            line: None,
            message: "not a number".into(),
            hint: None,
        };
        assert_eq!(error.to_string(), "SLUICE_WORKERS: not a number");
    }
}
