//! Policies and keyspaces as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sluice_cluster::{
    Home, Keyspace, KeyspaceId, Keyspaces, Label, Labels, NodeId, Policy, RemoteSubscribers, ReplicaCount, Selector,
    Spread, Steer, SteerTo,
};
use sluice_topic::{Limits, TopicFilter};

use super::rows::{NodeText, Parsed, labels_of, parse, parse_labels};

/// A keyspace.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyspaceRow {
    id: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filters: Vec<String>,
    shards: u16,
}

impl KeyspaceRow {
    pub(super) fn of(keyspace: &Keyspace) -> Self {
        let filters = keyspace.filters().iter().map(|filter| filter.as_str().to_owned()).collect();
        Self { id: keyspace.id().0, filters, shards: keyspace.shards() }
    }

    pub(super) fn of_all(keyspaces: &Keyspaces) -> Vec<Self> {
        keyspaces.iter().map(Self::of).collect()
    }

    pub(super) fn parse(self) -> Parsed<Keyspace> {
        let filters = self.filters.iter().map(|text| parse(TopicFilter::parse(text, &Limits::default())));
        parse(Keyspace::new(KeyspaceId(self.id), filters.collect::<Result<_, _>>()?, self.shards))
    }

    pub(super) fn parse_all(rows: Vec<Self>) -> Parsed<Keyspaces> {
        let all = rows.into_iter().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        parse(Keyspaces::new(all))
    }
}

/// A policy.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyRow {
    name: String,
    keyspace: KeyspaceRow,
    home: HomeRow,
    replicas: u8,
    spread: SpreadRow,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fallback: Vec<String>,
    hybrid_threshold_bytes: u32,
    remote_subscribers: RemoteRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steer: Option<SteerRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HomeRow {
    Anywhere,
    Region(String),
    Nodes(BTreeSet<NodeText>),
    Selector(BTreeMap<String, String>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpreadRow {
    Node,
    Zone,
    Label(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RemoteRow {
    Forward,
    Deny,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SteerRow {
    to: SteerToRow,
    #[serde(default)]
    transient: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SteerToRow {
    Nowhere,
    Home,
    Area,
}

impl PolicyRow {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            name: policy.name.to_string(),
            keyspace: KeyspaceRow::of(&policy.keyspace),
            home: HomeRow::of(&policy.home),
            replicas: u8::try_from(policy.replicas.value()).unwrap_or(u8::MAX),
            spread: match &policy.spread {
                Spread::Node => SpreadRow::Node,
                Spread::Zone => SpreadRow::Zone,
                Spread::Label(label) => SpreadRow::Label(label.to_string()),
            },
            fallback: policy.fallback.iter().map(Label::to_string).collect(),
            hybrid_threshold_bytes: policy.hybrid_threshold_bytes,
            remote_subscribers: match policy.remote_subscribers {
                RemoteSubscribers::Forward => RemoteRow::Forward,
                RemoteSubscribers::Deny => RemoteRow::Deny,
            },
            steer: (policy.steer != Steer::default()).then(|| SteerRow::of(policy.steer)),
        }
    }

    pub(super) fn parse(self) -> Parsed<Policy> {
        Ok(Policy {
            name: parse(Label::parse(&self.name))?,
            keyspace: self.keyspace.parse()?,
            home: self.home.parse()?,
            replicas: parse(ReplicaCount::new(self.replicas))?,
            spread: match self.spread {
                SpreadRow::Node => Spread::Node,
                SpreadRow::Zone => Spread::Zone,
                SpreadRow::Label(label) => Spread::Label(parse(Label::parse(&label))?),
            },
            fallback: self.fallback.iter().map(|text| parse(Label::parse(text))).collect::<Result<_, _>>()?,
            hybrid_threshold_bytes: self.hybrid_threshold_bytes,
            remote_subscribers: match self.remote_subscribers {
                RemoteRow::Forward => RemoteSubscribers::Forward,
                RemoteRow::Deny => RemoteSubscribers::Deny,
            },
            steer: self.steer.map(SteerRow::parse).unwrap_or_default(),
        })
    }
}

impl SteerRow {
    fn of(steer: Steer) -> Self {
        let to = match steer.to {
            SteerTo::Nowhere => SteerToRow::Nowhere,
            SteerTo::Home => SteerToRow::Home,
            SteerTo::Area => SteerToRow::Area,
        };
        Self { to, transient: steer.transient }
    }

    fn parse(self) -> Steer {
        let to = match self.to {
            SteerToRow::Nowhere => SteerTo::Nowhere,
            SteerToRow::Home => SteerTo::Home,
            SteerToRow::Area => SteerTo::Area,
        };
        Steer { to, transient: self.transient }
    }
}

impl HomeRow {
    fn of(home: &Home) -> Self {
        match home {
            Home::Anywhere => Self::Anywhere,
            Home::Region(region) => Self::Region(region.to_string()),
            Home::Nodes(nodes) => Self::Nodes(nodes.iter().copied().map(NodeText::from).collect()),
            Home::Selector(selector) => Self::Selector(labels_of(selector.labels())),
        }
    }

    fn parse(self) -> Parsed<Home> {
        Ok(match self {
            Self::Anywhere => Home::Anywhere,
            Self::Region(region) => Home::Region(parse(Label::parse(&region))?),
            Self::Nodes(nodes) => Home::Nodes(nodes.into_iter().map(NodeId::from).collect()),
            Self::Selector(labels) => {
                let labels: Labels = parse_labels(labels)?;
                Home::Selector(parse(Selector::new(labels))?)
            }
        })
    }
}
