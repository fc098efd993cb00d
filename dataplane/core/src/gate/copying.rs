//! What workers of two nodes say to each other of copies of registers passes here (ADR 16).
//!
//! The gate of a home gives a change to every node that has asked and is told of changes since. What finds no room ends
//! that: the node hears so when there is room, and asks what it has missed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use sluice_cluster::{NodeId, WorkerId};

use super::{Gate, Peer, Standing, links::mark};
use crate::{
    Now,
    copies::{Answer, Ask, CopyFrame, Entry, RegisterPage, from_wire, to_wire},
    link::Sent,
    peers::{Frame, map_page},
};

/// The first version of the peer protocol that has these frames.
const SINCE_VERSION: u16 = 2;
/// Bytes that wait on the lane Bulk of a link while copies are given to it.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
/// At this many the node hears of what was left out, and may ask for it.
const DRAINED_BYTES: usize = AHEAD_BYTES / 4;

/// What is known of another node on the link of this moment.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// Whether it knows these frames.
    speaks: bool,
    /// Whether its registers were read.
    pub(super) was_read: bool,
    /// By workers of this node: whether the node hears of the changes there. It has not asked where there is nothing.
    streams: BTreeMap<u16, Stream>,
    /// Questions for which there was no room: of which worker here, for which there.
    unasked: BTreeSet<(u16, u16)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stream {
    /// It is given each change.
    Live,
    /// Something was left out, and it is to hear so. Until then nothing is given to it.
    Lost,
}

