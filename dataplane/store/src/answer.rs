//! What a store tells its workers.

use bytes::Bytes;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::Input;

/// One answer of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Every batch of the worker up to and including this one is durable.
    Stored {
        /// Whose batches.
        worker: WorkerId,
        /// The highest durable batch.
        batch: u64,
    },
    /// What a read found.
    Loaded {
        /// Who asked.
        worker: WorkerId,
        /// The shard asked for.
        shard: ShardId,
        /// The block's first sequence number.
        first: u64,
        /// The stored value; `None` when there is no such block.
        block: Option<Bytes>,
    },
    /// What a read of retained messages found.
    LoadedRetained {
        /// Who asked.
        worker: WorkerId,
        /// The number asked under.
        read: u64,
        /// The stored value for each topic asked for, in that order; `None` when there is none.
        messages: Vec<Option<Bytes>>,
    },
    /// Whether new durable work is welcome; for every worker. A store starts writable.
    Writable(bool),
}

/// Takes a store's answers. Called from the store's threads, in order for each worker: it must not block, only put
/// the answer where the worker finds it.
pub type AnswerFn = dyn Fn(Answer) + Send + Sync;

impl Answer {
    /// The worker the answer is for; `None` when it is for all of them.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Stored { worker, .. } | Self::Loaded { worker, .. } | Self::LoadedRetained { worker, .. } => {
                Some(*worker)
            }
            Self::Writable(_) => None,
        }
    }
}

impl From<Answer> for Input {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Stored { batch, .. } => Self::Stored { batch },
            Answer::Loaded { shard, first, block, .. } => Self::Loaded { shard, first, block },
            Answer::LoadedRetained { read, messages, .. } => Self::LoadedRetained { read, messages },
            Answer::Writable(writable) => Self::StoreWritable(writable),
        }
    }
}
