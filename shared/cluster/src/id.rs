//! Identities: small, copyable, never confused with each other.

use std::fmt;

/// A data-plane node of the cluster, unique for ever; kept on the node's disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl NodeId {
    /// The node's name in its certificate, among the URIs of the subject alternative names.
    #[must_use]
    pub fn to_uri(self) -> String {
        format!("{NODE_URI}{self}")
    }

    /// The node that [`Self::to_uri`] names: exactly 16 hexadecimal digits in lower case.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let digits = uri.strip_prefix(NODE_URI).filter(|digits| digits.len() == 16)?;
        let is_plain = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_plain.then(|| u64::from_str_radix(digits, 16).ok().map(Self)).flatten()
    }
}

const NODE_URI: &str = "spiffe://sluice/node/";

/// A cluster, unique for ever: two clusters that know each other's addresses and trust the same authority are still two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One pinned thread of a node, numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkerId(pub u16);

impl WorkerId {
    /// The worker's place in an array with one entry per worker.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Grows whenever what it fences changes hands: a shard's configuration, a session's attachment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_the_name_in_its_certificate_and_by_no_other() {
        let node = NodeId(0xA1);
        assert_eq!(node.to_uri(), "spiffe://sluice/node/00000000000000a1");
        assert_eq!(NodeId::from_uri(&node.to_uri()), Some(node));
        for other in ["", "spiffe://sluice/node/a1", "spiffe://sluice/node/00000000000000A1", "spiffe://other/node/1"] {
            assert_eq!(NodeId::from_uri(other), None, "{other}");
        }
        assert_eq!(NodeId::from_uri("spiffe://sluice/node/+0000000000000a1"), None);
    }
}
