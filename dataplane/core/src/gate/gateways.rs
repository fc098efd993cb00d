//! Which node of another region passes messages on there.
//!
//! One of those that control has chosen for the region, several for spread; any other while none of them is there. The same
//! for each topic, so that messages stay in order (I16); another one when it is gone, but not before what was
//! given to it has an outcome: what waits for a link that is down must not be overtaken by what goes another way.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{NodeId, routing::Region, stable_hash};

use super::{Gate, Standing};
use crate::{Now, link::Sequence};

/// Topics change their way together, in so many groups for each region.
const SLOTS: u64 = 64;

/// What is not answered has arrived after so long, in milliseconds.
const IDLE_MS: u64 = 1_000;

/// The ways in use, and those that are to be used.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    /// Who is to take in what other regions send to its own; of a region without one, any node may.
    chosen: BTreeSet<NodeId>,
    used: BTreeMap<(Region, u64), Way>,
}

/// The node that a slot's messages go through.
#[derive(Clone, Copy, Debug)]
struct Way {
    node: NodeId,
    /// The last frame that is answered.
    reliable: Option<Sequence>,
    /// When the last frame that is not was given to it, in monotonic ms; 0 = never.
    unreliable_ms: u64,
}

impl Gateways {
    /// Control has chosen others.
    pub(super) fn choose(&mut self, chosen: BTreeSet<NodeId>) {
        self.chosen = chosen;
    }

    /// A node is given up: nothing waits for it.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.used.retain(|_, way| way.node != node);
    }

    /// A frame of a topic has gone to a node, under a number if it is answered.
    pub(super) fn note(&mut self, now: Now, region: &Region, topic: &str, node: NodeId, number: Option<Sequence>) {
        let fresh = Way { node, reliable: None, unreliable_ms: 0 };
        let way = self.used.entry((region.clone(), slot_of(topic))).or_insert(fresh);
        if way.node != node {
            *way = fresh;
        }
        match number {
            Some(number) => way.reliable = Some(number),
            None => way.unreliable_ms = now.mono_ms,
        }
    }
}

impl Gate {
    /// The node that a topic's next message for a region goes through.
    pub(super) fn gateway_for(&self, now: Now, region: &Region, topic: &str) -> Option<NodeId> {
        let way = self.gateways.used.get(&(region.clone(), slot_of(topic)));
        way.filter(|way| self.is_busy(now, way)).map(|way| way.node).or_else(|| self.any_gateway(region, topic))
    }

    /// Whether something may be on this way that what goes another one could overtake.
    fn is_busy(&self, now: Now, way: &Way) -> bool {
        let Some(peer) = self.nodes.get(&way.node) else { return false };
        if peer.standing == Standing::Lost {
            return false;
        }
        // What is not answered is gone with the link.
        let unreliable = peer.standing == Standing::Up && now.mono_ms < way.unreliable_ms + IDLE_MS;
        unreliable || way.reliable.is_some_and(|last| !peer.is_answered(last))
    }

    /// A node of a region: the same for each topic while the same ones are there. One of those that were chosen if one is
    /// up, or else any that is up; what cannot be given to either waits for one that may come back.
    pub(super) fn any_gateway(&self, region: &Region, topic: &str) -> Option<NodeId> {
        let hash = stable_hash(topic.as_bytes());
        // The highest draw wins, so that only topics of a node that goes or comes find another one.
        let draw = |node: NodeId| stable_hash(&(hash ^ node.0).to_le_bytes());
        let pick = |fits: &dyn Fn(NodeId, Standing) -> bool| {
            let of_region = self.nodes.iter().filter(|(_, peer)| peer.region == *region);
            let fitting = of_region.filter(|(node, peer)| fits(**node, peer.standing));
            fitting.map(|(node, _)| *node).max_by_key(|node| draw(*node))
        };
        let is_chosen = |node: NodeId| self.gateways.chosen.contains(&node);
        pick(&|node, standing| is_chosen(node) && standing == Standing::Up)
            .or_else(|| pick(&|_, standing| standing == Standing::Up))
            .or_else(|| pick(&|node, standing| is_chosen(node) && standing != Standing::Lost))
            .or_else(|| pick(&|_, standing| standing != Standing::Lost))
            .or_else(|| pick(&|_, _| true))
    }
}

fn slot_of(topic: &str) -> u64 {
    stable_hash(topic.as_bytes()) % SLOTS
}
