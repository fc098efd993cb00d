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

/// Which state of something that control pushes: first by whose leadership it was made under, then by count.
///
/// A node never goes back to a smaller one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version {
    /// Grows with each new leader of control.
    pub leadership: Epoch,
    /// Grows with each change; it goes on counting under the next leader.
    pub counter: u64,
}

impl Version {
    /// The version after this one, made under `leadership`; under the later of the two if that one is older.
    #[must_use]
    pub fn next(self, leadership: Epoch) -> Self {
        Self { leadership: leadership.max(self.leadership), counter: self.counter + 1 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.leadership, self.counter)
    }
}
