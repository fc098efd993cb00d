//! A hash table that holds only ids: 32 bits of hash and 32 bits of id to an entry, while keys and values live where the
//! ids point. It never stops to rehash everything.
//!
//! The top bits of a hash pick a segment through a directory (extendible hashing: Fagin and others, 1979); within a
//! segment the remaining bits give the home slot, and collisions go to the next free slot. A segment that fills up grows
//! by a quarter, and from `SEGMENT_SLOTS_MAX` on splits in two. So an insertion moves at most one segment's entries,
//! and the table is between 60 % and 75 % full at any size above a few dozen entries.
//!
//! Moves need no key, since an entry carries its hash. Invariants: between an entry's home slot and its slot no slot is
//! empty; a segment of depth `d` is named by `2^(depth - d)` neighbouring places of the directory.

/// A set of ids by hash; several ids may share a hash.
pub(crate) struct IdTable {
    directory: Vec<u32>,
    segments: Vec<Segment>,
    depth: u32,
    len: usize,
}

impl IdTable {
    /// An empty table, which allocates nothing.
    pub(crate) fn new() -> Self {
        Self { directory: Vec::new(), segments: Vec::new(), depth: 0, len: 0 }
    }

    /// Finds the id among those stored under `hash` for which `is_it` says yes.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let number = *self.directory.get(self.place(hash))?;
        self.segments[number as usize].find(hash, is_it)
    }

    /// Stores `id` under `hash`. The caller has made sure that it is not there.
    pub(crate) fn insert(&mut self, hash: u32, id: u32) {
        if self.directory.is_empty() {
            self.segments.push(Segment::new(0, SEGMENT_SLOTS_MIN));
            self.directory.push(0);
        }
        self.len += 1;
        loop {
            let number = self.directory[self.place(hash)] as usize;
            let segment = &mut self.segments[number];
            if segment.has_room() {
                segment.insert(entry(hash, id));
                return;
            }
            if segment.slots.len() < SEGMENT_SLOTS_MAX || segment.depth == DEPTH_MAX {
                segment.resize(segment.slots.len() + segment.slots.len() / 4 + 1);
            } else {
                self.split(number, hash);
            }
        }
    }

    /// Removes `id`, stored under `hash`; says whether it was there. Removing the last one gives all memory back.
    pub(crate) fn remove(&mut self, hash: u32, id: u32) -> bool {
        let Some(&number) = self.directory.get(self.place(hash)) else {
            return false;
        };
        if !self.segments[number as usize].remove(entry(hash, id)) {
            return false;
        }
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        }
        true
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self.segments.iter().map(|segment| segment.slots.len()).sum();
        slots * size_of::<u64>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.directory.capacity() * size_of::<u32>()
    }

    fn place(&self, hash: u32) -> usize {
        ((u64::from(hash) << self.depth) >> 32) as usize
    }

    /// Splits a segment by the next bit of its hashes.
    fn split(&mut self, number: usize, hash: u32) {
        let depth = self.segments[number].depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
        }
        let sibling = self.segments.len() as u32;
        let upper = self.segments[number].split();
        self.segments.push(upper);
        // The places that named the segment start where all bits after its own are 0; the upper half goes to the sibling.
        let width = 1_usize << (self.depth - depth);
        let first = self.place(hash) & !(width - 1);
        self.directory[first + width / 2..first + width].fill(sibling);
    }
}

/// An open-addressing table of the entries whose hashes share their first `depth` bits.
struct Segment {
    slots: Box<[u64]>,
    len: u32,
    depth: u32,
}

impl Segment {
    fn new(depth: u32, slots: usize) -> Self {
        Self { slots: vec![EMPTY; slots].into_boxed_slice(), len: 0, depth }
    }

    /// At most three quarters of the slots are used: a search that fails then looks at 8.5 slots on average.
    fn has_room(&self) -> bool {
        (self.len as usize + 1) * 4 <= self.slots.len() * 3
    }

