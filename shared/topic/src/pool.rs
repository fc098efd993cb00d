//! Numbered storage: values live in chunks, are named by a `u32`, and free places are used again.
//!
//! Growing never copies more than one chunk, so memory is not doubled at any moment and no call stalls.

use std::mem;

/// A growable array with a free list. A place that was taken holds `T::default()`.
pub(crate) struct Pool<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    live: usize,
}

impl<T: Default> Pool<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), live: 0 }
    }

    /// Values stored and not taken.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Stores a value; its id stays the same until it is taken.
    pub(crate) fn add(&mut self, value: T) -> u32 {
        self.live += 1;
        if let Some(id) = self.free.pop() {
            *self.at_mut(id) = value;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_LEN) {
            // The first chunk grows from nothing, so that a small pool stays small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_LEN };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let last = self.chunks.len() - 1;
        let id = (last << CHUNK_BITS) + self.chunks[last].len();
        assert!(id < NIL as usize, "ids fit 32 bits");
        self.chunks[last].push(value);
        id as u32
    }

    /// Takes a stored value out; its id is free afterwards. Taking the last value gives all memory back.
    pub(crate) fn take(&mut self, id: u32) -> T {
        let value = mem::take(self.at_mut(id));
        self.live -= 1;
        if self.live == 0 {
            *self = Self::new();
        } else {
            self.free.push(id);
        }
        value
    }

    pub(crate) fn at(&self, id: u32) -> &T {
        &self.chunks[id as usize >> CHUNK_BITS][id as usize & (CHUNK_LEN - 1)]
    }

    pub(crate) fn at_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[id as usize >> CHUNK_BITS][id as usize & (CHUNK_LEN - 1)]
    }

    /// All places in the order of their ids, free ones included as `T::default()`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes allocated here, without what the values own elsewhere.
    pub(crate) fn memory_bytes(&self) -> usize {
        let places: usize = self.chunks.iter().map(Vec::capacity).sum();
        places * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

/// An id that no value has.
pub(crate) const NIL: u32 = u32::MAX;

/// 16,384 places: large enough that the list of chunks stays in the nearest cache at ten million values.
const CHUNK_BITS: u32 = 14;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_used_again() {
        let mut pool = Pool::new();
        let ids: Vec<u32> = (0..40_000_u64).map(|value| pool.add(value)).collect();
        assert!(ids.iter().enumerate().all(|(value, &id)| *pool.at(id) == value as u64));
        assert_eq!(pool.take(ids[17]), 17);
        assert_eq!(pool.add(99), ids[17]);
        assert_eq!(pool.len(), 40_000);
    }

    #[test]
    fn an_emptied_pool_holds_no_memory() {
        let mut pool = Pool::new();
        let ids: Vec<u32> = (0..1_000_u64).map(|value| pool.add(value)).collect();
        ids.into_iter().for_each(|id| {
            pool.take(id);
        });
        assert_eq!((pool.len(), pool.memory_bytes()), (0, 0));
    }
}
