//! The entries of one action, found by whom they are about and then by topic.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sluice_topic::{FilterIndex, Limits, TopicFilter};

use crate::{principal::Principal, rule::Entry};

/// Positions of entries, grouped by the kind of principal that they name.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) everyone: Set,
    pub(crate) anonymous: Set,
    users: Names,
    clients: Names,
    groups: Names,
}

/// Whom a rule is about: everybody that any part of it names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Who {
    pub(crate) everyone: bool,
    pub(crate) anonymous: bool,
    pub(crate) users: Vec<String>,
    pub(crate) clients: Vec<String>,
    pub(crate) groups: Vec<String>,
}

/// Positions of entries in ascending order.
#[derive(Default)]
pub(crate) struct Set {
    entries: Vec<u32>,
    by_topic: Option<ByTopic>,
}

/// Spares a large set the walk through its entries.
struct ByTopic {
    /// The first entry of each filter that is the same for every client.
    index: FilterIndex<u32>,
    /// Entries with placeholders.
    others: Vec<u32>,
}

/// Names come from the rule file alone, so a fixed hash gives clients nothing to collide with.
type Names = HashMap<Box<str>, Set, FixedState>;

impl Table {
    /// Adds the entry at `position`, which must be greater than any before.
    pub(crate) fn add(&mut self, who: &Who, position: u32) {
        if who.everyone {
            self.everyone.add(position);
        }
        if who.anonymous {
            self.anonymous.add(position);
        }
        let named = [(&who.users, &mut self.users), (&who.clients, &mut self.clients), (&who.groups, &mut self.groups)];
        for (names, sets) in named {
            for name in names {
                sets.entry_ref(name.as_str()).or_default().add(position);
            }
        }
    }

    /// Builds the indexes of large sets. Call once, after the last entry.
    pub(crate) fn seal(&mut self, entries: &[Entry]) {
        let named = self.users.values_mut().chain(self.clients.values_mut()).chain(self.groups.values_mut());
        for set in named.chain([&mut self.everyone, &mut self.anonymous]) {
            set.seal(entries);
        }
    }

    /// The first entry about `principal` that matches `topic`.
    pub(crate) fn first<'e>(&self, entries: &'e [Entry], principal: &Principal, topic: &str) -> Option<&'e Entry> {
        let mut first = u32::MAX;
        self.for_each_set(principal, |set| first = set.first(entries, principal, topic, first));
        entries.get(first as usize)
    }

    /// Positions of all entries about `principal`, in ascending order.
    pub(crate) fn positions(&self, principal: &Principal) -> Vec<u32> {
        let mut positions = Vec::new();
        let mut sets = 0;
        self.for_each_set(principal, |set| {
            sets += usize::from(!set.entries.is_empty());
            positions.extend_from_slice(&set.entries);
        });
        if sets > 1 {
            positions.sort_unstable();
            positions.dedup();
        }
        positions
    }

    fn for_each_set<'t>(&'t self, principal: &Principal, mut f: impl FnMut(&'t Set)) {
        f(&self.everyone);
        match principal.username() {
            None => f(&self.anonymous),
            Some(name) => self.users.get(&**name).into_iter().for_each(&mut f),
        }
        self.clients.get(&**principal.client_id()).into_iter().for_each(&mut f);
        if !self.groups.is_empty() {
            principal.groups().iter().filter_map(|group| self.groups.get(&**group)).for_each(&mut f);
        }
    }
}

impl Set {
    fn add(&mut self, position: u32) {
        debug_assert!(self.entries.last().is_none_or(|last| *last <= position));
        if self.entries.last() != Some(&position) {
            self.entries.push(position);
        }
    }

    fn seal(&mut self, entries: &[Entry]) {
        if self.entries.len() <= LINEAR_MAX {
            return;
        }
        let mut by_topic = ByTopic { index: FilterIndex::new(), others: Vec::new() };
        for &position in &self.entries {
            let plain = entries[position as usize].pattern.plain();
            match plain.and_then(|filter| TopicFilter::parse(&filter, &INDEX_LIMITS).ok()) {
                Some(filter) => {
                    by_topic.index.get_or_insert_with(&filter, || position);
                }
                None => by_topic.others.push(position),
            }
        }
        self.by_topic = Some(by_topic);
    }

    /// The position of the first entry that matches, or `bound` if none before it does.
    fn first(&self, entries: &[Entry], principal: &Principal, topic: &str, bound: u32) -> u32 {
        let mut first = bound;
        let linear = match &self.by_topic {
            None => &self.entries,
            Some(by_topic) => {
                by_topic.index.for_each_match(topic, |&position| first = first.min(position));
                &by_topic.others
            }
        };
        let before = linear.iter().take_while(|position| **position < first);
        before.copied().find(|position| entries[*position as usize].matches(topic, principal)).unwrap_or(first)
    }
}

/// Up to so many entries a walk is faster than the index.
const LINEAR_MAX: usize = 4;
/// Whatever a rule may hold, the index takes.
const INDEX_LIMITS: Limits = Limits { topic_bytes_max: 65_535, levels_max: 256 };
