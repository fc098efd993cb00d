//! Random choices from a seed, so that the same seed gives the same run (I30).

/// A small generator (SplitMix64, Steele, Lea and Flood 2014). Not for secrets that outlive the process; assigned client
/// ids are names, not credentials.
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
