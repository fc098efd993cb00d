//! The topic tree against a plain ordered map, through random changes and scans.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use sluice_topic::{Limits, ScanEnd, TopicFilter, TopicTree, matches, topic_order};

const LEVELS: [&str; 8] = ["a", "b", "", "$s", "a\u{1}", "ab", "a!", "z"];

fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop::sample::select(LEVELS.to_vec()), 1..5);
    levels.prop_map(|levels| levels.join("/")).prop_filter("the empty topic", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let wanted: Vec<&str> = LEVELS.into_iter().chain(["+", "+", "+", "+"]).collect();
    let levels = prop::collection::vec(prop::sample::select(wanted), 1..5);
    (levels, prop::bool::weighted(0.3)).prop_filter_map("the empty filter", |(mut levels, hash)| {
        if hash {
            levels.push("#");
        }
        TopicFilter::parse(&levels.join("/"), &Limits::default()).ok()
    })
}

#[derive(Clone, Debug)]
enum Step {
    Insert(String, u32),
    Remove(String),
    RemoveSome(prop::sample::Index),
    Scan(TopicFilter, Option<String>, usize),
    Walk(Option<String>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (topic(), any::<u32>()).prop_map(|(topic, value)| Step::Insert(topic, value)),
        1 => topic().prop_map(Step::Remove),
        2 => any::<prop::sample::Index>().prop_map(Step::RemoveSome),
        2 => (filter(), prop::option::of(topic()), 1..20_usize)
            .prop_map(|(filter, after, visits_max)| Step::Scan(filter, after, visits_max)),
        1 => (prop::option::of(topic()), 1..20_usize).prop_map(|(after, visits_max)| Step::Walk(after, visits_max)),
    ]
}

/// Topics ordered by their levels: a level's bytes, and an ended topic before a longer one.
type Model = BTreeMap<Vec<String>, u32>;

fn levels(topic: &str) -> Vec<String> {
    topic.split('/').map(str::to_owned).collect()
}

type Found = Vec<(String, u32)>;

fn scan_by_model(model: &Model, filter: &TopicFilter, after: Option<&str>) -> Found {
    let after = after.map(levels);
    let later = model.iter().filter(|(topic, _)| after.as_ref().is_none_or(|after| *topic > after));
    let topics = later.map(|(topic, &value)| (topic.join("/"), value));
    topics.filter(|(topic, _)| matches(filter.as_str(), topic)).collect()
}

fn scan(tree: &TopicTree<u32>, filter: &TopicFilter, after: Option<&str>) -> Found {
    let mut found = Vec::new();
    let ended = tree.scan(filter, after, |topic, &value| {
        found.push((topic.to_owned(), value));
        ControlFlow::Continue(())
    });
    assert!(ended);
    found
}

/// The same through pauses after a few topics each.
fn scan_in_parts(tree: &TopicTree<u32>, filter: &TopicFilter, after: Option<&str>, visits_max: usize) -> Found {
    let mut found = Vec::new();
    let mut after = after.map(str::to_owned);
    loop {
        let end = tree.scan_some(filter, after.as_deref(), visits_max, |topic, &value| {
            found.push((topic.to_owned(), value));
            ControlFlow::Continue(())
        });
        match end {
            ScanEnd::Paused { after: paused } => {
                assert!(after.is_none_or(|after| levels(&after) < levels(&paused)), "every part gets further");
                after = Some(paused);
            }
            ScanEnd::Complete | ScanEnd::Stopped => return found,
        }
    }
}

/// All topics, `$` ones too, through pauses.
fn walk(tree: &TopicTree<u32>, after: Option<&str>, visits_max: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), after.map(str::to_owned));
    loop {
        let before = found.len();
        let end = tree.walk(after.as_deref(), visits_max, |topic, _| {
            found.push(topic.to_owned());
            ControlFlow::Continue(())
        });
        match end {
            ScanEnd::Paused { after: paused } => {
                assert_eq!(found.len() - before, visits_max);
                after = Some(paused);
            }
            ScanEnd::Complete | ScanEnd::Stopped => return found,
        }
    }
}

