//! The dashboard in a real browser; what it does there stands in `clients/dashboard.cjs`.

use std::{process::Command, time::Duration};

use sluice_tests_e2e::{
    demo::Demo,
    program::{installed, run_within, wanted},
};

/// Beyond what each step of a scenario waits at most, so that the step that hangs is the one that says so.
const SCENARIO_MAX: Duration = Duration::from_secs(600);

#[test]
fn a_person_sees_the_cluster_and_changes_it() {
    if !wanted("chromium") {
        return;
    }
    let demo = Demo::start(&["--nodes", "3", "--load", "20/s"]);
    let link = demo.dashboard();
    let browse = |scenario: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/dashboard.cjs");
        let mut command = Command::new("node");
        run_within(
            SCENARIO_MAX,
            command.env("NODE_PATH", installed("javascript/node_modules")).args([script, &link, scenario]),
        );
    };
    browse("pages");
    browse("apply");
    let policy = demo.control("GET", "/api/v1/placements/factory", "");
    assert_eq!(policy["spec"]["home"]["region"], "nowhere", "{policy}");
    demo.order(&["kill", "d3"]);
    browse("loss");
    browse("out");
}
