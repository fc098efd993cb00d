//! Messages that leave the node.

use std::borrow::Cow;

use sluice_cluster::{NodeId, WorkerId, interest::Interest, routing::Target};
use sluice_mqtt::QoS;
use sluice_topic::{ParsedFilter, TopicFilter};

use super::{
    Gate, Standing,
    frame::{PeerFrame, to_wire},
    is_of_node,
    links::mark,
    pending::{Asker, GroupSend, PendingId, REFUSED, TAKEN},
};
use crate::{
    Now,
    link::{Outcome, Sent},
    message::{address_of, rename_publisher},
    peers::Frame,
    record::publisher,
};

/// What becomes of a message that is to go to other nodes.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// Its topic.
    pub(super) topic: &'a str,
    /// Whether it was routed before.
    pub(super) again: bool,
    /// Whether it may go to other regions, or stays in this one because another node has brought it here.
    pub(super) may_leave_region: bool,
    /// The message.
    pub(super) message: &'a [u8],
}

impl Gate {
    /// A worker's message, for every node that wants it.
    pub(super) fn forward(&mut self, now: Now, from: WorkerId, ticket: u64, again: bool, message: &[u8]) {
        let Some((topic, qos)) = address_of(message) else { return };
        if is_of_node(topic) {
            self.done(from, ticket, TAKEN);
            return;
        }
        let reliable = qos != QoS::AtMostOnce && ticket != 0;
        let asker = reliable.then_some(Asker::Worker(from, ticket));
        let pending = asker.map(|asker| self.pendings.open(asker, None));
        let message = &self.of_this_node(message);
        self.forward_to_nodes(now, pending, &Outgoing { topic, again, may_leave_region: true, message });
        self.close_if_over(pending);
    }

