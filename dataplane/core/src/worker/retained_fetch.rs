//! Retained messages out of the registers, for new subscriptions.
//!
//! What a new subscription is owed is read page by page, as fast as its client takes it, so that `#` over a million
//! topics neither fills memory nor holds up anybody else; and a search that finds little is broken off when it has had
//! its share of the turn.

use sluice_cluster::WorkerId;
use sluice_mqtt::QoS;
use sluice_topic::TopicFilter;

use super::{
    Worker,
    deliver::{Delivery, principal_of},
    route::{Routed, granted},
    store::Keep,
};
use crate::{
    ConnId, Now,
    connection::Phase,
    message::MessageRef,
    peers::{Frame, take_page_message},
    retained::{Arrived, Page, Reader, Scan},
    stats::Dropped,
    subscriptions::SubscribeOptions,
};

/// A client with more than this to be written gets the next page later.
const OUTBOX_BYTES: usize = 64 * 1024;

impl Worker {
    /// Goes on with what a session's connection is owed, after its queue has moved.
    pub(super) fn continue_fetches(&mut self, now: Now, place: u32) {
        let Some(id) = self.sessions.peek(place).and_then(|s| s.conn) else { return };
        if self.conns.peek(id).is_some_and(|conn| conn.fetches.is_some()) {
            self.pump_fetches(now, id);
        }
    }

    /// Goes on with searches that were put off. Once a turn.
    pub(super) fn continue_scans(&mut self, now: Now) {
        self.retained_reads.begin_turn();
        while let Some(scan) = self.retained_reads.next_scan() {
            match scan {
                Scan::Conn(id) => {
                    if let Some(fetches) = self.conns.at(id).and_then(|conn| conn.fetches.as_mut()) {
                        fetches.put_off = false;
                        self.pump_fetches(now, id);
                    }
                }
                Scan::Query { reader, filter, after } => self.answer_query(now, reader, &filter, &after),
                Scan::Copies { query, node, filter, after } => self.answer_copies(now, query, node, &filter, &after),
                Scan::Ask { node, frame } => self.answer_ask(now, node, &frame),
            }
        }
    }

    /// Sends retained messages to a connection for as long as it takes them. Called again when it takes more.
    pub(super) fn pump_fetches(&mut self, now: Now, id: ConnId) {
        if self.takes_page(id)
            && let Some(fetches) = self.conns.at(id).and_then(|conn| conn.fetches.as_mut())
            && let Some(Arrived { messages, after }) = fetches.arrived.take()
        {
            self.take_page(now, id, &messages, after.as_deref());
        }
        while let Some(source) = self.next_source(id) {
            if source != self.id {
                self.ask_for_page(id, source);
                return;
            }
            if !self.retained_reads.may_scan() {
                self.put_fetch_off(id);
                return;
            }
            let Some(page) = self.next_page(now, id) else { return };
            if !page.gaps.is_empty() {
                let reader = Reader { worker: self.id, query: self.await_page(id) };
                self.read_gaps(reader, page);
                return;
            }
            self.take_page(now, id, &page.messages, page.after.as_deref());
        }
    }

    /// Whether a connection takes a page now.
    fn takes_page(&self, id: ConnId) -> bool {
        let Some(conn) = self.conns.peek(id) else { return false };
        let Some(session) = conn.session.and_then(|s| self.sessions.peek(s)) else { return false };
        let queue = &session.outbound;
        conn.phase == Phase::Attached
            && !conn.blocked
            && conn.outbox.len() <= OUTBOX_BYTES
            && queue.queue.len() < self.settings.inbox_messages_max / 2
            && queue.queue_bytes < self.settings.inbox_bytes_max / 2
    }

    /// Whose registers to read next for a connection; `None` when there is nothing to do now.
    fn next_source(&mut self, id: ConnId) -> Option<WorkerId> {
        let takes_page = self.takes_page(id);
        let conn = self.conns.at(id)?;
        let fetches = conn.fetches.as_mut()?;
        if fetches.awaited != 0 || fetches.put_off || fetches.arrived.is_some() {
            return None;
        }
        while fetches.queue.front().is_some_and(|fetch| fetch.sources.is_empty()) {
            fetches.queue.pop_front();
        }
        let source = fetches.queue.front().map(|fetch| fetch.sources[0]);
        if source.is_none() {
            conn.fetches = None;
        }
        source.filter(|_| takes_page)
    }

    /// The next page of this worker's own registers for a connection.
    fn next_page(&mut self, now: Now, id: ConnId) -> Option<Page> {
        let fetch = self.conns.peek(id)?.fetches.as_ref()?.queue.front()?;
        let page = self.retained.page(&fetch.filter, fetch.after.as_deref(), now.wall_ms);
        self.retained_reads.count(page.visits);
        Some(page)
    }

    fn put_fetch_off(&mut self, id: ConnId) {
        if let Some(fetches) = self.conns.at(id).and_then(|conn| conn.fetches.as_mut()) {
            fetches.put_off = true;
            self.retained_reads.put_off(Scan::Conn(id));
        }
    }

