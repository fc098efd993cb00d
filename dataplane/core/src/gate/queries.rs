//! Retained messages of other nodes, page by page.
//!
//! A worker asks the gate as it would ask another worker. The gate asks one worker of one node after the other; where it
//! is stands in the place that a page ends at, so that it remembers nothing between two pages. For a node that is out of
//! reach it asks the workers of this node for the copies that they keep of that node's registers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use sluice_cluster::{NodeId, WorkerId};
use sluice_topic::TopicFilter;

use super::{
    Gate,
    frame::{BulkFrame, run_from_wire, run_to_wire},
    is_of_node,
    links::mark,
};
use crate::{
    Now,
    link::Sent,
    message::address_of,
    peers::{Frame, map_page},
};

/// Pages that are awaited, on both sides.
#[derive(Debug, Default)]
pub(super) struct Queries {
    last: u64,
    /// Pages that this node has asked for.
    asked: BTreeMap<u64, Asked>,
    /// Pages that others have asked for.
    answering: BTreeMap<u64, (NodeId, u64)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    worker: WorkerId,
    query: u64,
    filter: Box<str>,
    place: Place,
}

/// Whose registers are read, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    node: NodeId,
    /// Of that node, or of this one if it is copies that are read.
    worker: u16,
    of_copies: bool,
}

impl Queries {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A node has forgotten what it has asked, or is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.answering.retain(|_, (asker, _)| *asker != node);
    }
}

impl Gate {
    /// A worker asks for a page.
    pub(super) fn on_query(&mut self, _: Now, worker: WorkerId, query: u64, filter: &str, after: &str) {
        let nodes = self.nodes_with(filter);
        let (place, after) = match Place::parse(after) {
            Some((place, after)) => (Some(place), after),
            None => (self.first_of(&nodes, None), ""),
        };
        let Some(place) = place.filter(|place| nodes.contains(&place.node)) else {
            let next = place.and_then(|place| self.first_of(&nodes, Some(place.node)));
            self.page(worker, query, next, "", &[]);
            return;
        };
        let asked = Asked { worker, query, filter: filter.into(), place };
        if place.of_copies || self.is_up(place.node) { self.ask(asked, after) } else { self.skip(asked) }
    }

    /// The first worker of the first node behind one, or of all.
    fn first_of(&self, nodes: &BTreeSet<NodeId>, behind: Option<NodeId>) -> Option<Place> {
        let &node = nodes.iter().find(|&&node| behind.is_none_or(|behind| node > behind))?;
        Some(Place { node, worker: 0, of_copies: !self.is_up(node) })
    }

    /// The nodes that may have registers a filter matches.
    fn nodes_with(&self, filter: &str) -> BTreeSet<NodeId> {
        let exact = TopicFilter::parse(filter, &self.settings.topic_limits).is_ok_and(|filter| filter.is_exact());
        if is_of_node(filter) {
            return BTreeSet::new();
        }
        if exact {
            self.homes.node_of_topic(filter).into_iter().collect()
        } else {
            &self.topic_homes | &self.up().collect()
        }
    }

    fn ask(&mut self, asked: Asked, after: &str) {
        let number = self.queries.next();
        let Place { node, worker, of_copies } = asked.place;
        if of_copies {
            self.tell(WorkerId(worker), &Frame::Copies { query: number, node, filter: &asked.filter, after });
            self.queries.asked.insert(number, asked);
            return;
        }
        let mut bytes = Vec::new();
        BulkFrame::Query { query: number, worker, filter: &asked.filter, after }.encode(&mut bytes);
        let sent = self.nodes.get_mut(&node).map(|peer| {
            mark(&mut self.dirty, node, peer);
            peer.link.send_bulk(&bytes)
        });
        if matches!(sent, Some(Sent::Queued(_))) {
            self.queries.asked.insert(number, asked);
        } else {
            self.skip(asked);
        }
    }

    /// Goes on with what a node does not answer any more: with the copies of what it has if it is out of reach, then at the
    /// next node.
    fn skip(&mut self, asked: Asked) {
        let node = asked.place.node;
        let next = if self.is_up(node) {
            self.first_of(&self.nodes_with(&asked.filter), Some(node))
        } else {
            Some(Place { node, worker: 0, of_copies: true })
        };
        self.page(asked.worker, asked.query, next, "", &[]);
    }

    /// A node is out of reach: what it was asked is not answered.
    pub(super) fn skip_unreachable(&mut self, node: NodeId) {
        let of_node = |asked: &Asked| asked.place.node == node && !asked.place.of_copies;
        let numbers: Vec<u64> =
            self.queries.asked.iter().filter(|(_, asked)| of_node(asked)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(asked) = self.queries.asked.remove(&number) {
                self.skip(asked);
            }
        }
    }

