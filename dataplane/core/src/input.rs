//! Everything a worker may be told.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use sluice_cluster::{NodeId, ShardId, WorkerId};
use sluice_dataplane_access::Rules;

use crate::{
    Homes, Routes, Stats,
    auth::{Standing, Verdict},
};

/// The time of a turn, read once by the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and starts near zero with the process.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch. Used only for what must survive a restart: expiry times.
    pub wall_ms: u64,
}

/// A connection of one worker. Never reused: the generation tells two users of one place apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnId {
    /// The place in the worker's table; small and dense, so that a driver may index arrays with it.
    pub index: u32,
    /// Grows each time the place is used again.
    pub generation: u32,
}

/// What carries a connection's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A Unix domain socket.
    Unix,
}

/// A connection as the driver accepted it, before any MQTT byte.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Index into [`crate::Settings::listeners`].
    pub listener: u16,
    /// The client's address; from the PROXY header where there is one. `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What carries the bytes.
    pub transport: Transport,
    /// The client's certificate, verified by the driver's TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// The node that the client is connected to, if it is another one: it passes the bytes on.
    pub via: Option<NodeId>,
}

/// The certificate that a client showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// DER of the leaf.
    pub der: Box<[u8]>,
    /// Who vouches for it. Means something to [`crate::auth::Standing`] only.
    pub authority: Arc<[u8]>,
}

/// What a worker made of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// How many of the bytes are done with. The driver keeps the rest and offers it again, in front of what comes next.
    pub consumed: usize,
    /// What the driver does with the connection now.
    pub then: Then,
}

/// What a driver does with a connection after bytes were handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Read on.
    Continue,
    /// Read no further, and keep what was not consumed, until [`crate::Output::Resume`] names the connection; then
    /// offer what was kept before reading on.
    Pause,
    /// The client's session lives on another worker: give that worker the socket and all bytes that were not consumed
    /// (it will open a connection of its own). This worker has already forgotten the connection.
    HandOver(WorkerId),
    /// The client's session lives at another node: give that node the connection and all bytes that were not consumed.
    /// This worker has already forgotten the connection.
    Proxy(NodeId),
    /// Write what the outbox holds, then close. This worker has already forgotten everything but the outbox; report
    /// [`crate::Worker::flushed`] or [`crate::Worker::closed`] as usual.
    Close,
}

/// Why a connection ended, as the driver saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClosedBy {
    /// The client closed its side, without a DISCONNECT as far as the driver knows.
    Client,
    /// The transport failed: reset, timed out, TLS or WebSocket error.
    Transport,
    /// The driver closed it because it was told to.
    Broker,
}

/// How far a driver got with an outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// All of it is with the kernel.
    Done,
    /// The socket takes no more for now; the driver writes on when it does, and then reports again.
    Blocked,
}

/// What a worker may be told besides a connection's bytes.
#[derive(Clone, Debug)]
pub enum Input {
    /// Every write up to and including this batch of this worker is on stable storage.
    Stored {
        /// The number that [`crate::Output::Write`] carried.
        batch: u64,
    },
    /// Whether the store takes durable work: `false` when the disk is nearly full.
    StoreWritable(bool),
    /// An answer to [`crate::Output::Load`]; `None` when there is no such block.
    Loaded {
        /// The shard asked for.
        shard: ShardId,
        /// The block's first sequence number.
        first: u64,
        /// The stored value.
        block: Option<Bytes>,
    },
    /// An answer to [`crate::Output::LoadRetained`].
    LoadedRetained {
        /// The number asked under.
        read: u64,
        /// The stored value for each topic asked for, in that order; `None` when there is none.
        messages: Vec<Option<Bytes>>,
    },
    /// Frames of another worker of this node, in the order it sent them.
    FromWorker {
        /// The sender.
        from: WorkerId,
        /// What [`crate::Output::ToWorker`] carried.
        frames: Vec<u8>,
    },
    /// The answer to [`crate::Output::Authenticate`].
    Authenticated {
        /// The connection asked for; may be gone.
        conn: ConnId,
        /// The answer.
        verdict: Verdict,
    },
    /// Where sessions and retained messages have their home, among the nodes of a cluster.
    Homes(Arc<Homes>),
    /// What other nodes want, as base tables say.
    Routes(Arc<Routes>),
    /// New access rules. Live sessions are checked against them within the bound of SEMANTICS.md.
    Rules(Arc<Rules>),
    /// Files of credentials have changed. Every client that is connected is held against them within the same bound.
    CredentialsChanged(Arc<dyn Standing>),
    /// The counters of the whole node, for the `$SYS` topics. Given to worker 0 every `sys_interval`.
    NodeStats(Box<Stats>),
    /// Disconnect every client at a steady rate, because the node is going down.
    Drain {
        /// Connections closed a second, of all workers together; 0 = all at once.
        per_second: u32,
        /// Server Reference for version 5 clients; without it, the other nodes of the cluster.
        server_reference: Option<Arc<str>>,
    },
}
