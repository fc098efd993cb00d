//! Records as they are stored.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluice_cluster::{
    ADDRESSES_MAX, Epoch, KeyspaceId, Label, Labels, NodeId, NodePhase, Process, ProtocolRange, Registration, Replicas,
    ShardId, ShardKey, Version, WORKERS_MAX, Weight,
};
use sluice_controlplane_core::{
    MoveBudget,
    record::{
        History, Intent, Leadership, NodeRecord, PlacementHead, PlanRecord, PolicyChange, Record, RecordKey, ReplicaId,
    },
};

use super::policy::{KeyspaceRow, PolicyRow};

/// What parsing comes to; the error is for operators.
pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn parse<T>(result: Result<T, impl Display>) -> Parsed<T> {
    result.map_err(|error| error.to_string())
}

/// Every value: the version of its layout, and what it says.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    #[serde(flatten)]
    row: T,
}

/// The version alone, read first.
#[derive(Deserialize)]
struct Layout {
    v: u32,
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Leadership(of) => seal(LeadershipRow::of(of)),
        Record::Intent(of) => seal(IntentRow::of(of)),
        Record::Node(of) => seal(NodeRow::of(of)),
        Record::Policy(of) => seal(Holder { policy: PolicyRow::of(of) }),
        Record::Placement(of) => seal(PlacementRow::of(of)),
        Record::Shards(of) => seal(ShardsRow::of(of)),
        Record::Plan(of) => seal(PlanRow::of(of)),
        Record::History(of) => seal(HistoryRow::of(of)),
        Record::Recover(of) => seal(RecoverRow::of(of)),
    }
}

pub(super) fn decode(key: &RecordKey, bytes: &[u8]) -> Parsed<Record> {
    let Layout { v } = parse(serde_json::from_slice(bytes))?;
    if v != LAYOUT {
        return Err(format!("it is of layout {v}, and this version knows {LAYOUT}"));
    }
    match key {
        RecordKey::Leadership => open::<LeadershipRow>(bytes)?.parse().map(Record::Leadership),
        RecordKey::Intent => open::<IntentRow>(bytes).map(|row| Record::Intent(row.parse())),
        RecordKey::Node(_) => open::<NodeRow>(bytes)?.parse().map(Record::Node),
        RecordKey::Policy(_) => open::<Holder>(bytes)?.policy.parse().map(Record::Policy),
        RecordKey::Placement => open::<PlacementRow>(bytes)?.parse().map(Record::Placement),
        RecordKey::Shards(_) => open::<ShardsRow>(bytes)?.parse().map(Record::Shards),
        RecordKey::Plan(_) => open::<PlanRow>(bytes)?.parse().map(Record::Plan),
        RecordKey::History(_) => open::<HistoryRow>(bytes)?.parse().map(Record::History),
        RecordKey::Recover => open::<RecoverRow>(bytes)?.parse().map(Record::Recover),
    }
}

fn seal(row: impl Serialize) -> Vec<u8> {
    // Rows have text for keys and finite numbers, which JSON can always hold.
    serde_json::to_vec(&Envelope { v: LAYOUT, row }).unwrap_or_else(|error| unreachable!("{error}"))
}

fn open<T: DeserializeOwned>(bytes: &[u8]) -> Parsed<T> {
    let mut value: serde_json::Map<String, serde_json::Value> = parse(serde_json::from_slice(bytes))?;
    value.remove("v");
    parse(serde_json::from_value(value.into()))
}

/// A node's id as text of 16 hexadecimal digits: JSON's numbers have 53 bits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct NodeText(NodeId);

impl From<NodeId> for NodeText {
    fn from(id: NodeId) -> Self {
        Self(id)
    }
}

impl From<NodeText> for NodeId {
    fn from(text: NodeText) -> Self {
        text.0
    }
}

impl From<NodeText> for String {
    fn from(text: NodeText) -> Self {
        text.0.to_string()
    }
}

impl TryFrom<String> for NodeText {
    type Error = String;

    fn try_from(text: String) -> Parsed<Self> {
        let id = u64::from_str_radix(&text, 16).ok().map(NodeId);
        id.filter(|id| id.to_string() == text).map(Self).ok_or_else(|| format!("'{text}' is no node id"))
    }
}

