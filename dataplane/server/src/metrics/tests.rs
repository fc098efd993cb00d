use std::path::Path;

use sluice_service::metrics::{lint, page};

use super::*;
use crate::admin::sample;

/// A node where everything that can be there is there.
fn node() -> NodeSnapshot {
    NodeSnapshot { reload_failing: vec!["rules".into()], memory_budget_bytes: 1, ..sample::node() }
}

#[test]
fn every_metric_of_the_table_is_exposed_and_no_other() {
    let text = text(&node());
    let mut exposed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE mqtt_")?.split(' ').next()).collect();
    let mut table: Vec<&str> = ALL.iter().filter_map(|metric| metric.name.strip_prefix("mqtt_")).collect();
    exposed.sort_unstable();
    table.sort_unstable();
    assert_eq!(exposed, table);
}

#[test]
fn figures_stand_under_their_names_in_base_units() {
    let text = text(&node());
    for line in [
        "mqtt_connections{listener=\"tls-8883\",protocol=\"3.1.1\"} 2",
        "mqtt_connections_opened_total{listener=\"tls-8883\"} 9",
        "mqtt_publish_duration_seconds_bucket{le=\"0.00001\"} 0",
        "mqtt_publish_duration_seconds_bucket{le=\"0.00003\"} 1",
        "mqtt_publish_duration_seconds_sum 0.00002",
        "mqtt_delivery_duration_seconds_count{path=\"local\"} 0",
        "mqtt_tls_certificate_expiry_timestamp_seconds{listener=\"tls-8883\"} 1800000000",
        "mqtt_store_disk_bytes{column=\"retained\"} 500000",
        "mqtt_config_reload_failing{what=\"rules\"} 1",
        "mqtt_peer_round_trip_seconds{peer=\"a1\"} 0.002",
        "mqtt_peer_queue_bytes{peer=\"a1\"} 7",
        "mqtt_peer_sent_bytes_total{peer=\"a1\"} 8",
        "mqtt_peer_received_bytes_total{peer=\"a1\"} 9",
        "mqtt_forwarded_copies_total{scope=\"region\"} 3",
        "mqtt_forwarded_copies_total{scope=\"other_region\"} 2",
        "mqtt_forwarded_arrived_total 4",
        "mqtt_forwarded_failed_total{outcome=\"dropped\"} 1",
        "mqtt_forwarded_failed_total{outcome=\"refused\"} 3",
        "mqtt_config_stream_connected 1",
        "mqtt_config_snapshot_age_seconds 0",
        "mqtt_config_table_revision{table=\"placement\"} 41",
        "mqtt_node_ready 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is missing in\n{text}");
    }
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    assert_eq!(lint(&ALL), Vec::<String>::new());
}

#[test]
fn the_reference_page_lists_what_the_code_exposes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let fresh = page(&std::fs::read_to_string(&path).unwrap(), &ALL).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == fresh, "docs/metrics.md is out of date: run this test with UPDATE_DOCS=1");
}
