//! Changes to inputs that are the same on every machine and every run, so that the tests can look around a corpus
//! without libFuzzer.

/// A stream of changes; the same seed gives the same changes.
#[derive(Clone, Debug)]
pub struct Mutation {
    state: u64,
}

impl Mutation {
    /// Changes number `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64*: no more is asked of it than to wander.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    /// `base` with one to four changes; `other` lends pieces.
    #[must_use]
    pub fn apply(&mut self, base: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let byte = INTERESTING[self.below(INTERESTING.len())];
        match self.below(7) {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] = byte,
            3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            4 if at < bytes.len() => drop(bytes.drain(at..bytes.len().min(at + 1 + self.below(8)))),
            5 if !other.is_empty() => {
                let from = self.below(other.len());
                let piece = &other[from..other.len().min(from + 1 + self.below(64))];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => bytes.insert(at, self.below(256) as u8),
        }
    }
}

const INTERESTING: [u8; 16] = [0, 1, 2, 4, 5, 6, 0x10, 0x26, 0x7F, 0x80, 0xFF, b'/', b'+', b'#', b'$', b'\n'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_changes_and_another_seed_others() {
        let changed = |seed| Mutation::new(seed).apply(b"a few bytes", b"other");
        assert_eq!(changed(1), changed(1));
        assert!((2..20).any(|seed| changed(seed) != changed(1)));
    }
}
