//! What operators want of keyspaces.

use std::collections::BTreeSet;

use sluice_proto::cluster::v1 as pb;

use super::basic::{label, labels, node_id, write_labels};
use super::{InField, WireError, each, each_plain, narrow, required};
use crate::{
    FALLBACKS_MAX, HOME_NODES_MAX, HYBRID_THRESHOLD_BYTES_MAX, Home, NodeId, Policy, RemoteSubscribers, ReplicaCount,
    Selector, Spread, Steer, SteerTo,
};

impl From<&Policy> for pb::Policy {
    fn from(policy: &Policy) -> Self {
        let remote = match policy.remote_subscribers {
            RemoteSubscribers::Forward => pb::RemoteSubscribers::Forward,
            RemoteSubscribers::Deny => pb::RemoteSubscribers::Deny,
        };
        Self {
            name: policy.name.to_string(),
            keyspace: Some((&policy.keyspace).into()),
            home: Some((&policy.home).into()),
            // A policy has at most a handful of replicas.
            replicas: policy.replicas.value() as u32,
            spread: Some((&policy.spread).into()),
            fallback: policy.fallback.iter().map(ToString::to_string).collect(),
            hybrid_threshold_bytes: policy.hybrid_threshold_bytes,
            remote_subscribers: remote.into(),
            steer: (policy.steer != Steer::default()).then(|| policy.steer.into()),
        }
    }
}

impl TryFrom<pb::Policy> for Policy {
    type Error = WireError;

    fn try_from(message: pb::Policy) -> Result<Self, WireError> {
        let remote_subscribers = match message.remote_subscribers() {
            pb::RemoteSubscribers::Unspecified => {
                return Err(WireError::new("remote_subscribers", "is none that is known here"));
            }
            pb::RemoteSubscribers::Forward => RemoteSubscribers::Forward,
            pb::RemoteSubscribers::Deny => RemoteSubscribers::Deny,
        };
        let threshold = message.hybrid_threshold_bytes;
        if threshold > HYBRID_THRESHOLD_BYTES_MAX {
            let problem = format_args!("{threshold} is more than {HYBRID_THRESHOLD_BYTES_MAX}").to_string();
            return Err(WireError::new("hybrid_threshold_bytes", problem));
        }
        Ok(Self {
            name: label("name", &message.name)?,
            keyspace: required("keyspace", message.keyspace)?,
            home: required("home", message.home)?,
            replicas: ReplicaCount::new(narrow("replicas", message.replicas)?).field("replicas")?,
            spread: required("spread", message.spread)?,
            fallback: each("fallback", message.fallback, FALLBACKS_MAX, |text| label("region", &text))?,
            hybrid_threshold_bytes: threshold,
            remote_subscribers,
            // Control of an earlier version does not say.
            steer: message.steer.map(Steer::try_from).transpose()?.unwrap_or_default(),
        })
    }
}

impl From<Steer> for pb::Steer {
    fn from(steer: Steer) -> Self {
        let to = match steer.to {
            SteerTo::Nowhere => pb::SteerTo::Nowhere,
            SteerTo::Home => pb::SteerTo::Home,
            SteerTo::Area => pb::SteerTo::Area,
        };
        Self { to: to.into(), transient: steer.transient }
    }
}

impl TryFrom<pb::Steer> for Steer {
    type Error = WireError;

    fn try_from(message: pb::Steer) -> Result<Self, WireError> {
        let to = match message.to() {
            pb::SteerTo::Unspecified => return Err(WireError::new("steer.to", "is none that is known here")),
            pb::SteerTo::Nowhere => SteerTo::Nowhere,
            pb::SteerTo::Home => SteerTo::Home,
            pb::SteerTo::Area => SteerTo::Area,
        };
        Ok(Self { to, transient: message.transient })
    }
}

impl From<&Home> for pb::Home {
    fn from(home: &Home) -> Self {
        let home = match home {
            Home::Anywhere => pb::home::Home::Anywhere(pb::Anywhere {}),
            Home::Region(region) => pb::home::Home::Region(region.to_string()),
            Home::Nodes(nodes) => pb::home::Home::Nodes(pb::HomeNodes { nodes: nodes.iter().map(|id| id.0).collect() }),
            Home::Selector(selector) => {
                pb::home::Home::Selector(pb::HomeSelector { labels: write_labels(selector.labels()) })
            }
        };
        Self { home: Some(home) }
    }
}

impl TryFrom<pb::Home> for Home {
    type Error = WireError;

    fn try_from(message: pb::Home) -> Result<Self, WireError> {
        match message.home.ok_or_else(|| WireError::new("home", "is none that is known here"))? {
            pb::home::Home::Anywhere(pb::Anywhere {}) => Ok(Self::Anywhere),
            pb::home::Home::Region(region) => Ok(Self::Region(label("region", &region)?)),
            pb::home::Home::Nodes(nodes) => {
                let nodes = each_plain("nodes", nodes.nodes, HOME_NODES_MAX, |id| node_id("id", id))?;
                let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
                if nodes.is_empty() { Err(WireError::new("nodes", "names none")) } else { Ok(Self::Nodes(nodes)) }
            }
            pb::home::Home::Selector(selector) => {
                Ok(Self::Selector(Selector::new(labels("selector", selector.labels)?).field("selector")?))
            }
        }
    }
}

impl From<&Spread> for pb::Spread {
    fn from(spread: &Spread) -> Self {
        let spread = match spread {
            Spread::Node => pb::spread::Spread::Node(pb::SpreadNode {}),
            Spread::Zone => pb::spread::Spread::Zone(pb::SpreadZone {}),
            Spread::Label(label) => pb::spread::Spread::Label(label.to_string()),
        };
        Self { spread: Some(spread) }
    }
}

impl TryFrom<pb::Spread> for Spread {
    type Error = WireError;

    fn try_from(message: pb::Spread) -> Result<Self, WireError> {
        match message.spread.ok_or_else(|| WireError::new("spread", "is none that is known here"))? {
            pb::spread::Spread::Node(pb::SpreadNode {}) => Ok(Self::Node),
            pb::spread::Spread::Zone(pb::SpreadZone {}) => Ok(Self::Zone),
            pb::spread::Spread::Label(text) => Ok(Self::Label(label("label", &text)?)),
        }
    }
}
