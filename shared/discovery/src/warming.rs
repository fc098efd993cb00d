//! What a fresh control leader waits for before it takes anything away.
//!
//! A leader that has just taken over knows only what the nodes have told it so far. What it does not know it must not
//! remove: routes of a node that has not reported yet would vanish from every table.

use std::{collections::BTreeMap, time::Duration};

use sluice_cluster::NodeId;

/// The nodes that have to report, each until its lease runs out.
#[derive(Clone, Debug, Default)]
pub struct Warming {
    waiting: BTreeMap<NodeId, Duration>,
}

impl Warming {
    /// Waits for these nodes, each until the moment at which its lease runs out.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = (NodeId, Duration)>) -> Self {
        Self { waiting: nodes.into_iter().collect() }
    }

    /// A node's lease was renewed. One that is not waited for any more stays so.
    pub fn on_lease(&mut self, node: NodeId, until: Duration) {
        if let Some(deadline) = self.waiting.get_mut(&node) {
            *deadline = (*deadline).max(until);
        }
    }

    /// A node has reported all its interest.
    pub fn on_reported(&mut self, node: NodeId) {
        self.waiting.remove(&node);
    }

    /// Gives up on nodes whose leases have run out by `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.waiting.retain(|_, until| *until > now);
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.waiting.values().min().copied()
    }

    /// Whether nobody is waited for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Who is waited for, for operators.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> {
        self.waiting.keys().copied()
    }
}
