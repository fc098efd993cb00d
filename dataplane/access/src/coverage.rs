//! Whether every topic that a filter matches is allowed by an ordered list of allow and deny patterns.
//!
//! The answer is exact. A filter that ends in `#` is split by number of levels: `a/#` is `a`, `a/+`, `a/+/+` and so on.
//! Beyond the deepest pattern all these *classes* fare alike, so finitely many are looked at. Within a class every level
//! is a text or "anything", and the topic that has a text nobody wrote at each "anything" stands for almost all of it:
//! only a pattern that covers the whole class matches that topic, so unions of patterns need not be considered. The
//! rest of the class is where patterns with more texts apply: the part that a deny pattern cuts out is itself a class,
//! and it must lie within one allow pattern that stands before the deny.

use std::borrow::Cow;

use crate::{
    pattern::{Level, Pattern},
    principal::Principal,
    rule::{Decision, Why},
};

/// A pattern that shares topics with the filter, for one client.
pub(crate) struct Candidate<'p> {
    levels: Cow<'p, [Level]>,
    rest: bool,
    /// What this pattern says about its topics.
    decision: Decision,
}

/// A subscription's filter, cut at its levels.
pub(crate) struct Requested {
    levels: Vec<Level>,
    rest: bool,
}

impl Requested {
    /// `filter` must be a valid filter without `$share/GROUP/`.
    pub(crate) fn parse(filter: &str) -> Self {
        let (levels, rest) = match filter.strip_suffix('#') {
            Some("") => (None, true),
            Some(before) => (Some(before.strip_suffix('/').unwrap_or(before)), true),
            None => (Some(filter), false),
        };
        let level = |text: &str| if text == "+" { Level::Any } else { Level::Literal(text.into()) };
        Self { levels: levels.into_iter().flat_map(|levels| levels.split('/')).map(level).collect(), rest }
    }

    /// The pattern for `principal`, if it shares a topic with this filter. See [`Pattern::resolve`] for `widen`.
    pub(crate) fn candidate<'p>(
        &self,
        pattern: &'p Pattern,
        principal: &Principal,
        widen: bool,
        decision: Decision,
    ) -> Option<Candidate<'p>> {
        let candidate = Candidate { levels: pattern.resolve(principal, widen)?, rest: pattern.has_rest(), decision };
        let (mine, theirs) = (self.levels.len(), candidate.levels.len());
        let deep_enough = (candidate.rest || theirs >= mine) && (self.rest || mine >= theirs);
        let level = |depth| self.levels.get(depth).unwrap_or(&Level::Any);
        let overlap = |depth| meet(level(depth), candidate.level(depth), depth).is_some();
        (deep_enough && (0..mine.max(theirs)).all(overlap)).then_some(candidate)
    }

    /// Allowed when every topic of the filter is allowed, else what refuses. Candidates stand in the order of their
    /// rules.
    pub(crate) fn decide(&self, candidates: &[Candidate<'_>]) -> Decision {
        let shallowest = self.levels.len().max(1);
        let deepest = match candidates.iter().map(|candidate| candidate.levels.len()).max() {
            Some(levels) if self.rest => shallowest.max(levels + 1),
            Some(_) => shallowest,
            None => return Decision::refused(Why::NoRule),
        };
        let mut decision = decide_class(&self.class(shallowest), candidates);
        for depth in shallowest + 1..=deepest {
            if decision.allowed {
                decision = decide_class(&self.class(depth), candidates);
            }
        }
        decision
    }

    /// The topics of this filter that have `depth` levels.
    fn class(&self, depth: usize) -> Class<'_> {
        self.levels.iter().chain(std::iter::repeat(&Level::Any)).take(depth).collect()
    }
}

/// All topics with these levels, and no others.
type Class<'a> = Vec<&'a Level>;

fn decide_class(class: &[&Level], candidates: &[Candidate<'_>]) -> Decision {
    for (position, candidate) in candidates.iter().enumerate() {
        if candidate.decision.allowed {
            if candidate.covers(class) {
                return candidate.decision;
            }
        } else if let Some(part) = candidate.part_of(class) {
            let earlier = &candidates[..position];
            if !earlier.iter().any(|earlier| earlier.decision.allowed && earlier.covers(&part)) {
                return candidate.decision;
            }
        }
    }
    Decision::refused(Why::NoRule)
}

impl Candidate<'_> {
    fn admits_depth(&self, depth: usize) -> bool {
        self.levels.len() == depth || (self.rest && self.levels.len() < depth)
    }

    fn level(&self, depth: usize) -> &Level {
        self.levels.get(depth).unwrap_or(&Level::Any)
    }

    /// Whether every topic of the class is one of this pattern's.
    fn covers(&self, class: &[&Level]) -> bool {
        let covers_level = |(depth, level): (usize, &&Level)| match (self.level(depth), level) {
            (Level::Any, Level::Any) => true,
            (Level::Any, Level::Literal(text)) => depth > 0 || !text.starts_with('$'),
            (Level::Literal(mine), Level::Literal(text)) => mine == text,
            (Level::Literal(_), Level::Any) => false,
        };
        self.admits_depth(class.len()) && class.iter().enumerate().all(covers_level)
    }

    /// The topics of the class that are this pattern's too.
    fn part_of<'c>(&'c self, class: &[&'c Level]) -> Option<Class<'c>> {
        if !self.admits_depth(class.len()) {
            return None;
        }
        class.iter().enumerate().map(|(depth, level)| meet(self.level(depth), level, depth)).collect()
    }
}

/// What two levels have in common: the narrower of them, if it lies within the other. As a first level, "anything" has
/// no text that begins with `$` [MQTT-4.7.2-1].
fn meet<'l>(a: &'l Level, b: &'l Level, depth: usize) -> Option<&'l Level> {
    match (a, b) {
        (Level::Any, Level::Any) => Some(a),
        (Level::Any, Level::Literal(text)) => (depth > 0 || !text.starts_with('$')).then_some(b),
        (Level::Literal(text), Level::Any) => (depth > 0 || !text.starts_with('$')).then_some(a),
        (Level::Literal(mine), Level::Literal(text)) => (mine == text).then_some(a),
    }
}

#[cfg(test)]
mod tests;
