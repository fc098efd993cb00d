//! What is told, asked for, and how commands end.

use serde_json::{Value, json};
use sluice_controlplane_ctl::{failure::Exit, request::Condition, route::Route};

use crate::fake::{Fake, ONE, OTHER, list, node, overview, policy};

fn problem(code: &str) -> Value {
    json!({"title": "it cannot be", "code": code, "detail": "since it is so"})
}

#[test]
fn what_may_lose_something_asks_and_is_not_done_without_a_yes() {
    for line in [
        "nodes drain 4f2a",
        "nodes remove 4f2a",
        "placement delete factory-eu",
        "placement apply p-1f3a",
        "placement rollback 41",
        "store accept",
        "token revoke 9f86",
        "delete node 4f2a",
        "delete -f factory.yaml",
    ] {
        let mut nobody = Fake::new();
        assert_eq!(nobody.run(line).unwrap_err().exit, Exit::Usage, "{line}");
        let mut no = Fake::new().saying(false);
        assert_eq!(no.run(line).unwrap_err().exit, Exit::Failed, "{line}");
        assert_eq!(nobody.changes().len() + no.changes().len(), 0, "{line}");
        assert!(no.noted.last().unwrap().starts_with("This will "), "{line}: {:?}", no.noted);
        let mut yes = Fake::new().saying(true);
        assert_eq!((yes.run(line).unwrap(), yes.changes().len()), (Exit::Ok, 1), "{line}");
        let mut unasked = Fake::new();
        assert_eq!(unasked.run(&format!("{line} --yes")).unwrap(), Exit::Ok, "{line}");
    }
}

#[test]
fn refusals_of_control_end_with_their_codes() {
    for (status, code, exit) in [
        (401, "auth.required", Exit::Denied),
        (403, "auth.forbidden", Exit::Denied),
        (404, "not_found", Exit::Failed),
        (503, "control.not_leading", Exit::Unreachable),
    ] {
        let mut fake = Fake::new().answering(Route::Whoami, status, problem(code));
        let failure = fake.run("whoami").unwrap_err();
        assert!(failure.exit == exit && failure.to_string().contains("\n  -> "), "{failure}");
        assert_eq!(fake.shown, "", "nothing but data goes to standard output");
    }
}

#[test]
fn a_node_is_found_by_the_beginning_of_its_id_or_a_label_that_it_alone_has() {
    let asked = |line: &str| {
        let mut fake = Fake::new();
        fake.run(line).map(|_| fake.asked.last().unwrap().target())
    };
    let path = format!("/api/v1/nodes/{ONE}");
    for name in ["n1", "4f2a", "4F", "region=eu", ONE] {
        assert_eq!(asked(&format!("nodes describe {name}")).unwrap(), path, "{name}");
    }
    assert_eq!(asked("nodes describe 5").unwrap_err().exit, Exit::Failed);
    assert_eq!(asked("nodes describe region=mars").unwrap_err().exit, Exit::Failed);
    let mut two = Fake::new().answering(
        Route::Nodes,
        200,
        list(json!([node("4f2a000000000001", "eu", 1, "SYNCED"), node("4f2b000000000001", "eu", 1, "SYNCED")])),
    );
    let failure = two.run("nodes describe 4f2").unwrap_err();
    assert!(failure.exit == Exit::Usage && failure.reason().contains("4f2b"), "{failure}");
}

#[test]
fn labels_of_others_are_kept_and_nobody_is_overrun() {
    let mut fake = Fake::new();
    fake.run("nodes label 4f2a disk=nvme").unwrap();
    let patch = fake.asked.last().unwrap();
    assert_eq!(patch.body, Some(json!({"labels": {"disk": "nvme", "owner": "anna"}})));
    assert_eq!(patch.condition, Some(Condition::At(7)));
}

#[test]
fn lists_are_put_together_from_their_pages() {
    let page = |id: &str, next: Value| json!({"items": [node(id, "eu", 1, "SYNCED")], "next_cursor": next});
    let mut fake = Fake::new().answering(Route::Nodes, 200, page(ONE, json!(ONE))).answering(
        Route::Nodes,
        200,
        page(OTHER, Value::Null),
    );
    fake.run("nodes ls -o json").unwrap();
    let value: Value = serde_json::from_str(&fake.shown).unwrap();
    assert_eq!((value["items"].as_array().unwrap().len(), &value["next_cursor"]), (2, &Value::Null));
    assert_eq!(fake.asked[1].target(), format!("/api/v1/nodes?limit=1000&cursor={ONE}"));
    let mut stuck = Fake::new().answering(Route::Nodes, 200, page(ONE, json!(ONE)));
    stuck.run("nodes ls").unwrap();
    assert_eq!(stuck.asked.len(), 2, "a cursor that does not go on ends the list");
}

