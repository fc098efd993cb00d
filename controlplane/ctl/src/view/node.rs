//! Nodes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Items, bytes, duration, read, some};
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

/// A node as control shows it.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Node {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Such as `active`.
    pub phase: String,
    phase_since: String,
    /// What holds: the node's own and, before them, the operators'.
    pub labels: BTreeMap<String, String>,
    /// Those that operators gave it.
    pub operator_labels: BTreeMap<String, String>,
    /// What it is called, if it has a label that says so.
    pub name: Option<String>,
    load: Option<Load>,
    /// Where it stands.
    pub region: Option<String>,
    zone: Option<String>,
    weight: u64,
    build: String,
    workers: u64,
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    peer_addresses: Vec<String>,
    client_addresses: Vec<String>,
    /// Replicas of shards that it has.
    pub shards: u64,
    connected_for_ms: Option<u64>,
    /// Whether its stream is open; known to the leader alone.
    pub connected: Option<bool>,
    live: Option<bool>,
    /// Clients that are connected, as it last said; known to the leader alone.
    pub connections: Option<u64>,
    remote: Option<String>,
    /// What it holds of each type; known to the replica that it is connected to.
    pub sync: Option<Vec<Sync>>,
}

/// What passes through nodes in a second; `None` until that is known.
#[derive(Clone, Copy, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Load {
    messages_in_per_s: Option<f64>,
    messages_out_per_s: Option<f64>,
    drops_per_s: Option<f64>,
}

impl Load {
    /// The titles of [`Load::cells`].
    pub const COLUMNS: [Column; 3] = [Column::number("IN/S"), Column::number("OUT/S"), Column::number("DROPS/S")];

    /// Messages in, out and dropped.
    #[must_use]
    pub fn cells(of: Option<Self>) -> [Cell; 3] {
        let of = of.unwrap_or_default();
        let rate = |rate: Option<f64>| Cell::of(rate.map(|rate| format!("{rate:.0}")));
        let drops = match of.drops_per_s {
            Some(drops) if drops > 0.0 => Cell::warning(format!("{drops:.1}")),
            drops => rate(drops),
        };
        [rate(of.messages_in_per_s), rate(of.messages_out_per_s), drops]
    }
}

/// What a node holds of a type.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Sync {
    /// Which type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Such as `SYNCED`.
    pub state: String,
    held: String,
    published: Option<String>,
    lag: Option<u64>,
    refused: Option<String>,
    /// How often it was found to hold something else under the same version, and was sent all of it again.
    diverged: u64,
}

impl Sync {
    /// Whether it is as it should be.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.state == "SYNCED"
    }

    /// Whether it will not become so by waiting.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.state == "REJECTED"
    }

    /// The state in a word or a few.
    #[must_use]
    pub fn words(&self) -> String {
        let lag = self
            .lag
            .filter(|lag| *lag > 0 && !self.is_synced())
            .map(|lag| format!(" ({lag} behind)"))
            .unwrap_or_default();
        let refused = self.refused.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{}{lag}{refused}", self.state)
    }

    fn cell(&self) -> Cell {
        match (self.is_synced(), self.is_wrong()) {
            (true, _) => Cell::good(self.words()),
            (_, true) => Cell::bad(self.words()),
            (false, false) => Cell::warning(self.words()),
        }
    }
}

impl Node {
    /// Whether it has been removed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.phase == "gone"
    }

    fn phase(&self) -> Cell {
        match self.phase.as_str() {
            "active" => Cell::good(&self.phase),
            "gone" => Cell::from(&self.phase),
            _ => Cell::warning(&self.phase),
        }
    }

    fn connected(&self) -> Cell {
        match (self.connected, self.connected_for_ms) {
            (_, Some(ms)) => Cell::good(duration(ms)),
            (Some(true), None) => Cell::good("yes"),
            (Some(false), None) if self.is_gone() => Cell::nothing(),
            (Some(false), None) => Cell::bad("no"),
            (None, None) => Cell::from("?"),
        }
    }

    fn synced(&self) -> Cell {
        let Some(sync) = &self.sync else { return Cell::nothing() };
        let open: Vec<&Sync> = sync.iter().filter(|sync| !sync.is_synced()).collect();
        match open.first() {
            None => Cell::good("SYNCED"),
            Some(_) if open.iter().any(|sync| sync.is_wrong()) => Cell::bad("REJECTED"),
            Some(sync) => Cell::warning(&sync.state),
        }
    }
}

