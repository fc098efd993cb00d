//! Quantities and ids as people read them.

use std::collections::BTreeSet;

/// Bytes, with the unit that fits.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let unit = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match unit.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, name)) => format!("{:.1} {name}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

/// How many of something there are.
#[must_use]
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A time span by its two largest units.
#[must_use]
pub fn duration(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) => format!("{ms}ms"),
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes, _) => format!("{hours}h{}m", minutes % 60),
        (days, hours, ..) => format!("{days}d{}h", hours % 24),
    }
}

/// How many characters of ids are enough to tell them apart: four at least, so that they are still recognised.
#[must_use]
pub fn short_ids<'a>(ids: impl Iterator<Item = &'a str> + Clone) -> usize {
    let longest = ids.clone().map(|id| id.chars().count()).max().unwrap_or(0);
    let count = ids.clone().collect::<BTreeSet<_>>().len();
    let tells_apart = |length: &usize| {
        let starts = ids.clone().map(|id| id.chars().take(*length).collect::<String>());
        starts.collect::<BTreeSet<_>>().len() == count
    };
    (SHORT_MIN..longest).find(tells_apart).unwrap_or(longest)
}

const SHORT_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_unit_that_fits() {
        assert_eq!([0, 1023, 1024, 2_254_857_830].map(bytes), ["0 B", "1023 B", "1.0 KiB", "2.1 GiB"]);
        let spans = [9, 59_999, 61_000, 3_600_000, 90_000_000].map(duration);
        assert_eq!(spans, ["9ms", "59s", "1m1s", "1h0m", "1d1h"]);
    }

    #[test]
    fn ids_are_cut_where_they_can_still_be_told_apart() {
        let length = |ids: &[&str]| short_ids(ids.iter().copied());
        assert_eq!(length(&["00000000000000a1", "11111111111111a1"]), 4);
        assert_eq!(length(&["0000001100000000", "0000001200000000"]), 8);
        assert_eq!(length(&["0000000000000001", "0000000000000002"]), 16);
        assert_eq!((length(&["abcdefgh"]), length(&["ab", "ac"]), length(&[])), (4, 2, 0));
    }
}
