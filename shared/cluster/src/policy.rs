//! Policies: where operators want the shards of a keyspace, and what subscribers elsewhere get.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{Keyspace, KeyspaceError, KeyspaceId, Keyspaces, Label, Node, NodeId, Selector, Steer, SteerTo};

/// Retained messages below this travel whole to every node unless a policy says otherwise.
pub const HYBRID_THRESHOLD_BYTES_DEFAULT: u32 = 1024;

/// The largest threshold: a message is smaller than its packet, whose remaining length has 28 bits (MQTT 2.1.4).
pub const HYBRID_THRESHOLD_BYTES_MAX: u32 = 268_435_455;

/// Most nodes that a home names one by one; more are better told by a label.
pub const HOME_NODES_MAX: usize = 256;

/// Most fallback regions.
pub const FALLBACKS_MAX: usize = 16;

/// What operators want of one keyspace. As a resource it is a `Placement`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What it is called; unique.
    pub name: Label,
    /// What it is about.
    pub keyspace: Keyspace,
    /// Where its shards live.
    pub home: Home,
    /// How many voters each of its shards has.
    pub replicas: ReplicaCount,
    /// What the replicas of a shard must not share if it can be helped.
    pub spread: Spread,
    /// Regions that are used, the first that has a node, while the home has none; at most [`FALLBACKS_MAX`]. Empty: wait.
    pub fallback: Vec<Label>,
    /// Retained messages below this many bytes travel whole, at most [`HYBRID_THRESHOLD_BYTES_MAX`].
    pub hybrid_threshold_bytes: u32,
    /// What subscribers outside of the home get.
    pub remote_subscribers: RemoteSubscribers,
    /// Which clients are told to connect elsewhere; of the sessions' policy only.
    pub steer: Steer,
}

impl Policy {
    /// What holds for a keyspace about which nobody has said anything: one replica, anywhere.
    #[must_use]
    pub fn new(name: Label, keyspace: Keyspace) -> Self {
        Self {
            name,
            keyspace,
            home: Home::Anywhere,
            replicas: ReplicaCount::default(),
            spread: Spread::default(),
            fallback: Vec::new(),
            hybrid_threshold_bytes: HYBRID_THRESHOLD_BYTES_DEFAULT,
            remote_subscribers: RemoteSubscribers::Forward,
            steer: Steer::default(),
        }
    }

    fn of_default(keyspace: &Keyspace) -> Self {
        let name = if keyspace.id() == KeyspaceId::SESSIONS { "sessions" } else { "topics" };
        Self::new(Label::known(name), keyspace.clone())
    }
}

/// Where shards live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Home {
    /// On any node.
    #[default]
    Anywhere,
    /// On nodes of a region.
    Region(Label),
    /// On these nodes: 1 to [`HOME_NODES_MAX`].
    Nodes(BTreeSet<NodeId>),
    /// On nodes with these labels.
    Selector(Selector),
}

impl Home {
    /// Whether a node belongs to it.
    #[must_use]
    pub fn includes(&self, node: &Node) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Region(region) => node.region() == Some(region),
            Self::Nodes(nodes) => nodes.contains(&node.id),
            Self::Selector(selector) => selector.selects(&node.labels),
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("anywhere"),
            Self::Region(region) => write!(f, "region {region}"),
            Self::Nodes(nodes) => write!(f, "{} named nodes", nodes.len()),
            Self::Selector(selector) => {
                f.write_str("nodes with")?;
                selector.labels().iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
            }
        }
    }
}

/// How many voters a shard has: 1, 3, 5 or any number up to 7.
///
/// An even number is allowed, as two in two zones for one's data, though it tolerates no more losses than one less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReplicaCount(u8);

impl ReplicaCount {
    /// A number of 1 to 7.
    ///
    /// # Errors
    /// It is outside these bounds.
    pub fn new(replicas: u8) -> Result<Self, PolicyError> {
        if (1..=REPLICA_COUNT_MAX).contains(&replicas) {
            Ok(Self(replicas))
        } else {
            Err(PolicyError::Replicas { replicas })
        }
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for ReplicaCount {
    fn default() -> Self {
        Self(1)
    }
}

/// What the replicas of a shard must not share if it can be helped: a failure domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Spread {
    /// The node alone, which two replicas never share.
    Node,
    /// All nodes of a region that are in the same zone. A node without a zone is a domain of its own.
    #[default]
    Zone,
    /// As a zone, with another label that says what fails together, such as `rack`.
    Label(Label),
}

/// What subscribers outside of the home get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RemoteSubscribers {
    /// Messages, over the link between the regions.
    #[default]
    Forward,
    /// Nothing: the data stays where it lives.
    Deny,
}

