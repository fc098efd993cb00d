//! The receiving side: takes in what owners announce, without gaps, whatever the network does to it.
//!
//! ```text
//!           expect / linked / rewind          answer that continues
//! (nobody) ─────────────────────────► Asking ───────────────────────► Following ◄─┐ continues: apply, Ack
//!     ▲                                 ▲                                 │  └────┘ seen before: Ack
//!     └──────────── forget ─────────────┴───────────── a gap ────────────┘
//! ```

use std::{collections::BTreeMap, time::Duration};

use super::{Change, Incarnation, InterestFrame, InterestLimits, InterestSink, Position, Sequence, Stream};
use crate::NodeId;

/// How far this node has heard of each owner's interest.
#[derive(Debug)]
pub struct InterestReceiver {
    incarnation: Incarnation,
    ask_again_after: Duration,
    owners: BTreeMap<NodeId, Owner>,
    /// The numbers of questions never come back, also not to an owner that was forgotten.
    last_stream: u64,
}

#[derive(Debug)]
struct Owner {
    have: Option<Position>,
    stream: Stream,
    /// When the question goes out (again); `None` once it was answered.
    ask_at: Option<Duration>,
    asked_at: Option<Duration>,
    /// The change that has to be here before this node knows what others may rely on.
    goal: Option<Position>,
    caught_up: bool,
    snapshot: Option<(Position, u32)>,
    ack: bool,
}

impl InterestReceiver {
    /// A receiver in this life of its node.
    #[must_use]
    pub fn new(incarnation: Incarnation, limits: &InterestLimits) -> Self {
        Self { incarnation, ask_again_after: limits.ask_again_after, owners: BTreeMap::new(), last_stream: 0 }
    }

    /// A link to an owner is up: asks for what is missing since `have`, or since what was heard. What the owner has
    /// promised to others while the link was down is not known until it answers.
    pub fn linked(&mut self, owner: NodeId, have: Option<Position>, now: Duration) {
        let stream = self.next_stream();
        let known = self.owners.get(&owner).and_then(|owner| owner.have).max(have);
        self.owners.insert(owner, Owner::asking(known, stream, now));
    }

    /// Asks an owner for everything behind `have`, whatever was heard, because what was heard could not be kept.
    pub fn rewind(&mut self, owner: NodeId, have: Position, now: Duration) {
        self.ask_behind(owner, Some(have), now);
    }

    /// An owner is gone, and what it said with it.
    pub fn forget(&mut self, owner: NodeId) {
        self.owners.remove(&owner);
    }

    /// A base table has an owner's interest up to a position, so that no gap before it matters.
    pub fn covered(&mut self, owner: NodeId, upto: Position, sink: &mut impl InterestSink) {
        let Some(state) = self.owners.get_mut(&owner) else { return };
        if state.have < Some(upto) {
            state.have = Some(upto);
            state.snapshot = None;
            state.check_goal(owner, sink);
        }
    }

    /// How far an owner's interest is known without a gap.
    #[must_use]
    pub fn have(&self, owner: NodeId) -> Option<Position> {
        self.owners.get(&owner)?.have
    }

    /// Whether this node knows all that an owner had promised when the link came up. Until then it may want anything.
    #[must_use]
    pub fn is_caught_up(&self, owner: NodeId) -> bool {
        self.owners.get(&owner).is_some_and(|owner| owner.caught_up)
    }

    /// Takes an announcement or a part of a snapshot. Answers to earlier questions, and other frames, are dropped.
    pub fn handle(&mut self, from: NodeId, frame: &InterestFrame, sink: &mut impl InterestSink, now: Duration) {
        let Some(owner) = self.owners.get_mut(&from) else { return };
        let continues = match frame {
            InterestFrame::Announce { stream, incarnation, after, upto, last, changes } if *stream == owner.stream => {
                owner.heard(Position { incarnation: *incarnation, sequence: *last });
                let end = Position { incarnation: *incarnation, sequence: *upto };
                owner.on_announce(from, *after, end, changes, sink)
            }
            InterestFrame::Snapshot { stream, at, part, end, last, changes } if *stream == owner.stream => {
                owner.heard(Position { sequence: *last, ..*at });
                owner.on_snapshot(from, *at, (*part, *end), changes, sink)
            }
            InterestFrame::Announce { .. }
            | InterestFrame::Snapshot { .. }
            | InterestFrame::Ask { .. }
            | InterestFrame::Ack { .. } => return,
        };
        owner.check_goal(from, sink);
        let rested = owner.asked_at.is_none_or(|at| now >= at + self.ask_again_after);
        // Between questions an owner repeats by itself what was not acknowledged.
        if !continues && rested {
            let have = owner.have;
            self.ask_behind(from, have, now);
        }
    }

