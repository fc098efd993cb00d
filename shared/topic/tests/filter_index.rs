//! The filter index against a plain list of filters, through random changes and matches.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_topic::{FilterIndex, Limits, TopicFilter, matches};

/// Short and long levels (a long one is interned), few enough that filters meet.
const LEVELS: [&str; 7] = ["a", "b", "", "$s", "elevenbytes", "twelve-bytes", "a-level-of-many-more-bytes"];

fn filter() -> impl Strategy<Value = TopicFilter> {
    let wanted: Vec<&str> = LEVELS.into_iter().chain(["+", "+", "+"]).collect();
    let levels = prop::collection::vec(prop::sample::select(wanted), 1..5);
    (levels, prop::bool::weighted(0.3)).prop_filter_map("the empty filter", |(mut levels, hash)| {
        if hash {
            levels.push("#");
        }
        TopicFilter::parse(&levels.join("/"), &Limits::default()).ok()
    })
}

fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop::sample::select(LEVELS.to_vec()), 1..6);
    levels.prop_map(|levels| levels.join("/")).prop_filter("the empty topic", |topic| !topic.is_empty())
}

#[derive(Clone, Debug)]
enum Step {
    Insert(TopicFilter, u32),
    Change(TopicFilter, u32),
    Remove(TopicFilter),
    RemoveSome(prop::sample::Index),
    Match(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (filter(), any::<u32>()).prop_map(|(filter, value)| Step::Insert(filter, value)),
        1 => (filter(), any::<u32>()).prop_map(|(filter, value)| Step::Change(filter, value)),
        1 => filter().prop_map(Step::Remove),
        2 => any::<prop::sample::Index>().prop_map(Step::RemoveSome),
        4 => topic().prop_map(Step::Match),
    ]
}

type Model = BTreeMap<TopicFilter, u32>;

fn apply(step: Step, index: &mut FilterIndex<u32>, model: &mut Model) -> Result<(), TestCaseError> {
    match step {
        Step::Insert(filter, value) => {
            let stored = *index.get_or_insert_with(&filter, || value);
            prop_assert_eq!(stored, *model.entry(filter).or_insert(value));
        }
        Step::Change(filter, value) => {
            prop_assert_eq!(index.get(&filter), model.get(&filter));
            if let Some(stored) = index.get_mut(&filter) {
                *stored = value;
                model.insert(filter, value);
            }
        }
        Step::Remove(filter) => prop_assert_eq!(index.remove(&filter), model.remove(&filter)),
        Step::RemoveSome(_) if model.is_empty() => {}
        Step::RemoveSome(at) => {
            let filter = at.get(&model.keys().collect::<Vec<_>>()).to_owned().clone();
            prop_assert_eq!(index.remove(&filter), model.remove(&filter));
        }
        Step::Match(topic) => {
            let mut found = Vec::new();
            index.for_each_match(&topic, |&value| found.push(value));
            let matching = model.iter().filter(|(filter, _)| matches(filter.as_str(), &topic));
            let mut expected: Vec<u32> = matching.map(|(_, &value)| value).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(index.matches_any(&topic), !expected.is_empty());
            prop_assert_eq!(found, expected, "{}", topic);
        }
    }
    prop_assert_eq!(index.len(), model.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_behaves_like_a_list_of_filters(steps in prop::collection::vec(step(), 0..200), seed in any::<u64>()) {
        let mut index = FilterIndex::with_seed(seed);
        let mut model = Model::new();
        for step in steps {
            apply(step, &mut index, &mut model)?;
        }
        let listed: BTreeMap<String, u32> = index.iter().map(|(filter, &value)| (filter, value)).collect();
        let expected: BTreeMap<String, u32> = model.iter().map(|(filter, &value)| (filter.to_string(), value)).collect();
        prop_assert_eq!(listed, expected);
        for filter in model.keys() {
            prop_assert!(index.remove(filter).is_some());
        }
        prop_assert!(index.is_empty());
        prop_assert_eq!(index.memory_bytes(), 0);
    }
}

fn parse(filter: &str) -> TopicFilter {
    TopicFilter::parse(filter, &Limits::default()).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

#[test]
fn memory_does_not_grow_when_filters_come_and_go() {
    let mut index = FilterIndex::with_seed(3);
    let fill = |index: &mut FilterIndex<u32>, round: u32| {
        for i in 0..20_000 {
            index.get_or_insert_with(&parse(&format!("round-number-{round}/dev/{i}/+")), || i);
            index.get_or_insert_with(&parse(&format!("round-number-{round}/dev/{i}/state")), || i);
        }
    };
    index.get_or_insert_with(&parse("always/+"), || 0);
    fill(&mut index, 0);
    let full = index.memory_bytes();
    for round in 0..5 {
        for i in 0..20_000 {
            index.remove(&parse(&format!("round-number-{round}/dev/{i}/+")));
            index.remove(&parse(&format!("round-number-{round}/dev/{i}/state")));
        }
        assert_eq!(index.len(), 1);
        fill(&mut index, round + 1);
    }
    assert!(index.memory_bytes() < full + full / 3, "{} then {}", full, index.memory_bytes());
}

#[test]
fn a_filter_of_the_most_levels_is_matched_and_many_plus_levels_do_not_multiply_the_work() {
    let mut index = FilterIndex::new();
    let levels = 128;
    let plus = vec!["+"; levels].join("/");
    index.get_or_insert_with(&parse(&plus), || 1);
    for literal in 0..levels {
        let mut filter = vec!["+"; levels];
        filter[literal] = "a";
        index.get_or_insert_with(&parse(&filter.join("/")), || 1);
    }
    let topic = vec!["a"; levels].join("/");
    let mut matched = 0;
    index.for_each_match(&topic, |value| matched += value);
    assert_eq!(matched, 129);
    assert!(!index.matches_any(&format!("{topic}/a")));
}

#[test]
fn filters_under_different_parents_are_kept_apart_although_some_of_their_edges_hash_alike() {
    let mut index = FilterIndex::with_seed(1);
    let parents = 200_000;
    for parent in 0..parents {
        let children = if parent % 2 == 0 { ["x", "y"] } else { ["u", "v"] };
        for child in children {
            index.get_or_insert_with(&parse(&format!("{parent}/{child}/+")), || parent);
        }
    }
    // Of 400,000 look-ups for an edge that is not there some five meet one with the same 32 bits of hash.
    for parent in 0..parents {
        let (own, others) = if parent % 2 == 0 { (["x", "y"], ["u", "v"]) } else { (["u", "v"], ["x", "y"]) };
        assert!(own.iter().all(|child| index.matches_any(&format!("{parent}/{child}/1"))));
        assert!(!others.iter().any(|child| index.matches_any(&format!("{parent}/{child}/1"))));
    }
}

#[test]
fn an_empty_index_matches_nothing() {
    let index: FilterIndex<u32> = FilterIndex::new();
    assert!(!index.matches_any("a/b") && index.is_empty() && index.iter().next().is_none());
}