impl Gate {
    /// There is a link to a node.
    pub(super) fn begin_copying(&mut self, node: NodeId, protocol: u16) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        let speaks = protocol >= SINCE_VERSION;
        peer.copying = Copying { speaks, ..Copying::default() };
        if speaks {
            self.tell_all(&Frame::Linked { node, up: true, was_read: false });
        }
    }

    /// There is none any more.
    pub(super) fn end_copying(&mut self, node: NodeId) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        let Copying { was_read, .. } = std::mem::take(&mut peer.copying);
        self.tell_all(&Frame::Linked { node, up: false, was_read });
    }

    /// It is not the same any more which topics other regions may have: what they have been told is told anew.
    pub(super) fn copy_anew(&mut self) {
        for peer in self.nodes.values_mut() {
            peer.copying.streams.values_mut().for_each(|stream| *stream = Stream::Lost);
        }
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.tell_lost(node));
    }

    /// A worker of this node says something.
    pub(super) fn on_copying(&mut self, now: Now, from: WorkerId, node: NodeId, frame: &[u8]) {
        match CopyFrame::decode(frame) {
            Some(CopyFrame::Change { life, version, entry, .. }) => self.send_change(now, from, life, version, entry),
            Some(CopyFrame::Answer(answer)) => self.send_answer(now, node, &answer),
            Some(CopyFrame::Ask(ask)) => self.send_ask(node, &ask, frame),
            Some(CopyFrame::Lost { .. }) | None => {}
        }
    }

    fn send_change(&mut self, now: Now, from: WorkerId, life: u64, version: u64, entry: &[u8]) {
        let is_live = |peer: &Peer| peer.copying.streams.get(&from.0) == Some(&Stream::Live);
        if !self.nodes.values().any(is_live) {
            return;
        }
        let Some(topic) = Entry::decode(entry).map(|entry| entry.topic()) else { return };
        let hears = |peer: &Peer| is_live(peer) && self.residency.allows(topic, &peer.region);
        let hear: Vec<NodeId> = self.nodes.iter().filter(|(_, peer)| hears(peer)).map(|(node, _)| *node).collect();
        let (life, entry, mut frame) = (life ^ self.residency.digest(), to_wire(entry, now.wall_ms), Vec::new());
        CopyFrame::Change { from: from.0, life, version, entry: &entry }.encode(&mut frame);
        for node in hear {
            if !self.send_copying(node, &frame) {
                self.lose(node, from.0);
            }
        }
    }

    fn send_answer(&mut self, now: Now, node: NodeId, answer: &Answer<'_>) {
        let Some(peer) = self.nodes.get(&node) else { return };
        if peer.copying.streams.get(&answer.from) == Some(&Stream::Lost) {
            // It does not follow what was left out. The node will ask again.
            return;
        }
        let leave = |entry| {
            let topic = Entry::decode(entry)?.topic();
            self.residency.allows(topic, &peer.region).then(|| to_wire(entry, now.wall_ms))
        };
        let life = answer.life ^ self.residency.digest();
        let mut frame = Vec::new();
        with_entries(answer, leave, |answer| CopyFrame::Answer(Answer { life, ..answer }).encode(&mut frame));
        if !self.send_copying(node, &frame) {
            self.lose(node, answer.from);
        } else if answer.is_caught_up
            && let Some(peer) = self.nodes.get_mut(&node)
        {
            peer.copying.streams.insert(answer.from, Stream::Live);
        }
    }

    fn send_ask(&mut self, node: NodeId, ask: &Ask<'_>, frame: &[u8]) {
        if !self.send_copying(node, frame)
            && let Some(peer) = self.nodes.get_mut(&node)
            && peer.copying.speaks
        {
            peer.copying.unasked.insert((ask.from, ask.to));
        }
    }

    /// Gives a frame to a link, if there is room.
    fn send_copying(&mut self, node: NodeId, frame: &[u8]) -> bool {
        let Some(peer) = self.nodes.get_mut(&node).filter(|peer| peer.standing == Standing::Up) else { return false };
        let has_room = peer.copying.speaks && peer.link.load().bulk_bytes + frame.len() <= AHEAD_BYTES;
        if !has_room || peer.link.send_bulk(frame) == Sent::Refused {
            return false;
        }
        mark(&mut self.dirty, node, peer);
        true
    }

    /// A node misses something of a worker from here on.
    fn lose(&mut self, node: NodeId, from: u16) {
        let Some(peer) = self.nodes.get_mut(&node).filter(|peer| peer.copying.speaks) else { return };
        peer.copying.streams.insert(from, Stream::Lost);
        self.stats.copies_lost += 1;
        self.tell_lost(node);
    }

    /// Says what was left out, when there is room.
    pub(super) fn tell_lost(&mut self, node: NodeId) {
        let Some(peer) = self.nodes.get_mut(&node).filter(|peer| peer.standing == Standing::Up) else { return };
        if peer.link.load().bulk_bytes > DRAINED_BYTES {
            return;
        }
        let is_lost = |(from, stream): (&u16, &Stream)| (*stream == Stream::Lost).then_some(*from);
        let lost: Vec<u16> = peer.copying.streams.iter().filter_map(is_lost).collect();
        let unasked = std::mem::take(&mut peer.copying.unasked);
        for from in lost {
            let mut frame = Vec::new();
            CopyFrame::Lost { from }.encode(&mut frame);
            if self.send_copying(node, &frame)
                && let Some(peer) = self.nodes.get_mut(&node)
            {
                peer.copying.streams.remove(&from);
            }
        }
        for (worker, from) in unasked {
            let mut frame = Vec::new();
            CopyFrame::Lost { from }.encode(&mut frame);
            self.tell(WorkerId(worker), &Frame::Copying { node, frame: &frame });
        }
    }

    /// A node says something. Whether the bytes are a frame of this kind.
    pub(super) fn on_remote_copying(&mut self, now: Now, node: NodeId, bytes: &[u8]) {
        match CopyFrame::decode(bytes) {
            Some(CopyFrame::Ask(ask)) => self.on_remote_ask(now, node, ask),
            Some(CopyFrame::Answer(answer)) if answer.to < self.settings.workers => {
                let come = |entry| Some(from_wire(entry, now.wall_ms));
                with_entries(&answer, come, |answer| self.pass_on(node, answer.to, &CopyFrame::Answer(answer)));
            }
            Some(CopyFrame::Change { from, life, version, entry }) => {
                let Some(topic) = Entry::decode(entry).map(|entry| entry.topic()) else { return };
                let worker = self.sharding.worker_of(self.sharding.of_topic(topic));
                let entry = &from_wire(entry, now.wall_ms);
                self.pass_on(node, worker.0, &CopyFrame::Change { from, life, version, entry });
            }
            Some(CopyFrame::Lost { from }) => {
                (0..self.settings.workers).for_each(|worker| self.pass_on(node, worker, &CopyFrame::Lost { from }));
            }
            Some(CopyFrame::Answer(_)) | None => {}
        }
    }

    fn on_remote_ask(&mut self, now: Now, node: NodeId, ask: Ask<'_>) {
        if ask.to < self.settings.workers {
            // What may be told to whom is part of what a life is.
            let life = ask.life ^ self.residency.digest();
            self.pass_on(node, ask.to, &CopyFrame::Ask(Ask { life, ..ask }));
            return;
        }
        let nobody = Answer {
            to: ask.from,
            from: ask.to,
            sharding: self.sharding,
            query: ask.query,
            life: ask.life,
            version: ask.version,
            is_caught_up: false,
            changes: &[],
            page: None,
        };
        self.send_answer(now, node, &nobody);
    }

    fn pass_on(&mut self, node: NodeId, worker: u16, frame: &CopyFrame<'_>) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        frame.encode(&mut bytes);
        self.tell(WorkerId(worker), &Frame::Copying { node, frame: &bytes });
        self.scratch = bytes;
    }
}

/// Hands on an answer whose entries are each replaced, or left out.
fn with_entries<'a, R>(
    answer: &Answer<'a>,
    map: impl Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>,
    hand_on: impl FnOnce(Answer<'_>) -> R,
) -> R {
    let changes = map_page(answer.changes, &map);
    let entries = answer.page.map(|page| map_page(page.entries, &map)).unwrap_or_default();
    let page = answer.page.map(|page| RegisterPage { entries: &entries, ..page });
    hand_on(Answer { changes: &changes, page, ..*answer })
}