/// The policies of a cluster: one for each keyspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policies {
    all: BTreeMap<KeyspaceId, Policy>,
    keyspaces: Keyspaces,
}

impl Policies {
    /// These policies, and for the default keyspaces that have none what [`Policy::new`] says.
    ///
    /// # Errors
    /// Names or keyspaces stand twice, topic filters tie, or a policy is outside its bounds.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Result<Self, PolicyError> {
        let mut all: Vec<Policy> = policies.into_iter().collect();
        let keyspaces = Keyspaces::new(all.iter().map(|policy| policy.keyspace.clone()))?;
        for keyspace in keyspaces.iter() {
            if all.iter().all(|policy| policy.keyspace.id() != keyspace.id()) {
                all.push(Policy::of_default(keyspace));
            }
        }
        let mut names = BTreeSet::new();
        for policy in &all {
            check(policy)?;
            if !names.insert(&policy.name) {
                return Err(PolicyError::Twice { name: policy.name.clone() });
            }
        }
        Ok(Self { all: all.into_iter().map(|policy| (policy.keyspace.id(), policy)).collect(), keyspaces })
    }

    /// What is wanted of a keyspace; `None` if it is none of these.
    #[must_use]
    pub fn of(&self, id: KeyspaceId) -> Option<&Policy> {
        self.all.get(&id)
    }

    /// All of them, by keyspace.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.all.values()
    }

    /// The keyspaces they are about.
    #[must_use]
    pub fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

impl Default for Policies {
    fn default() -> Self {
        let keyspaces = Keyspaces::default();
        let all = keyspaces.iter().map(|keyspace| (keyspace.id(), Policy::of_default(keyspace))).collect();
        Self { all, keyspaces }
    }
}

fn check(policy: &Policy) -> Result<(), PolicyError> {
    if let Home::Nodes(nodes) = &policy.home
        && !(1..=HOME_NODES_MAX).contains(&nodes.len())
    {
        return Err(PolicyError::Nodes { nodes: nodes.len() });
    }
    if policy.fallback.len() > FALLBACKS_MAX {
        return Err(PolicyError::Fallbacks { regions: policy.fallback.len() });
    }
    if policy.hybrid_threshold_bytes > HYBRID_THRESHOLD_BYTES_MAX {
        return Err(PolicyError::Threshold { bytes: policy.hybrid_threshold_bytes });
    }
    check_steer(policy)
}

fn check_steer(policy: &Policy) -> Result<(), PolicyError> {
    let Policy { name, steer, .. } = policy;
    if *steer == Steer::default() {
        return Ok(());
    }
    if policy.keyspace.id() != KeyspaceId::SESSIONS {
        return Err(PolicyError::SteerByTopic { name: name.clone() });
    }
    match steer.to {
        SteerTo::Nowhere => Err(PolicyError::SteerNowhere { name: name.clone() }),
        SteerTo::Area if policy.home == Home::Anywhere => Err(PolicyError::SteerAnywhere { name: name.clone() }),
        SteerTo::Home | SteerTo::Area => Ok(()),
    }
}

/// Why policies cannot be as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// Their keyspaces cannot be.
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    /// Two have one name.
    #[error("there are two policies called {name}")]
    Twice {
        /// The name.
        name: Label,
    },
    /// The number of replicas is outside its bounds.
    #[error("1 to {REPLICA_COUNT_MAX} replicas, not {replicas}")]
    Replicas {
        /// The number asked for.
        replicas: u8,
    },
    /// A home of named nodes names none, or too many.
    #[error("a home names 1 to {HOME_NODES_MAX} nodes, not {nodes}")]
    Nodes {
        /// Nodes named.
        nodes: usize,
    },
    /// Too many fallback regions.
    #[error("{regions} fallback regions, more than {FALLBACKS_MAX}")]
    Fallbacks {
        /// Regions named.
        regions: usize,
    },
    /// The threshold is beyond any message.
    #[error("a threshold of {bytes} bytes, more than {HYBRID_THRESHOLD_BYTES_MAX}")]
    Threshold {
        /// Bytes asked for.
        bytes: u32,
    },
    /// A policy of topics says where clients go.
    #[error("the policy {name} is about topics: where clients connect is said by the policy sessions")]
    SteerByTopic {
        /// Which policy.
        name: Label,
    },
    /// It is said which clients are steered, but not where to.
    #[error("the policy {name} would steer clients with transient sessions, but steers nobody: say where to")]
    SteerNowhere {
        /// Which policy.
        name: Label,
    },
    /// Clients are to be steered into a home that includes every node.
    #[error("the policy {name} would steer clients into its home, which is anywhere: say where it is")]
    SteerAnywhere {
        /// Which policy.
        name: Label,
    },
}

