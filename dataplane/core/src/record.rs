//! What is to be durable, as data.
//!
//! A worker never writes: it emits [`WriteBatch`]es. Each op names a key by its nouns (how keys are laid out is the
//! store's business) and a value this crate encoded. All state is grouped by shard, so that the same ops can go
//! through a shard's replicated log.

use bytes::Bytes;
use sluice_cluster::ShardId;

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
    /// Counters of a shard, such as the next session uid.
    Shard(ShardId),
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
