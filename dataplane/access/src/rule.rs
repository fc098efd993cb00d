//! One compiled rule, and the answer to a question.

use std::fmt;

use crate::{pattern::Pattern, principal::Principal};

/// One topic of one rule. Entries stand in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) pattern: Pattern,
    pub(crate) allow: bool,
    pub(crate) limits: Limits,
    /// Where the rule begins in the file, from 1.
    pub(crate) line: u32,
}

/// What an allow rule grants at most. A request beyond it is refused by that rule; later rules are not asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    pub(crate) qos_max: u8,
    /// Whether messages may be published as retained.
    pub(crate) retain: bool,
    /// Names of the groups that may be joined by a shared subscription; `None` = any.
    pub(crate) shared_groups: Option<Box<[Box<str>]>>,
}

impl Entry {
    /// Whether the entry speaks about this exact topic.
    pub(crate) fn matches(&self, topic: &str, principal: &Principal) -> bool {
        self.pattern.matches(topic, principal, !self.allow)
    }

    /// What the entry, being the first that matches, says about a request.
    pub(crate) fn decide(&self, request: &Request<'_>) -> Decision {
        if !self.allow {
            Decision::refused(Why::Rule(self.line))
        } else if self.limits.admit(request) {
            Decision::allowed(Why::Rule(self.line))
        } else {
            Decision::refused(Why::Limit(self.line))
        }
    }
}

impl Limits {
    pub(crate) const NONE: Self = Self { qos_max: 2, retain: true, shared_groups: None };

    pub(crate) fn admit(&self, request: &Request<'_>) -> bool {
        let group_admitted = match (&self.shared_groups, request.shared) {
            (Some(groups), Some(group)) => groups.iter().any(|name| **name == *group),
            (None, _) | (_, None) => true,
        };
        request.qos <= self.qos_max && (self.retain || !request.retain) && group_admitted
    }
}

/// What limits apply to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) shared: Option<&'a str>,
}

/// An answer, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether the client may.
    pub allowed: bool,
    /// What decided.
    pub why: Why,
}

impl Decision {
    pub(crate) const fn allowed(why: Why) -> Self {
        Self { allowed: true, why }
    }

    pub(crate) const fn refused(why: Why) -> Self {
        Self { allowed: false, why }
    }
}

/// What a [`Decision`] rests on. Prints as a short clause for logs and explanations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There are no rules: everything is allowed.
    Open,
    /// The client is a superuser.
    Superuser,
    /// The rule that begins on this line of the rule file.
    Rule(u32),
    /// The allow rule that begins on this line, by its QoS, retain or shared group limit.
    Limit(u32),
    /// No rule speaks about it, or a filter reaches beyond what rules allow.
    NoRule,
    /// The topics that the client's credentials name do not include it.
    Scope,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("no rules are configured"),
            Self::Superuser => f.write_str("superuser"),
            Self::Rule(line) => write!(f, "rule on line {line}"),
            Self::Limit(line) => write!(f, "limit of the rule on line {line}"),
            Self::NoRule => f.write_str("no rule allows it"),
            Self::Scope => f.write_str("outside the topics of the credentials"),
        }
    }
}
