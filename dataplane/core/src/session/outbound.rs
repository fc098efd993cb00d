//! The messages on their way to one client: those it has not acknowledged, and those that wait behind them.
//!
//! ```text
//!              queue                      window
//!  deliver ──► Queued ──send──► AwaitAck ──PUBACK──► gone                      QoS 1
//!                          └──► AwaitRec ──PUBREC──► AwaitComp ──PUBCOMP──► gone   QoS 2
//! ```
//! Invariants: a packet id is used once at a time (I17); the window never exceeds the client's Receive Maximum; an
//! acknowledgement settles only what waits for exactly that acknowledgement (I18); the queue is in publish order (I16).

use std::{collections::VecDeque, sync::Arc};

/// What a message on its way consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In memory, encoded as a [`crate::message::MessageRef`]: for sessions that end with their connection. Behind
    /// a thin pointer, so that the many that are stored take no more room than their number.
    Memory(Arc<Vec<u8>>),
    /// The record with this sequence number of the session's shard.
    Stored(u64),
    /// Let go: nothing but the acknowledgement is awaited.
    Sent,
}

/// A message that waits for room in the window.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    /// The message.
    pub(crate) body: Body,
    /// Its packet id when it has one already: stored messages get theirs when they are stored.
    pub(crate) packet_id: u16,
    /// QoS of the delivery.
    pub(crate) qos: u8,
    /// [`RETAIN`], [`DUP`] and [`PASSED_ON`].
    pub(crate) flags: u8,
    /// Bytes it counts for.
    pub(crate) bytes: u32,
    /// When it expires, in seconds since the Unix epoch, rounded up; 0 = never.
    pub(crate) expires_s: u32,
    /// Subscription identifiers of a message in memory (those of a stored one are in its record).
    #[expect(clippy::box_collection, reason = "8 bytes where nearly all have none")]
    pub(crate) subscription_ids: Option<Box<Vec<u32>>>,
    /// The shared group it came through, plus 1; 0 = none.
    pub(crate) group: u32,
}

/// Where the second half of the packet ids begins.
const HALF: u16 = 1 << 15;

/// An expiry time as it is kept in queues.
pub(crate) fn expires_s(expires_wall_ms: u64) -> u32 {
    u32::try_from(expires_wall_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// The delivery carries RETAIN.
pub(crate) const RETAIN: u8 = 1;
/// The delivery was tried before.
pub(crate) const DUP: u8 = 2;
/// The message was passed on to another member of its group, on another worker, which has not answered yet. It stays in
/// the queue until then, so that it is never nowhere.
pub(crate) const PASSED_ON: u8 = 4;

/// What an unacknowledged message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBCOMP.
    Comp,
}

/// A message sent and not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Inflight {
    /// Its packet id.
    pub(crate) packet_id: u16,
    /// What it waits for.
    pub(crate) awaits: Awaits,
    /// [`RETAIN`].
    pub(crate) flags: u8,
    /// Bytes it counts for.
    pub(crate) bytes: u32,
    /// The message, for as long as it may have to be sent again.
    pub(crate) body: Body,
    /// The shared group it came through, plus 1; 0 = none.
    pub(crate) group: u32,
}

impl Inflight {
    /// The message as one that waits to be sent again.
    pub(crate) fn into_queued(self) -> Queued {
        Queued {
            packet_id: self.packet_id,
            qos: if self.awaits == Awaits::Ack { 1 } else { 2 },
            flags: self.flags | DUP,
            bytes: self.bytes,
            // What was sent once is sent again whatever its age.
            expires_s: 0,
            subscription_ids: None,
            group: self.group,
            body: self.body,
        }
    }
}

/// The window and the queue of one session.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// Sent, oldest first.
    pub(crate) window: VecDeque<Inflight>,
    /// Waiting, oldest first.
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes of the queue.
    pub(crate) queue_bytes: usize,
    last_packet_id: u16,
    /// Whether a packet id of the half of the numbers being given out may be in use from the last time round.
    careful: bool,
}

impl Outbound {
    /// A packet id that no unacknowledged message has, in turn, skipping 0 [MQTT-2.2.1-4]. A message far behind in the
    /// queue may have it: [`Self::is_in_window`] keeps the two apart.
    ///
    /// # Panics
    /// When all 65,535 are unacknowledged: [`crate::OUTBOUND_WINDOW_MAX`] is below that.
    pub(crate) fn next_packet_id(&mut self) -> u16 {
        for _ in 0..=u16::MAX {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if self.last_packet_id == 1 || self.last_packet_id == HALF {
                self.look_ahead();
            }
            if !self.careful || self.find(self.last_packet_id).is_none() {
                return self.last_packet_id;
            }
        }
        panic!("I17: every packet id is in use");
    }

    /// Sees whether an id of the half that is entered is in use: only then each must be looked up when it is given out.
    /// (A queue as long as half of all ids may hold some, too.)
    fn look_ahead(&mut self) {
        let first_half = self.last_packet_id == 1;
        let in_use = self.window.iter().any(|inflight| (inflight.packet_id < HALF) == first_half);
        self.careful = in_use || self.queue.len() >= usize::from(HALF) / 2;
    }

    /// Continues after this packet id; for sessions that were stored.
    pub(crate) fn resume_packet_ids_after(&mut self, packet_id: u16) {
        self.last_packet_id = packet_id;
        self.careful = true;
    }

    /// The packet id given out last.
    pub(crate) fn last_packet_id(&self) -> u16 {
        self.last_packet_id
    }

