use proptest::{collection::vec, prelude::*};

use crate::{Principal, Rules, rule::Why};

/// Topics over a small alphabet, deep enough that every class of the generated filters has members.
fn topics() -> Vec<String> {
    let texts = ["a", "b", "zz", "", "$s"];
    let mut topics: Vec<String> = ["a", "b", "zz", "$s", ""].map(String::from).to_vec();
    let mut last = topics.clone();
    for _ in 1..DEPTH {
        last = last.iter().flat_map(|topic| texts.map(|text| format!("{topic}/{text}"))).collect();
        topics.extend_from_slice(&last);
    }
    topics.retain(|topic| !topic.is_empty());
    topics
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![Just("a"), Just("b"), Just("+"), Just("+"), Just("+"), Just(""), Just("$s")];
    let first = prop_oneof![4 => Just("a"), 4 => Just("b"), 6 => Just("+"), 1 => Just("$s")];
    (first, vec(level, 0..3), any::<bool>(), 0..12_u8).prop_map(|(first, levels, rest, all)| {
        if all == 0 {
            return "#".to_owned();
        }
        let mut filter = first.to_owned();
        for level in levels {
            filter = format!("{filter}/{level}");
        }
        if rest { format!("{filter}/#") } else { filter }
    })
}

fn rules(entries: &[(bool, String)]) -> Rules {
    let mut source = String::from("rules:\n");
    for (allow, filter) in entries {
        let effect = if *allow { "allow" } else { "deny" };
        source.push_str(&format!("  - {{{effect}: subscribe, everyone: true, topics: ['{filter}']}}\n"));
    }
    Rules::parse(&source, 0).unwrap()
}

/// What rules mean, straight from their definition.
fn receivable(entries: &[(bool, String)], topic: &str) -> bool {
    entries.iter().find(|(_, filter)| sluice_topic::matches(filter, topic)).is_some_and(|(allow, _)| *allow)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a12_a_filter_is_allowed_exactly_when_every_topic_it_matches_is_receivable(
        entries in vec((prop::bool::weighted(0.7), filter()), 0..6),
        requested in filter(),
    ) {
        let (rules, client) = (rules(&entries), Principal::new("c"));
        let matched = topics().into_iter().filter(|topic| sluice_topic::matches(&requested, topic));
        let refused: Vec<String> = matched.filter(|topic| !receivable(&entries, topic)).collect();
        let decision = rules.subscribe(&client, &requested, 0, None);
        prop_assert_eq!(decision.allowed, refused.is_empty(), "{}: {:?}", requested, refused.first());
    }

    #[test]
    fn delivery_follows_the_first_rule_that_matches(entries in vec((any::<bool>(), filter()), 0..30)) {
        let (rules, client) = (rules(&entries), Principal::new("c"));
        for topic in topics().iter().step_by(7) {
            prop_assert_eq!(rules.deliver(&client, topic), receivable(&entries, topic), "{}", topic);
        }
    }
}

#[test]
fn a_filter_of_the_deepest_kind_is_decided_quickly() {
    let deep = vec!["+"; 100].join("/");
    let entries: Vec<_> =
        (0..300).map(|n| (n % 2 == 0, format!("{deep}/{n}"))).chain([(true, "#".to_owned())]).collect();
    let decision = rules(&entries).subscribe(&Principal::new("c"), "#", 0, None);
    assert_eq!(decision.why, Why::Rule(3));
}

const DEPTH: usize = 5;
