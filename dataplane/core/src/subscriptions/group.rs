//! Shared groups: each message to exactly one member (I22).

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use slab::Slab;
use sluice_cluster::WorkerId;
use sluice_topic::TopicFilter;

use super::SubscribeOptions;

/// Names a group of this worker: its place in the table, and in the high bits which user of that place it is. Messages
/// that wait name the group they came through, and that may be gone when they are looked at again.
pub(crate) type GroupId = u32;

/// Bits of a [`GroupId`] that are the place: four million groups.
const PLACE_BITS: u32 = 22;

/// All groups of a worker.
pub(crate) struct Groups {
    groups: Slab<Group>,
    by_name: HashMap<(Box<str>, Box<str>), GroupId, FixedState>,
    created: u32,
    seed: u64,
}

/// The members of one group on one filter.
pub(crate) struct Group {
    id: GroupId,
    name: Box<str>,
    filter: TopicFilter,
    /// Members of this worker, by session, those of each [`Standing`] together. Joins and leaves cost the same however
    /// many there are (BAD_INPUT H2).
    pub(crate) members: IndexMap<u32, Member, FixedState>,
    /// Where the members of the first three standings end.
    ends: [usize; 3],
    /// Other workers with members that can take messages, by worker.
    peers: Vec<(WorkerId, MemberCount)>,
    /// For strategies that take turns: over all members everywhere.
    pub(crate) turn: u64,
    /// The same, over the members of this worker.
    pub(crate) local_turn: u64,
    /// For the sticky strategy: the session chosen last.
    pub(crate) sticky: Option<u32>,
}

/// What a member is good for, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standing {
    /// It is connected.
    Connected,
    /// It is connected, but has acknowledged nothing for long while its window was full: what it is given waits.
    Stalled,
    /// It is not, but what it is given waits on disk.
    Away,
    /// It is not, and it takes QoS 0 only.
    Absent,
}

/// What is known of a session's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    /// It has one.
    Connected,
    /// It has one that acknowledges nothing.
    Stalled,
    /// It has none; the session goes on.
    Away,
}

