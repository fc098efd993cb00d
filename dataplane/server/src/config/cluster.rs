//! The cluster that a node belongs to.

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_cluster::{Label, LabelError, Labels};
use sluice_service::config::{Bytes, Duration};

/// The cluster that a node belongs to. Without `control` it is alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// How to find control, which says who the other nodes are. Without it this node is alone.
    pub control: Option<Control>,
    /// What operators say about this node: `region` and `zone` tell where it stands, others are for placement.
    pub labels: BTreeMap<String, String>,
    /// How much this node takes compared with others, from 1 to 10,000.
    pub weight: u16,
    /// Where version 5 clients find this node, for Server Reference, such as `mqtts://broker1.example.com:8883`: an entry
    /// for each kind of listener (`mqtt`, `mqtts`, `ws`, `wss`). Without one of a kind, clients of that kind are not sent here.
    pub reference: Vec<String>,
    /// Clients that are sent to other nodes a second while operators drain this one; `0` = all together.
    pub drain_rate: u32,
    /// The links to other nodes.
    pub peers: Peers,
    /// What is kept of the cluster's retained messages.
    pub etcd: Etcd,
}

/// How to find control.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Addresses of control, such as `https://control1.example.com:7081`; tried in turn.
    pub endpoints: Vec<String>,
    /// A file with a join token, which is used once and names the cluster's authority. Needed for the first start only.
    pub token: Option<PathBuf>,
}

/// The links to other nodes, over QUIC.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// Where other nodes reach this one, over UDP.
    pub bind: SocketAddr,
    /// The address that other nodes are told, such as `10.0.0.7:7070`. Without it, that of `bind`, which then must be one
    /// that other machines can use.
    pub advertise: Option<String>,
    /// The largest packet that is tried, in bytes: 1,200 to 6,500. Above 1,452 where the network carries jumbo frames.
    pub mtu_max: u16,
    /// How often a link that has nothing to say is tried.
    pub keep_alive: Duration,
    /// A link on which nothing was heard for so long is down.
    pub idle_timeout: Duration,
    /// A node whose link has been down for so long counts as lost: what it would have stored is refused from then on.
    pub lost_after: Duration,
    /// What may wait for one node. Beyond, QoS 0 is dropped and publishers of QoS 1 and 2 are refused.
    pub queue: Bytes,
    /// Clients of other nodes whose sessions live here, at a time.
    pub proxied_max: u32,
}

/// What is kept of the cluster's retained messages.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// Retained messages with a payload of up to this size are held in memory by the node where they live, and every other
    /// node keeps a copy, which it shows while that node is out of reach. Larger ones are read from the store of the node
    /// where they live when a subscriber wants them.
    pub hybrid_retained_size_threshold: Bytes,
}

impl Cluster {
    /// The labels, read.
    ///
    /// # Errors
    /// One of them is no label, or there are too many.
    pub fn labels(&self) -> Result<Labels, LabelError> {
        let read = |(key, value): (&String, &String)| Ok((Label::parse(key)?, Label::parse(value)?));
        Labels::new(self.labels.iter().map(read).collect::<Result<Vec<_>, LabelError>>()?)
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            control: None,
            labels: BTreeMap::new(),
            weight: 100,
            reference: Vec::new(),
            drain_rate: 200,
            peers: Peers::default(),
            etcd: Etcd::default(),
        }
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            bind: (Ipv6Addr::UNSPECIFIED, 7070).into(),
            advertise: None,
            mtu_max: 1452,
            keep_alive: Duration::millis(500),
            idle_timeout: Duration::secs(3),
            lost_after: Duration::secs(10),
            queue: Bytes::mib(32),
            proxied_max: 10_000,
        }
    }
}

impl Default for Etcd {
    fn default() -> Self {
        Self { hybrid_retained_size_threshold: Bytes(1024) }
    }
}
