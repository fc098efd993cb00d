//! Labels: what operators say about a node, such as its region, its zone, or that its disk is fast.

use std::{borrow::Borrow, collections::BTreeMap, fmt, sync::Arc};

/// Most bytes of a label's key or value: what a column of a table and a name in DNS can hold.
pub const LABEL_BYTES_MAX: usize = 63;

/// Most labels of a node.
pub const LABELS_MAX: usize = 64;

/// A short name that can be a label's key or its value: 1 to [`LABEL_BYTES_MAX`] of `A-Z a-z 0-9 . _ / -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label(Arc<str>);

impl Label {
    /// Parses a key or a value.
    ///
    /// # Errors
    /// It is empty, too long, or has a character that no label may have.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() {
            return Err(LabelError::Empty);
        }
        if text.len() > LABEL_BYTES_MAX {
            return Err(LabelError::TooLong { bytes: text.len() });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || "._/-".contains(*c);
        match text.chars().find(|c| !allowed(c)) {
            Some(found) => Err(LabelError::Character { found }),
            None => Ok(Self(text.into())),
        }
    }

    /// A name that this crate gives, and that is valid.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The labels of one node: at most [`LABELS_MAX`], each key once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Labels(BTreeMap<Label, Label>);

impl Labels {
    /// The labels of `pairs`.
    ///
    /// # Errors
    /// A key stands twice, or there are too many.
    pub fn new(pairs: impl IntoIterator<Item = (Label, Label)>) -> Result<Self, LabelError> {
        let mut labels = BTreeMap::new();
        for (key, value) in pairs {
            if let Some(key) = labels.insert(key.clone(), value).map(|_| key) {
                return Err(LabelError::Twice { key });
            }
        }
        if labels.len() > LABELS_MAX {
            return Err(LabelError::TooMany { labels: labels.len() });
        }
        Ok(Self(labels))
    }

    /// The value of a label.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Label> {
        self.0.get(key)
    }

    /// The region: nodes of one region reach each other fast. `None` is a region too, that of all nodes without one.
    #[must_use]
    pub fn region(&self) -> Option<&Label> {
        self.value(REGION)
    }

    /// The zone: what fails together within a region.
    #[must_use]
    pub fn zone(&self) -> Option<&Label> {
        self.value(ZONE)
    }

    /// All labels, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Label)> {
        self.0.iter()
    }
}

/// Which nodes are meant: those that have all of these labels, and at least one label is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector(Labels);

impl Selector {
    /// Selects the nodes that have all of `labels`.
    ///
    /// # Errors
    /// There are none, which would select everything by mistake.
    pub fn new(labels: Labels) -> Result<Self, LabelError> {
        if labels.0.is_empty() { Err(LabelError::SelectsAll) } else { Ok(Self(labels)) }
    }

    /// Whether a node with these labels is meant.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.value(key.as_str()) == Some(value))
    }

    /// What is asked for.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.0
    }
}

/// Why something is no label, or no set of labels.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabelError {
    /// It has no characters.
    #[error("a label is empty")]
    Empty,
    /// It has more than [`LABEL_BYTES_MAX`] bytes.
    #[error("a label has {bytes} bytes, more than {LABEL_BYTES_MAX}")]
    TooLong {
        /// Bytes it has.
        bytes: usize,
    },
    /// It has a character that no label may have.
    #[error("a label must not contain {found:?}")]
    Character {
        /// The first such character.
        found: char,
    },
    /// A node has two values for one key.
    #[error("the label {key} is given twice")]
    Twice {
        /// That key.
        key: Label,
    },
    /// A node has more than [`LABELS_MAX`] labels.
    #[error("{labels} labels, more than {LABELS_MAX}")]
    TooMany {
        /// Labels it has.
        labels: usize,
    },
    /// A selector names no label.
    #[error("a selector without labels would select every node")]
    SelectsAll,
}

const REGION: &str = "region";
const ZONE: &str = "zone";

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let parse = |text: &str| Label::parse(text).unwrap();
        Labels::new(pairs.iter().map(|(key, value)| (parse(key), parse(value)))).unwrap()
    }

    #[test]
    fn what_is_no_label_is_refused_with_the_reason() {
        assert_eq!(Label::parse(""), Err(LabelError::Empty));
        assert_eq!(Label::parse(&"x".repeat(64)), Err(LabelError::TooLong { bytes: 64 }));
        assert_eq!(Label::parse("eu west"), Err(LabelError::Character { found: ' ' }));
        assert_eq!(Label::parse("topology.kubernetes.io/zone").unwrap().as_str(), "topology.kubernetes.io/zone");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let zone = Label::parse("zone").unwrap();
        let twice = [(zone.clone(), zone.clone()), (zone.clone(), zone.clone())];
        assert_eq!(Labels::new(twice), Err(LabelError::Twice { key: zone }));
    }

    #[test]
    fn a_selector_asks_for_all_its_labels() {
        let selector = Selector::new(labels(&[("region", "eu"), ("disk", "nvme")])).unwrap();
        assert!(selector.selects(&labels(&[("region", "eu"), ("disk", "nvme"), ("zone", "a")])));
        assert!(!selector.selects(&labels(&[("region", "eu")])));
        assert_eq!(Selector::new(Labels::default()), Err(LabelError::SelectsAll));
    }
}
