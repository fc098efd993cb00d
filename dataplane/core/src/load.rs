//! How much happens in a minute: averages that forget, as mosquitto keeps them under `$SYS/broker/load`.
//!
//! Each average follows the rate since the last look with the weight `1 - exp(-elapsed / window)`, like the load of a
//! Unix machine.

/// How often something happened in a minute, averaged over each of the [`WINDOWS`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// The counter at the last look.
    counted: u64,
    /// In the order of the windows.
    pub(crate) per_minute: [f64; WINDOWS.len()],
}

/// The names of the windows and their lengths in seconds.
pub(crate) const WINDOWS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

impl Load {
    /// Looks at the counter again, `elapsed_ms` after the last time; at least 1.
    ///
    /// A counter that seems to have gone back, because a worker did not report in time, counts as standing still until
    /// it has passed its highest value: nothing is counted twice.
    #[allow(clippy::cast_precision_loss, reason = "averages need no more than 52 bits")]
    pub(crate) fn look(&mut self, counter: u64, elapsed_ms: u64) {
        assert!(elapsed_ms > 0, "no rate over no time");
        let elapsed_s = elapsed_ms as f64 / 1000.0;
        let rate = counter.saturating_sub(self.counted) as f64 * 60.0 / elapsed_s;
        self.counted = self.counted.max(counter);
        for (average, (_, window_s)) in self.per_minute.iter_mut().zip(WINDOWS) {
            *average = rate + (*average - rate) * (-elapsed_s / window_s).exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures are those that mosquitto 2.0.11 shows with `sys_interval 2` when one client connects and subscribes
    /// before the first look.
    #[test]
    fn averages_are_those_of_mosquitto() {
        let mut bytes = Load::default();
        let mut looked = || {
            bytes.look(27, 2000);
            bytes.per_minute.map(|average| format!("{average:.2}"))
        };
        assert_eq!(looked(), ["26.55", "5.38", "1.80"]);
        assert_eq!(looked()[..2], ["25.68", "5.35"]);
    }

    #[test]
    fn a_steady_rate_is_what_the_averages_come_to_however_often_one_looks() {
        for interval_ms in [500, 10_000, 60_000] {
            let mut load = Load::default();
            for look in 1..=7_200_000 / interval_ms {
                load.look(look * interval_ms / 100, interval_ms);
            }
            assert!(load.per_minute.iter().all(|average| (average - 600.0).abs() < 0.5), "{:?}", load.per_minute);
        }
    }

    #[test]
    fn a_counter_that_went_back_counts_nothing_twice() {
        let mut load = Load::default();
        load.look(1_000, 60_000);
        let before = load.per_minute[0];
        load.look(400, 60_000);
        let after = load.per_minute[0];
        assert!(after < before);
        load.look(1_000, 60_000);
        assert!(load.per_minute[0] < after);
    }
}
