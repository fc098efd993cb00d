//! Which of two topic filters is the more specific one.

use std::cmp::Ordering;

use sluice_topic::TopicFilter;

/// Orders filters, the more specific one first.
///
/// Filters are compared level by level from the left, and the first level that differs decides: a literal comes before
/// `+`, and `+` before `#`. So a filter comes before every other that covers it, and of two that overlap without covering
/// each other, `a/b/+` and `a/+/c`, the one that says more further left comes first.
pub(crate) fn more_specific_first(a: &TopicFilter, b: &TopicFilter) -> Ordering {
    a.as_str().split('/').map(rank).cmp(b.as_str().split('/').map(rank))
}

/// A level's place among all that can stand there. That a filter ends comes before all of these, and so before `#`, the
/// only one that can match there too.
fn rank(level: &str) -> (u8, &str) {
    match level {
        "+" => (1, ""),
        "#" => (2, ""),
        literal => (0, literal),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_topic::{Limits, covers};

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn the_first_level_that_differs_decides() {
        let mut filters = ["#", "+/#", "a/#", "a/+/c", "a/b/+", "a/b/c", "a", "a/b/#"].map(filter);
        filters.sort_by(more_specific_first);
        let ordered = filters.each_ref().map(TopicFilter::as_str);
        assert_eq!(ordered, ["a", "a/b/c", "a/b/+", "a/b/#", "a/+/c", "a/#", "+/#", "#"]);
    }

    proptest! {
        #[test]
        fn a_filter_comes_before_every_other_that_covers_it(a in "[ab+]?(/[ab+]){0,2}(/#)?", b in "[ab+]?(/[ab+]){0,2}(/#)?") {
            prop_assume!(!a.is_empty() && !b.is_empty());
            if covers(&a, &b) && !covers(&b, &a) {
                prop_assert_eq!(more_specific_first(&filter(&b), &filter(&a)), Ordering::Less);
            }
        }
    }
}
