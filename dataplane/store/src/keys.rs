//! How keys are laid out, one module per kind.
//!
//! Every key starts with its shard, big-endian, so that a shard is one range of each column family. All numbers are
//! big-endian and text stands last, raw, so that the order of the bytes is the order of [`Key`] within its kind.
//! The layouts are part of the stored format.

mod block;
mod copy;
mod dedupe;
mod progress;
mod retained;
mod session;
mod shard;
mod subscription;
mod will;

use sluice_cluster::ShardId;
use sluice_dataplane_core::{Key, SessionUid};

/// A kind of [`Key`]; each has a column family of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Who a session is.
    Session,
    /// A subscription.
    Subscription,
    /// How far a session has got.
    Progress,
    /// A run of messages.
    Block,
    /// QoS 2 messages already held.
    Dedupe,
    /// A will.
    Will,
    /// A retained message.
    Retained,
    /// A copy of a retained message of another node.
    Copy,
    /// Counters of a shard.
    Shard,
}

impl Kind {
    /// All kinds, in the order of [`Key`]'s variants.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::Subscription,
        Self::Progress,
        Self::Block,
        Self::Dedupe,
        Self::Will,
        Self::Retained,
        Self::Copy,
        Self::Shard,
    ];

    /// The kind of a key.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        match key {
            Key::Session(..) => Self::Session,
            Key::Subscription(..) => Self::Subscription,
            Key::Progress(..) => Self::Progress,
            Key::Block(..) => Self::Block,
            Key::Dedupe(..) => Self::Dedupe,
            Key::Will(..) => Self::Will,
            Key::Retained(..) => Self::Retained,
            Key::Copy(..) => Self::Copy,
            Key::Shard(..) => Self::Shard,
        }
    }

    /// The name of its column family, also used in metrics; part of the stored format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Subscription => "subscription",
            Self::Progress => "progress",
            Self::Block => "block",
            Self::Dedupe => "dedupe",
            Self::Will => "will",
            Self::Retained => "retained",
            Self::Copy => "copy",
            Self::Shard => "shard",
        }
    }

    /// Its place in arrays with one entry per kind.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Reads a key of this kind; `None` when the bytes are none.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Key> {
        match self {
            Self::Session => session::decode(bytes),
            Self::Subscription => subscription::decode(bytes),
            Self::Progress => progress::decode(bytes),
            Self::Block => block::decode(bytes),
            Self::Dedupe => dedupe::decode(bytes),
            Self::Will => will::decode(bytes),
            Self::Retained => retained::decode(bytes),
            Self::Copy => copy::decode(bytes),
            Self::Shard => shard::decode(bytes),
        }
    }
}

/// Replaces what `out` holds by the bytes of a key.
pub(crate) fn encode(key: &Key, out: &mut Vec<u8>) {
    out.clear();
    match key {
        Key::Session(shard, uid) => session::encode(*shard, *uid, out),
        Key::Subscription(shard, uid, filter) => subscription::encode(*shard, *uid, filter, out),
        Key::Progress(shard, uid) => progress::encode(*shard, *uid, out),
        Key::Block(shard, first) => block::encode(*shard, *first, out),
        Key::Dedupe(shard, uid) => dedupe::encode(*shard, *uid, out),
        Key::Will(shard, uid) => will::encode(*shard, *uid, out),
        Key::Retained(shard, topic) => retained::encode(*shard, topic, out),
        Key::Copy(shard, node, topic) => copy::encode(*shard, *node, topic, out),
        Key::Shard(shard) => shard::encode(*shard, out),
    }
}

/// The bytes that every key of a shard starts with, and no key of a smaller shard reaches.
pub(crate) fn prefix(shard: ShardId) -> [u8; 2] {
    shard.0.to_be_bytes()
}

/// The shard of any key.
pub(crate) fn shard_of(bytes: &[u8]) -> Option<ShardId> {
    split_shard(bytes).map(|(shard, _)| shard)
}

fn split_shard(bytes: &[u8]) -> Option<(ShardId, &[u8])> {
    let (shard, rest) = bytes.split_first_chunk()?;
    Some((ShardId(u16::from_be_bytes(*shard)), rest))
}

fn split_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn put_shard_and_uid(shard: ShardId, uid: SessionUid, out: &mut Vec<u8>) {
    out.extend_from_slice(&prefix(shard));
    out.extend_from_slice(&uid.0.to_be_bytes());
}

fn shard_and_uid(bytes: &[u8]) -> Option<(ShardId, SessionUid)> {
    let (shard, rest) = split_shard(bytes)?;
    let (uid, rest) = split_number(rest)?;
    rest.is_empty().then_some((shard, SessionUid(uid)))
}

#[cfg(test)]
mod tests;
