//! Control's end of one node's stream.
//!
//! ```text
//!            Hello                 poll_transmit
//! Greeting ─────────► Serving ◄──────────────────► one response under way ── answer ──► Serving
//!     │                  │                                   │
//!     └── any other ─────┴──── silence, no answer, ──────────┴──► Closed
//!         frame                a frame out of place
//! ```
//!
//! One response is under way at a time, so that types are applied in their order and a node's refusal of one is known
//! before the next is sent. Changes that are published meanwhile coalesce: the next response goes from what the node
//! has acknowledged straight to what is published then. Nothing is queued: parts are cut from the shared snapshot when
//! the transport has room for one.

mod sending;

use std::{sync::Arc, time::Duration};

use sluice_cluster::{NodeId, SetDigest, Version};

use self::sending::Sending;
use crate::{Answer, CloseReason, Down, Held, Limits, Nonce, PerType, Refusal, ResourceType, Snapshot, Timing, Up};

/// What control knows of a node's hold of one type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TypeStatus {
    /// What the node has said it holds.
    pub version: Version,
    /// Of what it holds.
    pub digest: SetDigest,
    /// The version that the node has refused and why (not known when it was refused on an earlier stream). It is not
    /// sent again until the type changes, or one that it may refer to.
    pub refused: Option<(Version, Option<Refusal>)>,
    /// How often the node held something else than its version says.
    pub diverged: u64,
    /// Whether the next response has to be a full one.
    full: bool,
}

/// The state of one stream. After every call that changes it, [`Self::poll_transmit`] may have something to send.
#[derive(Debug)]
pub struct ServerStream {
    limits: Limits,
    timing: Timing,
    latest: Arc<Snapshot>,
    node: Option<NodeId>,
    held: PerType<TypeStatus>,
    under_way: Option<Sending>,
    /// Since when the answer to the response under way is due.
    asked_at: Option<Duration>,
    next_nonce: Nonce,
    settled: Option<PerType<Version>>,
    heartbeat: Option<u64>,
    heard_at: Duration,
    closed: Option<CloseReason>,
}

impl ServerStream {
    /// A stream that was opened at `now`. Nonces count from `first`, which should differ from stream to stream.
    #[must_use]
    pub fn new(latest: Arc<Snapshot>, limits: Limits, timing: Timing, first: Nonce, now: Duration) -> Self {
        Self {
            limits,
            timing,
            latest,
            node: None,
            held: PerType::default(),
            under_way: None,
            asked_at: None,
            next_nonce: first,
            settled: None,
            heartbeat: None,
            heard_at: now,
            closed: None,
        }
    }

    /// There is something new for the node.
    pub fn publish(&mut self, latest: Arc<Snapshot>) {
        self.latest = latest;
    }

    /// Takes a frame of the node.
    pub fn handle(&mut self, frame: Up, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        self.heard_at = now;
        match (frame, self.node) {
            (Up::Hello { node, held }, None) => self.on_hello(node, &held),
            (Up::Answer(answer), Some(_)) => self.on_answer(answer),
            (Up::Heartbeat { number, held }, Some(_)) => self.on_heartbeat(number, &held),
            (Up::Hello { .. }, Some(_)) => self.close(CloseReason::Protocol("a second Hello")),
            (Up::Answer(_) | Up::Heartbeat { .. }, None) => self.close(CloseReason::Protocol("no Hello")),
        }
    }

