//! What control decides, as pure functions: where the shards of the cluster live.
//!
//! * [`plan`]: from everything that is known to the next placement, and why. It takes every shard at most one step on; the
//!   step after that is the next plan's, made from what the nodes report then.
//! * [`check`]: whether a placement may follow another, whoever made it. It shares no code with the planner but the
//!   meaning of the input.
//! * [`diff`], [`rehearse`], [`simulate`]: what a plan changes, where it ends, and what a loss would do.
//! * [`suggest`]: what would turn remote deliveries into local ones.
//! * [`publishers`]: what of it all the nodes of each region are to hold, for the push.
//! * [`ledger`]: what a metadata store promises, as a value.
//!
//! Nothing here does I/O, reads a clock or draws randomness: time is a field of the input, and equal inputs have equal
//! plans on every replica of control.

mod check;
mod diff;
mod input;
pub mod intent;
pub mod ledger;
mod plan;
pub mod publishers;
pub mod reconciler;
pub mod record;
mod rehearse;
mod report;
mod simulate;
mod suggest;
mod traffic;
pub mod view;

pub use check::{Violation, check};
pub use diff::{NodeChange, PlacementDiff, ShardChange, diff};
pub use input::{DEAD_AFTER_MS_DEFAULT, KnownNode, MOVES_MAX_DEFAULT, MoveBudget, PlanInput, Presence};
pub use plan::{Plan, plan};
pub use rehearse::{ROUNDS_MAX, Rehearsal, rehearse};
pub use report::{Action, Change, PlanReport, StepReport, Wait, Why};
pub use simulate::{Loss, Simulation, simulate};
pub use sluice_cluster::{NodeReport, ShardStatus};
pub use suggest::{Suggestion, SuggestionBounds, Traffic, suggest};
pub use traffic::Observed;
