//! The owner's side: what this node wants, and how far each peer has heard of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use sluice_topic::ParsedFilter;

use super::{Change, Incarnation, Interest, InterestFrame, InterestLimits, Position, Sequence, Stream, filter_cost};
use crate::NodeId;

/// This node's interest, and a cursor for each peer that has asked for it.
///
/// Invariant: `by_sequence` has exactly the last change of each row.
#[derive(Debug)]
pub struct InterestSource {
    incarnation: Incarnation,
    limits: InterestLimits,
    rows: BTreeMap<Arc<ParsedFilter>, Row>,
    by_sequence: BTreeMap<Sequence, Arc<ParsedFilter>>,
    last: Sequence,
    /// Filters that went up to here may be forgotten, so that a delta from before it cannot be made.
    floor: Sequence,
    gone_bytes: usize,
    peers: BTreeMap<NodeId, Cursor>,
}

#[derive(Debug)]
struct Row {
    changed: Sequence,
    interest: Option<Interest>,
}

/// How far one peer has been told.
#[derive(Debug)]
struct Cursor {
    stream: Stream,
    acked: Sequence,
    sent: Sequence,
    /// A frame is owed even if nothing has changed: the peer has asked.
    owed: bool,
    snapshot: Option<SnapshotCursor>,
    resend_at: Option<Duration>,
}

#[derive(Debug)]
struct SnapshotCursor {
    at: Sequence,
    after: Option<Arc<ParsedFilter>>,
    part: u32,
}

impl InterestSource {
    /// A node that wants nothing yet, in a life that is higher than all before.
    #[must_use]
    pub fn new(incarnation: Incarnation, limits: InterestLimits) -> Self {
        Self {
            incarnation,
            limits,
            rows: BTreeMap::new(),
            by_sequence: BTreeMap::new(),
            last: Sequence(0),
            floor: Sequence(0),
            gone_bytes: 0,
            peers: BTreeMap::new(),
        }
    }

    /// Says what is wanted of a filter from here on. Returns the change that a barrier has to wait for: this one, or an
    /// earlier one that has said the same already.
    pub fn set(&mut self, filter: &ParsedFilter, interest: Option<Interest>) -> Sequence {
        match self.rows.get(filter) {
            Some(row) if row.interest == interest => return row.changed,
            None if interest.is_none() => return Sequence(0),
            Some(_) | None => {}
        }
        let key = self.take(filter).unwrap_or_else(|| Arc::new(filter.clone()));
        self.last.0 += 1;
        if interest.is_none() {
            self.gone_bytes += filter_cost(filter);
        }
        self.by_sequence.insert(self.last, key.clone());
        self.rows.insert(key, Row { changed: self.last, interest });
        self.forget_gone();
        self.last
    }

