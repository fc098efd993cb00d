//! The text of a rule file → rules, or the first mistake in it and where it stands.

use crate::{
    RulesError,
    document::{Node, Place, Value, read},
    pattern::Pattern,
    rule::Limits,
    table::Who,
};

/// A rule as written.
pub(crate) struct ParsedRule {
    pub(crate) allow: bool,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
    pub(crate) who: Who,
    pub(crate) topics: Vec<Pattern>,
    pub(crate) limits: Limits,
    pub(crate) line: u32,
}

/// Parses a whole file. No rules where nothing is written.
pub(crate) fn parse(source: &str) -> Result<Vec<ParsedRule>, RulesError> {
    let start = Place { line: 1, column: 1 };
    if source.len() > SOURCE_BYTES_MAX {
        return Err(start.error(format!("a rule file has at most {SOURCE_BYTES_MAX} bytes"), ""));
    }
    let Some(document) = read(source)? else { return Ok(Vec::new()) };
    let Value::Map(pairs) = document.value else {
        return Err(document.place.error("the file begins with the key 'rules'", "write  rules:  above the list"));
    };
    let mut rules = None;
    for (key, value) in pairs {
        let name = keyword(&key, &["rules"])?;
        refuse_twice(&key, name, rules.is_some())?;
        rules = Some(if value.is_empty() { Vec::new() } else { list(value)? });
    }
    rules.unwrap_or_default().into_iter().map(rule).collect()
}

fn rule(node: Node<'_>) -> Result<ParsedRule, RulesError> {
    let place = node.place;
    let Value::Map(pairs) = node.value else {
        return Err(place.error("a rule is a set of keys", "such as  - allow: publish"));
    };
    let mut draft = Draft::default();
    for (key, value) in pairs {
        draft.set(&key, value)?;
    }
    draft.finish(place)
}

/// What is known of a rule while its keys are read.
#[derive(Default)]
struct Draft {
    /// The keys so far.
    seen: Vec<&'static str>,
    allow: Option<bool>,
    publish: bool,
    subscribe: bool,
    who: Who,
    topics: Vec<Pattern>,
    qos_max: Option<u8>,
    retain: Option<bool>,
    shared_groups: Option<Box<[Box<str>]>>,
    /// Where a limit stands.
    limit: Option<(Place, &'static str)>,
}

impl Draft {
    fn set(&mut self, key: &Node<'_>, value: Node<'_>) -> Result<(), RulesError> {
        let name = keyword(key, &KEYS)?;
        refuse_twice(key, name, self.seen.contains(&name))?;
        self.seen.push(name);
        match name {
            "allow" | "deny" => self.set_effect(key.place, name == "allow", value)?,
            "users" => self.who.users = names(value)?,
            "clients" => self.who.clients = names(value)?,
            "groups" => self.who.groups = names(value)?,
            "anonymous" => self.who.anonymous = only_true(&value, name)?,
            "everyone" => self.who.everyone = only_true(&value, name)?,
            "topics" => self.topics = list(value)?.into_iter().map(topic).collect::<Result<_, _>>()?,
            "qos_max" => self.qos_max = Some(qos(&value)?),
            "retain" => self.retain = Some(boolean(&value, name)?),
            "shared_groups" => self.shared_groups = Some(shared_groups(value)?),
            other => unreachable!("keyword {other} is in the list of keys"),
        }
        if LIMIT_KEYS.contains(&name) {
            self.limit = self.limit.or(Some((key.place, name)));
        }
        Ok(())
    }

    fn set_effect(&mut self, place: Place, allow: bool, value: Node<'_>) -> Result<(), RulesError> {
        if self.allow.is_some() {
            return Err(place.error("a rule either allows or denies", "make two rules of it"));
        }
        self.allow = Some(allow);
        let actions = match value.value {
            Value::List(actions) => actions,
            Value::Scalar { .. } | Value::Map(_) => vec![value],
        };
        for action in &actions {
            let name = keyword(action, &["publish", "subscribe", "all"])?;
            self.publish |= name != "subscribe";
            self.subscribe |= name != "publish";
        }
        if actions.is_empty() {
            return Err(place.error("the rule is about no action", "write publish, subscribe or all"));
        }
        Ok(())
    }

