//! Walking the topics that match a filter.
//!
//! The scan looks at one topic after another. One that does not match says how far the next match can be at best: the
//! scan goes on there, over whole subtrees if need be (a skip scan). So `a/+/z` looks at a topic or two for each child of
//! `a`, not at everything below `a`.

use std::ops::ControlFlow;

use super::order::{Cursor, push_key};
use super::{ScanEnd, TopicTree, order};

/// One pass over a tree.
pub(super) struct Scan<'a, V> {
    tree: &'a TopicTree<V>,
    cursor: Cursor<'a, V>,
    filter: Pattern<'a>,
}

impl<'a, V> Scan<'a, V> {
    /// Starts at the first topic behind `after` that the filter's literal beginning allows.
    pub(super) fn new(tree: &'a TopicTree<V>, filter: &'a str, after: Option<&str>) -> Self {
        let filter = Pattern::new(filter);
        let mut start = filter.first_key();
        if let Some(after) = after {
            // Nothing is between a key and the same key with a zero byte more.
            let mut behind = order::key(after);
            behind.push(0);
            start = start.max(behind);
        }
        Self { tree, cursor: Cursor::new(&tree.entries, &tree.order, &start), filter }
    }

    /// Looks at up to `visits_max` topics.
    pub(super) fn run(mut self, visits_max: usize, mut f: impl FnMut(&str, &V) -> ControlFlow<()>) -> ScanEnd {
        let mut next_key = Vec::new();
        let mut visits = 0;
        while let Some(id) = self.cursor.next() {
            let Some(entry) = self.tree.entries.pool.at(id) else {
                continue;
            };
            match self.filter.judge(&entry.topic, &mut next_key) {
                Verdict::Match => {
                    if f(&entry.topic, &entry.value).is_break() {
                        return ScanEnd::Stopped;
                    }
                }
                Verdict::Seek => self.cursor.seek(&next_key),
                Verdict::Done => return ScanEnd::Complete,
            }
            visits += 1;
            if visits == visits_max {
                return ScanEnd::Paused { after: entry.topic.to_string() };
            }
        }
        ScanEnd::Complete
    }
}

/// What a topic says about the scan.
enum Verdict {
    Match,
    /// It does not match, nor does anything below the key that was written.
    Seek,
    /// Nothing from here on matches.
    Done,
}

/// A filter, split into levels.
struct Pattern<'a> {
    levels: Vec<&'a [u8]>,
    starts_with_wildcard: bool,
}

impl<'a> Pattern<'a> {
    fn new(filter: &'a str) -> Self {
        let levels: Vec<&[u8]> = filter.split('/').map(str::as_bytes).collect();
        let starts_with_wildcard = levels.first().is_some_and(|level| is_wildcard(level));
        Self { levels, starts_with_wildcard }
    }

    /// No key below this one belongs to a match.
    fn first_key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.push_literals(0, &mut key);
        key
    }

    /// Decides about a topic; with `Verdict::Seek` the key to go on at is in `next_key`, and is above the topic's key.
    fn judge(&self, topic: &str, next_key: &mut Vec<u8>) -> Verdict {
        let topic = topic.as_bytes();
        if self.starts_with_wildcard && topic.first() == Some(&b'$') {
            next_key.clear();
            next_key.push(b'$' + 1);
            return Verdict::Seek;
        }
        // The part of the topic up to its last level that only a `+` matched: what can still vary.
        let mut variable = None;
        let mut rest = Some(topic);
        for (number, &wanted) in self.levels.iter().enumerate() {
            if wanted == b"#" {
                return Verdict::Match;
            }
            let Some(levels) = rest else {
                // The topic ends too early: the next match can be below it.
                next_key.clear();
                push_key(next_key, topic);
                next_key.push(0);
                self.push_literals(number, next_key);
                return Verdict::Seek;
            };
            let end = levels.iter().position(|&byte| byte == b'/');
            let level = &levels[..end.unwrap_or(levels.len())];
            let start = topic.len() - levels.len();
            rest = end.map(|end| &levels[end + 1..]);
            if wanted == b"+" {
                variable = Some(&topic[..start + level.len()]);
            } else if level < wanted {
                next_key.clear();
                push_key(next_key, &topic[..start]);
                self.push_literals(number, next_key);
                return Verdict::Seek;
            } else if level > wanted {
                return skip(variable, next_key);
            }
        }
        if rest.is_none() { Verdict::Match } else { skip(variable, next_key) }
    }

    /// Appends the key of the literal levels from `number` on, up to the first wildcard.
    fn push_literals(&self, number: usize, key: &mut Vec<u8>) {
        for (count, level) in self.levels[number..].iter().take_while(|level| !is_wildcard(level)).enumerate() {
            if count > 0 {
                key.push(0);
            }
            push_key(key, level);
        }
    }
}

/// Goes on behind everything below a level that a `+` matched; without one the scan is done.
fn skip(variable: Option<&[u8]>, next_key: &mut Vec<u8>) -> Verdict {
    let Some(variable) = variable else {
        return Verdict::Done;
    };
    // A zero byte more would be the first topic below; a one byte more is above all of them.
    next_key.clear();
    push_key(next_key, variable);
    next_key.push(1);
    Verdict::Seek
}

fn is_wildcard(level: &[u8]) -> bool {
    level == b"+" || level == b"#"
}
