//! Nodes: what each is, says and holds; and what operators do with them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sluice_cluster::{Label, Liveness, NodeId, NodePhase, Weight};
use sluice_controlplane_core::{
    intent::{self, Refusal},
    reconciler::Office,
    record::{NodeRecord, RecordKey},
    view::View,
};
use sluice_discovery::ResourceType;

use super::{
    Call, Problem, Reply,
    cluster::{Page, time},
    load::Sum,
    resource::{label_map, parse_labels, parse_node},
};
use crate::{
    Token,
    control::{Desk, wall_ms},
};

/// What may be changed of a node.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    cordoned: Option<bool>,
    labels: Option<BTreeMap<String, String>>,
    weight: Option<u16>,
}

impl Call<'_> {
    pub(super) async fn nodes(&self) -> Result<Reply, Problem> {
        let page = Page::of(self.request)?;
        let value = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let rows = view.nodes().map(|(id, record)| (id.to_string(), node(desk, view, id, record)));
            Some(page.cut(rows.collect()))
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    pub(super) async fn node(&self) -> Result<Reply, Problem> {
        let id = self.node_id()?;
        let found = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let at = view.modified(&RecordKey::Node(id)).0;
            Some((at, node(desk, view, id, view.node(id)?)))
        });
        let (at, value) = found.await?.ok_or_else(|| Problem::unknown(format!("node {id}")))?;
        Ok(Reply::json(200, &value).etag(at))
    }

    pub(super) async fn patch_node(&self) -> Result<Reply, Problem> {
        let (id, at, author) = (self.node_id()?, self.matching()?, self.author());
        let patch: Patch = self.body()?;
        if let Some(is_cordoned) = patch.cordoned {
            let phase = if is_cordoned { NodePhase::Cordoned } else { NodePhase::Active };
            let author = author.clone();
            self.change(move |view| intent::set_phase(view, id, phase, at, &author)).await?;
        }
        if patch.labels.is_some() || patch.weight.is_some() {
            let labels = patch.labels.map(parse_labels).transpose().map_err(Problem::invalid)?;
            let weight =
                patch.weight.map(Weight::new).transpose().map_err(|error| Problem::invalid(error.to_string()))?;
            // The state that was matched is that before the phase was changed.
            let at = if patch.cordoned.is_some() { intent::Match::Any } else { at };
            self.change(move |view| {
                let held = view.node(id).ok_or_else(|| Refusal::Unknown { what: format!("node {id}") })?;
                let labels = labels.clone().unwrap_or_else(|| held.labels.clone());
                intent::relabel(view, id, labels, weight.or(held.weight), at, &author)
            })
            .await?;
        }
        self.node().await
    }

    pub(super) async fn drain_node(&self) -> Result<Reply, Problem> {
        let (id, at, author) = (self.node_id()?, self.matching()?, self.author());
        self.change(move |view| intent::set_phase(view, id, NodePhase::Draining, at, &author)).await?;
        let reply = self.node().await?;
        Ok(Reply { status: 202, ..reply }.location(format!("/api/v1/nodes/{id}")))
    }

    pub(super) async fn remove_node(&self) -> Result<Reply, Problem> {
        let (id, author) = (self.node_id()?, self.author());
        let is_lost = self.request.query.get("lost").is_some_and(|value| value == "true");
        self.change_planned(move |view, input| {
            let input = input.ok_or_else(|| Refusal::Unreadable { reason: "it is not known who has what".into() })?;
            intent::remove(view, &input, id, is_lost, &author).map(Some)
        })
        .await?;
        self.node().await
    }

    pub(super) async fn node_token(&self) -> Result<Reply, Problem> {
        let ttl_s = match self.request.query.get("ttl_s").map(|text| text.parse::<u64>()) {
            None => TTL_S_DEFAULT,
            Some(Ok(ttl_s)) if (1..=TTL_S_MAX).contains(&ttl_s) => ttl_s,
            Some(_) => return Err(Problem::invalid(format!("ttl_s is 1 to {TTL_S_MAX}"))),
        };
        let token = Token::draw(self.api.authority.certificate());
        let token =
            token.ok_or_else(|| Problem::new(500, "random", "no token", "the system gives no random numbers"))?;
        let expires_ms = wall_ms() + ttl_s * 1000;
        let author = self.author();
        self.api.join.keep(token.digest(), author.by.as_str(), expires_ms).await?;
        Ok(Reply::json(201, &json!({"token": token.reveal(), "expires_at": time(expires_ms)})))
    }

    fn node_id(&self) -> Result<NodeId, Problem> {
        parse_node(self.param(0)).map_err(Problem::invalid)
    }

    /// The body as JSON.
    pub(super) fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.request.body).map_err(|error| Problem::invalid(format!("the body: {error}")))
    }
}

