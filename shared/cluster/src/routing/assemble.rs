//! Puts a base table together, row by row or part by part.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{FilterIndex, ParsedFilter, TopicFilter};

use super::base::{BaseTable, GroupRow};
use super::{RoutesHead, RoutesPart, Target};
use crate::{SetDigest, Version, interest::Interest};

/// A base table in the making. The order in which rows come does not matter, and of what comes twice the more counts: so
/// parts of two tables make one that has what either has.
#[derive(Debug)]
pub struct TableAssembler {
    table: BaseTable,
    places: BTreeMap<Target, u32>,
    /// How each target goes into the digest: what has not to be stored, and what has.
    words: Vec<[String; 2]>,
    sets: BTreeMap<Box<[u32]>, u32>,
    groups: BTreeMap<(Arc<ParsedFilter>, u32), Interest>,
}

impl TableAssembler {
    /// A table without rows.
    #[must_use]
    pub fn new(version: Version, head: RoutesHead) -> Self {
        let table = BaseTable {
            version,
            positions: head.positions,
            targets: Vec::new(),
            sets: Vec::new(),
            filters: FilterIndex::new(),
            groups: FilterIndex::new(),
            digest: SetDigest::EMPTY,
            text_bytes: 0,
        };
        Self { table, places: BTreeMap::new(), words: Vec::new(), sets: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// Adds the rows of a part.
    pub fn add(&mut self, part: &RoutesPart) {
        let targets: Vec<u32> = part.targets().iter().map(|target| self.target(target)).collect();
        let of = |place: &u32| targets[(place >> 1) as usize] << 1 | place & 1;
        let sets: Vec<Box<[u32]>> = part.sets().iter().map(|set| set.iter().map(of).collect()).collect();
        for (filter, set) in part.filters() {
            self.add_filter(filter, &sets[*set as usize]);
        }
        for group in part.groups() {
            self.add_group(&group.filter, targets[group.target as usize], group.interest);
        }
    }

    /// The table.
    #[must_use]
    pub fn finish(self) -> BaseTable {
        let Self { mut table, groups, .. } = self;
        let mut by_filter: BTreeMap<&TopicFilter, Vec<GroupRow>> = BTreeMap::new();
        for ((filter, target), interest) in &groups {
            let word = format!("{:?} {interest:?}", table.targets[*target as usize]);
            table.digest.add(filter.to_string().as_bytes(), word.as_bytes());
            let row = GroupRow { filter: filter.clone(), target: *target, interest: *interest };
            by_filter.entry(&filter.filter).or_default().push(row);
        }
        for (filter, rows) in by_filter {
            table.text_bytes += rows.iter().map(|row| row.filter.to_string().len()).sum::<usize>();
            table.groups.get_or_insert_with(filter, || rows.into());
        }
        for (owner, upto) in &table.positions {
            table.digest.add(&owner.0.to_le_bytes(), upto.to_string().as_bytes());
        }
        table
    }

    /// The place of a target, which gets one if it is new.
    pub(super) fn target(&mut self, target: &Target) -> u32 {
        if let Some(place) = self.places.get(target) {
            return *place;
        }
        let place = self.table.targets.len() as u32;
        self.words.push([false, true].map(|durable| format!("{target:?} {durable}")));
        self.table.targets.push(target.clone());
        self.places.insert(target.clone(), place);
        place
    }

    /// Adds a plain filter for targets, by their places, shifted by one bit for whether they have to store.
    pub(super) fn add_filter(&mut self, filter: &TopicFilter, places: &[u32]) {
        let id = match self.table.filters.get(filter) {
            None => {
                self.table.text_bytes += filter.as_str().len();
                self.count(filter, places, SetDigest::add);
                self.set(places)
            }
            Some(&id) => {
                let before = self.table.sets[id as usize].clone();
                let merged = merge(&before, places);
                self.count(filter, &before, SetDigest::remove);
                self.count(filter, &merged, SetDigest::add);
                self.set(&merged)
            }
        };
        *self.table.filters.get_or_insert_with(filter, || id) = id;
    }

    /// Adds members of a shared group at a target.
    pub(super) fn add_group(&mut self, filter: &Arc<ParsedFilter>, target: u32, interest: Interest) {
        let there = self.groups.entry((filter.clone(), target)).or_default();
        there.durable |= interest.durable;
        there.members = there.members.max(interest.members);
    }

    pub(super) fn sets(&self) -> usize {
        self.sets.len()
    }

    fn count(&mut self, filter: &TopicFilter, places: &[u32], count: fn(&mut SetDigest, &[u8], &[u8])) {
        for place in places {
            let word = &self.words[(place >> 1) as usize][(place & 1) as usize];
            count(&mut self.table.digest, filter.as_str().as_bytes(), word.as_bytes());
        }
    }

    fn set(&mut self, places: &[u32]) -> u32 {
        if let Some(id) = self.sets.get(places) {
            return *id;
        }
        let id = self.table.sets.len() as u32;
        self.table.sets.push(places.into());
        self.sets.insert(places.into(), id);
        id
    }
}

/// The targets of both, each once; it has to store if one of them says so.
fn merge(a: &[u32], b: &[u32]) -> Box<[u32]> {
    let mut all: Vec<u32> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    all.dedup_by(|next, first| {
        let same = *next >> 1 == *first >> 1;
        if same {
            *first |= *next;
        }
        same
    });
    all.into()
}
