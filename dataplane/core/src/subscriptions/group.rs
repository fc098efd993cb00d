//! Shared groups: each message to exactly one member (I22).

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use slab::Slab;
use sluice_cluster::WorkerId;
use sluice_topic::TopicFilter;

use super::SubscribeOptions;

/// A group's place in this worker's table.
pub(crate) type GroupId = u32;

/// All groups of a worker.
pub(crate) struct Groups {
    groups: Slab<Group>,
    by_name: HashMap<(Box<str>, Box<str>), GroupId, FixedState>,
    seed: u64,
}

/// The members of one group on one filter.
pub(crate) struct Group {
    name: Box<str>,
    filter: TopicFilter,
    /// Members of this worker, by session. Joins and leaves cost the same however many there are (BAD_INPUT H2).
    pub(crate) members: IndexMap<u32, Member, FixedState>,
    /// Other workers with connected members, and how many, by worker.
    pub(crate) peers: Vec<(WorkerId, u32)>,
    /// For strategies that take turns: over all members everywhere.
    pub(crate) turn: u64,
    /// The same, over the members of this worker.
    pub(crate) local_turn: u64,
    /// For the sticky strategy: the session chosen last.
    pub(crate) sticky: Option<u32>,
}

/// A session in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Place in the session table.
    pub(crate) session: u32,
    /// Subscription identifier; 0 = none.
    pub(crate) id: u32,
    /// QoS and Retain As Published.
    pub(crate) options: SubscribeOptions,
}

impl Groups {
    /// No groups; `seed` keys the hash of names, which clients choose.
    pub(super) fn with_seed(seed: u64) -> Self {
        Self { groups: Slab::new(), by_name: HashMap::with_hasher(FixedState::with_seed(seed)), seed }
    }

    /// Finds a group.
    pub(super) fn find(&self, name: &str, filter: &TopicFilter) -> Option<GroupId> {
        self.by_name.get(&(Box::from(name), Box::from(filter.as_str()))).copied()
    }

    /// Makes a group without members.
    pub(super) fn create(&mut self, name: &str, filter: &TopicFilter) -> GroupId {
        let id = self.groups.insert(Group {
            name: name.into(),
            filter: filter.clone(),
            members: IndexMap::with_hasher(FixedState::with_seed(self.seed)),
            peers: Vec::new(),
            turn: 0,
            local_turn: 0,
            sticky: None,
        }) as GroupId;
        self.by_name.insert((name.into(), filter.as_str().into()), id);
        id
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, id: GroupId) {
        let group = self.groups.remove(id as usize);
        self.by_name.remove(&(group.name, Box::from(group.filter.as_str())));
    }

    /// A group by its id.
    pub(super) fn by_id(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id as usize)
    }
}

impl Group {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The filter it shares.
    pub(crate) fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// Whether it has no members, here or elsewhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.peers.is_empty()
    }

    /// Adds a member or replaces its options.
    pub(crate) fn join(&mut self, member: Member) {
        self.members.insert(member.session, member);
    }

    /// Takes a member out.
    pub(crate) fn leave(&mut self, session: u32) {
        self.members.swap_remove(&session);
        if self.sticky == Some(session) {
            self.sticky = None;
        }
    }

    /// Notes how many connected members another worker has.
    pub(crate) fn set_peer(&mut self, peer: WorkerId, members: u32) {
        self.peers.retain(|&(worker, _)| worker != peer);
        if members > 0 {
            self.peers.push((peer, members));
            self.peers.sort_unstable();
        }
    }
}