pub(super) fn labels_of(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub(super) fn parse_labels(labels: BTreeMap<String, String>) -> Parsed<Labels> {
    let pair = |(key, value): (String, String)| Ok((parse(Label::parse(&key))?, parse(Label::parse(&value))?));
    parse(Labels::new(labels.into_iter().map(pair).collect::<Parsed<Vec<_>>>()?))
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionRow {
    leadership: u64,
    counter: u64,
}

impl VersionRow {
    fn of(version: Version) -> Self {
        Self { leadership: version.leadership.0, counter: version.counter }
    }

    fn parse(self) -> Version {
        Version::new(self.leadership, self.counter)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeadershipRow {
    epoch: u64,
    leader: String,
    /// As text: JSON's numbers have 53 bits.
    life: String,
}

impl LeadershipRow {
    fn of(leadership: &Leadership) -> Self {
        let ReplicaId { name, life } = &leadership.leader;
        Self { epoch: leadership.epoch.0, leader: name.to_string(), life: format!("{life:016x}") }
    }

    fn parse(self) -> Parsed<Leadership> {
        let life = parse(u64::from_str_radix(&self.life, 16))?;
        let leader = ReplicaId { name: parse(Label::parse(&self.leader))?, life };
        Ok(Leadership { epoch: Epoch(self.epoch), leader })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentRow {
    number: u64,
    paused: bool,
    moves_max: u32,
    incoming_max: u32,
    next_keyspace: u16,
}

impl IntentRow {
    fn of(intent: &Intent) -> Self {
        Self {
            number: intent.number,
            paused: intent.is_paused,
            moves_max: intent.budget.moves_max,
            incoming_max: intent.budget.incoming_max,
            next_keyspace: intent.next_keyspace,
        }
    }

    fn parse(self) -> Intent {
        Intent {
            number: self.number,
            is_paused: self.paused,
            budget: MoveBudget { moves_max: self.moves_max, incoming_max: self.incoming_max },
            next_keyspace: self.next_keyspace.max(Intent::default().next_keyspace),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeRow {
    own_labels: BTreeMap<String, String>,
    own_weight: u16,
    peer_addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    client_addresses: Vec<String>,
    build: String,
    peer_protocol: [u16; 2],
    workers: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    phase: PhaseRow,
    since_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PhaseRow {
    Joining,
    Active,
    Cordoned,
    Draining,
    Gone,
}

impl NodeRow {
    fn of(node: &NodeRecord) -> Self {
        let Registration { labels, weight, process } = &node.registration;
        Self {
            own_labels: labels_of(labels),
            own_weight: weight.value(),
            peer_addresses: process.peer_addresses.iter().map(ToString::to_string).collect(),
            client_addresses: process.client_addresses.iter().map(ToString::to_string).collect(),
            build: process.build.to_string(),
            peer_protocol: [process.peer_protocol.oldest(), process.peer_protocol.newest()],
            workers: process.workers,
            labels: labels_of(&node.labels),
            weight: node.weight.map(Weight::value),
            phase: match node.phase {
                NodePhase::Joining => PhaseRow::Joining,
                NodePhase::Active => PhaseRow::Active,
                NodePhase::Cordoned => PhaseRow::Cordoned,
                NodePhase::Draining => PhaseRow::Draining,
                NodePhase::Gone => PhaseRow::Gone,
            },
            since_ms: node.since_ms,
        }
    }

    fn parse(self) -> Parsed<NodeRecord> {
        let [oldest, newest] = self.peer_protocol;
        let process = Process {
            peer_addresses: parse_addresses(&self.peer_addresses)?,
            client_addresses: parse_addresses(&self.client_addresses)?,
            build: parse(self.build.parse())?,
            peer_protocol: parse(ProtocolRange::new(oldest, newest))?,
            workers: self.workers,
        };
        if !(1..=WORKERS_MAX).contains(&process.workers) {
            return Err(format!("{} workers", process.workers));
        }
        let registration = Registration {
            labels: parse_labels(self.own_labels)?,
            weight: parse(Weight::new(self.own_weight))?,
            process,
        };
        Ok(NodeRecord {
            registration,
            labels: parse_labels(self.labels)?,
            weight: self.weight.map(|weight| parse(Weight::new(weight))).transpose()?,
            phase: match self.phase {
                PhaseRow::Joining => NodePhase::Joining,
                PhaseRow::Active => NodePhase::Active,
                PhaseRow::Cordoned => NodePhase::Cordoned,
                PhaseRow::Draining => NodePhase::Draining,
                PhaseRow::Gone => NodePhase::Gone,
            },
            since_ms: self.since_ms,
        })
    }
}

fn parse_addresses<A: FromStr<Err: Display>>(texts: &[String]) -> Parsed<Vec<A>> {
    if texts.len() > ADDRESSES_MAX {
        return Err(format!("{} addresses, more than {ADDRESSES_MAX}", texts.len()));
    }
    texts.iter().map(|text| parse(text.parse())).collect()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    policy: PolicyRow,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlacementRow {
    version: VersionRow,
    keyspaces: Vec<KeyspaceRow>,
}

impl PlacementRow {
    fn of(head: &PlacementHead) -> Self {
        Self { version: VersionRow::of(head.version), keyspaces: KeyspaceRow::of_all(&head.keyspaces) }
    }

    fn parse(self) -> Parsed<PlacementHead> {
        Ok(PlacementHead { version: self.version.parse(), keyspaces: KeyspaceRow::parse_all(self.keyspaces)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardsRow {
    shards: BTreeMap<u16, ReplicasRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplicasRow {
    epoch: u64,
    voters: Vec<NodeText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    learners: Vec<NodeText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaving: Vec<NodeText>,
}

impl ShardsRow {
    fn of(shards: &BTreeMap<ShardId, Replicas>) -> Self {
        Self { shards: shards.iter().map(|(shard, of)| (shard.0, ReplicasRow::of(of))).collect() }
    }

    fn parse(self) -> Parsed<BTreeMap<ShardId, Replicas>> {
        let shard = |(number, row): (u16, ReplicasRow)| match row.parse() {
            Ok(replicas) => Ok((ShardId(number), replicas)),
            Err(reason) => Err(format!("shard {number}: {reason}")),
        };
        self.shards.into_iter().map(shard).collect()
    }
}

impl ReplicasRow {
    fn of(replicas: &Replicas) -> Self {
        let ids = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().copied().map(NodeText::from).collect();
        Self {
            epoch: replicas.epoch().0,
            voters: ids(replicas.voters()),
            learners: ids(replicas.learners()),
            leaving: ids(replicas.leaving()),
        }
    }

    fn parse(self) -> Parsed<Replicas> {
        let ids = |nodes: Vec<NodeText>| nodes.into_iter().map(NodeId::from).collect::<Vec<_>>();
        parse(Replicas::new(ids(self.voters), ids(self.learners), ids(self.leaving), Epoch(self.epoch)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRow {
    id: String,
    parent_intent: u64,
    parent_placement: VersionRow,
    by: String,
    at_ms: u64,
    changes: Vec<ChangeRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangeRow {
    Put(PolicyRow),
    Delete(String),
}

impl PlanRow {
    fn of(plan: &PlanRecord) -> Self {
        let change = |change: &PolicyChange| match change {
            PolicyChange::Put(policy) => ChangeRow::Put(PolicyRow::of(policy)),
            PolicyChange::Delete(name) => ChangeRow::Delete(name.to_string()),
        };
        Self {
            id: plan.id.to_string(),
            parent_intent: plan.parent_intent,
            parent_placement: VersionRow::of(plan.parent_placement),
            by: plan.by.to_string(),
            at_ms: plan.at_ms,
            changes: plan.changes.iter().map(change).collect(),
        }
    }

    fn parse(self) -> Parsed<PlanRecord> {
        let change = |row: ChangeRow| match row {
            ChangeRow::Put(row) => row.parse().map(PolicyChange::Put),
            ChangeRow::Delete(name) => parse(Label::parse(&name)).map(PolicyChange::Delete),
        };
        Ok(PlanRecord {
            id: parse(Label::parse(&self.id))?,
            parent_intent: self.parent_intent,
            parent_placement: self.parent_placement.parse(),
            by: parse(Label::parse(&self.by))?,
            at_ms: self.at_ms,
            changes: self.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryRow {
    intent: u64,
    by: String,
    at_ms: u64,
    what: String,
    before: BTreeMap<String, Option<PolicyRow>>,
}

impl HistoryRow {
    fn of(entry: &History) -> Self {
        let before = entry.before.iter().map(|(name, policy)| (name.to_string(), policy.as_ref().map(PolicyRow::of)));
        Self {
            intent: entry.intent,
            by: entry.by.to_string(),
            at_ms: entry.at_ms,
            what: entry.what.clone(),
            before: before.collect(),
        }
    }

    fn parse(self) -> Parsed<History> {
        let before = |(name, row): (String, Option<PolicyRow>)| {
            Ok((parse(Label::parse(&name))?, row.map(PolicyRow::parse).transpose()?))
        };
        Ok(History {
            intent: self.intent,
            by: parse(Label::parse(&self.by))?,
            at_ms: self.at_ms,
            what: self.what,
            before: self.before.into_iter().map(before).collect::<Parsed<_>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoverRow {
    shards: Vec<GivenUpRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenUpRow {
    keyspace: u16,
    shard: u16,
    epoch: u64,
}

impl RecoverRow {
    fn of(given_up: &BTreeMap<ShardKey, Epoch>) -> Self {
        let row = |(key, epoch): (&ShardKey, &Epoch)| GivenUpRow {
            keyspace: key.keyspace.0,
            shard: key.shard.0,
            epoch: epoch.0,
        };
        Self { shards: given_up.iter().map(row).collect() }
    }

    fn parse(self) -> Parsed<BTreeMap<ShardKey, Epoch>> {
        let parsed = self
            .shards
            .into_iter()
            .map(|row| (ShardKey { keyspace: KeyspaceId(row.keyspace), shard: ShardId(row.shard) }, Epoch(row.epoch)));
        Ok(parsed.collect())
    }
}

/// Of all values. A version that changes it reads this one too.
const LAYOUT: u32 = 1;
