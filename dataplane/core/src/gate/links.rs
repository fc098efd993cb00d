//! Links come up and go down, and carry what the gate says.

use std::time::Duration;

use sluice_cluster::{Label, NodeId, interest::InterestFrame};
use sluice_mqtt::QoS;

use super::{
    Gate, GateOutput, Peer, SentFrame, Standing,
    arrive::UNWANTED,
    interest_frame,
    pending::{PendingId, REFUSED, TAKEN},
};
use crate::{
    Now,
    link::{Event, Identity, Lane, LinkError, Outcome, Sequence},
    message::address_of,
    peers::Frame,
};

/// Interest that waits for a link while more of it is not made, in bytes.
const INTEREST_AHEAD_BYTES: usize = 256 * 1024;

impl Gate {
    /// There is a connection to a node, which has proved that it is this node. An older one of it is void. Before this
    /// node's workers have told what their restored sessions want, it is to be closed.
    pub fn connected(&mut self, now: Now, node: NodeId, connection: u64) {
        if self.restoring != 0 {
            self.outputs.push_back(GateOutput::Close { node, connection, error: LinkError::Restoring });
            return;
        }
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.link.connected(at(now), connection);
            mark(&mut self.dirty, node, peer);
            self.note_standing(now, node);
            self.settle(now);
        }
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, now: Now, node: NodeId, connection: u64) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.link.disconnected(connection);
            self.note_standing(now, node);
            self.settle(now);
        }
    }

    /// Takes bytes of a lane: as many whole frames as there are. Bytes not consumed are offered again in front of what
    /// comes next.
    ///
    /// # Errors
    /// What was said cannot be: the connection has to be closed.
    pub fn receive(
        &mut self,
        now: Now,
        node: NodeId,
        connection: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<usize, LinkError> {
        let Some(peer) = self.nodes.get_mut(&node) else { return Err(LinkError::Replaced) };
        let mut events = Vec::new();
        let consumed = peer.link.receive(connection, lane, bytes, &mut |event| events.push(event));
        // It may have to say something of its own.
        mark(&mut self.dirty, node, peer);
        for event in events {
            self.on_event(now, node, event);
        }
        self.settle(now);
        consumed
    }

    /// Appends what a lane has to send, up to about `max` bytes. `false`: nothing.
    pub fn transmit(&mut self, now: Now, node: NodeId, lane: Lane, out: &mut Vec<u8>, max: usize) -> bool {
        let Some(peer) = self.nodes.get_mut(&node) else { return false };
        let any = peer.link.transmit(lane, out, max);
        if any && lane == Lane::Control {
            // There may be room for more interest.
            self.pump_interest(at(now));
        }
        if any && lane == Lane::Bulk {
            self.tell_lost(node);
        }
        any
    }

    /// Whether a link that is up is so full that the driver should take nothing more from the workers for now.
    #[must_use]
    pub fn wants_pause(&self) -> bool {
        self.nodes.values().any(|peer| peer.standing == Standing::Up && peer.link.wants_pause())
    }

    /// Whether there is a link to a node.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|peer| peer.standing == Standing::Up)
    }

    fn on_event(&mut self, now: Now, node: NodeId, event: Event<'_>) {
        match event {
            Event::Up { new_life, protocol, .. } => self.on_up(now, node, new_life, protocol),
            Event::Received { receipt, again, frame } => self.on_peer_frame(now, node, receipt, again, frame),
            Event::Control(bytes) => self.on_interest_frame(now, node, bytes),
            Event::Bulk(bytes) => self.on_bulk(now, node, bytes),
            Event::Answered { first, count, outcome } => self.on_answered(now, node, first, count, outcome),
        }
    }

    fn on_up(&mut self, now: Now, node: NodeId, new_life: bool, protocol: u16) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        self.interest_moved = true;
        peer.standing = Standing::Up;
        if new_life {
            self.queries.forget(node);
            self.tell_all(&Frame::Forget { node });
        }
        self.remote.table_mut().linked(node, at(now));
        self.remote.found(node);
        self.outputs.push_back(GateOutput::Reach { node, up: true });
        self.tell_homes();
        self.tell_all(&Frame::RenewClaims { node });
        self.begin_copying(node, protocol);
    }

    /// Looks whether a link is down that was up.
    fn note_standing(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        if peer.standing == Standing::Up && !peer.link.is_up() {
            peer.standing = Standing::Down { since_ms: now.mono_ms };
            self.source.forget(node);
            self.interest_moved = true;
            self.outputs.push_back(GateOutput::Reach { node, up: false });
            self.end_copying(node);
            self.skip_unreachable(node);
            self.tell_homes();
        }
    }

    fn on_interest_frame(&mut self, now: Now, node: NodeId, bytes: &[u8]) {
        // A frame that a later version made and this one cannot read is asked for again, and stands in the base in the end.
        let Some(frame) = interest_frame::decode(bytes) else { return };
        self.interest_moved = true;
        match frame {
            InterestFrame::Ask { .. } | InterestFrame::Ack { .. } => self.source.handle(node, &frame, at(now)),
            InterestFrame::Announce { .. } | InterestFrame::Snapshot { .. } => {
                self.remote.table_mut().handle(node, &frame, at(now));
            }
        }
    }

    fn on_answered(&mut self, now: Now, node: NodeId, first: Sequence, count: u32, outcome: Outcome) {
        for number in first.0..first.0 + u64::from(count) {
            let pending = self.nodes.get_mut(&node).and_then(|peer| peer.take_sent(Sequence(number)));
            if let Some(pending) = pending {
                self.on_outcome(now, pending, outcome);
            }
        }
    }

    /// Moves interest to the links as far as they have room for it.
    pub(super) fn pump_interest(&mut self, now: Duration) {
        for (&node, peer) in &mut self.nodes {
            if peer.standing != Standing::Up {
                continue;
            }
            while peer.link.load().control_bytes < INTEREST_AHEAD_BYTES {
                let of_table = self.remote.poll_transmit(node, now);
                let Some(frame) = of_table.or_else(|| self.source.poll_transmit(node, now)) else { break };
                send_interest(peer, &frame);
                mark(&mut self.dirty, node, peer);
            }
        }
    }

    /// Sends the acknowledgements that have become true.
    pub(super) fn send_held_acknowledgements(&mut self, _: Now) {
        while let Some((node, frame)) = self.remote.poll_held() {
            if let Some(peer) = self.nodes.get_mut(&node).filter(|peer| peer.standing == Standing::Up) {
                send_interest(peer, &frame);
                mark(&mut self.dirty, node, peer);
            }
        }
    }

    /// Deadlines of links, and of nodes that do not come back.
    pub(super) fn tick_links(&mut self, now: Now) {
        for (&node, peer) in &mut self.nodes {
            if let Some(connection) = peer.link.connection()
                && let Err(error) = peer.link.tick(at(now))
            {
                self.outputs.push_back(GateOutput::Close { node, connection, error });
            }
        }
        let lost_after_ms = self.settings.lost_after_ms;
        let is_lost = |peer: &Peer| matches!(peer.standing, Standing::Down { since_ms } if since_ms + lost_after_ms <= now.mono_ms);
        let lost: Vec<NodeId> = self.nodes.iter().filter(|(_, peer)| is_lost(peer)).map(|(node, _)| *node).collect();
        for node in lost {
            self.give_up(now, node);
            self.outputs.push_back(GateOutput::Lost { node });
        }
    }

    /// Nothing waits for a node any more: its transient sessions are taken to be gone, and what would have been stored
    /// there is refused.
    pub(super) fn give_up(&mut self, now: Now, node: NodeId) {
        let me = self.next_identity();
        if self.is_up(node) {
            self.end_copying(node);
        }
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        peer.standing = Standing::Lost;
        peer.link.begin_anew(me);
        self.interest_moved = true;
        let sent = std::mem::take(&mut peer.sent);
        self.gateways.forget(node);
        for frame in sent {
            if let SentFrame::Awaited { pending, durable } = frame {
                let outcome = if durable { REFUSED } else { self.outcome_at_a_lost_node(pending) };
                self.on_outcome(now, pending, outcome);
            }
        }
        self.skip_unreachable(node);
        self.remote.lost(node);
    }

    /// What becomes of a message that waits for a node that is given up, and would not have been stored there. Of a
    /// group it goes to another member; at QoS 2, where it may be with one already, its publisher hears that it failed.
    fn outcome_at_a_lost_node(&self, pending: PendingId) -> Outcome {
        let group = self.pendings.group(pending).and_then(|send| address_of(&send.message));
        match group {
            None => TAKEN,
            Some((_, QoS::ExactlyOnce)) => REFUSED,
            Some((_, QoS::AtMostOnce | QoS::AtLeastOnce)) => UNWANTED,
        }
    }

    /// This node, as it introduces itself on a link that it begins.
    pub(super) fn next_identity(&mut self) -> Identity {
        self.links_begun += 1;
        let settings = &self.settings;
        Identity {
            cluster: settings.cluster,
            node: settings.node,
            incarnation: settings.incarnation,
            generation: self.links_begun,
            versions: settings.versions,
            region: Label::parse(&settings.region).ok(),
        }
    }
}

