//! How often clients may connect: all together ([`Pace`]), and each source ([`ConnectRate`]).
//!
//! A source is a bucket of tokens in a table of bounded size. IPv6 sources count by their /64, which is what one host
//! is given.

use std::{collections::HashMap, net::IpAddr};

/// How many connections a thread takes from the kernel's queue in a second; the others wait there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    per_second: u32,
    bucket: Bucket,
}

impl Pace {
    /// `per_second` connections; `None` for no bound.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        // A tenth of a second's worth at once.
        let level = (u64::from(per_second) * 100).max(1000);
        (per_second > 0).then_some(Self { per_second, bucket: Bucket { level, seen_ms: 0 } })
    }

    /// When there is a token again; `None` = there is one. [`Self::take`] it for a connection.
    pub(crate) fn wait_until(&mut self, now_ms: u64) -> Option<u64> {
        let full = (u64::from(self.per_second) * 100).max(1000);
        self.bucket.level = level_at(self.bucket, now_ms, self.per_second, full);
        self.bucket.seen_ms = now_ms;
        if self.bucket.level >= 1000 {
            return None;
        }
        Some(now_ms + (1000 - self.bucket.level).div_ceil(u64::from(self.per_second)))
    }

    /// Takes the token for a connection that there was.
    pub(crate) fn take(&mut self) {
        self.bucket.level = self.bucket.level.saturating_sub(1000);
    }
}

/// Buckets by source.
#[derive(Debug)]
pub(crate) struct ConnectRate {
    /// Connections a second that one source may open for long.
    per_second: u32,
    /// Connections that one source may open at once.
    burst: u32,
    buckets: HashMap<u128, Bucket>,
}

/// How full a bucket was when it was last looked at. It fills by itself.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In thousandths of a connection.
    level: u64,
    seen_ms: u64,
}

impl ConnectRate {
    /// At most `per_second` connections of one source in the long run and `burst` at once; `None` for no bound.
    pub(crate) fn new(per_second: u32, burst: u32) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, burst: burst.max(1), buckets: HashMap::new() })
    }

    /// Whether this source may connect once more.
    pub(crate) fn admit(&mut self, now_ms: u64, source: IpAddr) -> bool {
        let key = key_of(source);
        if self.buckets.len() >= SOURCES_MAX && !self.buckets.contains_key(&key) {
            self.forget_full_buckets(now_ms);
            if self.buckets.len() >= SOURCES_MAX {
                // So many sources at once are an attack or a restart after one; new ones wait.
                return false;
            }
        }
        let full = u64::from(self.burst) * 1000;
        let bucket = self.buckets.entry(key).or_insert(Bucket { level: full, seen_ms: now_ms });
        bucket.level = level_at(*bucket, now_ms, self.per_second, full);
        bucket.seen_ms = now_ms;
        let admitted = bucket.level >= 1000;
        if admitted {
            bucket.level -= 1000;
        }
        admitted
    }

    /// A full bucket says the same as none.
    fn forget_full_buckets(&mut self, now_ms: u64) {
        let (per_second, full) = (self.per_second, u64::from(self.burst) * 1000);
        self.buckets.retain(|_, bucket| level_at(*bucket, now_ms, per_second, full) < full);
    }
}

fn level_at(bucket: Bucket, now_ms: u64, per_second: u32, full: u64) -> u64 {
    let filled = now_ms.saturating_sub(bucket.seen_ms).saturating_mul(u64::from(per_second));
    bucket.level.saturating_add(filled).min(full)
}

fn key_of(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

/// 65,536 buckets take some 3 MiB.
const SOURCES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    #[test]
    fn x6_a_source_that_connects_too_often_is_refused_and_others_are_not() {
        let mut rate = ConnectRate::new(10, 20).unwrap();
        let admitted = (0..1000).filter(|_| rate.admit(0, v4(1))).count();
        assert_eq!(admitted, 20);
        assert!(rate.admit(0, v4(2)));
        let admitted = (0..10_000).filter(|ms| rate.admit(*ms, v4(1))).count();
        assert_eq!(admitted, 99, "ten a second");
    }

    #[test]
    fn one_ipv6_host_counts_once_however_many_addresses_it_has() {
        let mut rate = ConnectRate::new(1, 5).unwrap();
        let host = |low: u64| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | u128::from(low)));
        assert_eq!((0..100).filter(|low| rate.admit(0, host(*low))).count(), 5);
    }

    #[test]
    fn an_ipv4_source_on_a_dual_stack_listener_is_the_same_source() {
        let mut rate = ConnectRate::new(1, 1).unwrap();
        assert!(rate.admit(0, v4(7)));
        assert!(!rate.admit(0, Ipv4Addr::from_bits(7).to_ipv6_mapped().into()));
    }

    #[test]
    fn m1_the_table_is_bounded_and_forgets_who_is_quiet() {
        let mut rate = ConnectRate::new(1, 2).unwrap();
        let sources = SOURCES_MAX as u32;
        assert!((0..sources).all(|source| rate.admit(0, v4(source))));
        assert!(!rate.admit(0, v4(sources)), "no room, and nobody has been quiet");
        assert!(rate.admit(5, v4(3)), "known sources go on");
        assert!(rate.admit(2000, v4(sources)));
        assert!(rate.buckets.len() < 10);
    }

    #[test]
    fn no_rate_is_no_bound() {
        assert!(ConnectRate::new(0, 10).is_none());
        assert!(Pace::new(0).is_none());
    }

    #[test]
    fn connections_beyond_the_pace_wait_for_their_time() {
        let mut pace = Pace::new(50).unwrap();
        let (mut now_ms, mut accepted) = (0, 0);
        while now_ms < 10_000 {
            match pace.wait_until(now_ms) {
                None => {
                    pace.take();
                    accepted += 1;
                }
                Some(until) => {
                    assert!(until > now_ms);
                    now_ms = until;
                }
            }
        }
        assert!((500..=506).contains(&accepted), "{accepted} in ten seconds");
    }
}
