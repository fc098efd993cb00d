//! The order of the topics: leaves of neighbouring ids, and a B-tree over the leaves.
//!
//! Invariants: if there is any id, there is a leaf with the empty key; every id in a leaf has a topic whose key is not
//! below the leaf's key and below the next leaf's key; only the leaf with the empty key may be empty.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::hint::black_box;
use std::ops::Bound;

use super::Entries;

/// All ids in the order of their topics.
pub(super) struct Order {
    leaves: Leaves,
}

type Leaves = BTreeMap<Box<[u8]>, Vec<u32>>;

impl Order {
    pub(super) fn new() -> Self {
        Self { leaves: BTreeMap::new() }
    }

    /// Adds an entry that is not there.
    pub(super) fn insert<V>(&mut self, entries: &Entries<V>, topic: &str, id: u32) {
        let key = key(topic);
        let Some((_, leaf)) = self.leaves.range_mut::<[u8], _>(up_to(&key)).next_back() else {
            self.leaves.insert(Box::default(), vec![id]);
            return;
        };
        let at = lower_bound(entries, leaf, &key);
        if leaf.len() < LEAF_MAX {
            leaf.insert(at, id);
            return;
        }
        // Topics that arrive in order fill leaf after leaf; others split a leaf in its middle.
        let middle = if at == leaf.len() { at } else { leaf.len() / 2 };
        let mut upper = Vec::with_capacity(LEAF_MAX);
        upper.extend(leaf.drain(middle..));
        if at < middle {
            leaf.insert(at, id)
        } else {
            upper.insert(at - middle, id)
        }
        let below = leaf.last().map_or("", |&id| entries.topic(id));
        let first = upper.first().map_or("", |&id| entries.topic(id));
        let boundary = boundary(below, first);
        self.leaves.insert(boundary, upper);
    }

    /// Removes an entry that is there.
    pub(super) fn remove<V>(&mut self, entries: &Entries<V>, topic: &str, id: u32) {
        let key = key(topic);
        let Some((from, leaf)) = self.leaves.range_mut::<[u8], _>(up_to(&key)).next_back() else {
            return;
        };
        let at = lower_bound(entries, leaf, &key);
        assert_eq!(leaf.get(at), Some(&id), "a stored entry is in the leaf of its key");
        leaf.remove(at);
        if leaf.len() < LEAF_MIN {
            let from = from.clone();
            self.join(&from);
        }
        if entries.pool.len() == 1 {
            self.leaves.clear();
        }
    }

    /// Joins a small leaf with the one behind or before it if that leaves room to grow.
    fn join(&mut self, from: &[u8]) {
        let behind = self.leaves.range::<[u8], _>((Bound::Excluded(from), Bound::Unbounded)).next();
        let behind = behind.map(|(key, leaf)| (key.clone(), leaf.len()));
        let before = self.leaves.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(from))).next_back();
        let before = before.map(|(key, leaf)| (key.clone(), leaf.len()));
        let own = self.leaves.get(from).map_or(0, Vec::len);
        let fits = |other: &Option<(Box<[u8]>, usize)>| other.as_ref().is_some_and(|&(_, len)| len + own <= JOINED_MAX);
        if fits(&behind) {
            self.append(from, behind.map(|(key, _)| key));
        } else if (fits(&before) || own == 0)
            && let Some((key, _)) = before
        {
            self.append(&key, Some(from.into()));
        }
    }

    fn append(&mut self, to: &[u8], from: Option<Box<[u8]>>) {
        let moved = from.and_then(|from| self.leaves.remove(&from)).unwrap_or_default();
        if let Some(leaf) = self.leaves.get_mut(to) {
            leaf.extend(moved);
        }
    }

    /// Bytes allocated. What the B-tree's nodes take is estimated: they are two thirds full on average.
    pub(super) fn memory_bytes(&self) -> usize {
        let keys: usize = self.leaves.keys().map(|key| key.len()).sum();
        let ids: usize = self.leaves.values().map(Vec::capacity).sum();
        keys + ids * size_of::<u32>() + self.leaves.len() * (size_of::<Box<[u8]>>() + size_of::<Vec<u32>>()) * 3 / 2
    }
}

