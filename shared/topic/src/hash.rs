//! A keyed hash of short texts and of paths through a trie.
//!
//! Topic names and filters are chosen by clients, so a fixed hash would let one client pile everything into one place
//! of a table. Every operand of every multiplication here is masked by a key that is derived from a secret seed: without
//! the seed, colliding inputs cannot be computed. It is no cryptographic hash; nobody outside ever sees a hash value.

/// A hash function picked by a seed.
#[derive(Clone)]
pub(crate) struct KeyedHash {
    keys: [u64; 5],
}

impl KeyedHash {
    /// The function of `seed`: the same seed gives the same hashes on every machine.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self { keys: std::array::from_fn(|_| split_mix(&mut state)) }
    }

    /// Hashes a text, from one to thousands of bytes.
    #[inline]
    pub(crate) fn text(&self, text: &[u8]) -> u32 {
        let length = text.len() as u64;
        let mut state = self.keys[0] ^ length.wrapping_mul(self.keys[4] | 1);
        let mut rest = text;
        while let Some((head, tail)) = rest.split_first_chunk::<16>() {
            state = fold(word(head, 0) ^ state, word(head, 8) ^ self.keys[1]);
            rest = tail;
        }
        let (low, high) = tail_words(rest);
        finish(fold(fold(low ^ state, high ^ self.keys[2]) ^ length, self.keys[3]))
    }

    /// The hash of the path that leads to a trie's root.
    pub(crate) fn root(&self) -> PathHash {
        PathHash(self.keys[0])
    }

    /// The hash of a path that goes one level further. The 16 bytes stand for the level.
    ///
    /// It depends on the levels alone and on nothing that is stored, so that the processor can fetch what belongs to the
    /// next levels before it knows what it found at this one.
    #[inline]
    pub(crate) fn extend(&self, path: PathHash, [low, high]: [u64; 2]) -> PathHash {
        PathHash(fold(low ^ path.0, high ^ self.keys[1]))
    }
}

/// What a path from a trie's root hashes to, in full; a table takes `short`.
#[derive(Clone, Copy)]
pub(crate) struct PathHash(u64);

impl PathHash {
    pub(crate) fn short(self) -> u32 {
        finish(self.0)
    }
}

/// The last 0 to 15 bytes as two words. Different texts of one length give different words.
fn tail_words(rest: &[u8]) -> (u64, u64) {
    let n = rest.len();
    if n >= 8 {
        (word(rest, 0), word(rest, n - 8))
    } else if n >= 4 {
        (half_word(rest, 0), half_word(rest, n - 4))
    } else if n > 0 {
        (u64::from(rest[0]) | u64::from(rest[n / 2]) << 8 | u64::from(rest[n - 1]) << 16, 0)
    } else {
        (0, 0)
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn half_word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk::<4>().map_or(0, |chunk| u64::from(u32::from_le_bytes(*chunk)))
}

/// The full 128-bit product with its halves folded together: each input bit reaches all output bits.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn finish(hash: u64) -> u32 {
    hash as u32 ^ (hash >> 32) as u32
}

/// One step of `SplitMix64` (Steele, Lea, Flood 2014), which spreads a seed over the keys.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Of `n` random 32-bit values about n²/2³³ pairs collide; twice that and a few is a defect.
    fn assert_spread(hashes: &[u32]) {
        let distinct: HashSet<u32> = hashes.iter().copied().collect();
        let expected = (hashes.len() as u64).pow(2) >> 33;
        assert!((hashes.len() - distinct.len()) as u64 <= expected * 2 + 8);
        let mut buckets = [0_u32; 256];
        let mut low_buckets = [0_u32; 256];
        for hash in hashes {
            buckets[(hash >> 24) as usize] += 1;
            low_buckets[(hash & 0xFF) as usize] += 1;
        }
        let mean = hashes.len() as u32 / 256;
        assert!(buckets.iter().chain(&low_buckets).all(|&n| n > mean * 3 / 4 && n < mean * 5 / 4));
    }

    #[test]
    fn similar_texts_and_paths_spread_evenly() {
        let hash = KeyedHash::new(7);
        let texts: Vec<u32> = (0..200_000).map(|i| hash.text(format!("site/{i}/state").as_bytes())).collect();
        assert_spread(&texts);
        let path = |i: u64| hash.extend(hash.extend(hash.root(), [i >> 8, 2 << 56]), [i & 0xFF, 1 << 56]);
        let paths: Vec<u32> = (0..200_000).map(|i| path(i).short()).collect();
        assert_spread(&paths);
    }

    #[test]
    fn texts_of_every_length_and_with_any_byte_changed_hash_apart() {
        let hash = KeyedHash::new(1);
        let mut seen = HashSet::new();
        for length in 0..100 {
            let mut text = vec![b'a'; length];
            assert!(seen.insert(hash.text(&text)));
            for at in 0..length {
                text[at] = b'b';
                assert!(seen.insert(hash.text(&text)), "{length} {at}");
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn another_seed_gives_another_function() {
        assert_ne!(KeyedHash::new(1).text(b"a/b"), KeyedHash::new(2).text(b"a/b"));
    }
}
