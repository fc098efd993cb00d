//! Keyspaces: parts of what is stored that have shards of their own, so that they can be placed apart.
//!
//! The sessions are one keyspace. The topic space is cut into others by topic filters; a topic belongs to that with the
//! most specific filter, and to [`KeyspaceId::TOPICS`] when no other claims it. Two filters that match the same topics are
//! refused when the set is made, so that every topic has exactly one keyspace.

use std::{collections::BTreeMap, fmt};

use sluice_topic::{TopicFilter, covers, matches};

use crate::{SHARDS_DEFAULT, SHARDS_MAX, ShardId, ShardKey, specificity::more_specific_first};

/// Most keyspaces of a cluster. A topic is held against their filters one after the other when it is new to a node.
pub const KEYSPACES_MAX: usize = 256;

/// Most topic filters of one keyspace.
pub const FILTERS_MAX: usize = 64;

/// One keyspace of the cluster, for ever: the number of a keyspace that was removed is not given to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct KeyspaceId(pub u16);

impl KeyspaceId {
    /// All sessions.
    pub const SESSIONS: Self = Self(0);
    /// All topics that no other keyspace claims, those that start with `$` among them.
    pub const TOPICS: Self = Self(1);

    /// Whether every cluster has it.
    #[must_use]
    pub fn is_default(self) -> bool {
        self <= Self::TOPICS
    }
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SESSIONS => f.write_str("sessions"),
            Self::TOPICS => f.write_str("topics"),
            Self(number) => write!(f, "k{number}"),
        }
    }
}

/// A keyspace: what falls into it, and in how many shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyspace {
    id: KeyspaceId,
    filters: Vec<TopicFilter>,
    shards: u16,
}

impl Keyspace {
    /// A keyspace of 1 to [`SHARDS_MAX`] shards for the topics that one of 1 to [`FILTERS_MAX`] `filters` matches.
    /// The two default keyspaces have no filters: they are what they are.
    ///
    /// # Errors
    /// One of these bounds is broken.
    pub fn new(id: KeyspaceId, filters: Vec<TopicFilter>, shards: u16) -> Result<Self, KeyspaceError> {
        if !(1..=SHARDS_MAX).contains(&shards) {
            return Err(KeyspaceError::Shards { id, shards });
        }
        if filters.len() > FILTERS_MAX || filters.is_empty() != id.is_default() {
            return Err(KeyspaceError::Filters { id, filters: filters.len() });
        }
        Ok(Self { id, filters, shards })
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> KeyspaceId {
        self.id
    }

    /// The filters of its topics.
    #[must_use]
    pub fn filters(&self) -> &[TopicFilter] {
        &self.filters
    }

    /// The number of its shards, for ever.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The keys of its shards, in order.
    pub fn shard_keys(&self) -> impl Iterator<Item = ShardKey> + use<> {
        let keyspace = self.id;
        (0..self.shards).map(move |shard| ShardKey { keyspace, shard: ShardId(shard) })
    }

    fn shard_of(&self, key: &str) -> ShardKey {
        ShardKey { keyspace: self.id, shard: ShardId::of(key, self.shards) }
    }
}

/// All keyspaces of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyspaces {
    all: BTreeMap<KeyspaceId, Keyspace>,
    /// Every filter with whose it is, the most specific first.
    filters: Vec<(TopicFilter, KeyspaceId)>,
}

impl Keyspaces {
    /// The keyspaces of `all`, and the default ones with [`SHARDS_DEFAULT`] shards each where `all` lacks them.
    ///
    /// # Errors
    /// A keyspace stands twice, two filters match the same topics, or there are more than [`KEYSPACES_MAX`].
    pub fn new(all: impl IntoIterator<Item = Keyspace>) -> Result<Self, KeyspaceError> {
        let mut keyspaces = Self { all: BTreeMap::new(), filters: Vec::new() };
        for keyspace in all {
            let id = keyspace.id;
            keyspaces.filters.extend(keyspace.filters.iter().map(|filter| (filter.clone(), id)));
            if keyspaces.all.insert(id, keyspace).is_some() {
                return Err(KeyspaceError::Twice { id });
            }
        }
        for id in [KeyspaceId::SESSIONS, KeyspaceId::TOPICS] {
            keyspaces.all.entry(id).or_insert(Keyspace { id, filters: Vec::new(), shards: SHARDS_DEFAULT });
        }
        if keyspaces.all.len() > KEYSPACES_MAX {
            return Err(KeyspaceError::TooMany { keyspaces: keyspaces.all.len() });
        }
        keyspaces.filters.sort_by(|(a, _), (b, _)| more_specific_first(a, b));
        keyspaces.refuse_ties()?;
        Ok(keyspaces)
    }

