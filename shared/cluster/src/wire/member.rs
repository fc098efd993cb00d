//! Nodes and what their processes say of themselves.

use sluice_proto::cluster::v1 as pb;

use super::basic::{labels, node_id, write_labels};
use super::{InField, WireError, each_plain, narrow, required};
use crate::{
    ADDRESSES_MAX, Address, Build, Liveness, Member, Node, NodePhase, Process, ProtocolRange, Registration,
    WORKERS_MAX, Weight,
};

impl From<&Member> for pb::Node {
    fn from(member: &Member) -> Self {
        let Member { node, gateway, process } = member;
        let silent_since_ms = match node.liveness {
            Liveness::Live => None,
            Liveness::Silent { since_ms } => Some(since_ms),
        };
        Self {
            id: node.id.0,
            labels: write_labels(&node.labels),
            weight: node.weight.value().into(),
            phase: pb::NodePhase::from(node.phase).into(),
            silent_since_ms,
            gateway: *gateway,
            process: Some(process.into()),
        }
    }
}

impl TryFrom<pb::Node> for Member {
    type Error = WireError;

    fn try_from(message: pb::Node) -> Result<Self, WireError> {
        let node = Node {
            id: node_id("id", message.id)?,
            phase: phase("phase", message.phase())?,
            labels: labels("labels", message.labels)?,
            weight: weight("weight", message.weight)?,
            liveness: message.silent_since_ms.map_or(Liveness::Live, |since_ms| Liveness::Silent { since_ms }),
        };
        Ok(Self { node, gateway: message.gateway, process: required("process", message.process)? })
    }
}

impl From<&Process> for pb::Process {
    fn from(process: &Process) -> Self {
        let texts = |addresses: &[Address]| addresses.iter().map(Address::to_string).collect();
        Self {
            peer_addresses: texts(&process.peer_addresses),
            client_addresses: texts(&process.client_addresses),
            build: process.build.to_string(),
            peer_protocol: Some(pb::ProtocolRange {
                oldest: process.peer_protocol.oldest().into(),
                newest: process.peer_protocol.newest().into(),
            }),
            workers: process.workers.into(),
        }
    }
}

impl TryFrom<pb::Process> for Process {
    type Error = WireError;

    fn try_from(message: pb::Process) -> Result<Self, WireError> {
        let addresses = |field, list: Vec<String>| each_plain(field, list, ADDRESSES_MAX, |text| text.parse());
        let workers = narrow("workers", message.workers)?;
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(WireError::new("workers", format_args!("1 to {WORKERS_MAX}, not {workers}")));
        }
        Ok(Self {
            peer_addresses: addresses("peer_addresses", message.peer_addresses)?,
            client_addresses: addresses("client_addresses", message.client_addresses)?,
            build: message.build.parse::<Build>().field("build")?,
            peer_protocol: required("peer_protocol", message.peer_protocol)?,
            workers,
        })
    }
}

impl TryFrom<pb::ProtocolRange> for ProtocolRange {
    type Error = WireError;

    fn try_from(message: pb::ProtocolRange) -> Result<Self, WireError> {
        Self::new(narrow("oldest", message.oldest)?, narrow("newest", message.newest)?).field("newest")
    }
}

impl From<&Registration> for pb::Registration {
    fn from(registration: &Registration) -> Self {
        Self {
            labels: write_labels(&registration.labels),
            weight: registration.weight.value().into(),
            process: Some((&registration.process).into()),
        }
    }
}

impl TryFrom<pb::Registration> for Registration {
    type Error = WireError;

    fn try_from(message: pb::Registration) -> Result<Self, WireError> {
        Ok(Self {
            labels: labels("labels", message.labels)?,
            weight: weight("weight", message.weight)?,
            process: required("process", message.process)?,
        })
    }
}

impl From<NodePhase> for pb::NodePhase {
    fn from(phase: NodePhase) -> Self {
        match phase {
            NodePhase::Joining => Self::Joining,
            NodePhase::Active => Self::Active,
            NodePhase::Cordoned => Self::Cordoned,
            NodePhase::Draining => Self::Draining,
            NodePhase::Gone => Self::Gone,
        }
    }
}

fn phase(field: &str, message: pb::NodePhase) -> Result<NodePhase, WireError> {
    match message {
        pb::NodePhase::Unspecified => Err(WireError::new(field, "is none that is known here")),
        pb::NodePhase::Joining => Ok(NodePhase::Joining),
        pb::NodePhase::Active => Ok(NodePhase::Active),
        pb::NodePhase::Cordoned => Ok(NodePhase::Cordoned),
        pb::NodePhase::Draining => Ok(NodePhase::Draining),
        pb::NodePhase::Gone => Ok(NodePhase::Gone),
    }
}

fn weight(field: &str, weight: u32) -> Result<Weight, WireError> {
    Weight::new(narrow(field, weight)?).field(field)
}
