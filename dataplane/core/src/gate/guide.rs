//! What the workers need to know to send clients to other nodes, kept as it is told.

use std::{collections::BTreeMap, sync::Arc};

use sluice_cluster::{ClientAddress, Node, NodeId, Policies};

use crate::steering::Steering;

/// What was told, and what follows from it.
#[derive(Debug)]
pub(super) struct Guide {
    me: NodeId,
    policies: Policies,
    nodes: BTreeMap<NodeId, Node>,
    addresses: BTreeMap<NodeId, Vec<ClientAddress>>,
    steering: Arc<Steering>,
}

impl Guide {
    /// Of node `me`, which knows of nobody.
    pub(super) fn new(me: NodeId) -> Self {
        let (policies, nodes, addresses) = (Policies::default(), BTreeMap::new(), BTreeMap::new());
        Self { me, policies, nodes, addresses, steering: Arc::default() }
    }

    pub(super) fn set_nodes(&mut self, nodes: &BTreeMap<NodeId, Node>) {
        self.nodes.clone_from(nodes);
        self.find();
    }

    /// Whether that changes anything.
    pub(super) fn set_addresses(&mut self, addresses: BTreeMap<NodeId, Vec<ClientAddress>>) -> bool {
        self.addresses = addresses;
        self.find()
    }

    /// Whether that changes anything.
    pub(super) fn set_policies(&mut self, policies: &Policies) -> bool {
        self.policies.clone_from(policies);
        self.find()
    }

    /// What the workers are to know.
    pub(super) fn steering(&self) -> Arc<Steering> {
        Arc::clone(&self.steering)
    }

    fn find(&mut self) -> bool {
        let steering = Steering::new(self.me, &self.policies, &self.nodes, &self.addresses);
        let is_new = *self.steering != steering;
        if is_new {
            self.steering = Arc::new(steering);
        }
        is_new
    }
}
