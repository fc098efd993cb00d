//! The cluster as a whole: overview, alarms, the store.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Items, bytes,
    node::{Load, Node},
    read,
};
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

/// The cluster on one page.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Overview {
    /// The replica that answers, and who leads.
    pub control: Control,
    regions: Vec<Region>,
    /// Shards.
    pub placement: Placement,
    routes: Vec<Routes>,
    /// The metadata store.
    pub store: Store,
    /// What somebody should do something about.
    pub alarms: Vec<Alarm>,
    /// Nodes that are not heard of, so that figures are without them.
    pub nodes_missing: Vec<String>,
    as_of: String,
}

/// A replica of control.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Control {
    /// Its name.
    pub replica: String,
    /// What it does: `leading`, `elected` or `following`.
    pub office: String,
    /// Who leads.
    pub leader: Option<String>,
    /// The epoch of the leadership.
    pub epoch: Option<u64>,
    /// Nodes that a new leader waits for.
    pub waits_for: Vec<String>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
struct Region {
    region: String,
    nodes: u64,
    connected: u64,
    clients: u64,
    load: Option<Load>,
}

/// Shards in figures.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Placement {
    version: String,
    shards: u64,
    /// Those on their way.
    pub moving: u64,
    /// Whether nothing new moves.
    pub paused: bool,
    intent: u64,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
struct Routes {
    filters: u64,
    bytes: u64,
}

/// The metadata store.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Store {
    /// `healthy`, `degraded`, `unreachable` or `unknown`.
    pub status: String,
    /// Why it cannot be reached.
    pub reason: Option<String>,
    /// `etcd` or `embedded`.
    pub kind: Option<String>,
    revision: Option<u64>,
    size_bytes: Option<u64>,
    used_bytes: Option<u64>,
    quota_bytes: Option<u64>,
    /// How much of the quota is used.
    pub used_percent: Option<f64>,
    /// What its members complain of.
    pub alarms: Vec<Value>,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of etcd.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Member {
    /// Its name.
    pub name: Option<String>,
    /// Where it is asked.
    pub endpoint: Option<String>,
    version: Option<String>,
    leader: Option<bool>,
    size_bytes: Option<u64>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// Something that somebody should do something about.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub struct Alarm {
    /// Its name.
    pub code: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
}

impl Alarm {
    /// Whether somebody has to do something.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.severity != "warning"
    }

    fn cell(&self, text: &str) -> Cell {
        if self.is_critical() { Cell::bad(text) } else { Cell::warning(text) }
    }
}

impl Store {
    /// What it is and how much of it is used, in a few words.
    #[must_use]
    pub fn words(&self) -> Cell {
        let size = self.size_bytes.map(|size| format!(" {}", bytes(size))).unwrap_or_default();
        let used = self.used_percent.map(|used| format!(", {used:.0} % of its quota")).unwrap_or_default();
        let text = format!("{} {}{size}{used}", self.kind.as_deref().unwrap_or("store"), self.status);
        if self.status == "healthy" { Cell::good(text) } else { Cell::bad(text) }
    }
}

impl Control {
    fn words(&self) -> Cell {
        let epoch = self.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
        match &self.leader {
            None => Cell::bad(format!("nobody leads; {} answers", self.replica)),
            Some(leader) if *leader == self.replica => Cell::good(format!("{leader} leads{epoch}")),
            Some(leader) => Cell::good(format!("{leader} leads{epoch}; {} answers", self.replica)),
        }
    }
}

/// The cluster on one screen. What nodes hold comes from the list of nodes.
///
/// # Errors
/// An answer is something else.
pub fn status(value: Value, nodes: Option<&Value>) -> Result<Shown, Failure> {
    let overview: Overview = read(&value)?;
    let Overview { control, placement, store, routes, .. } = &overview;
    let nodes = nodes.map(read::<Items<Node>>).transpose()?;
    let shards = format!(
        "{} shards, {}{}; placement {}, revision {}",
        placement.shards,
        if placement.moving == 0 { "none moving".into() } else { format!("{} moving", placement.moving) },
        if placement.paused { ", paused" } else { "" },
        placement.version,
        placement.intent
    );
    let (filters, size) = routes.iter().fold((0, 0), |sum, of| (sum.0 + of.filters, sum.1 + of.bytes));
    let mut fields = vec![
        ("CONTROL", control.words()),
        ("STORE", store.words()),
        ("SHARDS", if placement.paused { Cell::warning(shards) } else { shards.into() }),
        ("ROUTES", format!("{filters} filters, {}", bytes(size)).into()),
    ];
    fields.extend(nodes.map(|nodes| ("CONFIG", in_sync(&nodes.items))));
    let mut parts = vec![Part::Fields(fields), Part::Text("".into()), regions(&overview)];
    if !overview.nodes_missing.is_empty() {
        let missing = overview.nodes_missing.join(", ");
        parts.push(Part::Text(Cell::warning(format!("Without {missing}, not heard of."))));
    }
    parts.push(Part::Text("".into()));
    parts.push(told(&overview.alarms));
    parts.push(Part::Text(format!("As of {}", overview.as_of).into()));
    Ok(Shown::new(value, parts))
}

