//! The frames of a stream, as values. How they become bytes is the server crates' business.

use std::{error::Error, fmt};

use sluice_cluster::{NodeId, SetDigest, Version};

use crate::{Name, PerType, Resource, ResourceType};

/// Names a response on its stream, so that an answer belongs to one response only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Nonce(pub u64);

/// What a node holds of a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// The version; [`Version::ZERO`] = nothing.
    pub version: Version,
    /// Of the names and bodies, whatever their versions.
    pub digest: SetDigest,
    /// A version that the node has refused since it started, so that a reconnection does not bring it again.
    pub refused: Option<Version>,
}

/// From the node to control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Up {
    /// The first frame of a stream.
    Hello {
        /// Who speaks. The transport has proven it.
        node: NodeId,
        /// What it holds, from an earlier stream or from its disk.
        held: PerType<Held>,
    },
    /// The answer to a response.
    Answer(Answer),
    /// Sent in every period.
    Heartbeat {
        /// Counts the heartbeats of the stream.
        number: u64,
        /// What the node holds.
        held: PerType<Held>,
    },
}

/// What a node made of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The response.
    pub nonce: Nonce,
    /// Its type.
    pub kind: ResourceType,
    /// ACK, or NACK with why. After a NACK the node holds what it held.
    pub outcome: Result<(), Refusal>,
    /// What the node holds of the type afterwards.
    pub held: Held,
}

/// From control to the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Down {
    /// A part of a response.
    Response(Response),
    /// The node has all of these versions; what they no longer name may go.
    Settle {
        /// The versions.
        versions: PerType<Version>,
    },
    /// The answer to a heartbeat.
    Heartbeat {
        /// Of the heartbeat.
        number: u64,
    },
}

/// A part of a new state of one type. Parts of a response follow each other, from 0 to the one marked last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The type.
    pub kind: ResourceType,
    /// The state that the node has when it has applied all parts.
    pub version: Version,
    /// Names the response; the same in all its parts.
    pub nonce: Nonce,
    /// The state that a delta applies to; `None` = the response is the full state.
    pub base: Option<Version>,
    /// Of the whole state at `version`.
    pub digest: SetDigest,
    /// Counts the parts.
    pub part: u32,
    /// Whether no part follows.
    pub last: bool,
    /// New and changed resources.
    pub upserts: Vec<Resource>,
    /// Names that a delta takes away.
    pub removals: Vec<Name>,
}

/// Why a node does not take a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A delta for a state that the node does not hold. Control sends the full state.
    Base,
    /// What came is not what the digest says. Control sends the full state, once.
    Digest,
    /// Older than what is held (I26).
    Regressed,
    /// Nothing, where there was something.
    Empty,
    /// More bytes than a node takes of a type.
    TooLarge,
    /// The node's core cannot live with it, and says why.
    Invalid(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("the delta applies to a state that is not held"),
            Self::Digest => f.write_str("the digest does not match"),
            Self::Regressed => f.write_str("older than what is held"),
            Self::Empty => f.write_str("empty, where something is held"),
            Self::TooLarge => f.write_str("more bytes than a node takes"),
            Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

impl Error for Refusal {}

/// Why an end gives a stream up. The node connects again and resumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// A frame that has no place here: not after Hello, not the next part, an answer to nothing.
    Protocol(&'static str),
    /// Nothing was heard for too long.
    Silence,
    /// A response was not answered in time.
    Unanswered,
    /// The node has connected anew.
    Replaced,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(what) => f.write_str(what),
            Self::Silence => f.write_str("nothing was heard for too long"),
            Self::Unanswered => f.write_str("a response was not answered in time"),
            Self::Replaced => f.write_str("a newer stream has taken its place"),
        }
    }
}

impl Error for CloseReason {}
