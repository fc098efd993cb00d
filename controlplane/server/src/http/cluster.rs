//! The cluster as a whole: health, overview, alarms, links, the store, figures.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sluice_cluster::{NodeId, NodePhase};
use sluice_controlplane_core::{
    intent,
    reconciler::{Office, Severity},
};

use super::{Call, Problem, Reply, load::Sum, route::Request};
use crate::{
    control::{Desk, wall_ms},
    metrics,
};

impl Call<'_> {
    pub(super) async fn ready(&self) -> Result<Reply, Problem> {
        let (is_read, alarms) =
            self.api.handle.ask(|desk| (desk.reconciler().view().is_some(), critical(desk))).await?;
        if !is_read {
            let value = json!({"status": "not_ready", "details": "the store has not been read yet"});
            return Ok(Reply::json(503, &value));
        }
        let mode = if alarms.is_empty() { "nominal" } else { "degraded" };
        Ok(Reply::json(200, &json!({"status": "ready", "mode": mode, "alarms": alarms})))
    }

    pub(super) async fn cluster_status(&self) -> Result<Reply, Problem> {
        let name = self.api.name.clone();
        let value = self.api.handle.ask(move |desk| {
            let reconciler = desk.reconciler();
            let nodes = reconciler.view().map_or(0, |view| view.nodes().filter(|(_, node)| !node.is_gone()).count());
            let store = desk.store_status().and_then(|status| status.as_ref().ok());
            let bytes = store.map(|status| status.size_bytes);
            let load = desk.is_leading().then(|| Sum::of(desk.loads()));
            json!({
                "status": if critical(desk).is_empty() { "healthy" } else { "degraded" },
                "cluster": {
                    "node_id": name,
                    "leader": desk.is_leading(),
                    "nodes": nodes,
                    "etcd_storage": bytes.map(readable),
                    "etcd_storage_bytes": bytes,
                    "config_revision": reconciler.view().map(|view| view.intent().number),
                    "view": if desk.is_leading() { "live" } else { "stored" },
                    "as_of": time(wall_ms()),
                },
                "connections": load.map(|load| load.clients),
                "sessions": load.map(|load| load.sessions),
                "subscriptions": load.map(|load| load.subscriptions),
                "retained_messages": load.map(|load| load.retained_messages),
                "nodes_missing": desk.missing(),
            })
        });
        Ok(Reply::json(200, &value.await?))
    }

    pub(super) async fn overview(&self) -> Result<Reply, Problem> {
        let name = self.api.name.clone();
        let value = self.api.handle.ask(move |desk| {
            let reconciler = desk.reconciler();
            let view = reconciler.view()?;
            let placement = view.placement().ok()?;
            Some(json!({
                "control": control(desk, &name),
                "load": desk.is_leading().then(|| Sum::of(desk.loads()).value()),
                "regions": regions(desk),
                "sync": desk.is_leading().then(|| {
                    let (connected, stale) = desk.streams();
                    json!({"nodes": connected, "pending": stale})
                }),
                "placement": {
                    "version": placement.version().to_string(),
                    "shards": placement.shards().len(),
                    "moving": placement.shards().values().filter(|of| of.is_moving()).count(),
                    "paused": view.intent().is_paused,
                    "intent": view.intent().number,
                },
                "routes": reconciler.routes().map(|table| json!({
                    "filters": table.len(),
                    "bytes": table.memory_bytes(),
                    "version": table.version().to_string(),
                })).collect::<Vec<_>>(),
                "store": store(desk),
                "alarms": alarms(desk),
                "nodes_missing": desk.missing(),
                "as_of": time(wall_ms()),
            }))
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    pub(super) async fn alarms(&self) -> Result<Reply, Problem> {
        let items = self.api.handle.ask(alarms).await?;
        Ok(Reply::json(200, &json!({"items": items, "next_cursor": null, "as_of": time(wall_ms())})))
    }

    pub(super) async fn store(&self) -> Result<Reply, Problem> {
        Ok(Reply::json(200, &self.api.handle.ask(store).await?))
    }

    pub(super) async fn accept_store(&self) -> Result<Reply, Problem> {
        let above = self.api.handle.ask(|desk| desk.reconciler().witness().epoch_above()).await?;
        self.change(move |view| intent::accept_store(view, above).map(Some)).await?;
        Ok(Reply::json(202, &json!({"epoch": above.0})))
    }

    pub(super) async fn links(&self) -> Result<Reply, Problem> {
        let value = self.api.handle.ask(|desk| desk.is_leading().then(|| links(desk))).await?;
        Ok(Reply::json(200, &value.ok_or_else(Problem::not_leading)?))
    }

    pub(super) async fn metrics(&self) -> Result<Reply, Problem> {
        let text = self.api.handle.ask(metrics::text).await?;
        Ok(Reply::text(sluice_service::metrics::Scrape::CONTENT_TYPE, text))
    }
}

fn control(desk: &Desk, name: &str) -> Value {
    let reconciler = desk.reconciler();
    let leadership = reconciler.view().and_then(|view| view.leadership());
    json!({
        "replica": name,
        "office": match reconciler.office() {
            Office::Following => "following",
            Office::Elected => "elected",
            Office::Leading { .. } => "leading",
        },
        "leader": leadership.map(|leadership| leadership.leader.name.to_string()),
        "epoch": leadership.map(|leadership| leadership.epoch.0),
        "waits_for": reconciler.warming().map(|id| id.to_string()).collect::<Vec<_>>(),
    })
}

fn regions(desk: &Desk) -> Value {
    let Some(view) = desk.reconciler().view() else { return json!([]) };
    let mut regions: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for (id, node) in view.nodes().filter(|(_, node)| node.phase != NodePhase::Gone) {
        let region = node.effective_labels().region().map(ToString::to_string).unwrap_or_default();
        regions.entry(region).or_default().push(id);
    }
    let row = |(region, nodes): (&String, &Vec<NodeId>)| {
        let load = Sum::of(nodes.iter().filter_map(|id| desk.load(*id)));
        json!({
            "region": region,
            "nodes": nodes.len(),
            "connected": nodes.iter().filter(|id| desk.is_connected(**id)).count(),
            "clients": load.clients,
            "load": load.value(),
        })
    };
    json!(regions.iter().map(row).collect::<Vec<_>>())
}

fn store(desk: &Desk) -> Value {
    match desk.store_status() {
        None => json!({"status": "unknown"}),
        Some(Err(error)) => json!({"status": "unreachable", "reason": error.to_string()}),
        Some(Ok(status)) => json!({
            "status": if status.alarms.is_empty() && status.has_quorum() { "healthy" } else { "degraded" },
            "kind": status.kind,
            "revision": status.revision.0,
            "size_bytes": status.size_bytes,
            "used_bytes": status.used_bytes,
            "quota_bytes": status.quota_bytes,
            "used_percent": status.used_percent(),
            "alarms": status.alarms,
            "members": status.members.iter().map(|member| json!({
                "name": member.name,
                "endpoint": member.endpoint,
                "version": member.version,
                "leader": member.is_leader,
                "size_bytes": member.size_bytes,
                "error": member.error,
            })).collect::<Vec<_>>(),
        }),
    }
}

fn alarms(desk: &Desk) -> Value {
    let alarm = |alarm: sluice_controlplane_core::reconciler::Alarm| {
        json!({
            "code": alarm.code(),
            "severity": match alarm.severity() {
                Severity::Warning => "warning",
                Severity::Critical => "critical",
            },
            "message": alarm.to_string(),
        })
    };
    let pushes = desk.push_failures().into_iter().map(|reason| {
        json!({"code": "push.failed", "severity": "critical", "message": format!("a table cannot be pushed: {reason}")})
    });
    json!(desk.reconciler().alarms().into_iter().map(alarm).chain(pushes).collect::<Vec<_>>())
}

fn critical(desk: &Desk) -> Vec<String> {
    let alarms = desk.reconciler().alarms().into_iter();
    alarms.filter(|alarm| alarm.severity() == Severity::Critical).map(|alarm| alarm.code().to_owned()).collect()
}

fn links(desk: &Desk) -> Value {
    let fleet = desk.reconciler().fleet();
    let mut rows = Vec::new();
    for (from, state) in fleet.iter() {
        for (to, peer) in &state.peers {
            rows.push(json!({
                "from": from.to_string(),
                "to": to.to_string(),
                "round_trip_us": peer.round_trip.map(|time| time.as_micros()),
                "silent_ms": peer.heard_at.map(|at| desk.now().saturating_sub(at).as_millis()),
                "connected": state.is_connected && peer.round_trip.is_some(),
                "queue_bytes": peer.flow.queue_bytes,
                "sent_bytes_per_s": peer.flow.sent_bytes_per_s,
                "lost_per_million": peer.flow.lost_per_million,
            }));
        }
    }
    json!({"items": rows, "next_cursor": null, "as_of": time(wall_ms()), "nodes_missing": desk.missing()})
}

/// Which entries of a list are asked for.
pub(super) struct Page {
    cursor: Option<String>,
    limit: usize,
}

impl Page {
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        let limit = match request.query.get("limit").map(|text| text.parse::<usize>()) {
            None => LIMIT_DEFAULT,
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
            Some(_) => return Err(Problem::invalid(format!("limit is 1 to {LIMIT_MAX}"))),
        };
        Ok(Self { cursor: request.query.get("cursor").cloned(), limit })
    }

    /// The entries behind the cursor, by key. There is no cursor on the last page.
    pub(super) fn cut(&self, rows: BTreeMap<String, Value>) -> Value {
        let behind = rows.into_iter().filter(|(key, _)| self.cursor.as_ref().is_none_or(|cursor| key > cursor));
        let mut rows: Vec<(String, Value)> = behind.take(self.limit + 1).collect();
        let is_last = rows.len() <= self.limit;
        rows.truncate(self.limit);
        let next_cursor = rows.last().filter(|_| !is_last).map(|(key, _)| key.clone());
        let items: Vec<Value> = rows.into_iter().map(|(_, value)| value).collect();
        json!({"items": items, "next_cursor": next_cursor, "as_of": time(wall_ms())})
    }
}

/// A time for people.
pub(super) fn time(ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms.min(YEAR_9999_MS))).to_string()
}

fn readable(bytes: u64) -> String {
    let (unit, name) = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1, "B"));
    format!("{:.1}{name}", bytes as f64 / unit as f64)
}

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// The last time that the format can show.
const YEAR_9999_MS: u64 = 253_402_300_799_000;
