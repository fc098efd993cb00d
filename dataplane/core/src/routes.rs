//! What a worker knows of other nodes' interest from base tables: an immutable state, shared by all workers.

use std::{fmt, sync::Arc};

use sluice_cluster::{NodeId, routing::BaseTable};

/// The base tables in use.
#[derive(Clone, Default)]
pub struct Routes {
    me: NodeId,
    tables: Vec<Arc<BaseTable>>,
}

impl Routes {
    /// Those that node `me` uses.
    #[must_use]
    pub fn new(me: NodeId, tables: Vec<Arc<BaseTable>>) -> Self {
        Self { me, tables }
    }

    /// Whether another node has a plain subscription to a topic, as far as the tables know.
    #[must_use]
    pub fn wants(&self, topic: &str) -> bool {
        self.tables.iter().any(|table| table.wants(topic, self.me))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("tables", &self.tables).finish_non_exhaustive()
    }
}
