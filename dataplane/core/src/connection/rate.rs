//! How fast one client may send.

/// A bucket that fills with time and is emptied by use; it holds one second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// Thousandths of a unit used, minus what time gave back.
    used_milli: u64,
    at_ms: u64,
}

impl Bucket {
    /// Uses `amount` of `per_second` (not 0). Returns how long to wait in ms before using more; 0 = go on.
    pub(crate) fn take(&mut self, now_ms: u64, amount: u64, per_second: u64) -> u64 {
        let regained = now_ms.saturating_sub(self.at_ms).saturating_mul(per_second);
        self.at_ms = now_ms;
        self.used_milli = self.used_milli.saturating_sub(regained).saturating_add(amount.saturating_mul(1000));
        self.used_milli.saturating_sub(per_second.saturating_mul(1000)).div_ceil(per_second)
    }
}

/// The buckets of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// PUBLISH packets.
    pub(crate) publishes: Bucket,
    /// Bytes.
    pub(crate) bytes: Bucket,
    /// Packets other than PUBLISH and acknowledgements.
    pub(crate) control: Bucket,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_burst_is_free_and_then_the_rate_holds() {
        let mut bucket = Bucket::default();
        assert_eq!((0..100).map(|_| bucket.take(1_000, 1, 100)).max(), Some(0));
        assert_eq!(bucket.take(1_000, 1, 100), 10);
        assert_eq!(bucket.take(1_020, 1, 100), 0);
        assert!(bucket.take(1_020, 50, 100) > 400);
        assert_eq!(bucket.take(9_000, 1, 100), 0);
    }
}
