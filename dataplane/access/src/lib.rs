//! Access rules: who may publish and subscribe to what.
//!
//! An operator's rule file is parsed once into [`Rules`], an immutable value that every worker shares. Questions are
//! asked for a [`Principal`], the authenticated client, and answered without allocation where messages flow.
//!
//! The meaning is pointwise: for one client, one action and one exact topic, the first rule that speaks about all three
//! decides, and what no rule allows is refused. A subscription is allowed when *every* topic that its filter matches is
//! allowed; [`Rules::subscribe`] decides this exactly, for any mix of `allow` and `deny` rules.
//!
//! This crate reads no file and no clock: text comes in as an argument.

mod coverage;
mod document;
mod error;
mod parse;
mod pattern;
mod principal;
mod rule;
mod rules;
mod scope;
mod table;

pub use error::RulesError;
pub use parse::SOURCE_BYTES_MAX;
pub use principal::Principal;
pub use rule::{Decision, Why};
pub use rules::Rules;
pub use scope::{SCOPE_FILTERS_MAX, Scope, ScopeError};
