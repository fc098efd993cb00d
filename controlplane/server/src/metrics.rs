//! Control's figures, by the names that dashboards and rules rely on.

use sluice_cluster::{Liveness, NodePhase};
use sluice_controlplane_core::reconciler::Severity;
use sluice_service::metrics::{Kind, Metric, Scrape};

use crate::control::Desk;

macro_rules! metrics {
    ($($ident:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $ident: Metric =
            Metric { name: $name, help: $help, kind: Kind::$kind, labels: &[$($label),*] };)*
        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[&Metric] = &[$(&$ident),*];
    };
}

metrics! {
    LEADER Gauge "mqtt_cluster_leader" [] "Whether this replica of control leads.";
    EPOCH Gauge "mqtt_control_leadership_epoch" [] "The epoch of the leadership in the store.";
    NODES Gauge "mqtt_cluster_nodes" ["state"] "Nodes by phase, those that are not heard of as silent.";
    STREAMS Gauge "mqtt_control_streams" [] "Nodes whose streams are open to this replica.";
    STALE Gauge "mqtt_control_nodes_stale" [] "Connected nodes that do not hold all that is published.";
    SHARDS Gauge "mqtt_placement_shards" [] "Shards that are placed.";
    MOVING Gauge "mqtt_placement_shards_moving" [] "Shards that are changing their replicas.";
    REVISION Gauge "mqtt_config_revision" [] "The number of what operators want.";
    STORE_SIZE Gauge "mqtt_etcd_storage_bytes" ["member"] "Bytes of each member of the metadata store.";
    STORE_QUOTA Gauge "mqtt_etcd_quota_bytes" [] "Bytes at which the metadata store stops taking writes, if it says.";
    ALARMS Gauge "mqtt_control_alarms" ["severity"] "Alarms that are there.";
    ROUTES Gauge "mqtt_control_route_filters" [] "Topic filters in the routes of all regions.";
}

/// What is known, in the text format.
pub(crate) fn text(desk: &Desk) -> String {
    let mut scrape = Scrape::new();
    scrape.process();
    let reconciler = desk.reconciler();
    scrape.set(&LEADER, &[], u64::from(desk.is_leading()));
    let (streams, stale) = desk.streams();
    scrape.set(&STREAMS, &[], streams as u64);
    scrape.set(&STALE, &[], stale as u64);
    scrape.set(&ROUTES, &[], reconciler.routes().map(|table| table.len() as u64).sum::<u64>());
    let alarms = reconciler.alarms();
    for (severity, name) in [(Severity::Warning, "warning"), (Severity::Critical, "critical")] {
        scrape.set(&ALARMS, &[name], alarms.iter().filter(|alarm| alarm.severity() == severity).count() as u64);
    }
    nodes(desk, &mut scrape);
    if let Some(view) = reconciler.view() {
        scrape.set(&EPOCH, &[], view.leadership().map_or(0, |leadership| leadership.epoch.0));
        scrape.set(&REVISION, &[], view.intent().number);
        if let Ok(placement) = view.placement() {
            scrape.set(&SHARDS, &[], placement.shards().len() as u64);
            scrape.set(&MOVING, &[], placement.shards().values().filter(|of| of.is_moving()).count() as u64);
        }
    }
    if let Some(Ok(status)) = desk.store_status() {
        for member in status.members.iter().filter(|member| member.error.is_none()) {
            scrape.set(&STORE_SIZE, &[&member.name], member.size_bytes);
        }
        if let Some(quota) = status.quota_bytes {
            scrape.set(&STORE_QUOTA, &[], quota);
        }
    }
    scrape.text()
}

fn nodes(desk: &Desk, scrape: &mut Scrape) {
    let Some(input) = desk.reconciler().plan_input() else { return };
    let is_silent = |node: &sluice_cluster::Node| desk.is_leading() && node.liveness != Liveness::Live;
    let states = [
        (NodePhase::Joining, "joining"),
        (NodePhase::Active, "active"),
        (NodePhase::Cordoned, "cordoned"),
        (NodePhase::Draining, "draining"),
    ];
    let all = || input.nodes.values().map(|known| &known.node).filter(|node| node.phase != NodePhase::Gone);
    for (phase, name) in states {
        scrape.set(&NODES, &[name], all().filter(|node| node.phase == phase && !is_silent(node)).count() as u64);
    }
    scrape.set(&NODES, &["silent"], all().filter(|node| is_silent(node)).count() as u64);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sluice_service::metrics::{lint, page};

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        assert_eq!(lint(ALL), Vec::<String>::new());
    }

    #[test]
    fn the_reference_page_lists_what_the_code_exposes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics-control.md");
        let fresh = page(&fs::read_to_string(&path).unwrap(), ALL).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &fresh).unwrap();
        }
        let page = fs::read_to_string(&path).unwrap();
        assert!(page == fresh, "docs/metrics-control.md is out of date: run this test with UPDATE_DOCS=1");
    }
}