/// How many members of a group a worker has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct MemberCount {
    /// [`Standing::Connected`].
    pub(crate) connected: u32,
    /// [`Standing::Stalled`] and [`Standing::Away`]: what they are given waits.
    pub(crate) waiting: u32,
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
        Self { groups: Slab::new(), by_name: HashMap::with_hasher(FixedState::with_seed(seed)), created: 0, seed }
    }

    /// Finds a group.
    pub(super) fn find(&self, name: &str, filter: &TopicFilter) -> Option<GroupId> {
        self.by_name.get(&(Box::from(name), Box::from(filter.as_str()))).copied()
    }

    /// Makes a group without members.
    ///
    /// # Panics
    /// At more than four million groups: subscriptions are bounded below that.
    pub(super) fn create(&mut self, name: &str, filter: &TopicFilter) -> GroupId {
        let entry = self.groups.vacant_entry();
        let place = entry.key() as u32;
        assert!(place < 1 << PLACE_BITS, "{place} groups");
        self.created = self.created.wrapping_add(1);
        let id = place | self.created << PLACE_BITS;
        entry.insert(Group {
            id,
            name: name.into(),
            filter: filter.clone(),
            members: IndexMap::with_hasher(FixedState::with_seed(self.seed)),
            ends: [0; 3],
            peers: Vec::new(),
            turn: 0,
            local_turn: 0,
            sticky: None,
        });
        self.by_name.insert((name.into(), filter.as_str().into()), id);
        id
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, id: GroupId) {
        let group = self.groups.remove(place(id));
        self.by_name.remove(&(group.name, Box::from(group.filter.as_str())));
    }

    /// A group by its id.
    #[inline]
    pub(super) fn by_id(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(place(id)).filter(|group| group.id == id)
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

    /// Adds a member, or replaces its options.
    pub(crate) fn join(&mut self, member: Member, presence: Presence) {
        self.leave(member.session);
        self.members.insert(member.session, member);
        self.set_presence(member.session, presence);
    }

    /// Takes a member out.
    pub(crate) fn leave(&mut self, session: u32) {
        self.set_standing(session, Standing::Absent);
        self.members.swap_remove(&session);
        if self.sticky == Some(session) {
            self.sticky = None;
        }
    }

    /// Notes what became of the connection of a member.
    pub(crate) fn set_presence(&mut self, session: u32, presence: Presence) {
        let Some(member) = self.members.get(&session) else { return };
        let standing = match presence {
            Presence::Connected => Standing::Connected,
            Presence::Stalled => Standing::Stalled,
            Presence::Away if member.options.qos() > 0 => Standing::Away,
            Presence::Away => Standing::Absent,
        };
        self.set_standing(session, standing);
    }

    /// Moves a member to those of a standing: from one to the next it changes places with the one at the border.
    fn set_standing(&mut self, session: u32, standing: Standing) {
        let Some(mut at) = self.members.get_index_of(&session) else { return };
        let wanted = standing as usize;
        let mut has = self.ends.iter().filter(|&&end| at >= end).count();
        while has != wanted {
            let border = if has > wanted {
                has -= 1;
                self.ends[has] += 1;
                self.ends[has] - 1
            } else {
                self.ends[has] -= 1;
                has += 1;
                self.ends[has - 1]
            };
            self.members.swap_indices(at, border);
            at = border;
        }
    }

    /// The members of this worker that can take messages.
    pub(crate) fn count(&self) -> MemberCount {
        let [connected, _, waiting] = self.ends;
        MemberCount { connected: connected as u32, waiting: (waiting - connected) as u32 }
    }

    /// How many members, from the first on, come into question for a message: those that are connected, if any are, or
    /// those that can keep it.
    pub(crate) fn candidates(&self) -> usize {
        let [connected, _, waiting] = self.ends;
        if connected > 0 { connected } else { waiting }
    }

    /// Whether other workers have members.
    pub(crate) fn is_elsewhere(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The members of all other workers.
    pub(crate) fn count_elsewhere(&self) -> MemberCount {
        self.peers.iter().fold(MemberCount::default(), |sum, (_, count)| MemberCount {
            connected: sum.connected + count.connected,
            waiting: sum.waiting + count.waiting,
        })
    }

    /// Whether a member that could take messages at once is known anywhere.
    pub(crate) fn has_connected(&self) -> bool {
        self.ends[0] > 0 || self.peers.iter().any(|(_, count)| count.connected > 0)
    }

    /// The worker that has the `nth` of the members elsewhere, as `count` counts them.
    pub(crate) fn worker_of_nth(&self, mut nth: u64, count: impl Fn(&MemberCount) -> u32) -> Option<WorkerId> {
        let found = self.peers.iter().find(|(_, members)| {
            let here = u64::from(count(members));
            let found = nth < here;
            nth = nth.saturating_sub(here);
            found
        });
        found.map(|&(worker, _)| worker)
    }

    /// Notes how many members another worker has.
    pub(crate) fn set_peer(&mut self, peer: WorkerId, members: MemberCount) {
        self.peers.retain(|&(worker, _)| worker != peer);
        if members != MemberCount::default() {
            self.peers.push((peer, members));
            self.peers.sort_unstable();
        }
    }
}

fn place(id: GroupId) -> usize {
    (id & ((1 << PLACE_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> (Groups, GroupId) {
        let mut groups = Groups::with_seed(7);
        let filter =
            sluice_topic::ParsedFilter::parse("a/#", &sluice_topic::Limits::default()).expect("a filter").filter;
        let id = groups.create("g", &filter);
        (groups, id)
    }

    fn member(session: u32, qos: u8) -> Member {
        Member { session, id: 0, options: SubscribeOptions::from_bits(qos).expect("options") }
    }

    #[test]
    fn members_of_a_standing_stand_together_whatever_joins_leaves_and_reconnects() {
        let (mut groups, id) = group();
        let group = groups.by_id(id).expect("the group");
        let mut model = std::collections::BTreeMap::new();
        let mut random = 12_345_u32;
        for _ in 0..5_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let presence = [Presence::Connected, Presence::Stalled, Presence::Away][(random >> 29) as usize % 3];
            let (session, qos) = ((random >> 16) % 20, (random >> 28) as u8 % 2);
            match (random >> 24) % 3 {
                0 => {
                    group.join(member(session, qos), presence);
                    model.insert(session, (presence, qos));
                }
                1 => {
                    group.set_presence(session, presence);
                    model.entry(session).and_modify(|(was, _)| *was = presence);
                }
                _ => {
                    group.leave(session);
                    model.remove(&session);
                }
            }
            let standing = |session: &u32| match model[session] {
                (Presence::Connected, _) => Standing::Connected,
                (Presence::Stalled, _) => Standing::Stalled,
                (Presence::Away, 0) => Standing::Absent,
                (Presence::Away, _) => Standing::Away,
            };
            assert_eq!(group.members.len(), model.len());
            assert!(group.members.keys().is_sorted_by_key(standing));
            let count = |wanted| model.keys().filter(|s| standing(s) == wanted).count() as u32;
            let waiting = count(Standing::Stalled) + count(Standing::Away);
            let counted = MemberCount { connected: count(Standing::Connected), waiting };
            assert_eq!(group.count(), counted);
        }
    }

    #[test]
    fn a_name_is_not_that_of_another_group_in_the_same_place() {
        let (mut groups, id) = group();
        groups.remove(id);
        let filter = sluice_topic::ParsedFilter::parse("b", &sluice_topic::Limits::default()).expect("a filter").filter;
        let next = groups.create("h", &filter);
        assert_eq!(place(next), place(id));
        assert!(groups.by_id(id).is_none() && groups.by_id(next).is_some());
    }
}
