//! Values with a unit.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written `512`, `64KiB`, `2MiB` or `1GB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Bytes(pub u64);

/// A length of time, written `500ms`, `10s`, `5m`, `2h` or `7d`; `0` needs no unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Duration(u64);

/// A value that is no amount of its unit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{given}` is not {expected}")]
pub struct UnitError {
    given: String,
    expected: &'static str,
}

impl Bytes {
    /// This many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// This many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes, or the largest `usize` if it is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Duration {
    /// This many milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(n)
    }

    /// This many seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(n * 1000)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// In whole seconds, rounded up.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// Whether it is 0.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        amount(text, &BYTE_UNITS).map(Self).ok_or_else(|| UnitError { given: text.into(), expected: BYTES_EXPECTED })
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let zero = (text.trim() == "0").then_some(0);
        zero.or_else(|| amount(text, &TIME_UNITS))
            .map(Self)
            .ok_or_else(|| UnitError { given: text.into(), expected: DURATION_EXPECTED })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shortest(self.0, &BYTE_UNITS[..BYTE_UNITS_SHOWN], f)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shortest(self.0, &TIME_UNITS, f)
    }
}

/// `digits` and a unit, multiplied out; `None` when it is not of that form or does not fit.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes the value in the largest unit that it is a multiple of. `units` ascend.
fn shortest(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    match fits {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}"),
    }
}

/// The part of [`BYTE_UNITS`] that values are written in.
const BYTE_UNITS_SHOWN: usize = 5;
const BYTE_UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
/// In milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const BYTES_EXPECTED: &str = "a number of bytes such as 1024, 64KiB or 2MiB";
const DURATION_EXPECTED: &str = "a length of time with a unit, such as 500ms, 10s, 5m or 7d";

macro_rules! serde_and_schema {
    ($type:ident, $schema:literal, $expected:ident, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $schema.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "integer"], "pattern": $pattern, "minimum": 0, "format": $schema })
            }
        }
    };
}

serde_and_schema!(Bytes, "bytes", BYTES_EXPECTED, "^[0-9]+ *(B|[kKMGT]B|[KMGT]iB)?$");
serde_and_schema!(Duration, "duration", DURATION_EXPECTED, "^(0|[0-9]+ *(ms|s|m|h|d))$");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_of_bytes_are_read() {
        for (text, bytes) in [("0", 0), ("17", 17), ("64KiB", 65536), ("2 MiB", 2 << 20), ("1GB", 1_000_000_000)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "2mib", "2 M iB", "99999999999999999999", "99999999999TiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_read_and_need_a_unit() {
        for (text, ms) in [("0", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("7d", 604_800_000)] {
            assert_eq!(text.parse(), Ok(Duration(ms)), "{text}");
        }
        for text in ["", "10", "s", "1w", "-1s", "1h30m", "9999999999999999999d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(n: u64) {
            prop_assert_eq!(Bytes(n).to_string().parse(), Ok(Bytes(n)));
            prop_assert_eq!(Duration(n).to_string().parse(), Ok(Duration(n)));
        }

        #[test]
        fn no_text_makes_the_units_panic(text: String) {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Duration>();
        }
    }
}
