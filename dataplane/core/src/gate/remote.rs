//! What the other nodes want: the routing table, and what the workers are told of it.
//!
//! A worker knows of peers only whether some of them want a filter; which ones is looked up here, once a topic. A peer's
//! word counts as in effect, and is acknowledged, when every worker has been told (I24): the workers are asked for an
//! answer behind all that they were told, a *round*, and acknowledgements wait for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_cluster::{
    NodeId,
    interest::InterestFrame,
    routing::{BaseTable, GroupTarget, InstallError, Matched, RoutingTable, Target},
};
use sluice_topic::ParsedFilter;

use crate::{
    peers::Frame,
    subscriptions::{Interest as WorkerInterest, MemberCount},
};

/// The routing table and what has been said of it.
pub(super) struct Remote {
    table: RoutingTable,
    cache: HashMap<Box<str>, Arc<Destinations>, FixedState>,
    matched: Matched,
    told: BTreeMap<Arc<ParsedFilter>, Told>,
    told_everything: bool,
    /// Groups of which something has changed though no peer has said so.
    regrouped: Vec<Arc<ParsedFilter>>,
    /// Groups of whose members the workers were told that there are none, and when peers are believed again, in monotonic
    /// milliseconds.
    denied: VecDeque<(u64, Arc<ParsedFilter>)>,
    /// Nodes that are given up, and their members with them.
    lost: BTreeSet<NodeId>,
    /// Counts what was said of filters.
    touches: u64,
    /// Whether the table may have changed since the workers were told.
    changed: bool,
    round: u64,
    /// The last round that each worker has answered.
    answered: Vec<u64>,
    /// Acknowledgements, and the round each of them waits for.
    held: VecDeque<(u64, NodeId, InterestFrame)>,
}

/// Where a topic goes.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// Nodes and regions with plain subscriptions, and whether one of them stores.
    pub(super) targets: Vec<(Target, bool)>,
    /// Shared groups.
    pub(super) groups: Vec<GroupTarget>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Told {
    wanted: bool,
    members: MemberCount,
    /// When a peer has last said something of it, as [`Remote::touches`] counts.
    touched: u64,
}

/// Topics whose destinations are remembered.
const CACHED_MAX: usize = 16 * 1024;

/// For so long the workers are told of no members where nobody took a message: so often one may go in vain.
const DENIED_MS: u64 = 1_000;

/// Answers to a round have tickets from here on; others are smaller.
const ROUND_TICKETS: u64 = 1 << 48;

impl Remote {
    pub(super) fn new(table: RoutingTable, workers: u16, seed: u64) -> Self {
        Self {
            table,
            cache: HashMap::with_hasher(FixedState::with_seed(seed)),
            matched: Matched::default(),
            told: BTreeMap::new(),
            told_everything: false,
            regrouped: Vec::new(),
            denied: VecDeque::new(),
            lost: BTreeSet::new(),
            touches: 0,
            changed: true,
            round: 0,
            answered: vec![0; usize::from(workers)],
            held: VecDeque::new(),
        }
    }

    /// The table.
    pub(super) fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// The table, to change it.
    pub(super) fn table_mut(&mut self) -> &mut RoutingTable {
        self.changed = true;
        &mut self.table
    }

    /// Who wants a topic.
    pub(super) fn destinations(&mut self, topic: &str) -> Arc<Destinations> {
        if let Some(known) = self.cache.get(topic) {
            return Arc::clone(known);
        }
        if self.cache.len() >= CACHED_MAX {
            self.cache.clear();
        }
        self.table.find(topic, &mut self.matched);
        let found =
            Arc::new(Destinations { targets: self.matched.targets().to_vec(), groups: self.matched.groups().to_vec() });
        self.cache.insert(topic.into(), Arc::clone(&found));
        found
    }

