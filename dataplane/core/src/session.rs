//! A session: what the broker remembers of a client.
//!
//! ```text
//!   CONNECT ──► attached ──connection gone──► offline ──expiry──► ended
//!                  ▲                             │
//!                  └───────────CONNECT───────────┘      (what it leaves to shared groups may outlive it)
//! ```
//! A transient session ends with its connection and is only memory. A persistent one lives in a session shard: its
//! subscriptions, waiting messages, packet ids and will are stored, and it has a uid that is never used again.

pub(crate) mod outbound;
pub(crate) mod progress;

use std::sync::Arc;

use sluice_cluster::ShardId;
use sluice_dataplane_access::Principal;
use sluice_mqtt::Version;

use crate::{ConnId, record::SessionUid, subscriptions::SubscribeOptions, table::Table};
use outbound::{Body, Inflight, Outbound, Queued};

/// What a subscription takes in its session and in the index, besides the text of its filter.
const SUBSCRIPTION_BYTES: usize = 128;

/// What the broker remembers of a client.
pub(crate) struct Session {
    /// Who it is: client id, user name, groups.
    pub(crate) principal: Arc<Principal>,
    /// The connection that serves it.
    pub(crate) conn: Option<ConnId>,
    /// Protocol of its last connection.
    pub(crate) version: Version,
    /// Messages that may be unacknowledged at a time.
    pub(crate) window_max: u16,
    /// Tells the users of one place in the table apart.
    pub(crate) serial: u64,
    /// On their way to the client.
    pub(crate) outbound: Outbound,
    /// QoS 2 messages from the client whose exchange is not over.
    pub(crate) received: Vec<Received>,
    /// By filter, ascending.
    pub(crate) subscriptions: Vec<Subscription>,
    /// What a persistent session has on top.
    pub(crate) durable: Option<Box<Durable>>,
    /// Published when the connection is lost.
    pub(crate) will: Option<Box<Will>>,
    /// Where its will stands in the store, if it does.
    pub(crate) stored_will: Option<SessionUid>,
    /// Since when its window has been full without an acknowledgement, in monotonic ms; 0 = it is not.
    pub(crate) stalled_since_ms: u64,
    /// Whether that has lasted so long that its groups pass it over.
    pub(crate) stalled: bool,
    /// The claim at its home that it stands on; 0 = none.
    pub(crate) claim: u64,
}

/// The part of a session that the store knows.
#[derive(Debug)]
pub(crate) struct Durable {
    /// Its shard.
    pub(crate) shard: ShardId,
    /// Its name in the store.
    pub(crate) uid: SessionUid,
    /// How long it outlives its connection.
    pub(crate) expiry_s: u32,
    /// When its connection was lost, in ms since the Unix epoch; 0 = attached.
    pub(crate) detached_wall_ms: u64,
    /// When it ends without a connection, in monotonic ms: a clock that is set ends no session. Means nothing while
    /// attached.
    pub(crate) ends_ms: u64,
    /// When its timer comes up, in monotonic ms; 0 = none is set.
    pub(crate) armed_ms: u64,
    /// Whether its progress is in the list of what the open batch must write.
    pub(crate) dirty: bool,
    /// Whether it is in the list of those that the open batch appends to.
    pub(crate) touched: bool,
    /// Numbers its QoS 2 exchanges as a publisher.
    pub(crate) next_exchange: u64,
    /// How many stored messages it was sent.
    pub(crate) sent: u64,
    /// How many of them the progress on stable storage knows of.
    pub(crate) sent_stored: u64,
    /// The highest sequence number that left the queue before one in front of it; 0 = none has since that one went.
    pub(crate) gap_seq: u64,
    /// Over: no client finds it, and only what it leaves to its shared groups is there.
    pub(crate) ended: bool,
}

/// A QoS 2 exchange begun by the client: its packet id is known until PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The client's packet id.
    pub(crate) packet_id: u16,
    /// Which exchange of the session it is; 0 for transient sessions.
    pub(crate) number: u64,
    /// Whether PUBREC was sent: everybody has the message.
    pub(crate) routed: bool,
    /// Whether it was routed under a message id, so that it can be routed again. Otherwise everything it caused is in
    /// one batch with this.
    pub(crate) crosses: bool,
    /// Of topic and payload: what comes under this packet id again must be the same message.
    pub(crate) digest: u64,
}

/// One subscription, as its session knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The filter as the client gave it, with `$share/…` where shared.
    pub(crate) filter: Box<str>,
    /// Granted options.
    pub(crate) options: SubscribeOptions,
    /// Subscription identifier; 0 = none.
    pub(crate) id: u32,
}

