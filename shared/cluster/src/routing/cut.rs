//! Cuts the rows of a table into parts.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{Limits, ParsedFilter, TopicFilter};

use super::build::Row;
use super::parts::{PARTS, PartGroup, RoutesHead, RoutesPart, part_of};
use super::{BaseTable, BuildReport, Target};
use crate::interest::Interest;

/// The rows of one table.
#[derive(Debug)]
pub struct RouteRows<'a> {
    pub(super) head: RoutesHead,
    pub(super) targets: Vec<Target>,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) groups: BTreeMap<(&'a Arc<ParsedFilter>, u32), Interest>,
    pub(super) report: BuildReport,
}

impl<'a> RouteRows<'a> {
    /// What is said of the whole table.
    #[must_use]
    pub fn head(&self) -> &RoutesHead {
        &self.head
    }

    /// What has gone into it.
    #[must_use]
    pub fn report(&self) -> BuildReport {
        self.report
    }

    /// Its parts in order, but for those that nothing belongs to. One is made at a time.
    pub fn parts(&self) -> impl Iterator<Item = RoutesPart> {
        let mut buckets: Vec<Bucket<'_>> = Vec::new();
        buckets.resize_with(usize::from(PARTS), Bucket::default);
        for rows in self.rows.chunk_by(|a, b| a.filter == b.filter) {
            if let Some(first) = rows.first() {
                buckets[usize::from(part_of(first.filter))].rows.push(rows);
            }
        }
        for (&(filter, target), interest) in &self.groups {
            buckets[usize::from(part_of(&filter.filter))].groups.push((filter, target, *interest));
        }
        let numbered = (0..PARTS).zip(buckets).filter(|(_, bucket)| !bucket.is_empty());
        numbered.map(|(number, bucket)| bucket.part(number, &self.targets))
    }

    /// The plain filters, each with its targets by their places, shifted by one bit for whether they have to store.
    pub(super) fn by_filter(&self) -> impl Iterator<Item = (&'a TopicFilter, impl Iterator<Item = u32>)> {
        self.rows.chunk_by(|a, b| a.filter == b.filter).filter_map(|rows| {
            let places = rows.iter().map(|row| row.target << 1 | u32::from(row.durable));
            Some((rows.first()?.filter, places))
        })
    }
}

impl BaseTable {
    /// Hands out the rows of the table, to be cut into parts. Costs a copy of its text.
    pub fn with_rows<R>(&self, f: impl FnOnce(&RouteRows<'_>) -> R) -> R {
        // What is in a table was a filter when it came in, whatever the limits were.
        let anything = Limits { topic_bytes_max: usize::MAX, levels_max: usize::MAX };
        let filter = |(text, set): (String, &u32)| Some((TopicFilter::parse(&text, &anything).ok()?, *set));
        let mut filters: Vec<(TopicFilter, u32)> = self.filters.iter().filter_map(filter).collect();
        filters.sort_unstable();
        let rows = filters.iter().flat_map(|(filter, set)| {
            let places = self.sets[*set as usize].iter();
            places.map(move |place| Row { filter, target: place >> 1, durable: place & 1 != 0 })
        });
        let groups = self.groups.iter().flat_map(|(_, rows)| rows.iter());
        let rows = RouteRows {
            head: RoutesHead { positions: self.positions.clone() },
            targets: self.targets.clone(),
            rows: rows.collect(),
            groups: groups.map(|row| ((&row.filter, row.target), row.interest)).collect(),
            report: BuildReport::default(),
        };
        f(&rows)
    }
}

/// What belongs to one part.
#[derive(Default)]
struct Bucket<'r> {
    /// Each the rows of one filter.
    rows: Vec<&'r [Row<'r>]>,
    groups: Vec<(&'r Arc<ParsedFilter>, u32, Interest)>,
}

impl Bucket<'_> {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.groups.is_empty()
    }

    fn part(self, number: u16, all: &[Target]) -> RoutesPart {
        let used = self.rows.iter().flat_map(|rows| rows.iter().map(|row| row.target));
        let used = used.chain(self.groups.iter().map(|(_, target, _)| *target));
        // By target and not by its place in the table, which depends on what else is there.
        let mut places: BTreeMap<&Target, u32> = used.map(|target| (&all[target as usize], 0)).collect();
        (0..).zip(places.values_mut()).for_each(|(at, place)| *place = at);
        let place = |target: u32| places.get(&all[target as usize]).copied().unwrap_or_default();
        let (mut sets, mut filters, mut known) = (Vec::new(), Vec::with_capacity(self.rows.len()), BTreeMap::new());
        for rows in self.rows {
            let mut set: Vec<u32> = rows.iter().map(|row| place(row.target) << 1 | u32::from(row.durable)).collect();
            set.sort_unstable();
            let id = *known.entry(set).or_insert_with_key(|set| {
                sets.push(set.as_slice().into());
                sets.len() as u32 - 1
            });
            filters.extend(rows.first().map(|row| (row.filter.clone(), id)));
        }
        let group = |(filter, target, interest): (&Arc<ParsedFilter>, u32, Interest)| PartGroup {
            filter: filter.clone(),
            target: place(target),
            interest,
        };
        let mut groups: Vec<PartGroup> = self.groups.into_iter().map(group).collect();
        groups.sort();
        let part = RoutesPart::new(number, places.into_keys().cloned().collect(), sets, filters, groups);
        part.unwrap_or_else(|broken| unreachable!("rows are in order and belong to their part: {broken}"))
    }
}
