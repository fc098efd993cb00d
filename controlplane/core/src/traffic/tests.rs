//! What is put together of what nodes say.

use proptest::prelude::*;

use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text, &Limits::default()).unwrap()
}

fn row(prefix: &str, region: &str, count: u64) -> Deliveries {
    Deliveries { prefix: filter(prefix), region: Label::parse(region).ok(), count }
}

fn observed(rows: &[(&str, &str, u64)]) -> Observed {
    let mut observed = Observed::default();
    let rows: Vec<_> = rows.iter().map(|(prefix, region, count)| row(prefix, region, *count)).collect();
    observed.add(&rows);
    observed
}

fn expected(rows: &[(&str, &str, u64)]) -> Traffic {
    let mut traffic = Traffic::default();
    for (prefix, region, count) in rows {
        traffic.add(&filter(prefix), &Label::parse(region).unwrap(), *count);
    }
    traffic
}

#[test]
fn where_the_parts_of_a_prefix_have_their_subscribers_in_different_regions_they_stand_for_it() {
    let told = observed(&[
        ("device/#", "eu", 1_000),
        ("device/#", "us", 900),
        ("device/7/#", "eu", 1_000),
        ("device/7/temp/#", "eu", 600),
        ("device/7/hum/#", "eu", 400),
        ("device/8/#", "us", 900),
    ]);
    let parts = [("device/7/#", "eu", 1_000), ("device/8/#", "us", 900)];
    assert_eq!(told.traffic(), expected(&parts));
}

#[test]
fn where_they_are_in_the_same_regions_the_prefix_stands_for_them() {
    let rows =
        [("a/#", "eu", 700), ("a/#", "us", 300), ("a/b/#", "eu", 400), ("a/b/#", "us", 180), ("a/c/#", "eu", 300)];
    assert_eq!(observed(&rows).traffic(), expected(&rows[..2]));
}

#[test]
fn subscribers_that_are_nowhere_in_particular_and_prefixes_that_nobody_tells_are_left_out() {
    let mut told = Observed::default();
    let deep = "a/".repeat(LEVELS_MAX) + "#";
    told.add(&[Deliveries { region: None, ..row("a/#", "eu", 5) }, row(&deep, "eu", 5)]);
    assert_eq!(told, Observed::default());
}

#[test]
fn the_busiest_come_first() {
    let told = observed(&[("a/#", "eu", 3), ("b/#", "eu", 2), ("b/#", "us", 2), ("c/#", "us", 3)]);
    let order: Vec<_> = told.busiest().map(|(prefix, ..)| prefix.as_str()).collect();
    assert_eq!(order, ["b/#", "a/#", "c/#"]);
}

/// Deliveries of topics `tL/M/N` of two nodes in each of two regions.
fn deliveries() -> impl Strategy<Value = Vec<(usize, String, u64)>> {
    let topic = (0..3u8, 0..3u8, 0..3u8).prop_map(|(a, b, c)| format!("t{a}/{b}/{c}"));
    proptest::collection::vec((0..4usize, topic, 1..1_000u64), 0..60)
}

fn nodes_say(deliveries: &[(usize, String, u64)]) -> [Vec<Deliveries>; 4] {
    let mut said: [BTreeMap<String, u64>; 4] = Default::default();
    for (node, topic, count) in deliveries {
        for end in topic.match_indices('/').map(|(at, _)| at).chain([topic.len()]) {
            *said[*node].entry(format!("{}/#", &topic[..end])).or_default() += count;
        }
    }
    let region = |node: usize| ["eu", "us"][node % 2];
    let mut node = 0..;
    said.map(|rows| {
        let node = node.next().unwrap();
        rows.iter().map(|(prefix, count)| row(prefix, region(node), *count)).collect()
    })
}

proptest! {
    #[test]
    fn no_delivery_counts_twice_none_is_lost_and_the_order_of_the_nodes_does_not_matter(all in deliveries()) {
        let said = nodes_say(&all);
        let (mut told, mut turned) = (Observed::default(), Observed::default());
        said.iter().for_each(|rows| told.add(rows));
        said.iter().rev().for_each(|rows| turned.add(rows));
        prop_assert_eq!(&told, &turned);
        let traffic = told.traffic();
        let rows: Vec<_> = traffic.iter().collect();
        for (nth, (prefix, _)) in rows.iter().enumerate() {
            for (other, _) in &rows[nth + 1..] {
                let covers = |a: &TopicFilter, b: &TopicFilter| sluice_topic::covers(a.as_str(), b.as_str());
                prop_assert!(!covers(prefix, other) && !covers(other, prefix), "{prefix} and {other} overlap");
            }
        }
        let counted: u64 = rows.iter().map(|(_, regions)| total(regions)).sum();
        prop_assert_eq!(counted, all.iter().map(|(_, _, count)| count).sum::<u64>());
        // Each topic of its own home would make so many local; what stands gives away no more than one in ten, at each of
        // two steps.
        let mut by_topic: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        all.iter().for_each(|(node, topic, count)| by_topic.entry(topic).or_default()[node % 2] += count);
        let best: u64 = by_topic.values().map(|[eu, us]| eu.max(us)).sum();
        let found: u64 = rows.iter().filter_map(|(_, regions)| regions.values().max()).sum();
        prop_assert!(found + counted / 5 + 2 * rows.len() as u64 >= best, "{found} of {best}, {counted} in all");
    }
}