/// Most voters of a shard: beyond that a write waits for more disks than it gains safety.
const REPLICA_COUNT_MAX: u8 = 7;

#[cfg(test)]
mod tests {
    use sluice_topic::{Limits, TopicFilter};

    use super::*;
    use crate::Labels;

    fn policy(name: &str, id: u16, filter: &str) -> Policy {
        let filter = TopicFilter::parse(filter, &Limits::default()).unwrap();
        Policy::new(Label::parse(name).unwrap(), Keyspace::new(KeyspaceId(id), vec![filter], 8).unwrap())
    }

    #[test]
    fn the_default_keyspaces_always_have_a_policy() {
        let names: Vec<_> = Policies::default().iter().map(|policy| policy.name.to_string()).collect();
        assert_eq!(names, ["sessions", "topics"]);
        assert_eq!(Policies::new([]), Ok(Policies::default()));
        let policies = Policies::new([policy("factory", 2, "factory/#")]).unwrap();
        assert_eq!(policies.iter().count(), 3);
        assert_eq!(policies.of(KeyspaceId(2)).map(|policy| policy.name.as_str()), Some("factory"));
    }

    #[test]
    fn policies_that_contradict_each_other_are_refused() {
        let refused = |policies: [Policy; 2]| Policies::new(policies).unwrap_err().to_string();
        assert_eq!(refused([policy("a", 2, "x"), policy("a", 3, "y")]), "there are two policies called a");
        assert_eq!(
            refused([policy("a", 2, "x"), policy("b", 3, "x")]),
            "keyspaces k3 and k2 both claim the topics of x"
        );
        assert_eq!(refused([policy("topics", 2, "x"), policy("b", 3, "y")]), "there are two policies called topics");
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(ReplicaCount::new(0), Err(PolicyError::Replicas { replicas: 0 }));
        assert_eq!(ReplicaCount::new(8), Err(PolicyError::Replicas { replicas: 8 }));
        let named = Policy { home: Home::Nodes(BTreeSet::new()), ..policy("a", 2, "x") };
        assert_eq!(Policies::new([named]), Err(PolicyError::Nodes { nodes: 0 }));
        let fallback = vec![Label::parse("eu").unwrap(); 17];
        let many = Policy { fallback, ..policy("a", 2, "x") };
        assert_eq!(Policies::new([many]), Err(PolicyError::Fallbacks { regions: 17 }));
        let large = Policy { hybrid_threshold_bytes: u32::MAX, ..policy("a", 2, "x") };
        assert_eq!(Policies::new([large]), Err(PolicyError::Threshold { bytes: u32::MAX }));
    }

    #[test]
    fn only_the_policy_of_sessions_steers_clients_and_only_into_a_home_that_has_an_outside() {
        let sessions = || Policies::default().of(KeyspaceId::SESSIONS).unwrap().clone();
        let steer = |to, transient| Steer { to, transient };
        let refused = |policy: Policy| Policies::new([policy]).unwrap_err();
        let name = |name: &str| Label::parse(name).unwrap();
        let home = Policy { steer: steer(SteerTo::Home, true), ..sessions() };
        assert_eq!(Policies::new([home.clone()]).unwrap().of(KeyspaceId::SESSIONS), Some(&home));
        let area = Policy { steer: steer(SteerTo::Area, false), ..sessions() };
        assert_eq!(refused(area.clone()), PolicyError::SteerAnywhere { name: name("sessions") });
        assert!(Policies::new([Policy { home: Home::Region(name("eu")), ..area }]).is_ok());
        let nowhere = Policy { steer: steer(SteerTo::Nowhere, true), ..sessions() };
        assert_eq!(refused(nowhere), PolicyError::SteerNowhere { name: name("sessions") });
        let of_topics = Policy { steer: steer(SteerTo::Home, false), ..policy("a", 2, "x") };
        assert_eq!(refused(of_topics), PolicyError::SteerByTopic { name: name("a") });
    }

    #[test]
    fn a_home_includes_the_nodes_it_describes() {
        let label = |text: &str| Label::parse(text).unwrap();
        let labels = Labels::new([(label("region"), label("eu"))]).unwrap();
        let node = Node {
            id: NodeId(1),
            labels: labels.clone(),
            weight: crate::Weight::default(),
            phase: crate::NodePhase::Active,
            liveness: crate::Liveness::Live,
        };
        assert!(Home::Anywhere.includes(&node) && Home::Region(label("eu")).includes(&node));
        assert!(Home::Selector(Selector::new(labels).unwrap()).includes(&node));
        assert!(!Home::Region(label("us")).includes(&node) && !Home::Nodes([NodeId(2)].into()).includes(&node));
    }
}
