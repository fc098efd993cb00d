//! All interest of all nodes, as control holds it to build tables from.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::ParsedFilter;

use super::{Change, Interest, InterestSink, Position};
use crate::NodeId;

/// What every owner wants, as far as it was heard.
#[derive(Debug, Default)]
pub struct InterestMirror {
    owners: BTreeMap<NodeId, Rows>,
}

type Rows = BTreeMap<Arc<ParsedFilter>, (Position, Interest)>;

impl InterestMirror {
    /// What an owner wants, by filter.
    pub fn rows(&self, owner: NodeId) -> impl Iterator<Item = (&Arc<ParsedFilter>, Interest)> {
        self.owners.get(&owner).into_iter().flatten().map(|(filter, (_, interest))| (filter, *interest))
    }

    /// An owner is gone, and what it wanted with it.
    pub fn forget(&mut self, owner: NodeId) {
        self.owners.remove(&owner);
    }
}

impl InterestSink for InterestMirror {
    fn begins(&mut self, owner: NodeId) {
        self.owners.entry(owner).or_default();
    }

    fn change(&mut self, owner: NodeId, at: Position, change: &Change) {
        let rows = self.owners.entry(owner).or_default();
        match change.interest {
            Some(interest) => rows.insert(change.filter.clone(), (at, interest)),
            None => rows.remove(&change.filter),
        };
    }

    fn void_before(&mut self, owner: NodeId, at: Position) {
        if let Some(rows) = self.owners.get_mut(&owner) {
            rows.retain(|_, (said, _)| *said >= at);
        }
    }

    fn caught_up(&mut self, _: NodeId) {}
}
