//! A control that is made of answers, and a terminal that is made of texts.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use sluice_controlplane_ctl::{
    failure::{Exit, Failure},
    request::{Answer, Request},
    route::Route,
    run::{Run, parse},
    world::World,
};

pub(crate) const ONE: &str = "4f2a000000000001";
pub(crate) const OTHER: &str = "8b31000000000002";

/// What commands see, and what became of it.
pub(crate) struct Fake {
    pub(crate) asked: Vec<Request>,
    pub(crate) shown: String,
    pub(crate) noted: Vec<String>,
    pub(crate) written: BTreeMap<String, String>,
    /// What is asked again and again is answered differently each time; the last answer stays.
    pub(crate) answers: BTreeMap<Route, Vec<Answer>>,
    /// What questions are answered with; `None`: nobody is there.
    pub(crate) yes: Option<bool>,
    pub(crate) pauses: u32,
    /// After so many looks nobody reads any more.
    pub(crate) reads: u32,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            asked: Vec::new(),
            shown: String::new(),
            noted: Vec::new(),
            written: BTreeMap::new(),
            answers: BTreeMap::new(),
            yes: None,
            pauses: 0,
            reads: u32::MAX,
        }
    }

    /// With a further answer on a route, instead of the usual one.
    pub(crate) fn answering(mut self, route: Route, status: u16, body: Value) -> Self {
        let answer = Answer { status, etag: Some(7), text: body.to_string() };
        self.answers.entry(route).or_default().push(answer);
        self
    }

    pub(crate) fn saying(self, yes: bool) -> Self {
        Self { yes: Some(yes), ..self }
    }

    /// Runs a command line.
    pub(crate) fn run(&mut self, line: &str) -> Result<Exit, Failure> {
        let words = std::iter::once("sluicectl").chain(line.split(' ')).map(Into::into);
        let cli = parse(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        Run { world: self, has_colour: false }.command(cli.command)
    }

    /// Requests that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let changing = self.asked.iter().filter(|request| !request.route.only_reads());
        changing.map(|request| format!("{} {}", request.route.method(), request.target())).collect()
    }
}

impl World for Fake {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.asked.push(request.clone());
        if let Some(answers) = self.answers.get_mut(&request.route) {
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            if answer.status == 0 {
                return Err(Failure::new(Exit::Unreachable, "control cannot be reached"));
            }
            return Ok(answer);
        }
        let (status, body) = usual(request);
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        Ok(Answer { status, etag: Some(7), text })
    }

    fn confirm(&mut self, _: &str) -> Result<bool, Failure> {
        self.yes.ok_or_else(|| Failure::usage("nobody is there to say yes"))
    }

    fn note(&mut self, text: &str) {
        self.noted.push(text.to_owned());
    }

    fn show(&mut self, text: &str) -> Result<(), Failure> {
        self.shown += text;
        self.reads -= 1;
        if self.reads == 0 { Err(Failure::new(Exit::Ok, "nobody reads")) } else { Ok(()) }
    }

    fn clear(&mut self) {
        self.shown += "--clear--\n";
    }

    fn pause(&mut self, _: Duration) {
        self.pauses += 1;
        assert!(self.pauses < 1000, "it waits for ever");
    }

    fn read(&mut self, path: &Path) -> Result<String, Failure> {
        match path.to_str().unwrap() {
            "factory.yaml" => Ok(policy("factory-eu", "eu").to_string()),
            "plan.json" => Ok(json!({"id": "p-1f3a"}).to_string()),
            name => Err(Failure::new(Exit::Config, format!("{name} cannot be read"))),
        }
    }

    fn write(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        self.written.insert(path.display().to_string(), text.to_owned());
        Ok(())
    }
}

/// A policy as control shows it.
pub(crate) fn policy(name: &str, region: &str) -> Value {
    json!({
        "apiVersion": "sluice/v1",
        "kind": "Placement",
        "metadata": {"name": name, "revision": 40},
        "spec": {
            "topics": ["factory/eu/#"], "home": {"region": region}, "replicas": 1, "spread": "zone", "fallback": [],
            "shards": 64, "retained": {"replicate_below": 1024}, "remoteSubscribers": "deny",
        },
    })
}

pub(crate) fn list(items: Value) -> Value {
    json!({"items": items, "next_cursor": null, "as_of": "2026-01-02T03:04:05.000Z"})
}

