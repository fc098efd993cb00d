//! Plans, what was changed, what a loss would do.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Items, counted,
    policy::{Policy, Replicas},
    read,
};
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

/// What a change would do.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Preview {
    /// The name to apply it by; those that were only asked about have none.
    pub id: Option<String>,
    parent: Option<Parent>,
    applicable: Option<bool>,
    policies: Vec<Change>,
    moves: usize,
    copies: usize,
    steps: usize,
    settled: bool,
    changes: Changes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parent {
    intent: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Change {
    put: Option<Policy>,
    delete: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Changes {
    shards: Vec<ShardChange>,
    nodes: Vec<NodeChange>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ShardChange {
    shard: String,
    before: Option<Replicas>,
    after: Option<Replicas>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeChange {
    node: String,
    before: u64,
    after: u64,
}

impl Preview {
    /// Whether anything would be different.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !self.policies.is_empty() || self.moves > 0
    }

    fn headline(&self) -> Vec<Part> {
        let mut lines = Vec::new();
        if let Some(id) = &self.id {
            let revision = self.parent.as_ref().map_or(0, |parent| parent.intent);
            lines.push(Part::Text(format!("Plan {id} against revision {revision}; nothing has changed yet").into()));
        }
        for change in &self.policies {
            lines.extend(change.put.as_ref().map(|put| Part::Text(Cell::good(format!("  + {}", put.words())))));
            lines.extend(change.delete.as_ref().map(|name| Part::Text(Cell::bad(format!("  - {name}")))));
        }
        let steps = if self.settled {
            format!("in {}", counted(self.steps, "step", "steps"))
        } else {
            "without coming to an end".into()
        };
        lines.push(Part::Text(match self.moves {
            0 => "  No shard moves".into(),
            moves => {
                let (moves, copies) =
                    (counted(moves, "shard changes", "shards change"), counted(self.copies, "copy", "copies"));
                format!("  {moves}, {copies}, {steps}").into()
            }
        }));
        lines
    }

    fn tables(&self) -> Vec<Part> {
        let mut nodes = Table::new(&[Column::text("NODE"), Column::number("SHARDS"), Column::number("THEN")]);
        for change in &self.changes.nodes {
            nodes.row(vec![
                Cell::from(&change.node),
                change.before.to_string().into(),
                change.after.to_string().into(),
            ]);
        }
        let mut shards = Table::new(&[
            Column::text("SHARD"),
            Column::text("VOTERS"),
            Column::text("THEN"),
            Column::text("COPYING THEN").wide(),
        ]);
        let voters = |of: &Option<Replicas>| Cell::list(of.iter().flat_map(|of| &of.voters));
        for change in self.changes.shards.iter().take(SHARDS_SHOWN) {
            let learners = Cell::list(change.after.iter().flat_map(|of| &of.learners));
            shards.row(vec![Cell::from(&change.shard), voters(&change.before), voters(&change.after), learners]);
        }
        let more = self.changes.shards.len().saturating_sub(SHARDS_SHOWN);
        let more = (more > 0).then(|| Part::Text(format!("and {more} more: -o json shows all").into()));
        [nodes, shards].into_iter().filter(|table| !table.is_empty()).map(Part::Table).chain(more).collect()
    }
}

/// A plan, or what a change would do.
///
/// # Errors
/// The answer is something else.
pub fn preview(value: Value) -> Result<Shown, Failure> {
    let preview: Preview = read(&value)?;
    let mut parts = preview.headline();
    parts.extend(preview.tables());
    if let Some(id) = &preview.id {
        parts.push(Part::Text(match preview.applicable {
            Some(false) => Cell::warning("Out of date: something has changed since. Make a new plan."),
            Some(true) | None => format!("Apply with: sluicectl placement apply {id}").into(),
        }));
    }
    Ok(Shown::new(value, parts))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Revision {
    revision: u64,
    by: String,
    at: String,
    what: String,
    policies: Vec<String>,
}

/// What was changed, the latest first.
///
/// # Errors
/// The answer is something else.
pub fn history(value: Value) -> Result<Shown, Failure> {
    let revisions: Items<Revision> = read(&value)?;
    let mut table = Table::new(&[
        Column::number("REVISION"),
        Column::text("AT"),
        Column::text("BY"),
        Column::text("WHAT"),
        Column::text("POLICIES").wide(),
    ]);
    for of in revisions.items {
        table.row(vec![
            of.revision.to_string().into(),
            of.at.into(),
            of.by.into(),
            of.what.into(),
            Cell::list(of.policies),
        ]);
    }
    if table.is_empty() {
        return Ok(Shown::line(value, "Nothing has been changed yet."));
    }
    Ok(Shown::table(value, table))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Simulation {
    nodes: Vec<String>,
    unaffected: u64,
    fail_over: Vec<String>,
    stop: Vec<String>,
    wait: Vec<String>,
    repaired: Vec<String>,
    short: Vec<String>,
    repair_after_ms: u64,
}

/// What a loss would do.
///
/// # Errors
/// The answer is something else.
pub fn simulation(value: Value) -> Result<Shown, Failure> {
    let of: Simulation = read(&value)?;
    let columns = [Column::text("WHAT HAPPENS"), Column::number("SHARDS"), Column::text("WHICH")];
    let mut table = Table::new(&columns);
    let repair = format!("have all replicas again, {} later", super::duration(of.repair_after_ms));
    table.row(vec!["notice nothing".into(), of.unaffected.to_string().into(), Cell::nothing()]);
    for (what, shards, is_bad) in [
        ("go on with another leader", &of.fail_over, false),
        ("stop until enough nodes return", &of.stop, true),
        ("wait with a copy under way", &of.wait, false),
        (repair.as_str(), &of.repaired, false),
        ("stay without a replica", &of.short, true),
    ] {
        let shown = shards.iter().take(KEYS_SHOWN).cloned().collect::<Vec<_>>().join(",");
        let more = if shards.len() > KEYS_SHOWN { ",…" } else { "" };
        let what = if is_bad && !shards.is_empty() { Cell::bad(what) } else { what.into() };
        let which = if shards.is_empty() { Cell::nothing() } else { format!("{shown}{more}").into() };
        table.row(vec![what, shards.len().to_string().into(), which]);
    }
    let lost = if of.nodes.is_empty() {
        "No node that is there would be lost.".to_owned()
    } else {
        format!("Lost: {}. Nothing has been changed.", of.nodes.join(", "))
    };
    Ok(Shown::new(value, vec![Part::Text(lost.into()), Part::Table(table)]))
}

const SHARDS_SHOWN: usize = 20;
const KEYS_SHOWN: usize = 6;
