//! Policies, the placement, and where a topic lives.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Items, bytes, counted, node::labels, read};
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

/// A policy as it can be put.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Policy {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
struct Metadata {
    name: String,
    revision: Option<u64>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    topics: Vec<String>,
    home: Home,
    replicas: Option<u64>,
    spread: Option<String>,
    fallback: Vec<String>,
    shards: Option<u64>,
    retained: Retained,
    remote_subscribers: Option<String>,
    steer: Option<String>,
    steer_transient: bool,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
struct Home {
    region: Option<String>,
    nodes: Option<Vec<String>>,
    selector: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
struct Retained {
    replicate_below: Option<u64>,
}

impl Spec {
    /// Which clients are told to connect elsewhere, if any are.
    fn steer(&self) -> Option<String> {
        let steer = self.steer.as_ref()?;
        Some(if self.steer_transient { format!("{steer}, transient too") } else { steer.clone() })
    }
}

impl Home {
    fn words(&self) -> String {
        match (&self.region, &self.nodes, &self.selector) {
            (Some(region), ..) => format!("region {region}"),
            (None, Some(nodes), _) => format!("nodes {}", nodes.join(",")),
            (None, None, Some(selector)) => labels(selector).join(","),
            (None, None, None) => "anywhere".into(),
        }
    }
}

impl Policy {
    /// What it wants, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        let Spec { topics, home, replicas, remote_subscribers, .. } = &self.spec;
        let steer = self.spec.steer().map(|steer| format!(", steer {steer}")).unwrap_or_default();
        let topics = if topics.is_empty() { String::new() } else { format!("  {}", topics.join(",")) };
        let replicas = replicas.unwrap_or(1);
        let remote = if remote_subscribers.as_deref() == Some("deny") { ", denied to other regions" } else { "" };
        format!("{}{topics}  -> {}, replicas {replicas}{remote}{steer}", self.metadata.name, home.words())
    }
}

/// All policies.
///
/// # Errors
/// The answer is something else.
pub fn list(value: Value) -> Result<Shown, Failure> {
    let policies: Items<Policy> = read(&value)?;
    let mut table = Table::new(&[
        Column::text("NAME"),
        Column::text("TOPICS"),
        Column::text("HOME"),
        Column::number("REPLICAS"),
        Column::text("SPREAD"),
        Column::number("SHARDS"),
        Column::text("OTHER REGIONS"),
        Column::text("FALLBACK").wide(),
        Column::text("RETAINED BELOW").wide(),
        Column::text("STEER").wide(),
        Column::number("REVISION").wide(),
    ]);
    for Policy { metadata, spec } in &policies.items {
        table.row(vec![
            Cell::from(&metadata.name),
            Cell::list(&spec.topics),
            Cell::from(spec.home.words()),
            Cell::of(spec.replicas),
            Cell::of(spec.spread.as_ref()),
            Cell::of(spec.shards),
            Cell::of(spec.remote_subscribers.as_ref()),
            Cell::list(&spec.fallback),
            Cell::of(spec.retained.replicate_below.map(bytes)),
            Cell::of(spec.steer()),
            // Those that are always there have none.
            Cell::of(metadata.revision.filter(|revision| *revision > 0)),
        ]);
    }
    Ok(Shown::table(value, table))
}

/// One policy, as it can be put.
///
/// # Errors
/// The answer is something else.
pub fn one(value: Value) -> Result<Shown, Failure> {
    let text = crate::output::yaml(&value)?;
    Ok(Shown::line(value, text.trim_end()))
}

/// Who has a shard.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Replicas {
    /// Who has it.
    pub voters: Vec<String>,
    /// Who copies it.
    pub learners: Vec<String>,
    leaving: Vec<String>,
    epoch: u64,
    moving: bool,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
struct Shard {
    shard: String,
    replicas: Replicas,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Placement {
    items: Vec<Shard>,
    version: String,
    paused: bool,
    intent: u64,
    last_plan: Option<String>,
}

/// Which shards are looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShardFilter {
    /// Those of a keyspace: what stands before the slash.
    pub keyspace: Option<String>,
    /// Those that a node has or copies.
    pub node: Option<String>,
    /// Those on their way.
    pub is_moving: bool,
}

impl ShardFilter {
    fn takes(&self, shard: &Shard) -> bool {
        let keyspace = shard.shard.rsplit_once('/').map_or("", |(keyspace, _)| keyspace);
        let has = |node: &String| shard.replicas.voters.contains(node) || shard.replicas.learners.contains(node);
        self.keyspace.as_ref().is_none_or(|wanted| wanted == keyspace)
            && self.node.as_ref().is_none_or(has)
            && (shard.replicas.moving || !self.is_moving)
    }
}

/// Which nodes have which shard.
///
/// # Errors
/// The answer is something else.
pub fn placement(value: Value, filter: &ShardFilter) -> Result<Shown, Failure> {
    let placement: Placement = read(&value)?;
    let mut table = Table::new(&[
        Column::text("SHARD"),
        Column::text("VOTERS"),
        Column::text("LEARNERS"),
        Column::text("LEAVING"),
        Column::number("EPOCH"),
        Column::text("MOVING"),
    ]);
    let taken: Vec<bool> = placement.items.iter().map(|shard| filter.takes(shard)).collect();
    for shard in placement.items.iter().zip(&taken).filter_map(|(shard, taken)| taken.then_some(shard)) {
        let Replicas { voters, learners, leaving, epoch, moving } = &shard.replicas;
        table.row(vec![
            Cell::from(&shard.shard),
            if voters.is_empty() { Cell::bad("none") } else { Cell::list(voters) },
            Cell::list(learners),
            Cell::list(leaving),
            Cell::from(epoch.to_string()),
            if *moving { Cell::warning("yes") } else { Cell::from("no") },
        ]);
    }
    let shown = taken.iter().filter(|taken| **taken).count();
    Ok(Shown::new(kept(value.clone(), &taken), vec![Part::Table(table), summary(&placement, shown)]))
}

/// The answer, with the entries that are shown.
fn kept(mut value: Value, taken: &[bool]) -> Value {
    if let Some(Value::Array(items)) = value.get_mut("items") {
        let mut taken = taken.iter();
        items.retain(|_| taken.next().copied().unwrap_or(false));
    }
    value
}

/// How many shards each node has.
///
/// # Errors
/// The answer is something else.
pub fn by_node(value: Value) -> Result<Shown, Failure> {
    let placement: Placement = read(&value)?;
    let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for shard in &placement.items {
        let Replicas { voters, learners, leaving, .. } = &shard.replicas;
        for (at, nodes) in [voters, learners, leaving].into_iter().enumerate() {
            nodes.iter().for_each(|node| counts.entry(node).or_default()[at] += 1);
        }
    }
    let columns = [Column::text("NODE"), Column::number("SHARDS"), Column::number("COMING"), Column::number("LEAVING")];
    let mut table = Table::new(&columns);
    for (node, counts) in counts {
        table.row(std::iter::once(Cell::from(node)).chain(counts.map(|count| count.to_string().into())).collect());
    }
    let count = placement.items.len();
    Ok(Shown::new(value, vec![Part::Table(table), summary(&placement, count)]))
}

fn summary(placement: &Placement, shown: usize) -> Part {
    let Placement { version, paused, intent, last_plan, .. } = placement;
    let paused = if *paused { "; paused: nothing new moves" } else { "" };
    let plan = last_plan.as_ref().map(|plan| format!("\nLast plan: {}", plan.trim_end())).unwrap_or_default();
    Part::Text(
        format!("{}; placement {version}, revision {intent}{paused}{plan}", counted(shown, "shard", "shards")).into(),
    )
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Where {
    topic: String,
    policy: Option<String>,
    shard: String,
    home: Option<String>,
    replicas: Option<Replicas>,
    subscribers: Vec<String>,
}

/// Where a topic lives.
///
/// # Errors
/// The answer is something else.
pub fn location(value: Value) -> Result<Shown, Failure> {
    let Where { topic, policy, shard, home, replicas, subscribers } = read(&value)?;
    let replicas = replicas.unwrap_or_default();
    let others = replicas.voters.iter().chain(&replicas.learners).filter(|node| home.as_ref() != Some(*node));
    let fields = vec![
        ("topic", Cell::from(topic)),
        ("policy", Cell::of(policy)),
        ("shard", Cell::from(shard)),
        ("home", home.as_ref().map_or_else(|| Cell::bad("none: no node may take it"), Cell::from)),
        ("replicas", Cell::list(others)),
        ("subscribers on", Cell::list(subscribers)),
    ];
    Ok(Shown::new(value, vec![Part::Fields(fields)]))
}
