//! What the workers need to know to send clients to other nodes.

use std::{collections::BTreeMap, sync::Arc};

use sluice_cluster::{ClientAddress, Node, NodeId, Policies};

use crate::steering::Steering;

/// Where clients find each node, and what follows from that and from what else the gate was told.
#[derive(Debug, Default)]
pub(super) struct Guide {
    pub(super) addresses: BTreeMap<NodeId, Vec<ClientAddress>>,
    steering: Arc<Steering>,
}

impl Guide {
    /// What the workers are to know.
    pub(super) fn steering(&self) -> Arc<Steering> {
        Arc::clone(&self.steering)
    }

    /// Works it out anew for node `me`. Whether that changes anything.
    pub(super) fn find(&mut self, me: NodeId, policies: &Policies, nodes: &BTreeMap<NodeId, Node>) -> bool {
        let steering = Steering::new(me, policies, nodes, &self.addresses);
        let is_new = *self.steering != steering;
        if is_new {
            self.steering = Arc::new(steering);
        }
        is_new
    }
}