    /// One of them.
    #[must_use]
    pub fn keyspace(&self, id: KeyspaceId) -> Option<&Keyspace> {
        self.all.get(&id)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Keyspace> {
        self.all.values()
    }

    /// The shard that owns a topic's retained message.
    #[must_use]
    pub fn shard_of_topic(&self, topic: &str) -> ShardKey {
        let claimed = self.filters.iter().find(|(filter, _)| matches(filter.as_str(), topic));
        self.shard_in(claimed.map_or(KeyspaceId::TOPICS, |(_, id)| *id), topic)
    }

    /// The shard that owns a client's session.
    #[must_use]
    pub fn shard_of_client(&self, client_id: &str) -> ShardKey {
        self.shard_in(KeyspaceId::SESSIONS, client_id)
    }

    /// The same keyspaces, one of them with another number of shards; as they are if it is none of them.
    ///
    /// # Errors
    /// `shards` is not 1 to [`SHARDS_MAX`].
    pub fn resized(&self, id: KeyspaceId, shards: u16) -> Result<Self, KeyspaceError> {
        let mut resized = self.clone();
        if let Some(keyspace) = resized.all.get_mut(&id) {
            *keyspace = Keyspace::new(id, keyspace.filters.clone(), shards)?;
        }
        Ok(resized)
    }

    fn shard_in(&self, id: KeyspaceId, key: &str) -> ShardKey {
        // Every set has the default keyspaces, and a filter's keyspace is in its set.
        self.all.get(&id).map_or(ShardKey::default(), |keyspace| keyspace.shard_of(key))
    }

    /// Filters that match the same topics cannot be told apart. `#` is that of the default keyspace.
    fn refuse_ties(&self) -> Result<(), KeyspaceError> {
        let equal = |a: &TopicFilter, b: &TopicFilter| covers(a.as_str(), b.as_str()) && covers(b.as_str(), a.as_str());
        for (at, (filter, id)) in self.filters.iter().enumerate() {
            if covers(filter.as_str(), "#") {
                return Err(KeyspaceError::Tie { filter: filter.clone(), id: *id, other: KeyspaceId::TOPICS });
            }
            if let Some((_, other)) = self.filters[..at].iter().find(|(earlier, _)| equal(earlier, filter)) {
                return Err(KeyspaceError::Tie { filter: filter.clone(), id: *id, other: *other });
            }
        }
        Ok(())
    }
}

impl Default for Keyspaces {
    /// The default keyspaces alone.
    fn default() -> Self {
        let of = |id| (id, Keyspace { id, filters: Vec::new(), shards: SHARDS_DEFAULT });
        Self { all: [KeyspaceId::SESSIONS, KeyspaceId::TOPICS].map(of).into(), filters: Vec::new() }
    }
}

/// Why keyspaces cannot be as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyspaceError {
    /// The number of shards is outside its bounds.
    #[error("keyspace {id}: 1 to {SHARDS_MAX} shards, not {shards}")]
    Shards {
        /// Which one.
        id: KeyspaceId,
        /// Shards asked for.
        shards: u16,
    },
    /// A keyspace of topics has no filter or too many, or a default one has some.
    #[error("keyspace {id}: {filters} topic filters; 1 to {FILTERS_MAX}, and none for the default keyspaces")]
    Filters {
        /// Which one.
        id: KeyspaceId,
        /// Filters given.
        filters: usize,
    },
    /// Two have the same number.
    #[error("keyspace {id} is there twice")]
    Twice {
        /// Which one.
        id: KeyspaceId,
    },
    /// There are too many.
    #[error("{keyspaces} keyspaces, more than {KEYSPACES_MAX}")]
    TooMany {
        /// How many.
        keyspaces: usize,
    },
    /// Two filters match the same topics, so that neither is more specific.
    #[error("keyspaces {id} and {other} both claim the topics of {filter}")]
    Tie {
        /// The filter.
        filter: TopicFilter,
        /// Whose it is.
        id: KeyspaceId,
        /// Who else claims its topics.
        other: KeyspaceId,
    },
}

#[cfg(test)]
mod tests;
