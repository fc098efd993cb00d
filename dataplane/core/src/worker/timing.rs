//! How long some messages take, as [`crate::sampling`] chooses them.
//!
//! What the durations mean:
//! - match: finding everybody who wants a topic, from the cache or not;
//! - delivery: from the bytes of a PUBLISH being given to the worker that reads its client, to its PUBLISH packets having
//!   been queued for all the subscribers of a worker; or, for one subscriber whose copy is stored first, for that one.
//!   What waits for a subscriber that is away or acknowledges slowly is not counted;
//! - publish: from the bytes of a PUBLISH being given, to its PUBACK or PUBREC having been queued.

use std::sync::Arc;

use super::Worker;
use crate::{
    sampling::{between_ns, moment_us},
    subscriptions::Matched,
};

impl Worker {
    /// Times the message that is handled next: it was read by another worker at this time.
    pub(super) fn begin_timing_since(&mut self, since_ns: u64) {
        let sent = self.publishes_sent();
        self.sampling.begin_since(since_ns, sent);
    }

    /// Times the PUBLISH that is about to be handled.
    #[cold]
    pub(super) fn begin_timing(&mut self) {
        let sent = self.publishes_sent();
        self.sampling.begin(sent);
    }

    /// A message that may be timed was handled.
    #[cold]
    pub(super) fn end_timing(&mut self) {
        let sent = self.publishes_sent();
        if let Some(ns) = self.sampling.end(sent) {
            self.stats.delivery_duration.observe(ns);
        }
    }

    fn publishes_sent(&self) -> u64 {
        self.stats.messages_sent.iter().sum()
    }

    /// Everybody who gets a message on this topic.
    #[inline]
    pub(super) fn match_topic(&mut self, topic: &str) -> Arc<Matched> {
        if self.sampling.is_timing() { self.match_timed(topic) } else { self.subscriptions.matched(topic) }
    }

    #[cold]
    fn match_timed(&mut self, topic: &str) -> Arc<Matched> {
        let since_ns = self.sampling.read_clock();
        let matched = self.subscriptions.matched(topic);
        self.stats.match_duration.observe(self.sampling.elapsed_ns(since_ns));
        matched
    }

    /// The acknowledgement of the message being handled was queued at once.
    pub(super) fn note_acknowledged(&mut self) {
        if self.sampling.is_timing() {
            let ns = self.sampling.elapsed_ns(self.sampling.since_ns());
            self.stats.publish_duration.observe(ns);
        }
    }

    /// A reply that waited since then was queued; 0 = it is not timed.
    pub(super) fn note_replied(&mut self, since_us: u32) {
        if since_us != 0 {
            let ns = between_ns(since_us, moment_us(self.sampling.read_clock()));
            self.stats.publish_duration.observe(ns);
        }
    }

    /// A stored message was sent to a session.
    #[inline]
    pub(super) fn note_stored_sent(&mut self, place: u32, seq: u64) {
        if let Some(ns) = self.sampling.stored_sent(place, seq) {
            self.stats.delivery_duration.observe(ns);
        }
    }

    /// What a batch stored was sent where it could be.
    pub(super) fn forget_unsent(&mut self) {
        if let Some((shard, seq)) = self.sampling.followed()
            && self.shard(shard).is_stored(seq)
        {
            self.sampling.forget_stored();
        }
    }
}
