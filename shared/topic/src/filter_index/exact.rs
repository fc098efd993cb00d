//! Filters without wildcards: a hash table of texts.

use crate::hash::KeyedHash;
use crate::id_table::IdTable;
use crate::pool::Pool;

/// A map from texts to values.
pub(super) struct ExactFilters<V> {
    table: IdTable,
    pool: Pool<Option<Entry<V>>>,
    text_bytes: usize,
}

impl<V> ExactFilters<V> {
    pub(super) fn new() -> Self {
        Self { table: IdTable::new(), pool: Pool::new(), text_bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.pool.len()
    }

    #[inline]
    pub(super) fn get(&self, hash: &KeyedHash, text: &str) -> Option<&V> {
        if self.len() == 0 {
            return None;
        }
        let id = self.find(hash.text(text.as_bytes()), text)?;
        self.pool.at(id).as_ref().map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, hash: &KeyedHash, text: &str) -> Option<&mut V> {
        let id = self.find(hash.text(text.as_bytes()), text)?;
        self.pool.at_mut(id).as_mut().map(|entry| &mut entry.value)
    }

    pub(super) fn get_or_insert_with(&mut self, hash: &KeyedHash, text: &str, make: impl FnOnce() -> V) -> &mut V {
        let hashed = hash.text(text.as_bytes());
        let id = self.find(hashed, text).unwrap_or_else(|| {
            let id = self.pool.add(None);
            self.table.insert(hashed, id);
            self.text_bytes += text.len();
            id
        });
        let entry = self.pool.at_mut(id).get_or_insert_with(|| Entry { text: text.into(), value: make() });
        &mut entry.value
    }

    pub(super) fn remove(&mut self, hash: &KeyedHash, text: &str) -> Option<V> {
        let hashed = hash.text(text.as_bytes());
        let id = self.find(hashed, text)?;
        assert!(self.table.remove(hashed, id), "a filter that was found is in the table");
        self.text_bytes -= text.len();
        self.pool.take(id).map(|entry| entry.value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.pool.iter().flatten().map(|entry| (&*entry.text, &entry.value))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.pool.memory_bytes() + self.text_bytes
    }

    #[inline]
    fn find(&self, hashed: u32, text: &str) -> Option<u32> {
        self.table.find(hashed, |id| self.pool.at(id).as_ref().is_some_and(|entry| *entry.text == *text))
    }
}

struct Entry<V> {
    text: Box<str>,
    value: V,
}
