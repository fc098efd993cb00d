//! Where topics would rather live.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::read;
use crate::{
    failure::Failure,
    output::{Cell, Column, Part, Shown, Table},
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Suggestions {
    items: Vec<Suggestion>,
    traffic: Vec<Busy>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Suggestion {
    prefix: String,
    region: String,
    deliveries: u64,
    local_percent: u64,
    local_percent_then: u64,
    summary: String,
    policy: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Busy {
    prefix: String,
    deliveries: u64,
    by_region: BTreeMap<String, u64>,
}

/// What would turn remote deliveries into local ones, and the traffic that says so.
///
/// # Errors
/// The answer is something else.
pub fn suggestions(value: Value) -> Result<Shown, Failure> {
    let of: Suggestions = read(&value)?;
    let mut table = Table::new(&[
        Column::text("TOPICS"),
        Column::text("TO REGION"),
        Column::number("DELIVERIES"),
        Column::number("LOCAL NOW"),
        Column::number("LOCAL THEN"),
        Column::text("POLICY"),
        Column::text("WHAT").wide(),
    ]);
    for of in &of.items {
        let policy = of.policy.get("metadata").and_then(|metadata| metadata.get("name")?.as_str());
        table.row(vec![
            Cell::from(&of.prefix),
            Cell::from(&of.region),
            of.deliveries.to_string().into(),
            format!("{} %", of.local_percent).into(),
            format!("{} %", of.local_percent_then).into(),
            Cell::of(policy),
            Cell::from(&of.summary),
        ]);
    }
    let mut parts = vec![match (table.is_empty(), of.traffic.is_empty()) {
        (false, _) => Part::Table(table),
        (true, true) => Part::Text("No node has told of traffic yet.".into()),
        (true, false) => Part::Text("Nothing would make much more of the deliveries local.".into()),
    }];
    if !of.traffic.is_empty() {
        parts.push(Part::Text("".into()));
        parts.push(Part::Table(busiest(&of.traffic)));
    }
    Ok(Shown::new(value, parts))
}

fn busiest(traffic: &[Busy]) -> Table {
    let columns = [Column::text("BUSY TOPICS"), Column::number("DELIVERIES"), Column::text("TO SUBSCRIBERS IN")];
    let mut table = Table::new(&columns);
    for Busy { prefix, deliveries, by_region } in traffic.iter().take(BUSY_SHOWN) {
        let share = |count: u64| (count * 100).checked_div(*deliveries).unwrap_or(0);
        let regions = by_region.iter().map(|(region, count)| format!("{region} {} %", share(*count)));
        table.row(vec![Cell::from(prefix), deliveries.to_string().into(), Cell::list(regions)]);
    }
    table
}

/// The policies that would do what is suggested, as they can be planned and put.
///
/// # Errors
/// The answer is something else.
pub fn policies(value: Value) -> Result<Shown, Failure> {
    let of: Suggestions = read(&value)?;
    let policies: Vec<Value> = of.items.into_iter().map(|of| of.policy).filter(|policy| !policy.is_null()).collect();
    let value = json!({"items": policies});
    let text = crate::output::yaml(&value)?;
    Ok(Shown::line(value, text.trim_end()))
}

const BUSY_SHOWN: usize = 12;
