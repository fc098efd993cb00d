//! MQTT.js over WebSocket; what it does stands in `clients/mqttjs_client.cjs`.

use std::process::Command;

use sluice_tests_conformance::{Server, certificates::Authority, node};
use sluice_tests_e2e::program::{installed, run, wanted};

fn scenario(server: &Server, scheme: &str, name: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/mqttjs_client.cjs");
    let port = server.address(scheme).port();
    let url = format!("{scheme}://localhost:{port}/mqtt");
    let mut command = Command::new("node");
    if scheme == "wss" {
        command.env("NODE_EXTRA_CA_CERTS", server.folder().join("ca.pem"));
    }
    run(command.env("NODE_PATH", installed("javascript/node_modules")).args([script, &url, name]));
}

#[test]
fn every_version_receives_what_it_publishes_in_order_at_every_qos() {
    if wanted("mqttjs") {
        scenario(Server::shared(), "ws", "every_qos");
    }
}

#[test]
fn properties_of_version_5_arrive() {
    if wanted("mqttjs") {
        scenario(Server::shared(), "ws", "properties");
    }
}

#[test]
fn sessions_wills_and_retained_messages_work() {
    if wanted("mqttjs") {
        scenario(Server::shared(), "ws", "sessions");
    }
}

#[test]
fn all_of_it_works_over_tls() {
    if !wanted("mqttjs") {
        return;
    }
    let authority = Authority::new("server CA");
    let identity = authority.server();
    let server = node()
        .file("server.crt", &identity.certificate_pem)
        .file("server.key", &identity.key_pem)
        .file("ca.pem", authority.pem())
        .listener(
            "bind: '127.0.0.1:0', protocol: ws, allow_anonymous: true, \
             tls: {certificates: [{cert: server.crt, key: server.key}]}",
        )
        .start(&["wss"]);
    for name in ["every_qos", "properties", "sessions"] {
        scenario(&server, "wss", name);
    }
}
