//! What would turn remote deliveries into local ones, by what the nodes say of their traffic.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_cluster::{Label, Policies};
use sluice_controlplane_core::{Observed, Suggestion, SuggestionBounds, suggest};
use sluice_topic::TopicFilter;

use super::{Call, Problem, Reply, cluster::time, resource::Placement};
use crate::control::wall_ms;

impl Call<'_> {
    pub(super) async fn suggestions(&self) -> Result<Reply, Problem> {
        let found = self.api.handle.ask(|desk| {
            let input = desk.is_leading().then(|| desk.reconciler().plan_input()).flatten()?;
            let mut observed = Observed::default();
            desk.loads().for_each(|load| observed.add(&load.deliveries));
            let found = suggest(&input, &observed.traffic(), SuggestionBounds::default());
            Some(json!({
                "items": found.iter().map(|of| suggestion(of, &input.policies)).collect::<Vec<_>>(),
                "traffic": observed.busiest().take(TRAFFIC_MAX).map(busy).collect::<Vec<_>>(),
                "next_cursor": null,
                "as_of": time(wall_ms()),
                "nodes_missing": desk.missing(),
            }))
        });
        Ok(Reply::json(200, &found.await?.ok_or_else(Problem::not_leading)?))
    }
}

fn suggestion(of: &Suggestion, policies: &Policies) -> Value {
    json!({
        "prefix": of.prefix.as_str(),
        "region": of.region.as_str(),
        "deliveries": of.deliveries,
        "local_percent": of.local_percent,
        "local_percent_then": of.local_percent_then,
        "gain_percent": of.gain_percent(),
        "summary": of.to_string(),
        "policy": of.policy(policies).map(|spec| Placement::wanted(&spec)),
    })
}

fn busy((prefix, deliveries, regions): (&TopicFilter, u64, &BTreeMap<Label, u64>)) -> Value {
    let by_region: BTreeMap<&str, u64> = regions.iter().map(|(region, count)| (region.as_str(), *count)).collect();
    json!({"prefix": prefix.as_str(), "deliveries": deliveries, "by_region": by_region})
}

/// Busy prefixes that are shown.
const TRAFFIC_MAX: usize = 100;
