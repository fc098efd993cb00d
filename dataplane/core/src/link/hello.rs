//! Who the two ends are, and what they know of each other.

use std::fmt;

use sluice_cluster::{ClusterId, Label, NodeId, interest::Incarnation};

use super::LinkError;
use crate::message::Reader;

/// One end of a link, as it introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Who it is.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Counts the links that it makes to the same peer in this life, from 1: one that was given up and one that begins
    /// anew are told apart.
    pub generation: u32,
    /// The versions of the format that it speaks.
    pub versions: Versions,
    /// Where it stands.
    pub region: Option<Label>,
}

/// The versions of the format that a node speaks, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

impl Versions {
    /// What this build speaks.
    pub const THIS: Self = Self { min: 1, max: 2 };

    /// The highest version that both speak.
    pub(super) fn agree(self, theirs: Self) -> Option<u16> {
        let highest = self.max.min(theirs.max);
        (highest >= self.min.max(theirs.min)).then_some(highest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// What tells one counting of frames from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    pub(super) generation: u32,
}

/// What one end has of the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// The life of the one who is told.
    pub(super) life: Life,
    /// The last of its reliable frames that was taken; 0 = none.
    pub(super) frames: u64,
    /// How many of its runs of outcomes were taken.
    pub(super) runs: u64,
}

/// The first frame on a connection, from each side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hello {
    pub(super) identity: Identity,
    /// The longest frame that it takes, in bytes.
    pub(super) frame_bytes_max: u32,
    /// What it has of the other; `None` = nothing.
    pub(super) known: Option<Known>,
}

impl Hello {
    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let Identity { cluster, node, incarnation, generation, versions, region } = &self.identity;
        out.extend_from_slice(&versions.min.to_le_bytes());
        out.extend_from_slice(&versions.max.to_le_bytes());
        out.extend_from_slice(&cluster.0.to_le_bytes());
        out.extend_from_slice(&node.0.to_le_bytes());
        out.extend_from_slice(&incarnation.0.to_le_bytes());
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(&self.frame_bytes_max.to_le_bytes());
        // A generation is at least 1: 0 stands for nothing known.
        let nothing = Known { life: Life { incarnation: Incarnation(0), generation: 0 }, frames: 0, runs: 0 };
        let known = self.known.unwrap_or(nothing);
        out.extend_from_slice(&known.life.incarnation.0.to_le_bytes());
        out.extend_from_slice(&known.life.generation.to_le_bytes());
        out.extend_from_slice(&known.frames.to_le_bytes());
        out.extend_from_slice(&known.runs.to_le_bytes());
        let region = region.as_ref().map_or("", Label::as_str);
        out.push(region.len() as u8);
        out.extend_from_slice(region.as_bytes());
    }

    /// Reads a body. What stands behind the fields of version 1 is for later versions.
    pub(super) fn decode(body: &[u8]) -> Result<Self, LinkError> {
        Self::read(&mut Reader::new(body)).ok_or(LinkError::Malformed { what: "Hello" })
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let versions = Versions { min: reader.u16()?, max: reader.u16()? };
        let cluster = ClusterId(u128::from_le_bytes(reader.take(16)?.try_into().ok()?));
        let node = NodeId(reader.u64()?);
        let incarnation = Incarnation(reader.u64()?);
        let generation = reader.u32()?;
        let frame_bytes_max = reader.u32()?;
        let life = Life { incarnation: Incarnation(reader.u64()?), generation: reader.u32()? };
        let known = Known { life, frames: reader.u64()?, runs: reader.u64()? };
        let region_len = reader.u8()?;
        let region = std::str::from_utf8(reader.take(usize::from(region_len))?).ok()?;
        let region = if region.is_empty() { None } else { Some(Label::parse(region).ok()?) };
        let sound = versions.min <= versions.max && generation > 0 && frame_bytes_max > 0;
        let identity = Identity { cluster, node, incarnation, generation, versions, region };
        sound.then_some(Self {
            identity,
            frame_bytes_max,
            known: Some(known).filter(|known| known.life.generation > 0),
        })
    }

    /// The counting that its frames belong to.
    pub(super) fn life(&self) -> Life {
        self.identity.life()
    }
}

impl Identity {
    /// The counting that its frames belong to.
    pub(super) fn life(&self) -> Life {
        Life { incarnation: self.incarnation, generation: self.generation }
    }
}
