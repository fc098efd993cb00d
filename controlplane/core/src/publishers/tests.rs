use sluice_cluster::{Keyspaces, Placement, Policies, Replicas, ShardKey, routing::RouteBuilder};

use super::*;

fn routes(region: &str, counter: u64) -> Publication {
    let (table, _) = RouteBuilder::new(region.into()).build(Version::new(3, counter));
    Publication::Routes(region.into(), Arc::new(table))
}

fn versions(snapshot: &Snapshot) -> impl Iterator<Item = Version> {
    ResourceType::ALL.into_iter().map(|kind| snapshot.of(kind).version())
}

fn of(publishers: &mut Publishers, region: &str) -> Arc<Snapshot> {
    publishers.snapshot(&region.into())
}

fn publishers() -> Publishers {
    let mut publishers = Publishers::new(Epoch(3), Limits::default());
    publishers.publish(&Publication::Placement(Arc::new(Placement::default())));
    publishers.publish(&Publication::Policy(Arc::new(Policies::default())));
    publishers
}

/// A placement of so many shards.
fn placement(counter: u64, shards: u16) -> Publication {
    let replicas = Replicas::first([NodeId(1)]).unwrap();
    let keys = (0..shards).map(|shard| ShardKey { shard: sluice_cluster::ShardId(shard), ..ShardKey::default() });
    let shards = keys.map(|key| (key, replicas.clone())).collect();
    Publication::Placement(Arc::new(Placement::new(Version::new(3, counter), Keyspaces::default(), shards).unwrap()))
}

#[test]
fn each_region_has_its_routes_and_all_have_the_rest() {
    let mut publishers = publishers();
    publishers.publish(&routes("eu", 1));
    let is_there = |snapshot: Arc<Snapshot>| versions(&snapshot).map(|version| version > Version::ZERO).collect();
    let [eu, us]: [Vec<bool>; 2] = ["eu", "us"].map(|region| is_there(of(&mut publishers, region)));
    assert_eq!((eu, us), (vec![false, true, true, true], vec![false, true, false, true]));
}

#[test]
fn what_a_node_gets_in_another_region_is_newer_than_all_it_has() {
    let mut publishers = publishers();
    publishers.publish(&routes("us", 1));
    let us = of(&mut publishers, "us");
    (1..9).for_each(|counter| publishers.publish(&routes("eu", counter)));
    let eu = of(&mut publishers, "eu");
    assert!(versions(&eu).max() > versions(&us).max());
    publishers.renew(&"us".into());
    let renewed = of(&mut publishers, "us");
    assert!(versions(&renewed).filter(|version| *version > Version::ZERO).min() > versions(&eu).max());
}

#[test]
fn a_region_that_is_published_to_late_has_its_routes_once_they_are_known() {
    let mut publishers = publishers();
    publishers.warm();
    publishers.publish(&routes("eu", 1));
    publishers.publish(&routes("us", 1));
    publishers.renew(&"us".into());
    assert!(
        publishers.published(&"us".into(), ResourceType::Routes)
            > publishers.published(&"eu".into(), ResourceType::Routes)
    );
    assert_eq!(publishers.published(&"ap".into(), ResourceType::Routes), None);
}

#[test]
fn a_version_is_foreign_when_nobody_has_published_it() {
    let mut publishers = publishers();
    (1..9).for_each(|counter| publishers.publish(&routes("eu", counter)));
    let last = versions(&of(&mut publishers, "eu")).max().unwrap();
    let beyond = Version::new(3, last.counter + 1);
    let asked = [last, Version::new(2, 1_000), beyond, Version::new(4, 1)];
    assert_eq!(asked.map(|version| publishers.is_foreign(version)), [false, false, true, true]);
}

#[test]
fn versions_that_end_the_warming_are_not_foreign() {
    let mut publishers = publishers();
    publishers.publish(&placement(1, 4));
    of(&mut publishers, "eu");
    // One is withheld, and goes when everything is known.
    publishers.publish(&placement(2, 3));
    publishers.warm();
    let snapshot = of(&mut publishers, "eu");
    assert!(versions(&snapshot).all(|version| !publishers.is_foreign(version)));
}

#[test]
fn a_push_of_the_placement_is_known_by_its_version() {
    let mut publishers = publishers();
    let pushed = |publishers: &mut Publishers| of(publishers, "eu").of(ResourceType::Placement).version();
    let first = pushed(&mut publishers);
    publishers.publish(&placement(17, 1));
    let second = pushed(&mut publishers);
    assert_eq!(
        [first, second, Version::new(9, 9)].map(|push| publishers.placement_of(push)),
        [Version::ZERO, Version::new(3, 17), Version::ZERO]
    );
}

#[test]
fn nodes_let_go_of_nothing_before_everything_is_known() {
    let mut publishers = publishers();
    assert!(!of(&mut publishers, "eu").is_complete());
    publishers.warm();
    assert!(["eu", "new"].into_iter().all(|region| of(&mut publishers, region).is_complete()));
}

#[test]
fn what_is_too_large_is_said_and_nodes_keep_what_they_have() {
    let mut publishers = Publishers::new(Epoch(3), Limits { type_bytes_max: 400, ..Limits::default() });
    publishers.publish(&placement(1, 1));
    let before = of(&mut publishers, "eu").of(ResourceType::Placement).version();
    publishers.publish(&placement(2, 60));
    let failures: Vec<ResourceType> = publishers.failures().keys().copied().collect();
    assert_eq!(failures, [ResourceType::Placement]);
    assert_eq!(of(&mut publishers, "eu").of(ResourceType::Placement).version(), before);
    publishers.publish(&placement(3, 1));
    assert!(publishers.failures().is_empty());
}
