//! What the nodes should hold, as values. What has not changed is not put out again.

use std::{collections::BTreeSet, sync::Arc};

use sluice_cluster::{
    Liveness, Member, Node, NodeId, Placement, Policies,
    routing::{BaseTable, Region},
};

use super::{Output, Reconciler, gateways};
use crate::{record::NodeRecord, view::planned_node};

/// The whole of one resource type, for all nodes or for those of a region.
#[derive(Clone, Debug)]
pub enum Publication {
    /// Who the nodes are, by id; none that is gone.
    Nodes(Arc<Vec<Member>>),
    /// Who has which shard.
    Placement(Arc<Placement>),
    /// The routes of one region. The region of nodes without one is empty.
    Routes(Region, Arc<BaseTable>),
    /// What operators want.
    Policy(Arc<Policies>),
}

/// What was put out under this leadership.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    nodes: Option<Arc<Vec<Member>>>,
    placement: Option<Arc<Placement>>,
    policies: Option<Arc<Policies>>,
    gateways: BTreeSet<NodeId>,
}

impl Reconciler {
    /// Puts out what has changed, in the order in which nodes apply it.
    pub(super) fn publish(&mut self) {
        let Some(view) = &self.view else { return };
        let (Ok(policies), Ok(placement)) = (view.policies(), view.placement()) else { return };
        let (policies, placement) = (policies.clone(), placement.clone());
        let members = self.members();
        let regions = |members: &[Member]| -> Vec<(NodeId, Option<sluice_cluster::Label>)> {
            members.iter().map(|member| (member.node.id, member.node.region().cloned())).collect()
        };
        if self.published.nodes.as_deref() != Some(&members) {
            if self.published.nodes.as_deref().is_none_or(|before| regions(before) != regions(&members)) {
                self.routes.regions_changed();
            }
            let members = Arc::new(members);
            self.published.nodes = Some(members.clone());
            self.outputs.push_back(Output::Publish(Publication::Nodes(members)));
        }
        if self.published.placement.as_ref() != Some(&placement) {
            self.published.placement = Some(placement.clone());
            self.outputs.push_back(Output::Publish(Publication::Placement(placement)));
        }
        if self.published.policies.as_ref() != Some(&policies) {
            self.published.policies = Some(policies.clone());
            self.outputs.push_back(Output::Publish(Publication::Policy(policies)));
        }
    }

    /// The nodes' table. A node that has only just fallen silent is in it as if nothing had happened, so that a short cut
    /// is not told to everybody; one that counts as dead is in it as silent, so that nobody waits for it.
    fn members(&mut self) -> Vec<Member> {
        let Some(view) = &self.view else { return Vec::new() };
        let present = view.nodes().filter(|(_, record)| !record.is_gone());
        let nodes: Vec<(Node, &NodeRecord)> =
            present.map(|(id, record)| (planned_node(id, record, self.liveness(id)), record)).collect();
        let planned: Vec<Node> = nodes.iter().map(|(node, _)| node.clone()).collect();
        let gateways = gateways::choose(&planned, &self.published.gateways);
        let member = |(mut node, record): (Node, &NodeRecord)| {
            let gateway = gateways.contains(&node.id);
            node.liveness = self.told_liveness(node.liveness);
            Member { node, gateway, process: record.registration.process.clone() }
        };
        let members = nodes.into_iter().map(member).collect();
        self.published.gateways = gateways;
        members
    }

    /// Whether a node is heard of.
    pub(super) fn liveness(&self, id: NodeId) -> Liveness {
        self.fleet.liveness(id, self.now, self.settings.silent_after)
    }

    fn told_liveness(&self, liveness: Liveness) -> Liveness {
        match liveness {
            Liveness::Silent { since_ms } if self.is_dead_since(since_ms) => liveness,
            Liveness::Silent { .. } | Liveness::Live => Liveness::Live,
        }
    }

    pub(super) fn is_dead_since(&self, since_ms: u64) -> bool {
        super::fleet::millis(self.now).saturating_sub(since_ms) >= self.settings.dead_after_ms
    }
}