    /// The next frame, to be called when the transport has room for one.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Down> {
        if self.closed.is_some() || self.node.is_none() {
            return None;
        }
        if let Some(number) = self.heartbeat.take() {
            return Some(Down::Heartbeat { number });
        }
        if self.under_way.is_none() {
            self.begin_response();
        }
        let Some(sending) = &mut self.under_way else { return self.settle() };
        let part = sending.next_part(self.limits.part_bytes_max)?;
        // The node has time from the last part on, however long the parts take.
        self.asked_at = part.last.then_some(now);
        Some(Down::Response(part))
    }

    /// When to call [`Self::handle_timeout`] next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let silence = self.heard_at + self.timing.silence_max;
        let answer = self.asked_at.map(|at| at + self.timing.answer_max);
        self.closed.is_none().then(|| answer.map_or(silence, |answer| answer.min(silence)))
    }

    /// Gives the stream up if the node has been silent, or has owed an answer, for too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.asked_at.is_some_and(|at| now >= at + self.timing.answer_max) {
            self.close(CloseReason::Unanswered);
        } else if now >= self.heard_at + self.timing.silence_max {
            self.close(CloseReason::Silence);
        }
    }

    /// Why the stream is over, once it is.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// The node, once it has said Hello.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// What the node holds, and what it refuses.
    #[must_use]
    pub fn status(&self) -> &PerType<TypeStatus> {
        &self.held
    }

    /// A version that the node holds and that is newer than what is published here: another leader has taken over, or
    /// control's own state was restored from the past. Nothing of that type is sent.
    #[must_use]
    pub fn behind(&self) -> Option<(ResourceType, Version)> {
        let newer = |(kind, status): (ResourceType, &TypeStatus)| {
            (status.version > self.latest.of(kind).version()).then_some((kind, status.version))
        };
        // A leader that has published nothing of a type yet is no worse for it.
        self.held.iter().filter(|(kind, _)| self.latest.of(*kind).version() != Version::ZERO).find_map(newer)
    }

    /// Whether the node has acknowledged all that is published.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let has = |(kind, status): (ResourceType, &TypeStatus)| {
            let set = self.latest.of(kind);
            status.version == set.version() && status.digest == set.digest()
        };
        self.node.is_some() && self.held.iter().all(has)
    }

    fn on_hello(&mut self, node: NodeId, held: &PerType<Held>) {
        self.node = Some(node);
        for (kind, held) in held.iter() {
            let refused = held.refused.map(|version| (version, None));
            *self.held.of_mut(kind) =
                TypeStatus { version: held.version, digest: held.digest, refused, ..TypeStatus::default() };
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        let Some(sending) = self
            .under_way
            .take_if(|sending| sending.nonce() == answer.nonce && sending.kind() == answer.kind && sending.is_done())
        else {
            return self.close(CloseReason::Protocol("an answer to nothing"));
        };
        self.asked_at = None;
        let status = self.held.of_mut(answer.kind);
        (status.version, status.digest) = (answer.held.version, answer.held.digest);
        match answer.outcome {
            Ok(()) => {
                status.refused = None;
                status.full = false;
                self.on_progress(answer.kind);
            }
            Err(Refusal::Base | Refusal::Digest) if !sending.is_full() => status.full = true,
            Err(refusal) => status.refused = Some((sending.version(), Some(refusal))),
        }
    }

    /// What a node refused may have referred to what it has only just got.
    fn on_progress(&mut self, kind: ResourceType) {
        for later in ResourceType::ALL.into_iter().filter(|later| *later > kind) {
            self.held.of_mut(later).refused = None;
        }
    }

    fn on_heartbeat(&mut self, number: u64, held: &PerType<Held>) {
        self.heartbeat = Some(number);
        let busy = self.under_way.as_ref().map(Sending::kind);
        for (kind, held) in held.iter().filter(|(kind, _)| Some(*kind) != busy) {
            let status = self.held.of_mut(kind);
            if (held.version, held.digest) != (status.version, status.digest) {
                status.diverged += 1;
                status.full = true;
                status.refused = None;
                (status.version, status.digest) = (held.version, held.digest);
            }
        }
    }

    fn begin_response(&mut self) {
        let Some(kind) = ResourceType::ALL.into_iter().find(|kind| self.is_due(*kind)) else { return };
        let set = self.latest.sets.of(kind).clone();
        let status = self.held.of(kind);
        let same = status.digest == set.digest() && status.version < set.version();
        // The same content under a newer version, as after a change of the leader, is a delta of nothing.
        let delta = !status.full && (same || set.has_base(status.version)) && status.version != Version::ZERO;
        let base = delta.then_some(status.version);
        self.under_way = Some(Sending::new(kind, set, base, same, self.next_nonce));
        self.next_nonce.0 += 1;
    }

    fn is_due(&self, kind: ResourceType) -> bool {
        let (set, status) = (self.latest.of(kind), self.held.of(kind));
        let refused = status.refused.as_ref().is_some_and(|(version, _)| *version == set.version());
        let lacks = status.version < set.version();
        let differs = status.version == set.version() && status.digest != set.digest();
        !refused && set.version() != Version::ZERO && (lacks || differs)
    }

    /// Tells the node, once it has everything, that it may let go of the rest.
    fn settle(&mut self) -> Option<Down> {
        let versions = PerType::from_fn(|kind| self.latest.of(kind).version());
        if !self.latest.complete || !self.is_current() || self.settled == Some(versions) {
            return None;
        }
        self.settled = Some(versions);
        Some(Down::Settle { versions })
    }

    fn close(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
        self.under_way = None;
    }
}
