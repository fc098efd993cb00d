//! Messages that come from other nodes, and what workers make of them.

use sluice_cluster::{NodeId, WorkerId};
use sluice_mqtt::QoS;
use sluice_topic::{ParsedFilter, TopicFilter};

use super::{
    Gate,
    forward::Outgoing,
    frame::{PeerFrame, from_wire},
    links::mark,
    pending::{Asker, GroupSend, PendingId, REFUSED, TAKEN},
};
use crate::{
    Now,
    link::{Outcome, Receipt},
    message::{MessageRef, address_of},
    peers::{Frame, workers_of},
};

/// Nobody wanted it, as far as this node knows.
pub(super) const UNWANTED: Outcome = Outcome { matched: false, refused: None };

impl Gate {
    /// A frame of another node. Bytes that are none are answered, and cost nobody else anything.
    pub(super) fn on_peer_frame(
        &mut self,
        now: Now,
        node: NodeId,
        receipt: Option<Receipt>,
        again: bool,
        bytes: &[u8],
    ) {
        let Some(frame) = PeerFrame::decode(bytes) else {
            self.answer_receipt(node, receipt, REFUSED);
            return;
        };
        match frame {
            PeerFrame::Publish { relay, again: routed, message } => {
                self.on_publish(now, node, receipt, relay, again || routed, message);
            }
            PeerFrame::Retain { message } => self.on_retain(now, node, receipt, message),
            PeerFrame::Shared { relay, group, filter, message } => {
                self.on_shared(now, node, receipt, relay, (group, filter), message);
            }
            PeerFrame::Claim { renew, serial, client, user } => {
                let worker = self.worker_of_client(client);
                let pending = receipt.map(|receipt| self.pendings.open(Asker::Peer(node, receipt), None));
                let ticket = self.expect_ticket(pending);
                self.tell(worker, &Frame::Claim { ticket, node, renew, serial, client, user });
            }
            PeerFrame::Unclaim { serial, client } => {
                self.tell(self.worker_of_client(client), &Frame::Unclaim { node, serial, client });
                self.answer_receipt(node, receipt, TAKEN);
            }
            PeerFrame::Evict { serial, client } => {
                self.tell(self.worker_of_client(client), &Frame::Evict { node, serial, client });
                self.answer_receipt(node, receipt, TAKEN);
            }
        }
    }

    fn on_publish(
        &mut self,
        now: Now,
        node: NodeId,
        receipt: Option<Receipt>,
        relay: bool,
        again: bool,
        message: &[u8],
    ) {
        self.stats.arrived += 1;
        let message = from_wire(message, now.wall_ms);
        let Some((topic, qos)) = address_of(&message) else {
            self.answer_receipt(node, receipt, REFUSED);
            return;
        };
        let wanting = self.local.matched(topic);
        let is_known = self.is_known_here(qos, again, &message);
        let waits = receipt.is_some() && (relay || (qos != QoS::AtMostOnce && wanting.durable != 0));
        let pending = receipt.filter(|_| waits).map(|receipt| self.pendings.open(Asker::Peer(node, receipt), None));
        for worker in workers_of(wanting.workers) {
            let stores = qos != QoS::AtMostOnce && wanting.durable & (1 << worker.0) != 0;
            let ticket = if stores { self.expect_ticket(pending) } else { 0 };
            self.tell(worker, &Frame::Publish { ticket, again: is_known, message: &message });
        }
        if relay {
            self.forward_to_nodes(now, pending, &Outgoing { topic, again, may_leave_region: false, message: &message });
        }
        self.stats.unwanted += u64::from(wanting.workers == 0 && !relay);
        let outcome = if wanting.workers == 0 { UNWANTED } else { TAKEN };
        match pending {
            Some(pending) => {
                self.pendings.note(pending, outcome);
                self.close_if_over(Some(pending));
            }
            None => self.answer_receipt(node, receipt, outcome),
        }
    }

    /// Whether sessions of this node that cannot know by themselves may have a message already. At QoS 1 that does not
    /// matter.
    fn is_known_here(&mut self, qos: QoS, again: bool, message: &[u8]) -> bool {
        if qos != QoS::ExactlyOnce {
            return false;
        }
        match MessageRef::decode(message).and_then(|message| message.id) {
            Some(id) => !self.seen.note(&id),
            None => again,
        }
    }

    fn on_retain(&mut self, now: Now, node: NodeId, receipt: Option<Receipt>, message: &[u8]) {
        let message = from_wire(message, now.wall_ms);
        let Some((topic, _)) = address_of(&message) else {
            self.answer_receipt(node, receipt, REFUSED);
            return;
        };
        let worker = self.sharding.worker_of(self.sharding.of_topic(topic));
        let pending = receipt.map(|receipt| self.pendings.open(Asker::Peer(node, receipt), None));
        let ticket = self.expect_ticket(pending);
        self.tell(worker, &Frame::Retain { ticket, message: &message });
    }