    fn finish(self, place: Place) -> Result<ParsedRule, RulesError> {
        let Some(allow) = self.allow else {
            return Err(
                place.error("the rule neither allows nor denies", "begin it with  allow: publish  or  deny: all")
            );
        };
        if self.who == Who::default() {
            let hint = "add one of users, clients, groups, anonymous: true, everyone: true";
            return Err(place.error("the rule does not say whom it is about", hint));
        }
        if self.topics.is_empty() {
            return Err(place.error("the rule names no topics", "add  topics: [\"home/#\"]"));
        }
        if let (false, Some((place, name))) = (allow, self.limit) {
            let hint = "remove it, or limit the rule that allows";
            return Err(place.error(format!("'{name}' limits what is allowed, and this rule denies"), hint));
        }
        let limits = Limits {
            qos_max: self.qos_max.unwrap_or(Limits::NONE.qos_max),
            retain: self.retain.unwrap_or(Limits::NONE.retain),
            shared_groups: self.shared_groups,
        };
        let (publish, subscribe, line) = (self.publish, self.subscribe, place.line);
        Ok(ParsedRule { allow, publish, subscribe, who: self.who, topics: self.topics, limits, line })
    }
}

/// The entry of `known` that the node is, or an error that names the nearest.
fn keyword(node: &Node<'_>, known: &[&'static str]) -> Result<&'static str, RulesError> {
    let text = text(node)?;
    if let Some(name) = known.iter().find(|name| **name == text) {
        return Ok(name);
    }
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, &text.to_lowercase());
    let hint = match known.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= TYPING_ERRORS_MAX => format!("did you mean '{nearest}'?"),
        Some(_) | None => format!("known here: {}", known.join(", ")),
    };
    Err(node.place.error(format!("unknown word '{}'", shortened(text)), hint))
}

fn refuse_twice(key: &Node<'_>, name: &str, seen: bool) -> Result<(), RulesError> {
    if seen { Err(key.place.error(format!("'{name}' stands here a second time"), "keep one of them")) } else { Ok(()) }
}

fn list(node: Node<'_>) -> Result<Vec<Node<'_>>, RulesError> {
    match node.value {
        Value::List(nodes) => Ok(nodes),
        Value::Scalar { .. } | Value::Map(_) => Err(node.place.error("a list belongs here", "write it as [a, b]")),
    }
}

fn text<'n>(node: &'n Node<'_>) -> Result<&'n str, RulesError> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text),
        Value::List(_) | Value::Map(_) => Err(node.place.error("a single word belongs here", "")),
    }
}

fn names(node: Node<'_>) -> Result<Vec<String>, RulesError> {
    let place = node.place;
    let names: Vec<String> = list(node)?.iter().map(name).collect::<Result<_, _>>()?;
    if names.is_empty() { Err(place.error("the list is empty", "remove the key, or name somebody")) } else { Ok(names) }
}

fn name(node: &Node<'_>) -> Result<String, RulesError> {
    let text = text(node)?;
    if node.is_empty() || text.is_empty() {
        return Err(node.place.error("a name is missing here", ""));
    }
    Ok(text.to_owned())
}

fn shared_groups(node: Node<'_>) -> Result<Box<[Box<str>]>, RulesError> {
    list(node)?.iter().map(|node| name(node).map(Into::into)).collect()
}

fn topic(node: Node<'_>) -> Result<Pattern, RulesError> {
    if node.is_empty() {
        return Err(node.place.error("a filter is missing here", "a filter that begins with # needs quotes: \"#\""));
    }
    let text = text(&node)?;
    let refused = |error| node.place.error(format!("'{}' is no topic filter", shortened(text)), format!("{error}"));
    Pattern::parse(text).map_err(refused)
}

fn qos(node: &Node<'_>) -> Result<u8, RulesError> {
    match text(node)? {
        "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(node.place.error("a QoS belongs here", "write 0, 1 or 2")),
    }
}

fn boolean(node: &Node<'_>, key: &str) -> Result<bool, RulesError> {
    match &node.value {
        Value::Scalar { text, plain: true } if text == "true" => Ok(true),
        Value::Scalar { text, plain: true } if text == "false" => Ok(false),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
            Err(node.place.error(format!("'{key}' is true or false"), format!("write  {key}: true")))
        }
    }
}

/// `everyone: false` could be read as "nobody": it is refused.
fn only_true(node: &Node<'_>, key: &str) -> Result<bool, RulesError> {
    if boolean(node, key)? {
        return Ok(true);
    }
    Err(node.place.error(format!("'{key}: false' says nothing"), "remove the line"))
}

fn shortened(text: &str) -> String {
    text.chars().take(QUOTED_CHARACTERS_MAX).flat_map(char::escape_debug).collect()
}

/// Larger sources are refused, in bytes.
pub const SOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;

const KEYS: [&str; 11] = [
    "allow",
    "deny",
    "users",
    "clients",
    "groups",
    "anonymous",
    "everyone",
    "topics",
    "qos_max",
    "retain",
    "shared_groups",
];
const LIMIT_KEYS: [&str; 3] = ["qos_max", "retain", "shared_groups"];
const TYPING_ERRORS_MAX: usize = 2;
const QUOTED_CHARACTERS_MAX: usize = 64;

#[cfg(test)]
mod tests;
