//! From resources to tables, and whether the node takes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sluice_cluster::wire::{WireError, resources};
use sluice_cluster::{Keyspace, Placement, Replicas, ShardKey};
use sluice_discovery::{Body, HeldSet, Name, Proposal, ResourceType, Validate};

use super::{Proposed, TableConsumer};

/// Judges what is proposed: whether it can be read, whether it takes away what must not go, and what the consumer says.
pub(super) struct Judge<'a, C> {
    pub(super) consumer: &'a C,
    /// What is in effect.
    pub(super) placement: Option<&'a Arc<Placement>>,
}

impl<C: TableConsumer> Validate for Judge<'_, C> {
    fn validate(&self, proposal: &Proposal<'_>) -> Result<(), String> {
        let new = merged(proposal);
        let readable = |error: WireError| error.to_string();
        match proposal.kind() {
            ResourceType::Nodes => {
                let nodes = resources::read_nodes(named(&new)).map_err(readable)?;
                self.consumer.judge(&Proposed::Nodes(&nodes))
            }
            ResourceType::Placement => {
                let placement = resources::read_placement(proposal.version(), named(&new)).map_err(readable)?;
                self.placement.map_or(Ok(()), |held| succeeds(held, &placement))?;
                self.consumer.judge(&Proposed::Placement(&placement))
            }
            ResourceType::Routes => self.judge_routes(proposal, &new),
            ResourceType::Policy => {
                let policies = resources::read_policies(named(&new)).map_err(readable)?;
                self.consumer.judge(&Proposed::Policy(&policies))
            }
        }
    }
}

impl<C: TableConsumer> Judge<'_, C> {
    /// Parts that were read before need not be read again.
    fn judge_routes(&self, proposal: &Proposal<'_>, new: &BTreeMap<&Name, &Body>) -> Result<(), String> {
        for (name, body) in proposal.upserts() {
            resources::read_part(name.as_str(), body).map_err(|error| error.to_string())?;
        }
        let head = named(new).find_map(|(name, body)| resources::read_head(name, body).transpose());
        let head = head.ok_or("the head of the routes is missing")?.map_err(|error| error.to_string())?;
        self.consumer.judge(&Proposed::Routes(proposal.version(), &head.positions))
    }
}

/// Whether a placement may follow another: no shard loses its last replica, and no epoch goes back.
fn succeeds(held: &Placement, next: &Placement) -> Result<(), String> {
    let lost = |(key, replicas): (&ShardKey, &Replicas)| match next.replicas(*key) {
        Some(next) if next.epoch() < replicas.epoch() => {
            Some(format!("shard {key} would go back from epoch {} to {}", replicas.epoch(), next.epoch()))
        }
        None if next.keyspaces().keyspace(key.keyspace).is_some() => {
            Some(format!("shard {key} would lose its replicas"))
        }
        Some(_) | None => None,
    };
    let shards =
        |placement: &Placement, key: &ShardKey| placement.keyspaces().keyspace(key.keyspace).map(Keyspace::shards);
    let resized = held.shards().keys().find(|key| {
        let (before, after) = (shards(held, key), shards(next, key));
        before.is_some() && after.is_some() && before != after
    });
    if let Some(key) = resized {
        return Err(format!("keyspace {} would have another number of shards", key.keyspace));
    }
    held.shards().iter().find_map(lost).map_or(Ok(()), Err)
}

/// What would be held.
fn merged<'a>(proposal: &Proposal<'a>) -> BTreeMap<&'a Name, &'a Body> {
    let gone: BTreeSet<&Name> = proposal.removals().collect();
    let mut new: BTreeMap<&Name, &Body> = proposal.held(proposal.kind()).iter().collect();
    new.retain(|name, _| !gone.contains(name));
    new.extend(proposal.upserts());
    new
}

/// What is in effect of a type whose resources replace each other: what is held, and what is retired under other names.
pub(super) fn in_effect(held: &HeldSet) -> BTreeMap<&Name, &Body> {
    let mut all: BTreeMap<&Name, &Body> = held.retired().collect();
    all.extend(held.iter());
    all
}

pub(super) fn named<'a>(
    resources: &'a BTreeMap<&'a Name, &'a Body>,
) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
    resources.iter().map(|(name, body)| (name.as_str(), &***body))
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{Epoch, KeyspaceId, Keyspaces, NodeId, ShardId, Version};

    use super::*;

    fn placement(rows: &[(u16, u64)], keyspaces: Keyspaces) -> Placement {
        let entry = |(shard, epoch): &(u16, u64)| {
            let key = ShardKey { keyspace: KeyspaceId::SESSIONS, shard: ShardId(*shard) };
            (key, Replicas::new([NodeId(1)], [], [], Epoch(*epoch)).unwrap())
        };
        Placement::new(Version::ZERO, keyspaces, rows.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_placement_that_loses_a_shard_or_goes_back_is_refused() {
        let of = |rows: &[(u16, u64)]| placement(rows, Keyspaces::default());
        let held = of(&[(0, 2), (1, 5)]);
        assert_eq!(succeeds(&held, &of(&[(0, 2), (1, 5)])), Ok(()));
        assert_eq!(succeeds(&held, &of(&[(0, 3), (1, 5), (2, 1)])), Ok(()));
        assert_eq!(succeeds(&held, &of(&[(0, 2)])), Err("shard sessions/1 would lose its replicas".into()));
        let back = succeeds(&held, &of(&[(0, 1), (1, 5)]));
        assert_eq!(back, Err("shard sessions/0 would go back from epoch 2 to 1".into()));
        let resized = Keyspaces::default().resized(KeyspaceId::SESSIONS, 128).unwrap();
        let more = succeeds(&held, &placement(&[(0, 2), (1, 5)], resized));
        assert_eq!(more, Err("keyspace sessions would have another number of shards".into()));
    }
}
