//! How many persistent sessions each principal has, on all workers of the node.
//!
//! A principal's sessions fall to workers by client id; each worker counts its own and tells the others. Two workers
//! that grant the last free session in the same instant exceed the quota by one: it guards against hoarding, and need
//! not be exact to the moment.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_cluster::WorkerId;

/// The counts.
pub(crate) struct Quotas {
    by_principal: HashMap<Arc<str>, Counts, FixedState>,
}

#[derive(Default)]
struct Counts {
    here: u32,
    elsewhere: Vec<(WorkerId, u32)>,
}

impl Quotas {
    /// No sessions; `seed` keys the hash of names.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self { by_principal: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// A principal's sessions on all workers.
    pub(crate) fn sessions_of(&self, principal: &str) -> usize {
        self.by_principal.get(principal).map_or(0, Counts::sum)
    }

    /// Counts sessions of this worker. Returns how many it has now.
    pub(crate) fn add(&mut self, principal: &str, by: i32) -> u32 {
        let counts = self.entry(principal);
        counts.here = counts.here.saturating_add_signed(by);
        let here = counts.here;
        self.forget_if_none(principal);
        here
    }

    /// Notes how many sessions another worker has.
    pub(crate) fn set_peer(&mut self, principal: &str, peer: WorkerId, count: u32) {
        let counts = self.entry(principal);
        counts.elsewhere.retain(|&(worker, _)| worker != peer);
        if count > 0 {
            counts.elsewhere.push((peer, count));
        }
        self.forget_if_none(principal);
    }

    fn entry(&mut self, principal: &str) -> &mut Counts {
        self.by_principal.entry_ref(principal).or_default()
    }

    fn forget_if_none(&mut self, principal: &str) {
        if self.sessions_of(principal) == 0 {
            self.by_principal.remove(principal);
        }
    }
}

impl Counts {
    fn sum(&self) -> usize {
        self.here as usize + self.elsewhere.iter().map(|&(_, count)| count as usize).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_over_all_workers_and_forgotten_with_the_last() {
        let mut quotas = Quotas::with_seed(1);
        assert_eq!(quotas.add("alice", 1), 1);
        quotas.set_peer("alice", WorkerId(2), 2);
        quotas.set_peer("alice", WorkerId(2), 4);
        assert_eq!((quotas.sessions_of("alice"), quotas.sessions_of("bob")), (5, 0));
        quotas.set_peer("alice", WorkerId(2), 0);
        assert_eq!(quotas.add("alice", -1), 0);
        assert!(quotas.by_principal.is_empty());
    }
}