pub(crate) fn sync(placement: &str) -> Value {
    let of = |kind: &str, state: &str| json!({"type": kind, "state": state, "held": "1.4", "published": "1.5", "lag": 1, "refused": null, "diverged": 0});
    json!([of("nodes", "SYNCED"), of("placement", placement), of("routes", "SYNCED"), of("policy", "SYNCED")])
}

pub(crate) fn node(id: &str, region: &str, shards: u64, placement: &str) -> Value {
    json!({
        "id": id, "phase": "active", "phase_since": "2026-01-02T03:04:05.000Z",
        "name": if region == "eu" { Some("n1") } else { None },
        "load": {"messages_in_per_s": 120.4, "messages_out_per_s": 240.0, "drops_per_s": 0.0},
        "labels": {"region": region, "zone": format!("{region}-1")}, "operator_labels": {"owner": "anna"},
        "region": region, "zone": format!("{region}-1"), "weight": 100, "build": "0.1.0", "workers": 4,
        "peer_addresses": ["n1:7070"], "client_addresses": ["n1:1883"], "shards": shards,
        "connected_for_ms": 61_000, "connected": true, "live": true, "connections": 3, "remote": "10.0.0.1:5",
        "sync": sync(placement), "something_new": {"a": 1},
    })
}

pub(crate) fn overview(alarms: Value) -> Value {
    json!({
        "control": {"replica": "c1", "office": "leading", "leader": "c1", "epoch": 3, "waits_for": []},
        "regions": [
            {"region": "eu", "nodes": 1, "connected": 1, "clients": 3,
             "load": {"messages_in_per_s": 120.4, "messages_out_per_s": 240.0, "drops_per_s": 0.2}},
            {"region": "us", "nodes": 2, "connected": 1, "clients": 12},
        ],
        "placement": {"version": "1.5", "shards": 128, "moving": 0, "paused": false, "intent": 41},
        "routes": [{"filters": 12, "bytes": 2048, "version": "1.9"}],
        "store": store(), "alarms": alarms, "nodes_missing": [], "as_of": "2026-01-02T03:04:05.000Z",
    })
}

fn store() -> Value {
    json!({
        "status": "healthy", "kind": "etcd", "revision": 99, "size_bytes": 131_072, "used_bytes": 65_536,
        "quota_bytes": 2_147_483_648_u64, "used_percent": 0, "alarms": [],
        "members": [{"name": "e1", "endpoint": "http://e1:2379", "version": "3.4.23", "leader": true,
                     "size_bytes": 131_072, "error": null}],
    })
}

fn replicas(voters: &[&str], is_moving: bool) -> Value {
    json!({"voters": voters, "learners": [], "leaving": [], "epoch": 2, "moving": is_moving})
}

fn preview(id: Option<&str>) -> Value {
    json!({
        "id": id, "parent": {"intent": 41, "placement": "1.5"}, "applicable": true, "by": "anna",
        "at": "2026-01-02T03:04:05.000Z", "policies": [{"put": policy("factory-eu", "eu")}, {"delete": "old"}],
        "moves": 1, "copies": 1, "steps": 3, "settled": true, "first_step": "", "summary": "",
        "changes": {
            "shards": [{"shard": "factory-eu/3", "before": replicas(&[OTHER], false), "after": replicas(&[ONE], false)}],
            "nodes": [{"node": ONE, "before": 64, "after": 65}, {"node": OTHER, "before": 64, "after": 63}],
        },
    })
}

fn links() -> Value {
    list(json!([
        {"from": ONE, "to": OTHER, "round_trip_us": 80_123, "silent_ms": 90, "connected": true,
         "queue_bytes": 2048, "sent_bytes_per_s": 1_048_576, "lost_per_million": 9800},
        {"from": OTHER, "to": ONE, "round_trip_us": 80_200, "silent_ms": 60},
    ]))
}

fn shards() -> Value {
    json!({
        "items": [
            {"shard": "sessions/0", "replicas": replicas(&[ONE], false)},
            {"shard": "sessions/1", "replicas": replicas(&[OTHER], true)},
            {"shard": "topics/0", "replicas": replicas(&[ONE], false)},
        ],
        "next_cursor": null, "version": "1.5", "paused": false, "intent": 41, "last_plan": null,
    })
}

fn simulation() -> Value {
    json!({
        "nodes": [ONE], "unaffected": 64, "fail_over": ["topics/0"], "stop": ["sessions/0", "sessions/2"], "wait": [],
        "repaired": ["topics/0"], "short": [], "repair_after_ms": 60_000, "summary": "",
    })
}

