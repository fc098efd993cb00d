//! Where planning ends if everybody does what the plans say: for previews, and for the proof that it ends.

use sluice_cluster::{NodeId, NodePhase, Placement, ShardKey};

use crate::{NodeReport, PlanInput, Presence, ShardStatus, plan};

/// Plans that are tried before a rehearsal gives up: more than any budget of one needs for the largest keyspace, whose
/// every shard takes three plans to move.
pub const ROUNDS_MAX: usize = 4 * 4096;

/// What became of a rehearsal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsal {
    /// The input when it ended, with the last placement as its parent.
    pub input: PlanInput,
    /// Plans that changed something.
    pub rounds: usize,
    /// Whether it ended because there was nothing left to do.
    pub is_settled: bool,
}

/// Plans again and again; after each plan every reachable node does at once what it says and reports so.
///
/// Time stands still, and so does what operators want.
#[must_use]
pub fn rehearse(mut input: PlanInput) -> Rehearsal {
    for rounds in 0..ROUNDS_MAX {
        carry_out(&mut input);
        let next = plan(&input).placement;
        if next == input.parent {
            return Rehearsal { input, rounds, is_settled: true };
        }
        input.parent = next;
    }
    Rehearsal { input, rounds: ROUNDS_MAX, is_settled: false }
}

/// Every reachable node has applied the parent placement, and has all the data of its shards that can be had.
fn carry_out(input: &mut PlanInput) {
    let parent = input.parent.clone();
    let reachable: Vec<NodeId> =
        input.nodes.keys().copied().filter(|id| input.presence(*id) == Presence::Reachable).collect();
    let able: Vec<(ShardKey, bool)> =
        parent.shards().iter().map(|(key, replicas)| (*key, input.has_quorum(replicas))).collect();
    let empty: Vec<ShardKey> = able.iter().map(|(key, _)| *key).filter(|key| is_empty(input, &parent, *key)).collect();
    for id in &reachable {
        if let Some(known) = input.nodes.get_mut(id) {
            known.report = Some(NodeReport { applied: parent.version(), ..NodeReport::default() });
            if known.node.phase == NodePhase::Joining {
                known.node.phase = NodePhase::Active;
            }
        }
    }
    for (key, is_able) in able {
        let Some(replicas) = parent.replicas(key) else { continue };
        let status =
            ShardStatus { epoch: replicas.epoch(), is_caught_up: is_able, is_empty: empty.binary_search(&key).is_ok() };
        for id in replicas.voters().union(replicas.learners()).filter(|id| reachable.contains(id)) {
            let report = input.nodes.get_mut(id).and_then(|known| known.report.as_mut());
            report.into_iter().for_each(|report| {
                report.shards.insert(key, status);
            });
        }
    }
}

/// Whether the voters last said that nothing is in a shard.
fn is_empty(input: &PlanInput, parent: &Placement, key: ShardKey) -> bool {
    let says = |id: &NodeId| input.status(*id, key).is_some_and(|status| status.is_empty);
    parent.replicas(key).is_some_and(|replicas| replicas.voters().iter().any(says))
}
