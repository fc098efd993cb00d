//! Who of this worker, and which other workers, want a topic.
//!
//! One index from filters to those who hold them, and in front of it a small cache from topics to the finished list of
//! targets, valid for one version of the index. A session that matches through several filters is one target
//! [MQTT-3.3.4-2], with the highest QoS and all subscription identifiers [MQTT-3.3.4-3].

mod cache;
mod group;
mod options;

use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use sluice_cluster::WorkerId;
use sluice_topic::{FilterIndex, TopicFilter};

use crate::routes::Routes;

use cache::TopicCache;
pub(crate) use group::{Group, GroupId, Groups, Member, MemberCount, Presence};
pub(crate) use options::SubscribeOptions;

/// The index of one worker.
pub(crate) struct Subscriptions {
    index: FilterIndex<Entry>,
    groups: Groups,
    seed: u64,
    /// Bit per other worker that may want anything.
    everything: u64,
    /// What other nodes want, and the bit of the gate to them.
    routes: Option<(Arc<Routes>, u64)>,
    /// Grows with every change that can change a match.
    version: u64,
    cache: TopicCache,
}

/// One session's subscription to one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// Place in the session table.
    pub(crate) session: u32,
    /// Subscription identifier; 0 = none.
    pub(crate) id: u32,
    /// QoS, No Local, Retain As Published, and whether the session is persistent.
    pub(crate) options: SubscribeOptions,
}

/// Who holds a filter. Most filters are held by one session: that costs no allocation.
enum Entry {
    One(Subscriber),
    Many(Box<Many>),
}

struct Many {
    /// By session. Joins and leaves cost the same however many there are (BAD_INPUT H2).
    subscribers: BySession<Subscriber>,
    /// How many of them store what they are sent.
    storing: u32,
    groups: Vec<GroupId>,
    /// Bit per worker that has transient or persistent subscribers of the filter.
    peers: u64,
    /// Bit per worker that has persistent ones: what they store must be awaited.
    durable_peers: u64,
}

/// A table keyed by places in the session table.
type BySession<T> = IndexMap<u32, T, FixedState>;

/// Everybody who gets a message on one topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    /// Sessions of this worker, each once.
    pub(crate) targets: Vec<Target>,
    /// Subscription identifiers, by [`Target::ids`].
    pub(crate) ids: Vec<u32>,
    /// Shared groups.
    pub(crate) groups: Vec<GroupId>,
    /// Bit per other worker.
    pub(crate) peers: u64,
    /// Bit per other worker that stores.
    pub(crate) durable_peers: u64,
}

/// One session that gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Place in the session table.
    pub(crate) session: u32,
    ids_from: u32,
    ids_len: u16,
    /// The combined options of all its matching subscriptions.
    pub(crate) options: SubscribeOptions,
}

impl Target {
    /// Its subscription identifiers.
    pub(crate) fn ids<'a>(&self, matched: &'a Matched) -> &'a [u32] {
        &matched.ids[self.ids_from as usize..][..usize::from(self.ids_len)]
    }
}

/// What a change of the index means to the other workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Interest {
    /// Whether anybody here holds the filter outside of groups.
    pub(crate) wanted: bool,
    /// Whether a persistent session does.
    pub(crate) durable: bool,
}

impl Subscriber {
    /// Whether messages for it are stored before they are acknowledged.
    fn stores(&self) -> bool {
        self.options.is_persistent() && self.options.qos() > 0
    }
}