fn regions(overview: &Overview) -> Part {
    if overview.regions.is_empty() {
        return Part::Text("No nodes yet. A node joins with a token: sluicectl nodes token create".into());
    }
    let columns = [Column::text("REGION"), Column::text("NODES"), Column::number("CLIENTS")];
    let mut table = Table::new(&[columns, Load::COLUMNS].concat());
    for of in &overview.regions {
        let there = format!("{}/{}", of.connected, of.nodes);
        let there = if of.connected == of.nodes { Cell::good(there) } else { Cell::warning(there) };
        let region = if of.region.is_empty() { "-" } else { &of.region };
        let first = [region.into(), there, of.clients.to_string().into()];
        table.row(first.into_iter().chain(Load::cells(of.load)).collect());
    }
    Part::Table(table)
}

fn in_sync(nodes: &[Node]) -> Cell {
    let connected: Vec<&Node> = nodes.iter().filter(|node| node.sync.is_some()).collect();
    let is_synced = |node: &&&Node| node.sync.iter().flatten().all(|sync| sync.is_synced());
    let synced = connected.iter().filter(is_synced).count();
    match connected.len() {
        0 => Cell::from("no node is connected to this replica"),
        all if synced == all => Cell::good(format!("all of {all} connected nodes in sync")),
        all => Cell::warning(format!("{synced} of {all} connected nodes in sync: sluicectl nodes sync")),
    }
}

fn told(alarms: &[Alarm]) -> Part {
    if alarms.is_empty() {
        return Part::Text(Cell::good("No alarms."));
    }
    let mut table = Table::new(&[Column::text("SEVERITY"), Column::text("ALARM"), Column::text("WHAT")]);
    for alarm in alarms {
        table.row(vec![
            alarm.cell(&alarm.severity),
            Cell::from(&alarm.code),
            Cell::from(alarm.message.replace('\n', " ")),
        ]);
    }
    Part::Table(table)
}

/// What somebody should do something about.
///
/// # Errors
/// The answer is something else.
pub fn alarms(value: Value) -> Result<Shown, Failure> {
    let alarms: Items<Alarm> = read(&value)?;
    Ok(Shown::new(value, vec![told(&alarms.items)]))
}

/// The metadata store.
///
/// # Errors
/// The answer is something else.
pub fn store(value: Value) -> Result<Shown, Failure> {
    let store: Store = read(&value)?;
    let alarms = store.alarms.iter().map(|alarm| alarm.as_str().map_or_else(|| alarm.to_string(), str::to_owned));
    let fields = vec![
        ("store", store.words()),
        ("reason", Cell::of(store.reason.as_ref())),
        ("revision", Cell::of(store.revision)),
        ("size", Cell::of(store.size_bytes.map(bytes))),
        ("used", Cell::of(store.used_bytes.map(bytes))),
        ("quota", Cell::of(store.quota_bytes.map(bytes))),
        ("alarms", Cell::list(alarms)),
    ];
    let mut table = Table::new(&[
        Column::text("MEMBER"),
        Column::text("ENDPOINT"),
        Column::text("LEADS"),
        Column::number("SIZE"),
        Column::text("VERSION"),
        Column::text("ERROR"),
    ]);
    for member in &store.members {
        table.row(vec![
            Cell::of(member.name.as_ref()),
            Cell::of(member.endpoint.as_ref()),
            if member.leader == Some(true) { Cell::good("yes") } else { Cell::from("no") },
            Cell::of(member.size_bytes.map(bytes)),
            Cell::of(member.version.as_ref()),
            member.error.as_ref().map_or_else(Cell::nothing, Cell::bad),
        ]);
    }
    let members = [Part::Text("".into()), Part::Table(table)];
    let has_members = !store.members.is_empty();
    let parts = std::iter::once(Part::Fields(fields)).chain(members.into_iter().filter(|_| has_members));
    Ok(Shown::new(value, parts.collect()))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Brief {
    status: String,
    cluster: BriefCluster,
    connections: Option<u64>,
    nodes_missing: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BriefCluster {
    nodes: u64,
    config_revision: Option<u64>,
    view: String,
}

/// The cluster in one line.
///
/// # Errors
/// The answer is something else.
pub fn brief(value: Value) -> Result<Shown, Failure> {
    let Brief { status, cluster, connections, nodes_missing } = read(&value)?;
    let connections = connections.map(|count| format!(", {count} clients")).unwrap_or_default();
    let revision = cluster.config_revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
    let missing = match nodes_missing.len() {
        0 => String::new(),
        missing => format!(", {missing} of them not heard of"),
    };
    let view = if cluster.view == "stored" { " (from a replica that does not lead)" } else { "" };
    let line = format!("{status}: {} nodes{missing}{connections}{revision}{view}", cluster.nodes);
    Ok(Shown::line(value, if status == "healthy" { Cell::good(line) } else { Cell::bad(line) }))
}
