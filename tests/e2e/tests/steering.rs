//! Clients that are told by Server Reference where to go: to their sessions, and away from a node that is drained. What
//! Paho does stands in `clients/paho_client.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]

use std::process::Command;

use sluice_mqtt::QoS;
use sluice_tests_e2e::{
    client::Hello,
    cluster::{
        traffic::{Publisher, Subscriber},
        until,
    },
    demo::Demo,
    program::{installed, run, wanted},
};

#[test]
fn a_client_is_steered_to_its_session_and_one_that_cannot_be_told_is_served_where_it_is() {
    if !wanted("paho") {
        return;
    }
    let demo = Demo::start(&["--nodes", "2"]);
    let policy = r#"{"apiVersion": "sluice/v1", "kind": "Placement", "metadata": {"name": "sessions"},
        "spec": {"steer": "home"}}"#;
    let put = demo.control("PUT", "/api/v1/placements/sessions", policy);
    assert_eq!(put["spec"]["steer"], "home", "{put}");
    demo.until_synced(2);
    let address = demo.mqtt("d1");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/paho_client.py");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    run(Command::new(installed("python/bin/python")).args([script, &host, &port, "steering"]));
    let steered = |node: &str| -> f64 {
        let counted = demo.metric(node, "mqtt_clients_steered_total");
        counted.iter().filter(|(line, _)| line.contains("\"home\"")).map(|(_, count)| count).sum()
    };
    until("the home has counted whom it sent for", || steered("d2") >= 2.0);
    assert!(steered("d1") < 0.5, "the node that was asked first sent nobody to itself");
}

#[test]
fn the_clients_of_a_node_that_is_drained_leave_it_and_come_back_when_the_drain_is_called_off() {
    let demo = Demo::start(&["--nodes", "2"]);
    demo.until_synced(2);
    let listen = |name: String| Subscriber::start(demo.mqtt("d1"), &Hello::transient(&name), &["t"], QoS::AtMostOnce);
    let clients: Vec<Subscriber> = (0..20).map(|nth| listen(format!("leaving {nth}"))).collect();
    let staying = Subscriber::start(demo.mqtt("d2"), &Hello::transient("staying"), &["t"], QoS::AtMostOnce);
    let nodes = demo.control("GET", "/api/v1/nodes", "");
    let found = nodes["items"].as_array().unwrap().iter().find(|node| node["name"] == "d1");
    let path = format!("/api/v1/nodes/{}", found.unwrap()["id"].as_str().unwrap());
    let drained = demo.control("POST", &format!("{path}/drain"), "");
    assert_eq!(drained["phase"], "draining", "{drained}");
    until("all have left", || clients.iter().all(Subscriber::is_over));
    let counted = demo.metric("d1", "mqtt_clients_steered_total");
    let left: f64 = counted.iter().filter(|(line, _)| line.contains("drain_connected")).map(|(_, count)| count).sum();
    assert!((19.5..20.5).contains(&left), "{left} of 20 clients were told");
    assert!(!staying.is_over());
    let is_ready = |node: &str| demo.metric(node, "mqtt_node_ready").iter().any(|(_, ready)| *ready > 0.5);
    assert!(!is_ready("d1") && is_ready("d2"));
    until("control hears that nobody is left", || demo.control("GET", &path, "")["connections"] == 0);
    let _ = demo.control("PATCH", &path, r#"{"cordoned": false}"#);
    until("the node takes clients again", || is_ready("d1"));
    let back = listen("back".into());
    let mut publisher = Publisher::start(demo.mqtt("d2"), "publisher");
    publisher.publish("t", 0..1, QoS::AtLeastOnce);
    back.until_number("t", 0);
    [back, staying].into_iter().for_each(|subscriber| drop(subscriber.stop()));
}
