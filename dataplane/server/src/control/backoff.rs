//! Which endpoint is tried next, and how long after the last one.

use std::time::Duration;

use sluice_cluster::Address;

/// Goes round the endpoints; pauses after each round, longer each time, never twice as long as before for two nodes.
#[derive(Debug)]
pub(super) struct Backoff {
    endpoints: Vec<Address>,
    next: usize,
    /// Where another endpoint says that the leader is.
    hint: Option<Address>,
    /// Attempts since the last success.
    failed: u32,
    pause_min: Duration,
    pause_max: Duration,
}

impl Backoff {
    /// `first` says where to begin, so that the nodes of a cluster spread.
    pub(super) fn new(endpoints: Vec<Address>, first: usize, pause_min: Duration, pause_max: Duration) -> Self {
        let next = first % endpoints.len().max(1);
        Self { endpoints, next, hint: None, failed: 0, pause_min, pause_max }
    }

    /// Where to go; `None` if there is nowhere.
    pub(super) fn endpoint(&mut self) -> Option<Address> {
        self.hint.take().or_else(|| self.endpoints.get(self.next).cloned())
    }

    /// The endpoint has served: it is the first to be tried again.
    pub(super) fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// The endpoint has failed, or sent this node elsewhere. Returns the pause before the next attempt; `spread` is 0 to 1
    /// and takes up to half of it away.
    pub(super) fn failed(&mut self, hint: Option<Address>, spread: f64) -> Duration {
        self.next = (self.next + 1) % self.endpoints.len().max(1);
        self.hint = hint;
        self.failed = self.failed.saturating_add(1);
        let round = self.failed / u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX).max(1);
        if round == 0 {
            return Duration::ZERO;
        }
        let pause = self.pause_min.saturating_mul(1 << (round - 1).min(16)).min(self.pause_max);
        pause.mul_f64(1.0 - spread.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoints: &[&str]) -> Backoff {
        let endpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        Backoff::new(endpoints, 1, Duration::from_millis(200), Duration::from_secs(1))
    }

    #[test]
    fn the_next_endpoint_is_tried_at_once_and_a_round_later_after_a_pause_that_grows_to_a_bound() {
        let mut backoff = of(&["a:1", "b:1"]);
        let mut visited = Vec::new();
        let pauses: Vec<u128> = (0..8)
            .map(|_| {
                visited.push(backoff.endpoint().unwrap().host().to_owned());
                backoff.failed(None, 0.0).as_millis()
            })
            .collect();
        assert_eq!(visited, ["b", "a", "b", "a", "b", "a", "b", "a"]);
        assert_eq!(pauses, [0, 200, 200, 400, 400, 800, 800, 1000]);
        assert_eq!(backoff.failed(None, 1.0).as_millis(), 500, "two nodes do not come at the same time");
        backoff.succeeded();
        assert_eq!(backoff.failed(None, 0.0).as_millis(), 0);
    }

    #[test]
    fn a_hint_is_followed_once() {
        let mut backoff = of(&["a:1", "b:1"]);
        backoff.failed(Some("leader:1".parse().unwrap()), 0.0);
        assert_eq!(backoff.endpoint().unwrap().host(), "leader");
        assert_eq!(backoff.endpoint().unwrap().host(), "a");
    }
}
