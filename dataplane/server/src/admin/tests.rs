use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    sample::{cluster, node},
    *,
};
use serde_json::Value;

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
fn a_node_of_a_cluster_is_ready_without_control_and_peers_but_not_without_any_placement() {
    let of = |cluster| NodeSnapshot { cluster: Some(cluster), ..node() };
    let alone = ClusterStatus { without_control_for: Some(Duration::from_secs(90)), ..cluster() };
    let (code, body) = get(of(alone), "/ready");
    assert_eq!((code, &body["mode"], &body["checks"]["control"]), (200, &"degraded".into(), &"unreachable".into()));
    let detail = "control has not been reached for 90 s; the node serves with the tables of revision 41";
    assert_eq!(body["details"][0], detail);

    let mut cut = cluster();
    cut.peers[0].round_trip = None;
    let (code, body) = get(of(cut), "/ready");
    assert_eq!((code, &body["mode"], &body["checks"]["peers"]), (200, &"degraded".into(), &"unreachable".into()));
    assert_eq!(body["details"][0], "there is no link to node a1");

    let fresh = ClusterStatus { shards: 0, ..cluster() };
    let (code, body) = get(of(fresh), "/ready");
    assert_eq!((code, &body["status"], &body["checks"]["placement"]), (503, &"not_ready".into(), &"unknown".into()));

    let (_, body) = get(NodeSnapshot { cluster: None, ..node() }, "/ready");
    assert!(body["checks"]["control"].is_null(), "without a cluster nothing is said of one: {body}");
}

#[test]
fn the_startup_probe_asks_whether_the_start_is_over() {
    assert_eq!(get(NodeSnapshot { phase: Phase::Starting, ..node() }, "/ready?startup=1").0, 503);
    assert_eq!(get(NodeSnapshot { phase: Phase::Draining, ..node() }, "/ready?startup=1").0, 200);
}

#[test]
fn cluster_status_has_the_fields_that_tools_know_and_numbers() {
    let (code, body) = get(NodeSnapshot { cluster: None, ..node() }, "/cluster/status");
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
fn cluster_status_of_a_node_among_others_says_what_it_holds_and_whom_it_misses() {
    let mut of = cluster();
    of.peers.push(PeerStatus { node: "c1".into(), round_trip: None, ..of.peers[0].clone() });
    of.without_control_for = Some(Duration::from_secs(1));
    let (_, body) = get(NodeSnapshot { cluster: Some(of), ..node() }, "/cluster/status");
    let cluster = &body["cluster"];
    assert_eq!(
        (&body["status"], &cluster["leader"], &cluster["nodes"]),
        (&"degraded".into(), &false.into(), &3.into())
    );
    assert_eq!((&cluster["config_revision"], &cluster["view"]), (&41.into(), &"stored".into()));
    assert_eq!(body["nodes_missing"], serde_json::json!(["c1"]));
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
