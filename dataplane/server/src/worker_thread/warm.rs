//! Outbox buffers of connections that are written to.
//!
//! A busy connection keeps its buffer from turn to turn and allocates nothing; one that was not written to for a
//! second gives it back, so that an idle connection owns none.

use sluice_dataplane_core::ConnId;

use super::{WorkerThread, connections::Connection};

/// The connections whose outbox may hold a buffer.
#[derive(Default)]
pub(super) struct Warm {
    connections: Vec<ConnId>,
    look_at_ms: u64,
}

impl Warm {
    /// Notes that a connection's outbox was written out.
    pub(super) fn note(&mut self, connection: &mut Connection) {
        connection.used = true;
        if !connection.warm {
            connection.warm = true;
            self.connections.push(connection.id);
        }
    }

    /// When [`WorkerThread::cool_down`] has something to do.
    pub(super) fn due(&self) -> Option<u64> {
        (!self.connections.is_empty()).then_some(self.look_at_ms)
    }
}

impl WorkerThread {
    /// Takes the buffers of connections that were not written to since the last look.
    pub(super) fn cool_down(&mut self) {
        if self.warm.due().is_none_or(|due| due > self.now.mono_ms) {
            return;
        }
        self.warm.look_at_ms = self.now.mono_ms + LOOK_EVERY_MS;
        let Self { warm, connections, worker, .. } = self;
        warm.connections.retain(|&id| {
            let Some(connection) = connections.get_mut(id) else { return false };
            if std::mem::take(&mut connection.used) {
                return true;
            }
            match worker.outbox(id) {
                Some(outbox) if !outbox.is_empty() => true,
                outbox => {
                    connection.warm = false;
                    drop(outbox.map(|outbox| outbox.take_buffer()));
                    false
                }
            }
        });
    }
}

const LOOK_EVERY_MS: u64 = 1000;
