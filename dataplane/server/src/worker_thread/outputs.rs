//! What the core asks for.

use sluice_cluster::WorkerId;
use sluice_dataplane_core::{ConnId, Output};

use super::WorkerThread;

impl WorkerThread {
    /// Does what the core asked for, in order. Says whether there was anything.
    pub(super) fn carry_out(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.worker.poll_output() {
            any = true;
            match output {
                Output::Write { batch, ops } => self.storage.write(batch, ops),
                Output::Load { shard, first } => self.storage.load(shard, first),
                Output::LoadRetained { read, topics } => self.storage.load_retained(read, topics),
                Output::ToWorker { worker, frames } => self.send_frames(worker, frames),
                Output::Authenticate { conn, request } => self.auth.submit(self.id, conn, request),
                Output::Close { conn } => self.begin_close(conn),
                Output::Pause { conn } => self.pause(conn),
                Output::Resume { conn } => self.resume(conn),
                Output::Log(event) => self.log.write(&event),
            }
        }
        any
    }

    fn pause(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.paused = true;
        }
    }

    fn resume(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.paused = false;
            connection.resumed = true;
            self.enqueue(id);
        }
    }

    /// Sends frames to another worker, behind those that it has no room for.
    fn send_frames(&mut self, to: WorkerId, frames: Vec<u8>) {
        let waits = self.undelivered.iter().any(|(worker, _)| *worker == to);
        let refused = match waits {
            true => Err(frames),
            false => self.peers[to.index()].post_frames(self.id, frames, &self.mailbox),
        };
        if let Err(frames) = refused {
            self.undelivered.push_back((to, frames));
        }
    }

    /// Sends again what other workers had no room for.
    pub(super) fn deliver_frames(&mut self) {
        for (to, frames) in std::mem::take(&mut self.undelivered) {
            self.send_frames(to, frames);
        }
    }
}
