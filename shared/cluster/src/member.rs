//! A node as the other nodes know it: what is planned with it, and what its process says of itself.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{Address, ClientAddress, Labels, Node, Weight};

/// Most nodes of a cluster.
pub const NODES_MAX: usize = 4096;

/// Most addresses of one kind that a node advertises.
pub const ADDRESSES_MAX: usize = 8;

/// Most workers of a node.
pub const WORKERS_MAX: u16 = 1024;

/// Most bytes of a build's name.
pub const BUILD_BYTES_MAX: usize = 64;

/// One row of the nodes' table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who it is, and what is planned with it.
    pub node: Node,
    /// Whether it takes in what other regions send to its own.
    pub gateway: bool,
    /// What its process said last.
    pub process: Process,
}

/// What a node says of itself when its stream opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Of its configuration.
    pub labels: Labels,
    /// How much it takes compared with others.
    pub weight: Weight,
    /// What runs there.
    pub process: Process,
}

/// A node's process: how to reach it, and what it understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Where peers reach it, the best first; at most [`ADDRESSES_MAX`].
    pub peer_addresses: Vec<Address>,
    /// Where clients reach it, for a server reference, of each carrier the best first; at most [`ADDRESSES_MAX`].
    pub client_addresses: Vec<ClientAddress>,
    /// What was built.
    pub build: Build,
    /// The versions of the peer protocol it speaks.
    pub peer_protocol: ProtocolRange,
    /// 1 to [`WORKERS_MAX`]: which worker has a shard follows from it.
    pub workers: u16,
}

/// The name of a build, such as `0.3.1+4f2a`: 1 to [`BUILD_BYTES_MAX`] visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Build(Arc<str>);

impl Build {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Build {
    type Err = BuildError;

    fn from_str(text: &str) -> Result<Self, BuildError> {
        let fits = (1..=BUILD_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(text.into())) } else { Err(BuildError) }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the name of a build.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a build is named by 1 to {BUILD_BYTES_MAX} visible ASCII characters")]
pub struct BuildError;

/// The versions of a protocol that somebody speaks, from the oldest to the newest; they begin with 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProtocolRange {
    oldest: u16,
    newest: u16,
}

impl ProtocolRange {
    /// All versions from one to another.
    ///
    /// # Errors
    /// There is none, or the oldest is 0.
    pub fn new(oldest: u16, newest: u16) -> Result<Self, ProtocolError> {
        if (1..=newest).contains(&oldest) { Ok(Self { oldest, newest }) } else { Err(ProtocolError { oldest, newest }) }
    }

    /// The oldest version.
    #[must_use]
    pub fn oldest(self) -> u16 {
        self.oldest
    }

    /// The newest version.
    #[must_use]
    pub fn newest(self) -> u16 {
        self.newest
    }

    /// The newest version that both speak.
    #[must_use]
    pub fn shared_with(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

/// Versions that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("protocol versions {oldest} to {newest} are none")]
pub struct ProtocolError {
    /// The oldest given.
    pub oldest: u16,
    /// The newest given.
    pub newest: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_speak_the_newest_version_that_both_know() {
        let of = |oldest, newest| ProtocolRange::new(oldest, newest).unwrap();
        assert_eq!(of(1, 3).shared_with(of(2, 4)), Some(3));
        assert_eq!(of(1, 1).shared_with(of(2, 4)), None);
        assert_eq!(ProtocolRange::new(0, 1), Err(ProtocolError { oldest: 0, newest: 1 }));
        assert_eq!(ProtocolRange::new(2, 1), Err(ProtocolError { oldest: 2, newest: 1 }));
    }

    #[test]
    fn a_build_is_a_word() {
        assert_eq!("0.1.0+4f2a".parse().map(|build: Build| build.to_string()), Ok("0.1.0+4f2a".into()));
        for wrong in ["", "a b", "ü", &"x".repeat(65)] {
            assert_eq!(wrong.parse::<Build>(), Err(BuildError));
        }
    }
}
