//! The only place that knows the YAML library.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
pub(super) use serde_yaml::{Mapping, Value};

use super::{KeyPath, Step};

/// What the library says about a text that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) message: String,
    /// Line and column from 1.
    pub(super) position: Option<(usize, usize)>,
}

/// Reads a document. One that is empty, or nothing but comments, is an empty mapping: everything at its default.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let blank = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    serde_yaml::from_str(if blank { "{}" } else { text }).map_err(YamlError::from)
}

/// Reads a tree that was changed after it was parsed.
pub(super) fn from_tree<T: DeserializeOwned>(tree: Value) -> Result<T, YamlError> {
    serde_yaml::from_value(tree).map_err(YamlError::from)
}

/// Where the key or list entry at `path` stands in the text; where it does not exist, the innermost value around it
/// that does.
pub(super) fn locate(text: &str, path: &KeyPath) -> Option<(usize, usize)> {
    // The library gives positions only with errors, so the visit ends in one at the value that is looked for.
    let found = Find(path.steps()).deserialize(serde_yaml::Deserializer::from_str(text));
    found.err().and_then(|error| error.location()).map(|at| (at.line(), at.column()))
}

impl From<serde_yaml::Error> for YamlError {
    fn from(error: serde_yaml::Error) -> Self {
        let position = error.location().map(|at| (at.line().max(1), at.column().max(1)));
        let mut message = error.to_string();
        if let Some((line, column)) = position {
            // The library repeats the place in words.
            message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
        }
        Self { message, position }
    }
}

/// A visit that fails at the place it looks for.
struct Find<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value that is looked for")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.0.split_first() else {
            return Err(A::Error::custom("here"));
        };
        while let Some(found) = map.next_key_seed(FindKey { wanted, last: rest.is_empty() })? {
            if found {
                return map.next_value_seed(Find(rest));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom("around here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.0.split_first() else {
            return Err(A::Error::custom("here"));
        };
        for _ in 0..*wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Err(A::Error::custom("around here"));
            }
        }
        seq.next_element_seed(Find(rest))?;
        Err(A::Error::custom("around here"))
    }
}

/// A key, and whether it is the wanted one; the last wanted one fails.
struct FindKey<'a> {
    wanted: &'a str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for FindKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FindKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.last) {
            (true, true) => Err(E::custom("here")),
            (found, _) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "workers: 2\nlisteners:\n  - bind: a\n  - name: x\n    tls:\n      ca: y\nadmin: {bind: z}\n";

    fn at(path: KeyPath) -> Option<(usize, usize)> {
        locate(TEXT, &path)
    }

    #[test]
    fn a_path_is_found_in_the_text() {
        let root = KeyPath::root();
        assert_eq!(at(root.key("workers")), Some((1, 1)));
        assert_eq!(at(root.key("listeners")), Some((2, 1)));
        assert_eq!(at(root.key("listeners").index(1)), Some((4, 5)));
        assert_eq!(at(root.key("listeners").index(1).key("tls").key("ca")), Some((6, 7)));
        assert_eq!(at(root.key("admin").key("bind")), Some((7, 9)));
    }

    #[test]
    fn a_path_that_is_not_there_gives_what_is_around_it() {
        let root = KeyPath::root();
        assert_eq!(at(root.key("listeners").index(0).key("tls")), Some((3, 5)));
        assert_eq!(at(root.key("absent")), Some((1, 1)));
        assert_eq!(at(root.key("workers").key("deeper")), Some((1, 10)));
        assert_eq!(locate("", &root.key("absent")), Some((1, 1)));
    }
}
