//! The files of deploy/ that a node reads.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::{collections::BTreeMap, path::Path};

use sluice_dataplane_server::config::{Bind, NodeConfig};
use sluice_service::config::Source;

#[test]
fn a_node_takes_the_files_that_are_shipped_for_it_and_finds_control_in_them() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in ["docker/node.yaml", "k8s/config/node.yaml"] {
        // What is different from node to node stands in the environment of its container.
        let environment = [("SLUICE_NODE__NAME", "node1"), ("SLUICE_CLUSTER__PEERS__ADVERTISE", "node1:7070")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = Source::read(&deploy.join(file)).unwrap().with_environment(environment);
        let config = NodeConfig::from_source(&source).unwrap_or_else(|error| panic!("{error}"));
        let control = config.cluster.control.unwrap();
        assert!(control.endpoints.iter().all(|endpoint| endpoint.ends_with(":7081")), "{file}: {control:?}");
        assert_eq!(control.token.as_deref(), Some(Path::new("/join/token")), "{file}");
        assert_eq!(config.admin.bind.port(), 7090, "{file}: that is where probes and Prometheus ask");
        assert!(!config.admin.bind.ip().is_loopback(), "{file}: they ask from other containers");
        let ports: BTreeMap<u16, &Bind> = config.listeners.iter().filter_map(|listener| port(&listener.bind)).collect();
        assert!(ports.contains_key(&1883) && ports.contains_key(&8083), "{file}: {ports:?}");
    }
}

fn port(bind: &Bind) -> Option<(u16, &Bind)> {
    match bind {
        Bind::Tcp(address) => Some((address.port(), bind)),
        Bind::Unix(_) => None,
    }
}
