//! Both ends of the push protocol against each other, over a network that loses, delays and doubles connections.
//!
//! `scenarios` says one thing each; `schedules` runs thousands of random ones and holds the invariants after every step.
//! Seen caught, each planted once:
//! * by the schedules: a node that goes back to an older version, that does not check the digest, that moves its version
//!   in a NACK, or that lets go of removals at once; a leader that settles while it is warming; types sent in another
//!   order; a refusal that outlives what it was about;
//! * by the scenarios only, since another check stands behind: a delta to another base, an empty push, frames of an
//!   earlier connection, a refused version sent again and again, a resume that trusts the version held without its digest, a delta that forgets removals or
//!   reaches further back than it can, a warming leader that removes what it has published itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod scenarios;
mod schedules;
mod world;
