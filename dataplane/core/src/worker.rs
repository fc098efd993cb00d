//! One worker: every session, subscription and outbox whose client id falls to it.
//!
//! A worker decides and never acts. It owns its state exclusively, takes time as an argument, and returns everything it
//! wants done. This file is the border; what happens inside is told in the files below it, one journey each.

mod access;
mod attach;
mod authenticate;
mod claims;
mod commit;
mod connect;
mod copy_keeping;
mod copy_stream;
mod deliver;
mod detach;
mod dispatch;
mod ended;
mod explain;
mod housekeeping;
mod node_stats;
mod peer_frames;
mod publish;
mod reply;
mod restore;
mod retain;
mod retained_fetch;
mod retained_load;
mod review;
mod route;
mod shared_group;
mod steer;
mod store;
mod subscribe;
mod timing;
mod waiting;
mod wills;

pub(crate) use claims::Claiming;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_cluster::{NodeId, ShardId, Sharding, WorkerId};
use sluice_dataplane_access::{Principal, Rules};
use sluice_topic::Limits;

use crate::{
    ClosedBy, ConnId, Flush, Input, Key, Now, Opened, Outbox, Output, Received, Settings, Stats,
    connection::{Conn, Conns, Phase, rate::Rates},
    copies::{Changes, Copies},
    fanout::Encoder,
    homes::Homes,
    journal::Journal,
    peers::Peers,
    prefixes::{Busy, Prefixes},
    quota::Quotas,
    record::SessionUid,
    retained::{Reads, Retained},
    rng::Rng,
    sampling::Sampling,
    session::{Sessions, Will, progress::Progress},
    shard::Shard,
    stats::{BadInput, Closed},
    steering::Pointed,
    subscriptions::Subscriptions,
    timers::{Timer, Timers},
};

/// One worker's state.
pub struct Worker {
    id: WorkerId,
    sharding: Sharding,
    settings: Arc<Settings>,
    topic_limits: Limits,
    rules: Arc<Rules>,
    conns: Conns,
    sessions: Sessions,
    by_client: HashMap<Arc<str>, u32, FixedState>,
    by_uid: HashMap<SessionUid, u32, FixedState>,
    /// Persistent sessions of each principal, here and elsewhere.
    quotas: Quotas,
    turbulence: HashMap<Arc<str>, Turbulence, FixedState>,
    subscriptions: Subscriptions,
    /// By shard number; `None` where the shard belongs to another worker.
    shards: Vec<Option<Shard>>,
    retained: Retained,
    retained_reads: Reads,
    /// The latest changes of the registers.
    changes: Changes,
    /// Copies of registers of other nodes.
    copies: Copies,
    /// The last batch that stores a message which stays in the store.
    retained_on_disk_batch: u64,
    journal: Journal,
    peers: Peers,
    /// Which node has what.
    homes: Arc<Homes>,
    /// Client ids in use elsewhere.
    claims: claims::Claims,
    timers: Timers,
    outputs: VecDeque<Output>,
    /// Connections with bytes to write.
    dirty: Vec<ConnId>,
    /// Bytes in the outboxes of `dirty` that no write was tried for.
    unflushed_bytes: usize,
    /// Publishers that were stopped until `unflushed_bytes` has shrunk.
    pressed: Vec<ConnId>,
    encoder: Encoder,
    /// Sessions whose queues ran over while a message was routed.
    overflowing: Vec<u32>,
    /// Whether the message being routed went to a queue that is nearly full.
    pressing: bool,
    /// Numbers the messages routed here.
    message_number: u64,
    /// Numbers the QoS 2 exchanges of transient sessions.
    next_exchange: u64,
    /// A number that no other process or worker has.
    process: u64,
    /// Pages of retained messages that are awaited: for whom.
    queries: HashMap<u64, ConnId, FixedState>,
    /// The connection whose bytes are being handled.
    receiving: Option<ConnId>,
    store_writable: bool,
    restoring: HashMap<SessionUid, Progress, FixedState>,
    orphaned_wills: Vec<(SessionUid, Will, Principal)>,
    /// Whether those wait for other workers to be heard.
    wills_asked: bool,
    node_topics: node_stats::NodeTopics,
    housekeeping: housekeeping::Housekeeping,
    draining: Option<Arc<str>>,
    /// Clients that were told to connect elsewhere.
    pointed: Pointed,
    rng: Rng,
    sampling: Sampling,
    prefixes: Prefixes,
    reviews: review::Reviews,
    stats: Stats,
}

/// How often a client id came and went lately.
#[derive(Default)]
struct Turbulence {
    /// The minute that the counts are of.
    minute: u64,
    takeovers: u32,
    wills: u32,
    /// No CONNECT is taken before this, in monotonic ms.
    held_until_ms: u64,
}

/// Above this many bytes not yet offered to sockets, publishers wait for the driver to write.
const UNFLUSHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Timers that are looked at in one turn: what is due after those waits for the connections to have theirs, so that
/// many sessions that end at once hold nobody up.
const TIMERS_AT_ONCE: usize = 256;

/// Above this the driver is asked to write before it reads on.
const FLUSH_WANTED_BYTES: usize = 1024 * 1024;

