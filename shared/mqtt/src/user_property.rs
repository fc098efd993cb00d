//! User properties: pairs of text, in order, names may repeat.

use std::fmt;

use crate::{
    property::{Checked, USER_PROPERTY_OVERHEAD, id},
    reader::Reader,
};

/// The user properties of a packet, in their order: those of a decoded packet, or a slice of pairs to encode.
#[derive(Clone, Copy)]
pub struct UserProperties<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A decoded block, in which other properties may stand too.
    Block {
        block: &'a [u8],
        count: u32,
        bytes: u32,
    },
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> UserProperties<'a> {
    /// No user properties.
    pub const EMPTY: Self = Self(Source::Pairs(&[]));

    /// Those in a decoded block. `count` and `bytes` are as found while decoding.
    pub(crate) const fn from_block(block: &'a [u8], count: u32, bytes: u32) -> Self {
        if count == 0 { Self::EMPTY } else { Self(Source::Block { block, count, bytes }) }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Block { count, .. } => count as usize,
            Source::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes they take in a packet, identifiers and lengths included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.0 {
            Source::Block { bytes, .. } => bytes as usize,
            Source::Pairs(pairs) => pairs.iter().map(|(n, v)| USER_PROPERTY_OVERHEAD + n.len() + v.len()).sum(),
        }
    }

    /// Name and value of each.
    #[must_use]
    pub const fn iter(&self) -> UserPropertiesIter<'a> {
        match self.0 {
            Source::Block { block, .. } => UserPropertiesIter { block: Checked::new(block), pairs: &[] },
            Source::Pairs(pairs) => UserPropertiesIter { block: Checked::new(&[]), pairs },
        }
    }
}

impl Default for UserProperties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a> From<&'a [(&'a str, &'a str)]> for UserProperties<'a> {
    fn from(pairs: &'a [(&'a str, &'a str)]) -> Self {
        Self(Source::Pairs(pairs))
    }
}

impl<'a> IntoIterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Name and value of each user property.
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a> {
    block: Checked<'a>,
    pairs: &'a [(&'a str, &'a str)],
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((pair, rest)) = self.pairs.split_first() {
            self.pairs = rest;
            return Some(*pair);
        }
        let (_, property) = self.block.find(|&(id, _)| id == id::USER_PROPERTY)?;
        let mut reader = Reader::new(property.get(1..)?);
        Some((reader.string().ok()?, reader.string().ok()?))
    }
}