    /// The next frame for an owner, to be called when the link has room for one.
    pub fn poll_transmit(&mut self, owner: NodeId, now: Duration) -> Option<InterestFrame> {
        let owner = self.owners.get_mut(&owner)?;
        if owner.ask_at.is_some_and(|at| at <= now) {
            owner.ask_at = Some(now + self.ask_again_after);
            owner.asked_at = Some(now);
            return Some(InterestFrame::Ask { stream: owner.stream, have: owner.have });
        }
        let have = owner.have.filter(|_| std::mem::take(&mut owner.ack))?;
        Some(InterestFrame::Ack { stream: owner.stream, have })
    }

    /// When to call [`Self::poll_transmit`] for all owners next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.owners.values().filter_map(|owner| owner.ask_at).min()
    }

    fn ask_behind(&mut self, owner: NodeId, have: Option<Position>, now: Duration) {
        let stream = self.next_stream();
        if let Some(state) = self.owners.get_mut(&owner) {
            *state = Owner { caught_up: state.caught_up, ..Owner::asking(have, stream, now) };
        }
    }

    fn next_stream(&mut self) -> Stream {
        self.last_stream += 1;
        Stream { receiver: self.incarnation, number: self.last_stream }
    }
}

impl Owner {
    fn asking(have: Option<Position>, stream: Stream, now: Duration) -> Self {
        Self {
            have,
            stream,
            ask_at: Some(now),
            asked_at: None,
            goal: None,
            caught_up: false,
            snapshot: None,
            ack: false,
        }
    }

    /// The question was answered, and the first answer says how far the owner had counted then.
    fn heard(&mut self, last: Position) {
        self.ask_at = None;
        self.goal.get_or_insert(last);
    }

    /// Returns whether the announcement leaves no gap.
    fn on_announce(
        &mut self,
        from: NodeId,
        after: Sequence,
        upto: Position,
        changes: &[Change],
        sink: &mut impl InterestSink,
    ) -> bool {
        match self.have {
            // An older life than what is known: nothing it says counts.
            Some(have) if have.incarnation > upto.incarnation => return true,
            Some(have) if have.incarnation == upto.incarnation && after > have.sequence => return false,
            Some(have) if have.incarnation == upto.incarnation => {}
            // Another life: only its whole story is one.
            Some(_) | None if after > Sequence(0) => return false,
            Some(_) | None => {
                sink.begins(from);
                sink.void_before(from, Position { sequence: Sequence(0), ..upto });
            }
        }
        self.ack = true;
        if self.have < Some(upto) {
            changes.iter().for_each(|change| sink.change(from, upto, change));
            self.have = Some(upto);
        }
        true
    }

    /// Returns whether the part is the next one.
    fn on_snapshot(
        &mut self,
        from: NodeId,
        at: Position,
        (part, end): (u32, bool),
        changes: &[Change],
        sink: &mut impl InterestSink,
    ) -> bool {
        if self.have >= Some(at) {
            self.ack = true;
            return true;
        }
        if part == 0 {
            sink.begins(from);
            self.snapshot = Some((at, 0));
        }
        if self.snapshot != Some((at, part)) {
            return false;
        }
        changes.iter().for_each(|change| sink.change(from, at, change));
        self.snapshot = (!end).then_some((at, part + 1));
        if end {
            sink.void_before(from, at);
            self.have = Some(at);
            self.ack = true;
        }
        true
    }

    fn check_goal(&mut self, from: NodeId, sink: &mut impl InterestSink) {
        let Some((goal, have)) = self.goal.zip(self.have) else { return };
        if have >= goal && self.ask_at.is_none() {
            self.caught_up = true;
            sink.caught_up(from);
        }
    }
}