/// A will [MQTT-3.1.2-7].
#[derive(Clone, Debug)]
pub(crate) struct Will {
    /// The message, encoded as a [`crate::message::MessageRef`] whose expiry is still an interval.
    pub(crate) message: Box<[u8]>,
    /// Tells it apart from other wills of the same session.
    pub(crate) number: u64,
    /// Will Delay Interval.
    pub(crate) delay_s: u32,
    /// Message Expiry Interval; 0 = none. It starts to run when the will is published.
    pub(crate) expiry_s: u32,
    /// When it is due, in monotonic ms; 0 while the connection lives.
    pub(crate) due_ms: u64,
    /// Whether it was published already, but perhaps not to everybody.
    pub(crate) fired: bool,
}

/// Stored messages that may be sent before the store knows that they were. After a crash so many are sent again as
/// duplicates: DUP says that a message may have been sent before [MQTT-3.3.1-1].
pub(crate) const SENT_AHEAD_MAX: u64 = 1024;

impl Durable {
    /// Whether the next stored message must wait until it is stored that those before it were sent.
    pub(crate) fn is_ahead(&self) -> bool {
        self.sent - self.sent_stored >= SENT_AHEAD_MAX
    }
}

impl Session {
    /// A session without history.
    pub(crate) fn new(principal: Arc<Principal>, version: Version) -> Self {
        Self {
            principal,
            conn: None,
            version,
            window_max: 0,
            serial: 0,
            outbound: Outbound::default(),
            received: Vec::new(),
            subscriptions: Vec::new(),
            durable: None,
            will: None,
            stored_will: None,
            stalled_since_ms: 0,
            stalled: false,
            claim: 0,
        }
    }

    /// Whether it had a connection when it was stored last.
    pub(crate) fn was_attached(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.detached_wall_ms == 0)
    }

    /// Bytes it holds in memory, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let outbound = &self.outbound;
        let bodies = match &self.durable {
            // Its messages are in the blocks of its shard, or on disk.
            Some(_) => 0,
            None => {
                let held = outbound.window.iter().filter(|i| matches!(i.body, Body::Memory(_)));
                outbound.queue_bytes + held.map(|i| i.bytes as usize).sum::<usize>()
            }
        };
        let filters: usize = self.subscriptions.iter().map(|s| s.filter.len() + SUBSCRIPTION_BYTES).sum();
        bodies
            + filters
            + outbound.queue.capacity() * size_of::<Queued>()
            + outbound.window.capacity() * size_of::<Inflight>()
            + self.will.as_ref().map_or(0, |will| will.message.len())
    }

    /// The client id.
    pub(crate) fn client_id(&self) -> &Arc<str> {
        self.principal.client_id()
    }

    /// Whether it outlives its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.durable.is_some()
    }

    /// Whether another QoS 1 or 2 message may be sent now.
    pub(crate) fn has_window(&self) -> bool {
        self.outbound.window.len() < usize::from(self.window_max)
    }

    /// The place of a subscription, or where it would be.
    pub(crate) fn find_subscription(&self, filter: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|s| (*s.filter).cmp(filter))
    }

    /// An exchange that is not over.
    pub(crate) fn find_received(&mut self, packet_id: u16) -> Option<&mut Received> {
        self.received.iter_mut().find(|r| r.packet_id == packet_id)
    }

    /// Whether the session's will is due at this time or later.
    pub(crate) fn will_due_ms(&self) -> Option<u64> {
        self.will.as_ref().map(|will| will.due_ms).filter(|&due| due != 0)
    }
}

/// All sessions of a worker, by place; places are used again.
#[derive(Default)]
pub(crate) struct Sessions {
    table: Table<Session>,
    serial: u64,
}

impl Sessions {
    /// Adds a session and tells its place.
    pub(crate) fn insert(&mut self, mut session: Session) -> u32 {
        self.serial += 1;
        session.serial = self.serial;
        self.table.insert(session)
    }

    /// The session at a place.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Session> {
        self.table.get_mut(index)
    }

    /// The session at a place, to read.
    #[inline]
    pub(crate) fn peek(&self, index: u32) -> Option<&Session> {
        self.table.get(index)
    }

    /// Takes the session at a place out.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Session> {
        self.table.remove(index)
    }

    /// All sessions with their places, in order of place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.table.iter()
    }

    /// How many places the table has, used or not.
    pub(crate) fn places(&self) -> u32 {
        self.table.places()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