    /// A frame of the lane for bulk.
    pub(super) fn on_bulk(&mut self, now: Now, node: NodeId, bytes: &[u8]) {
        match BulkFrame::decode(bytes) {
            Some(BulkFrame::Query { query, worker, filter, after }) => {
                self.on_remote_query(now, node, query, worker, filter, after);
            }
            Some(BulkFrame::Page { query, workers, after, messages }) => {
                self.on_remote_page(now, node, query, workers, after, messages);
            }
            None => self.on_remote_copying(now, node, bytes),
        }
    }

    fn on_remote_query(&mut self, now: Now, node: NodeId, query: u64, worker: u16, filter: &str, after: &str) {
        if worker >= self.settings.workers || is_of_node(filter) {
            self.send_page(now, node, query, "", &[]);
            return;
        }
        let number = self.queries.next();
        self.queries.answering.insert(number, (node, query));
        self.tell(WorkerId(worker), &Frame::Query { query: number, filter, after });
    }

    /// A worker of this node answers what another node has asked.
    pub(super) fn on_local_page(&mut self, now: Now, query: u64, after: &str, messages: &[u8]) {
        let Some((node, query)) = self.queries.answering.remove(&query) else {
            return self.on_page_of_copies(query, after, messages);
        };
        if self.residency.is_open() {
            self.send_page(now, node, query, after, messages);
            return;
        }
        let Some(region) = self.nodes.get(&node).map(|peer| peer.region.clone()) else { return };
        let is_allowed = |topic: &str| self.residency.allows(topic, &region);
        let allowed = page_of(messages, is_allowed);
        self.send_page(now, node, query, after, &allowed);
    }

    fn send_page(&mut self, now: Now, node: NodeId, query: u64, after: &str, messages: &[u8]) {
        let messages = &run_to_wire(messages, now.wall_ms);
        let mut bytes = Vec::new();
        BulkFrame::Page { query, workers: self.settings.workers, after, messages }.encode(&mut bytes);
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        mark(&mut self.dirty, node, peer);
        if peer.link.send_bulk(&bytes) == Sent::Refused {
            // Whoever asks has a bounded number of questions open, so that this is a page longer than a frame may be.
            bytes.clear();
            BulkFrame::Page { query, workers: self.settings.workers, after, messages: &[] }.encode(&mut bytes);
            peer.link.send_bulk(&bytes);
        }
    }

    fn on_remote_page(&mut self, now: Now, node: NodeId, query: u64, workers: u16, after: &str, messages: &[u8]) {
        let is_asked = |asked: &&Asked| asked.place.node == node && !asked.place.of_copies;
        let Some(asked) = self.queries.asked.get(&query).filter(is_asked).cloned() else { return };
        self.queries.asked.remove(&query);
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.copying.was_read = true;
        }
        let next = self.behind(&asked, workers, after);
        self.page(asked.worker, asked.query, next, after, &run_from_wire(messages, now.wall_ms));
    }

    /// A worker of this node gives copies of what a node has that is out of reach.
    fn on_page_of_copies(&mut self, query: u64, after: &str, messages: &[u8]) {
        let Some(asked) = self.queries.asked.get(&query).filter(|asked| asked.place.of_copies).cloned() else { return };
        self.queries.asked.remove(&query);
        // A topic that has another home by now is read there.
        let at_home = page_of(messages, |topic| self.homes.node_of_topic(topic) == Some(asked.place.node));
        let next = self.behind(&asked, self.settings.workers, after);
        self.page(asked.worker, asked.query, next, after, &at_home);
    }

    /// Where it goes on behind a page that ends at a topic, or is the last of a worker.
    fn behind(&self, asked: &Asked, workers: u16, after: &str) -> Option<Place> {
        let place = asked.place;
        if !after.is_empty() {
            Some(place)
        } else if place.worker + 1 < workers {
            Some(Place { worker: place.worker + 1, ..place })
        } else {
            self.first_of(&self.nodes_with(&asked.filter), Some(place.node))
        }
    }

    /// Gives a worker a page, and with it the place where the next one begins.
    fn page(&mut self, worker: WorkerId, query: u64, next: Option<Place>, after: &str, messages: &[u8]) {
        let after = next.map(|place| place.format(after)).unwrap_or_default();
        self.tell(worker, &Frame::Page { query, after: &after, messages });
    }
}

/// The messages of a page that are of certain topics.
fn page_of(messages: &[u8], is_wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let wanted = |message| address_of(message).is_some_and(|(topic, _)| is_wanted(topic));
    map_page(messages, |message| wanted(message).then_some(Cow::Borrowed(message)))
}

impl Place {
    fn format(self, after: &str) -> String {
        let kind = if self.of_copies { "copies" } else { "registers" };
        format!("{}:{}:{kind}:{after}", self.node, self.worker)
    }

    fn parse(text: &str) -> Option<(Self, &str)> {
        let (node, rest) = text.split_once(':')?;
        let (worker, rest) = rest.split_once(':')?;
        let (kind, after) = rest.split_once(':')?;
        let node = NodeId(u64::from_str_radix(node, 16).ok()?);
        Some((Self { node, worker: worker.parse().ok()?, of_copies: kind == "copies" }, after))
    }
}
