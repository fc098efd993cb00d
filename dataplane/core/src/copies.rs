//! Copies of registers whose home is another node: what is shown of them while that home is out of reach (ADR 16).
//!
//! A worker keeps copies of the topics that fall to it, for each home apart. It asks each worker of a home for what it has
//! missed, and hears of each change from then on:
//!
//! ```text
//!           linked               answered            caught up and whole
//!  Cut off ────────► Asking ───────────────► Live ───────────────────────► Current
//!     ▲                 ▲     ask again ◄─────┘ │                             │
//!     │                 └───────── lost ────────┴─────────────────────────────┤
//!     └───────────────────────────── unlinked ────────────────────────────────┘
//! ```
//!
//! Invariants: a register's home alone decides what it holds, and its changes are applied in the order of that home (I20);
//! what is removed there is removed here, at the latest when the copies are whole again. While a stream is live, the copies
//! up to [`Source::after`] are exactly what the home had at [`Source::version`].

mod changes;
mod entry;
mod frame;
mod home;
mod source;

use std::{collections::BTreeMap, ops::ControlFlow};

use sluice_cluster::{NodeId, ShardId, Sharding};
use sluice_topic::{ScanEnd, TopicFilter};

use self::{
    home::{Filling, OfHome},
    source::Source,
};
use crate::{Op, retained::Page};

pub(crate) use self::{
    changes::Changes,
    entry::{Entry, from_wire, to_wire},
    frame::{Answer, Ask, CopyFrame, RegisterPage},
};

/// Questions of a worker to one home that are not answered, at most: each answer may be [`ANSWER_BYTES`] long.
const ASKS_MAX: usize = 2;
/// Entries of an answer, in bytes; only one that is larger by itself exceeds it.
pub(crate) const ANSWER_BYTES: usize = 64 * 1024;
/// Workers of a home that are believed in: no node has more.
const WORKERS_MAX: u16 = 64;

/// All copies of a worker.
#[derive(Default)]
pub(crate) struct Copies {
    seed: u64,
    homes: BTreeMap<NodeId, OfHome>,
    last_query: u64,
    left_out: u64,
}

/// What changing copies takes.
pub(crate) struct Keeping<'a> {
    /// How topics fall to shards and workers here.
    pub(crate) sharding: Sharding,
    /// A shard of the worker.
    pub(crate) first: ShardId,
    /// Changes that are to be stored.
    pub(crate) ops: &'a mut Vec<Op>,
    /// The time, in ms since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// Memory that all copies of the worker may take, in bytes. What finds no room is left out.
    pub(crate) bytes_max: usize,
    /// Whether the store takes something.
    pub(crate) may_store: bool,
}

/// Which topics of a node are meant: those that fall to one of its workers.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    /// How topics fall to the node's workers.
    pub(crate) sharding: Sharding,
    /// Which one.
    pub(crate) worker: u16,
}

impl Class {
    /// Whether a topic is one of them.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.sharding.worker_of(self.sharding.of_topic(topic)).0 == self.worker
    }
}

