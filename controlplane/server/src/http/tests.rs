//! The document, and what does not need a running replica.

use std::collections::BTreeSet;

use sluice_cluster::{Label, PolicyError, Steer, SteerTo};
use sluice_controlplane_core::intent::Refusal;

use super::{Problem, openapi, resource, route::ROUTES};

/// Where the document is kept, for those who make clients of it.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_document_that_is_kept_is_that_of_the_routes() {
    let made = format!("{:#}\n", openapi::document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &made).unwrap();
    }
    let kept = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(kept == made, "run: UPDATE_DOCS=1 cargo test -p sluice-controlplane-server");
}

#[test]
fn every_route_is_in_the_document_once() {
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap();
    let told: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
        .collect();
    let routes = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_lowercase())).collect();
    assert_eq!(told, routes);
    let ids: BTreeSet<&str> = paths
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values().map(|of| of["operationId"].as_str().unwrap()))
        .collect();
    assert_eq!(ids.len(), ROUTES.len());
}

#[test]
fn a_policy_is_shown_as_it_can_be_put() {
    let text = r#"{"apiVersion":"sluice/v1","kind":"Placement","metadata":{"name":"eu"},"spec":{"topics":["eu/#"],
        "home":{"region":"eu-west"},"replicas":2,"spread":"zone","fallback":["eu-central"],
        "retained":{"replicate_below":2048},"remoteSubscribers":"deny"}}"#;
    let wanted: resource::Placement = serde_json::from_str(text).unwrap();
    let spec = wanted.parse().unwrap();
    assert_eq!((spec.replicas.value(), spec.hybrid_threshold_bytes, spec.filters.len()), (2, 2048, 1));
    let wrong = |text: &str| {
        let parsed = serde_json::from_str::<resource::Placement>(text).map_err(|error| error.to_string());
        parsed.and_then(resource::Placement::parse).unwrap_err()
    };
    assert!(wrong(&text.replace("\"replicas\"", "\"replica\"")).contains("unknown field"));
    assert!(wrong(&text.replace("eu/#", "eu/#/x")).contains("eu/#/x"));
    assert!(wrong(&text.replace("Placement", "Bridge")).contains("not of"));
    let two = text.replace("\"region\":\"eu-west\"", "\"region\":\"a\",\"nodes\":[]");
    assert!(wrong(&two).contains("one of them"));
}

#[test]
fn the_policy_of_sessions_says_which_clients_are_steered_and_others_do_not_mention_it() {
    let text = r#"{"apiVersion":"sluice/v1","kind":"Placement","metadata":{"name":"sessions"},
        "spec":{"home":{"region":"eu"},"steer":"area","steerTransient":true}}"#;
    let spec = serde_json::from_str::<resource::Placement>(text).unwrap().parse().unwrap();
    assert_eq!(spec.steer, Steer { to: SteerTo::Area, transient: true });
    let shown = serde_json::to_value(resource::Placement::wanted(&spec)).unwrap();
    assert_eq!((&shown["spec"]["steer"], &shown["spec"]["steerTransient"]), (&"area".into(), &true.into()));
    let off = serde_json::to_value(resource::Placement::wanted(&sluice_controlplane_core::intent::PolicySpec {
        steer: Steer::default(),
        ..spec
    }));
    let off = off.unwrap();
    assert!(off["spec"].get("steer").is_none() && off["spec"].get("steerTransient").is_none(), "{off}");
    let wrong = serde_json::from_str::<resource::Placement>(&text.replace("area", "zone")).map(|_| ()).unwrap_err();
    assert!(wrong.to_string().contains("expected one of `off`, `home`, `area`"), "{wrong}");
}

#[test]
fn a_policy_that_is_refused_says_where_in_it() {
    let body = |error: PolicyError| {
        let reply = Problem::from(Refusal::Policy(error)).reply("/api/v1/placements/a");
        serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()
    };
    let said = body(PolicyError::SteerByTopic { name: Label::parse("a").unwrap() });
    assert_eq!((&said["status"], &said["errors"][0]["pointer"]), (&422.into(), &"/spec/steer".into()));
    assert_eq!(said["errors"][0]["detail"], said["detail"]);
    let unknown = Problem::from(Refusal::Unknown { what: "x".into() }).reply("/x");
    assert!(!String::from_utf8(unknown.body).unwrap().contains("errors"));
}
