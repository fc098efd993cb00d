//! Removes the shards of keyspaces that are no more, once nothing is in them.

use sluice_cluster::{Keyspaces, NodeId};

use super::draft::Draft;
use crate::report::{StepReport, Wait};

pub(super) fn run(draft: &mut Draft<'_>, keyspaces: &Keyspaces) -> StepReport {
    let mut step = StepReport::default();
    for (key, replicas) in draft.unchanged() {
        if keyspaces.keyspace(key.keyspace).is_some() {
            continue;
        }
        let is_empty = |id: &NodeId| {
            draft.input.status(*id, key).is_some_and(|status| status.is_empty && status.epoch == replicas.epoch())
        };
        if let Some(node) = draft.behind {
            step.wait(Wait::Applied { node }, key);
        } else if !replicas.voters().iter().all(is_empty) {
            step.wait(Wait::Data, key);
        } else {
            draft.retire(key, &mut step);
        }
    }
    step
}
