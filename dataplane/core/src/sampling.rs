//! Which messages are timed, and since when.
//!
//! One PUBLISH of [`EVERY`] on average is timed: how long its match took, when it was queued for its subscribers and
//! when its acknowledgement was. Which one is left to chance, so that no rhythm of the clients decides what is seen.
//!
//! The core has no clock. The driver may give it one to read, for nothing but this: no decision rests on it. A message
//! that is not timed costs a count and a comparison; the clock is read for those that are, and for reads of which one may
//! be among.

use sluice_cluster::ShardId;

use crate::rng::Rng;

/// The choice of what is timed.
pub(crate) struct Sampling {
    /// Nanoseconds since any fixed moment, the same in all workers of the process.
    clock: Option<fn() -> u64>,
    /// The PUBLISH this far ahead is timed.
    left: u32,
    rng: Rng,
    /// When the bytes being handled were given; right whenever a PUBLISH among them is timed.
    given_ns: u64,
    /// Since when the message being handled is timed; 0 = it is not.
    since_ns: u64,
    /// PUBLISH packets sent before that.
    sent_before: u64,
    /// A message that is to be sent when it is on stable storage.
    stored: Option<Stored>,
}

#[derive(Clone, Copy)]
struct Stored {
    place: u32,
    shard: ShardId,
    seq: u64,
    since_ns: u64,
}

/// One message of so many is timed.
pub(crate) const EVERY: u32 = 256;

/// The shortest PUBLISH: QoS 0 of version 3 with a topic of one character.
const PUBLISH_BYTES_MIN: usize = 5;

impl Sampling {
    /// Times nothing until there is a clock.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clock: None,
            left: u32::MAX,
            rng: Rng::new(seed),
            given_ns: 0,
            since_ns: 0,
            sent_before: 0,
            stored: None,
        }
    }

    /// Times by this clock from the next message on.
    pub(crate) fn set_clock(&mut self, clock: Option<fn() -> u64>) {
        self.clock = clock;
        self.left = if clock.is_some() { 1 } else { u32::MAX };
        self.since_ns = 0;
        self.stored = None;
    }

    /// The time; 0 without a clock.
    pub(crate) fn read_clock(&self) -> u64 {
        self.clock.map_or(0, |clock| clock().max(1))
    }

    /// Bytes of a connection were given: so many.
    #[inline]
    pub(crate) fn given(&mut self, bytes: usize) {
        if self.left as usize <= bytes / PUBLISH_BYTES_MIN {
            self.given_ns = self.read_clock();
        }
    }

    /// Counts a PUBLISH. Whether it is to be timed.
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// The message being handled is timed since its bytes were given. Chooses the next one.
    pub(crate) fn begin(&mut self, sent_before: u64) {
        let stride = 1 + self.rng.next() % u64::from(2 * EVERY - 1);
        self.left = if self.clock.is_some() { stride as u32 } else { u32::MAX };
        self.begin_since(if self.clock.is_some() { self.given_ns } else { 0 }, sent_before);
    }

    /// The message to be handled next is timed since then; another worker says so.
    pub(crate) fn begin_since(&mut self, since_ns: u64, sent_before: u64) {
        self.since_ns = since_ns;
        self.sent_before = sent_before;
    }

    /// Since when the message being handled is timed; 0 = it is not.
    #[inline]
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Whether the message being handled is timed.
    #[inline]
    pub(crate) fn is_timing(&self) -> bool {
        self.since_ns != 0
    }

    /// The message was handled. How long that took, if some of `sent` PUBLISH packets are its own.
    pub(crate) fn end(&mut self, sent: u64) -> Option<u64> {
        let since_ns = std::mem::take(&mut self.since_ns);
        (since_ns != 0 && sent > self.sent_before).then(|| self.elapsed_ns(since_ns))
    }

    /// Nanoseconds since then.
    pub(crate) fn elapsed_ns(&self, since_ns: u64) -> u64 {
        self.read_clock().saturating_sub(since_ns)
    }

    /// The message being handled, if it is timed, went into a shard's log for a connected session. One is followed at a
    /// time.
    pub(crate) fn await_stored(&mut self, place: u32, shard: ShardId, seq: u64) {
        if self.is_timing() && self.stored.is_none() {
            self.stored = Some(Stored { place, shard, seq, since_ns: self.since_ns });
        }
    }

    /// A stored message was sent to a session. How long that took since its PUBLISH, if it is the one that is followed.
    #[inline]
    pub(crate) fn stored_sent(&mut self, place: u32, seq: u64) -> Option<u64> {
        let stored = self.stored.take_if(|stored| stored.seq == seq && stored.place == place)?;
        Some(self.elapsed_ns(stored.since_ns))
    }

    /// The shard and sequence number of the message that is followed.
    pub(crate) fn followed(&self) -> Option<(ShardId, u64)> {
        self.stored.map(|stored| (stored.shard, stored.seq))
    }

    /// Follows it no longer: its subscriber did not take it when it could be sent.
    pub(crate) fn forget_stored(&mut self) {
        self.stored = None;
    }
}

/// A moment in a reply that waits: microseconds, going round after 71 minutes; 0 = none.
pub(crate) fn moment_us(ns: u64) -> u32 {
    if ns == 0 { 0 } else { ((ns / 1000) as u32).max(1) }
}

/// Nanoseconds from one [`moment_us`] to another.
pub(crate) fn between_ns(earlier_us: u32, later_us: u32) -> u64 {
    u64::from(later_us.wrapping_sub(earlier_us)) * 1000
}