    /// Queues a message at the end.
    pub(crate) fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.bytes as usize;
        self.queue.push_back(queued);
    }

    /// Takes the oldest from the queue.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes -= queued.bytes as usize;
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
        Some(queued)
    }

    /// Takes out of the queue what `is_over` says, in order.
    pub(crate) fn take_from_queue(&mut self, mut is_over: impl FnMut(&Queued) -> bool) -> Vec<Queued> {
        let mut over = Vec::new();
        let mut kept = VecDeque::new();
        if self.queue.iter().any(|queued| queued.expires_s != 0 || queued.group != 0) {
            for queued in self.queue.drain(..) {
                if is_over(&queued) { over.push(queued) } else { kept.push_back(queued) }
            }
            self.queue = kept;
        }
        self.queue_bytes -= over.iter().map(|q| q.bytes as usize).sum::<usize>();
        over
    }

    /// Takes the stored message with this number out of the queue.
    pub(crate) fn take_stored(&mut self, seq: u64) -> Option<Queued> {
        self.take_at(self.queue.iter().position(|queued| queued.body == Body::Stored(seq))?)
    }

    /// Takes the message in place `at` out of the queue.
    pub(crate) fn take_at(&mut self, at: usize) -> Option<Queued> {
        let queued = self.queue.remove(at)?;
        self.queue_bytes -= queued.bytes as usize;
        Some(queued)
    }

    /// Settles what waits for this acknowledgement; `None` when nothing with this packet id waits for it.
    pub(crate) fn settle(&mut self, packet_id: u16, awaited: Awaits) -> Option<Inflight> {
        let at = self.find(packet_id)?;
        if self.window[at].awaits != awaited {
            return None;
        }
        let settled = self.window.remove(at);
        if self.window.is_empty() && self.window.capacity() > 16 {
            self.window = VecDeque::new();
        }
        settled
    }

    /// Whether an unacknowledged message has this packet id.
    pub(crate) fn is_in_window(&self, packet_id: u16) -> bool {
        self.careful && self.find(packet_id).is_some()
    }

    /// The unacknowledged message with this packet id.
    pub(crate) fn inflight(&mut self, packet_id: u16) -> Option<&mut Inflight> {
        let at = self.find(packet_id)?;
        self.window.get_mut(at)
    }

    /// Puts what must be sent again back in front of the queue, oldest first, marked as duplicates; what waits for
    /// PUBCOMP stays. For a session whose client comes back [MQTT-4.4.0-1].
    pub(crate) fn rewind(&mut self) {
        let mut kept = VecDeque::new();
        while let Some(inflight) = self.window.pop_back() {
            if inflight.awaits == Awaits::Comp || inflight.body == Body::Sent {
                kept.push_front(inflight);
                continue;
            }
            self.queue_bytes += inflight.bytes as usize;
            self.queue.push_front(inflight.into_queued());
        }
        self.window = kept;
    }

    /// Where a packet id stands. Ids are given out in turn, so the distance from the first tells the place unless some
    /// were skipped or settled out of turn.
    fn find(&self, packet_id: u16) -> Option<usize> {
        let first = self.window.front()?.packet_id;
        if first == packet_id {
            return Some(0);
        }
        let guess = usize::from(packet_id.wrapping_sub(first));
        if self.window.get(guess).is_some_and(|inflight| inflight.packet_id == packet_id) {
            return Some(guess);
        }
        self.window.iter().position(|inflight| inflight.packet_id == packet_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(outbound: &mut Outbound, awaits: Awaits) -> u16 {
        let packet_id = outbound.next_packet_id();
        outbound.window.push_back(Inflight {
            packet_id,
            awaits,
            flags: 0,
            bytes: 0,
            body: Body::Stored(u64::from(packet_id)),
            group: 0,
        });
        packet_id
    }

    #[test]
    fn packet_ids_wrap_and_skip_one_that_is_stuck() {
        let mut outbound = Outbound::default();
        let stuck = send(&mut outbound, Awaits::Ack);
        assert_eq!(stuck, 1);
        for _ in 0..200_000 {
            let id = send(&mut outbound, Awaits::Ack);
            assert!(id != 0 && id != stuck);
            assert!(outbound.settle(id, Awaits::Ack).is_some());
        }
        assert_eq!(outbound.window.len(), 1);
    }

    #[test]
    fn an_acknowledgement_settles_only_what_waits_for_it() {
        let mut outbound = Outbound::default();
        let one = send(&mut outbound, Awaits::Ack);
        let two = send(&mut outbound, Awaits::Rec);
        assert!(outbound.settle(two, Awaits::Ack).is_none());
        assert!(outbound.settle(one, Awaits::Comp).is_none());
        assert!(outbound.settle(99, Awaits::Ack).is_none());
        assert!(outbound.settle(two, Awaits::Rec).is_some());
        assert!(outbound.settle(one, Awaits::Ack).is_some());
        assert!(outbound.settle(one, Awaits::Ack).is_none());
    }

    #[test]
    fn rewinding_keeps_order_packet_ids_and_what_was_released() {
        let mut outbound = Outbound::default();
        for awaits in [Awaits::Ack, Awaits::Comp, Awaits::Rec, Awaits::Ack] {
            send(&mut outbound, awaits);
        }
        outbound.rewind();
        let queued: Vec<_> = outbound.queue.iter().map(|q| (q.packet_id, q.qos, q.flags & DUP)).collect();
        assert_eq!(queued, [(1, 1, DUP), (3, 2, DUP), (4, 1, DUP)]);
        assert_eq!(outbound.window.iter().map(|i| i.packet_id).collect::<Vec<_>>(), [2]);
    }
}