fn suggestions() -> Value {
    json!({
        "items": [{
            "prefix": "device/7/#", "region": "eu", "deliveries": 12_800, "local_percent": 52, "local_percent_then": 90,
            "gain_percent": 38, "policy": policy("device-7", "eu"),
            "summary": "moving device/7/# to region eu would turn 38 % of deliveries from remote to local",
        }],
        "traffic": [
            {"prefix": "device/#", "deliveries": 20_000, "by_region": {"eu": 15_000, "us": 5_000}},
            {"prefix": "device/7/#", "deliveries": 12_800, "by_region": {"eu": 11_520, "us": 1_280}},
        ],
        "next_cursor": null, "as_of": "2026-01-02T03:04:05.000Z", "nodes_missing": [],
    })
}

fn location() -> Value {
    json!({
        "topic": "factory/eu/line1/temp", "policy": "factory-eu", "shard": "factory-eu/3", "home": ONE,
        "replicas": replicas(&[ONE, OTHER], false), "subscribers": [OTHER],
    })
}

fn brief() -> Value {
    json!({
        "status": "healthy", "cluster": {"nodes": 2, "config_revision": 41, "view": "live"}, "connections": 15,
        "nodes_missing": [],
    })
}

fn revisions() -> Value {
    list(json!([
        {"revision": 41, "by": "anna", "at": "2026-01-02T03:04:05.000Z", "what": "policy factory-eu", "policies": ["factory-eu"]},
    ]))
}

fn tokens() -> Value {
    list(json!([
        {"id": "bootstrap", "name": "bootstrap", "role": "admin", "created_at": "2026-01-02T03:04:05.000Z", "expires_at": null},
    ]))
}

fn alarms() -> Value {
    list(json!([
        {"code": "node.silent", "severity": "warning", "message": "node x has not been heard of for 3 s"},
    ]))
}

/// What a control of two nodes answers.
fn usual(request: &Request) -> (u16, Value) {
    let nodes = || list(json!([node(ONE, "eu", 64, "SYNCED"), node(OTHER, "us", 64, "PENDING")]));
    let accepted = || (202, json!({"intent": 42, "paused": false}));
    let is_dry = request.target().ends_with("dry_run=true");
    match request.route {
        Route::Health => (200, json!({"status": "healthy"})),
        Route::Ready => (200, json!({"status": "ready", "mode": "nominal", "alarms": []})),
        Route::ClusterStatus => (200, brief()),
        Route::Metrics => (200, json!("mqtt_cluster_leader 1\n")),
        Route::OpenApi => (200, json!({"openapi": "3.1.0"})),
        Route::Whoami => (200, json!({"id": "9f86", "name": "anna", "role": "operator"})),
        Route::Overview => (200, overview(json!([]))),
        Route::Alarms => (200, alarms()),
        Route::Store => (200, store()),
        Route::AcceptStore => (202, json!({"epoch": 9})),
        Route::Links => (200, links()),
        Route::Nodes => (200, nodes()),
        Route::Node | Route::PatchNode => (200, node(ONE, "eu", 0, "SYNCED")),
        Route::DrainNode => (202, node(ONE, "eu", 64, "SYNCED")),
        Route::RemoveNode => (200, node(ONE, "eu", 0, "SYNCED")),
        Route::NodeToken => (201, json!({"token": "slj1.a.b", "expires_at": "2026-01-02T04:04:05.000Z"})),
        Route::Policies => (200, list(json!([policy("factory-eu", "eu"), policy("topics", "us")]))),
        Route::Policy => (200, policy("factory-eu", "eu")),
        Route::PutPolicy | Route::DeletePolicy if is_dry => (200, preview(None)),
        Route::PutPolicy => (200, policy("factory-eu", "eu")),
        Route::DeletePolicy => (204, json!("")),
        Route::Placement => (200, shards()),
        Route::MakePlan => (201, preview(Some("p-1f3a"))),
        Route::Plan => (200, preview(Some("p-1f3a"))),
        Route::ApplyPlan | Route::Pause | Route::Resume | Route::Restore => accepted(),
        Route::Revisions => (200, revisions()),
        Route::Simulate => (200, simulation()),
        Route::Suggestions => (200, suggestions()),
        Route::TopicWhere => (200, location()),
        Route::Tokens => (200, tokens()),
        Route::MakeToken => (201, json!({"id": "9f86", "token": "slc_9f86_x", "expires_at": null})),
        Route::RevokeToken => (204, json!("")),
    }
}
