//! What is done at a steady pace: expired messages, old takeovers, the memory budget, clients that are sent away.

use std::collections::{BTreeMap, VecDeque};

use sluice_cluster::{NodeId, ShardId};
use sluice_topic::TopicFilter;

use super::Worker;
use crate::{
    ConnId, Event, Key, Now, Output,
    stats::{Closed, Dropped},
    timers::Timer,
};

/// Where the rounds stand.
#[derive(Default)]
pub(super) struct Housekeeping {
    /// The last topic whose register was looked at.
    retained_after: Option<Box<str>>,
    /// The last copy that was looked at.
    pub(super) copies_cursor: Option<(NodeId, Box<str>)>,
    /// The session whose queue was looked at last.
    pub(super) queue_cursor: u32,
    /// Rounds so far.
    rounds: u64,
    /// Sessions that wait for a block, by shard and block.
    loading: BTreeMap<(u16, u64), Vec<u32>>,
    /// Connections to be sent away, and when.
    leaving: VecDeque<(u64, ConnId)>,
    /// How far over the memory budget the worker was at the last look.
    shedding: Shedding,
}

/// What is given up for want of memory, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Shedding {
    /// Nothing.
    #[default]
    None,
    /// New clients are refused.
    Connects,
    /// QoS 0 messages are dropped, too.
    Qos0,
    /// The sessions that hold most are closed, too.
    Sessions,
}

impl Shedding {
    fn of(bytes: usize, budget: usize) -> Self {
        match bytes {
            _ if budget == 0 || bytes <= budget => Self::None,
            _ if bytes <= budget + budget / 16 => Self::Connects,
            _ if bytes <= budget + budget / 8 => Self::Qos0,
            _ => Self::Sessions,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Connects => "connects",
            Self::Qos0 => "qos0",
            Self::Sessions => "sessions",
        }
    }
}

/// How often the rounds go on.
const SWEEP_MS: u64 = 1000;
/// Rounds between looks at what lasts for days.
const ROUNDS_AN_HOUR: u64 = 3600;
/// Registers looked at in a round.
const RETAINED_AT_ONCE: usize = 2_000;
/// Connections closed for want of memory in a round.
const CLOSED_AT_ONCE: usize = 64;
/// What an idle session and its connection are counted as.
const SESSION_BYTES: usize = 1024;

impl Housekeeping {
    /// A session waits for a block.
    pub(super) fn wait_for_loading(&mut self, shard: ShardId, first: u64, place: u32) {
        let waiting = self.loading.entry((shard.0, first)).or_default();
        if !waiting.contains(&place) {
            waiting.push(place);
        }
    }

    /// The sessions that wait for a block.
    pub(super) fn take_loading(&mut self, shard: ShardId, first: u64) -> Vec<u32> {
        self.loading.remove(&(shard.0, first)).unwrap_or_default()
    }

    /// Whether QoS 0 messages are dropped for want of memory.
    pub(super) fn sheds_qos0(&self) -> bool {
        self.shedding >= Shedding::Qos0
    }

    /// Sends a client away at a time; times ascend.
    pub(super) fn leave_at(&mut self, at_ms: u64, id: ConnId) {
        self.leaving.push_back((at_ms, id));
    }

    /// Whether there are clients to be sent away.
    pub(super) fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Nobody is sent away any more.
    pub(super) fn stay(&mut self) {
        self.leaving.clear();
    }
}

impl Worker {
    /// Starts the rounds.
    pub(super) fn start_housekeeping(&mut self, now: Now) {
        self.timers.set(now.mono_ms + SWEEP_MS, Timer::Sweep);
    }

