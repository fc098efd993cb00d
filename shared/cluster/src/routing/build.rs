//! From all interest to the base table of one region.
//!
//! 1. Each row (filter, owner) becomes (filter, target): owners of other regions share their region's target.
//! 2. Of one target, a filter is dropped that another of its filters covers, if that one has to store whatever this one
//!    has to. Of two that cover each other the lesser text stays.
//! 3. Rows of one filter become one set of targets; equal sets are kept once.
//!
//! Shared groups are kept row by row: each group gets its own copy, so that none covers another. The members of a region
//! are added up.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{FilterIndex, ParsedFilter, TopicFilter, covers};

use super::cut::RouteRows;
use super::{BaseTable, Region, RoutesHead, TableAssembler, Target};
use crate::{NodeId, Version, interest::Interest, interest::Position};

/// What has gone into a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BuildReport {
    /// Filters of targets, before covering.
    pub rows: usize,
    /// Those dropped because another covers them.
    pub covered: usize,
    /// Distinct sets of targets; counted when a table is built, and 0 before.
    pub sets: usize,
}

/// Collects interest, owner by owner, and builds.
#[derive(Debug)]
pub struct RouteBuilder<'a> {
    home: Region,
    positions: BTreeMap<NodeId, Position>,
    targets: Vec<Target>,
    rows: Vec<Row<'a>>,
    groups: BTreeMap<(&'a Arc<ParsedFilter>, u32), Interest>,
}

/// Ordered by text, so that the rows of a filter stand together; then by target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Row<'a> {
    pub(super) filter: &'a TopicFilter,
    pub(super) target: u32,
    pub(super) durable: bool,
}

impl<'a> RouteBuilder<'a> {
    /// A table for the nodes of a region.
    #[must_use]
    pub fn new(home: Region) -> Self {
        Self { home, positions: BTreeMap::new(), targets: Vec::new(), rows: Vec::new(), groups: BTreeMap::new() }
    }

    /// Adds what an owner of a region wants, complete up to a position. Each owner is added once.
    pub fn add(
        &mut self,
        owner: NodeId,
        region: &Region,
        upto: Position,
        rows: impl IntoIterator<Item = (&'a Arc<ParsedFilter>, Interest)>,
    ) {
        let earlier = self.positions.insert(owner, upto);
        assert!(earlier.is_none(), "an owner is added once");
        let target = if *region == self.home { Target::Node(owner) } else { Target::Region(region.clone()) };
        let target = self.target(target);
        for (filter, interest) in rows {
            if filter.group.is_some() {
                let there = self.groups.entry((filter, target)).or_default();
                there.durable |= interest.durable;
                there.members = there.members.saturating_add(interest.members);
            } else {
                self.rows.push(Row { filter: &filter.filter, target, durable: interest.durable });
            }
        }
    }

    /// Builds the table.
    #[must_use]
    pub fn build(self, version: Version) -> (BaseTable, BuildReport) {
        let mut rows = self.finish();
        let mut table = TableAssembler::new(version, std::mem::take(&mut rows.head));
        let places: Vec<u32> = rows.targets.iter().map(|target| table.target(target)).collect();
        for (filter, set) in rows.by_filter() {
            let mut set: Vec<u32> = set.map(|place| places[(place >> 1) as usize] << 1 | place & 1).collect();
            set.sort_unstable();
            table.add_filter(filter, &set);
        }
        for ((filter, target), interest) in &rows.groups {
            table.add_group(filter, places[*target as usize], *interest);
        }
        let report = BuildReport { sets: table.sets(), ..rows.report };
        (table.finish(), report)
    }

    /// Decides what is in the table and leaves it in rows, to be cut into parts.
    #[must_use]
    pub fn finish(mut self) -> RouteRows<'a> {
        // Runs of the owners' rows are in order already, which this sort makes use of.
        self.rows.sort();
        // Of one target's words on a filter the durable one stands last, and stays.
        self.rows.dedup_by(|next, first| {
            let same = (next.filter, next.target) == (first.filter, first.target);
            first.durable |= same && next.durable;
            same
        });
        let wild = WildRows::of(&self.rows);
        let kept: Vec<Row<'_>> = self.rows.iter().filter(|row| !wild.cover(row)).copied().collect();
        let report = BuildReport { rows: self.rows.len(), covered: self.rows.len() - kept.len(), sets: 0 };
        let head = RoutesHead { positions: self.positions };
        RouteRows { head, targets: self.targets, rows: kept, groups: self.groups, report }
    }

    fn target(&mut self, target: Target) -> u32 {
        let place = self.targets.iter().position(|known| *known == target).unwrap_or_else(|| {
            self.targets.push(target);
            self.targets.len() - 1
        });
        place as u32
    }
}

/// The rows with wildcards, to be found by what they cover.
struct WildRows<'a> {
    /// For each filter its first row, and the first row behind its last.
    index: FilterIndex<(u32, u32)>,
    rows: &'a [Row<'a>],
}

impl<'a> WildRows<'a> {
    fn of(rows: &'a [Row<'a>]) -> Self {
        let mut index = FilterIndex::new();
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| !row.filter.is_exact()) {
            index.get_or_insert_with(row.filter, || (at as u32, at as u32)).1 = at as u32 + 1;
        }
        Self { index, rows }
    }

    /// Whether another filter of the same target makes this row superfluous.
    ///
    /// A filter that covers another matches it as if it were a topic name: `+` stands where only `+` or a later `#` can be,
    /// and `#` in the last level where only `#` or `+` can be. So the index finds the candidates, and the rest is exact.
    fn cover(&self, row: &Row<'_>) -> bool {
        let mut covered = false;
        self.index.for_each_match(row.filter.as_str(), |&(first, end)| {
            let candidates = &self.rows[first as usize..end as usize];
            covered = covered || candidates.iter().any(|wide| is_covered(row, wide));
        });
        covered
    }
}

fn is_covered(row: &Row<'_>, wide: &Row<'_>) -> bool {
    let (inner, outer) = (row.filter.as_str(), wide.filter.as_str());
    let stores = wide.durable || !row.durable;
    if row.target != wide.target || inner == outer || !stores || !covers(outer, inner) {
        return false;
    }
    // Two spellings of one filter, such as `#` and `+/#`: one has to stay.
    let same = covers(inner, outer) && row.durable == wide.durable;
    !same || outer < inner
}
