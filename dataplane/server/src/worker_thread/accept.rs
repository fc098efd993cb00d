//! New connections: from this worker's own listeners, and those that others opened.

use sluice_dataplane_core::{ConnId, Opened};

use super::{Place, WorkerThread, connections::Connection};
use crate::{
    listener::Accepted,
    mailbox::Arrival,
    transport::{Transport, Wire},
};

impl WorkerThread {
    /// Accepts what waits at a listener, up to a turn's share.
    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = self.acceptors.get_mut(index) else { return };
            let listener = acceptor.listener;
            match acceptor.accept(&mut self.admission, self.now.mono_ms) {
                Accepted::Connection(wire, peer, seat) => {
                    let transport = Transport::new(wire, None, None, seat);
                    let opened = Opened { listener, peer, transport: transport.kind(), certificate: None, via: None };
                    self.admit(Arrival { transport, opened, bytes: Vec::new() });
                }
                Accepted::Shed(cause, peer) => {
                    self.stats.shed[cause as usize] += 1;
                    self.log.shed(cause, peer);
                }
                Accepted::None | Accepted::Rest => return,
            }
        }
        self.accepting.push(index);
    }

    /// Accepts where the last turn stopped, and where a rest is over.
    pub(super) fn accept_more(&mut self) {
        for index in std::mem::take(&mut self.accepting) {
            self.accept(index);
        }
        for index in 0..self.acceptors.len() {
            if self.acceptors[index].rests_until_ms.is_some_and(|until| until <= self.now.mono_ms) {
                self.accept(index);
            }
        }
    }

    /// Takes a connection in: tells the core and asks for its events.
    pub(super) fn admit(&mut self, arrival: Arrival) {
        let Arrival { mut transport, opened, bytes } = arrival;
        // With one worker nothing is ever handed over.
        let kept = (self.peers.len() > 1).then(|| Box::new(opened.clone()));
        let id = self.worker.open(self.now, opened);
        if let Err(error) = register(&mut transport, self.poll.registry(), id) {
            tracing::warn!(%error, "the kernel takes no further connections");
            self.worker.closed(self.now, id, sluice_dataplane_core::ClosedBy::Broker);
            return;
        }
        let wants_write = transport.wants_write();
        let has_bytes = !bytes.is_empty();
        let mut connection = Connection::new(id, transport, bytes, kept);
        connection.resumed = has_bytes;
        self.connections.insert(connection);
        if has_bytes {
            self.enqueue(id);
        }
        if wants_write {
            self.flush_layers(id);
        }
    }
}

fn register(transport: &mut Transport, registry: &mio::Registry, id: ConnId) -> std::io::Result<()> {
    let wire: &mut Wire = transport.wire_mut();
    wire.register(registry, Place::Connection(id).token())
}

/// More connections wait with the kernel until the clients that are there were served.
const ACCEPTS_PER_TURN: usize = 128;