    /// Tells the workers what has changed in the table. Call after every change of it.
    pub(super) fn tell_workers(&mut self, mut tell: impl FnMut(&Frame<'_>)) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut touched = self.table.take_touched();
        touched.append(&mut self.regrouped);
        let everything = self.table.unknown().next().is_some();
        self.cache.clear();
        let mut any = false;
        if everything && !self.told_everything {
            tell(&Frame::Everything { wanted: true });
            any = true;
        }
        for filter in touched {
            self.touches += 1;
            any |= self.tell_filter(&filter, &mut tell);
        }
        if !everything && self.told_everything {
            // Behind what takes its place.
            tell(&Frame::Everything { wanted: false });
            any = true;
        }
        self.told_everything = everything;
        if any {
            self.round += 1;
            tell(&Frame::Hello { ticket: ROUND_TICKETS + self.round });
        }
    }

    fn tell_filter(&mut self, filter: &Arc<ParsedFilter>, tell: &mut impl FnMut(&Frame<'_>)) -> bool {
        let now = self.now_of(filter);
        let before = self.told.get(filter).copied().unwrap_or_default();
        if (before.wanted, before.members) == (now.wanted, now.members) {
            self.told.entry(Arc::clone(filter)).and_modify(|told| told.touched = now.touched);
            return false;
        }
        match &filter.group {
            // Whether a peer stores it or only takes it over: it answers in either case.
            None => tell(&Frame::Interest {
                ticket: 0,
                interest: WorkerInterest { wanted: now.wanted, durable: now.wanted },
                filter: filter.filter.as_str(),
            }),
            Some(group) => {
                tell(&Frame::Members { ticket: 0, count: now.members, group, filter: filter.filter.as_str() })
            }
        }
        if now.wanted {
            self.told.insert(Arc::clone(filter), now);
        } else {
            self.told.remove(filter);
        }
        true
    }

    /// What workers should have been told of a filter. Plain subscriptions that a base table has they see there.
    fn now_of(&mut self, filter: &ParsedFilter) -> Told {
        if filter.group.is_none() {
            let wanted = self.table.words_on(filter).next().is_some();
            return Told { wanted, members: MemberCount::default(), touched: self.touches };
        }
        self.table.find_group(filter, &mut self.matched);
        let mut members = MemberCount::default();
        for group in self.matched.groups() {
            let is_lost = matches!(group.target, Target::Node(node) if self.lost.contains(&node));
            let connected = if is_lost { 0 } else { group.interest.members };
            members.connected = members.connected.saturating_add(connected);
            members.waiting = members.waiting.saturating_add(u32::from(group.interest.durable));
        }
        Told { wanted: !self.matched.groups().is_empty(), members, touched: self.touches }
    }

    /// Takes a base table. What was in use before goes on being used for what this one lacks.
    pub(super) fn install(&mut self, base: Arc<BaseTable>, now: Duration) -> Result<(), InstallError> {
        let before: Vec<Arc<ParsedFilter>> = self.table.base_groups().cloned().collect();
        self.table.install(base, now)?;
        self.changed = true;
        self.regrouped.extend(before);
        self.regrouped.extend(self.table.base_groups().cloned());
        Ok(())
    }

    /// How much was said of filters so far.
    pub(super) fn touches(&self) -> u64 {
        self.touches
    }

    /// A node is given up.
    pub(super) fn lost(&mut self, node: NodeId) {
        self.lost.insert(node);
        self.regroup();
    }

    /// A node is there, or is none of the cluster any more.
    pub(super) fn found(&mut self, node: NodeId) {
        self.lost.remove(&node);
        self.regroup();
    }

    /// Groups may have other members though no peer has said so.
    fn regroup(&mut self) {
        let groups = self.told.keys().filter(|filter| filter.group.is_some());
        self.regrouped.extend(groups.cloned());
        self.changed = true;
    }

    /// Nobody took a message for a group though peers had said that members are there: the workers take it that none are,
    /// until a peer says something of the group, unless one has since nodes began to be tried. A node that was tried may
    /// have been cut off from the members, of which nobody tells: peers are believed again after a while.
    pub(super) fn deny_members(
        &mut self,
        now_ms: u64,
        filter: &ParsedFilter,
        since: u64,
        mut tell: impl FnMut(&Frame<'_>),
    ) {
        let Some((filter, _)) = self.told.get_key_value(filter).filter(|(_, told)| told.touched <= since) else {
            return;
        };
        let filter = Arc::clone(filter);
        self.told.entry(Arc::clone(&filter)).and_modify(|told| told.members = MemberCount::default());
        let group = filter.group.as_deref().unwrap_or_default();
        let count = MemberCount::default();
        tell(&Frame::Members { ticket: 0, count, group, filter: filter.filter.as_str() });
        self.denied.push_back((now_ms + DENIED_MS, filter));
    }

    /// When [`Self::believe`] is due, in monotonic milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.denied.front().map(|(due_ms, _)| *due_ms)
    }

    /// Believes peers again whose members took nothing a while ago. Call [`Self::tell_workers`] afterwards.
    pub(super) fn believe(&mut self, now_ms: u64) {
        while let Some((_, filter)) = self.denied.pop_front_if(|(due_ms, _)| *due_ms <= now_ms) {
            self.regrouped.push(filter);
            self.changed = true;
        }
    }

    /// Takes a worker's answer to a round. `false`: the ticket is of something else.
    pub(super) fn on_answer(&mut self, worker: usize, ticket: u64) -> bool {
        let Some(round) = ticket.checked_sub(ROUND_TICKETS) else { return false };
        self.answered[worker] = self.answered[worker].max(round);
        true
    }

    /// Moves what the table has to say to a peer out of it. Questions leave at once, acknowledgements when they are true.
    pub(super) fn poll_transmit(&mut self, peer: NodeId, now: Duration) -> Option<InterestFrame> {
        loop {
            let frame = self.table.poll_transmit(peer, now)?;
            let waits = matches!(frame, InterestFrame::Ack { .. }) && self.known_round() < self.round;
            if !waits {
                return Some(frame);
            }
            self.held.push_back((self.round, peer, frame));
        }
    }

    /// The next acknowledgement that has become true.
    pub(super) fn poll_held(&mut self) -> Option<(NodeId, InterestFrame)> {
        let known = self.known_round();
        self.held.pop_front_if(|(round, ..)| *round <= known).map(|(_, peer, frame)| (peer, frame))
    }

    fn known_round(&self) -> u64 {
        self.answered.iter().min().copied().unwrap_or(0)
    }
}
