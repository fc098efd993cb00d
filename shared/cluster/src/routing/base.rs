//! The base table of a region: built by control, pushed to its nodes, never changed.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{FilterIndex, ParsedFilter};

use super::{Matched, Target};
use crate::{NodeId, SetDigest, Version, interest::Interest, interest::Position};

/// Which targets want which topics, as of a position of each owner.
///
/// Of the filters of one target those are left out that another of its filters covers. Targets stand in the filters'
/// rows as numbers of sets, of which there are few: most filters are wanted at one place.
pub struct BaseTable {
    pub(super) version: Version,
    pub(super) positions: BTreeMap<NodeId, Position>,
    pub(super) targets: Vec<Target>,
    /// Each a list of places in `targets`, shifted by one bit for whether the target has to store.
    pub(super) sets: Vec<Box<[u32]>>,
    pub(super) filters: FilterIndex<u32>,
    pub(super) groups: FilterIndex<Box<[GroupRow]>>,
    pub(super) digest: SetDigest,
    pub(super) text_bytes: usize,
}

/// A shared group at one target.
pub(super) struct GroupRow {
    pub(super) filter: Arc<ParsedFilter>,
    pub(super) target: u32,
    pub(super) interest: Interest,
}

impl BaseTable {
    /// The version under which it is pushed.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Up to where each owner's interest is in it. An owner that is not named is not in it at all.
    #[must_use]
    pub fn positions(&self) -> &BTreeMap<NodeId, Position> {
        &self.positions
    }

    /// Of its rows and positions, without the version: two tables that say the same have the same.
    #[must_use]
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// The number of plain filters, and of filters with shared groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filters.len() + self.groups.len()
    }

    /// Whether nobody wants anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in memory, without the shared groups' own text.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| size_of_val(&**set) + size_of::<Box<[u32]>>()).sum();
        self.filters.memory_bytes() + self.groups.memory_bytes() + sets
    }

    /// Bytes of a plain encoding: each filter's text with a length and the number of its set, and the sets.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| 2 + 2 * set.len()).sum();
        self.text_bytes + 4 * self.len() + sets
    }

    /// Whether somebody else than `me` has a plain subscription to a topic.
    #[must_use]
    pub fn wants(&self, topic: &str, me: NodeId) -> bool {
        let me = Target::Node(me);
        let mut wanted = false;
        self.filters.for_each_match(topic, |&set| {
            let mut places = self.sets[set as usize].iter().map(|place| &self.targets[(place >> 1) as usize]);
            wanted = wanted || places.any(|target| *target != me);
        });
        wanted
    }

    /// The shared groups in it, each with its filter, in no order.
    pub(super) fn group_filters(&self) -> impl Iterator<Item = &Arc<ParsedFilter>> {
        self.groups.iter().flat_map(|(_, rows)| rows.iter().map(|row| &row.filter))
    }

    /// Adds what it says of one shared group.
    pub(super) fn collect_group(&self, filter: &ParsedFilter, matched: &mut Matched) {
        for row in self.groups.get(&filter.filter).into_iter().flatten().filter(|row| *row.filter == *filter) {
            matched.add_group(&row.filter, &self.targets[row.target as usize], row.interest);
        }
    }

    /// The targets of a topic, those of shared groups among them: for operators.
    #[must_use]
    pub fn targets(&self, topic: &str) -> Vec<Target> {
        let mut matched = Matched::default();
        self.collect(topic, &mut matched);
        let plain = matched.targets().iter().map(|(target, _)| target);
        let mut targets: Vec<Target> =
            plain.chain(matched.groups().iter().map(|group| &group.target)).cloned().collect();
        targets.sort();
        targets.dedup();
        targets
    }

    pub(super) fn collect(&self, topic: &str, matched: &mut Matched) {
        self.filters.for_each_match(topic, |&set| {
            for &place in &*self.sets[set as usize] {
                matched.add(&self.targets[(place >> 1) as usize], place & 1 != 0);
            }
        });
        self.groups.for_each_match(topic, |rows| {
            for row in rows {
                matched.add_group(&row.filter, &self.targets[row.target as usize], row.interest);
            }
        });
    }
}

impl std::fmt::Debug for BaseTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseTable")
            .field("version", &self.version)
            .field("positions", &self.positions)
            .field("filters", &self.len())
            .finish_non_exhaustive()
    }
}
