//! The topics that a client's own credentials name, such as a token's claims.

use crate::{
    coverage::Requested,
    pattern::{Pattern, PatternError},
    principal::Principal,
    rule::{Decision, Why},
};

/// Lists of filters that hold one client to a part of what the rules allow. A scope only takes away: it never grants
/// what no rule allows. Filters have the same placeholders as rules.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    publish: Option<Filters>,
    subscribe: Option<Filters>,
}

/// A list of filters, and the texts that they were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Filters {
    patterns: Box<[Pattern]>,
    texts: Box<[String]>,
}

/// A filter of a scope was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScopeError {
    /// More than [`SCOPE_FILTERS_MAX`] filters.
    #[error("a scope has at most {SCOPE_FILTERS_MAX} filters")]
    TooMany,
    /// Not a topic filter.
    #[error("'{filter}' is no topic filter: {what}")]
    Filter {
        /// The text as given.
        filter: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Scope {
    /// Parses the lists. `None` leaves that action to the rules alone, an empty list takes it away altogether.
    pub fn parse(publish: Option<&[String]>, subscribe: Option<&[String]>) -> Result<Self, ScopeError> {
        let parsed = |filters: Option<&[String]>| filters.map(Filters::parse).transpose();
        Ok(Self { publish: parsed(publish)?, subscribe: parsed(subscribe)? })
    }

    /// The lists for publishing and subscribing that [`Self::parse`] was given.
    pub fn texts(&self) -> (Option<&[String]>, Option<&[String]>) {
        (self.publish.as_ref().map(|f| &*f.texts), self.subscribe.as_ref().map(|f| &*f.texts))
    }

    pub(crate) fn allows_publish(&self, topic: &str, principal: &Principal) -> bool {
        self.publish.as_ref().is_none_or(|filters| filters.any_matches(topic, principal))
    }

    pub(crate) fn allows_delivery(&self, topic: &str, principal: &Principal) -> bool {
        self.subscribe.as_ref().is_none_or(|filters| filters.any_matches(topic, principal))
    }

    pub(crate) fn allows_subscribe(&self, requested: &Requested, principal: &Principal) -> bool {
        let Some(filters) = &self.subscribe else { return true };
        let candidate = |pattern| requested.candidate(pattern, principal, false, Decision::allowed(Why::Scope));
        requested.decide(&filters.patterns.iter().filter_map(candidate).collect::<Vec<_>>()).allowed
    }
}

impl Filters {
    fn parse(filters: &[String]) -> Result<Self, ScopeError> {
        if filters.len() > SCOPE_FILTERS_MAX {
            return Err(ScopeError::TooMany);
        }
        let pattern = |filter: &String| {
            let refused = |error: PatternError| ScopeError::Filter { filter: filter.clone(), what: error.to_string() };
            Pattern::parse(filter).map_err(refused)
        };
        Ok(Self { patterns: filters.iter().map(pattern).collect::<Result<_, _>>()?, texts: filters.into() })
    }

    fn any_matches(&self, topic: &str, principal: &Principal) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(topic, principal, false))
    }
}

/// Filters of one list. They are kept as long as the connection and looked through for every message.
pub const SCOPE_FILTERS_MAX: usize = 64;
