//! The checker: whether a placement may follow another, whoever made it.
//!
//! It is written apart from the planner and shares nothing with it but the meaning of the input: a mistake would have to be
//! made twice, in two ways of thinking, to pass. The planner thinks in steps; the checker compares two placements.
//!
//! * [`configuration`]: what may happen to the replicas of one shard.
//! * [`location`]: whether the policies are kept no worse than before.
//! * [`amount`]: whether not too much moves.

mod amount;
mod configuration;
mod location;

use std::collections::BTreeSet;

use sluice_cluster::{Epoch, KeyspaceId, NodeId, Placement, Replicas, ShardKey, Version};

use crate::PlanInput;

/// Checks that `new` may follow the parent placement of `input`.
///
/// # Errors
/// Everything that is wrong with it, by shard.
pub fn check(input: &PlanInput, new: &Placement) -> Result<(), Vec<Violation>> {
    let mut found = Vec::new();
    check_version(input, new, &mut found);
    check_keyspaces(input, new, &mut found);
    let keys: BTreeSet<ShardKey> = input.parent.shards().keys().chain(new.shards().keys()).copied().collect();
    let sites = location::Sites::new(input);
    for key in keys {
        match (input.parent.replicas(key), new.replicas(key)) {
            (Some(before), Some(after)) => {
                configuration::check_step(input, key, before, after, &mut found);
                sites.check_step(key, before, after, &mut found);
            }
            (None, Some(after)) => check_created(new, key, after, &sites, &mut found),
            (Some(before), None) => configuration::check_retired(input, key, before, &mut found),
            (None, None) => {}
        }
    }
    amount::check(input, new, &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn check_version(input: &PlanInput, new: &Placement, found: &mut Vec<Violation>) {
    let parent = &input.parent;
    let is_same = parent.shards() == new.shards() && parent.keyspaces() == new.keyspaces();
    let follows = new.version().counter == parent.version().counter + 1
        && new.version().leadership >= parent.version().leadership
        && new.version().leadership >= input.leadership;
    let is_right = if is_same { parent.version() == new.version() || follows } else { follows };
    if !is_right {
        found.push(Violation::Version { parent: parent.version(), new: new.version() });
    }
}

/// The keyspaces are those of the policies, and those that have shards keep their number of them.
fn check_keyspaces(input: &PlanInput, new: &Placement, found: &mut Vec<Violation>) {
    let wanted = input.policies.keyspaces();
    for keyspace in wanted.iter().chain(new.keyspaces().iter()) {
        let id = keyspace.id();
        let filters = |of: &sluice_cluster::Keyspaces| of.keyspace(id).map(|of| of.filters().to_vec());
        let count = new.keyspaces().keyspace(id).map(|of| of.shards());
        let is_placed = input.parent.placed_shards(id) > 0;
        let before = input.parent.keyspaces().keyspace(id).map(|of| of.shards());
        let is_split = is_placed && before.is_some() && before != count;
        if filters(wanted) != filters(new.keyspaces()) || is_split {
            found.push(Violation::Keyspace { id });
        }
    }
    found.dedup();
}

/// A shard that was nowhere begins as voters of the first epoch, where its policy wants it.
fn check_created(
    new: &Placement,
    key: ShardKey,
    after: &Replicas,
    sites: &location::Sites<'_>,
    found: &mut Vec<Violation>,
) {
    if new.keyspaces().keyspace(key.keyspace).is_none() {
        found.push(Violation::Keyspace { id: key.keyspace });
    }
    if after.epoch() != Epoch(1) {
        found.push(Violation::Epoch { key, before: Epoch(0), after: after.epoch() });
    }
    if after.is_moving() {
        found.push(Violation::Steps { key });
    }
    for &node in after.voters() {
        sites.check_arrival(key, node, found);
    }
}

/// What is wrong with a placement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Violation {
    /// Its version does not follow its parent's.
    #[error("version {new} does not follow {parent}")]
    Version {
        /// Of the parent.
        parent: Version,
        /// Of the placement.
        new: Version,
    },
    /// A keyspace is not as the policies have it, or changes its number of shards.
    #[error("keyspace {id} is not what the policies and its shards make it")]
    Keyspace {
        /// Which one.
        id: KeyspaceId,
    },
    /// The epoch does not grow by one with a change of the configuration, or grows without one.
    #[error("{key}: epoch {after} does not follow {before}")]
    Epoch {
        /// Which shard.
        key: ShardKey,
        /// Before.
        before: Epoch,
        /// After.
        after: Epoch,
    },
    /// More than one member comes, goes or is promoted.
    #[error("{key}: more than one step at a time")]
    Steps {
        /// Which shard.
        key: ShardKey,
    },
    /// Majorities of the two configurations need not have a member in common.
    #[error("{key}: two majorities could decide apart")]
    Apart {
        /// Which shard.
        key: ShardKey,
    },
    /// A node votes that was no learner, or has not caught up.
    #[error("{key}: {node} votes before it has the data")]
    Unready {
        /// Which shard.
        key: ShardKey,
        /// Which node.
        node: NodeId,
    },
    /// The configuration changes though the one before is not in force, or nobody could decide on it.
    #[error("{key}: changed while its last change is not in force on a majority")]
    Unsettled {
        /// Which shard.
        key: ShardKey,
    },
    /// Too few voters would be there to decide.
    #[error("{key}: too few of its voters would be there")]
    Stalled {
        /// Which shard.
        key: ShardKey,
    },
    /// A voter goes while those that stay do not have the data.
    #[error("{key}: {node} goes while those who stay have not all caught up")]
    TooEarly {
        /// Which shard.
        key: ShardKey,
        /// Who goes.
        node: NodeId,
    },
    /// A voter goes while a node that serves does not know of it.
    #[error("{key}: {node} goes while a node still looks for the shard there")]
    Unannounced {
        /// Which shard.
        key: ShardKey,
        /// Who goes.
        node: NodeId,
    },
    /// Fewer members stay than the policy wants and than there were.
    #[error("{key}: a replica is taken away that is needed")]
    Needed {
        /// Which shard.
        key: ShardKey,
    },
    /// A shard with data is gone from the placement.
    #[error("{key}: taken away with its data")]
    Lost {
        /// Which shard.
        key: ShardKey,
    },
    /// A shard starts anew without those of its voters that are still there.
    #[error("{key}: started anew without the data that is left")]
    Forced {
        /// Which shard.
        key: ShardKey,
    },
    /// A node gets a shard that does not take any.
    #[error("{key}: brought to {node}, which takes no shards")]
    NoTaker {
        /// Which shard.
        key: ShardKey,
        /// Which node.
        node: NodeId,
    },
    /// A node gets a shard that its policy does not want there.
    #[error("{key}: brought to {node}, outside of its home")]
    Misplaced {
        /// Which shard.
        key: ShardKey,
        /// Which node.
        node: NodeId,
    },
    /// The replicas end up closer together than before.
    #[error("{key}: more replicas share a failure domain than before")]
    Crowded {
        /// Which shard.
        key: ShardKey,
    },
    /// More moves at a time than the budget allows.
    #[error("{moves} moves under way, at most {max}")]
    Budget {
        /// How many.
        moves: u32,
        /// The budget.
        max: u32,
    },
    /// More moves to a node at a time than the budget allows.
    #[error("{moves} moves to {node} under way, at most {max}")]
    Incoming {
        /// Which node.
        node: NodeId,
        /// How many.
        moves: u32,
        /// The budget.
        max: u32,
    },
}