impl Subscriptions {
    /// An empty index; `seed` keys the hashes of what clients choose.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            index: FilterIndex::with_seed(seed),
            groups: Groups::with_seed(seed),
            seed,
            everything: 0,
            routes: None,
            version: 1,
            cache: TopicCache::new(seed),
        }
    }

    /// Adds or replaces a session's subscription. Says what was there before and what the worker wants of the filter
    /// before and after.
    pub(crate) fn insert(&mut self, filter: &TopicFilter, subscriber: Subscriber) -> (Interest, Interest) {
        self.version += 1;
        let mut fresh = false;
        let seed = self.seed;
        let entry = self.index.get_or_insert_with(filter, || {
            fresh = true;
            Entry::One(subscriber)
        });
        if fresh {
            return (Interest::default(), entry.interest());
        }
        let before = entry.interest();
        match entry {
            Entry::One(one) if one.session == subscriber.session => *one = subscriber,
            Entry::One(_) | Entry::Many(_) => {
                let many = entry.many(seed);
                many.storing += u32::from(subscriber.stores());
                if let Some(old) = many.subscribers.insert(subscriber.session, subscriber) {
                    many.storing -= u32::from(old.stores());
                }
            }
        }
        (before, entry.interest())
    }

    /// Takes a session's subscription away. Says what the worker wanted of the filter before and wants after; `None`
    /// when the session held no such filter.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, session: u32) -> Option<(Interest, Interest)> {
        let entry = self.index.get_mut(filter)?;
        let before = entry.interest();
        match entry {
            Entry::One(one) if one.session == session => {
                self.index.remove(filter);
                self.version += 1;
                return Some((before, Interest::default()));
            }
            Entry::One(_) => return None,
            Entry::Many(many) => {
                let old = many.subscribers.swap_remove(&session)?;
                many.storing -= u32::from(old.stores());
            }
        }
        let after = entry.interest();
        self.version += 1;
        self.drop_if_empty(filter);
        Some((before, after))
    }

    /// Notes what another worker wants of a filter.
    pub(crate) fn set_peer(&mut self, filter: &TopicFilter, peer: WorkerId, interest: Interest) {
        self.version += 1;
        let bit = 1u64 << peer.0;
        let seed = self.seed;
        let many = self.index.get_or_insert_with(filter, || Entry::none(seed)).many(seed);
        many.peers = if interest.wanted { many.peers | bit } else { many.peers & !bit };
        many.durable_peers = if interest.durable { many.durable_peers | bit } else { many.durable_peers & !bit };
        self.drop_if_empty(filter);
    }

    /// Notes what base tables say of other nodes, to which `gate` leads.
    pub(crate) fn set_routes(&mut self, routes: Arc<Routes>, gate: WorkerId) {
        self.version += 1;
        self.routes = Some((routes, 1 << gate.0));
    }

    /// Notes whether another worker may want anything at all.
    pub(crate) fn set_peer_wants_everything(&mut self, peer: WorkerId, wanted: bool) {
        self.version += 1;
        let bit = 1u64 << peer.0;
        self.everything = if wanted { self.everything | bit } else { self.everything & !bit };
    }

    /// The group of this name on this filter, made if it is new.
    pub(crate) fn group_for(&mut self, name: &str, filter: &TopicFilter) -> GroupId {
        if let Some(id) = self.groups.find(name, filter) {
            return id;
        }
        self.version += 1;
        let id = self.groups.create(name, filter);
        let seed = self.seed;
        let many = self.index.get_or_insert_with(filter, || Entry::none(seed)).many(seed);
        many.groups.push(id);
        id
    }

    /// The group of this name on this filter, if there is one.
    pub(crate) fn find_group(&self, name: &str, filter: &TopicFilter) -> Option<GroupId> {
        self.groups.find(name, filter)
    }

    /// A group by its id.
    pub(crate) fn group(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.by_id(id)
    }

    /// Forgets a group nobody is a member of any more, here or on other workers.
    pub(crate) fn drop_group_if_empty(&mut self, id: GroupId) {
        let Some(group) = self.groups.by_id(id) else { return };
        if !group.is_empty() {
            return;
        }
        self.version += 1;
        let filter = group.filter().clone();
        self.groups.remove(id);
        if let Some(entry) = self.index.get_mut(&filter) {
            entry.many(self.seed).groups.retain(|&g| g != id);
        }
        self.drop_if_empty(&filter);
    }

    /// Everybody who gets a message on this topic, if that is known without looking: then the topic is a valid one.
    pub(crate) fn known(&self, topic: &str) -> Option<Arc<Matched>> {
        self.cache.find(topic, self.version)
    }

    /// Everybody who gets a message on this topic.
    pub(crate) fn matched(&mut self, topic: &str) -> Arc<Matched> {
        if let Some(matched) = self.cache.find(topic, self.version) {
            return matched;
        }
        let matched = Arc::new(self.match_index(topic));
        self.cache.keep(topic, self.version, &matched);
        matched
    }

    fn match_index(&self, topic: &str) -> Matched {
        let mut found: Vec<Subscriber> = Vec::new();
        let mut matched = Matched { peers: self.everything, durable_peers: self.everything, ..Matched::default() };
        self.index.for_each_match(topic, |entry| match entry {
            Entry::One(one) => found.push(*one),
            Entry::Many(many) => {
                found.extend(many.subscribers.values());
                matched.groups.extend_from_slice(&many.groups);
                matched.peers |= many.peers;
                matched.durable_peers |= many.durable_peers;
            }
        });
        if let Some((routes, gate)) = &self.routes
            && matched.peers & gate == 0
            && routes.wants(topic)
        {
            matched.peers |= gate;
            matched.durable_peers |= gate;
        }
        found.sort_unstable_by_key(|s| s.session);
        matched.targets.reserve_exact(found.len());
        for one in found.chunk_by(|a, b| a.session == b.session) {
            let ids_from = matched.ids.len() as u32;
            matched.ids.extend(one.iter().map(|s| s.id).filter(|&id| id != 0));
            matched.targets.push(Target {
                session: one[0].session,
                ids_from,
                ids_len: (matched.ids.len() as u32 - ids_from) as u16,
                options: one.iter().map(|s| s.options).reduce(SubscribeOptions::combine).unwrap_or_default(),
            });
        }
        matched
    }

    fn drop_if_empty(&mut self, filter: &TopicFilter) {
        if self.index.get(filter).is_some_and(Entry::is_empty) {
            self.index.remove(filter);
        }
    }
}

impl Entry {
    fn none(seed: u64) -> Self {
        let subscribers = IndexMap::with_hasher(FixedState::with_seed(seed));
        Self::Many(Box::new(Many { subscribers, storing: 0, groups: Vec::new(), peers: 0, durable_peers: 0 }))
    }

    fn many(&mut self, seed: u64) -> &mut Many {
        if let Self::One(one) = *self {
            *self = Self::none(seed);
            let many = self.many(seed);
            many.storing = u32::from(one.stores());
            many.subscribers.insert(one.session, one);
        }
        match self {
            Self::Many(many) => many,
            Self::One(_) => unreachable!("made into many above"),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Many(many) => many.subscribers.is_empty() && many.groups.is_empty() && many.peers == 0,
        }
    }

    fn interest(&self) -> Interest {
        match self {
            Self::One(one) => Interest { wanted: true, durable: one.stores() },
            Self::Many(many) => Interest { wanted: !many.subscribers.is_empty(), durable: many.storing > 0 },
        }
    }
}

#[cfg(test)]
mod tests;
