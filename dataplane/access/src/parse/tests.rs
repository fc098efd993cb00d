use proptest::prelude::*;

use crate::Rules;

fn error(source: &str) -> String {
    Rules::parse(source, 0).unwrap_err().to_string()
}

#[test]
fn f1_an_unknown_word_is_refused_with_its_place_and_the_nearest_known_one() {
    let typo = "rules:\n  - alow: publish\n    everyone: true\n    topics: [a]\n";
    assert_eq!(error(typo), "2:5 unknown word 'alow' -> did you mean 'allow'?");
    let action = "rules:\n  - allow: [publish, subscrib]\n    everyone: true\n    topics: [a]\n";
    assert_eq!(error(action), "2:22 unknown word 'subscrib' -> did you mean 'subscribe'?");
    assert_eq!(error("rule: []"), "1:1 unknown word 'rule' -> did you mean 'rules'?");
    let far = "rules:\n  - permission: x\n";
    assert!(error(far).starts_with("2:5 unknown word 'permission' -> known here: allow, deny,"), "{}", error(far));
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let rule = |keys: &str| format!("rules:\n  - {{{keys}}}\n");
    for (keys, place, what) in [
        ("everyone: true, topics: [a]", "2:5", "neither allows nor denies"),
        ("allow: all, deny: all, everyone: true, topics: [a]", "2:18", "either allows or denies"),
        ("allow: all, allow: all, everyone: true, topics: [a]", "2:18", "a second time"),
        ("allow: [], everyone: true, topics: [a]", "2:6", "about no action"),
        ("allow: all, topics: [a]", "2:5", "does not say whom"),
        ("allow: all, users: [], topics: [a]", "2:25", "list is empty"),
        ("allow: all, users: alice, topics: [a]", "2:25", "a list belongs here"),
        ("allow: all, users: [~], topics: [a]", "2:26", "a name is missing"),
        ("allow: all, everyone: false, topics: [a]", "2:28", "says nothing"),
        ("allow: all, everyone: 'true', topics: [a]", "2:28", "true or false"),
        ("allow: all, everyone: true", "2:5", "names no topics"),
        ("allow: all, everyone: true, topics: []", "2:5", "names no topics"),
        ("allow: all, everyone: true, topics: [a/#/b]", "2:43", "no topic filter"),
        ("allow: all, everyone: true, topics: [a], qos_max: 3", "2:56", "QoS"),
        ("allow: all, everyone: true, topics: [a], retain: maybe", "2:55", "true or false"),
        ("deny: all, everyone: true, topics: [a], retain: false", "2:46", "limits what is allowed"),
        ("allow: all, everyone: true, topics: [&a b, *a]", "2:43", "anchors"),
        ("allow: all, everyone: true, topics: [!!str a]", "2:43", "tags"),
    ] {
        let error = error(&rule(keys));
        assert!(error.starts_with(&format!("{place} ")) && error.contains(what), "{keys}: {error}");
    }
}

#[test]
fn a_file_of_another_shape_is_refused() {
    for (source, what) in [
        ("- allow: all\n", "begins with the key 'rules'"),
        ("rules: yes\n", "a list belongs here"),
        ("rules: [a]\n", "a rule is a set of keys"),
        ("rules: []\nrules: []\n", "a second time"),
        ("rules: []\n---\nrules: []\n", "second document"),
        ("rules: [\n", "not YAML"),
        ("rules: [[[[[[[[[[[]]]]]]]]]]]\n", "nested too deeply"),
        ("rules:\n  - {allow: all, everyone: true, topics: [#]}\n", "need quotes"),
        ("rules:\n  - allow: all\n    everyone: true\n    topics:\n      - #\n", "a filter is missing"),
    ] {
        assert!(error(source).contains(what), "{source:?}: {}", error(source));
    }
}

#[test]
fn names_that_look_like_other_things_stay_names() {
    let rules = Rules::parse("rules: [{allow: all, users: [123, 'null', true], topics: [1, 'true/x']}]", 0).unwrap();
    for name in ["123", "null", "true"] {
        let user = crate::Principal::new("c").with_username(Some(name.into()));
        assert!(rules.publish(&user, "1", 0, false).allowed, "{name}");
    }
}

#[test]
fn a_file_beyond_the_bound_is_refused_before_it_is_read() {
    let source = " ".repeat(super::SOURCE_BYTES_MAX + 1);
    assert!(error(&source).contains("at most"));
}

#[test]
fn every_example_of_the_manual_is_understood() {
    let manual = include_str!("../../../../docs/access.md");
    let blocks: Vec<&str> = manual.split("```").skip(1).step_by(2).collect();
    let yaml: Vec<&str> = blocks.iter().filter_map(|block| block.strip_prefix("yaml\n")).collect();
    assert!(!yaml.is_empty() && yaml.iter().all(|source| !Rules::parse(source, 0).unwrap().is_empty()));
    let alarm = Rules::parse(yaml[1], 0).unwrap();
    let allowed = |filter: &str| alarm.subscribe(&crate::Principal::new("c"), filter, 0, None).allowed;
    assert!(allowed("home/light/#") && !allowed("home/alarm/code") && !allowed("home/#"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_the_parser_panic(source in "(rules|allow|deny|topics|[-:,\\[\\]{}#&*!|>'\"%@`\\t\\n ?]|\\PC){0,40}") {
        let _ = Rules::parse(&source, 0);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_parser_panic(at in 0..GOOD.len(), byte in any::<char>()) {
        let mut source = GOOD.to_owned();
        source.replace_range(at..=at, &byte.to_string());
        let _ = Rules::parse(&source, 0);
    }
}

const GOOD: &str = "rules:
  - allow: [publish, subscribe]
    users: [alice, \"bob\"]
    topics:
      - home/#
      - 'x/%c'
    qos_max: 1
    retain: false
  - deny: all
    everyone: true
    topics: [\"#\"]
";
