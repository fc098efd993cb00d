//! A base table in parts, so that control pushes of a change only what it touches.
//!
//! A filter belongs to the part that the hash of its text says, whoever wants it and however many others there are. A
//! part has its own list of targets and of sets, in an order that follows from its rows: what happens to one filter
//! changes the bytes of one part.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{ParsedFilter, TopicFilter};

use super::Target;
use crate::{NODES_MAX, NodeId, interest::Interest, interest::Position, stable_hash};

/// Parts of a table. With 1.1 M filters a part has some 270 of them and 8 KB; with 20 M, 150 KB, which is still far from
/// what a resource may have.
pub const PARTS: u16 = 4096;

/// Most targets of a part: every node of a region, and as many regions.
pub const TARGETS_MAX: usize = 2 * NODES_MAX;

/// What is said of a whole table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoutesHead {
    /// Up to where each owner's interest is in the table.
    pub positions: BTreeMap<NodeId, Position>,
}

/// The part that a filter belongs to, the same on every machine and in every version.
#[must_use]
pub fn part_of(filter: &TopicFilter) -> u16 {
    // The highest bits, as many as number the parts.
    (stable_hash(filter.as_str().as_bytes()) >> (u64::BITS - PARTS.ilog2())) as u16
}

/// Some of the rows of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutesPart {
    number: u16,
    targets: Vec<Target>,
    sets: Vec<Box<[u32]>>,
    filters: Vec<(TopicFilter, u32)>,
    groups: Vec<PartGroup>,
}

/// A shared group at one target of a part.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartGroup {
    /// The group and its filter.
    pub filter: Arc<ParsedFilter>,
    /// The place of the target among those of the part.
    pub target: u32,
    /// The members there.
    pub interest: Interest,
}

impl RoutesPart {
    /// A part with these rows.
    ///
    /// * `sets`: each a list of places in `targets`, ascending, shifted by one bit for whether the target has to store.
    /// * `filters`: each once, ascending, with the place of its set.
    /// * `groups`: each with each target once, ascending.
    ///
    /// # Errors
    /// One of these is broken, or a filter belongs to another part.
    pub fn new(
        number: u16,
        targets: Vec<Target>,
        sets: Vec<Box<[u32]>>,
        filters: Vec<(TopicFilter, u32)>,
        groups: Vec<PartGroup>,
    ) -> Result<Self, PartError> {
        let part = Self { number, targets, sets, filters, groups };
        part.check()?;
        Ok(part)
    }

    /// Which part it is, below [`PARTS`].
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whom its rows name.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Its sets, as [`Self::new`] says.
    #[must_use]
    pub fn sets(&self) -> &[Box<[u32]>] {
        &self.sets
    }

    /// Its plain filters, each with the place of its set.
    #[must_use]
    pub fn filters(&self) -> &[(TopicFilter, u32)] {
        &self.filters
    }

    /// Its shared groups.
    #[must_use]
    pub fn groups(&self) -> &[PartGroup] {
        &self.groups
    }

    fn check(&self) -> Result<(), PartError> {
        if self.number >= PARTS {
            return Err(PartError::Number { number: self.number });
        }
        if self.targets.len() > TARGETS_MAX || !ascends(self.targets.iter()) {
            return Err(PartError::Targets);
        }
        let is_set = |set: &[u32]| {
            let places = set.iter().map(|place| place >> 1);
            let known = places.clone().all(|place| (place as usize) < self.targets.len());
            !set.is_empty() && known && ascends(places)
        };
        if let Some(place) = self.sets.iter().position(|set| !is_set(set)) {
            return Err(PartError::Set { place });
        }
        if let Some(row) = self.filters.iter().position(|(_, set)| *set as usize >= self.sets.len()) {
            return Err(PartError::Filter { row });
        }
        if let Some(row) = self.groups.iter().position(|group| group.target as usize >= self.targets.len()) {
            return Err(PartError::Group { row });
        }
        let keys = self.groups.iter().map(|group| (&group.filter, group.target));
        if !ascends(self.filters.iter().map(|(filter, _)| filter)) || !ascends(keys) {
            return Err(PartError::Order);
        }
        self.check_belongs()
    }

    fn check_belongs(&self) -> Result<(), PartError> {
        let plain = self.filters.iter().map(|(filter, _)| filter);
        let all = plain.chain(self.groups.iter().map(|group| &group.filter.filter));
        match all.into_iter().find(|filter| part_of(filter) != self.number) {
            Some(filter) => Err(PartError::Foreign { filter: filter.clone() }),
            None => Ok(()),
        }
    }
}

fn ascends<T: PartialOrd>(mut items: impl Iterator<Item = T>) -> bool {
    let Some(mut last) = items.next() else { return true };
    items.all(|item| std::mem::replace(&mut last, item) < last)
}

/// Why something is no part of a table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PartError {
    /// There is no such part.
    #[error("there is no part {number} of {PARTS}")]
    Number {
        /// The number given.
        number: u16,
    },
    /// Targets stand twice or out of order, or there are more than [`TARGETS_MAX`].
    #[error("the targets are not in order, or more than {TARGETS_MAX}")]
    Targets,
    /// A set is empty, out of order, or names a target that is not there.
    #[error("set {place} is not one of the targets in order")]
    Set {
        /// Its place.
        place: usize,
    },
    /// A filter goes to a set that is not there.
    #[error("filter {row} has no set")]
    Filter {
        /// Its place.
        row: usize,
    },
    /// A group is at a target that is not there.
    #[error("group {row} has no target")]
    Group {
        /// Its place.
        row: usize,
    },
    /// Filters or groups stand twice or out of order.
    #[error("the filters are not in order")]
    Order,
    /// A filter belongs to another part.
    #[error("the filter {filter} belongs to another part")]
    Foreign {
        /// Which.
        filter: TopicFilter,
    },
}
