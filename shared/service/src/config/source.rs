//! A configuration as it was given: the file's text and the overrides of the environment.

use std::{fs::File, io::Read, path::Path};

use serde::de::DeserializeOwned;

use super::{ConfigError, Located, Problem, environment::Override, words, yaml, yaml::YamlError};

/// A configuration before it is understood. Kept beside what was read from it, so that a problem found later can still
/// be shown in its place.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    overrides: Vec<Override>,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that is missing, unreadable, larger than 1 MiB or not UTF-8.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let refused = |message: String, hint: Option<String>| {
            ConfigError::one(Located { origin: name.clone(), position: None, line: None, message, hint })
        };
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            let hint = (error.kind() == std::io::ErrorKind::NotFound)
                .then(|| "write one with: sluice config default > sluice.yaml".to_owned());
            return Err(refused(format!("cannot be read: {error}"), hint));
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(refused("is larger than 1 MiB, which no configuration is".into(), None));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            refused(format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()), None)
        })?;
        Ok(Self::from_text(name.clone(), text))
    }

    /// Takes a text that was read elsewhere; `name` stands for it in errors.
    #[must_use]
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), overrides: Vec::new() }
    }

    /// Adds the overrides of an environment: each variable [`super::PREFIX`]`A__0__B` stands for the key `a[0].b`, and
    /// its value is YAML. Other variables are left alone. They are applied in the order of their names.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.overrides.extend(variables.into_iter().filter_map(|(name, value)| Override::parse(name, value)));
        self.overrides.sort_by(|a, b| a.variable.cmp(&b.variable));
        self
    }

    /// Where the configuration came from: the file's path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Understands the configuration. The type should deny unknown fields and have a default for every field.
    ///
    /// # Errors
    /// The first thing that does not fit, in the file or in the environment.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let plain: T = yaml::parse(&self.text).map_err(|error| self.explain(error))?;
        if self.overrides.is_empty() {
            return Ok(plain);
        }
        let mut tree: yaml::Value = yaml::parse(&self.text).map_err(|error| self.explain(error))?;
        for each in &self.overrides {
            // Read after each one, so that an error is known to be of this variable.
            tree = each.apply::<T>(tree).map_err(ConfigError::one)?;
        }
        yaml::from_tree(tree).map_err(|error| self.explain(error))
    }

    /// Locates what the owner of the configuration found wrong with it.
    ///
    /// # Errors
    /// All of the problems; none is `Ok`.
    pub fn refuse(&self, problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() {
            return Ok(());
        }
        let mut errors: Vec<Located> = problems.into_iter().map(|problem| self.locate(problem)).collect();
        errors.sort_by_key(|error| error.position);
        Err(ConfigError { errors })
    }

    fn locate(&self, problem: Problem) -> Located {
        let Problem { path, message, hint } = problem;
        if let Some(by) = self.overrides.iter().rev().find(|o| o.path.starts_with(&path) || path.starts_with(&o.path)) {
            return Located { origin: by.variable.clone(), position: None, line: None, message, hint };
        }
        let position = yaml::locate(&self.text, &path);
        Located { origin: self.name.clone(), position, line: self.line(position), message, hint }
    }

    fn explain(&self, error: YamlError) -> ConfigError {
        let (message, hint) = words::plain(&error.message);
        let position = error.position;
        ConfigError::one(Located { origin: self.name.clone(), position, line: self.line(position), message, hint })
    }

    fn line(&self, position: Option<(usize, usize)>) -> Option<String> {
        position.and_then(|(line, _)| self.text.lines().nth(line - 1)).map(str::to_owned)
    }
}

/// No configuration is longer; what is longer is another file given by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;
