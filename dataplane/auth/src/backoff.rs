//! Slows the guessing of passwords.
//!
//! Failures are counted by address and user name, whether or not there is such a user. After a few free ones each
//! doubles the time for which nothing is looked at, the right password included. IPv6 addresses count by /64, which is
//! what one subscriber has. The memory is a fixed table: where it is full, the entry with the fewest failures goes, so
//! that trying many names does not push out a name that is being guessed.

use std::net::IpAddr;

use ring::hmac;

/// When failures have consequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackoffPolicy {
    /// Failures without consequence.
    pub free_failures: u32,
    /// How long the first further failure blocks, in milliseconds; each after it doubles that.
    pub first_ms: u64,
    /// The longest block, in milliseconds.
    pub longest_ms: u64,
    /// Failures are forgotten this long after the last one, in milliseconds.
    pub memory_ms: u64,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { free_failures: 4, first_ms: 1_000, longest_ms: 5 * 60_000, memory_ms: 15 * 60_000 }
    }
}

/// Failures by address and user name.
#[derive(Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    key: hmac::Key,
    entries: Box<[Entry]>,
}

/// Zero failures = free.
#[derive(Clone, Copy, Default, Debug)]
struct Entry {
    fingerprint: u64,
    failures: u32,
    last_ms: u64,
}

impl Backoff {
    /// `seed` is random: it keeps clients from choosing names that share a place in the table.
    pub fn new(policy: BackoffPolicy, seed: &[u8; 32]) -> Self {
        let entries = vec![Entry::default(); SETS * WAYS].into();
        Self { policy, key: hmac::Key::new(hmac::HMAC_SHA256, seed), entries }
    }

    /// Whether credentials from `peer` for `username` are refused unseen at this time.
    pub fn is_blocked(&self, peer: Option<IpAddr>, username: &str, now_ms: u64) -> bool {
        let (set, fingerprint) = self.place(peer, username);
        let entry = self.entries[set].iter().find(|entry| entry.is_live(fingerprint, self.policy, now_ms));
        entry.is_some_and(|entry| now_ms < entry.last_ms.saturating_add(self.policy.block_ms(entry.failures)))
    }

    /// Counts a failure.
    pub fn failed(&mut self, peer: Option<IpAddr>, username: &str, now_ms: u64) {
        let (set, fingerprint) = self.place(peer, username);
        let policy = self.policy;
        let set = &mut self.entries[set];
        if let Some(entry) = set.iter_mut().find(|entry| entry.is_live(fingerprint, policy, now_ms)) {
            (entry.failures, entry.last_ms) = (entry.failures.saturating_add(1), now_ms);
            return;
        }
        let weight =
            |entry: &&mut Entry| if entry.is_stale(policy, now_ms) { (0, 0) } else { (entry.failures, entry.last_ms) };
        if let Some(weakest) = set.iter_mut().min_by_key(weight) {
            *weakest = Entry { fingerprint, failures: 1, last_ms: now_ms };
        }
    }

    /// Forgets the failures: the right credentials were shown.
    pub fn succeeded(&mut self, peer: Option<IpAddr>, username: &str) {
        let (set, fingerprint) = self.place(peer, username);
        for entry in self.entries[set].iter_mut().filter(|entry| entry.fingerprint == fingerprint) {
            *entry = Entry::default();
        }
    }

    /// The entries that may hold the pair, and what it is known by.
    fn place(&self, peer: Option<IpAddr>, username: &str) -> (std::ops::Range<usize>, u64) {
        let mut context = hmac::Context::with_key(&self.key);
        match peer {
            Some(IpAddr::V4(address)) => context.update(&address.octets()),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => context.update(&address.octets()),
                None => context.update(&address.octets()[..8]),
            },
            None => {}
        }
        context.update(b"/");
        context.update(username.as_bytes());
        let tag = context.sign();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (fingerprint, set) = (number(&tag.as_ref()[..8]), number(&tag.as_ref()[8..10]) as usize % SETS);
        (set * WAYS..(set + 1) * WAYS, fingerprint)
    }
}

impl Entry {
    fn is_live(&self, fingerprint: u64, policy: BackoffPolicy, now_ms: u64) -> bool {
        self.fingerprint == fingerprint && !self.is_stale(policy, now_ms)
    }

    /// Whether the entry no longer counts. A clock set back far makes it stale too, so that no block outlasts its time.
    fn is_stale(&self, policy: BackoffPolicy, now_ms: u64) -> bool {
        self.failures == 0 || now_ms.abs_diff(self.last_ms) >= policy.memory_ms
    }
}

impl BackoffPolicy {
    fn block_ms(self, failures: u32) -> u64 {
        let Some(doublings) = failures.checked_sub(self.free_failures + 1) else { return 0 };
        self.first_ms.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(self.longest_ms)
    }
}

/// 16,384 sets of four: 1.5 MiB.
const SETS: usize = 16 * 1024;
const WAYS: usize = 4;

#[cfg(test)]
mod tests;
