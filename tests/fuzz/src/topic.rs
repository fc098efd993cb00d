//! Topic names, filters and the indexes over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use sluice_topic::{
    FilterIndex, Limits, ParsedFilter, ScanEnd, TopicFilter, TopicTree, check_topic, covers, intersects, matches,
};

use crate::cursor::Cursor;

/// Three texts with newlines between them: two filters and a topic. Matching is as the specification defines it; a
/// filter that covers another matches all it matches; filters that match one topic intersect.
pub fn fuzz_topic(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut texts = text.split('\n');
    let [a, b, topic] = [texts.next(), texts.next(), texts.next()].map(Option::unwrap_or_default);
    let limits = Limits::default();
    for field in [a, b] {
        if let Ok(parsed) = ParsedFilter::parse(field, &limits) {
            assert_eq!(parsed.to_string(), field, "a filter prints as it was written");
            assert_eq!(TopicFilter::parse(parsed.filter.as_str(), &limits).as_ref(), Ok(&parsed.filter));
        }
    }
    let (Ok(a), Ok(b)) = (TopicFilter::parse(a, &limits), TopicFilter::parse(b, &limits)) else { return };
    let (a, b) = (a.as_str(), b.as_str());
    assert!(covers(a, a) && intersects(a, a), "a filter covers itself");
    assert_eq!(intersects(a, b), intersects(b, a));
    assert!(!covers(a, b) || intersects(a, b), "what is covered is shared");
    if check_topic(topic, &limits).is_ok() {
        let by_a = matches(a, topic);
        let by_b = matches(b, topic);
        assert_eq!(by_a, matches_by_definition(a, topic), "{a} {topic}");
        assert_eq!(by_b, matches_by_definition(b, topic), "{b} {topic}");
        assert!(!by_b || by_a || !covers(a, b), "{a} covers {b} but does not match {topic}");
        assert!(!(by_a && by_b) || intersects(a, b), "{a} and {b} share {topic}");
    }
}

fn matches_by_definition(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) | (None, None) => true,
            (Some((&"+", filter)), Some((_, topic))) => levels(filter, topic),
            (Some((wanted, filter)), Some((level, topic))) => wanted == level && levels(filter, topic),
            _ => false,
        }
    }
    let wild = filter.starts_with(['+', '#']);
    let (filter, levels_of_topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    !(wild && topic.starts_with('$')) && levels(&filter, &levels_of_topic)
}

/// Steps of three bytes over a small alphabet: insert, remove, look up, match. The index of filters and the tree of
/// topics behave like a plain list, and hold no memory when they are empty.
pub fn fuzz_topic_index(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let seed = u64::from(cursor.byte());
    let mut pair = Pair {
        index: FilterIndex::with_seed(seed),
        tree: TopicTree::with_seed(seed),
        filters: BTreeMap::new(),
        topics: BTreeMap::new(),
    };
    let mut number = 0;
    while !cursor.is_empty() {
        number += 1;
        pair.step(&mut cursor, number);
        assert_eq!(pair.index.len(), pair.filters.len());
        assert_eq!(pair.tree.len(), pair.topics.len());
    }
    for (filter, value) in &pair.filters {
        assert_eq!(pair.index.remove(filter), Some(*value));
    }
    for (topic, value) in &pair.topics {
        assert_eq!(pair.tree.remove(&topic.join("/")), Some(*value));
    }
    assert_eq!((pair.index.memory_bytes(), pair.tree.memory_bytes()), (0, 0), "what is empty holds no memory");
}

struct Pair {
    index: FilterIndex<u32>,
    tree: TopicTree<u32>,
    filters: BTreeMap<TopicFilter, u32>,
    /// By levels, which is the order of the tree.
    topics: BTreeMap<Vec<String>, u32>,
}

const LEVELS: [&str; 8] = ["a", "b", "", "$x", "ab", "a!", "longer-than-most-levels", "\u{e9}"];

impl Pair {
    fn step(&mut self, cursor: &mut Cursor<'_>, number: u32) {
        match cursor.below(6) {
            0 | 1 => {
                let Some(filter) = any_filter(cursor) else { return };
                let value = *self.index.get_or_insert_with(&filter, || number);
                assert_eq!(value, *self.filters.entry(filter).or_insert(number));
            }
            2 => {
                let Some(filter) = any_filter(cursor) else { return };
                assert_eq!(self.index.get(&filter).copied(), self.filters.get(&filter).copied());
                assert_eq!(self.index.remove(&filter), self.filters.remove(&filter));
            }
            3 => {
                let levels = any_levels(cursor);
                let topic = levels.join("/");
                if !topic.is_empty() {
                    self.check_matches(&topic);
                    assert_eq!(self.tree.insert(&topic, number), self.topics.insert(levels, number));
                }
            }
            4 => {
                let levels = any_levels(cursor);
                assert_eq!(self.tree.remove(&levels.join("/")), self.topics.remove(&levels));
            }
            _ => self.check_scan(cursor),
        }
    }

    fn check_matches(&self, topic: &str) {
        let mut found = BTreeSet::new();
        self.index.for_each_match(topic, |value| assert!(found.insert(*value), "each filter matches once"));
        let expected = self.filters.iter().filter(|(filter, _)| matches(filter.as_str(), topic));
        let expected: BTreeSet<u32> = expected.map(|(_, value)| *value).collect();
        assert_eq!(self.index.matches_any(topic), !expected.is_empty());
        assert_eq!(found, expected, "the filters that match {topic}");
    }

    fn check_scan(&self, cursor: &mut Cursor<'_>) {
        let Some(filter) = any_filter(cursor) else { return };
        let visits_max = 1 + cursor.below(8);
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let end = self.tree.scan_some(&filter, after.as_deref(), visits_max, |topic, value| {
                found.push((topic.to_owned(), *value));
                ControlFlow::Continue(())
            });
            match end {
                ScanEnd::Paused { after: paused } => after = Some(paused),
                ScanEnd::Complete | ScanEnd::Stopped => break,
            }
        }
        let all = self.topics.iter().map(|(levels, value)| (levels.join("/"), *value));
        let expected: Vec<_> = all.filter(|(topic, _)| matches(filter.as_str(), topic)).collect();
        assert_eq!(found, expected, "the topics that match {filter}, in order");
    }
}

fn any_levels(cursor: &mut Cursor<'_>) -> Vec<String> {
    let choice = usize::from(cursor.byte());
    let more = usize::from(cursor.byte());
    let depth = 1 + (choice >> 6);
    (0..depth).map(|at| LEVELS[((choice & 0x3F) + more * at + (more >> (at * 2))) % LEVELS.len()].to_owned()).collect()
}

fn any_filter(cursor: &mut Cursor<'_>) -> Option<TopicFilter> {
    let mut levels = any_levels(cursor);
    let wild = cursor.byte();
    for (at, level) in levels.iter_mut().enumerate() {
        if wild >> at & 1 == 1 {
            *level = "+".into();
        }
    }
    if wild & 0x80 != 0 {
        levels.push("#".into());
    }
    TopicFilter::parse(&levels.join("/"), &Limits::default()).ok()
}