    /// Names the page that a connection awaits from now on.
    fn await_page(&mut self, id: ConnId) -> u64 {
        let query = self.peers.next_ticket();
        if let Some(fetches) = self.conns.at(id).and_then(|conn| conn.fetches.as_mut()) {
            fetches.awaited = query;
            self.queries.insert(query, id);
        }
        query
    }

    fn ask_for_page(&mut self, id: ConnId, source: WorkerId) {
        let query = self.await_page(id);
        let fetches = self.conns.peek(id).and_then(|conn| conn.fetches.as_ref());
        let Some(fetch) = fetches.and_then(|fetches| fetches.queue.front()) else { return };
        let (filter, after) = (fetch.filter.as_str(), fetch.after.as_deref().unwrap_or_default());
        self.peers.send(source, &Frame::Query { query, filter, after });
    }

    /// Another worker asks for a page of this one's registers.
    pub(super) fn on_query(&mut self, now: Now, from: WorkerId, query: u64, filter: &str, after: &str) {
        let reader = Reader { worker: from, query };
        if self.retained_reads.may_scan() {
            self.answer_query(now, reader, filter, after);
        } else {
            self.retained_reads.put_off(Scan::Query { reader, filter: filter.into(), after: after.into() });
        }
    }

    fn answer_query(&mut self, now: Now, reader: Reader, filter: &str, after: &str) {
        // It was parsed where it came from; the limits are the same there.
        let Ok(filter) = TopicFilter::parse(filter, &self.topic_limits) else {
            self.send_page(now, reader, None, &[]);
            return;
        };
        let page = self.retained.page(&filter, Some(after).filter(|after| !after.is_empty()), now.wall_ms);
        self.retained_reads.count(page.visits);
        if page.gaps.is_empty() {
            self.send_page(now, reader, page.after.as_deref(), &page.messages);
        } else {
            self.read_gaps(reader, page);
        }
    }

    /// Gives a whole page to who wants it.
    pub(super) fn send_page(&mut self, now: Now, reader: Reader, after: Option<&str>, messages: &[u8]) {
        let Reader { worker, query } = reader;
        if worker == self.id {
            self.on_page(now, query, after, messages);
        } else {
            self.peers.send(worker, &Frame::Page { query, after: after.unwrap_or_default(), messages });
        }
    }

    /// A page that was awaited. It waits for its client if that takes nothing more at the moment.
    pub(super) fn on_page(&mut self, now: Now, query: u64, after: Option<&str>, messages: &[u8]) {
        let Some(id) = self.queries.remove(&query) else { return };
        let takes_page = self.takes_page(id);
        let Some(fetches) = self.conns.at(id).and_then(|conn| conn.fetches.as_mut()) else { return };
        if fetches.awaited != query {
            return;
        }
        fetches.awaited = 0;
        if !takes_page {
            fetches.arrived = Some(Arrived { messages: messages.into(), after: after.map(Into::into) });
            return;
        }
        self.take_page(now, id, messages, after);
        self.pump_fetches(now, id);
    }

    /// Sends a page to its connection and notes how far it got.
    fn take_page(&mut self, now: Now, id: ConnId, mut messages: &[u8], after: Option<&str>) {
        let Some(conn) = self.conns.at(id) else { return };
        let Some(place) = conn.session else { return };
        let Some(fetch) = conn.fetches.as_mut().and_then(|f| f.queue.front_mut()) else { return };
        let (options, sub_id) = (fetch.options, fetch.id);
        fetch.after = after.map(Into::into);
        if after.is_none() {
            fetch.sources.remove(0);
        }
        let principal = principal_of(self, place).filter(|p| !self.rules.is_open(p));
        while let Some(encoded) = take_page_message(&mut messages) {
            let Some(message) = MessageRef::decode(encoded) else { continue };
            if principal.as_ref().is_none_or(|p| self.rules.deliver(p, message.topic)) {
                self.send_retained(now, place, &message, options, sub_id);
            } else {
                self.stats.dropped[Dropped::Denied as usize] += 1;
            }
        }
        self.end_overflowing(now);
    }

    /// Sends one retained message to the session of a new subscription.
    fn send_retained(
        &mut self,
        now: Now,
        place: u32,
        message: &MessageRef<'_>,
        options: SubscribeOptions,
        sub_id: u32,
    ) {
        let qos = message.qos.min(granted(options.qos()));
        let id = [sub_id];
        let ids = if sub_id == 0 { &[][..] } else { &id[..] };
        self.message_number += 1;
        self.encoder.begin(self.message_number);
        if qos != QoS::AtMostOnce && options.is_persistent() {
            let keep = Keep { place, qos: qos as u8, retain: true, ids, group: 0 };
            let mut routed = Routed::default();
            self.keep_for(now, message, &keep, &mut routed);
            if routed.refused.is_none() {
                return;
            }
            // The disk is full. The register has the message, so that the session may do without its own copy.
        }
        self.deliver(now, message, &Delivery { place, qos, retain: true, ids, group: 0, shared_form: false });
    }
}
