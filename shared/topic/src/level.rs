//! Topic levels as fixed-size keys, so that a trie can compare and hash them without touching text.
//!
//! A level of up to 15 bytes is its own key: no table, no memory of its own. A longer one is interned: its key is the
//! number of the one stored copy, which counts how many trie nodes use it. Device ids tend to be short enough: a MAC address
//! has 12 hexadecimal digits, an IMEI 15 decimal ones.

use crate::hash::KeyedHash;
use crate::id_table::IdTable;
use crate::pool::Pool;

/// A level of a filter or topic name, comparable by value. The top byte of the second word tells the kind: a length up to
/// 15 for a level whose bytes stand here, or `SYMBOL`, `PLUS`, `ROOT`, `ABSENT`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct LevelKey([u64; 2]);

impl LevelKey {
    /// The single-level wildcard.
    pub(crate) const PLUS: Self = Self([0, PLUS << KIND_SHIFT]);
    /// What leads to the node above all first levels.
    pub(crate) const ROOT: Self = Self([0, ROOT << KIND_SHIFT]);
    /// A level of a topic name that no filter spells, so that only wildcards match it. No edge has it.
    pub(crate) const ABSENT: Self = Self([0, ABSENT << KIND_SHIFT]);

    /// The 16 bytes to hash.
    pub(crate) fn words(self) -> [u64; 2] {
        self.0
    }

    fn symbol_key(id: u32) -> Self {
        Self([u64::from(id), SYMBOL << KIND_SHIFT])
    }

    fn kind(self) -> u64 {
        self.0[1] >> KIND_SHIFT
    }

    fn symbol(self) -> Option<u32> {
        (self.kind() == SYMBOL).then_some(self.0[0] as u32)
    }
}

/// The key and the length of the level that `window` starts with, if it is short enough to be its own key.
///
/// `window` is the next 16 bytes of a text with `left` bytes to its end, the first byte lowest, zero beyond the end. They
/// are looked at as two words instead of one byte after another.
#[inline]
fn short_level(window: u128, left: usize) -> Option<(LevelKey, usize)> {
    let (low, high) = (window as u64, (window >> 64) as u64);
    let in_low = separators(low);
    if in_low != 0 {
        let bits = in_low.trailing_zeros() & !7;
        return Some((LevelKey([low & mask(bits), u64::from(bits / 8) << KIND_SHIFT]), bits as usize / 8));
    }
    let in_high = separators(high);
    if in_high != 0 {
        let bits = in_high.trailing_zeros() & !7;
        let length = 8 + bits / 8;
        return Some((LevelKey([low, (high & mask(bits)) | (u64::from(length) << KIND_SHIFT)]), length as usize));
    }
    if left < 16 { Some((LevelKey([low, high | ((left as u64) << KIND_SHIFT)]), left)) } else { None }
}

/// The last 16 bytes of a text, or zero bytes and then all of it.
fn last_window(text: &[u8]) -> u128 {
    let window = text.last_chunk::<16>().copied().unwrap_or_else(|| {
        let mut padded = [0; 16];
        padded[16 - text.len()..].copy_from_slice(text);
        padded
    });
    u128::from_le_bytes(window)
}

/// What is left of a text's last window where `left` bytes, fewer than 16, are left of the text.
fn shift_to_last(window: u128, left: usize) -> u128 {
    // In two steps, since all 128 bits may have to go.
    (window >> (8 * (15 - left))) >> 8
}

/// The key of a level that stands alone.
fn lone_short_level(level: &[u8]) -> Option<LevelKey> {
    if level.len() > 15 {
        return None;
    }
    let window = shift_to_last(last_window(level), level.len());
    short_level(window, level.len()).map(|(key, _)| key)
}

/// The top bit of each byte of `word` that is a `/`, and no bit below the first of them (Mycroft's test for a zero byte).
fn separators(word: u64) -> u64 {
    let zero_where_separator = word ^ (EACH_BYTE * u64::from(b'/'));
    zero_where_separator.wrapping_sub(EACH_BYTE) & !zero_where_separator & (EACH_BYTE << 7)
}

/// The lowest `bits` bits, fewer than 64.
fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The stored copies of long levels.
pub(crate) struct Symbols {
    table: IdTable,
    pool: Pool<Symbol>,
    text_bytes: usize,
}

impl Symbols {
    pub(crate) fn new() -> Self {
        Self { table: IdTable::new(), pool: Pool::new(), text_bytes: 0 }
    }

    /// The key of a level, or `LevelKey::ABSENT` if it is long and no node uses it.
    pub(crate) fn key(&self, hash: &KeyedHash, level: &[u8]) -> LevelKey {
        lone_short_level(level).unwrap_or_else(|| self.long_key(hash, level))
    }

    /// The key of a level for a new node, which must `release` it in the end.
    pub(crate) fn acquire(&mut self, hash: &KeyedHash, level: &[u8]) -> LevelKey {
        if let Some(key) = lone_short_level(level) {
            return key;
        }
        let hashed = hash.text(level);
        let id = self.find(hashed, level).unwrap_or_else(|| {
            let id = self.pool.add(Symbol { text: level.into(), users: 0 });
            self.table.insert(hashed, id);
            self.text_bytes += level.len();
            id
        });
        self.pool.at_mut(id).users += 1;
        LevelKey::symbol_key(id)
    }