    fn on_shared(
        &mut self,
        now: Now,
        node: NodeId,
        receipt: Option<Receipt>,
        relay: bool,
        (group, filter): (&str, &str),
        message: &[u8],
    ) {
        self.stats.arrived += 1;
        let message = from_wire(message, now.wall_ms);
        let parsed = TopicFilter::parse(filter, &self.settings.topic_limits);
        let (Ok(filter), Some(_)) = (parsed, address_of(&message)) else {
            self.answer_receipt(node, receipt, REFUSED);
            return;
        };
        let send = Box::new(GroupSend {
            filter: ParsedFilter { group: Some(group.into()), filter },
            message: message.into(),
            // It is not sent back where it comes from.
            nodes_tried: if relay { vec![node] } else { Vec::new() },
            workers_tried: 0,
            is_of_here: false,
            since: self.remote.touches(),
        });
        let pending = receipt.map(|receipt| self.pendings.open(Asker::Peer(node, receipt), None));
        self.choose_worker(now, pending, send, relay);
        self.close_if_over(pending);
    }

    /// Gives a message for a group to the worker whose turn it is; to another node of the region when nobody here takes
    /// it and that may be.
    fn choose_worker(&mut self, now: Now, pending: Option<PendingId>, mut send: Box<GroupSend>, relay: bool) {
        self.turn = self.turn.wrapping_add(1);
        let Some(worker) = self.local.member_worker(&send.filter, self.turn, send.workers_tried) else {
            if relay {
                // Nobody: whoever sent it hears so.
                let _ = self.choose_for_group(now, pending, send);
            }
            return;
        };
        send.workers_tried |= 1 << worker.0;
        let ticket = self.expect_ticket(pending);
        let (group, filter) = (send.filter.group.as_deref().unwrap_or_default(), send.filter.filter.as_str());
        let frame = Frame::Shared { ticket, bounced: false, group, filter, message: &send.message };
        frame.encode(&mut self.outgoing[worker.index()]);
        if let Some(pending) = pending {
            self.pendings.keep_group(pending, send);
        }
    }

    /// A worker sends a message for a group back: its members have left. It has said so before.
    pub(super) fn on_nobody_here(&mut self, now: Now, _: WorkerId, ticket: u64) {
        let Some(pending) = PendingId::of_ticket(ticket) else { return };
        let Some((_, send)) = self.pendings.take_group(pending) else { return };
        let relay = !send.nodes_tried.is_empty();
        self.choose_worker(now, Some(pending), send, relay);
        if self.pendings.answered(pending, UNWANTED) {
            self.answer(pending);
        }
    }

    /// A worker's answer to something it was given.
    pub(super) fn on_worker_done(&mut self, now: Now, from: WorkerId, ticket: u64, outcome: Outcome) {
        if self.remote.on_answer(from.index(), ticket) {
            self.send_held_acknowledgements(now);
            return;
        }
        let Some(pending) = PendingId::of_ticket(ticket) else { return };
        if self.pendings.answered(pending, outcome) {
            self.answer(pending);
        }
    }

    /// What a node made of frames that were sent to it.
    pub(super) fn on_outcome(&mut self, now: Now, pending: PendingId, outcome: Outcome) {
        if !outcome.matched
            && outcome.refused.is_none()
            && let Some((asker, send)) = self.pendings.take_group(pending)
        {
            self.on_nobody_there(now, pending, asker, send);
            return;
        }
        if self.pendings.answered(pending, outcome) {
            self.answer(pending);
        }
    }

    /// Nobody at a node took a message of a group: another node is tried, and then the worker that sent it.
    pub(super) fn on_nobody_there(&mut self, now: Now, pending: PendingId, asker: Asker, send: Box<GroupSend>) {
        let chosen = self.choose_for_group(now, Some(pending), send);
        if !self.pendings.answered(pending, UNWANTED) {
            return;
        }
        match (asker, chosen) {
            (Asker::Worker(worker, ticket), Err(send)) if !self.pendings.is_refused(pending) => {
                self.pendings.close(pending);
                self.give_back(now, worker, ticket, &send);
            }
            (Asker::Worker(..) | Asker::Peer(..), _) => self.answer(pending),
        }
    }

    /// The ticket under which a worker's answer is expected; 0 when nobody waits.
    fn expect_ticket(&mut self, pending: Option<PendingId>) -> u64 {
        let Some(pending) = pending else { return 0 };
        self.pendings.expect(pending);
        pending.ticket()
    }

    fn answer_receipt(&mut self, node: NodeId, receipt: Option<Receipt>, outcome: Outcome) {
        if let Some(receipt) = receipt {
            self.answer_peer(node, receipt, outcome);
        }
    }

    /// Answers a frame of a node, which may be gone.
    pub(super) fn answer_peer(&mut self, node: NodeId, receipt: Receipt, outcome: Outcome) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.link.answer(receipt, outcome);
            mark(&mut self.dirty, node, peer);
        }
    }

    fn worker_of_client(&self, client: &str) -> WorkerId {
        self.sharding.worker_of(self.sharding.of_client(client))
    }
}
