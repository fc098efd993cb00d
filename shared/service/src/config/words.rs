//! The deserialiser's messages in an operator's words.

/// What is wrong and what to do about it, from a message of serde or of the YAML library.
pub(super) fn plain(message: &str) -> (String, Option<String>) {
    let (path, rest) = split_path(message);
    let within = path.map_or(String::new(), |path| format!(" in `{path}`"));
    for (kind, plain) in KINDS {
        let Some(expectation) = rest.strip_prefix(kind) else { continue };
        let mut quoted = expectation.split('`').skip(1).step_by(2);
        let Some(given) = quoted.next() else { break };
        let known: Vec<&str> = quoted.collect();
        return (format!("{plain} `{given}`{within}"), hint(given, &known));
    }
    (message.to_owned(), None)
}

/// The name among `known` that was probably meant.
pub(super) fn meant<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase().replace('-', "_");
    let allowed = (given.len() / 3).max(1);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed || (given.len() > 3 && (candidate.contains(&given) || given.contains(candidate)))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn hint(given: &str, known: &[&str]) -> Option<String> {
    match meant(given, known) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => Some(format!("use one of: {}", known.join(", "))),
    }
}

/// Splits the key path that the YAML library puts in front: `listeners[0]: unknown field …`.
fn split_path(message: &str) -> (Option<&str>, &str) {
    match message.split_once(": ") {
        Some((path, rest)) if !path.is_empty() && !path.contains([' ', '`']) => (Some(path), rest),
        _ => (None, message),
    }
}

/// How serde begins a message about a name, and what it is to an operator.
const KINDS: [(&str, &str); 4] = [
    ("unknown field ", "unknown key"),
    ("unknown variant ", "unknown value"),
    ("missing field ", "missing key"),
    ("duplicate field ", "the same key twice:"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_becomes_a_key_and_a_suggestion() {
        let (message, hint) = plain("listeners[0]: unknown field `bnd`, expected one of `name`, `bind`, `tls`");
        assert_eq!(message, "unknown key `bnd` in `listeners[0]`");
        assert_eq!(hint.as_deref(), Some("did you mean `bind`?"));
    }

    #[test]
    fn a_name_like_no_other_gets_the_list() {
        let (message, hint) = plain("unknown variant `zzz`, expected `fsync` or `async`");
        assert_eq!(message, "unknown value `zzz`");
        assert_eq!(hint.as_deref(), Some("use one of: fsync, async"));
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        let message = "workers: invalid type: string \"x\", expected u16";
        assert_eq!(plain(message), (message.to_owned(), None));
    }

    #[test]
    fn the_nearest_name_is_meant_but_not_just_any() {
        let known = ["max_packet_size", "max_keepalive", "receive_maximum", "max_qos"];
        assert_eq!(meant("max-packet-size", &known), Some("max_packet_size"));
        assert_eq!(meant("packet_size", &known), Some("max_packet_size"));
        assert_eq!(meant("recieve_maximum", &known), Some("receive_maximum"));
        assert_eq!(meant("users", &known), None);
    }
}
