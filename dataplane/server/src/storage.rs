//! How a worker reaches the store.

use std::sync::Arc;

use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::WriteBatch;
use sluice_dataplane_store::{Answer, Store};

use crate::mailbox::{Letter, Mailbox};

/// Where a worker's changes become durable. Answers come as letters. Called once a turn, never once a message.
pub(crate) trait Storage: Send {
    /// Takes a batch; answered with [`sluice_dataplane_core::Input::Stored`].
    fn write(&mut self, batch: u64, ops: WriteBatch);

    /// Reads a block; answered with [`sluice_dataplane_core::Input::Loaded`].
    fn load(&mut self, shard: ShardId, first: u64);

    /// Reads retained messages; answered with [`sluice_dataplane_core::Input::LoadedRetained`].
    fn load_retained(&mut self, read: u64, topics: Vec<(ShardId, Box<str>)>);
}

/// One worker's way to the node's store.
pub(crate) struct StoreOf {
    pub(crate) store: Arc<Store>,
    pub(crate) worker: WorkerId,
}

impl Storage for StoreOf {
    fn write(&mut self, batch: u64, ops: WriteBatch) {
        self.store.submit(self.worker, batch, ops);
    }

    fn load(&mut self, shard: ShardId, first: u64) {
        self.store.load(self.worker, shard, first);
    }

    fn load_retained(&mut self, read: u64, topics: Vec<(ShardId, Box<str>)>) {
        self.store.load_retained(self.worker, read, topics);
    }
}

/// Puts an answer of the store before the worker it is for.
pub(crate) fn deliver(answer: Answer, workers: &[Mailbox]) {
    match answer.worker() {
        Some(worker) => workers[worker.index()].post(Letter::Input(answer.into())),
        None => workers.iter().for_each(|mailbox| mailbox.post(Letter::Input(answer.clone().into()))),
    }
}
