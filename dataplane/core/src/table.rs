//! A table that grows by pages: what is in it never moves, and it never holds twice the memory it needs, as a vector
//! does that has just grown.

/// Values by place; places are used again.
#[derive(Debug)]
pub(crate) struct Table<T> {
    pages: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

/// Values of a page, a power of two.
const PAGE: usize = 256;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Table<T> {
    /// Puts a value in a free place and tells which.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(place) = self.free.pop() {
            self.pages[place as usize / PAGE][place as usize % PAGE] = Some(value);
            return place;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let page = self.pages.len() - 1;
        self.pages[page].push(Some(value));
        (page * PAGE + self.pages[page].len() - 1) as u32
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.pages.get(place as usize / PAGE)?.get(place as usize % PAGE)?.as_ref()
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.pages.get_mut(place as usize / PAGE)?.get_mut(place as usize % PAGE)?.as_mut()
    }

    /// Takes the value at a place out.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let value = self.pages.get_mut(place as usize / PAGE)?.get_mut(place as usize % PAGE)?.take()?;
        self.free.push(place);
        self.len -= 1;
        Some(value)
    }

    /// All values with their places, in order of place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.pages.iter().flatten().enumerate();
        places.filter_map(|(place, value)| value.as_ref().map(|value| (place as u32, value)))
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places there are, used or not.
    pub(crate) fn places(&self) -> u32 {
        self.pages.last().map_or(0, |last| ((self.pages.len() - 1) * PAGE + last.len()) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_values_stay_where_they_are() {
        let mut table = Table::default();
        let places: Vec<u32> = (0..1000).map(|n| table.insert(n)).collect();
        assert_eq!((table.len(), table.places()), (1000, 1000));
        assert!((0..1000).step_by(3).all(|n| table.remove(places[n as usize]) == Some(n)));
        assert_eq!((table.remove(places[0]), table.get(places[0]), table.get(5_000)), (None, None, None));
        let again: Vec<u32> = (0..334).map(|n| table.insert(n)).collect();
        assert!(again.iter().all(|&place| place < 1000));
        assert_eq!((table.len(), table.places()), (1000, 1000));
        assert_eq!(table.get(places[1]), Some(&1));
        assert_eq!(table.iter().count(), 1000);
    }
}