impl Peer {
    /// A numbered frame was given to the link, and somebody may wait for what becomes of it.
    pub(super) fn note_sent(&mut self, sequence: Sequence, awaited: Option<(PendingId, bool)>) {
        if self.sent.is_empty() {
            self.sent_from = sequence;
        }
        debug_assert_eq!(self.sent_from.0 + self.sent.len() as u64, sequence.0, "numbers leave no gap");
        self.sent.push_back(match awaited {
            Some((pending, durable)) => SentFrame::Awaited { pending, durable },
            None => SentFrame::Unawaited,
        });
    }

    /// The number of the last numbered frame.
    pub(super) fn last_sent(&self) -> Sequence {
        Sequence((self.sent_from.0 + self.sent.len() as u64).saturating_sub(1))
    }

    /// Whether a frame has its outcome.
    pub(super) fn is_answered(&self, sequence: Sequence) -> bool {
        let at = sequence.0.checked_sub(self.sent_from.0).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.sent.get(at)).is_none_or(|frame| matches!(frame, SentFrame::Answered))
    }

    /// What waits for the outcome of a frame. Once.
    fn take_sent(&mut self, sequence: Sequence) -> Option<PendingId> {
        let at = usize::try_from(sequence.0.checked_sub(self.sent_from.0)?).ok()?;
        let taken = std::mem::replace(self.sent.get_mut(at)?, SentFrame::Answered);
        while self.sent.front().is_some_and(|frame| matches!(frame, SentFrame::Answered)) {
            self.sent.pop_front();
            self.sent_from.0 += 1;
        }
        match taken {
            SentFrame::Awaited { pending, .. } => Some(pending),
            SentFrame::Unawaited | SentFrame::Answered => None,
        }
    }
}

/// Something may be ready for a node.
pub(super) fn mark(dirty: &mut Vec<NodeId>, node: NodeId, peer: &mut Peer) {
    if !peer.dirty {
        peer.dirty = true;
        dirty.push(node);
    }
}

fn send_interest(peer: &mut Peer, frame: &InterestFrame) {
    let mut bytes = Vec::new();
    interest_frame::encode(frame, &mut bytes);
    // A frame that finds no room is said again when it is not answered.
    peer.link.send_control(&bytes);
}

fn at(now: Now) -> Duration {
    Duration::from_millis(now.mono_ms)
}
