use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use sluice_dataplane_core::{GateStats, Stats};

use super::*;
use crate::stats::DriverStats;

struct Source {
    node: Mutex<NodeSnapshot>,
    asked: AtomicUsize,
}

impl StatusSource for Source {
    fn snapshot(&self) -> NodeSnapshot {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.node.lock().unwrap().clone()
    }
}

fn node() -> NodeSnapshot {
    let stats = Stats {
        connections: vec![[1, 2, 3], [0, 4, 0]],
        sessions_connected: 10,
        sessions_offline: 2,
        subscriptions_exact: 3,
        subscriptions_wildcard: 4,
        retained_messages: 5,
        ..Stats::default()
    };
    NodeSnapshot {
        name: "b1".into(),
        build: Build { version: "1.2.3", revision: "abc" },
        phase: Phase::Serving,
        uptime: Duration::from_secs(7),
        stats,
        driver: DriverStats::default(),
        listeners: Vec::new(),
        store: StoreStatus { writable: true, disk_bytes: vec![("blocks", 1_000_000), ("retained", 500_000)] },
        workers_answer: true,
        peers: vec![PeerStatus {
            node: "a1".into(),
            round_trip: Some(Duration::from_millis(2)),
            queue_bytes: 7,
            sent_bytes: 8,
            received_bytes: 9,
        }],
        exchanged: Some(GateStats {
            forwarded: 5,
            relayed: 2,
            arrived: 4,
            dropped: 1,
            refused: 3,
            ..GateStats::default()
        }),
        has_control: Some(true),
        reload_failing: Vec::new(),
        memory_budget_bytes: 0,
    }
}

fn serve(node: NodeSnapshot) -> (AdminServer, Arc<Source>) {
    let source = Arc::new(Source { node: Mutex::new(node), asked: AtomicUsize::new(0) });
    let server = AdminServer::start(([127, 0, 0, 1], 0).into(), Arc::clone(&source) as Arc<dyn StatusSource>).unwrap();
    (server, source)
}

/// Status code, head and body.
fn request(server: &AdminServer, line: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn get(node: NodeSnapshot, path: &str) -> (u16, Value) {
    let (server, _) = serve(node);
    let (code, _, body) = request(&server, &format!("GET {path}"));
    (code, serde_json::from_str(&body).unwrap())
}

#[test]
fn health_is_about_the_process_alone() {
    for phase in [Phase::Starting, Phase::Serving, Phase::Draining] {
        let (server, source) = serve(NodeSnapshot { phase, ..node() });
        assert_eq!(request(&server, "GET /health").0, 200);
        assert_eq!(request(&server, "GET /livez").2, "{\"status\":\"ok\"}\n");
        assert_eq!(source.asked.load(Ordering::SeqCst), 0, "nobody else is asked");
    }
}

#[test]
fn ready_says_whether_to_send_clients_and_why_not() {
    let (code, body) = get(node(), "/ready");
    assert_eq!((code, &body["status"], &body["mode"]), (200, &"ready".into(), &"nominal".into()));
    assert_eq!(body["checks"]["store"], "ok");

    let full = StoreStatus { writable: false, disk_bytes: Vec::new() };
    let (code, body) = get(NodeSnapshot { store: full, ..node() }, "/readyz");
    assert_eq!((code, &body["mode"], &body["checks"]["store"]), (200, &"degraded".into(), &"nearly_full".into()));

    let (code, body) = get(NodeSnapshot { reload_failing: vec!["rules".into()], ..node() }, "/ready");
    assert_eq!((code, &body["mode"]), (200, &"degraded".into()));
    assert!(body["details"][0].as_str().unwrap().starts_with("rules changed and could not be read"));

    let (code, body) = get(NodeSnapshot { phase: Phase::Starting, ..node() }, "/ready");
    assert_eq!((code, &body["status"], &body["checks"]["node"]), (503, &"not_ready".into(), &"starting".into()));

    let (code, body) = get(NodeSnapshot { phase: Phase::Draining, ..node() }, "/ready");
    assert_eq!((code, &body["mode"]), (503, &"draining".into()));

    let (code, body) = get(NodeSnapshot { workers_answer: false, ..node() }, "/ready");
    assert_eq!((code, &body["checks"]["workers"]), (503, &"hanging".into()));
}

#[test]
fn the_startup_probe_asks_whether_the_start_is_over() {
    assert_eq!(get(NodeSnapshot { phase: Phase::Starting, ..node() }, "/ready?startup=1").0, 503);
    assert_eq!(get(NodeSnapshot { phase: Phase::Draining, ..node() }, "/ready?startup=1").0, 200);
}

#[test]
fn cluster_status_has_the_fields_that_tools_know_and_numbers() {
    let (code, body) = get(node(), "/cluster/status");
    assert_eq!((code, &body["status"]), (200, &"healthy".into()));
    let cluster = &body["cluster"];
    assert_eq!((&cluster["node_id"], &cluster["leader"], &cluster["nodes"]), (&"b1".into(), &true.into(), &1.into()));
    assert_eq!((&cluster["badger_storage"], &cluster["store_storage_bytes"]), (&"1.5MB".into(), &1_500_000.into()));
    assert_eq!(cluster["etcd_storage"], "0B");
    assert_eq!((&body["connections"], &body["sessions"]), (&10.into(), &12.into()));
    assert_eq!((&body["subscriptions"], &body["retained_messages"]), (&7.into(), &5.into()));
    assert_eq!(cluster["as_of"].as_str().unwrap().len(), "2026-11-22T19:40:00Z".len());
}

#[test]
fn metrics_are_text_and_many_scrapes_ask_the_node_once() {
    let (server, source) = serve(node());
    let (code, head, body) = request(&server, "GET /metrics");
    assert_eq!(code, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("mqtt_build_info{version=\"1.2.3\",revision=\"abc\"} 1\n"), "{body}");
    request(&server, "GET /metrics");
    request(&server, "GET /ready");
    assert_eq!(source.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_not_there_is_a_problem_with_a_hint() {
    let (server, _) = serve(node());
    let (code, head, body) = request(&server, "GET /nothing");
    assert_eq!(code, 404);
    assert!(head.contains("application/problem+json") && body.contains("There are /health"), "{head} {body}");
    assert_eq!(request(&server, "POST /health").0, 405);
    assert_eq!(request(&server, "GET /health/x").0, 404);
}

#[test]
fn dropping_the_server_frees_its_port() {
    let (server, _) = serve(node());
    let address = server.address();
    let open = TcpStream::connect(address).unwrap();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    drop(open);
}
