//! How a filter relates to a topic name or to another filter.
//!
//! Arguments are valid filters and names without `$share`. Nothing here allocates or recurses; each function takes one
//! pass over its arguments.

/// Whether `filter` matches `topic`.
///
/// `+` stands for exactly one level, possibly empty, and `#` for any number of levels including none, so `sport/#`
/// matches `sport`. A wildcard in the first level matches no topic that starts with `$` [MQTT-4.7.2-1].
pub fn matches(filter: &str, topic: &str) -> bool {
    if is_reserved(topic) && starts_with_wildcard(filter) {
        return false;
    }
    let (wanted, topic) = (filter.as_bytes(), topic.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Both sides stand at the same place of the same level: bytes that are equal go together, separators included.
    while let Some(&byte) = wanted.get(at) {
        match byte {
            b'#' => return true,
            b'+' => {
                at += 1;
                here += topic[here..].iter().take_while(|&&byte| byte != b'/').count();
            }
            _ if topic.get(here) == Some(&byte) => {
                at += 1;
                here += 1;
            }
            // What is left can still be `/#`, which matches the parent level too.
            _ => break,
        }
    }
    here == topic.len() && (at == wanted.len() || &wanted[at..] == b"/#")
}

/// Whether every topic name that `inner` matches is matched by `outer` too.
///
/// `#` does not cover `$SYS/#`, since it matches no topic that starts with `$`. `+/#` and `#` cover each other, since
/// every topic name has at least one level; so do `/+/#` and `/#`, since no topic name is empty.
pub fn covers(outer: &str, inner: &str) -> bool {
    if is_reserved(inner) && starts_with_wildcard(outer) {
        return false;
    }
    let mut wide = outer.split('/');
    let mut narrow = spelled_out(inner).split('/');
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None | Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(literal), Some(level)) if literal == level => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// Whether some topic name is matched by both filters.
pub fn intersects(a: &str, b: &str) -> bool {
    if (is_reserved(a) && starts_with_wildcard(b)) || (is_reserved(b) && starts_with_wildcard(a)) {
        return false;
    }
    let mut left = spelled_out(a).split('/');
    let mut right = spelled_out(b).split('/');
    loop {
        match (left.next(), right.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(x), Some(y)) if x == y => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// The filter with its `#` standing only for levels that some topic name lacks.
///
/// By the letter `#` matches a name of no levels, and `/#` the empty name. Neither exists [MQTT-4.7.3-1], so that a filter
/// which differs from these two only there is their equal.
fn spelled_out(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

fn is_reserved(text: &str) -> bool {
    text.starts_with('$')
}

fn starts_with_wildcard(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_4_7_1_2_hash_matches_the_parent_and_any_number_of_levels() {
        for topic in ["sport", "sport/", "sport/tennis", "sport/tennis/player1"] {
            assert!(matches("sport/#", topic), "{topic}");
        }
        assert!(!matches("sport/#", "sports"));
        assert!(matches("#", "a/b") && matches("#", "/") && matches("+/#", "a"));
    }

    #[test]
    fn mqtt_4_7_1_3_plus_matches_exactly_one_level() {
        assert!(matches("sport/+", "sport/") && matches("+/+", "/finance") && matches("/+", "/finance"));
        assert!(!matches("+", "/finance") && !matches("sport/+", "sport") && !matches("sport/+", "sport/a/b"));
    }

    #[test]
    fn mqtt_4_7_2_1_leading_wildcards_do_not_match_dollar_topics() {
        assert!(!matches("#", "$SYS/x") && !matches("+/x", "$SYS/x") && !matches("+", "$"));
        assert!(matches("$SYS/#", "$SYS/x") && matches("$SYS/+", "$SYS/x") && matches("a/+", "a/$b"));
    }

    #[test]
    fn a12_a_filter_is_covered_only_by_one_that_matches_all_it_matches() {
        assert!(covers("#", "a/+") && covers("a/#", "a") && covers("a/+/#", "a/b/+/c") && covers("+/#", "#"));
        assert!(covers("/+/#", "/#") && covers("+/+/#", "/#"));
        assert!(covers("$SYS/#", "$SYS/a/#") && covers("a/b", "a/b"));
        assert!(!covers("#", "$SYS/#") && !covers("+/a", "$SYS/a") && !covers("a/+", "a/#") && !covers("a/b", "a/+"));
        assert!(!covers("a/+/#", "a/#") && !covers("a/+", "a/b/c") && !covers("a/b/c", "a/b"));
    }

    #[test]
    fn filters_intersect_when_one_topic_matches_both() {
        assert!(intersects("a/+", "+/b") && intersects("a/#", "a") && intersects("#", "+/x/#"));
        assert!(
            !intersects("a/+", "b/+")
                && !intersects("#", "$SYS/#")
                && !intersects("a/+", "a")
                && !intersects("+", "+/+")
        );
    }
}