    fn home(&self, hash: u32) -> usize {
        // The bits after those of the directory, scaled to the number of slots, which need not be a power of two.
        let bits = u64::from(hash << self.depth);
        ((bits * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    #[inline]
    fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut slot = self.home(hash);
        loop {
            let found = self.slots[slot];
            if found == EMPTY {
                return None;
            }
            if hash_of(found) == hash && is_it(id_of(found)) {
                return Some(id_of(found));
            }
            slot = self.after(slot);
        }
    }

    fn insert(&mut self, entry: u64) {
        let mut slot = self.home(hash_of(entry));
        while self.slots[slot] != EMPTY {
            slot = self.after(slot);
        }
        self.slots[slot] = entry;
        self.len += 1;
    }

    fn remove(&mut self, entry: u64) -> bool {
        let mut slot = self.home(hash_of(entry));
        while self.slots[slot] != entry {
            if self.slots[slot] == EMPTY {
                return false;
            }
            slot = self.after(slot);
        }
        self.close_gap(slot);
        self.len -= 1;
        // Below a quarter full it shrinks to half full, so that growth is far away again.
        if self.slots.len() > SEGMENT_SLOTS_MIN && self.len as usize * 4 < self.slots.len() {
            self.resize((self.len as usize * 2).max(SEGMENT_SLOTS_MIN));
        }
        true
    }

    /// Empties a slot and moves later entries up, so that every entry stays reachable from its home without a gap.
    fn close_gap(&mut self, mut gap: usize) {
        let slots = self.slots.len();
        let mut slot = gap;
        loop {
            slot = self.after(slot);
            let moved = self.slots[slot];
            if moved == EMPTY {
                break;
            }
            let from_home = (slot + slots - self.home(hash_of(moved))) % slots;
            let from_gap = (slot + slots - gap) % slots;
            if from_home >= from_gap {
                self.slots[gap] = moved;
                gap = slot;
            }
        }
        self.slots[gap] = EMPTY;
    }

    fn resize(&mut self, slots: usize) {
        let mut resized = Self::new(self.depth, slots);
        self.entries().for_each(|entry| resized.insert(entry));
        *self = resized;
    }

    /// Keeps the entries whose next bit is 0 and returns a segment with the others.
    fn split(&mut self) -> Self {
        let depth = self.depth + 1;
        let is_upper = |entry: u64| (hash_of(entry) << self.depth) >> 31 == 1;
        let upper_len = self.entries().filter(|&entry| is_upper(entry)).count();
        let mut upper = Self::new(depth, slots_for(upper_len));
        let mut lower = Self::new(depth, slots_for(self.len as usize - upper_len));
        for entry in self.entries() {
            if is_upper(entry) { upper.insert(entry) } else { lower.insert(entry) }
        }
        *self = lower;
        upper
    }

    fn entries(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|&entry| entry != EMPTY)
    }
}

fn entry(hash: u32, id: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(id)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn id_of(entry: u64) -> u32 {
    entry as u32
}

/// 60 % full: a quarter more entries fit before the segment grows.
fn slots_for(len: usize) -> usize {
    (len * 5 / 3 + 1).max(SEGMENT_SLOTS_MIN)
}

/// No entry looks like this: no id is `u32::MAX`.
const EMPTY: u64 = u64::MAX;
const SEGMENT_SLOTS_MIN: usize = 8;
/// 128 KiB: rebuilding one takes some 50 µs, and ten million entries make about a thousand segments.
const SEGMENT_SLOTS_MAX: usize = 1 << 14;
/// Leaves 14 bits of hash within a segment. A quarter of a million segments hold three thousand million entries.
const DEPTH_MAX: u32 = 18;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn scramble(id: u32) -> u32 {
        id.wrapping_mul(0x9E37_79B1)
    }

    #[test]
    fn every_entry_is_found_while_segments_grow_split_and_shrink() {
        let mut table = IdTable::new();
        let count = 300_000;
        for id in 0..count {
            table.insert(scramble(id), id);
        }
        assert!(table.segments.len() > 16);
        let per_entry = table.memory_bytes() as f64 / f64::from(count);
        assert!(per_entry < 14.5, "{per_entry} bytes an entry");
        for id in 0..count {
            assert_eq!(table.find(scramble(id), |found| found == id), Some(id));
        }
        assert_eq!(table.find(scramble(count), |_| true), None);
        for id in 0..count - 1 {
            assert!(table.remove(scramble(id), id));
            assert!(!table.remove(scramble(id), id));
        }
        assert_eq!(table.find(scramble(count - 1), |_| true), Some(count - 1));
        assert!(table.memory_bytes() < 16 * 1024);
        assert!(table.remove(scramble(count - 1), count - 1));
        assert_eq!(table.memory_bytes(), 0);
    }

    #[test]
    fn equal_hashes_beyond_one_segment_are_still_stored() {
        let mut table = IdTable::new();
        let count = SEGMENT_SLOTS_MAX as u32;
        (0..count).for_each(|id| table.insert(5, id));
        assert_eq!(table.find(5, |id| id == count - 1), Some(count - 1));
        assert!(table.depth <= DEPTH_MAX);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_sets(steps in prop::collection::vec((0_u32..64, any::<bool>()), 0..400), shift in 0_u32..32) {
            let mut table = IdTable::new();
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (id, add) in steps {
                let hash = (id % 7) << shift;
                if add && !model.contains_key(&id) {
                    table.insert(hash, id);
                    model.insert(id, hash);
                } else if !add {
                    prop_assert_eq!(table.remove(hash, id), model.remove(&id).is_some());
                }
                for id in 0..64 {
                    let found = table.find((id % 7) << shift, |other| other == id);
                    prop_assert_eq!(found.is_some(), model.contains_key(&id));
                }
            }
        }
    }
}
