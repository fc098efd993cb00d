//! The names that weigh most in a stream, in bounded memory: Space-Saving (Metwally, Agrawal and El Abbadi 2005), with
//! weights.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    hash::BuildHasher as _,
};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Counts of at most so many names. A name that is not held weighed no more than the lightest that is; one that is held
/// weighed no more than its count, and no less than that minus its error. No error is more than all weight together divided
/// by the number of names that can be held.
///
/// Deterministic: the same stream gives the same names, in the same order. Bounded: the names' text aside, some 60 bytes for
/// each that can be held.
pub(super) struct Sketch {
    held: Vec<Held>,
    /// The places of the names, by their hashes.
    places: HashTable<u32>,
    /// A count that each name had, which may have grown since, and its place: the one with the least may be the lightest.
    lightest: BinaryHeap<Reverse<(u64, u32)>>,
    names_max: usize,
    hash: FixedState,
}

struct Held {
    name: Box<str>,
    count: Count,
}

/// What is known of the weight of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Count {
    /// It weighed no more.
    pub(super) most: u64,
    /// So much of that may be of names that were held before it.
    pub(super) error: u64,
}

impl Count {
    /// It weighed no less.
    pub(super) fn least(self) -> u64 {
        self.most - self.error
    }
}

impl Sketch {
    /// Holds nothing yet, and never more than `names_max` names, at least one. `seed` keys the hashes.
    pub(super) fn new(names_max: usize, seed: u64) -> Self {
        assert!(names_max > 0, "a sketch holds names");
        Self {
            held: Vec::new(),
            places: HashTable::new(),
            lightest: BinaryHeap::new(),
            names_max,
            hash: FixedState::with_seed(seed),
        }
    }

    /// Adds weight to a name.
    pub(super) fn add(&mut self, name: &str, weight: u64) {
        let hash = self.hash.hash_one(name);
        let held = &mut self.held;
        if let Some(&place) = self.places.find(hash, |&place| &*held[place as usize].name == name) {
            let count = &mut held[place as usize].count;
            count.most = count.most.saturating_add(weight);
            return;
        }
        let (place, error) = if self.held.len() < self.names_max { (None, 0) } else { self.let_go() };
        self.hold(place, Held { name: name.into(), count: Count { most: error.saturating_add(weight), error } });
    }

    /// Halves all weights, so that what is long past weighs next to nothing.
    pub(super) fn halve(&mut self) {
        self.places.clear();
        self.lightest.clear();
        for Held { name, count } in std::mem::take(&mut self.held) {
            // Rounded so that the bounds hold.
            let (least, most) = (count.least() / 2, count.most.div_ceil(2));
            if most > 1 {
                self.hold(None, Held { name, count: Count { most, error: most - least } });
            }
        }
    }

    /// All names that are held.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Count)> {
        self.held.iter().map(|held| (&*held.name, held.count))
    }

    /// Gives up the lightest name. Its place, and what it weighed at most.
    fn let_go(&mut self) -> (Option<u32>, u64) {
        while let Some(mut top) = self.lightest.peek_mut() {
            let Reverse((seen, place)) = *top;
            let Held { name, count } = &self.held[place as usize];
            if seen < count.most {
                *top = Reverse((count.most, place));
                continue;
            }
            PeekMut::pop(top);
            let found = self.places.find_entry(self.hash.hash_one(&**name), |&other| other == place);
            if let Ok(found) = found {
                found.remove();
            }
            return (Some(place), count.most);
        }
        (None, 0)
    }

    /// Puts a name that is not held into a place that is free, or a new one.
    fn hold(&mut self, place: Option<u32>, new: Held) {
        let (hash, most) = (self.hash.hash_one(&*new.name), new.count.most);
        let place = place.unwrap_or(self.held.len() as u32);
        match self.held.get_mut(place as usize) {
            Some(held) => *held = new,
            None => self.held.push(new),
        }
        let (held, hasher) = (&self.held, &self.hash);
        self.places.insert_unique(hash, place, |&place| hasher.hash_one(&*held[place as usize].name));
        self.lightest.push(Reverse((most, place)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn held(sketch: &Sketch) -> Vec<(String, Count)> {
        sketch.iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    proptest! {
        #[test]
        fn no_count_is_outside_of_its_bounds_and_none_that_matters_is_missing(
            names_max in 1..12usize,
            // Few names weigh much, many weigh little.
            stream in proptest::collection::vec((0..40u64, 1..50u64), 0..400),
        ) {
            let mut sketch = Sketch::new(names_max, 7);
            let mut again = Sketch::new(names_max, 7);
            let mut truth: BTreeMap<String, u64> = BTreeMap::new();
            let mut all = 0;
            for (nth, weight) in stream {
                let name = format!("t{}", nth * nth / 40);
                *truth.entry(name.clone()).or_default() += weight;
                all += weight;
                sketch.add(&name, weight);
                again.add(&name, weight);
                prop_assert!(sketch.held.len() <= names_max && sketch.lightest.len() <= names_max);
                prop_assert_eq!(sketch.places.len(), sketch.held.len());
            }
            prop_assert_eq!(held(&sketch), held(&again));
            let mut counted = 0;
            for (name, count) in sketch.iter() {
                let truth = truth[name];
                prop_assert!(count.least() <= truth && truth <= count.most, "{name}: {truth}, {count:?}");
                prop_assert!(count.error <= all / names_max as u64, "{name}: {count:?} of {all}");
                counted += count.most;
            }
            prop_assert_eq!(counted, all, "no weight is lost");
            for (name, truth) in &truth {
                if *truth > all / names_max as u64 {
                    prop_assert!(sketch.iter().any(|(held, _)| held == name), "{name} of {truth} is missing");
                }
            }
        }

        #[test]
        fn halving_keeps_the_bounds_and_lets_go_of_what_weighs_nothing(
            stream in proptest::collection::vec((0..9u64, 1..9u64, any::<bool>()), 0..100),
        ) {
            let mut sketch = Sketch::new(4, 7);
            // In units small enough that halving is exact.
            let mut truth: BTreeMap<String, f64> = BTreeMap::new();
            for (nth, weight, halves) in stream {
                let name = format!("t{nth}");
                *truth.entry(name.clone()).or_default() += weight as f64;
                sketch.add(&name, weight);
                if halves {
                    sketch.halve();
                    truth.values_mut().for_each(|truth| *truth /= 2.0);
                }
            }
            for (name, count) in sketch.iter() {
                let truth = truth[name];
                prop_assert!(count.least() as f64 <= truth, "{name}: {truth}, {count:?}");
                prop_assert!(count.most > 0 && count.error <= count.most);
            }
        }
    }

    #[test]
    fn what_has_stopped_is_forgotten() {
        let mut sketch = Sketch::new(4, 7);
        sketch.add("a", 1_000);
        (0..10).for_each(|_| sketch.halve());
        assert_eq!(held(&sketch), []);
    }
}
