//! Latency: the histogram, and the schedule that keeps coordinated omission out of it.
//!
//! In open loop a message's latency counts from the moment it was *due*. A generator or a broker that stalls for a
//! second therefore shows in every message that was due during that second, not in one of them.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::clock::nanos;

/// The longest latency that is told apart: one minute. Longer ones count as this.
const NANOS_MAX: u64 = 60_000_000_000;
/// Three digits keep a value within 0.1 % of what was measured.
const DIGITS: u8 = 3;

/// A distribution of latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    /// An empty distribution.
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).context("cannot make a histogram")?;
        Ok(Self { histogram })
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
    }

    /// Counts how long something took.
    pub(crate) fn record_duration(&mut self, took: Duration) {
        self.record(nanos(took));
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The latency in microseconds that `share` (0 to 1) of the messages did not exceed.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64 / 1_000.0
    }
}

/// When the messages of one flow are due: one every `interval` nanoseconds from `start`, whatever happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    next_due: u64,
    interval: u64,
}

impl Schedule {
    /// A schedule whose first message is due at `start`; `interval` is not zero.
    pub(crate) fn new(start: u64, interval: u64) -> Self {
        assert!(interval > 0, "an open loop needs a finite rate");
        Self { next_due: start, interval }
    }

    /// The due time of the next message if that is not after `now`; each call takes one message.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<u64> {
        let due = self.next_due;
        if due > now {
            return None;
        }
        self.next_due = due + self.interval;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_shows_in_every_message_that_was_due_during_it() {
        // One message a millisecond, each answered within 10 µs, but nothing moves from 50 ms to 150 ms.
        let mut schedule = Schedule::new(0, 1_000_000);
        let mut latencies = Latencies::new().unwrap();
        let moments = (0..50).chain(150..200).map(|ms| ms * 1_000_000);
        for now in moments {
            while let Some(due) = schedule.take_due(now) {
                latencies.record(now + 10_000 - due);
            }
        }
        assert_eq!(latencies.histogram.len(), 200, "no message that was due is left out");
        assert!(latencies.quantile_us(0.49) < 11.0);
        // 101 of 200 messages waited, the longest 100 ms, so half of those waited more than 50 ms.
        assert!((45_000.0..55_000.0).contains(&latencies.quantile_us(0.75)), "{}", latencies.quantile_us(0.75));
        assert!(latencies.quantile_us(1.0) >= 100_000.0);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut schedule = Schedule::new(1_000, 100);
        assert_eq!(schedule.take_due(999), None);
        assert_eq!(schedule.take_due(1_000), Some(1_000));
        assert_eq!(schedule.take_due(1_050), None);
        assert_eq!(schedule.take_due(1_250), Some(1_100));
        assert_eq!(schedule.take_due(1_250), Some(1_200));
        assert_eq!(schedule.take_due(1_250), None);
    }

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new().unwrap();
        for us in 1..=10_000u64 {
            latencies.record(us * 1_000);
        }
        for (share, expected) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let measured = latencies.quantile_us(share);
            assert!((measured - expected).abs() <= expected / 500.0, "{share}: {measured}");
        }
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(u64::MAX);
        assert!(!latencies.is_empty());
        assert!(latencies.quantile_us(1.0) >= 59_000_000.0);
    }
}