fn apply(step: Step, tree: &mut TopicTree<u32>, model: &mut Model) -> Result<(), TestCaseError> {
    match step {
        Step::Insert(topic, value) => {
            prop_assert_eq!(tree.insert(&topic, value), model.insert(levels(&topic), value));
            prop_assert_eq!(tree.get(&topic), Some(&value));
        }
        Step::Remove(topic) => {
            prop_assert_eq!(tree.get_mut(&topic).copied(), model.get(&levels(&topic)).copied());
            prop_assert_eq!(tree.remove(&topic), model.remove(&levels(&topic)));
        }
        Step::RemoveSome(_) if model.is_empty() => {}
        Step::RemoveSome(at) => {
            let topic = at.get(&model.keys().collect::<Vec<_>>()).join("/");
            prop_assert_eq!(tree.remove(&topic), model.remove(&levels(&topic)));
            prop_assert_eq!(tree.get(&topic), None);
        }
        Step::Scan(filter, after, visits_max) => {
            let expected = scan_by_model(model, &filter, after.as_deref());
            prop_assert_eq!(&scan(tree, &filter, after.as_deref()), &expected, "{}", &filter);
            prop_assert_eq!(scan_in_parts(tree, &filter, after.as_deref(), visits_max), expected, "{}", filter);
        }
        Step::Walk(after, visits_max) => {
            let found = walk(tree, after.as_deref(), visits_max);
            let after = after.as_deref().map(levels);
            let later = model.keys().filter(|topic| after.as_ref().is_none_or(|after| *topic > after));
            prop_assert_eq!(&found, &later.map(|topic| topic.join("/")).collect::<Vec<_>>());
            prop_assert!(found.is_sorted_by(|one, other| topic_order(one, other).is_lt()));
        }
    }
    prop_assert_eq!(tree.len(), model.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tree_behaves_like_an_ordered_map(steps in prop::collection::vec(step(), 0..600), seed in any::<u64>()) {
        let mut tree = TopicTree::with_seed(seed);
        let mut model = Model::new();
        for step in steps {
            apply(step, &mut tree, &mut model)?;
        }
        for topic in model.keys() {
            prop_assert!(tree.remove(&topic.join("/")).is_some());
        }
        prop_assert!(tree.is_empty());
        prop_assert_eq!(tree.memory_bytes(), 0);
    }
}

fn parse(filter: &str) -> TopicFilter {
    TopicFilter::parse(filter, &Limits::default()).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

#[test]
fn a_large_tree_answers_scans_and_shrinks_again() {
    let mut tree = TopicTree::new();
    let mut model = Model::new();
    for i in 0..30_000_u32 {
        let mixed = i.wrapping_mul(0x9E37_79B1) % 30_000;
        let topic = format!("site/{}/dev/{}/state", mixed % 100, mixed / 100);
        assert_eq!(tree.insert(&topic, mixed), model.insert(levels(&topic), mixed));
    }
    let filters = ["#", "site/7/#", "site/+/dev/3/state", "site/+/dev/3", "+/+/+/+/state", "site/99/dev/+/+", "none/#"];
    for filter in filters.map(parse) {
        assert_eq!(scan(&tree, &filter, None), scan_by_model(&model, &filter, None), "{filter}");
    }
    let full = tree.memory_bytes();
    for (at, topic) in model.keys().enumerate() {
        if at % 10 != 0 {
            assert!(tree.remove(&topic.join("/")).is_some());
        }
    }
    assert_eq!(scan(&tree, &parse("#"), None).len(), tree.len());
    assert!(tree.memory_bytes() < full);
}

#[test]
fn a_scan_skips_subtrees_that_cannot_match() {
    let mut tree = TopicTree::new();
    for site in 0..10 {
        for device in 0..1_000 {
            tree.insert(&format!("{site}/dev/{device}"), ());
        }
        tree.insert(&format!("{site}/z"), ());
    }
    let mut found = 0;
    let end = tree.scan_some(&parse("+/z"), None, 40, |_, ()| {
        found += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((found, end), (10, ScanEnd::Complete));
}

#[test]
fn a_scan_that_is_broken_off_says_so() {
    let mut tree = TopicTree::new();
    tree.insert("a", 1);
    tree.insert("b", 2);
    assert!(!tree.scan(&parse("#"), None, |_, _| ControlFlow::Break(())));
    assert!(!tree.scan(&parse("b"), Some("a"), |_, _| ControlFlow::Break(())));
    assert!(tree.scan(&parse("b"), Some("b"), |_, _| ControlFlow::Break(())));
}
