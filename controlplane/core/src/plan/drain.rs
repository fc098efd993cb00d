//! Empties nodes that shall leave.

use sluice_cluster::{NodeId, NodePhase};

use super::draft::Draft;
use crate::report::{StepReport, Why};

pub(super) fn run(draft: &mut Draft<'_>) -> StepReport {
    let mut step = StepReport::default();
    for (key, replicas) in draft.at_rest() {
        let drains = |id: &NodeId| {
            draft.fleet.place(*id).is_some_and(|place| draft.fleet.node(place).phase == NodePhase::Draining)
        };
        if let Some(node) = replicas.voters().iter().copied().find(drains) {
            draft.bring(key, Some(node), Why::Draining { node }, &mut step);
        }
    }
    step
}
