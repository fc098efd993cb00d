//! The executable against a real replica of control, with a store of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic names the test")]

mod stage;

use std::fs;

use serde_json::Value;
use stage::{Stage, free_address};

const POLICY: &str = "apiVersion: sluice/v1\nkind: Placement\nmetadata: {name: factory}\n\
                      spec: {topics: ['factory/#'], home: {region: eu}}\n";

#[test]
fn an_operator_walks_through_a_cluster_from_the_first_token_to_a_rollback() {
    let stage = Stage::start();
    let status = stage.good("status");
    assert!(status.contains("c1 leads") && status.contains("No nodes yet"), "{status}");
    assert_eq!(stage.json("whoami")["role"], "admin");
    let token = stage.good("token create --name anna --role operator --ttl 1h");
    fs::write(stage.path("anna.token"), &token).unwrap();
    stage.wait_for("whoami --token-file anna.token", |out| out.contains("operator"));
    assert!(stage.good("token ls").contains("anna"));
    assert!(stage.good("nodes token create").starts_with("slj1."));
    assert!(stage.good("nodes ls").contains("No nodes yet"));
    assert_eq!(stage.json("nodes ls")["items"], Value::Array(Vec::new()));

    stage.file("factory.yaml", POLICY);
    assert_eq!(stage.run("diff -f factory.yaml").0, 2);
    assert!(stage.good("apply -f factory.yaml").contains("factory created"));
    assert_eq!(
        stage.run("diff -f factory.yaml"),
        (0, String::new(), String::new()),
        "what a file leaves out is the default"
    );
    assert!(stage.good("apply -f factory.yaml").contains("factory unchanged"));
    stage.file("factory.yaml", &POLICY.replace("region: eu", "region: us"));
    assert_eq!(
        stage.run("diff -f factory.yaml").1,
        "Placement factory\n  - spec.home.region: \"eu\"\n  + spec.home.region: \"us\"\n"
    );
    // A plan is for the placement that there is: the first one has to be there.
    stage.wait_for("status", |out| !out.contains("placement 0.0"));
    let (code, plan, _) = stage.run("placement plan -f factory.yaml --out plan.json --detailed-exitcode");
    assert!(code == 2 && plan.contains("-> region us"), "{plan}");
    assert!(stage.good("placement get factory").contains("region: eu"), "a plan changes nothing");
    assert!(stage.good("placement apply plan.json --yes --wait 20s").starts_with("Applied: revision 2"));
    assert!(stage.good("placement get factory").contains("region: us"));
    assert_eq!(stage.run("placement apply plan.json --yes").0, 1, "a plan is applied once");
    let history = stage.json("placement history");
    assert_eq!(
        (history["items"][0]["revision"].as_u64(), history["items"][0]["by"].as_str()),
        (Some(2), Some("bootstrap"))
    );
    stage.good("placement rollback 1 --yes");
    assert!(stage.good("placement get factory").contains("region: eu"));
    stage.wait_for("topics where factory/a", |out| out.contains("policy          factory"));
    assert!(stage.good("placement simulate --loss region=eu").contains("No node that is there would be lost"));
    assert!(stage.good("placement delete factory --dry-run").contains("shard"));
    assert!(
        stage.good("placement pause").starts_with("Paused") && stage.good("placement resume").starts_with("Resumed")
    );
    assert_eq!(stage.good("delete -f factory.yaml --yes"), "Placement factory deleted\n");
    assert_eq!(stage.run("placement get factory").0, 1);
}

#[test]
fn everything_that_can_be_looked_at_is_shown_in_every_format() {
    let stage = Stage::start();
    for line in [
        "status",
        "status --short",
        "nodes ls",
        "nodes sync",
        "placement ls",
        "placement get topics",
        "placement show",
        "placement show --by-node",
        "placement history",
        "topics where a/b",
        "links ls",
        "links matrix",
        "store status",
        "alarms ls",
        "token ls",
        "whoami",
        "openapi",
    ] {
        for format in ["table", "wide", "yaml", "jsonl", "csv"] {
            let (code, _, error) = stage.run(&format!("{line} -o {format}"));
            assert_eq!((code, error.as_str()), (0, ""), "{line} -o {format}");
        }
        assert!(stage.json(line).is_object(), "{line}");
    }
    assert!(stage.good("metrics").contains("mqtt_cluster_leader 1"));
    let (code, out, _) = stage.run("check");
    assert!(code == 0 && out.contains("√ a replica leads") && out.contains("‼ there are nodes"), "{out}");
    let policies = stage.good("placement ls -o yaml");
    stage.file("all.yaml", &policies);
    assert_eq!(stage.run("diff -f all.yaml").0, 0, "what is listed can be applied");
    let none =
        ["nodes describe 00000000000000ff", "placement get none", "placement plan p-0", "token revoke none --yes"];
    assert_eq!(none.map(|line| stage.run(line).0), [1; 4]);
    assert_eq!(stage.run("placement rollback 7 --yes").0, 1);
}

