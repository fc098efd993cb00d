//! The placement: which nodes have which shard.

use std::collections::BTreeMap;

use crate::{Keyspace, KeyspaceId, Keyspaces, Replicas, SHARDS_MAX, ShardKey, Version};

/// Which nodes have which shard, and which shard a client or a topic falls to.
///
/// A shard without an entry has not been placed: there was no node for it yet. An entry may belong to a keyspace that is
/// no longer among [`Self::keyspaces`]: nothing falls into it any more, and its data is still there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    version: Version,
    keyspaces: Keyspaces,
    shards: BTreeMap<ShardKey, Replicas>,
}

impl Placement {
    /// A placement with these entries.
    ///
    /// # Errors
    /// An entry is outside its keyspace's number of shards.
    pub fn new(
        version: Version,
        keyspaces: Keyspaces,
        shards: BTreeMap<ShardKey, Replicas>,
    ) -> Result<Self, PlacementError> {
        let shards_of = |id| keyspaces.keyspace(id).map_or(SHARDS_MAX, Keyspace::shards);
        let is_outside = |key: &&ShardKey| key.shard.0 >= shards_of(key.keyspace);
        match shards.keys().find(is_outside) {
            Some(&key) => Err(PlacementError { key }),
            None => Ok(Self { version, keyspaces, shards }),
        }
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How clients and topics fall into shards.
    #[must_use]
    pub fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }

    /// All entries, by key.
    #[must_use]
    pub fn shards(&self) -> &BTreeMap<ShardKey, Replicas> {
        &self.shards
    }

    /// Who has a shard.
    #[must_use]
    pub fn replicas(&self, key: ShardKey) -> Option<&Replicas> {
        self.shards.get(&key)
    }

    /// The shard of a topic's retained message, and who has it.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> (ShardKey, Option<&Replicas>) {
        let key = self.keyspaces.shard_of_topic(topic);
        (key, self.replicas(key))
    }

    /// The shard of a client's session, and who has it.
    #[must_use]
    pub fn of_client(&self, client_id: &str) -> (ShardKey, Option<&Replicas>) {
        let key = self.keyspaces.shard_of_client(client_id);
        (key, self.replicas(key))
    }

    /// How many shards a keyspace has by its entries: one more than the last of them, 0 without any.
    #[must_use]
    pub fn placed_shards(&self, id: KeyspaceId) -> u16 {
        let last = self.shards.range(ShardKey { keyspace: id, ..ShardKey::default() }..);
        last.take_while(|(key, _)| key.keyspace == id).last().map_or(0, |(key, _)| key.shard.0.saturating_add(1))
    }
}

/// An entry outside its keyspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no shard {key}")]
pub struct PlacementError {
    /// Which entry.
    pub key: ShardKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, ShardId};

    fn key(keyspace: u16, shard: u16) -> ShardKey {
        ShardKey { keyspace: KeyspaceId(keyspace), shard: ShardId(shard) }
    }

    fn placed(keys: &[ShardKey]) -> Result<Placement, PlacementError> {
        let replicas = Replicas::first([NodeId(7)]).unwrap();
        let shards = keys.iter().map(|&key| (key, replicas.clone())).collect();
        Placement::new(Version::default(), Keyspaces::default(), shards)
    }

    #[test]
    fn a_client_and_a_topic_are_found_through_their_keyspaces() {
        let placement = placed(&[key(0, 46)]).unwrap();
        let (shard, replicas) = placement.of_client("sensor-1");
        assert_eq!((shard, replicas.map(|of| of.voters().contains(&NodeId(7)))), (key(0, 46), Some(true)));
        assert_eq!(placement.of_topic("sensor-1"), (key(1, 46), None));
    }

    #[test]
    fn an_entry_outside_its_keyspace_is_refused_and_one_of_a_keyspace_that_was_is_not() {
        assert_eq!(placed(&[key(0, 64)]), Err(PlacementError { key: key(0, 64) }));
        assert_eq!(placed(&[key(9, 4096)]), Err(PlacementError { key: key(9, 4096) }));
        let placement = placed(&[key(9, 0), key(9, 200)]).unwrap();
        assert_eq!([0, 9, 10].map(|id| placement.placed_shards(KeyspaceId(id))), [0, 201, 0]);
    }
}