#[test]
fn whoever_watches_sees_what_changes_and_that_control_is_away() {
    let mut fake = Fake::new()
        .answering(Route::Whoami, 200, json!({"name": "anna", "role": "viewer"}))
        .answering(Route::Whoami, 200, json!({"name": "anna", "role": "viewer"}))
        .answering(Route::Whoami, 0, Value::Null)
        .answering(Route::Whoami, 200, json!({"name": "anna", "role": "admin"}));
    fake.reads = 2;
    assert_eq!(fake.run("whoami -w").unwrap_err().exit, Exit::Ok, "it ends when nobody reads");
    let once = |role: &str| format!("--clear--\nname  anna\nrole  {role}\nid    \n");
    assert_eq!(fake.shown.replace("id\n", "id    \n"), once("viewer") + &once("admin"));
    assert_eq!((fake.noted.len(), fake.pauses), (1, 3));
    let mut refused = Fake::new().answering(Route::Whoami, 401, problem("auth.required"));
    assert_eq!(refused.run("whoami -w").unwrap_err().exit, Exit::Denied);
}

#[test]
fn a_drain_is_waited_for_and_given_up_when_the_time_is_over() {
    let left = |fake: Fake, (shards, clients): (u64, Option<u64>)| {
        let mut node = node(ONE, "eu", shards, "SYNCED");
        node["connections"] = json!(clients);
        fake.answering(Route::Node, 200, node)
    };
    let steps = [(64, Some(300)), (64, Some(300)), (3, Some(100)), (0, Some(7)), (0, None)];
    let mut done = steps.into_iter().fold(Fake::new(), left);
    assert_eq!(done.run("nodes drain 4f2a --wait 1m --yes").unwrap(), Exit::Ok);
    let said = ["64 shards and 300 clients", "3 shards and 100 clients", "0 shards and 7 clients"];
    assert_eq!(done.noted[..3], said.map(|left| format!("draining {ONE}: {left} left")));
    let mut never = left(Fake::new(), (5, Some(0)));
    let failure = never.run("nodes drain 4f2a --wait 10s --yes").unwrap_err();
    assert_eq!((failure.exit, never.pauses), (Exit::Pending, 11));
}

#[test]
fn an_applied_plan_is_waited_for_until_nothing_moves_twice() {
    let moving = |count: u64| {
        let mut value = overview(json!([]));
        value["placement"]["moving"] = json!(count);
        value
    };
    let mut fake =
        [0, 4, 0, 0].into_iter().fold(Fake::new(), |fake, count| fake.answering(Route::Overview, 200, moving(count)));
    assert_eq!(fake.run("placement apply p-1 --yes --wait 1m").unwrap(), Exit::Ok);
    assert_eq!((fake.pauses, fake.noted.last().unwrap().as_str()), (4, "nothing moves"));
    let mut never = Fake::new().answering(Route::Overview, 200, moving(4));
    assert_eq!(never.run("placement apply p-1 --yes --wait 5s").unwrap_err().exit, Exit::Pending);
}

#[test]
fn a_plan_is_written_down_and_applied_from_the_file_and_its_exit_code_says_whether_it_changes_something() {
    let mut fake = Fake::new();
    assert_eq!(fake.run("placement plan -f factory.yaml --out plan.json --detailed-exitcode").unwrap(), Exit::Pending);
    assert!(fake.written["plan.json"].contains("p-1f3a"));
    let body = fake.asked[0].body.clone().unwrap();
    assert_eq!((&body["put"][0]["metadata"]["name"], &body["delete"]), (&json!("factory-eu"), &json!([])));
    let mut fake = Fake::new();
    fake.run("placement apply plan.json --yes").unwrap();
    assert_eq!(fake.changes(), ["POST /api/v1/placement/plans/p-1f3a/apply"]);
    assert_eq!(Fake::new().run("placement apply factory.yaml --yes").unwrap_err().exit, Exit::Config);
    let nothing = json!({"id": "p-2", "moves": 0, "policies": [], "settled": true});
    let mut fake = Fake::new().answering(Route::MakePlan, 201, nothing);
    assert_eq!(fake.run("placement plan --delete x --detailed-exitcode").unwrap(), Exit::Ok);
}

#[test]
fn applying_says_what_became_of_each_policy_and_is_made_from_what_was_seen() {
    let run = |fake: Fake| {
        let mut fake = fake;
        fake.run("apply -f factory.yaml").unwrap();
        (fake.shown.clone(), fake.asked.last().unwrap().condition.clone())
    };
    let same = run(Fake::new());
    assert_eq!(same, ("Placement factory-eu unchanged\n".into(), Some(Condition::At(7))));
    let new = run(Fake::new().answering(Route::Policy, 404, problem("not_found")));
    assert_eq!(new, ("Placement factory-eu created\n".into(), Some(Condition::Absent)));
    let other = run(Fake::new().answering(Route::Policy, 200, policy("factory-eu", "us")));
    assert_eq!(other.0, "Placement factory-eu changed\n");
    let mut lost = Fake::new().answering(Route::PutPolicy, 412, problem("precondition.failed"));
    assert_eq!(lost.run("apply -f factory.yaml").unwrap_err().exit, Exit::Failed);
    let mut away = Fake::new().answering(Route::Policy, 503, problem("store.unread"));
    assert_eq!(away.run("apply -f factory.yaml").unwrap_err().exit, Exit::Unreachable);
    assert_eq!(Fake::new().run("apply -f nowhere.yaml").unwrap_err().exit, Exit::Config);
}