#[test]
fn each_way_to_fail_has_its_code_and_says_what_to_do() {
    let stage = Stage::start();
    let failed = |line: &str| {
        let (code, out, error) = stage.run(line);
        assert!(out.is_empty() && error.contains("error: "), "{line}: {out} {error}");
        (code, error)
    };
    for line in
        ["nodes", "nothing", "nodes describe", "whoami -o xml", "placement plan", "token create --name a --role king"]
    {
        assert_eq!(failed(line).0, 64, "{line}");
    }
    assert_eq!(failed("token create --name two|words --role viewer").0, 64, "control cannot understand it either");
    assert_eq!(failed("placement rollback 1").0, 64, "nobody is there to say yes");
    let (code, error) = failed("whoami --token slc_bootstrap_wrong");
    assert!(code == 77 && error.contains("because") && error.contains("-> name a token"), "{error}");
    fs::write(stage.path("viewer"), stage.good("token create --name v --role viewer")).unwrap();
    stage.wait_for("whoami --token-file viewer", |out| out.contains("viewer"));
    assert_eq!(failed("placement pause --token-file viewer").0, 77);
    let (code, error) = failed(&format!("status --server http://{}", free_address()));
    assert!(code == 69 && error.contains("-> see whether control runs"), "{error}");
    assert_eq!(failed("status --server ftp://x").0, 64);
    assert_eq!(failed("status --token-file nowhere").0, 78);
    stage.file("broken.yaml", "kind: [");
    assert_eq!(failed("apply -f broken.yaml").0, 78);
    assert_eq!(failed("status --context nowhere").0, 78);
    assert_eq!(stage.run(&format!("check --server http://{}", free_address())).0, 1);
}

#[test]
fn flags_come_before_the_environment_and_that_before_a_context() {
    let stage = Stage::start();
    let bare = |environment: &[(&str, &str)], line: &str| stage.run_in(environment, line);
    assert_eq!(bare(&[], "whoami").0, 69, "nothing is known yet");
    let add = format!("context add here --server {} --token-file token", stage.server());
    assert_eq!(bare(&[], &add).0, 0);
    assert_eq!(bare(&[], "whoami").0, 0);
    assert!(bare(&[], "context ls").1.contains("*  here"));
    assert_eq!(bare(&[("SLUICE_TOKEN", "slc_bootstrap_wrong")], "whoami").0, 77);
    let token = stage.good("whoami -o json");
    assert!(token.contains("admin"));
    let gone = format!("http://{}", free_address());
    assert_eq!(bare(&[("SLUICE_SERVER", &gone)], "whoami").0, 69);
    assert_eq!(bare(&[("SLUICE_SERVER", &gone)], "whoami --context here").0, 0);
    let server = stage.server();
    assert_eq!(bare(&[("SLUICE_SERVER", &server)], "whoami").0, 77, "the context's token is for the context's server");
    assert_eq!(bare(&[("SLUICE_SERVER", &server), ("SLUICE_TOKEN_FILE", "token")], "whoami").0, 0);
    assert_eq!(bare(&[], "context rm here").0, 0);
    assert_eq!(bare(&[], "whoami").0, 69);
}

#[test]
fn a_replica_that_is_away_is_passed_over() {
    let stage = Stage::start();
    let both = format!("http://{},{}", free_address(), stage.server());
    let (code, out, error) = stage.run(&format!("placement pause --server {both} --token-file token"));
    assert!(code == 0 && out.starts_with("Paused"), "{error}");
    assert_eq!(stage.run(&format!("status --short --server {both} --token-file token")).0, 0);
}

#[test]
fn control_behind_tls_is_known_by_its_own_authority_and_by_no_other() {
    let stage = Stage::start_with_tls();
    assert!(stage.server().starts_with("https://"));
    assert_eq!(stage.json("whoami --ca ca.pem")["role"], "admin");
    assert_eq!(
        stage.run_in(&[("SLUICE_CA", "ca.pem")], &format!("whoami --server {} --token-file token", stage.server())).0,
        0
    );
    let (code, _, error) = stage.run("whoami --ca other.pem");
    assert!(code == 69 && error.contains("TLS") && error.contains("--ca"), "{error}");
    assert_eq!(stage.run("whoami").0, 69, "the authorities of the system do not know it");
    stage.file("empty.pem", "");
    assert_eq!(stage.run("whoami --ca empty.pem").0, 78);
}

#[test]
fn what_is_said_goes_to_standard_error_and_what_was_asked_for_to_standard_output() {
    let stage = Stage::start();
    let (_, out, error) = stage.run("nodes token create");
    assert!(out.lines().count() == 1 && error.contains("shown this once"), "{out} {error}");
    let (_, out, error) = stage.run("nodes token create -o json");
    assert!(serde_json::from_str::<Value>(&out).is_ok() && error.is_empty(), "{out} {error}");
    assert!(!stage.good("check").contains('\u{1b}'), "no colours where there is no terminal");
    let exposed = format!("http://0.0.0.0:{}", stage.server().rsplit(':').next().unwrap());
    assert!(stage.run(&format!("whoami --token-file token --server {exposed}")).2.contains("warning: the token"));
    assert_eq!(stage.run("version").1, format!("sluicectl {}\n", env!("CARGO_PKG_VERSION")));
    assert!(stage.run("completion bash").1.contains("_sluicectl"));
    assert!(stage.run("--help").1.contains("placement"));
}
