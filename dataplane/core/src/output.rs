//! Everything a worker may ask for.

use std::{net::SocketAddr, sync::Arc};

use sluice_cluster::{ShardId, WorkerId};

use crate::{ConnId, auth::AuthRequest, record::WriteBatch};

/// What the driver is asked to do, in this order.
#[derive(Debug)]
pub enum Output {
    /// Make these changes durable, all or none, after all earlier batches of this worker; then answer
    /// [`crate::Input::Stored`]. Batches are numbered 1, 2, 3, … and may be answered many at a time.
    Write {
        /// The batch's number.
        batch: u64,
        /// The changes.
        ops: WriteBatch,
    },
    /// Read one block of a session shard; answer [`crate::Input::Loaded`].
    Load {
        /// The shard.
        shard: ShardId,
        /// The block's first sequence number.
        first: u64,
    },
    /// Read retained messages, as they are after all batches given so far; answer [`crate::Input::LoadedRetained`].
    LoadRetained {
        /// Names the answer.
        read: u64,
        /// The topics, each with its shard: some hundreds at most.
        topics: Vec<(ShardId, Box<str>)>,
    },
    /// Give these frames to another worker, in order, with one wake-up at most.
    ToWorker {
        /// The receiver.
        worker: WorkerId,
        /// The frames.
        frames: Vec<u8>,
    },
    /// Check these credentials off the worker; answer [`crate::Input::Authenticated`].
    Authenticate {
        /// Who asks.
        conn: ConnId,
        /// What the client showed.
        request: Box<AuthRequest>,
    },
    /// The connection is over: write what its outbox holds, then close the socket.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Stop reading from a connection.
    Pause {
        /// The connection.
        conn: ConnId,
    },
    /// Read on, starting with the bytes that were kept.
    Resume {
        /// The connection.
        conn: ConnId,
    },
    /// Something an operator may want to read in the log.
    Log(Event),
}

/// What is worth a line in the log. The driver formats it; the worker never does.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client connected (debug).
    Connected {
        /// The client.
        client_id: Arc<str>,
        /// Its address.
        peer: Option<SocketAddr>,
    },
    /// A client's connection ended (debug).
    Disconnected {
        /// The client; empty before CONNECT.
        client_id: Arc<str>,
        /// Its address.
        peer: Option<SocketAddr>,
        /// The metric name of the reason.
        reason: &'static str,
    },
    /// A CONNECT was refused (info).
    Refused {
        /// The client id shown.
        client_id: Arc<str>,
        /// Its address.
        peer: Option<SocketAddr>,
        /// The metric name of the reason.
        reason: &'static str,
    },
    /// A client id went back and forth between two addresses too often (warn).
    Flapping {
        /// The client id.
        client_id: Arc<str>,
        /// The connection that was there.
        old: Option<SocketAddr>,
        /// The connection that was refused.
        new: Option<SocketAddr>,
    },
    /// A client did what it may not (warn, sampled).
    Denied {
        /// The client.
        client_id: Arc<str>,
        /// `publish`, `subscribe` or `connect`.
        action: &'static str,
        /// The topic or filter.
        topic: Box<str>,
    },
    /// A packet over the limit (info): names the key to raise.
    TooLarge {
        /// The client; empty before CONNECT.
        client_id: Arc<str>,
        /// Its address.
        peer: Option<SocketAddr>,
        /// The topic of a PUBLISH, where it had come.
        topic: Option<Box<str>>,
        /// The packet's size in bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// The key that says so.
        key: &'static str,
    },
    /// A persistent session was ended because its inbox was full (warn).
    InboxOverflow {
        /// The client.
        client_id: Arc<str>,
        /// Messages that waited.
        messages: usize,
    },
    /// The memory budget is used up and something more is being shed (warn).
    Shedding {
        /// What, on top of what stands before it: `connects`, `qos0` or `sessions`.
        what: &'static str,
        /// Bytes in use.
        bytes: usize,
    },
}
