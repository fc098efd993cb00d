//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubles from attempt to attempt. The wait is drawn between half and the whole of it, so that nodes that lost each other
/// at the same moment do not come back at the same moment.
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
    state: u64,
}

impl Backoff {
    /// Waits from `least` to `most`; `seed` sets it apart from others.
    pub(super) fn new((least, most): (Duration, Duration), seed: u64) -> Self {
        Self { least, most, next: least, state: seed | 1 }
    }

    /// The attempt has succeeded for good.
    pub(super) fn reset(&mut self) {
        self.next = self.least;
    }

    /// How long to wait.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.most);
        // xorshift64: it only has to differ between nodes.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        whole / 2 + (whole / 2).mul_f64(self.state as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_differ_between_nodes() {
        let bounds = (Duration::from_millis(50), Duration::from_secs(5));
        let (mut a, mut b) = (Backoff::new(bounds, 1), Backoff::new(bounds, 2));
        let mut whole = bounds.0;
        let mut same = 0;
        for _ in 0..20 {
            let (wait, other) = (a.next(), b.next());
            assert!((whole / 2..=whole).contains(&wait) && (whole / 2..=whole).contains(&other), "{wait:?}");
            same += u32::from(wait == other);
            whole = (whole * 2).min(bounds.1);
        }
        assert!(same < 3);
        a.reset();
        assert!(a.next() <= bounds.0);
    }
}
