//! The builder against the naive answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_cluster::interest::{Incarnation, Interest, InterestLimits, Position, Sequence};
use sluice_cluster::routing::{BaseTable, BuildReport, Matched, RouteBuilder, RoutingTable, Target};
use sluice_cluster::{NodeId, Version};
use sluice_topic::{ParsedFilter, covers, matches};

use crate::world::filter;

type Rows = Vec<(Arc<ParsedFilter>, Interest)>;

fn rows(texts: &[(&str, bool)]) -> Rows {
    texts.iter().map(|(text, durable)| (Arc::new(filter(text)), Interest { durable: *durable, members: 0 })).collect()
}

fn build(owners: &[(u64, &str, Rows)], version: Version) -> (BaseTable, BuildReport) {
    let mut builder = RouteBuilder::new("eu".into());
    for (owner, region, rows) in owners {
        let upto = Position { incarnation: Incarnation(1), sequence: Sequence(9) };
        builder.add(NodeId(*owner), &(*region).into(), upto, rows.iter().map(|(filter, interest)| (filter, *interest)));
    }
    builder.build(version)
}

fn kept(texts: &[(&str, bool)]) -> usize {
    let (table, report) = build(&[(1, "eu", rows(texts))], Version::new(1, 1));
    assert_eq!(report.rows, table.len() + report.covered);
    table.len()
}

#[test]
fn covered_filters_of_one_target_are_dropped() {
    assert_eq!(kept(&[("a/b", false), ("a/+", false), ("a/#", false), ("b", false)]), 2);
    assert_eq!(kept(&[("#", false), ("a", false), ("$SYS/a", false)]), 2, "# covers nothing that starts with $");
    assert_eq!(kept(&[("#", false), ("+/#", false)]), 1, "of two spellings one stays");
    assert_eq!(kept(&[("/#", false), ("/+/#", true)]), 1, "and of those the one that stores");
}

#[test]
fn a_filter_that_stores_is_not_covered_by_one_that_does_not() {
    assert_eq!(kept(&[("a/b", true), ("a/#", false)]), 2);
    assert_eq!(kept(&[("a/b", false), ("a/#", true)]), 1);
}

#[test]
fn a_filter_of_another_target_covers_nothing_here() {
    let (table, _) =
        build(&[(1, "eu", rows(&[("a/b", false)])), (2, "eu", rows(&[("a/#", false)]))], Version::new(1, 1));
    assert_eq!(table.len(), 2);
}

#[test]
fn nodes_of_another_region_become_one_target_there() {
    let owners = [
        (1, "eu", rows(&[("a", false)])),
        (2, "us", rows(&[("a", true), ("x/1", false)])),
        (3, "us", rows(&[("a", false), ("x/#", false)])),
    ];
    let (table, report) = build(&owners, Version::new(1, 1));
    assert_eq!((table.len(), report.covered), (2, 1), "x/1 of one node is covered by x/# of another there");
    let mut routes = RoutingTable::new(NodeId(9), "eu".into(), Incarnation(1), &InterestLimits::default());
    routes.install(Arc::new(table), Duration::ZERO).unwrap();
    let mut found = Matched::default();
    routes.find("a", &mut found);
    assert_eq!(found.targets(), [(Target::Node(NodeId(1)), false), (Target::Region("us".into()), true)]);
}

#[test]
fn equal_interest_gives_equal_digests_whatever_the_order_and_version() {
    let (a, b) = ((1, "eu", rows(&[("a", false), ("b/+", true)])), (2, "us", rows(&[("a", false)])));
    let digest = |owners: &[(u64, &str, Rows)], counter| build(owners, Version::new(1, counter)).0.digest();
    assert_eq!(digest(&[a.clone(), b.clone()], 1), digest(&[b.clone(), a.clone()], 2));
    assert_ne!(digest(&[a.clone(), b], 1), digest(&[a], 1));
}

#[test]
fn any_set_of_filters_matches_after_covering_what_it_matched_before() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let texts: Vec<(String, bool)> = (0..rng.usize(1..12)).map(|_| (random_filter(&mut rng), rng.bool())).collect();
        // Of equal filters one word counts.
        let texts: BTreeMap<&str, bool> = texts.iter().map(|(text, durable)| (text.as_str(), *durable)).collect();
        let texts: Vec<(&str, bool)> = texts.into_iter().collect();
        let (table, _) = build(&[(1, "eu", rows(&texts))], Version::new(1, 1));
        let needed = |(text, durable): &&(&str, bool)| {
            let wider = |(other, stores): &&(&str, bool)| {
                other != text
                    && covers(other, text)
                    && (*stores || !durable)
                    && !(covers(text, other) && stores == durable && text < other)
            };
            texts.iter().find(wider).is_none()
        };
        assert_eq!(table.len(), texts.iter().filter(needed).count(), "{texts:?}");
        let mut routes = RoutingTable::new(NodeId(9), "eu".into(), Incarnation(1), &InterestLimits::default());
        routes.install(Arc::new(table), Duration::ZERO).unwrap();
        let mut found = Matched::default();
        for topic in ["a", "/", "a/", "/a", "a/b", "b/a/b", "$a", "$a/b"] {
            routes.find(topic, &mut found);
            let matching: Vec<bool> = texts.iter().filter(|(text, _)| matches(text, topic)).map(|it| it.1).collect();
            let stores = matching.iter().any(|durable| *durable);
            let want: Vec<_> =
                (!matching.is_empty()).then_some((Target::Node(NodeId(1)), stores)).into_iter().collect();
            assert_eq!(found.targets(), want, "{topic} {texts:?}");
        }
    }
}

fn random_filter(rng: &mut fastrand::Rng) -> String {
    let levels = rng.usize(1..4);
    let mut level = |at| match rng.u32(0..6) {
        0 => "+",
        1 if at + 1 == levels => "#",
        2 => "b",
        3 => "",
        4 if at == 0 => "$a",
        _ => "a",
    };
    let text = (0..levels).map(&mut level).collect::<Vec<_>>().join("/");
    if text.is_empty() { "a".into() } else { text }
}
