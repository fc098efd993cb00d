//! What peers have said that no base table has yet, bounded.

use std::{collections::BTreeMap, sync::Arc};

use sluice_topic::{FilterIndex, ParsedFilter};

use super::{Matched, Target};
use crate::NodeId;
use crate::interest::{Change, Interest, InterestSink, Position, filter_cost};

/// The latest words of each owner.
///
/// An owner with more words than the bound has *overflowed*: its words are dropped and it is taken to want everything,
/// until a base table has them or it has said them again.
#[derive(Default)]
pub(super) struct Overlay {
    bytes_max: usize,
    owners: BTreeMap<NodeId, Words>,
    index: FilterIndex<Vec<Word>>,
    /// Filters of which words came or went, since somebody asked; some of them more than once.
    touched: Vec<Arc<ParsedFilter>>,
}

#[derive(Default)]
struct Words {
    rows: BTreeMap<Arc<ParsedFilter>, (Position, Interest)>,
    bytes: usize,
    overflow: Option<Overflow>,
}

/// Words were dropped.
#[derive(Clone, Copy)]
struct Overflow {
    /// The latest of them.
    at: Position,
    /// Whether some were dropped since the owner began to say all of them again.
    again: bool,
}

struct Word {
    owner: NodeId,
    filter: Arc<ParsedFilter>,
    interest: Interest,
}

impl Overlay {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// The words kept of all owners.
    pub(super) fn len(&self) -> usize {
        self.owners.values().map(|words| words.rows.len()).sum()
    }

    /// Owners that are taken to want everything.
    pub(super) fn overflowed(&self) -> impl Iterator<Item = (NodeId, Position)> {
        self.owners.iter().filter_map(|(owner, words)| Some((*owner, words.overflow?.at)))
    }

    /// The filters of which words came or went since the last call; some may stand more than once.
    pub(super) fn take_touched(&mut self) -> Vec<Arc<ParsedFilter>> {
        std::mem::take(&mut self.touched)
    }

    /// What each owner has said of a filter.
    pub(super) fn words_on(&self, filter: &ParsedFilter) -> impl Iterator<Item = (NodeId, Interest)> {
        let words = self.index.get(&filter.filter).into_iter().flatten();
        words.filter(move |word| *word.filter == *filter).map(|word| (word.owner, word.interest))
    }

    /// Adds what owners have said of one shared group.
    pub(super) fn collect_group(
        &self,
        filter: &ParsedFilter,
        target: impl Fn(NodeId) -> Option<Target>,
        matched: &mut Matched,
    ) {
        for (owner, interest) in self.words_on(filter) {
            if let Some((target, word)) = target(owner).zip(self.word(owner, filter)) {
                matched.add_group(&word, &target, interest);
            }
        }
    }

    fn word(&self, owner: NodeId, filter: &ParsedFilter) -> Option<Arc<ParsedFilter>> {
        self.owners.get(&owner)?.rows.get_key_value(filter).map(|(word, _)| word.clone())
    }

    pub(super) fn collect(&self, topic: &str, target: impl Fn(NodeId) -> Option<Target>, matched: &mut Matched) {
        self.index.for_each_match(topic, |words| {
            for word in words {
                let Some(target) = target(word.owner) else { continue };
                if word.filter.group.is_some() {
                    matched.add_group(&word.filter, &target, word.interest);
                } else {
                    matched.add(&target, word.interest.durable);
                }
            }
        });
    }

    /// An owner is gone, and what it said with it.
    pub(super) fn forget(&mut self, owner: NodeId) {
        self.drop_rows(owner, |_| true);
        self.owners.remove(&owner);
    }

    /// A base table has an owner's words up to here.
    pub(super) fn covered(&mut self, owner: NodeId, upto: Position) {
        self.drop_rows(owner, |at| at <= upto);
        if let Some(words) = self.owners.get_mut(&owner) {
            words.overflow.take_if(|overflow| overflow.at <= upto);
        }
    }

    fn drop_rows(&mut self, owner: NodeId, is_void: impl Fn(Position) -> bool) {
        let Some(words) = self.owners.get_mut(&owner) else { return };
        let (index, touched, bytes) = (&mut self.index, &mut self.touched, &mut words.bytes);
        words.rows.retain(|filter, (at, _)| {
            let void = is_void(*at);
            if void {
                *bytes -= filter_cost(filter);
                unindex(index, owner, filter);
                touched.push(filter.clone());
            }
            !void
        });
    }

    fn put(&mut self, owner: NodeId, at: Position, filter: &Arc<ParsedFilter>, interest: Interest) {
        let words = self.owners.entry(owner).or_default();
        words.bytes += filter_cost(filter);
        words.rows.insert(filter.clone(), (at, interest));
        self.touched.push(filter.clone());
        let word = Word { owner, filter: filter.clone(), interest };
        self.index.get_or_insert_with(&filter.filter, Vec::new).push(word);
    }

    fn take(&mut self, owner: NodeId, filter: &Arc<ParsedFilter>) {
        let Some(words) = self.owners.get_mut(&owner) else { return };
        if words.rows.remove(filter).is_some() {
            words.bytes -= filter_cost(filter);
            unindex(&mut self.index, owner, filter);
            self.touched.push(filter.clone());
        }
    }
}

impl InterestSink for Overlay {
    fn begins(&mut self, owner: NodeId) {
        if let Some(overflow) = self.owners.get_mut(&owner).and_then(|words| words.overflow.as_mut()) {
            overflow.again = false;
        }
    }

    fn change(&mut self, owner: NodeId, at: Position, change: &Change) {
        self.take(owner, &change.filter);
        let Some(interest) = change.interest else { return };
        let words = self.owners.entry(owner).or_default();
        if words.bytes + filter_cost(&change.filter) > self.bytes_max {
            words.overflow = Some(Overflow { at, again: true });
            self.drop_rows(owner, |_| true);
        } else {
            self.put(owner, at, &change.filter, interest);
        }
    }

    fn void_before(&mut self, owner: NodeId, at: Position) {
        self.drop_rows(owner, |said| said < at);
    }

    fn caught_up(&mut self, owner: NodeId) {
        if let Some(words) = self.owners.get_mut(&owner) {
            words.overflow.take_if(|overflow| !overflow.again);
        }
    }
}

fn unindex(index: &mut FilterIndex<Vec<Word>>, owner: NodeId, filter: &Arc<ParsedFilter>) {
    let Some(words) = index.get_mut(&filter.filter) else { return };
    words.retain(|word| word.owner != owner || word.filter != *filter);
    if words.is_empty() {
        index.remove(&filter.filter);
    }
}