/// A node as it is shown.
fn node(desk: &Desk, view: &View, id: NodeId, record: &NodeRecord) -> Value {
    let is_leading = matches!(desk.reconciler().office(), Office::Leading { .. });
    let state = desk.reconciler().fleet().node(id).filter(|_| is_leading);
    let shards = view.placement().map_or(0, |placement| {
        placement.shards().values().filter(|of| of.voters().contains(&id) || of.learners().contains(&id)).count()
    });
    let process = &record.registration.process;
    json!({
        "id": id.to_string(),
        "name": record.effective_labels().value("name").map(Label::to_string),
        "phase": record.phase.to_string(),
        "phase_since": time(record.since_ms),
        "labels": label_map(&record.effective_labels()),
        "operator_labels": label_map(&record.labels),
        "region": record.effective_labels().region().map(Label::to_string),
        "zone": record.effective_labels().zone().map(Label::to_string),
        "weight": record.effective_weight().value(),
        "build": process.build.as_str(),
        "workers": process.workers,
        "peer_addresses": process.peer_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "client_addresses": process.client_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "shards": shards,
        "connected_for_ms": desk.connected_since(id).map(|since| desk.now().saturating_sub(since).as_millis()),
        "connected": state.map(|state| state.is_connected),
        "live": is_leading.then(|| desk.liveness(id) == Liveness::Live),
        "connections": desk.load(id).filter(|_| is_leading).map(|load| load.connections),
        "load": desk.load(id).filter(|_| is_leading).map(|load| Sum::of([load]).value()),
        "remote": desk.remote(id).map(|remote| remote.to_string()),
        "sync": sync(desk, id),
    })
}

/// What a node holds of each type against what is published.
fn sync(desk: &Desk, id: NodeId) -> Value {
    let Some(status) = desk.status(id) else { return Value::Null };
    let of_type = |kind: ResourceType| {
        let held = status.types.of(kind);
        let published = desk.published(id, kind);
        let refused = held.refused.as_ref().filter(|(version, _)| Some(*version) == published);
        let state = match published {
            _ if refused.is_some() => "REJECTED",
            Some(published) if published == held.version => "SYNCED",
            Some(_) => "PENDING",
            None => "NOT_SENT",
        };
        let lag = published.map(|published| {
            let is_same = published.leadership == held.version.leadership;
            if is_same { published.counter.saturating_sub(held.version.counter) } else { published.counter }
        });
        let reason = refused.and_then(|(_, reason)| reason.as_ref()).map(|reason| format!("{reason:?}"));
        json!({
            "type": format!("{kind:?}").to_lowercase(),
            "state": state,
            "held": held.version.to_string(),
            "published": published.map(|version| version.to_string()),
            "lag": lag,
            "refused": reason,
            "diverged": held.diverged,
        })
    };
    json!(ResourceType::ALL.map(of_type))
}

const TTL_S_DEFAULT: u64 = 3600;
const TTL_S_MAX: u64 = 30 * 24 * 3600;
