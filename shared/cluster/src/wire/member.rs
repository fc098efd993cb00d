//! Nodes and what their processes say of themselves.

use sluice_proto::cluster::v1 as pb;

use super::basic::{labels, node_id, write_labels};
use super::{InField, WireError, each_plain, narrow, required};
use crate::{
    ADDRESSES_MAX, Address, Build, Carrier, ClientAddress, Liveness, Member, Node, NodePhase, Process, ProtocolRange,
    Registration, WORKERS_MAX, Weight,
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
        let (plain, otherwise): (Vec<_>, Vec<_>) =
            process.client_addresses.iter().partition(|address| address.carrier == Carrier::Tcp);
        let texts = |addresses: Vec<&ClientAddress>| addresses.into_iter().map(ClientAddress::to_string).collect();
        Self {
            peer_addresses: process.peer_addresses.iter().map(Address::to_string).collect(),
            client_addresses: texts(plain),
            client_urls: texts(otherwise),
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
            client_addresses: client_addresses(message.client_addresses, message.client_urls)?,
            build: message.build.parse::<Build>().field("build")?,
            peer_protocol: required("peer_protocol", message.peer_protocol)?,
            workers,
        })
    }
}

/// Those of plain TCP stand in a field of their own, from before there were others.
fn client_addresses(plain: Vec<String>, urls: Vec<String>) -> Result<Vec<ClientAddress>, WireError> {
    let tcp = |text: String| text.parse().map(|address: Address| ClientAddress { carrier: Carrier::Tcp, address });
    let mut all = each_plain("client_addresses", plain, ADDRESSES_MAX, tcp)?;
    let most = ADDRESSES_MAX - all.len();
    all.extend(each_plain("client_urls", urls, most, |text| text.parse())?);
    Ok(all)
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
