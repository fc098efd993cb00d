//! The end of a connection, from whichever side.
//!
//! ```text
//! open ──close──► closing ──all written──► lingering ──client closes, or 2 s──► gone
//!   │                │ 5 s, or failed          ▲ only with last words
//!   └──client gone───┴─────────────────────────┴──────────────────────────────► gone
//! ```

use std::sync::Arc;

use sluice_cluster::{NodeId, WorkerId};
use sluice_dataplane_core::{Certificate, ClosedBy, ConnId, Flush, Outbox, link::ClientHeader};

use super::WorkerThread;
use crate::{
    links::ClientAway,
    mailbox::{Arrival, Letter},
};

impl WorkerThread {
    /// Reads no more, and closes once everything is written.
    pub(super) fn begin_close(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.closing {
            return;
        }
        connection.closing = true;
        connection.kept = Vec::new();
        connection.has_last_words = self.worker.outbox(id).is_some_and(|outbox| !outbox.is_empty());
        self.flush_one(id);
        if self.connections.get_mut(id).is_some() {
            self.closing.push_back((self.now.mono_ms + CLOSE_MS, id));
        }
    }

    /// Everything is written: says goodbye in the words of the layers, then closes.
    pub(super) fn finish_close(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.said_goodbye {
            connection.said_goodbye = true;
            connection.transport.say_goodbye();
            if connection.transport.wants_write() {
                connection.has_last_words = true;
                match connection.transport.write(&mut Outbox::default(), &mut self.scratch) {
                    Ok(Flush::Done) => {}
                    Ok(Flush::Blocked) => {
                        connection.blocked = true;
                        return;
                    }
                    Err(_) => return self.drop_connection(id, ClosedBy::Transport),
                }
            }
        }
        self.worker.flushed(self.now, id, Flush::Done);
        self.worker.closed(self.now, id, ClosedBy::Broker);
        let Some(mut connection) = self.connections.remove(id) else { return };
        // Closing a socket with unread bytes resets it, and the reset would overtake the last words.
        if connection.has_last_words && !connection.hung_up {
            connection.transport.wire_mut().shutdown_write();
            self.lingering.add(connection.transport, self.poll.registry(), self.now.mono_ms);
        }
    }

    /// Closes at once and tells the core.
    pub(super) fn drop_connection(&mut self, id: ConnId, by: ClosedBy) {
        if let Some(connection) = self.connections.remove(id) {
            let by = if connection.closing { ClosedBy::Broker } else { by };
            self.worker.closed(self.now, id, by);
        }
    }

    /// Closes connections whose client does not take their last bytes.
    pub(super) fn give_up_closing(&mut self) {
        while let Some(&(due, id)) = self.closing.front()
            && due <= self.now.mono_ms
        {
            self.closing.pop_front();
            self.drop_connection(id, ClosedBy::Broker);
        }
    }

    /// Gives a connection with all its unread bytes to the worker where its session lives.
    pub(super) fn hand_over(&mut self, id: ConnId, to: WorkerId) {
        if let Some(arrival) = self.take_out(id) {
            self.peers[to.index()].post(Letter::Arrival(Box::new(arrival)));
        }
    }

    /// Gives a connection with all its unread bytes to the node where its session lives.
    pub(super) fn send_away(&mut self, id: ConnId, node: NodeId) {
        let Some(Arrival { transport, opened, bytes }) = self.take_out(id) else { return };
        let Some(away) = &self.away else {
            tracing::error!(%node, "a connection belongs to another node, and there is no way to it, closing it");
            return;
        };
        let Some(listener) = away.listeners.get(usize::from(opened.listener)) else {
            tracing::error!(listener = opened.listener, "a connection of a listener that is not there, closing it");
            return;
        };
        let header = ClientHeader {
            listener: listener.name.clone(),
            allow_anonymous: listener.allow_anonymous,
            identity_as_username: listener.identity_as_username,
            transport: opened.transport,
            address: opened.peer,
            certificate: opened.certificate.map(|shown| packed(&shown)),
        };
        away.links.send_client(node, ClientAway { transport, header, bytes });
    }

    /// Takes a connection out of this thread, with all that is not read yet.
    fn take_out(&mut self, id: ConnId) -> Option<Arrival> {
        let mut connection = self.connections.remove(id)?;
        let Some(opened) = connection.opened.take() else {
            // The core hands over at CONNECT or never.
            tracing::error!("a connection was handed over after its first packet, closing it");
            return None;
        };
        if let Err(error) = connection.transport.wire_mut().deregister(self.poll.registry()) {
            tracing::error!(%error, "a connection cannot be handed over, closing it");
            return None;
        }
        Some(Arrival { transport: connection.transport, opened: *opened, bytes: connection.kept })
    }
}

/// A client's certificate and who vouches for it, as another node is told: the length of the latter (4 bytes), it, and the
/// certificate.
fn packed(shown: &Certificate) -> Arc<[u8]> {
    let length = (shown.authority.len() as u32).to_le_bytes();
    [&length[..], &shown.authority, &shown.der].concat().into()
}

/// How long a client may take to read what it is told before the connection closes.
const CLOSE_MS: u64 = 5_000;
