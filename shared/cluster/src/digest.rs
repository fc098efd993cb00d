//! A digest of a set that follows every change of the set in constant time, so that two ends can tell whether they hold
//! the same without sending it.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

/// The digest of a set of rows: the sum of the rows' 128-bit hashes, so that neither order nor history matters.
///
/// It finds accidents, not attacks: both ends are members of the cluster, and whoever may write a set may write any.
/// The hash is part of what nodes exchange and must be the same in every version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SetDigest(pub u128);

impl SetDigest {
    /// Of the empty set.
    pub const EMPTY: Self = Self(0);

    /// A row with this key and value has come into the set.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(row(key, value));
    }

    /// A row that was in the set has left it.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(row(key, value));
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn row(key: &[u8], value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    // The length keeps ("a", "bc") apart from ("ab", "c").
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, &str)]) -> SetDigest {
        let mut digest = SetDigest::EMPTY;
        rows.iter().for_each(|(key, value)| digest.add(key.as_bytes(), value.as_bytes()));
        digest
    }

    #[test]
    fn the_digest_knows_neither_order_nor_history() {
        let mut digest = of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(digest, of(&[("c", "3"), ("a", "1"), ("b", "2")]));
        digest.remove(b"b", b"2");
        assert_eq!(digest, of(&[("a", "1"), ("c", "3")]));
    }

    #[test]
    fn every_difference_shows() {
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
        assert_ne!(of(&[("a", "1")]), of(&[("a", "2")]));
        assert_ne!(of(&[("a", "1")]), SetDigest::EMPTY);
    }

    #[test]
    fn the_digest_is_part_of_what_nodes_exchange_and_never_changes() {
        assert_eq!(of(&[("a", "1")]).to_string(), "3ceed400ae68dfcb7a7279549da88445");
    }
}