/// All nodes.
///
/// # Errors
/// The answer is something else.
pub fn list(value: Value) -> Result<Shown, Failure> {
    let nodes: Items<Node> = read(&value)?;
    let columns = [
        Column::text("NODE"),
        Column::text("NAME"),
        Column::text("REGION"),
        Column::text("ZONE"),
        Column::text("PHASE"),
        Column::text("CONNECTED"),
        Column::number("CLIENTS"),
    ];
    let further = [
        Column::number("SHARDS"),
        Column::text("SYNC"),
        Column::text("BUILD"),
        Column::number("WEIGHT").wide(),
        Column::number("WORKERS").wide(),
        Column::text("CLIENTS COME TO").wide(),
        Column::text("PEERS COME TO").wide(),
        Column::text("LABELS").wide(),
    ];
    let mut table = Table::new(&[columns.as_slice(), &Load::COLUMNS, &further].concat());
    for node in &nodes.items {
        let first = [
            Cell::from(&node.id),
            Cell::of(node.name.as_ref()),
            Cell::of(node.region.as_ref()),
            Cell::of(node.zone.as_ref()),
            node.phase(),
            node.connected(),
            Cell::of(node.connections),
        ];
        let further = [
            Cell::from(node.shards.to_string()),
            node.synced(),
            Cell::from(&node.build),
            Cell::from(node.weight.to_string()),
            Cell::from(node.workers.to_string()),
            Cell::list(&node.client_addresses),
            Cell::list(&node.peer_addresses),
            Cell::list(labels(&node.labels)),
        ];
        table.row(first.into_iter().chain(Load::cells(node.load)).chain(further).collect());
    }
    let mut parts = vec![Part::Table(table)];
    if nodes.items.is_empty() {
        parts = vec![Part::Text("No nodes yet. A node joins with a token: sluicectl nodes token create".into())];
    }
    Ok(Shown::new(value, parts))
}

/// What each node holds of each type.
///
/// # Errors
/// The answer is something else.
pub fn sync(value: Value) -> Result<Shown, Failure> {
    let nodes: Items<Node> = read(&value)?;
    let mut table = Table::new(&[
        Column::text("NODE"),
        Column::text("NODES"),
        Column::text("PLACEMENT"),
        Column::text("ROUTES"),
        Column::text("POLICY"),
        Column::text("HOLDS").wide(),
        Column::text("PUBLISHED").wide(),
    ]);
    for node in nodes.items.iter().filter(|node| !node.is_gone()) {
        let sync = node.sync.clone().unwrap_or_default();
        let of = |kind: &str| sync.iter().find(|sync| sync.kind == kind).map_or_else(Cell::nothing, Sync::cell);
        let published = sync.iter().map(|sync| sync.published.clone().unwrap_or_else(|| "-".into()));
        table.row(vec![
            Cell::from(&node.id),
            of("nodes"),
            of("placement"),
            of("routes"),
            of("policy"),
            Cell::list(sync.iter().map(|sync| &sync.held)),
            Cell::list(published),
        ]);
    }
    Ok(Shown::table(value, table))
}

/// One node, with all that is known of it.
///
/// # Errors
/// The answer is something else.
pub fn describe(value: Value) -> Result<Shown, Failure> {
    let node: Node = read(&value)?;
    let mut fields = vec![
        ("id", Cell::from(&node.id)),
        ("name", Cell::of(node.name.as_ref())),
        ("phase", node.phase()),
        ("since", Cell::from(&node.phase_since)),
        ("region", Cell::of(node.region.as_ref())),
        ("zone", Cell::of(node.zone.as_ref())),
        ("labels", Cell::of(some(labels(&node.labels).join("\n")))),
        ("of operators", Cell::of(some(labels(&node.operator_labels).join("\n")))),
        ("weight", Cell::from(node.weight.to_string())),
        ("shards", Cell::from(node.shards.to_string())),
        ("connected", node.connected()),
        ("from", Cell::of(node.remote.as_ref())),
        ("live", Cell::of(node.live)),
        ("clients", Cell::of(node.connections)),
        ("build", Cell::from(&node.build)),
        ("workers", Cell::from(node.workers.to_string())),
        ("peers come to", Cell::of(some(node.peer_addresses.join("\n")))),
        ("clients come to", Cell::of(some(node.client_addresses.join("\n")))),
    ];
    fields.extend(node.memory_bytes.map(|size| ("memory", Cell::from(bytes(size)))));
    fields.extend(node.disk_bytes.map(|size| ("disk", Cell::from(bytes(size)))));
    let mut parts = vec![Part::Fields(fields)];
    if let Some(sync) = node.sync.filter(|sync| !sync.is_empty()) {
        let columns = ["TYPE", "STATE", "HOLDS", "PUBLISHED"].map(Column::text);
        let columns = [columns.as_slice(), &[Column::number("DIVERGED")]].concat();
        let mut table = Table::new(&columns);
        for of in sync {
            table.row(vec![
                Cell::from(&of.kind),
                of.cell(),
                Cell::from(&of.held),
                Cell::of(of.published.as_ref()),
                of.diverged.to_string().into(),
            ]);
        }
        parts.push(Part::Text("".into()));
        parts.push(Part::Table(table));
    }
    Ok(Shown::new(value, parts))
}

/// Labels as `key=value`.
#[must_use]
pub fn labels(of: &BTreeMap<String, String>) -> Vec<String> {
    of.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
