//! Plans: what a change of policies would do, kept by name, and carried out by it.

use sluice_cluster::Policies;

use super::{Author, Refusal, SpecChange, changed_policies, readable, resolve, write_policies};
use crate::{
    MoveBudget, PlacementDiff, PlanInput, PlanReport, diff, plan,
    record::{Commit, PLANS_MAX, PlanId, PlanRecord, PolicyChange, Record, RecordKey},
    rehearse,
    view::View,
};

/// What a change of policies would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// What the first step would do, and what the rest waits for.
    pub first: PlanReport,
    /// What will be different in the end.
    pub changes: PlacementDiff,
    /// How many steps that takes.
    pub steps: usize,
    /// Whether it comes to an end.
    pub is_settled: bool,
}

/// Works out what other policies would do, if every node did at once what it is told.
#[must_use]
pub fn preview(input: &PlanInput, policies: Policies) -> Preview {
    let wanted = PlanInput { policies, ..input.clone() };
    let first = plan(&wanted).report;
    let rehearsal = rehearse(PlanInput { budget: MoveBudget::UNBOUNDED, ..wanted });
    Preview {
        first,
        changes: diff(&input.parent, &rehearsal.input.parent),
        steps: rehearsal.rounds,
        is_settled: rehearsal.is_settled,
    }
}

/// Makes a plan to be applied later, and says what policies it leads to. Nothing else changes.
///
/// # Errors
/// The changes are not possible.
pub fn make(view: &View, id: PlanId, changes: &[SpecChange], author: &Author) -> Result<(Commit, Policies), Refusal> {
    readable(view)?;
    let (changes, _) = resolve(view, changes)?;
    let policies = changed_policies(view, &changes)?;
    let plan = PlanRecord {
        id: id.clone(),
        parent_intent: view.intent().number,
        parent_placement: view.placement_version(),
        by: author.by.clone(),
        at_ms: author.at_ms,
        changes,
    };
    let key = RecordKey::Plan(id);
    let mut commit = Commit::new().expect(key.clone(), view.modified(&key)).put(key, Record::Plan(plan));
    let mut oldest: Vec<&PlanRecord> = view.plans().collect();
    oldest.sort_by_key(|plan| plan.at_ms);
    let surplus = (oldest.len() + 1).saturating_sub(PLANS_MAX);
    for plan in oldest.into_iter().take(surplus) {
        commit = commit.delete(RecordKey::Plan(plan.id.clone()));
    }
    Ok((commit, policies))
}

/// Applies a plan, if intent and placement are those that it was made from.
///
/// # Errors
/// There is none, or its parent has moved.
pub fn apply(view: &View, id: &PlanId, author: &Author) -> Result<Commit, Refusal> {
    readable(view)?;
    let plan = view.plan(id).ok_or_else(|| Refusal::Unknown { what: format!("plan {id}") })?;
    let (intent, placement) = (view.intent(), view.placement_version());
    if (plan.parent_intent, plan.parent_placement) != (intent.number, placement) {
        return Err(Refusal::ParentMoved {
            id: id.clone(),
            planned_intent: plan.parent_intent,
            planned: plan.parent_placement,
            intent: intent.number,
            placement,
        });
    }
    changed_policies(view, &plan.changes)?;
    let used = |change: &PolicyChange| match change {
        PolicyChange::Put(policy) => policy.keyspace.id().0.saturating_add(1),
        PolicyChange::Delete(_) => 0,
    };
    let next_keyspace = plan.changes.iter().map(used).max().unwrap_or(0).max(intent.next_keyspace);
    let intent = crate::record::Intent { next_keyspace, ..intent };
    let head = RecordKey::Placement;
    let commit = write_policies(view, intent, &plan.changes, format!("applied the plan {id}"), author);
    Ok(commit.expect(head.clone(), view.modified(&head)).delete(RecordKey::Plan(id.clone())))
}
