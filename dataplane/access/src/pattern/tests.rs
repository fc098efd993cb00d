use proptest::prelude::*;

use super::*;

fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just(""), Just("$a"), Just("é")]
}

proptest! {
    #[test]
    fn a_pattern_without_placeholders_matches_as_its_filter_does(
        filter in prop::collection::vec(prop_oneof![3 => level(), 2 => Just("+")], 1..4),
        rest in any::<bool>(),
        topic in prop::collection::vec(level(), 1..5),
    ) {
        let filter = filter.join("/") + if rest { "/#" } else { "" };
        let topic = topic.join("/");
        prop_assume!(!filter.is_empty() && !topic.is_empty());
        let pattern = Pattern::parse(&filter).unwrap();
        prop_assert_eq!(pattern.plain(), Some(filter.clone()));
        let client = Principal::new("c");
        prop_assert_eq!(pattern.matches(&topic, &client, false), sluice_topic::matches(&filter, &topic));
    }

    #[test]
    fn a_placeholder_matches_as_the_literal_text_does(id in "[ac%$ ]{1,3}", topic in "([ac%$]{0,2}/?){1,3}") {
        let client = Principal::new(id.as_str());
        for template in ["x/%c", "%c/#", "a%c/+", "%cc/#", "%c%c", "%%%c"] {
            let literal = template.replace("%%", "\u{1}").replace("%c", &id).replace('\u{1}', "%");
            let dollar = template.starts_with("%c") && id.starts_with('$');
            let expected = !dollar && sluice_topic::matches(&literal, &topic);
            let matched = Pattern::parse(template).unwrap().matches(&topic, &client, false);
            prop_assert_eq!(matched, expected, "{} {} {}", template, id, topic);
        }
    }

    #[test]
    fn every_text_parses_or_is_refused(text in ".{0,20}") {
        let _ = Pattern::parse(&text);
    }
}

#[test]
fn texts_that_are_no_filters_are_refused() {
    let long = "a".repeat(70_000);
    let deep = "/".repeat(300);
    for (text, error) in [
        ("", PatternError::Empty),
        ("a#", PatternError::Hash),
        ("a/#/b", PatternError::Hash),
        ("##", PatternError::Hash),
        ("a+", PatternError::Plus),
        ("+a/b", PatternError::Plus),
        ("a\0", PatternError::Nul),
        ("$share/g/a", PatternError::Shared),
        ("a/%x", PatternError::Placeholder(Some('x'))),
        ("a/%", PatternError::Placeholder(None)),
        (&long, PatternError::TooLong),
        (&deep, PatternError::TooDeep),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{}", text.len());
    }
}