#[test]
fn a_diff_ends_with_2_if_something_would_change() {
    let mut same = Fake::new();
    assert_eq!((same.run("diff -f factory.yaml").unwrap(), same.shown.as_str()), (Exit::Ok, ""));
    let mut other = Fake::new().answering(Route::Policy, 200, policy("factory-eu", "us"));
    assert_eq!(other.run("diff -f factory.yaml").unwrap(), Exit::Pending);
    assert_eq!(other.shown, "Placement factory-eu\n  - spec.home.region: \"us\"\n  + spec.home.region: \"eu\"\n");
    let mut new = Fake::new().answering(Route::Policy, 404, problem("not_found"));
    assert_eq!(new.run("placement diff -f factory.yaml").unwrap(), Exit::Pending);
    assert!(new.shown.starts_with("Placement factory-eu  (new)\n  + spec.topics: [\"factory/eu/#\"]"), "{}", new.shown);
}

#[test]
fn a_check_says_what_is_not_well_and_what_to_do_and_how_it_stands() {
    let mut warned = Fake::new();
    assert_eq!(warned.run("check -o short").unwrap(), Exit::Ok);
    assert!(warned.shown.ends_with("Status: healthy (1 warning)\n"), "{}", warned.shown);
    assert!(warned.shown.contains("config sync    ‼ every node holds what is pushed: 8b31"), "{}", warned.shown);
    let alarm = json!([{"code": "node.silent", "severity": "critical", "message": "node x"}]);
    let mut sick = Fake::new().answering(Route::Overview, 200, overview(alarm));
    assert_eq!(sick.run("check").unwrap(), Exit::Pending);
    assert!(sick.shown.contains("alarms         × no critical alarm: node.silent: node x\n"), "{}", sick.shown);
    assert!(sick.shown.contains("                 -> do what the alarm says"), "{}", sick.shown);
    let mut away = Fake::new().answering(Route::Health, 0, Value::Null);
    assert_eq!(away.run("check -o json").unwrap(), Exit::Failed);
    let value: Value = serde_json::from_str(&away.shown).unwrap();
    assert_eq!((&value["status"], value["checks"].as_array().unwrap().len()), (&json!("unknown"), 18));
    assert_eq!((&value["checks"][0]["state"], &value["checks"][1]["state"]), (&json!("failed"), &json!("skipped")));
    let mut stranger = Fake::new().answering(Route::Whoami, 401, problem("auth.required"));
    assert_eq!(stranger.run("check").unwrap(), Exit::Failed);
}

#[test]
fn a_check_tries_again_until_all_is_well_or_the_time_is_over() {
    let alarm = || overview(json!([{"code": "a", "severity": "critical", "message": "b"}]));
    let mut fake = Fake::new()
        .answering(Route::Overview, 200, alarm())
        .answering(Route::Overview, 200, alarm())
        .answering(Route::Overview, 200, overview(json!([])));
    assert_eq!((fake.run("check --wait 1m").unwrap(), fake.pauses), (Exit::Ok, 2));
    let mut never = Fake::new().answering(Route::Overview, 200, alarm());
    assert_eq!((never.run("check --wait 5s").unwrap(), never.pauses), (Exit::Pending, 5));
}

#[test]
fn what_an_older_program_does_not_know_does_no_harm_and_what_is_no_answer_is_said() {
    let mut fake = Fake::new().answering(Route::Nodes, 200, list(json!([{"id": "a", "phase": "new", "x": [1]}])));
    assert_eq!(fake.run("nodes ls").unwrap(), Exit::Ok);
    let mut wrong = Fake::new().answering(Route::Nodes, 200, json!({"nodes": []}));
    let failure = wrong.run("nodes ls").unwrap_err();
    assert!(failure.exit == Exit::Failed && failure.reason().contains("items"), "{failure}");
    assert_eq!(wrong.run("nodes ls -o jsonl").unwrap(), Exit::Ok);
    assert_eq!(wrong.shown, "{\"nodes\":[]}\n", "programs get the answer as it is");
    let mut raw = Fake::new();
    raw.run("metrics").unwrap();
    assert_eq!(raw.shown, "mqtt_cluster_leader 1\n");
}

#[test]
fn a_new_token_stands_alone_on_standard_output() {
    let mut fake = Fake::new();
    fake.run("nodes token create --ttl 10m").unwrap();
    assert_eq!((fake.shown.as_str(), fake.noted.len()), ("slj1.a.b\n", 1));
    assert_eq!(fake.asked[0].target(), "/api/v1/node-tokens?ttl_s=600");
    let mut fake = Fake::new();
    fake.run("token create --name anna --role operator --ttl 90d -o json").unwrap();
    assert_eq!(fake.asked[0].body, Some(json!({"name": "anna", "role": "operator", "ttl_s": 7_776_000})));
    let value: Value = serde_json::from_str(&fake.shown).unwrap();
    assert_eq!((&value["id"], fake.noted.len()), (&json!("9f86"), 0));
}
