//! Why a connection of a link has to be closed.

use sluice_cluster::{ClusterId, NodeId};

use super::Versions;

/// What the peer said cannot be, or it said nothing. Close the connection; the next one begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection is not the link's: another one has taken its place.
    #[error("another connection has taken its place")]
    Replaced,
    /// This node has just started, and has not read yet what it owes to whom.
    #[error("it is still reading what it has stored")]
    Restoring,
    /// The peer has not said Hello in time.
    #[error("the peer has not said Hello")]
    Silent,
    /// A frame is longer than this side takes.
    #[error("a frame of {bytes} bytes, at most {bytes_max}")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Bytes that are no frame.
    #[error("a frame that cannot be read: {what}")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
    /// A kind of frame that the version both speak does not have.
    #[error("a frame of the unknown kind {kind}")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// Something before Hello, or a second Hello.
    #[error("a frame at a time when it means nothing: {what}")]
    OutOfPlace {
        /// Which.
        what: &'static str,
    },
    /// There is no version that both speak.
    #[error("it speaks versions {theirs}, this node {ours}")]
    Version {
        /// The peer's.
        theirs: Versions,
        /// This node's.
        ours: Versions,
    },
    /// The peer belongs to another cluster.
    #[error("it belongs to cluster {cluster}")]
    Cluster {
        /// The peer's.
        cluster: ClusterId,
    },
    /// The peer is not who the connection was made to.
    #[error("it says that it is node {node}")]
    Node {
        /// Who it says it is.
        node: NodeId,
    },
    /// A life of the peer that is over: one with a higher number has spoken before.
    #[error("an earlier life of the node")]
    EarlierLife,
    /// Numbers that go back, or that were never used.
    #[error("a number that cannot be: {what}")]
    Number {
        /// Of what.
        what: &'static str,
    },
    /// More frames without an answer than a peer may have, or more answers that it does not confirm.
    #[error("more than {max} {what}")]
    Window {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

impl LinkError {
    /// Whether the peer has done what no node does that keeps to the protocol (docs/protocol/peer.md).
    #[must_use]
    pub fn is_of_protocol(&self) -> bool {
        match self {
            Self::Replaced | Self::Restoring | Self::Silent | Self::EarlierLife => false,
            Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::Kind { .. }
            | Self::OutOfPlace { .. }
            | Self::Version { .. }
            | Self::Cluster { .. }
            | Self::Node { .. }
            | Self::Number { .. }
            | Self::Window { .. } => true,
        }
    }
}
