//! The barrier before SUBACK: every peer of the region that is there routes to the subscription (I24).

use std::collections::VecDeque;

use sluice_cluster::{NodeId, WorkerId, interest::Sequence};

use super::{Gate, Standing, pending::TAKEN};

/// Subscriptions that wait to be heard, in the order of their changes.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    waiting: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    change: Sequence,
    worker: WorkerId,
    ticket: u64,
    until_ms: u64,
    expired: bool,
}

impl Barrier {
    /// A worker waits until a change is in effect everywhere.
    pub(super) fn hold(&mut self, change: Sequence, worker: WorkerId, ticket: u64, until_ms: u64) {
        self.waiting.push_back(Held { change, worker, ticket, until_ms, expired: false });
    }

    /// Peers that have not answered by now are not waited for.
    pub(super) fn expire(&mut self, now_ms: u64) {
        for held in self.waiting.iter_mut().take_while(|held| held.until_ms <= now_ms) {
            held.expired = true;
        }
    }

    /// When the first has waited long enough.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.waiting.front().map(|held| held.until_ms)
    }
}

impl Gate {
    /// Answers those whose change is in effect.
    pub(super) fn release_barrier(&mut self) {
        while let Some(held) = self.barrier.waiting.front() {
            let heard = self.source.is_acknowledged(held.change, self.awaited_peers());
            if !heard && !held.expired {
                return;
            }
            let Some(held) = self.barrier.waiting.pop_front() else { return };
            self.stats.barriers_missed += u64::from(!heard);
            self.done(held.worker, held.ticket, TAKEN);
        }
    }

    /// The nodes that may publish to clients of this node and have to know what those want: of the region, and not lost.
    /// Other regions hear of it too, but nobody waits for them.
    fn awaited_peers(&self) -> impl Iterator<Item = NodeId> {
        let region = &self.settings.region;
        let awaited =
            self.nodes.iter().filter(move |(_, peer)| peer.region == *region && peer.standing != Standing::Lost);
        awaited.map(|(node, _)| *node)
    }
}
