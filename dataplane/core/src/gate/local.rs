//! What the workers of this node want, as one interest.
//!
//! Peers hear of a filter once however many workers want it, and a message that comes from them is given once to each
//! worker that does.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_cluster::{WorkerId, interest::Interest};
use sluice_topic::{FilterIndex, ParsedFilter, TopicFilter};

use crate::subscriptions::{Interest as WorkerInterest, MemberCount};

/// The interest of all workers, by filter.
pub(super) struct Local {
    filters: FilterIndex<Wanting>,
    groups: HashMap<ParsedFilter, Vec<(WorkerId, MemberCount)>, FixedState>,
    /// Grows with every change of `filters`.
    version: u64,
    cache: HashMap<Box<str>, Wanting, FixedState>,
    cache_version: u64,
}

/// Workers that want something, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Wanting {
    /// All of them.
    pub(super) workers: u64,
    /// Those that store it.
    pub(super) durable: u64,
}

/// Topics whose workers are remembered. A node that hears of more looks up each one again.
const CACHED_MAX: usize = 16 * 1024;

impl Local {
    /// Nobody wants anything; `seed` keys the hashes of what clients choose.
    pub(super) fn new(seed: u64) -> Self {
        let hash = || FixedState::with_seed(seed);
        Self {
            filters: FilterIndex::with_seed(seed),
            groups: HashMap::with_hasher(hash()),
            version: 1,
            cache: HashMap::with_hasher(hash()),
            cache_version: 1,
        }
    }

    /// A worker says what it wants of a filter. What the node wants of it from here on.
    pub(super) fn set(&mut self, filter: &TopicFilter, worker: WorkerId, interest: WorkerInterest) -> Option<Interest> {
        self.version += 1;
        let bit = 1u64 << worker.0;
        let wanting = self.filters.get_or_insert_with(filter, Wanting::default);
        let with = |bits: u64, on: bool| if on { bits | bit } else { bits & !bit };
        wanting.workers = with(wanting.workers, interest.wanted);
        wanting.durable = with(wanting.durable, interest.durable);
        let wanting = *wanting;
        if wanting.workers == 0 {
            self.filters.remove(filter);
            return None;
        }
        Some(Interest { durable: wanting.durable != 0, members: 0 })
    }

    /// A worker says how many members of a group it has. What the node wants of the group from here on.
    pub(super) fn set_members(
        &mut self,
        filter: &ParsedFilter,
        worker: WorkerId,
        count: MemberCount,
    ) -> Option<Interest> {
        let workers = self.groups.entry(filter.clone()).or_default();
        workers.retain(|(other, _)| *other != worker);
        if count != MemberCount::default() {
            workers.push((worker, count));
        }
        if workers.is_empty() {
            self.groups.remove(filter);
            return None;
        }
        let members = workers.iter().map(|(_, count)| count.connected).fold(0, u32::saturating_add);
        let waiting = workers.iter().any(|(_, count)| count.waiting > 0);
        Some(Interest { durable: waiting, members })
    }

    /// The workers that want a topic.
    pub(super) fn matched(&mut self, topic: &str) -> Wanting {
        if self.cache_version != self.version || self.cache.len() >= CACHED_MAX {
            self.cache.clear();
            self.cache_version = self.version;
        }
        if let Some(known) = self.cache.get(topic) {
            return *known;
        }
        let mut found = Wanting::default();
        self.filters.for_each_match(topic, |wanting| {
            found.workers |= wanting.workers;
            found.durable |= wanting.durable;
        });
        self.cache.insert(topic.into(), found);
        found
    }

    /// The worker whose turn it is to take a message for a group: one with members that are connected, or else one whose
    /// members keep it. None of `tried`.
    pub(super) fn member_worker(&self, filter: &ParsedFilter, turn: u64, tried: u64) -> Option<WorkerId> {
        let workers = self.groups.get(filter)?;
        let of = |count: fn(&MemberCount) -> u32| {
            let usable = || workers.iter().filter(|(worker, _)| tried & (1 << worker.0) == 0);
            let all: u64 = usable().map(|(_, counts)| u64::from(count(counts))).sum();
            let mut nth = turn.checked_rem(all)?;
            usable().find_map(|(worker, counts)| {
                let here = u64::from(count(counts));
                let chosen = (nth < here).then_some(*worker);
                nth = nth.wrapping_sub(here);
                chosen
            })
        };
        of(|count| count.connected).or_else(|| of(|count| count.waiting))
    }
}

#[cfg(test)]
mod tests {
    use sluice_topic::Limits;

    use super::*;

    const WANTED: WorkerInterest = WorkerInterest { wanted: true, durable: false };
    const DURABLE: WorkerInterest = WorkerInterest { wanted: true, durable: true };
    const NOTHING: WorkerInterest = WorkerInterest { wanted: false, durable: false };

    fn filter(text: &str) -> ParsedFilter {
        ParsedFilter::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn the_node_wants_what_any_worker_wants_and_stores_what_any_worker_stores() {
        let mut local = Local::new(1);
        let a = filter("a/+").filter;
        assert_eq!(local.set(&a, WorkerId(0), WANTED), Some(Interest { durable: false, members: 0 }));
        assert_eq!(local.set(&a, WorkerId(3), DURABLE), Some(Interest { durable: true, members: 0 }));
        assert_eq!(local.matched("a/1"), Wanting { workers: 0b1001, durable: 0b1000 });
        assert_eq!(local.set(&a, WorkerId(3), NOTHING), Some(Interest { durable: false, members: 0 }));
        assert_eq!(local.matched("a/1"), Wanting { workers: 1, durable: 0 }, "a cached match is forgotten");
        assert_eq!(local.set(&a, WorkerId(0), NOTHING), None);
        assert_eq!(local.matched("a/1"), Wanting::default());
    }

    #[test]
    fn members_that_are_connected_take_turns_before_those_that_wait() {
        let mut local = Local::new(1);
        let group = filter("$share/g/a");
        let count = |connected, waiting| MemberCount { connected, waiting };
        local.set_members(&group, WorkerId(0), count(1, 5));
        local.set_members(&group, WorkerId(1), count(2, 0));
        let turns: Vec<_> = (0..6).filter_map(|turn| local.member_worker(&group, turn, 0)).map(|w| w.0).collect();
        assert_eq!(turns, [0, 1, 1, 0, 1, 1]);
        assert_eq!(local.member_worker(&group, 0, 0b01), Some(WorkerId(1)));
        local.set_members(&group, WorkerId(1), count(0, 0));
        let interest = local.set_members(&group, WorkerId(0), count(0, 5));
        assert_eq!(interest, Some(Interest { durable: true, members: 0 }));
        assert_eq!(local.member_worker(&group, 9, 0), Some(WorkerId(0)), "it keeps what it is given");
        assert_eq!(local.set_members(&group, WorkerId(0), count(0, 0)), None);
    }
}