impl Copies {
    /// None; `seed` keys the hashes of topics.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    fn home(&mut self, node: NodeId) -> &mut OfHome {
        let seed = self.seed;
        self.homes.entry(node).or_insert_with(|| OfHome::with_seed(seed))
    }

    /// There is a link to a node that tells what it has: everything is asked for that was missed.
    pub(crate) fn linked(&mut self, node: NodeId) {
        self.unlinked(node, false);
        let home = self.home(node);
        home.is_linked = true;
        home.sources.entry(0).or_default();
        home.sources.values_mut().for_each(|source| source.wants = true);
    }

    /// There is none any more. `was_read`: registers of the node itself were shown meanwhile.
    pub(crate) fn unlinked(&mut self, node: NodeId, was_read: bool) {
        let Some(home) = self.homes.get_mut(&node) else { return };
        home.is_hidden |= was_read && !home.is_current();
        home.is_linked = false;
        for source in home.sources.values_mut() {
            source.cut_off();
            source.wants = false;
        }
    }

    /// Changes of a stream were left out, or a question was.
    pub(crate) fn lost(&mut self, node: NodeId, from: u16) {
        let Some(home) = self.homes.get_mut(&node) else { return };
        let is_linked = home.is_linked;
        if let Some(source) = home.sources.get_mut(&from) {
            source.cut_off();
            source.wants = is_linked;
        }
    }

    /// The next question, if there is one and not too many have no answer: to which node, and the encoded frame.
    pub(crate) fn next_ask(&mut self, class: Class) -> Option<(NodeId, Vec<u8>)> {
        let mut homes = self.homes.iter_mut().filter(|(_, home)| home.open_questions() < ASKS_MAX);
        let (node, to, source) = homes.find_map(|(node, home)| {
            let mut sources = home.sources.iter_mut();
            sources.find(|(_, source)| source.wants).map(|(to, source)| (*node, *to, source))
        })?;
        self.last_query += 1;
        source.wants = false;
        source.query = self.last_query;
        let ask = Ask {
            to,
            from: class.worker,
            sharding: class.sharding,
            query: source.query,
            life: source.life,
            version: source.version,
            after: source.after.as_deref(),
        };
        let mut frame = Vec::new();
        CopyFrame::Ask(ask).encode(&mut frame);
        Some((node, frame))
    }

    /// An answer of a home.
    pub(crate) fn on_answer(&mut self, node: NodeId, answer: &Answer<'_>, keeping: &mut Keeping<'_>) {
        let room = self.room(keeping.bytes_max);
        let Some(home) = self.homes.get_mut(&node) else { return };
        let Some(source) = home.sources.get_mut(&answer.from).filter(|it| it.query == answer.query) else { return };
        source.query = 0;
        let was_current = source.is_current();
        source.begin_life(answer.life);
        if answer.page.is_some_and(|page| page.begin.is_empty()) {
            // Asked for or not: what was missed is not known any more.
            source.after = Some(Box::default());
        }
        let mut after = source.after.clone();
        let mut filling = Filling { node, room, left_out: 0 };
        filling.apply_run(home, answer.changes, keeping);
        if let Some(page) = answer.page.filter(|page| after.as_deref() == Some(page.begin)) {
            let class = Class { sharding: answer.sharding, worker: answer.from };
            after = filling.apply_page(home, &page, class, keeping);
        }
        self.left_out += filling.left_out;
        if let Some(source) = home.sources.get_mut(&answer.from) {
            source.version = answer.version;
            source.after = after;
            source.is_live = answer.is_caught_up;
            source.wants = !source.is_current();
            home.is_dirty = true;
            if source.is_current() && !was_current {
                home.store_position(node, keeping);
            }
        }
        self.note_workers(node, answer.sharding.workers());
    }

    /// A home has told how many workers it has.
    fn note_workers(&mut self, node: NodeId, workers: u16) {
        let Some(home) = self.homes.get_mut(&node) else { return };
        home.sources.split_off(&workers);
        for number in 0..workers.min(WORKERS_MAX) {
            home.sources.entry(number).or_insert_with(|| Source { wants: true, ..Source::default() });
        }
        home.is_hidden &= !home.is_current();
    }

    /// A register of a home has changed.
    pub(crate) fn on_change(
        &mut self,
        node: NodeId,
        (from, life, version): (u16, u64, u64),
        entry: &Entry<'_>,
        keeping: &mut Keeping<'_>,
    ) {
        let room = self.room(keeping.bytes_max);
        let Some(home) = self.homes.get_mut(&node) else { return };
        let Some(source) = home.sources.get_mut(&from) else { return };
        if !source.is_live || source.life != life || version <= source.version {
            // What was missed is asked for, or was in an answer.
            return;
        }
        source.version = version;
        home.is_dirty = true;
        let mut filling = Filling { node, room, left_out: 0 };
        filling.apply(home, entry, keeping);
        self.left_out += filling.left_out;
    }

    /// A page of the small messages of a home, as far as they are known, and how many large ones were passed over.
    pub(crate) fn page(&self, node: NodeId, filter: &TopicFilter, after: Option<&str>, wall_ms: u64) -> (Page, u64) {
        match self.homes.get(&node).filter(|home| !home.is_hidden) {
            Some(home) => home.registers.small_page(filter, after, wall_ms),
            None => Default::default(),
        }
    }

    /// Takes a stored value: a copy, or with an empty topic how far the copies of a home go. `None` if it is neither.
    pub(crate) fn restore(&mut self, node: NodeId, topic: &str, value: &[u8], workers: u16) -> Option<()> {
        let home = self.home(node);
        if topic.is_empty() { home.restore_position(value, workers) } else { home.restore(topic, value) }
    }

    /// Stores how far the copies go, if something else is stored anyway.
    pub(crate) fn store_positions(&mut self, keeping: &mut Keeping<'_>) {
        for (&node, home) in self.homes.iter_mut().filter(|(_, home)| home.is_dirty) {
            home.store_position(node, keeping);
        }
    }

    /// Drops copies that have expired, and those of nodes that are no home any more, a bounded number at a time. Where to go
    /// on is in `cursor`.
    pub(crate) fn sweep(
        &mut self,
        cursor: &mut Option<(NodeId, Box<str>)>,
        visits_max: usize,
        is_home: impl Fn(NodeId) -> bool,
        keeping: &mut Keeping<'_>,
    ) {
        let (from, after) = match cursor.take() {
            Some((node, after)) => (node, after),
            None => (NodeId(0), Box::default()),
        };
        let Some((&node, home)) = self.homes.range_mut(from..).next() else { return };
        let after = Some(&*after).filter(|after| node == from && !after.is_empty());
        let all = !home.is_linked && !is_home(node);
        let mut doomed: Vec<Box<str>> = Vec::new();
        let end = home.registers.walk(after, visits_max, |topic, held| {
            if all || held.is_expired(keeping.wall_ms) {
                doomed.push(topic.into());
            }
            ControlFlow::Continue(())
        });
        if all {
            // Should it be a home again, it is asked for everything.
            home.sources.clear();
            home.forget_position(node, keeping);
        }
        for topic in doomed {
            home.remove(node, &topic, keeping);
        }
        *cursor = match end {
            ScanEnd::Paused { after } => Some((node, after.into())),
            ScanEnd::Complete | ScanEnd::Stopped => Some((NodeId(node.0.saturating_add(1)), Box::default())),
        };
        if all && home.registers.len() == 0 {
            self.homes.remove(&node);
        }
    }

    /// How many messages they are.
    pub(crate) fn len(&self) -> usize {
        self.homes.values().map(|home| home.registers.len()).sum()
    }

    /// Bytes of memory they take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.homes.values().map(|home| home.registers.memory_bytes()).sum()
    }

    /// Workers of other nodes whose registers are not copied as they are.
    pub(crate) fn behind(&self) -> usize {
        let sources = self.homes.values().flat_map(|home| home.sources.values());
        sources.filter(|source| !source.is_current()).count()
    }

    /// Copies that found no room, since the start.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn room(&self, bytes_max: usize) -> usize {
        bytes_max.saturating_sub(self.memory_bytes())
    }
}

#[cfg(test)]
mod tests;
