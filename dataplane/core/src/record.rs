//! What is to be durable, as data.
//!
//! A worker never writes: it emits [`WriteBatch`]es. Each op names a key by its nouns (how keys are laid out is the
//! store's business) and a value this crate encoded. All state is grouped by shard, so that the same ops can go
//! through a shard's replicated log.

use bytes::Bytes;
use sluice_cluster::{NodeId, ShardId};

/// A session for as long as it exists; never reused, also not by the same client id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SessionUid(pub u64);

impl SessionUid {
    /// The shard that gave it out: its upper 16 bits.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }
}

/// What tells publishers apart whose names are made in different ways. The lowest bits of a [`SessionUid`] count, and come
/// nowhere near.
pub(crate) mod publisher {
    use sluice_cluster::{NodeId, stable_hash};

    use super::SessionUid;

    /// A will, which is published apart from the messages of its session.
    const WILL: u64 = 1 << 47;
    /// A publisher of retained messages, as the shard of their registers knows it.
    const REGISTER: u64 = 1 << 46;
    /// A publisher of another node.
    const FOREIGN: u64 = 1 << 45;
    /// A session that is not stored.
    const TRANSIENT: u64 = 1 << 44;

    const FLAGS: u64 = WILL | REGISTER | FOREIGN | TRANSIENT;

    /// The will of a session.
    pub(crate) fn of_will(uid: SessionUid) -> SessionUid {
        SessionUid(uid.0 | WILL)
    }

    /// A publisher, to the registers of retained messages.
    pub(crate) fn to_register(uid: SessionUid) -> SessionUid {
        SessionUid(uid.0 | REGISTER)
    }

    /// A publisher, to a shared group by its full filter: a shard takes a message once for each group, and once besides.
    pub(crate) fn to_group(uid: SessionUid, group: &str, filter: &str) -> SessionUid {
        let named = [&uid.0.to_le_bytes()[..], group.as_bytes(), b"/", filter.as_bytes()].concat();
        SessionUid(stable_hash(&named) & !FLAGS | uid.0 & FLAGS)
    }

    /// A session that is not stored, by numbers that no other one has: one that begins in the place of another has not
    /// ended that one's exchanges, of which a message may still come again.
    pub(crate) fn transient(process: u64, serial: u64) -> SessionUid {
        let mut bytes = process.to_le_bytes().to_vec();
        bytes.extend_from_slice(&serial.to_le_bytes());
        SessionUid(stable_hash(&bytes) & !FLAGS | TRANSIENT)
    }

    /// A publisher as other nodes know it: each node counts its sessions by itself, so that two nodes give the same names.
    pub(crate) fn of_node(node: NodeId, uid: SessionUid) -> SessionUid {
        let mut bytes = node.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&uid.0.to_le_bytes());
        let kept = uid.0 & (WILL | TRANSIENT);
        SessionUid(stable_hash(&bytes) & !FLAGS | FOREIGN | kept)
    }

    /// Whether nothing comes again of a publisher after a short while.
    pub(crate) fn is_brief(uid: SessionUid) -> bool {
        uid.0 & (WILL | TRANSIENT) != 0
    }

    /// Whether a publisher is a session that is not stored.
    pub(crate) fn is_transient(uid: SessionUid) -> bool {
        uid.0 & (FOREIGN | TRANSIENT) == TRANSIENT
    }
}

/// What a stored value is about. Ordered by shard within each kind, sequence numbers and topics ascending.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// Who a session is: client id, principal, expiry.
    Session(ShardId, SessionUid),
    /// One subscription of a session, by its full filter (with `$share/…` where shared).
    Subscription(ShardId, SessionUid, Box<str>),
    /// How far a session has got: settled messages, QoS 2 packet ids.
    Progress(ShardId, SessionUid),
    /// A run of messages of a session shard, by the sequence number of the first.
    Block(ShardId, u64),
    /// Which QoS 2 messages of a publisher a session shard already holds.
    Dedupe(ShardId, SessionUid),
    /// The will of an attached session.
    Will(ShardId, SessionUid),
    /// The retained message of a topic; the shard is a topic shard.
    Retained(ShardId, Box<str>),
    /// A copy of a register whose home is another node; without a topic, how far the copies of that home go.
    Copy(ShardId, NodeId, Box<str>),
    /// Counters of a shard, such as the next session uid.
    Shard(ShardId),
}

impl Key {
    /// The shard whose state this is part of: with it the key moves, and by it a worker is chosen to restore the key.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        match self {
            Self::Session(shard, _)
            | Self::Subscription(shard, ..)
            | Self::Progress(shard, _)
            | Self::Block(shard, _)
            | Self::Dedupe(shard, _)
            | Self::Will(shard, _)
            | Self::Retained(shard, _)
            | Self::Copy(shard, ..)
            | Self::Shard(shard) => *shard,
        }
    }
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Store this value, replacing any before it.
    Put(Key, Bytes),
    /// Forget the value; nothing happens when there is none.
    Drop(Key),
}

/// Changes that become durable together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteBatch {
    /// The changes, in order.
    pub ops: Vec<Op>,
}