    /// Gives back a key that `acquire` gave; the last user's release forgets the text.
    pub(crate) fn release(&mut self, hash: &KeyedHash, key: LevelKey) {
        let Some(id) = key.symbol() else {
            return;
        };
        let symbol = self.pool.at_mut(id);
        symbol.users -= 1;
        if symbol.users == 0 {
            let symbol = self.pool.take(id);
            self.text_bytes -= symbol.text.len();
            assert!(self.table.remove(hash.text(&symbol.text), id), "an interned level is in the table");
        }
    }

    /// Appends the text of a level to `out`.
    pub(crate) fn write(&self, key: LevelKey, out: &mut Vec<u8>) {
        if key == LevelKey::PLUS {
            out.push(b'+');
        } else if let Some(id) = key.symbol() {
            out.extend_from_slice(&self.pool.at(id).text);
        } else {
            let bytes = key.words().into_iter().flat_map(u64::to_le_bytes);
            out.extend(bytes.take(key.kind() as usize));
        }
    }

    /// Bytes allocated, the texts included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.pool.memory_bytes() + self.text_bytes
    }

    fn long_key(&self, hash: &KeyedHash, level: &[u8]) -> LevelKey {
        self.find(hash.text(level), level).map_or(LevelKey::ABSENT, LevelKey::symbol_key)
    }

    fn find(&self, hashed: u32, level: &[u8]) -> Option<u32> {
        self.table.find(hashed, |id| *self.pool.at(id).text == *level)
    }
}

/// The keys of a topic name's levels, each made when a match first gets that deep.
pub(crate) struct TopicLevels<'a> {
    symbols: &'a Symbols,
    hash: &'a KeyedHash,
    topic: &'a [u8],
    /// The topic's last 16 bytes, from which its last levels are cut without copying them again.
    last_window: u128,
    /// Where the next level starts; past the end behind the last level.
    next: usize,
    keys: [LevelKey; KEYS_INLINE],
    more_keys: Vec<LevelKey>,
    made: usize,
}

impl<'a> TopicLevels<'a> {
    pub(crate) fn new(symbols: &'a Symbols, hash: &'a KeyedHash, topic: &'a str) -> Self {
        let keys = [LevelKey::ABSENT; KEYS_INLINE];
        let topic = topic.as_bytes();
        Self { symbols, hash, topic, last_window: last_window(topic), next: 0, keys, more_keys: Vec::new(), made: 0 }
    }

    /// The level with this number, from 0; none behind the last. Levels are asked for in order, or again.
    #[inline]
    pub(crate) fn at(&mut self, number: usize) -> Option<LevelKey> {
        if number == self.made {
            self.make()?;
        }
        Some(if number < KEYS_INLINE { self.keys[number] } else { self.more_keys[number - KEYS_INLINE] })
    }

    #[inline]
    fn make(&mut self) -> Option<()> {
        let rest = self.topic.get(self.next..)?;
        let window = rest
            .first_chunk::<16>()
            .map_or_else(|| shift_to_last(self.last_window, rest.len()), |head| u128::from_le_bytes(*head));
        let (key, length) = short_level(window, rest.len()).unwrap_or_else(|| {
            let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            (self.symbols.long_key(self.hash, &rest[..length]), length)
        });
        self.next += length + 1;
        if self.made < KEYS_INLINE {
            self.keys[self.made] = key;
        } else {
            self.more_keys.push(key);
        }
        self.made += 1;
        Some(())
    }
}

/// A long level, and how many nodes use it.
#[derive(Default)]
struct Symbol {
    text: Box<[u8]>,
    users: u32,
}

const KIND_SHIFT: u32 = 56;
const SYMBOL: u64 = 0xFF;
const PLUS: u64 = 0xFE;
const ROOT: u64 = 0xFD;
const ABSENT: u64 = 0xFC;
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;
/// Levels whose keys need no allocation during a match; few topic names have more.
const KEYS_INLINE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_any_length_keeps_its_text_and_ends_at_the_separator() {
        let hash = KeyedHash::new(1);
        let mut symbols = Symbols::new();
        for length in 0..40 {
            let level: Vec<u8> = (0..length).map(|at| b'.' + (at % 5) * 2).collect();
            assert_eq!(symbols.key(&hash, &level) == LevelKey::ABSENT, level.len() > 15);
            let key = symbols.acquire(&hash, &level);
            let mut text = Vec::new();
            symbols.write(key, &mut text);
            assert_eq!(text, level);
            for rest in ["", "/", "//////////////////", "/a", "/another-long-level-of-text"] {
                let topic = format!("{}{rest}", String::from_utf8_lossy(&level));
                let mut levels = TopicLevels::new(&symbols, &hash, &topic);
                assert!(levels.at(0) == Some(key), "{topic}");
                let count = (1..).take_while(|&number| levels.at(number).is_some()).count();
                assert_eq!(count, rest.matches('/').count(), "{topic}");
            }
            symbols.release(&hash, key);
        }
        assert_eq!(symbols.memory_bytes(), 0);
    }
}