    /// One round.
    pub(super) fn sweep(&mut self, now: Now) {
        self.drop_expired_retained(now);
        self.sweep_copies(now);
        self.drop_expired_queued(now);
        self.housekeeping.rounds += 1;
        if self.housekeeping.rounds.is_multiple_of(ROUNDS_AN_HOUR) {
            self.forget_old_publishers(now);
        }
        self.forget_old_turbulence(now);
        self.prefixes.age(now.mono_ms);
        self.watch_memory(now);
        self.pace_drain(now);
        self.send_away_due(now);
        let pace_ms = match (self.housekeeping.leaving.is_empty(), self.housekeeping.shedding) {
            (true, Shedding::None) => SWEEP_MS,
            (true, _) => SWEEP_MS / 4,
            (false, _) => SWEEP_MS / 20,
        };
        self.timers.set(now.mono_ms + pace_ms, Timer::Sweep);
    }

    fn drop_expired_retained(&mut self, now: Now) {
        let Ok(all) = TopicFilter::parse("#", &self.topic_limits) else { return };
        let after = self.housekeeping.retained_after.take();
        let (expired, next) = self.retained.expired(&all, after.as_deref(), RETAINED_AT_ONCE, now.wall_ms);
        self.housekeeping.retained_after = next;
        for topic in expired {
            self.retained.clear(&topic);
            self.stats.dropped[Dropped::Expired as usize] += 1;
            let shard = self.sharding.of_topic(&topic);
            self.drop_stored(Key::Retained(shard, topic));
        }
        self.count_retained();
    }

    /// Bytes this worker holds, roughly: what grows with clients and messages.
    pub(super) fn memory_bytes(&self) -> usize {
        let blocks: usize = self.shards.iter().flatten().map(crate::shard::Shard::cached_bytes).sum();
        self.conns.len().max(self.sessions.len()) * SESSION_BYTES
            + self.stats.outbox_bytes as usize
            + self.sessions.iter().map(|(_, session)| session.memory_bytes()).sum::<usize>()
            + self.retained.memory_bytes()
            + self.copies.memory_bytes()
            + self.changes.memory_bytes()
            + blocks
    }

    /// Whether new clients are refused for want of memory.
    pub(super) fn is_over_memory(&self) -> bool {
        self.housekeeping.shedding >= Shedding::Connects
    }

    /// Compares what is held with the budget and sheds in the order of SEMANTICS.md.
    fn watch_memory(&mut self, now: Now) {
        let ids = self.conns.ids();
        self.stats.outbox_bytes = ids.iter().filter_map(|&id| self.conns.peek(id)).map(|c| c.outbox.len() as u64).sum();
        let bytes = self.memory_bytes();
        self.stats.memory_bytes = bytes as u64;
        let shedding = Shedding::of(bytes, self.settings.memory_bytes_max);
        if shedding > self.housekeeping.shedding {
            self.outputs.push_back(Output::Log(Event::Shedding { what: shedding.name(), bytes }));
        }
        self.housekeeping.shedding = shedding;
        if shedding == Shedding::Sessions {
            self.close_heaviest(now, bytes - self.settings.memory_bytes_max);
        }
    }

    /// Closes the connections that hold most, until `excess` bytes are freed.
    fn close_heaviest(&mut self, now: Now, excess: usize) {
        let held = |id: ConnId| {
            self.conns.peek(id).map_or(0, |conn| {
                let session = conn.session.and_then(|s| self.sessions.peek(s));
                conn.outbox.len() + session.map_or(0, crate::session::Session::memory_bytes)
            })
        };
        let mut heaviest: Vec<(usize, ConnId)> = self.conns.ids().into_iter().map(|id| (held(id), id)).collect();
        heaviest.sort_unstable_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
        let mut freed = 0;
        for (bytes, id) in heaviest.into_iter().take(CLOSED_AT_ONCE) {
            if freed >= excess {
                break;
            }
            freed += bytes.max(1);
            self.disconnect(now, id, sluice_mqtt::ReasonCode::QuotaExceeded, Closed::QuotaExceeded);
        }
    }

    fn send_away_due(&mut self, now: Now) {
        while let Some(&(at_ms, id)) = self.housekeeping.leaving.front() {
            if at_ms > now.mono_ms {
                break;
            }
            self.housekeeping.leaving.pop_front();
            if self.draining.is_some() { self.send_away(now, id) } else { self.send_elsewhere(now, id) }
        }
    }
}
