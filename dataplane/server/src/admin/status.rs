//! The JSON of `/ready` and `/cluster/status`.

use std::time::SystemTime;

use serde::Serialize;

use super::{ClusterStatus, NodeSnapshot, Phase, Readiness};

/// The answer of `/ready`.
#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
    mode: &'static str,
    checks: Checks,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

/// One word for each thing that can be wrong.
#[derive(Serialize)]
struct Checks {
    node: &'static str,
    workers: &'static str,
    store: &'static str,
    reload: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<&'static str>,
}

impl Ready {
    pub(super) fn of(node: &NodeSnapshot) -> Self {
        let readiness = node.readiness();
        let cluster = node.cluster.as_ref();
        let phase = match node.phase {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
        };
        let checks = Checks {
            node: phase,
            workers: if node.workers_answer { "ok" } else { "hanging" },
            store: if node.store.writable { "ok" } else { "nearly_full" },
            reload: if node.reload_failing.is_empty() { "ok" } else { "failing" },
            control: cluster.map(|of| if of.without_control_for.is_none() { "ok" } else { "unreachable" }),
            placement: cluster.map(|of| if of.has_placement() { "ok" } else { "unknown" }),
            peers: cluster.map(|of| if of.unlinked().next().is_none() { "ok" } else { "unreachable" }),
        };
        let mut details = Vec::new();
        match node.phase {
            Phase::Starting => details.push("the node reads its store; it takes clients when that is done".to_owned()),
            Phase::Draining => details.push("the node sends its clients away and takes no new ones".to_owned()),
            Phase::Serving => {}
        }
        if !node.workers_answer {
            details.push("a worker does not answer: its clients are stuck".to_owned());
        }
        if !node.store.writable {
            details
                .push("the disk is nearly full: new durable work is refused with 0x97 until there is room".to_owned());
        }
        let failing =
            |what: &String| format!("{what} changed and could not be read; the old state is in force, see the log");
        details.extend(node.reload_failing.iter().map(failing));
        details.extend(cluster.into_iter().flat_map(of_cluster));
        Self {
            status: if readiness.is_ready() { "ready" } else { "not_ready" },
            mode: readiness.name(),
            checks,
            details,
        }
    }
}

/// What is not as it should be between a node and the others.
fn of_cluster(cluster: &ClusterStatus) -> Vec<String> {
    let mut details = Vec::new();
    if !cluster.has_placement() {
        details.push("control has not said yet where sessions and retained messages live".to_owned());
    }
    if let Some(without) = cluster.without_control_for {
        let (seconds, revision) = (without.as_secs(), revision(cluster));
        details.push(format!(
            "control has not been reached for {seconds} s; the node serves with the tables of revision {revision}"
        ));
    }
    details.extend(cluster.unlinked().map(|peer| format!("there is no link to node {}", peer.node)));
    details
}

/// The newest that a node holds of what control has published.
fn revision(cluster: &ClusterStatus) -> u64 {
    cluster.held.iter().map(|(_, version)| *version).max().unwrap_or_default().counter
}

/// The answer of `/cluster/status`: the fields that tools know, and the numbers behind their texts.
#[derive(Serialize)]
pub(super) struct Status {
    status: &'static str,
    cluster: Cluster,
    connections: u64,
    sessions: u64,
    subscriptions: u64,
    retained_messages: u64,
    nodes_missing: Vec<String>,
}

#[derive(Serialize)]
struct Cluster {
    node_id: String,
    leader: bool,
    nodes: usize,
    etcd_storage: String,
    etcd_storage_bytes: u64,
    store_storage: String,
    store_storage_bytes: u64,
    /// The name under which tools of the former product look for it.
    badger_storage: String,
    config_revision: u64,
    view: &'static str,
    as_of: String,
    version: &'static str,
    uptime_seconds: u64,
}

impl Status {
    /// A node without a control plane is a cluster of its own, and leads it. One that has a control plane counts what it
    /// holds itself, and says which of the others it does not reach.
    pub(super) fn of(node: &NodeSnapshot, now: SystemTime) -> Self {
        let stats = &node.stats;
        let cluster = node.cluster.as_ref();
        let stored: u64 = node.store.disk_bytes.iter().map(|(_, bytes)| bytes).sum();
        Self {
            status: match node.readiness() {
                Readiness::Nominal => "healthy",
                Readiness::Degraded => "degraded",
                Readiness::Draining => "draining",
                Readiness::NotReady => "unhealthy",
            },
            cluster: Cluster {
                node_id: node.name.clone(),
                leader: cluster.is_none(),
                nodes: 1 + cluster.map_or(0, |of| of.peers.len()),
                etcd_storage: storage(0),
                etcd_storage_bytes: 0,
                store_storage: storage(stored),
                store_storage_bytes: stored,
                badger_storage: storage(stored),
                config_revision: cluster.map_or(0, revision),
                view: if cluster.is_some_and(|of| of.without_control_for.is_some()) { "stored" } else { "live" },
                as_of: humantime::format_rfc3339_seconds(now).to_string(),
                version: node.build.version,
                uptime_seconds: node.uptime.as_secs(),
            },
            connections: stats.connections.iter().flatten().map(|&open| u64::try_from(open).unwrap_or(0)).sum(),
            sessions: stats.sessions_connected + stats.sessions_offline,
            subscriptions: stats.subscriptions_exact + stats.subscriptions_wildcard + stats.subscriptions_shared,
            retained_messages: stats.retained_messages,
            nodes_missing: cluster
                .into_iter()
                .flat_map(ClusterStatus::unlinked)
                .map(|peer| peer.node.clone())
                .collect(),
        }
    }
}

/// Bytes as the former product wrote them: `45.3GB`, in powers of ten.
#[allow(clippy::cast_precision_loss)]
fn storage(bytes: u64) -> String {
    let (unit, name) = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")]
        .into_iter()
        .find(|(unit, _)| bytes as f64 >= *unit)
        .unwrap_or((1.0, "B"));
    if unit == 1.0 { format!("{bytes}{name}") } else { format!("{:.1}{name}", bytes as f64 / unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_written_with_one_decimal_in_powers_of_ten() {
        assert_eq!(storage(0), "0B");
        assert_eq!(storage(999), "999B");
        assert_eq!(storage(2_100_000_000), "2.1GB");
        assert_eq!(storage(45_300_000), "45.3MB");
    }
}
