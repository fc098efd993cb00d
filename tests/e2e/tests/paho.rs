//! Paho's Python client; what it does stands in `clients/paho_client.py`.

use std::process::Command;

use sluice_tests_conformance::Server;
use sluice_tests_e2e::program::{installed, run, wanted};

fn scenario(name: &str) {
    if !wanted("paho") {
        return;
    }
    let address = Server::shared().address("mqtt");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/paho_client.py");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    run(Command::new(installed("python/bin/python")).args([script, &host, &port, name]));
}

#[test]
fn every_version_receives_what_it_publishes_in_order_at_every_qos() {
    scenario("every_qos");
}

#[test]
fn properties_of_messages_arrive_with_user_properties_in_order() {
    scenario("message_properties");
}

#[test]
fn topic_aliases_work_both_ways() {
    scenario("topic_aliases");
}

#[test]
fn sessions_live_as_long_as_they_were_told_to() {
    scenario("session_expiry");
}

#[test]
fn a_will_waits_for_its_delay() {
    scenario("will_delay");
}

#[test]
fn a_request_gets_its_response() {
    scenario("request_response");
}

#[test]
fn subscription_options_are_kept() {
    scenario("subscription_options");
}
