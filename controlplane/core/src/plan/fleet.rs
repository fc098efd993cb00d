//! The nodes as the planner counts them: by place in an array, with what each has.

use std::{cmp::Ordering, collections::BTreeMap};

use sluice_cluster::{Node, NodeId, Replicas};

use crate::PlanInput;

/// All nodes, in the order of their ids.
pub(super) struct Fleet<'a> {
    seats: Vec<Seat<'a>>,
    places: BTreeMap<NodeId, usize>,
}

struct Seat<'a> {
    node: &'a Node,
    takes_shards: bool,
    /// Shards it will have when all that is under way is done.
    shards: u32,
    /// Shards it is copying. One that cannot go on does not keep it from taking others.
    incoming: u32,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(input: &'a PlanInput) -> Self {
        let seat = |node: &'a Node| {
            let takes_shards = node.takes_work();
            Seat { node, takes_shards, shards: 0, incoming: 0 }
        };
        let seats: Vec<_> = input.nodes.values().map(|known| seat(&known.node)).collect();
        let places = input.nodes.keys().enumerate().map(|(place, id)| (*id, place)).collect();
        Self { seats, places }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Where a node stands; `None` if nothing is known about it.
    pub(super) fn place(&self, id: NodeId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    pub(super) fn node(&self, place: usize) -> &'a Node {
        self.seats[place].node
    }

    /// Whether shards may be brought to it: it is active and heard of.
    pub(super) fn takes_shards(&self, place: usize) -> bool {
        self.seats[place].takes_shards
    }

    pub(super) fn shards(&self, place: usize) -> u32 {
        self.seats[place].shards
    }

    pub(super) fn incoming(&self, place: usize) -> u32 {
        self.seats[place].incoming
    }

    /// Counts the replicas of a shard, and its learners if it can go on.
    pub(super) fn add(&mut self, replicas: &Replicas, can_go_on: bool) {
        self.count(replicas, can_go_on, |count| *count += 1);
    }

    /// Stops counting them.
    pub(super) fn take(&mut self, replicas: &Replicas, can_go_on: bool) {
        self.count(replicas, can_go_on, |count| *count -= 1);
    }

    fn count(&mut self, replicas: &Replicas, can_go_on: bool, apply: impl Fn(&mut u32)) {
        for id in replicas.target() {
            if let Some(&place) = self.places.get(&id) {
                apply(&mut self.seats[place].shards);
            }
        }
        for id in replicas.learners().iter().filter(|_| can_go_on) {
            if let Some(&place) = self.places.get(id) {
                apply(&mut self.seats[place].incoming);
            }
        }
    }

    /// Compares how full two nodes would be with one shard more.
    pub(super) fn by_fullness_after(&self, a: usize, b: usize) -> Ordering {
        self.compare((a, 1), (b, 1))
    }

    /// Compares how full two nodes are.
    pub(super) fn by_fullness(&self, a: usize, b: usize) -> Ordering {
        self.compare((a, 0), (b, 0))
    }

    /// Whether one that gives a shard was fuller than the other is after taking it. Each such move makes the sum of
    /// `shards * (shards + 1) / weight` over all nodes smaller, so that moves come to an end.
    pub(super) fn improves(&self, from: usize, to: usize) -> bool {
        self.compare((from, 0), (to, 1)) == Ordering::Greater
    }

    fn compare(&self, (a, more_a): (usize, u64), (b, more_b): (usize, u64)) -> Ordering {
        let weight = |place: usize| u64::from(self.seats[place].node.weight.value());
        let shards = |place: usize, more| u64::from(self.seats[place].shards) + more;
        // Fractions are compared without dividing: shards a / weight a with shards b / weight b.
        (shards(a, more_a) * weight(b)).cmp(&(shards(b, more_b) * weight(a)))
    }
}
