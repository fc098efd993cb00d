//! Policies, the placement, plans, what was changed, what would be.

use serde::Deserialize;
use serde_json::{Value, json};
use sluice_cluster::{Label, NodeId, Policies, Replicas};
use sluice_controlplane_core::{
    Loss, PlacementDiff, PlanInput,
    intent::{self, Refusal, SpecChange},
    record::{History, PlanRecord, PolicyChange, RecordKey},
    simulate,
    view::View,
};

use super::{
    Call, Problem, Reply,
    cluster::{Page, time},
    resource::{Placement, parse_node},
};

/// A change of policies as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    put: Vec<Placement>,
    #[serde(default)]
    delete: Vec<String>,
}

/// What is lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhatIf {
    node: Option<String>,
    region: Option<String>,
}

impl Call<'_> {
    pub(super) async fn policies(&self) -> Result<Reply, Problem> {
        let page = Page::of(self.request)?;
        let value = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let policies = view.policies().ok()?;
            let rows = policies.iter().map(|policy| (policy.name.to_string(), shown(view, policy)));
            Some(page.cut(rows.collect()))
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    pub(super) async fn policy(&self) -> Result<Reply, Problem> {
        let name = self.name()?;
        let wanted = name.clone();
        let found = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let policies = view.policies().ok()?;
            let policy = policies.iter().find(|policy| policy.name == wanted)?;
            Some((view.modified(&RecordKey::Policy(wanted)).0, shown(view, policy)))
        });
        let (at, value) = found.await?.ok_or_else(|| Problem::unknown(format!("policy {name}")))?;
        Ok(Reply::json(200, &value).etag(at))
    }

    pub(super) async fn put_policy(&self) -> Result<Reply, Problem> {
        let (name, at, author) = (self.name()?, self.matching_required()?, self.author());
        let resource: Placement = self.body()?;
        if resource.metadata.name != name.as_str() {
            return Err(Problem::invalid(format!(
                "the body is about {}, the path about {name}",
                resource.metadata.name
            )));
        }
        let spec = resource.parse().map_err(Problem::invalid)?;
        if self.is_dry() {
            return self.dry(vec![SpecChange::Put(spec)]).await;
        }
        self.change(move |view| intent::put(view, &spec, at, &author)).await?;
        self.policy().await
    }

    pub(super) async fn delete_policy(&self) -> Result<Reply, Problem> {
        let (name, at, author) = (self.name()?, self.matching_required()?, self.author());
        if self.is_dry() {
            return self.dry(vec![SpecChange::Delete(name)]).await;
        }
        self.change(move |view| intent::delete(view, &name, at, &author).map(Some)).await?;
        Ok(Reply { body: Vec::new(), ..Reply::json(204, &Value::Null) })
    }

    /// What changes would do.
    async fn dry(&self, changes: Vec<SpecChange>) -> Result<Reply, Problem> {
        let author = self.author();
        let preview = self.api.handle.ask(move |desk| {
            let (view, input) = (desk.reconciler().view()?, desk.reconciler().plan_input()?);
            let id = Label::parse("dry").ok()?;
            Some(intent::make(view, id, &changes, &author).map(|(_, policies)| preview_value(&input, policies)))
        });
        Ok(Reply::json(200, &preview.await?.ok_or_else(Problem::unread)??))
    }

    pub(super) async fn placement(&self) -> Result<Reply, Problem> {
        let page = Page::of(self.request)?;
        let value = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let (placement, policies) = (view.placement().ok()?, view.policies().ok()?);
            let rows = placement.shards().iter().map(|(key, of)| {
                let order = format!("{:05}/{:05}", key.keyspace.0, key.shard.0);
                let policy = policies.of(key.keyspace).map(|policy| policy.name.to_string());
                (order, json!({"shard": key.to_string(), "policy": policy, "replicas": replicas(of)}))
            });
            let mut value = page.cut(rows.collect());
            value["version"] = json!(placement.version().to_string());
            value["paused"] = json!(view.intent().is_paused);
            value["intent"] = json!(view.intent().number);
            value["last_plan"] = json!(desk.reconciler().last_plan().map(ToString::to_string));
            Some(value)
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    pub(super) async fn make_plan(&self) -> Result<Reply, Problem> {
        let Changes { put, delete } = self.body()?;
        let put = put.into_iter().map(|resource| resource.parse().map(SpecChange::Put));
        let mut changes = put.collect::<Result<Vec<_>, _>>().map_err(Problem::invalid)?;
        for name in delete {
            let name = Label::parse(&name).map_err(|error| Problem::invalid(error.to_string()))?;
            changes.push(SpecChange::Delete(name));
        }
        let author = self.author();
        let id = Label::parse(&format!("p-{:x}", author.at_ms)).map_err(|error| Problem::invalid(error.to_string()))?;
        let named = id.clone();
        self.change(move |view| intent::make(view, named.clone(), &changes, &author).map(|(commit, _)| Some(commit)))
            .await?;
        let reply = self.plan_named(id.clone()).await?;
        Ok(Reply { status: 201, ..reply }.location(format!("/api/v1/placement/plans/{id}")))
    }

    pub(super) async fn plan(&self) -> Result<Reply, Problem> {
        self.plan_named(self.name()?).await
    }

    async fn plan_named(&self, id: Label) -> Result<Reply, Problem> {
        let wanted = id.clone();
        let value = self.api.handle.ask(move |desk| {
            let (view, input) = (desk.reconciler().view()?, desk.reconciler().plan_input()?);
            let plan = view.plan(&wanted)?;
            let policies = planned_policies(view, plan).ok()?;
            let mut value = preview_value(&input, policies);
            value["id"] = json!(plan.id.to_string());
            value["parent"] = json!({"intent": plan.parent_intent, "placement": plan.parent_placement.to_string()});
            let is_current =
                (plan.parent_intent, plan.parent_placement) == (view.intent().number, view.placement_version());
            value["applicable"] = json!(is_current);
            value["by"] = json!(plan.by.to_string());
            value["at"] = json!(time(plan.at_ms));
            let change = |change: &PolicyChange| match change {
                PolicyChange::Put(policy) => json!({"put": Placement::of(policy, None)}),
                PolicyChange::Delete(name) => json!({"delete": name.to_string()}),
            };
            value["policies"] = json!(plan.changes.iter().map(change).collect::<Vec<_>>());
            Some(value)
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(|| Problem::unknown(format!("plan {id}")))?))
    }

    pub(super) async fn apply_plan(&self) -> Result<Reply, Problem> {
        let (id, author) = (self.name()?, self.author());
        self.change(move |view| intent::apply(view, &id, &author).map(Some)).await?;
        self.accepted().await
    }

    pub(super) async fn pause(&self, is_paused: bool) -> Result<Reply, Problem> {
        let author = self.author();
        self.change(move |view| intent::pause(view, is_paused, &author)).await?;
        self.accepted().await
    }

    pub(super) async fn restore(&self) -> Result<Reply, Problem> {
        let number = self.param(0).parse().map_err(|_| Problem::invalid("a revision is a number"))?;
        let author = self.author();
        self.change(move |view| intent::restore(view, number, &author)).await?;
        self.accepted().await
    }

    /// What is wanted from here on.
    async fn accepted(&self) -> Result<Reply, Problem> {
        let intent = self.api.handle.ask(|desk| desk.reconciler().view().map(View::intent)).await?;
        let intent = intent.ok_or_else(Problem::unread)?;
        let value = json!({"intent": intent.number, "paused": intent.is_paused});
        Ok(Reply::json(202, &value).location("/api/v1/placement".into()))
    }

    pub(super) async fn revisions(&self) -> Result<Reply, Problem> {
        let page = Page::of(self.request)?;
        let value = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            // The latest first: its order is turned round.
            let rows = view.history().rev().map(|entry| (format!("{:020}", u64::MAX - entry.intent), history(entry)));
            Some(page.cut(rows.collect()))
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    pub(super) async fn simulate(&self) -> Result<Reply, Problem> {
        let loss = match self.body()? {
            WhatIf { node: Some(node), region: None } => Loss::Node(parse_node(&node).map_err(Problem::invalid)?),
            WhatIf { node: None, region: Some(region) } => {
                Loss::Region(Label::parse(&region).map_err(|error| Problem::invalid(error.to_string()))?)
            }
            WhatIf { .. } => return Err(Problem::invalid("name a node or a region")),
        };
        let found = self.api.handle.ask(move |desk| {
            desk.is_leading().then(|| desk.reconciler().plan_input()).flatten().map(|input| simulate(&input, &loss))
        });
        let found = found.await?.ok_or_else(Problem::not_leading)?;
        let keys = |shards: &std::collections::BTreeSet<sluice_cluster::ShardKey>| {
            shards.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let value = json!({
            "nodes": found.nodes.iter().map(NodeId::to_string).collect::<Vec<_>>(),
            "unaffected": found.unaffected,
            "fail_over": keys(&found.fail_over),
            "stop": keys(&found.stop),
            "wait": keys(&found.wait),
            "repaired": keys(&found.repaired),
            "short": keys(&found.short),
            "repair_after_ms": found.repair_after_ms,
            "summary": found.to_string(),
        });
        Ok(Reply::json(200, &value))
    }

    pub(super) async fn topic_where(&self) -> Result<Reply, Problem> {
        let topic = self.request.query.get("topic").cloned().unwrap_or_default();
        let checked = sluice_topic::check_topic(&topic, &sluice_topic::Limits::default());
        checked.map_err(|error| Problem::invalid(format!("topic: {error}")))?;
        let value = self.api.handle.ask(move |desk| {
            let view = desk.reconciler().view()?;
            let (placement, policies) = (view.placement().ok()?, view.policies().ok()?);
            let (key, of) = placement.of_topic(&topic);
            let policy = policies.of(key.keyspace);
            Some(json!({
                "topic": topic,
                "policy": policy.map(|policy| policy.name.to_string()),
                "shard": key.to_string(),
                "home": of.and_then(|of| of.target().next()).map(|node| node.to_string()),
                "replicas": of.map(replicas),
                "subscribers": desk.subscribers(&topic),
            }))
        });
        Ok(Reply::json(200, &value.await?.ok_or_else(Problem::unread)?))
    }

    fn name(&self) -> Result<Label, Problem> {
        Label::parse(self.param(0)).map_err(|error| Problem::invalid(error.to_string()))
    }
}

fn shown(view: &View, policy: &sluice_cluster::Policy) -> Value {
    let at = view.modified(&RecordKey::Policy(policy.name.clone())).0;
    json!(Placement::of(policy, Some(at)))
}

/// The policies that a plan leads to.
fn planned_policies(view: &View, plan: &PlanRecord) -> Result<Policies, Refusal> {
    let changed = |name: &Label| plan.changes.iter().any(|change| change.name() == name);
    let kept = view.own_policies().filter(|policy| !changed(&policy.name)).cloned();
    let put = plan.changes.iter().filter_map(|change| match change {
        PolicyChange::Put(policy) => Some(policy.clone()),
        PolicyChange::Delete(_) => None,
    });
    Ok(Policies::new(kept.chain(put))?)
}

fn replicas(of: &Replicas) -> Value {
    let ids = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>();
    json!({
        "voters": ids(of.voters()),
        "learners": ids(of.learners()),
        "leaving": ids(of.leaving()),
        "epoch": of.epoch().0,
        "moving": of.is_moving(),
    })
}

/// What policies would do.
fn preview_value(input: &PlanInput, policies: Policies) -> Value {
    let preview = intent::preview(input, policies.clone());
    json!({
        "moves": preview.changes.shards.len(),
        "copies": preview.changes.copies(),
        "steps": preview.steps,
        "settled": preview.is_settled,
        "first_step": preview.first.to_string(),
        "changes": changes(&preview.changes, &policies),
        "summary": preview.changes.to_string(),
    })
}

fn changes(of: &PlacementDiff, policies: &Policies) -> Value {
    let shard = |(key, change): (&sluice_cluster::ShardKey, &sluice_controlplane_core::ShardChange)| {
        json!({
            "shard": key.to_string(),
            "policy": policies.of(key.keyspace).map(|policy| policy.name.to_string()),
            "before": change.before.as_ref().map(replicas),
            "after": change.after.as_ref().map(replicas),
        })
    };
    let node = |(id, change): (&NodeId, &sluice_controlplane_core::NodeChange)| json!({"node": id.to_string(), "before": change.before, "after": change.after});
    json!({
        "shards": of.shards.iter().map(shard).collect::<Vec<_>>(),
        "nodes": of.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn history(entry: &History) -> Value {
    json!({
        "revision": entry.intent,
        "by": entry.by.to_string(),
        "at": time(entry.at_ms),
        "what": entry.what,
        "policies": entry.before.keys().map(Label::to_string).collect::<Vec<_>>(),
    })
}
