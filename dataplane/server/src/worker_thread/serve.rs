//! Reading: from a socket to the core.

use mio::event::Event;
use sluice_dataplane_core::{ClosedBy, ConnId, Flush, Outbox, Received, Then};

use super::WorkerThread;
use crate::transport::{Next, READ_BYTES, READ_BYTES_MIN};

/// What a step of serving a connection leads to.
enum Step {
    /// Read on.
    Again,
    /// Nothing more for now, or no connection.
    Over,
}

impl WorkerThread {
    /// Notes what an event says about a connection and serves it.
    pub(super) fn on_connection_event(&mut self, id: ConnId, event: &Event) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.blocked && event.is_writable() {
            connection.blocked = false;
            self.flush_one(id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if event.is_error() && (connection.paused || connection.closing) {
            self.drop_connection(id, ClosedBy::Transport);
        } else if event.is_readable() || event.is_read_closed() || event.is_error() {
            connection.readable = true;
            connection.hung_up |= event.is_read_closed() || event.is_error();
            self.serve(id);
        }
    }

    /// Reads from a connection what it has, up to its share of a turn.
    pub(super) fn serve(&mut self, id: ConnId) {
        let mut budget = BYTES_PER_TURN;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return };
            if connection.paused || connection.closing || !(connection.readable || connection.resumed) {
                return;
            }
            if budget == 0 || !self.undelivered.is_empty() {
                self.enqueue(id);
                return;
            }
            let step = match connection.resumed {
                true => self.offer_kept(id),
                false => self.read_once(id, &mut budget),
            };
            if self.worker.wants_flush() || self.unsettled_bytes >= UNSETTLED_BYTES_MAX {
                self.settle();
            }
            if matches!(step, Step::Over) {
                return;
            }
        }
    }

    /// Offers what was kept to a core that wants bytes again.
    fn offer_kept(&mut self, id: ConnId) -> Step {
        let Some(connection) = self.connections.get_mut(id) else { return Step::Over };
        connection.resumed = false;
        let bytes = std::mem::take(&mut connection.kept);
        self.offer_owned(id, bytes)
    }

    /// One system call's worth of bytes.
    fn read_once(&mut self, id: ConnId, budget: &mut usize) -> Step {
        let Some(connection) = self.connections.get_mut(id) else { return Step::Over };
        // What was kept stands in front of what is read, so that the core sees one run; unless it is the front of a
        // packet so large that copying it for each read would cost more than its own buffer.
        let kept = connection.kept.len();
        let fits = kept <= READ_BYTES - READ_BYTES_MIN;
        let from = if fits { kept } else { 0 };
        self.scratch.plain[..from].copy_from_slice(&connection.kept[..from]);
        let read = connection.transport.read(&mut self.scratch, from, self.now.mono_ms);
        self.stats.reads += 1;
        self.unsettled_bytes += read.bytes;
        *budget = budget.saturating_sub(read.bytes.max(1));
        if read.next == Next::Drained && (read.bytes == 0 || !connection.hung_up) {
            connection.readable = false;
        }
        let wants_write = connection.transport.wants_write() && !connection.blocked;
        let step = match (read.bytes, fits) {
            (0, _) => Step::Again,
            (bytes, true) => self.offer_scratch(id, from + bytes),
            (bytes, false) => {
                let mut whole = std::mem::take(&mut connection.kept);
                whole.extend_from_slice(&self.scratch.plain[..bytes]);
                self.offer_owned(id, whole)
            }
        };
        if wants_write {
            self.flush_layers(id);
        }
        if let Next::Closed(by) = read.next {
            self.on_end(id, by);
            return Step::Over;
        }
        step
    }

    /// Offers the front of the shared buffer to the core and keeps what it does not take.
    fn offer_scratch(&mut self, id: ConnId, length: usize) -> Step {
        let bytes = &self.scratch.plain[..length];
        let received = self.worker.receive(self.now, id, bytes);
        let Some(connection) = self.connections.get_mut(id) else { return Step::Over };
        let rest = &bytes[received.consumed..];
        if rest.len() <= connection.kept.capacity() && !rest.is_empty() {
            connection.kept.clear();
            connection.kept.extend_from_slice(rest);
        } else {
            connection.kept = rest.to_vec();
        }
        if received.then == Then::Close && connection.fresh {
            self.log.not_mqtt(connection.transport.peer(), bytes);
        }
        self.follow(id, received)
    }

    /// The same for bytes in a buffer of their own, which the connection gets back while much of it is used.
    fn offer_owned(&mut self, id: ConnId, mut bytes: Vec<u8>) -> Step {
        let received = self.worker.receive(self.now, id, &bytes);
        let Some(connection) = self.connections.get_mut(id) else { return Step::Over };
        bytes.drain(..received.consumed);
        if bytes.len() < bytes.capacity() / 4 {
            bytes = bytes.as_slice().to_vec();
        }
        connection.kept = bytes;
        self.follow(id, received)
    }

    /// Does with the connection what the core said.
    fn follow(&mut self, id: ConnId, received: Received) -> Step {
        let Some(connection) = self.connections.get_mut(id) else { return Step::Over };
        if received.consumed > 0 {
            // A connection is handed over before its first packet is taken, or never.
            connection.opened = None;
            connection.fresh = false;
        }
        match received.then {
            Then::Continue => Step::Again,
            Then::Pause => {
                connection.paused = true;
                Step::Over
            }
            Then::HandOver(worker) => {
                self.hand_over(id, worker);
                Step::Over
            }
            Then::Proxy(node) => {
                self.send_away(id, node);
                Step::Over
            }
            Then::Close => {
                self.begin_close(id);
                Step::Over
            }
        }
    }

    /// Writes what TLS or WebSocket have to say without the core.
    pub(super) fn flush_layers(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.transport.write(&mut Outbox::default(), &mut self.scratch) {
            Ok(Flush::Done) => {}
            Ok(Flush::Blocked) => connection.blocked = true,
            Err(_) => self.drop_connection(id, ClosedBy::Transport),
        }
    }

    /// The other side has closed, and everything it sent was offered.
    fn on_end(&mut self, id: ConnId, by: ClosedBy) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.closing {
            // What is to be written may still be read by a client that closed only its sending side.
            connection.readable = false;
            return;
        }
        if connection.paused {
            // The core has not seen all: read the end again when it wants more.
            connection.readable = true;
            return;
        }
        self.drop_connection(id, by);
    }
}

/// One connection's share of a turn: four full reads, so that a busy client does not keep others waiting.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;
/// What the core was given before it is asked what to do; bounds how much it asks for at once.
const UNSETTLED_BYTES_MAX: usize = 1024 * 1024;
