//! The compiled rules and the questions that they answer.

use std::fmt;

use crate::{
    RulesError,
    coverage::Requested,
    parse::{ParsedRule, parse},
    principal::Principal,
    rule::{Decision, Entry, Request, Why},
    table::Table,
};

/// An ordered list of allow and deny rules, compiled. Immutable; share it in an `Arc`.
pub struct Rules {
    open: bool,
    revision: u64,
    entries: Vec<Entry>,
    publish: Table,
    subscribe: Table,
}

impl Rules {
    /// No rules: everybody may do everything.
    pub fn allow_all() -> Self {
        Self { open: true, ..Self::deny_all() }
    }

    /// Rules that allow nothing, except to superusers.
    pub fn deny_all() -> Self {
        Self { open: false, revision: 0, entries: Vec::new(), publish: Table::default(), subscribe: Table::default() }
    }

    /// Compiles the text of a rule file (YAML; the format is described in docs/access.md). An empty file denies all.
    ///
    /// `revision` is the caller's number for this version of the rules, such as a count of loads.
    pub fn parse(source: &str, revision: u64) -> Result<Self, RulesError> {
        Ok(Self::compile(parse(source)?, revision))
    }

    fn compile(parsed: Vec<ParsedRule>, revision: u64) -> Self {
        let mut rules = Self { revision, ..Self::deny_all() };
        for rule in parsed {
            for pattern in rule.topics {
                // The text of a file is bounded far below 2^32 entries.
                let position = rules.entries.len() as u32;
                let (allow, limits, line) = (rule.allow, rule.limits.clone(), rule.line);
                rules.entries.push(Entry { pattern, allow, limits, line });
                if rule.publish {
                    rules.publish.add(&rule.who, position);
                }
                if rule.subscribe {
                    rules.subscribe.add(&rule.who, position);
                }
            }
        }
        rules.publish.seal(&rules.entries);
        rules.subscribe.seal(&rules.entries);
        rules
    }

    /// Whether every question about `principal` is answered with yes, so that it need not be asked.
    pub fn is_open(&self, principal: &Principal) -> bool {
        (self.open || principal.is_superuser()) && principal.scope().is_none()
    }

    /// Whether `principal` may publish to this topic name, as a client or by its will. Allocates nothing.
    pub fn publish(&self, principal: &Principal, topic: &str, qos: u8, retain: bool) -> Decision {
        if principal.scope().is_some_and(|scope| !scope.allows_publish(topic, principal)) {
            return Decision::refused(Why::Scope);
        }
        if let Some(decision) = self.without_rules(principal) {
            return decision;
        }
        match self.publish.first(&self.entries, principal, topic) {
            Some(entry) => entry.decide(&Request { qos, retain, shared: None }),
            None => Decision::refused(Why::NoRule),
        }
    }

    /// Whether `principal` may subscribe to this filter at this QoS: only if it may receive *every* topic that the
    /// filter matches. `filter` is valid and comes without `$share/GROUP/`; `shared` is that group's name.
    pub fn subscribe(&self, principal: &Principal, filter: &str, qos: u8, shared: Option<&str>) -> Decision {
        let requested = Requested::parse(filter);
        if principal.scope().is_some_and(|scope| !scope.allows_subscribe(&requested, principal)) {
            return Decision::refused(Why::Scope);
        }
        if let Some(decision) = self.without_rules(principal) {
            return decision;
        }
        let request = Request { qos, retain: false, shared };
        let positions = self.subscribe.positions(principal);
        let entries = positions.iter().map(|position| &self.entries[*position as usize]);
        let candidates: Vec<_> = entries
            .filter_map(|entry| {
                let decision = entry.decide(&request);
                requested.candidate(&entry.pattern, principal, !entry.allow, decision)
            })
            .collect();
        requested.decide(&candidates)
    }

    /// Whether a message on this exact topic may reach `principal`: asked for retained messages, and for what a live
    /// subscription would deliver after the rules changed. Allocates nothing.
    pub fn deliver(&self, principal: &Principal, topic: &str) -> bool {
        if principal.scope().is_some_and(|scope| !scope.allows_delivery(topic, principal)) {
            return false;
        }
        match self.without_rules(principal) {
            Some(decision) => decision.allowed,
            None => self.subscribe.first(&self.entries, principal, topic).is_some_and(|entry| entry.allow),
        }
    }

    /// The number that [`Rules::parse`] was given; 0 for the rules without a file.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many topics all rules name together.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn without_rules(&self, principal: &Principal) -> Option<Decision> {
        if self.open {
            Some(Decision::allowed(Why::Open))
        } else {
            principal.is_superuser().then_some(Decision::allowed(Why::Superuser))
        }
    }
}

impl fmt::Debug for Rules {
    /// The entries in order, without the tables derived from them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Rules");
        debug.field("open", &self.open).field("revision", &self.revision).field("entries", &self.entries);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
