//! A replica of control as a process of its own would run it, over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic names the test")]

mod browser;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use sluice_controlplane_server::{
    ControlServer,
    config::{ControlConfig, StoreKind},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Replica {
    server: ControlServer,
    token: String,
    _dir: Option<tempfile::TempDir>,
}

/// An answer: status, headers, body.
type Answer = (u16, String, Value);

impl Replica {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let replica = Self::at(dir.path()).await;
        Self { _dir: Some(dir), ..replica }
    }

    async fn at(data: &Path) -> Self {
        let replica = Self::with(data, "c1", None).await;
        replica.wait_until(|overview| overview["control"]["office"] == "leading").await;
        replica
    }

    /// A replica with a name, with an etcd or a store of its own.
    async fn with(data: &Path, name: &str, etcd: Option<&str>) -> Self {
        let mut config = ControlConfig::default();
        config.control.name = name.into();
        config.control.data = data.join(name);
        if let Some(endpoint) = etcd {
            config.store.kind = StoreKind::Etcd;
            config.store.etcd.endpoints = vec![endpoint.into()];
            config.store.lease = sluice_service::config::Duration::secs(2);
        }
        config.nodes.bind = "127.0.0.1:0".parse().unwrap();
        config.http.bind = "127.0.0.1:0".parse().unwrap();
        let start = async {
            loop {
                match ControlServer::start(&config).await {
                    Ok(server) => return server,
                    // What an earlier life was doing with the store ends in a moment.
                    Err(error) => assert!(format!("{error:#}").contains("lock"), "{error:#}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let server = tokio::time::timeout(PATIENCE, start).await.expect("it starts");
        // The first replica of a cluster has made it.
        let token = std::fs::read_to_string(config.control.data.join("bootstrap-token")).unwrap_or_default();
        Self { server, token: token.trim().to_owned(), _dir: None }
    }

    async fn wait_until(&self, is_so: impl Fn(&Value) -> bool) {
        self.wait_for("/api/v1/overview", is_so).await;
    }

    async fn wait_for(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let wait = async {
            loop {
                let (status, _, body) = self.get(path).await;
                if status == 200 && is_so(&body) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes to that");
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], &Value::Null).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &Value) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token);
        let headers: Vec<&str> = headers.iter().copied().chain([token.as_str()]).collect();
        self.ask_as(method, path, &headers, body).await
    }

    async fn ask_as(&self, method: &str, path: &str, headers: &[&str], body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let mut socket = TcpStream::connect(self.server.http()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
    }
}

fn policy(name: &str, topics: &[&str], region: &str) -> Value {
    json!({
        "apiVersion": "sluice/v1",
        "kind": "Placement",
        "metadata": {"name": name},
        "spec": {"topics": topics, "home": {"region": region}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_a_token_of_the_role_gets_in() {
    let replica = Replica::start().await;
    let (status, head, problem) = replica.ask_as("GET", "/api/v1/overview", &[], &Value::Null).await;
    assert_eq!((status, &problem["code"]), (401, &json!("auth.required")));
    assert!(head.contains("application/problem+json") && head.contains("www-authenticate: bearer"));
    assert_eq!(replica.ask_as("GET", "/health", &[], &Value::Null).await.0, 200);
    assert_eq!(replica.ask_as("GET", "/ready", &[], &Value::Null).await.0, 200);
    let made = replica.ask("POST", "/api/v1/tokens", &[], &json!({"name": "anna", "role": "viewer"})).await;
    assert_eq!(made.0, 201);
    let viewer = Replica { token: made.2["token"].as_str().unwrap().to_owned(), ..replica };
    viewer.wait_until(|_| true).await;
    assert_eq!(viewer.get("/api/v1/whoami").await.2["role"], "viewer");
    let refused = viewer.ask("POST", "/api/v1/placement/pause", &[], &Value::Null).await;
    assert_eq!((refused.0, &refused.2["code"]), (403, &json!("auth.forbidden")));
    assert_eq!(viewer.get("/nowhere").await.0, 404);
    assert_eq!(viewer.ask("PUT", "/health", &[], &Value::Null).await.0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_put_by_what_was_seen_and_come_back() {
    let replica = Replica::start().await;
    let (path, first) = ("/api/v1/placements/eu%2Ffactory", policy("eu/factory", &["factory/#"], "eu"));
    assert_eq!(replica.ask("PUT", path, &[], &first).await.0, 428);
    let (status, head, shown) = replica.ask("PUT", path, &["If-None-Match: *"], &first).await;
    assert_eq!((status, &shown["spec"]["home"]["region"]), (200, &json!("eu")));
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(replica.ask("PUT", path, &["If-None-Match: *"], &first).await.0, 412);
    let tie = replica.ask("PUT", "/api/v1/placements/b", &["If-Match: *"], &policy("b", &["factory/#"], "us")).await;
    assert_eq!((tie.0, &tie.2["code"]), (422, &json!("placement.conflict")));
    let second = policy("eu/factory", &["factory/#"], "us");
    let matching = format!("If-Match: {etag}");
    assert_eq!(replica.ask("PUT", path, &[&matching], &second).await.2["spec"]["home"]["region"], "us");
    assert_eq!(replica.ask("PUT", path, &[&matching], &first).await.0, 412, "what was seen has changed");
    let history = replica.get("/api/v1/placement/revisions").await.2;
    assert_eq!((history["items"][0]["revision"].as_u64(), history["items"].as_array().unwrap().len()), (Some(2), 2));
    assert_eq!(history["items"][0]["by"], "bootstrap");
    let restored = replica.ask("POST", "/api/v1/placement/revisions/1/restore", &[], &Value::Null).await;
    assert_eq!((restored.0, replica.get(path).await.2["spec"]["home"]["region"].as_str()), (202, Some("eu")));
    assert_eq!(replica.ask("DELETE", path, &["If-Match: *"], &Value::Null).await.0, 204);
    assert_eq!(replica.get(path).await.0, 404);
    let names = replica.get("/api/v1/placements?limit=1").await.2;
    assert_eq!(
        (&names["items"][0]["metadata"]["name"], &names["next_cursor"]),
        (&json!("sessions"), &json!("sessions"))
    );
    let rest = replica.get("/api/v1/placements?limit=1&cursor=sessions").await.2;
    assert_eq!((&rest["items"][0]["metadata"]["name"], &rest["next_cursor"]), (&json!("topics"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_made_shown_and_applied_once() {
    let replica = Replica::start().await;
    let changes = json!({"put": [policy("a", &["a/#"], "eu")]});
    let (status, head, plan) = replica.ask("POST", "/api/v1/placement/plans", &[], &changes).await;
    assert_eq!((status, &plan["applicable"]), (201, &json!(true)), "{plan}");
    let path = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
    assert_eq!(replica.get("/api/v1/placements/a").await.0, 404, "nothing has changed yet");
    let apply = format!("{path}/apply");
    assert_eq!(replica.ask("POST", &apply, &[], &Value::Null).await.0, 202);
    assert_eq!(replica.get("/api/v1/placements/a").await.0, 200);
    assert_eq!(replica.ask("POST", &apply, &[], &Value::Null).await.0, 404);
    let stale = replica.ask("POST", "/api/v1/placement/plans", &[], &json!({"delete": ["a"]})).await;
    let path = stale.1.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
    assert_eq!(replica.ask("POST", "/api/v1/placement/pause", &[], &Value::Null).await.2["paused"], true);
    let refused = replica.ask("POST", &format!("{path}/apply"), &[], &Value::Null).await;
    assert_eq!((refused.0, &refused.2["code"]), (409, &json!("plan.parent_moved")));
    // The placement follows in a moment.
    replica.wait_for("/api/v1/topics/where?topic=a/b", |of| of["policy"] == "a" && of["home"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_and_what_it_answers_can_be_read() {
    let replica = Replica::start().await;
    let document = replica.get("/api/v1/openapi.json").await.2;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "00000000000000ff").replace("{name}", "x").replace("{number}", "0");
            if path == "/api/v1/events" {
                // It goes on for ever: a test of its own reads it.
                continue;
            }
            let (status, head, body) = replica.ask(&method.to_uppercase(), &path, &[], &Value::Null).await;
            let what = format!("{method} {path}: {status} {body}");
            assert!(status < 500 && status != 401 && status != 405, "{what}");
            assert!(status < 400 || head.contains("problem+json") && body["code"].is_string(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_wanted_is_there_after_a_restart_under_a_later_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let replica = Replica::at(dir.path()).await;
    let put = replica.ask("PUT", "/api/v1/placements/a", &["If-None-Match: *"], &policy("a", &["a"], "eu")).await;
    assert_eq!(put.0, 200);
    let before = replica.get("/api/v1/overview").await.2["control"]["epoch"].as_u64().unwrap();
    replica.server.stop().await;
    let replica = Replica::at(dir.path()).await;
    assert_eq!(replica.get("/api/v1/placements/a").await.0, 200);
    assert_eq!(replica.get("/api/v1/overview").await.2["control"]["epoch"].as_u64(), Some(before + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_while_nothing_happens() {
    let replica = Replica::start().await;
    let revision = |overview: &Value| overview["placement"]["intent"].clone();
    let before = replica.get("/api/v1/overview").await.2;
    let store = replica.server.handle().store().list("").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = replica.get("/api/v1/overview").await.2;
    assert_eq!(revision(&before), revision(&after));
    assert_eq!(replica.server.handle().store().list("").await.unwrap().revision, store.revision);
    let (_, _, metrics) = replica.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("mqtt_cluster_leader 1"));
}

/// An etcd that ends with the test.
struct Etcd(std::process::Child);

impl Etcd {
    fn start(data: &Path) -> (Self, String) {
        let free: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [client, peer] = [0, 1].map(|nth| format!("http://{}", free[nth].local_addr().unwrap()));
        drop(free);
        let process = std::process::Command::new("etcd")
            .args(["--name", "m", "--data-dir", data.to_str().unwrap(), "--log-level", "error"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m={peer}")])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("etcd is installed (Debian: etcd-server)");
        (Self(process), client)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_leads_when_one_goes_and_each_takes_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (_etcd, endpoint) = Etcd::start(&dir.path().join("etcd"));
    let first = Replica::with(dir.path(), "c1", Some(&endpoint)).await;
    first.wait_until(|overview| overview["control"]["office"] == "leading").await;
    let second = Replica { token: first.token.clone(), ..Replica::with(dir.path(), "c2", Some(&endpoint)).await };
    second.wait_until(|overview| overview["control"]["leader"] == "c1").await;
    assert_eq!(second.get("/api/v1/links").await.2["code"], "control.not_leading");
    let put = second.ask("PUT", "/api/v1/placements/a", &["If-None-Match: *"], &policy("a", &["a"], "eu")).await;
    assert_eq!(put.0, 200);
    first.wait_for("/api/v1/placements/a", |_| true).await;
    let epoch = first.get("/api/v1/overview").await.2["control"]["epoch"].as_u64().unwrap();
    first.server.stop().await;
    second.wait_until(|overview| overview["control"]["office"] == "leading").await;
    let overview = second.get("/api/v1/overview").await.2;
    assert_eq!((overview["control"]["epoch"].as_u64(), &overview["alarms"]), (Some(epoch + 1), &json!([])));
    assert_eq!(second.get("/api/v1/store").await.2["kind"], "etcd");
}
