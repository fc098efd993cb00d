//! Writing: from the core's outboxes to sockets, each dirty connection once.

use sluice_dataplane_core::{ClosedBy, ConnId, Flush, Outbox};

use super::WorkerThread;

impl WorkerThread {
    /// Writes every connection that has something new to say. Says whether there was any.
    pub(super) fn flush(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.worker.next_dirty() {
            any = true;
            self.flush_one(id);
        }
        any
    }

    /// Writes one connection's outbox and tells the core how far it got.
    pub(super) fn flush_one(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.blocked {
            self.worker.flushed(self.now, id, Flush::Blocked);
            return;
        }
        self.stats.writes += 1;
        let mut nothing = Outbox::default();
        let outbox = self.worker.outbox(id).unwrap_or(&mut nothing);
        match connection.transport.write(outbox, &mut self.scratch) {
            Ok(Flush::Blocked) => {
                connection.blocked = true;
                self.worker.flushed(self.now, id, Flush::Blocked);
            }
            Ok(Flush::Done) if connection.closing => self.finish_close(id),
            Ok(Flush::Done) => {
                self.worker.flushed(self.now, id, Flush::Done);
                self.warm.note(connection);
            }
            Err(_) => self.drop_connection(id, ClosedBy::Transport),
        }
    }
}
