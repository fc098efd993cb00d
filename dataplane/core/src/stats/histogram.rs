//! Durations, counted by how long they were.

/// A histogram with fixed bounds: 100 ns, 300 ns, 1 µs, … 10 s, and above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Observations at most as large as [`Histogram::BOUNDS_NS`] at the same place (and above the place before it);
    /// the last counts those above all bounds.
    pub buckets: [u64; Self::BOUNDS_NS.len() + 1],
    /// Sum of all observations in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Upper bounds in nanoseconds: two for each power of ten, from a lookup in a cache to a disk that hangs.
    pub const BOUNDS_NS: [u64; 17] = [
        100,
        300,
        1_000,
        3_000,
        10_000,
        30_000,
        100_000,
        300_000,
        1_000_000,
        3_000_000,
        10_000_000,
        30_000_000,
        100_000_000,
        300_000_000,
        1_000_000_000,
        3_000_000_000,
        10_000_000_000,
    ];

    /// Counts one observation of `ns` nanoseconds.
    pub fn observe(&mut self, ns: u64) {
        let place = Self::BOUNDS_NS.partition_point(|&bound| bound < ns);
        self.buckets[place] += 1;
        self.sum_ns += ns;
    }

    /// How many observations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds the observations of another.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_ns += other.sum_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let mut histogram = Histogram::default();
        for ns in [0, 100, 101, 10_000_000_000, 10_000_000_001] {
            histogram.observe(ns);
        }
        let mut twice = histogram;
        twice.add(&histogram);
        assert_eq!((twice.buckets[0], twice.buckets[1], twice.buckets[16], twice.buckets[17]), (4, 2, 2, 2));
        assert_eq!((twice.count(), twice.sum_ns), (10, 2 * 20_000_000_202));
    }
}
