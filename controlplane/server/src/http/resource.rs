//! A policy as operators write it: the resource `Placement`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sluice_cluster::{
    HYBRID_THRESHOLD_BYTES_DEFAULT, Home, Label, Labels, NodeId, Policy, RemoteSubscribers, ReplicaCount, Selector,
    Spread, Steer, SteerTo,
};
use sluice_controlplane_core::intent::PolicySpec;
use sluice_topic::{Limits, TopicFilter};

/// The resource.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Placement {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    pub(super) metadata: Metadata,
    spec: Spec,
}

/// Which one it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) name: String,
    /// Of the store; shown, not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    home: HomeSpec,
    #[serde(default = "one")]
    replicas: u8,
    #[serde(default = "zone")]
    spread: String,
    #[serde(default)]
    fallback: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shards: Option<u16>,
    #[serde(default)]
    retained: Retained,
    #[serde(default)]
    remote_subscribers: Remote,
    /// Of the policy `sessions` only.
    #[serde(default, skip_serializing_if = "SteerSpec::is_off")]
    steer: SteerSpec,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    steer_transient: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HomeSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selector: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retained {
    /// In bytes.
    replicate_below: u32,
}

impl Default for Retained {
    fn default() -> Self {
        Self { replicate_below: HYBRID_THRESHOLD_BYTES_DEFAULT }
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Remote {
    #[default]
    Forward,
    Deny,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SteerSpec {
    #[default]
    Off,
    Home,
    Area,
}

impl SteerSpec {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

fn one() -> u8 {
    1
}

fn zone() -> String {
    "zone".into()
}

/// What parsing comes to; the error is for operators.
type Parsed<T> = Result<T, String>;

fn parse<T>(result: Result<T, impl std::fmt::Display>) -> Parsed<T> {
    result.map_err(|error| error.to_string())
}

impl Placement {
    /// A policy as it is, with the revision that made it.
    pub(super) fn of(policy: &Policy, revision: Option<u64>) -> Self {
        let wanted = Self::wanted(&PolicySpec::of(policy));
        Self { metadata: Metadata { revision, ..wanted.metadata }, ..wanted }
    }

    /// A policy as it can be put.
    pub(super) fn wanted(policy: &PolicySpec) -> Self {
        let texts = |labels: &[Label]| labels.iter().map(Label::to_string).collect();
        let spec = Spec {
            topics: policy.filters.iter().map(|filter| filter.as_str().to_owned()).collect(),
            home: HomeSpec::of(&policy.home),
            replicas: u8::try_from(policy.replicas.value()).unwrap_or(u8::MAX),
            spread: match &policy.spread {
                Spread::Node => "node".into(),
                Spread::Zone => "zone".into(),
                Spread::Label(label) => label.to_string(),
            },
            fallback: texts(&policy.fallback),
            shards: policy.shards,
            retained: Retained { replicate_below: policy.hybrid_threshold_bytes },
            remote_subscribers: match policy.remote_subscribers {
                RemoteSubscribers::Forward => Remote::Forward,
                RemoteSubscribers::Deny => Remote::Deny,
            },
            steer: match policy.steer.to {
                SteerTo::Nowhere => SteerSpec::Off,
                SteerTo::Home => SteerSpec::Home,
                SteerTo::Area => SteerSpec::Area,
            },
            steer_transient: policy.steer.transient,
        };
        let metadata = Metadata { name: policy.name.to_string(), revision: None };
        Self { api_version: VERSION.into(), kind: KIND.into(), metadata, spec }
    }

    /// Understands a resource.
    pub(super) fn parse(self) -> Parsed<PolicySpec> {
        if (self.api_version.as_str(), self.kind.as_str()) != (VERSION, KIND) {
            return Err(format!("it is of {} {}, not of {VERSION} {KIND}", self.api_version, self.kind));
        }
        let Spec { topics, home, replicas, spread, fallback, shards, retained, .. } = self.spec;
        let filter = |text: &String| TopicFilter::parse(text, &Limits::default()).map_err(|e| format!("{text}: {e}"));
        Ok(PolicySpec {
            name: parse(Label::parse(&self.metadata.name))?,
            filters: topics.iter().map(filter).collect::<Parsed<_>>()?,
            shards,
            home: home.parse()?,
            replicas: parse(ReplicaCount::new(replicas))?,
            spread: match spread.as_str() {
                "node" => Spread::Node,
                "zone" => Spread::Zone,
                label => Spread::Label(parse(Label::parse(label))?),
            },
            fallback: fallback.iter().map(|text| parse(Label::parse(text))).collect::<Parsed<_>>()?,
            hybrid_threshold_bytes: retained.replicate_below,
            remote_subscribers: match self.spec.remote_subscribers {
                Remote::Forward => RemoteSubscribers::Forward,
                Remote::Deny => RemoteSubscribers::Deny,
            },
            steer: Steer {
                to: match self.spec.steer {
                    SteerSpec::Off => SteerTo::Nowhere,
                    SteerSpec::Home => SteerTo::Home,
                    SteerSpec::Area => SteerTo::Area,
                },
                transient: self.spec.steer_transient,
            },
        })
    }
}

impl HomeSpec {
    fn of(home: &Home) -> Self {
        match home {
            Home::Anywhere => Self::default(),
            Home::Region(region) => Self { region: Some(region.to_string()), ..Self::default() },
            Home::Nodes(nodes) => {
                Self { nodes: Some(nodes.iter().map(NodeId::to_string).collect()), ..Self::default() }
            }
            Home::Selector(selector) => Self { selector: Some(label_map(selector.labels())), ..Self::default() },
        }
    }

    fn parse(self) -> Parsed<Home> {
        match (self.region, self.nodes, self.selector) {
            (None, None, None) => Ok(Home::Anywhere),
            (Some(region), None, None) => Ok(Home::Region(parse(Label::parse(&region))?)),
            (None, Some(nodes), None) => {
                let ids = nodes.iter().map(|text| parse_node(text)).collect::<Parsed<BTreeSet<_>>>()?;
                Ok(Home::Nodes(ids))
            }
            (None, None, Some(labels)) => Ok(Home::Selector(parse(Selector::new(parse_labels(labels)?))?)),
            (..) => Err("a home is a region, nodes or a selector, one of them".into()),
        }
    }
}

/// Labels as a mapping.
pub(super) fn label_map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A mapping as labels.
pub(super) fn parse_labels(labels: BTreeMap<String, String>) -> Parsed<Labels> {
    let pair = |(key, value): (String, String)| Ok((parse(Label::parse(&key))?, parse(Label::parse(&value))?));
    parse(Labels::new(labels.into_iter().map(pair).collect::<Parsed<Vec<_>>>()?))
}

/// The id of a node, 16 hexadecimal digits.
pub(super) fn parse_node(text: &str) -> Parsed<NodeId> {
    let id = u64::from_str_radix(text, 16).ok().map(NodeId).filter(|id| id.to_string() == text);
    id.ok_or_else(|| format!("'{text}' is no node id: it has 16 hexadecimal digits"))
}

const VERSION: &str = "sluice/v1";
const KIND: &str = "Placement";