impl Worker {
    /// A worker without sessions. `seed` feeds assigned client ids, hash keys and random choices: secret, and
    /// different in each process and worker.
    ///
    /// # Panics
    /// With more than 64 workers, or 63 with a gate to other nodes.
    #[must_use]
    pub fn new(id: WorkerId, workers: u16, settings: Arc<Settings>, rules: Arc<Rules>, seed: u64) -> Self {
        let most = if settings.has_gate { 63 } else { 64 };
        assert!(id.0 < workers && workers <= most, "worker {id} of {workers}: a node has 1 to {most} workers");
        let mut rng = Rng::new(seed);
        let sharding = Sharding::new(settings.shards, workers);
        let hash = || FixedState::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
        let own = |n: u16| (sharding.worker_of(ShardId(n)) == id).then(|| Shard::new(ShardId(n)));
        let listeners = settings.listeners.len();
        let stats =
            Stats { connections_opened: vec![0; listeners], connections: vec![[0; 3]; listeners], ..Stats::default() };
        Self {
            id,
            sharding,
            topic_limits: Limits { topic_bytes_max: settings.topic_bytes_max, levels_max: settings.topic_levels_max },
            rules,
            conns: Conns::default(),
            sessions: Sessions::default(),
            by_client: HashMap::with_hasher(hash()),
            by_uid: HashMap::with_hasher(hash()),
            quotas: Quotas::with_seed(seed),
            turbulence: HashMap::with_hasher(hash()),
            subscriptions: Subscriptions::new(rng.next()),
            shards: (0..settings.shards).map(own).collect(),
            retained: Retained::with_seed(rng.next()),
            retained_reads: Reads::default(),
            changes: Changes::default(),
            copies: Copies::with_seed(rng.next()),
            retained_on_disk_batch: 0,
            journal: Journal::default(),
            peers: Peers::new(id, workers, settings.has_gate),
            homes: Arc::new(if settings.has_gate {
                Homes::new(NodeId::default(), None, BTreeSet::new())
            } else {
                Homes::default()
            }),
            claims: claims::Claims::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            dirty: Vec::new(),
            unflushed_bytes: 0,
            pressed: Vec::new(),
            encoder: Encoder::default(),
            overflowing: Vec::new(),
            pressing: false,
            message_number: 0,
            next_exchange: 0,
            process: rng.next(),
            queries: HashMap::with_hasher(hash()),
            receiving: None,
            store_writable: true,
            restoring: HashMap::with_hasher(hash()),
            orphaned_wills: Vec::new(),
            wills_asked: false,
            node_topics: node_stats::NodeTopics::default(),
            housekeeping: housekeeping::Housekeeping::default(),
            draining: None,
            pointed: Pointed::new(seed),
            reviews: review::Reviews::default(),
            sampling: Sampling::new(seed),
            prefixes: Prefixes::new(seed),
            rng,
            stats,
            settings,
        }
    }

    /// Gives the worker a clock to time some of its messages by, for the histograms of [`Stats`]: nanoseconds since any
    /// fixed moment, never going back, the same in all workers of a process. Without one nothing is timed; whatever it
    /// says, nothing else depends on it.
    pub fn set_clock(&mut self, clock: Option<fn() -> u64>) {
        self.sampling.set_clock(clock);
    }

    /// Takes one stored value, before anything else happens. Give the kinds in the order of [`Key`]'s variants, only
    /// those of shards that belong to this worker ([`Sharding::worker_of`]).
    ///
    /// # Errors
    /// A value that cannot be read; the process should not serve.
    pub fn restore(&mut self, key: Key, value: Bytes) -> Result<(), RestoreError> {
        self.restore_value(key, &value)
    }

    /// Ends restoring: sessions are ready, wills of the sessions that were attached start to run.
    pub fn restored(&mut self, now: Now) {
        self.finish_restoring(now);
        self.start_housekeeping(now);
    }

    /// A new connection; its bytes follow through [`Self::receive`].
    pub fn open(&mut self, now: Now, opened: Opened) -> ConnId {
        if let Some(count) = self.stats.connections_opened.get_mut(usize::from(opened.listener)) {
            *count += 1;
        }
        let id = self.conns.insert(Conn::new(opened, now.mono_ms, Rates::default()));
        self.arm(id, now.mono_ms + self.settings.connect_deadline_ms);
        id
    }

    /// Takes bytes of a connection: as many whole packets as there are. Bytes not consumed are offered again in front
    /// of what comes next; `bytes` may be empty after [`Output::Resume`].
    pub fn receive(&mut self, now: Now, conn: ConnId, bytes: &[u8]) -> Received {
        self.receiving = Some(conn);
        self.sampling.given(bytes.len());
        let received = self.receive_packets(now, conn, bytes);
        self.receiving = None;
        received
    }