    /// A worker's message with its publisher's name as other nodes are to know it.
    fn of_this_node<'a>(&self, message: &'a [u8]) -> Cow<'a, [u8]> {
        let node = self.settings.node;
        let renamed = rename_publisher(message, |uid| publisher::of_node(node, uid));
        renamed.map_or(Cow::Borrowed(message), Cow::Owned)
    }

    /// One copy to each node of the region that wants a message, and to each region.
    pub(super) fn forward_to_nodes(&mut self, now: Now, pending: Option<PendingId>, outgoing: &Outgoing<'_>) {
        let destinations = self.remote.destinations(outgoing.topic);
        if destinations.targets.is_empty() {
            return;
        }
        let message = to_wire(outgoing.message, now.wall_ms);
        let mut frame = std::mem::take(&mut self.scratch);
        for (target, durable) in &destinations.targets {
            let (node, relay) = match target {
                Target::Node(node) => (Some(*node), false),
                Target::Region(_) if !outgoing.may_leave_region => continue,
                Target::Region(region) if !self.residency.allows(outgoing.topic, region) => continue,
                Target::Region(region) => (self.gateway_for(now, region, outgoing.topic), true),
            };
            let Some(node) = node else { continue };
            frame.clear();
            PeerFrame::Publish { relay, again: outgoing.again, message: &message }.encode(&mut frame);
            self.stats.relayed += u64::from(relay);
            let sent = self.send(node, &frame, *durable, pending);
            if let Target::Region(region) = target
                && sent
            {
                let last = self.nodes.get(&node).filter(|_| pending.is_some()).map(|peer| peer.last_sent());
                self.gateways.note(now, region, outgoing.topic, node, last);
            }
        }
        self.scratch = frame;
    }

    /// A retained message, for its home.
    pub(super) fn forward_retained(&mut self, now: Now, from: WorkerId, ticket: u64, message: &[u8]) {
        let Some((topic, _)) = address_of(message) else { return };
        let Some(node) = self.homes.node_of_topic(topic) else {
            // Nobody has it, or the placement has changed since and the worker finds it here the next time.
            self.done(from, ticket, REFUSED);
            return;
        };
        let pending = (ticket != 0).then(|| self.pendings.open(Asker::Worker(from, ticket), None));
        let message = &self.of_this_node(message);
        let message = to_wire(message, now.wall_ms);
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        PeerFrame::Retain { message: &message }.encode(&mut frame);
        self.send(node, &frame, true, pending);
        self.scratch = frame;
        self.close_if_over(pending);
    }

    /// A worker's message for one member of a group, at another node.
    pub(super) fn forward_shared(
        &mut self,
        now: Now,
        from: WorkerId,
        ticket: u64,
        (group, filter): (&str, &str),
        message: &[u8],
    ) {
        let Ok(filter) = TopicFilter::parse(filter, &self.settings.topic_limits) else { return };
        let send = Box::new(GroupSend {
            filter: ParsedFilter { group: Some(group.into()), filter },
            message: message.into(),
            nodes_tried: Vec::new(),
            // The worker has chosen this way because members elsewhere are better.
            workers_tried: u64::MAX,
            is_of_here: true,
            since: self.remote.touches(),
        });
        let pending = (ticket != 0).then(|| self.pendings.open(Asker::Worker(from, ticket), None));
        let (Err(send), Some(pending)) = (self.choose_for_group(now, pending, send), pending) else { return };
        if self.pendings.is_refused(pending) {
            self.answer(pending);
        } else {
            self.pendings.close(pending);
            self.give_back(now, from, ticket, &send);
        }
    }

    /// Nobody elsewhere takes a message of a group: the worker that sent it chooses again, and knows that by then.
    pub(super) fn give_back(&mut self, now: Now, to: WorkerId, ticket: u64, send: &GroupSend) {
        let outgoing = &mut self.outgoing;
        let tell = |frame: &Frame<'_>| outgoing.iter_mut().for_each(|frames| frame.encode(frames));
        self.remote.deny_members(now.mono_ms, &send.filter, send.since, tell);
        let (group, filter) = (send.filter.group.as_deref().unwrap_or_default(), send.filter.filter.as_str());
        let frame = Frame::Shared { ticket, bounced: true, group, filter, message: &send.message };
        frame.encode(&mut self.outgoing[to.index()]);
    }

    /// Sends a message for a group to the node whose turn it is, of those that were not tried. It comes back when there is
    /// none; it is refused if a node that is lost might have kept it. It waits for nodes that were not heard yet.
    pub(super) fn choose_for_group(
        &mut self,
        now: Now,
        pending: Option<PendingId>,
        mut send: Box<GroupSend>,
    ) -> Result<(), Box<GroupSend>> {
        while let Some((node, relay)) = self.group_node(&send) {
            send.nodes_tried.push(node);
            let message =
                if send.is_of_here { self.of_this_node(&send.message) } else { Cow::Borrowed(&*send.message) };
            let message = to_wire(&message, now.wall_ms);
            let mut frame = std::mem::take(&mut self.scratch);
            frame.clear();
            let group = send.filter.group.as_deref().unwrap_or_default();
            let filter = send.filter.filter.as_str();
            PeerFrame::Shared { relay, group, filter, message: &message }.encode(&mut frame);
            let sent = self.send(node, &frame, false, pending);
            self.scratch = frame;
            if sent {
                if let Some(pending) = pending {
                    self.pendings.keep_group(pending, send);
                }
                return Ok(());
            }
        }
        if let Some(pending) = pending.filter(|_| self.is_unheard(&send)) {
            self.pendings.expect(pending);
            self.parked.push((pending, send));
            return Ok(());
        }
        if self.is_kept_out_of_reach(&send) {
            self.refuse(pending);
        }
        Err(send)
    }

    /// The targets of a message of a group, each with a node that is reached that way.
    fn group_candidates(&mut self, send: &GroupSend) -> Vec<(NodeId, bool, Interest)> {
        let Some((topic, _)) = address_of(&send.message) else { return Vec::new() };
        let destinations = self.remote.destinations(topic);
        let of_group = destinations.groups.iter().filter(|group| *group.filter == send.filter);
        let reached = |target: &Target| match target {
            Target::Node(node) => Some((*node, false)),
            Target::Region(region) if send.is_of_here && self.residency.allows(topic, region) => {
                self.any_gateway(region, topic).map(|node| (node, true))
            }
            Target::Region(_) => None,
        };
        of_group.filter_map(|group| reached(&group.target).map(|(node, relay)| (node, relay, group.interest))).collect()
    }

    /// Whether members that are away, and keep what comes, are at a node that is lost.
    fn is_kept_out_of_reach(&mut self, send: &GroupSend) -> bool {
        let candidates = self.group_candidates(send);
        candidates.iter().any(|(node, _, interest)| interest.durable && self.standing(*node) == Standing::Lost)
    }

    /// Goes on with messages for groups that wait for nodes which have been heard, or are given up.
    pub(super) fn resume_parked(&mut self, now: Now) {
        for (pending, send) in std::mem::take(&mut self.parked) {
            if self.is_unheard(&send) {
                self.parked.push((pending, send));
            } else if let Some(asker) = self.pendings.asker(pending) {
                self.on_nobody_there(now, pending, asker, send);
            }
        }
    }

    /// Whether a node within reach has not said what it wants since this one started: it may have members of any group.
    fn is_unheard(&self, send: &GroupSend) -> bool {
        let may_have = |node: &NodeId| {
            let peer = self.nodes.get(node).filter(|peer| peer.standing != Standing::Lost);
            peer.is_some_and(|peer| send.is_of_here || peer.region == self.settings.region)
        };
        self.remote.table().unknown().any(|node| may_have(&node) && !send.nodes_tried.contains(&node))
    }

    fn standing(&self, node: NodeId) -> Standing {
        self.nodes.get(&node).map_or(Standing::Lost, |peer| peer.standing)
    }

    /// The next node for a message of a group: one within reach and with members that are connected first, then one with
    /// members that keep it, then one that may come back.
    fn group_node(&mut self, send: &GroupSend) -> Option<(NodeId, bool)> {
        let mut candidates = self.group_candidates(send);
        candidates.retain(|(node, ..)| !send.nodes_tried.contains(node) && self.standing(*node) != Standing::Lost);
        self.turn = self.turn.wrapping_add(1);
        let is_up = |node: &NodeId| self.standing(*node) == Standing::Up;
        let nth = |weight: &dyn Fn(&(NodeId, bool, Interest)) -> u64| {
            let mut nth = self.turn.checked_rem(candidates.iter().map(weight).sum())?;
            candidates.iter().find_map(|candidate| {
                let chosen = nth < weight(candidate);
                nth = nth.wrapping_sub(weight(candidate));
                chosen.then_some((candidate.0, candidate.1))
            })
        };
        nth(&|(node, _, interest)| if is_up(node) { u64::from(interest.members) } else { 0 })
            .or_else(|| nth(&|(node, _, interest)| u64::from(is_up(node) && interest.durable)))
            .or_else(|| nth(&|(_, _, interest)| u64::from(interest.members) + u64::from(interest.durable)))
    }

    /// Gives a frame to a link. `false`: it was not taken, which the sender hears if it waits for an answer.
    pub(super) fn send(&mut self, node: NodeId, frame: &[u8], durable: bool, pending: Option<PendingId>) -> bool {
        let Some(peer) = self.nodes.get_mut(&node) else { return false };
        if peer.standing == Standing::Lost {
            // Its transient sessions are gone with it. What is stored there would be missed.
            if durable {
                self.refuse(pending);
            }
            return false;
        }
        mark(&mut self.dirty, node, peer);
        match peer.link.send(frame, pending.is_some()) {
            Sent::Queued(Some(sequence)) => {
                peer.note_sent(sequence, pending.map(|pending| (pending, durable)));
                self.stats.forwarded += 1;
                if let Some(pending) = pending {
                    self.pendings.expect(pending);
                }
                true
            }
            Sent::Queued(None) => {
                self.stats.forwarded += 1;
                true
            }
            Sent::Refused => {
                self.refuse(pending);
                false
            }
        }
    }

    fn refuse(&mut self, pending: Option<PendingId>) {
        match pending {
            Some(pending) => {
                self.stats.refused += 1;
                self.pendings.note(pending, REFUSED);
            }
            None => self.stats.dropped += 1,
        }
    }

    /// A claim on a client id, or its end, for another node.
    pub(super) fn send_claim(&mut self, _: Now, from: WorkerId, ticket: u64, node: NodeId, claim: &PeerFrame<'_>) {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        claim.encode(&mut frame);
        let pending = (ticket != 0).then(|| self.pendings.open(Asker::Worker(from, ticket), None));
        match pending {
            Some(_) => {
                if !self.send(node, &frame, false, pending) {
                    // Nobody there can object.
                    self.scratch = frame;
                    self.close_with(pending, TAKEN);
                    return;
                }
            }
            None => self.send_unanswered(node, &frame),
        }
        self.scratch = frame;
        self.close_if_over(pending);
    }

    /// Gives a frame to a link that must arrive, though nobody waits for what becomes of it.
    fn send_unanswered(&mut self, node: NodeId, frame: &[u8]) {
        let Some(peer) = self.nodes.get_mut(&node).filter(|peer| peer.standing != Standing::Lost) else { return };
        mark(&mut self.dirty, node, peer);
        if let Sent::Queued(Some(sequence)) = peer.link.send(frame, true) {
            peer.note_sent(sequence, None);
        }
    }

    /// Answers for something at once if nothing is awaited for it.
    pub(super) fn close_if_over(&mut self, pending: Option<PendingId>) {
        if let Some(pending) = pending.filter(|pending| !self.pendings.is_open(*pending)) {
            self.answer(pending);
        }
    }

    fn close_with(&mut self, pending: Option<PendingId>, outcome: Outcome) {
        if let Some((asker, _)) = pending.and_then(|pending| self.pendings.close(pending)) {
            self.answer_asker(asker, outcome);
        }
    }

    /// Tells who waits what it came to.
    pub(super) fn answer(&mut self, pending: PendingId) {
        if let Some((asker, outcome)) = self.pendings.close(pending) {
            self.answer_asker(asker, outcome);
        }
    }

    fn answer_asker(&mut self, asker: Asker, outcome: Outcome) {
        match asker {
            Asker::Worker(worker, ticket) => self.done(worker, ticket, outcome),
            Asker::Peer(node, receipt) => self.answer_peer(node, receipt, outcome),
        }
    }
}
