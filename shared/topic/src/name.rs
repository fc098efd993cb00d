//! Topic names: what a PUBLISH may be addressed to, and the limits that topic names and filters share.

use std::error::Error;
use std::fmt;

/// Default bound on the levels of a topic name or filter. Every level can cost one step of matching.
pub const LEVELS_MAX: usize = 128;

/// Default bound on the bytes of a topic name or filter. MQTT allows 65,535.
pub const TOPIC_BYTES_MAX: usize = 4096;

/// How large a topic name or a topic filter may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Most bytes of UTF-8 in a topic name or in a filter (with its `$share` prefix). At most 65,535 means anything.
    pub topic_bytes_max: usize,
    /// Most levels; `a/b` has two, `/` has two empty ones.
    pub levels_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { topic_bytes_max: TOPIC_BYTES_MAX, levels_max: LEVELS_MAX }
    }
}

/// Why a string is not a topic name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no characters [MQTT-4.7.3-1].
    Empty,
    /// It has more bytes than the limit.
    TooLong {
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// It has more levels than the limit.
    TooManyLevels {
        /// Levels it has.
        levels: usize,
        /// Levels allowed.
        max: usize,
    },
    /// It contains `+` or `#` [MQTT-3.3.2-2].
    Wildcard {
        /// Byte offset of the first wildcard.
        at: usize,
    },
    /// It contains U+0000 [MQTT-4.7.3-2].
    Nul {
        /// Byte offset of the first U+0000.
        at: usize,
    },
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("the topic name is empty"),
            Self::TooLong { bytes, max } => write!(f, "the topic name has {bytes} bytes, more than {max}"),
            Self::TooManyLevels { levels, max } => write!(f, "the topic name has {levels} levels, more than {max}"),
            Self::Wildcard { at } => write!(f, "the topic name contains a wildcard at byte {at}"),
            Self::Nul { at } => write!(f, "the topic name contains U+0000 at byte {at}"),
        }
    }
}

impl Error for TopicError {}

/// Checks that `topic` is a topic name within `limits`: not empty, no wildcard, no U+0000. Allocates nothing.
///
/// Reserved prefixes such as `$SYS/` are valid names; whether a client may publish there is not decided here.
pub fn check_topic(topic: &str, limits: &Limits) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > limits.topic_bytes_max {
        return Err(TopicError::TooLong { bytes: topic.len(), max: limits.topic_bytes_max });
    }
    let (bad, separators) = survey(topic.as_bytes());
    if bad {
        return Err(first_forbidden(topic));
    }
    let levels = separators + 1;
    if levels > limits.levels_max {
        return Err(TopicError::TooManyLevels { levels, max: limits.levels_max });
    }
    Ok(())
}

/// Whether a topic has a forbidden byte, and the number of its separators, at eight bytes a step.
fn survey(topic: &[u8]) -> (bool, usize) {
    let (words, rest) = topic.as_chunks::<8>();
    // Filler that is neither forbidden nor a separator.
    let mut last = [b'.'; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut bad = 0;
    let mut separators = 0;
    for word in words.iter().chain([&last]) {
        let word = u64::from_le_bytes(*word);
        // `+` and `#` differ in one bit.
        bad |= zero_bytes(word)
            | zero_bytes((word | (EACH_BYTE * u64::from(b'+' ^ b'#'))) ^ (EACH_BYTE * u64::from(b'+')));
        separators += zero_bytes(word ^ (EACH_BYTE * u64::from(b'/'))).count_ones();
    }
    (bad != 0, separators as usize)
}

/// The top bit of each byte of `word` that is zero.
fn zero_bytes(word: u64) -> u64 {
    let low_bits = EACH_BYTE * 0x7F;
    !(((word & low_bits) + low_bits) | word | low_bits)
}

fn is_forbidden(byte: u8) -> bool {
    (byte == b'+') | (byte == b'#') | (byte == 0)
}

#[cold]
fn first_forbidden(topic: &str) -> TopicError {
    let at = topic.bytes().position(is_forbidden);
    assert!(at.is_some(), "sought only after a forbidden byte was seen");
    let at = at.unwrap_or_default();
    if topic.as_bytes()[at] == 0 { TopicError::Nul { at } } else { TopicError::Wildcard { at } }
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(topic: &str) -> Result<(), TopicError> {
        check_topic(topic, &Limits::default())
    }

    #[test]
    fn t1_an_empty_topic_name_is_refused() {
        assert_eq!(check(""), Err(TopicError::Empty));
    }

    #[test]
    fn t2_a_topic_name_with_a_wildcard_is_refused_with_its_place() {
        assert_eq!(check("a/+/b"), Err(TopicError::Wildcard { at: 2 }));
        assert_eq!(check("a/b#"), Err(TopicError::Wildcard { at: 3 }));
        assert_eq!(check("a\0+"), Err(TopicError::Nul { at: 1 }));
    }

    #[test]
    fn t3_a_topic_name_over_the_byte_limit_is_refused() {
        assert_eq!(check(&"x".repeat(TOPIC_BYTES_MAX)), Ok(()));
        let over = "x".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(check(&over), Err(TopicError::TooLong { bytes: 4097, max: 4096 }));
    }

    #[test]
    fn t4_a_topic_name_over_the_level_limit_is_refused() {
        assert_eq!(check(&"/".repeat(LEVELS_MAX - 1)), Ok(()));
        assert_eq!(check(&"/".repeat(LEVELS_MAX)), Err(TopicError::TooManyLevels { levels: 129, max: 128 }));
    }

    #[test]
    fn t6_odd_but_legal_topic_names_pass() {
        for topic in ["$x/y", "$", "//", "/", "a/", " ", "\u{feff}", "\u{1}", "ä/ö"] {
            assert_eq!(check(topic), Ok(()), "{topic:?}");
        }
    }

    proptest! {
        #[test]
        fn a_topic_name_is_judged_as_byte_by_byte(topic in "[a+#/\\.\0\u{1}\u{2b00}ä,\"]{0,40}") {
            let plain = match topic.find(['+', '#', '\0']) {
                _ if topic.is_empty() => Err(TopicError::Empty),
                Some(at) if topic.as_bytes()[at] == 0 => Err(TopicError::Nul { at }),
                Some(at) => Err(TopicError::Wildcard { at }),
                None => match topic.split('/').count() {
                    levels if levels > 8 => Err(TopicError::TooManyLevels { levels, max: 8 }),
                    _ => Ok(()),
                },
            };
            prop_assert_eq!(check_topic(&topic, &Limits { levels_max: 8, ..Limits::default() }), plain);
        }

        #[test]
        fn a_long_plain_topic_name_passes_and_its_levels_are_counted(topic in "[a/]{1,100}") {
            let levels = topic.split('/').count();
            prop_assert_eq!(check_topic(&topic, &Limits { levels_max: levels, ..Limits::default() }), Ok(()));
            let limits = Limits { levels_max: levels - 1, ..Limits::default() };
            prop_assert_eq!(check_topic(&topic, &limits), Err(TopicError::TooManyLevels { levels, max: levels - 1 }));
        }
    }
}