    /// How far this node has counted.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { incarnation: self.incarnation, sequence: self.last }
    }

    /// What is wanted, by filter.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<ParsedFilter>, Interest)> {
        self.rows.iter().filter_map(|(filter, row)| Some((filter, row.interest?)))
    }

    /// Whether all of these peers have a change in effect: the barrier before a SUBACK (I24).
    pub fn is_acknowledged(&self, change: Sequence, peers: impl IntoIterator<Item = NodeId>) -> bool {
        peers.into_iter().all(|peer| self.peers.get(&peer).is_some_and(|cursor| cursor.acked >= change))
    }

    /// A peer is gone. It is told nothing until it asks again, which it does when the link comes up: forget it before.
    pub fn forget(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// Takes a question or an acknowledgement. Other frames are not for an owner and are dropped.
    pub fn handle(&mut self, peer: NodeId, frame: &InterestFrame, now: Duration) {
        match *frame {
            InterestFrame::Ask { stream, have } => self.on_ask(peer, stream, have),
            InterestFrame::Ack { stream, have } => self.on_ack(peer, stream, have, now),
            InterestFrame::Announce { .. } | InterestFrame::Snapshot { .. } => {}
        }
    }

    /// The next frame for a peer, to be called when the link has room for one.
    pub fn poll_transmit(&mut self, peer: NodeId, now: Duration) -> Option<InterestFrame> {
        let mut cursor = self.peers.remove(&peer)?;
        if cursor.resend_at.is_some_and(|at| at <= now) {
            cursor.restart();
        }
        let frame = self.next_frame(&mut cursor);
        if frame.is_some() {
            cursor.resend_at = Some(now + self.limits.resend_after);
        }
        self.peers.insert(peer, cursor);
        frame
    }

    /// When to call [`Self::poll_transmit`] for all peers next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.peers.values().filter_map(|cursor| cursor.resend_at).min()
    }

    fn on_ask(&mut self, peer: NodeId, stream: Stream, have: Option<Position>) {
        if self.peers.get(&peer).is_some_and(|cursor| cursor.stream >= stream) {
            return;
        }
        // More than was ever counted comes from a life that used the same number, and is worth nothing.
        let known = have.filter(|have| have.incarnation == self.incarnation && have.sequence <= self.last);
        let acked = known.map_or(Sequence(0), |have| have.sequence);
        let cursor = Cursor { stream, acked, sent: acked, owed: true, snapshot: None, resend_at: None };
        self.peers.insert(peer, cursor);
    }

    fn on_ack(&mut self, peer: NodeId, stream: Stream, have: Position, now: Duration) {
        let last = self.last;
        let Some(cursor) = self.peers.get_mut(&peer).filter(|cursor| cursor.stream == stream) else { return };
        if have.incarnation != self.incarnation || have.sequence > last {
            return;
        }
        if have.sequence > cursor.acked {
            cursor.acked = have.sequence;
            cursor.resend_at = Some(now + self.limits.resend_after);
        }
        if cursor.acked >= cursor.sent && cursor.snapshot.is_none() {
            cursor.sent = cursor.acked;
            cursor.resend_at = None;
        }
    }

    fn next_frame(&self, cursor: &mut Cursor) -> Option<InterestFrame> {
        if cursor.snapshot.is_none() && cursor.sent < self.floor {
            cursor.snapshot = Some(SnapshotCursor { at: self.last, after: None, part: 0 });
        }
        let owed = std::mem::take(&mut cursor.owed);
        if cursor.snapshot.is_some() {
            return Some(self.next_snapshot(cursor));
        }
        (owed || cursor.sent < self.last).then(|| self.next_announce(cursor))
    }

    fn next_announce(&self, cursor: &mut Cursor) -> InterestFrame {
        let after = cursor.sent;
        let (mut upto, mut changes, mut bytes) = (self.last, Vec::new(), 0);
        for (&changed, filter) in self.by_sequence.range((Bound::Excluded(after), Bound::Unbounded)) {
            bytes += filter_cost(filter);
            if bytes > self.limits.frame_bytes_max && !changes.is_empty() {
                // The rest begins with the next change of any filter.
                upto = Sequence(changed.0 - 1);
                break;
            }
            let interest = self.rows.get(filter).and_then(|row| row.interest);
            changes.push(Change { filter: filter.clone(), interest });
        }
        cursor.sent = upto;
        let (stream, last) = (cursor.stream, self.last);
        InterestFrame::Announce { stream, incarnation: self.incarnation, after, upto, last, changes }
    }

    fn next_snapshot(&self, cursor: &mut Cursor) -> InterestFrame {
        let fresh = || SnapshotCursor { at: self.last, after: None, part: 0 };
        let mut snapshot = cursor.snapshot.take().unwrap_or_else(fresh);
        let (mut changes, mut bytes, mut end) = (Vec::new(), 0, true);
        let after = snapshot.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = self
            .rows
            .range::<Arc<ParsedFilter>, _>((after, Bound::Unbounded))
            .filter(|(_, row)| row.interest.is_some());
        for (filter, row) in wanted {
            bytes += filter_cost(filter);
            if bytes > self.limits.frame_bytes_max && !changes.is_empty() {
                end = false;
                break;
            }
            changes.push(Change { filter: filter.clone(), interest: row.interest });
        }
        let at = Position { incarnation: self.incarnation, sequence: snapshot.at };
        let (stream, part, last) = (cursor.stream, snapshot.part, self.last);
        if end {
            cursor.sent = snapshot.at;
        } else {
            snapshot.after = changes.last().map(|change: &Change| change.filter.clone());
            snapshot.part += 1;
            cursor.snapshot = Some(snapshot);
        }
        InterestFrame::Snapshot { stream, at, part, end, last, changes }
    }

    /// Takes a row out of both maps.
    fn take(&mut self, filter: &ParsedFilter) -> Option<Arc<ParsedFilter>> {
        let (key, row) = self.rows.remove_entry(filter)?;
        self.by_sequence.remove(&row.changed);
        if row.interest.is_none() {
            self.gone_bytes -= filter_cost(filter);
        }
        Some(key)
    }

    /// Forgets the filters that went first, as far as there are too many of them.
    fn forget_gone(&mut self) {
        while self.gone_bytes > self.limits.gone_bytes_max {
            let gone = |(_, filter): &(&Sequence, &Arc<ParsedFilter>)| {
                self.rows.get(*filter).is_some_and(|row| row.interest.is_none())
            };
            // Behind the floor only what is wanted is left, so that the walk begins there.
            let behind = self.by_sequence.range((Bound::Excluded(self.floor), Bound::Unbounded));
            let Some((changed, filter)) = behind.into_iter().find(gone).map(|(at, filter)| (*at, filter.clone()))
            else {
                return;
            };
            self.take(&filter);
            self.floor = changed;
        }
    }
}

impl Cursor {
    /// Says everything behind the last acknowledgement again.
    fn restart(&mut self) {
        self.sent = self.acked;
        self.snapshot = None;
        self.owed = true;
        self.resend_at = None;
    }
}
