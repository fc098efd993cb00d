//! What nodes say of the deliveries they make, put together: which parts of the topic space are busy, and where their
//! subscribers are.

use std::collections::{BTreeMap, BTreeSet};

use sluice_cluster::{Deliveries, Label, REPORTED_DELIVERIES_MAX};
use sluice_topic::{Limits, TopicFilter};

use crate::suggest::Traffic;

/// Deliveries by topic prefix (`a/#`, `a/b/#` and so on) and by the subscribers' region, of all nodes together. Prefixes
/// overlap: what is counted below `a/b/#` is counted below `a/#` as well.
///
/// It holds what nodes have said last, nothing else: a node that is gone is no longer in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed(BTreeMap<TopicFilter, BTreeMap<Label, u64>>);

impl Observed {
    /// Adds what a node says. Subscribers of nodes without a region are nowhere in particular, and left out.
    pub fn add(&mut self, rows: &[Deliveries]) {
        for Deliveries { prefix, region, count } in rows.iter().take(REPORTED_DELIVERIES_MAX) {
            let Some(region) = region.as_ref().filter(|_| prefix.as_str().split('/').count() <= LEVELS_MAX) else {
                continue;
            };
            let sum = self.0.entry(prefix.clone()).or_default().entry(region.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// The prefixes with their deliveries, all together and by region, the busiest first.
    pub fn busiest(&self) -> impl Iterator<Item = (&TopicFilter, u64, &BTreeMap<Label, u64>)> {
        let mut all: Vec<_> = self.0.iter().map(|(prefix, regions)| (prefix, total(regions), regions)).collect();
        all.sort_by(|(a, x, _), (b, y, _)| y.cmp(x).then_with(|| a.cmp(b)));
        all.into_iter()
    }

    /// Prefixes that do not overlap, each as short as tells where its subscribers are: where those of `a/b/#` and of
    /// `a/c/#` are in the same regions, `a/#` stands for both. What of a prefix is not below one of its known parts is left
    /// out where the parts stand.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        let children = self.children();
        let roots = self.0.keys().filter(|prefix| self.parent(prefix).is_none());
        for root in roots {
            for prefix in self.parts(root, &children) {
                for (region, count) in self.0.get(prefix).into_iter().flatten() {
                    traffic.add(prefix, region, *count);
                }
            }
        }
        traffic
    }

    /// The parts that tell more than a prefix as a whole, or that.
    fn parts<'a>(
        &'a self,
        prefix: &'a TopicFilter,
        children: &BTreeMap<&'a TopicFilter, BTreeSet<&'a TopicFilter>>,
    ) -> Vec<&'a TopicFilter> {
        let below = children.get(prefix).into_iter().flatten();
        let parts: Vec<&TopicFilter> = below.flat_map(|child| self.parts(child, children)).collect();
        let apart: u64 = parts.iter().fold(0, |sum, part| sum.saturating_add(self.most(part)));
        let all = self.0.get(prefix).map_or(0, total);
        // One home for each part makes so many deliveries local, one home for all of them so many less.
        if apart > self.most(prefix).saturating_add(all / TELLS_MORE) { parts } else { vec![prefix] }
    }

    /// Deliveries in the region where most are.
    fn most(&self, prefix: &TopicFilter) -> u64 {
        self.0.get(prefix).and_then(|regions| regions.values().max()).copied().unwrap_or(0)
    }

    fn children(&self) -> BTreeMap<&TopicFilter, BTreeSet<&TopicFilter>> {
        let mut children: BTreeMap<&TopicFilter, BTreeSet<&TopicFilter>> = BTreeMap::new();
        for prefix in self.0.keys() {
            if let Some(parent) = self.parent(prefix) {
                children.entry(parent).or_default().insert(prefix);
            }
        }
        children
    }

    /// The longest known prefix that a prefix is a part of.
    fn parent(&self, prefix: &TopicFilter) -> Option<&TopicFilter> {
        let mut levels = prefix.as_str().strip_suffix("/#")?;
        while let Some((shorter, _)) = levels.rsplit_once('/') {
            levels = shorter;
            let shorter = TopicFilter::parse(&format!("{levels}/#"), &Limits::default()).ok()?;
            if let Some((parent, _)) = self.0.get_key_value(&shorter) {
                return Some(parent);
            }
        }
        None
    }
}

fn total(regions: &BTreeMap<Label, u64>) -> u64 {
    regions.values().fold(0, |sum, count| sum.saturating_add(*count))
}

/// Prefixes of more levels are none that a node tells.
const LEVELS_MAX: usize = 8;

/// Parts of a prefix stand for it when their homes make this part of its deliveries local besides: one in ten.
const TELLS_MORE: u64 = 10;

#[cfg(test)]
mod tests;
