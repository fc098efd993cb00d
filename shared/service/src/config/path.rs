//! Which key of a configuration is meant.

use std::fmt;

/// One step from a value to a value inside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The value of a key of a mapping.
    Key(String),
    /// An entry of a list, from 0.
    Index(usize),
}

/// The way from the root of a configuration to one of its values, such as `listeners[0].bind`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The path of the whole configuration.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of this key in the mapping at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// The path of this entry in the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the value at this path is, or lies within, the value at `other`.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl FromIterator<Step> for KeyPath {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_way_to_the_key() {
        let path = KeyPath::root().key("listeners").index(2).key("tls").key("ca");
        assert_eq!(path.to_string(), "listeners[2].tls.ca");
        assert!(path.starts_with(&KeyPath::root().key("listeners").index(2)));
        assert!(!path.starts_with(&KeyPath::root().key("listeners").index(1)));
    }
}
