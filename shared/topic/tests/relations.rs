//! Filter relations against enumeration: every topic of up to five levels over a small alphabet.

use proptest::prelude::*;
use sluice_topic::{covers, intersects, matches};

/// All topics of one to five levels over `a`, `b`, `$` and the empty level, but for the empty topic.
///
/// Filters below have at most four levels over `a`, `$` and the wildcards, so a topic outside this set is matched by the
/// same filters as one inside: `b` stands for every other text, five levels for every greater depth.
fn universe() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut deepest: Vec<String> = LEVELS.iter().map(|&level| level.to_owned()).collect();
    for _ in 0..5 {
        let deeper = deepest.iter().flat_map(|topic| LEVELS.map(|level| format!("{topic}/{level}"))).collect();
        all.append(&mut std::mem::replace(&mut deepest, deeper));
    }
    all.retain(|topic| !topic.is_empty());
    all
}

const LEVELS: [&str; 4] = ["a", "b", "$", ""];

/// All filters of up to `depth` levels over `a`, `$`, the empty level and the wildcards.
fn filters(depth: usize) -> Vec<String> {
    let mut all = vec!["#".to_owned()];
    let mut heads = vec![String::new()];
    for level in 0..depth {
        let mut longer = Vec::new();
        for head in &heads {
            let join = |last: &str| if level == 0 { last.to_owned() } else { format!("{head}/{last}") };
            longer.extend(["a", "$", "", "+"].map(join));
        }
        all.extend(longer.iter().cloned());
        if level + 1 < depth {
            all.extend(longer.iter().map(|head| format!("{head}/#")));
        }
        heads = longer;
    }
    all.retain(|filter| !filter.is_empty());
    all
}

/// MQTT's rules once more, by recursion over lists of levels.
fn matches_by_definition(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches_by_definition(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) if wanted == level => matches_by_definition(filter, topic),
        _ => false,
    }
}

fn matches_plainly(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    matches_by_definition(&filter, &topic)
}

#[test]
fn matches_agrees_with_the_definition_on_every_small_filter_and_topic() {
    let topics = universe();
    for filter in filters(4) {
        for topic in &topics {
            assert_eq!(matches(&filter, topic), matches_plainly(&filter, topic), "{filter} {topic}");
        }
    }
}

#[test]
fn covers_and_intersects_agree_with_enumeration_on_every_pair_of_small_filters() {
    let topics = universe();
    let filters = filters(3);
    let matched: Vec<Vec<u64>> = filters
        .iter()
        .map(|filter| {
            let mut bits = vec![0_u64; topics.len().div_ceil(64)];
            topics.iter().enumerate().filter(|(_, topic)| matches_plainly(filter, topic)).for_each(|(at, _)| {
                bits[at / 64] |= 1 << (at % 64);
            });
            bits
        })
        .collect();
    for (outer, outer_bits) in filters.iter().zip(&matched) {
        for (inner, inner_bits) in filters.iter().zip(&matched) {
            let covered = outer_bits.iter().zip(inner_bits).all(|(outer, inner)| inner & !outer == 0);
            let shared = outer_bits.iter().zip(inner_bits).any(|(outer, inner)| inner & outer != 0);
            assert_eq!(covers(outer, inner), covered, "covers {outer} {inner}");
            assert_eq!(intersects(outer, inner), shared, "intersects {outer} {inner}");
        }
    }
}

fn deep_filter() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop::sample::select(vec!["a", "bb", "+", "", "$x"]), 1..7);
    (levels, any::<bool>()).prop_map(|(mut levels, hash)| {
        if hash {
            levels.push("#");
        }
        levels.join("/")
    })
}

proptest! {
    #[test]
    fn covering_is_transitive_and_implies_intersecting(
        a in deep_filter(), b in deep_filter(), c in deep_filter(),
    ) {
        prop_assume!(!a.is_empty() && !b.is_empty() && !c.is_empty());
        prop_assert!(covers(&a, &a));
        prop_assert_eq!(intersects(&a, &b), intersects(&b, &a));
        if covers(&a, &b) {
            prop_assert!(intersects(&a, &b));
            if covers(&b, &c) {
                prop_assert!(covers(&a, &c));
            }
        }
    }
}
