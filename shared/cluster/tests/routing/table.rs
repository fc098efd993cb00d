//! What a node does with bases and with what peers say, one promise each.

use std::sync::Arc;
use std::time::Duration;

use sluice_cluster::interest::{Incarnation, Interest, InterestSource, Position, Sequence};
use sluice_cluster::routing::{BaseTable, InstallError, Matched, Reach, RouteBuilder, RoutingTable, Target};
use sluice_cluster::{NodeId, Version};
use sluice_topic::ParsedFilter;

use crate::world::{LIMITS, filter};

const ME: NodeId = NodeId(9);
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const ZERO: Duration = Duration::ZERO;
const WANTED: Option<Interest> = Some(Interest { durable: false, members: 0 });

/// A base that has each owner up to a position, with one filter named after it.
fn base(counter: u64, owners: &[(NodeId, u64)]) -> Arc<BaseTable> {
    let filters: Vec<Arc<ParsedFilter>> = owners.iter().map(|owner| Arc::new(filter(&owner.0.0.to_string()))).collect();
    let mut builder = RouteBuilder::new("eu".into());
    for ((owner, sequence), filter) in owners.iter().zip(&filters) {
        let upto = Position { incarnation: Incarnation(1), sequence: Sequence(*sequence) };
        builder.add(*owner, &"eu".into(), upto, [(filter, Interest::default())]);
    }
    Arc::new(builder.build(Version::new(1, counter)).0)
}

fn table() -> RoutingTable {
    let mut table = RoutingTable::new(ME, "eu".into(), Incarnation(1), &LIMITS);
    [A, B, C].into_iter().for_each(|owner| table.join(owner, &"eu".into(), Reach::ThroughControl));
    table
}

fn found(table: &RoutingTable, topic: &str) -> Vec<NodeId> {
    let mut matched = Matched::default();
    table.find(topic, &mut matched);
    let node = |(target, _): &(Target, bool)| match target {
        Target::Node(node) => *node,
        Target::Region(region) => panic!("no other region was named, but {region}"),
    };
    matched.targets().iter().map(node).collect()
}

fn exchange(source: &mut InterestSource, table: &mut RoutingTable) {
    for _ in 0..4 {
        while let Some(frame) = table.poll_transmit(A, ZERO) {
            source.handle(ME, &frame, ZERO);
        }
        while let Some(frame) = source.poll_transmit(ME, ZERO) {
            table.handle(A, &frame, ZERO);
        }
    }
}

#[test]
fn i26_a_base_that_is_not_newer_is_refused() {
    let mut table = table();
    table.install(base(2, &[(A, 5)]), ZERO).unwrap();
    let held = Version::new(1, 2);
    assert_eq!(table.install(base(2, &[(A, 9)]), ZERO), Err(InstallError::Regressed { held }));
    assert_eq!(table.install(base(1, &[(A, 9)]), ZERO), Err(InstallError::Regressed { held }));
    assert_eq!(table.version(), Some(held));
}

#[test]
fn an_older_base_is_carried_as_long_as_it_has_what_the_newest_lacks() {
    let mut table = table();
    table.install(base(1, &[(A, 5), (B, 5), (C, 5)]), ZERO).unwrap();
    table.install(base(2, &[(A, 6)]), ZERO).unwrap();
    assert!(table.carries_older_base());
    assert_eq!(["1", "2", "3"].map(|topic| found(&table, topic)), [vec![A], vec![B], vec![C]]);
    table.install(base(3, &[(A, 7), (B, 5)]), ZERO).unwrap();
    assert!(table.carries_older_base() && found(&table, "3") == [C]);
    table.install(base(4, &[(A, 7), (B, 5), (C, 5)]), ZERO).unwrap();
    assert!(!table.carries_older_base());
}

#[test]
fn a_base_is_refused_when_what_it_lacks_would_need_two_others() {
    let mut table = table();
    table.install(base(1, &[(A, 5), (B, 5)]), ZERO).unwrap();
    table.install(base(2, &[(A, 6), (B, 4)]), ZERO).unwrap();
    assert_eq!(table.install(base(3, &[(C, 1)]), ZERO), Err(InstallError::Lacks { node: B }));
    assert_eq!((found(&table, "1").contains(&A), table.version()), (true, Some(Version::new(1, 2))));
    table.leave(B);
    assert_eq!(table.install(base(3, &[(C, 1)]), ZERO), Ok(()), "of a node that is gone nothing is missed");
    assert_eq!(found(&table, "1"), [A]);
}

#[test]
fn what_a_peer_says_counts_at_once_and_what_it_takes_back_too() {
    let mut table = table();
    table.join(A, &"eu".into(), Reach::Direct);
    table.install(base(1, &[(B, 1), (C, 1)]), ZERO).unwrap();
    assert_eq!(found(&table, "x"), [A], "not heard yet: it may want anything");
    let mut source = InterestSource::new(Incarnation(1), LIMITS);
    table.linked(A, ZERO);
    exchange(&mut source, &mut table);
    assert_eq!(found(&table, "x"), []);
    source.set(&filter("x"), WANTED);
    exchange(&mut source, &mut table);
    assert_eq!((found(&table, "x"), table.overlay_len()), (vec![A], 1));
    source.set(&filter("x"), None);
    exchange(&mut source, &mut table);
    assert_eq!((found(&table, "x"), table.overlay_len()), (vec![], 0));
}

#[test]
fn a_peer_that_says_more_than_is_kept_gets_everything_until_a_base_has_it() {
    let mut table = table();
    table.join(A, &"eu".into(), Reach::Direct);
    table.install(base(1, &[(B, 1), (C, 1)]), ZERO).unwrap();
    let mut source = InterestSource::new(Incarnation(1), LIMITS);
    (0..40).for_each(|i| assert!(source.set(&filter(&format!("t/{i}")), WANTED) > Sequence(0)));
    table.linked(A, ZERO);
    exchange(&mut source, &mut table);
    assert!(source.is_acknowledged(Sequence(40), [ME]), "that is no reason to let a subscriber wait");
    assert_eq!((found(&table, "anything"), found(&table, "t/1")), (vec![A], vec![A]));
    table.install(base(2, &[(A, 38), (B, 1), (C, 1)]), ZERO).unwrap();
    exchange(&mut source, &mut table);
    assert_eq!((found(&table, "anything"), found(&table, "t/39")), (vec![], vec![A]));
    assert!(table.overlay_len() <= 4, "of what the base has, only what came in one frame with the rest is kept");
}
