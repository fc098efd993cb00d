//! The planner: a table of contents. Each step is a file.

mod advance;
mod assign;
mod balance;
mod constraints;
mod draft;
mod drain;
mod fleet;
mod retire;
mod rule;

use sluice_cluster::{Keyspaces, Placement, ShardKey};

use crate::{
    PlanInput,
    report::{PlanReport, StepReport, Wait},
};
use draft::Draft;

/// A proposed placement, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What shall be; equal to the parent, version included, when there is nothing to do.
    pub placement: Placement,
    /// Why.
    pub report: PlanReport,
}

/// Computes the next placement.
///
/// Every shard goes at most one step on, and only if its last step is in force on a majority of its voters. Until the
/// input changes, planning again from the result changes nothing.
#[must_use]
pub fn plan(input: &PlanInput) -> Plan {
    let mut counts = StepReport::default();
    let keyspaces = keyspaces(input, &mut counts);
    let mut draft = Draft::new(input, &keyspaces);
    // What ends comes first, so that it frees the budget and counts no more; what is broken before what could be better.
    let advance = advance::run(&mut draft);
    let retire = retire::run(&mut draft, &keyspaces);
    let mut assign = assign::run(&mut draft, &keyspaces);
    assign.waits.append(&mut counts.waits);
    let constraints = constraints::run(&mut draft);
    let drain = drain::run(&mut draft);
    let balance = balance::run(&mut draft);
    let report = PlanReport { advance, retire, assign, constraints, drain, balance };
    Plan { placement: placement(input, keyspaces, draft), report }
}

fn placement(input: &PlanInput, keyspaces: Keyspaces, draft: Draft<'_>) -> Placement {
    let shards = draft.into_shards();
    if shards == *input.parent.shards() && keyspaces == *input.parent.keyspaces() {
        return input.parent.clone();
    }
    let version = input.parent.version().next(input.leadership);
    // Entries come from the parent, whose counts are kept, or from these keyspaces.
    Placement::new(version, keyspaces, shards).unwrap_or_else(|error| unreachable!("{error}"))
}

/// The keyspaces of the policies. One that has shards keeps their number: shards move, they never split.
fn keyspaces(input: &PlanInput, report: &mut StepReport) -> Keyspaces {
    let mut keyspaces = input.policies.keyspaces().clone();
    for wanted in input.policies.keyspaces().iter() {
        let id = wanted.id();
        let placed = input.parent.placed_shards(id);
        let before = input.parent.keyspaces().keyspace(id).map_or(placed, |keyspace| keyspace.shards());
        if placed > 0 && before != wanted.shards() {
            report.wait(Wait::ShardCount { id, shards: before }, ShardKey { keyspace: id, ..ShardKey::default() });
            // What is placed is within the bounds.
            keyspaces = keyspaces.resized(id, before).unwrap_or_else(|error| unreachable!("{error}"));
        }
    }
    keyspaces
}
