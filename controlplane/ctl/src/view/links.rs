//! Who hears whom, and how far away.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Items, bytes, duration, node::Node, read, short_ids};
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

/// What one node says of another.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(default)]
pub struct Link {
    /// Who says it.
    pub from: String,
    /// Of whom.
    pub to: String,
    round_trip_us: Option<u64>,
    /// For how long it has not been heard; `None`: never.
    pub silent_ms: Option<u64>,
    connected: Option<bool>,
    queue_bytes: Option<u64>,
    sent_bytes_per_s: Option<u64>,
    lost_per_million: Option<u64>,
}

impl Link {
    /// Whether the other end has not been heard for long, or never.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.connected == Some(false) || self.silent_ms.is_none_or(|ms| ms > SILENT_MS)
    }

    fn round_trip_ms(&self) -> Option<String> {
        self.round_trip_us.map(|us| format!("{:.1}", us as f64 / 1000.0))
    }

    /// The round trip in milliseconds, or that there is none.
    fn cell(&self) -> Cell {
        match self.round_trip_ms() {
            _ if self.is_silent() => Cell::bad("silent"),
            Some(ms) => Cell::from(ms),
            None => Cell::from("?"),
        }
    }
}

/// All links, one a line.
///
/// # Errors
/// The answer is something else.
pub fn list(value: Value) -> Result<Shown, Failure> {
    let links: Items<Link> = read(&value)?;
    let mut table = Table::new(&[
        Column::text("FROM"),
        Column::text("TO"),
        Column::number("RTT MS"),
        Column::text("HEARD"),
        Column::number("SENT/S"),
        Column::number("LOST %"),
        Column::number("QUEUE"),
    ]);
    for link in &links.items {
        let heard = link.silent_ms.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", duration(ms)));
        let heard = if link.is_silent() { Cell::bad(heard) } else { Cell::good(heard) };
        let lost = link.lost_per_million.map(|lost| format!("{:.2}", lost as f64 / 10_000.0));
        table.row(vec![
            Cell::from(&link.from),
            Cell::from(&link.to),
            Cell::of(link.round_trip_ms()),
            heard,
            Cell::of(link.sent_bytes_per_s.map(bytes)),
            Cell::of(lost),
            Cell::of(link.queue_bytes.map(bytes)),
        ]);
    }
    if table.is_empty() {
        return Ok(Shown::line(value, "No links: no node has reported another one yet."));
    }
    Ok(Shown::table(value, table))
}

/// Round trips in milliseconds of every node (row) to every other (column), by region.
///
/// # Errors
/// An answer is something else.
pub fn matrix(value: Value, nodes: &Value) -> Result<Shown, Failure> {
    let links: Items<Link> = read(&value)?;
    let nodes: Items<Node> = read(nodes)?;
    let regions: BTreeMap<&str, &str> =
        nodes.items.iter().map(|node| (node.id.as_str(), node.region.as_deref().unwrap_or("-"))).collect();
    let region = |id: &str| regions.get(id).copied().unwrap_or("-");
    let ends = links.items.iter().flat_map(|link| [link.from.as_str(), link.to.as_str()]);
    let there = nodes.items.iter().filter(|node| !node.is_gone()).map(|node| node.id.as_str());
    let ids: BTreeSet<(&str, &str)> = ends.chain(there).map(|id| (region(id), id)).collect();
    let length = short_ids(ids.iter().map(|(_, id)| *id));
    let names: BTreeMap<&str, &str> =
        nodes.items.iter().filter_map(|node| Some((node.id.as_str(), node.name.as_deref()?))).collect();
    let name = |(region, id): &(&str, &str)| match names.get(id) {
        Some(name) => format!("{region}/{name}"),
        None => format!("{region}/{}", id.get(..length).unwrap_or(id)),
    };
    let known: BTreeMap<(&str, &str), &Link> =
        links.items.iter().map(|link| ((link.from.as_str(), link.to.as_str()), link)).collect();
    let mut table = Table::matrix("RTT MS", ids.iter().map(name));
    for from in &ids {
        let cells = ids.iter().map(|to| match known.get(&(from.1, to.1)) {
            Some(link) => link.cell(),
            None if from == to => Cell::from("."),
            None => Cell::nothing(),
        });
        table.row(std::iter::once(Cell::from(name(from))).chain(cells).collect());
    }
    if table.is_empty() {
        return Ok(Shown::line(value, "No nodes yet."));
    }
    Ok(Shown::new(value, vec![Part::Table(table)]))
}

/// Peers say something every second or so.
const SILENT_MS: u64 = 10_000;