    /// The socket is gone. Call once for every connection, also after [`crate::Then::Close`] and [`Output::Close`]; not after
    /// [`crate::Then::HandOver`].
    pub fn closed(&mut self, now: Now, conn: ConnId, by: ClosedBy) {
        if let Some(open) = self.conns.at(conn)
            && open.phase != Phase::Closing
        {
            let closed = match by {
                ClosedBy::Client => Closed::ClientGone,
                ClosedBy::Transport => Closed::TransportError,
                ClosedBy::Broker => Closed::ShuttingDown,
            };
            self.detach(now, conn, closed);
        }
        if let Some(gone) = self.conns.remove(conn) {
            self.unflushed_bytes -= if gone.dirty { gone.outbox.len().min(self.unflushed_bytes) } else { 0 };
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Stored { batch } => self.on_stored(now, batch),
            Input::StoreWritable(writable) => self.store_writable = writable,
            Input::Loaded { shard, first, block } => self.on_loaded(now, shard, first, block),
            Input::LoadedRetained { read, messages } => self.on_loaded_retained(now, read, messages),
            Input::FromWorker { from, frames } => self.on_peer_frames(now, from, &frames),
            Input::Authenticated { conn, verdict } => self.on_verdict(now, conn, verdict),
            Input::Homes(homes) => self.on_homes(homes),
            Input::Routes(routes) => self.subscriptions.set_routes(routes, self.gate()),
            Input::Rules(rules) => self.on_rules(now, rules),
            Input::CredentialsChanged(standing) => self.on_standing(now, standing),
            Input::NodeStats(stats) => self.publish_node_stats(now, &stats),
            Input::Drain { per_second, server_reference } => self.on_drain(now, per_second, server_reference),
        }
    }

    /// Does what is due, and some of what was put off for want of time. Call when [`Self::poll_timeout`] has come.
    pub fn tick(&mut self, now: Now) {
        for _ in 0..TIMERS_AT_ONCE {
            let Some(timer) = self.timers.pop_due(now.mono_ms) else { break };
            match timer {
                Timer::Conn(conn) => self.on_conn_timer(now, conn),
                Timer::Session { session, serial } => self.on_session_timer(now, session, serial),
                Timer::Sweep => self.sweep(now),
                Timer::Orphans => self.publish_orphaned_wills(now),
                Timer::Review => self.review_some(now),
            }
        }
        self.continue_scans(now);
    }

    /// When [`Self::tick`] is due next, in monotonic milliseconds; 0 = at once, but not before the connections have had
    /// their turn. Changes after any other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.retained_reads.has_scans() { Some(0) } else { self.timers.next_ms() }
    }

    /// The next thing to do. Poll until `None` after feeding inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.seal_turn();
        }
        self.outputs.pop_front()
    }

    /// A connection with bytes to write that was not given since its last [`Self::flushed`]. Poll until `None`.
    pub fn next_dirty(&mut self) -> Option<ConnId> {
        self.dirty.pop()
    }

    /// Whether outboxes hold so much that the driver should drain [`Self::next_dirty`] before it feeds more.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.unflushed_bytes >= FLUSH_WANTED_BYTES
    }

    /// What waits to be written; `None` when the connection is unknown.
    pub fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        let conn = self.conns.at(conn)?;
        if conn.dirty {
            self.unflushed_bytes = self.unflushed_bytes.saturating_sub(conn.outbox.len());
            conn.dirty = false;
        }
        Some(&mut conn.outbox)
    }

    /// Says how far the driver got with an outbox after [`Self::next_dirty`] or after the socket took bytes again.
    pub fn flushed(&mut self, now: Now, conn: ConnId, flush: Flush) {
        if self.unflushed_bytes < UNFLUSHED_BYTES_MAX / 2 {
            for publisher in std::mem::take(&mut self.pressed) {
                self.resume(publisher);
            }
        }
        let Some(open) = self.conns.at(conn) else { return };
        open.blocked = flush == Flush::Blocked;
        if open.phase != Phase::Attached || open.blocked {
            return;
        }
        if open.paused && open.resume_at_ms == 0 {
            // It may have been stopped because it did not read. If for another reason, it stops again.
            self.resume(conn);
        }
        let Some(open) = self.conns.at(conn) else { return };
        let Some(session) = open.session else { return };
        let fetching = open.fetches.is_some();
        if self.sessions.peek(session).is_some_and(|s| !s.outbound.queue.is_empty()) {
            self.pump(now, session);
        }
        if fetching {
            self.pump_fetches(now, conn);
        }
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Of which parts of the topic space most messages were delivered here lately, in no particular order; some hundreds.
    #[must_use]
    pub fn busy_prefixes(&self) -> Vec<Busy> {
        self.prefixes.busy()
    }

    /// The shard with this number, which must belong to this worker.
    fn shard(&mut self, shard: ShardId) -> &mut Shard {
        match self.shards.get_mut(shard.index()) {
            Some(Some(shard)) => shard,
            Some(None) | None => panic!("shard {} belongs to another worker", shard.0),
        }
    }

    fn count_bad(&mut self, cause: BadInput) {
        self.stats.bad_input[cause as usize] += 1;
    }
}

/// A stored value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("stored {kind} of shard {shard} is damaged: {what}")]
pub struct RestoreError {
    /// What kind of value.
    pub kind: &'static str,
    /// Its shard.
    pub shard: u16,
    /// What is wrong with it.
    pub what: &'static str,
}