/// A place in the order that moves forward.
pub(super) struct Cursor<'a, V> {
    entries: &'a Entries<V>,
    leaves: &'a Leaves,
    /// The leaves behind the one the cursor is in.
    further: Range<'a, Box<[u8]>, Vec<u32>>,
    leaf: &'a [u32],
}

impl<'a, V> Cursor<'a, V> {
    /// At the first entry whose key is not below `key`.
    pub(super) fn new(entries: &'a Entries<V>, order: &'a Order, key: &[u8]) -> Self {
        let mut cursor = Self { entries, leaves: &order.leaves, further: order.leaves.range::<[u8], _>(..), leaf: &[] };
        cursor.jump(key);
        cursor
    }

    /// The id here, and moves behind it.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        loop {
            if let Some((&id, rest)) = self.leaf.split_first() {
                self.leaf = rest;
                return Some(id);
            }
            self.leaf = self.further.next()?.1;
            self.load_leaf();
        }
    }

    /// Reads a byte of each topic in the leaf. Topics that were stored at different times lie far apart; these reads depend
    /// on nothing, so that the processor waits for all of them at once and not for one topic after another.
    fn load_leaf(&self) {
        let first_bytes = self.leaf.iter().filter_map(|&id| self.entries.topic(id).as_bytes().first());
        black_box(first_bytes.fold(0, |all, &byte| all | byte));
    }

    /// Moves forward to the first entry whose key is not below `key`: within the leaf if it is there, since a jump through
    /// the B-tree costs as much as passing over some dozens of entries.
    pub(super) fn seek(&mut self, key: &[u8]) {
        match self.leaf.last() {
            Some(&last) if compare(self.entries.topic(last), key).is_ge() => {
                self.leaf = &self.leaf[lower_bound(self.entries, self.leaf, key)..];
            }
            Some(_) | None => self.jump(key),
        }
    }

    fn jump(&mut self, key: &[u8]) {
        let Some((from, leaf)) = self.leaves.range::<[u8], _>(up_to(key)).next_back() else {
            return;
        };
        self.further = self.leaves.range::<[u8], _>((Bound::Excluded(&**from), Bound::Unbounded));
        self.leaf = &leaf[lower_bound(self.entries, leaf, key)..];
    }
}

/// The key of a topic, or of the beginning of one.
pub(super) fn key(topic: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(topic.len() + 1);
    push_key(&mut key, topic.as_bytes());
    key
}

/// Appends the key of some of a topic's bytes.
pub(super) fn push_key(key: &mut Vec<u8>, topic: &[u8]) {
    key.extend(topic.iter().map(|&byte| key_byte(byte)));
}

/// A topic's byte in a key.
pub(super) fn key_byte(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

/// Compares a topic's key with a key.
fn compare(topic: &str, key: &[u8]) -> Ordering {
    let topic = topic.as_bytes();
    for (&byte, &other) in topic.iter().zip(key) {
        let byte = key_byte(byte);
        if byte != other {
            return byte.cmp(&other);
        }
    }
    topic.len().cmp(&key.len())
}

/// The index of the first entry in a leaf whose key is not below `key`.
fn lower_bound<V>(entries: &Entries<V>, leaf: &[u32], key: &[u8]) -> usize {
    leaf.partition_point(|&id| compare(entries.topic(id), key).is_lt())
}

/// The shortest key that is above one topic's key and not above the next one's.
fn boundary(below: &str, first: &str) -> Box<[u8]> {
    let same = below.bytes().zip(first.bytes()).take_while(|(a, b)| a == b).count();
    key(first).into_iter().take(same + 1).collect()
}

fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

/// Ids to a leaf: four cache lines, and six steps of search.
const LEAF_MAX: usize = 64;
/// A leaf with fewer ids looks for a neighbour to join.
const LEAF_MIN: usize = LEAF_MAX / 4;
/// What a joined leaf may hold, so that it does not split at the next insertion.
const JOINED_MAX: usize = LEAF_MAX * 3 / 4;
