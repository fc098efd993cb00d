//! What a configuration may contain, from the structs that read it: JSON Schema, a reference page, a file of defaults.
//!
//! The text of each key is the doc comment of its field, so that code and documents cannot differ.

use std::fmt::Write as _;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// A key, what it means, and the keys inside it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name in the file.
    pub name: String,
    /// The doc comment of the field.
    pub doc: String,
    /// What its value may be, in words.
    pub kind: String,
    /// The value it has where the file does not say; `None` when it then has none.
    pub default: Option<Value>,
    /// The keys inside a mapping, or inside each entry of a list of mappings.
    pub keys: Vec<Key>,
    /// Whether it is a list.
    pub list: bool,
}

/// The JSON Schema (2020-12) of a configuration.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The keys of a configuration, in the order of its fields.
#[must_use]
pub fn keys<T: JsonSchema>() -> Vec<Key> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    properties(&settings.into_generator().into_root_schema_for::<T>().to_value())
}

/// The paths of keys without a doc comment.
#[must_use]
pub fn undocumented(keys: &[Key]) -> Vec<String> {
    let mut found = Vec::new();
    visit(keys, "", &mut |path, key| {
        if key.doc.is_empty() {
            found.push(path.to_owned());
        }
    });
    found
}

/// The reference as Markdown: a section for each key at the top, a table of what is inside.
#[must_use]
pub fn markdown(keys: &[Key]) -> String {
    let mut page = String::new();
    for key in keys {
        let _ = write!(page, "\n## `{}`\n\n{}\n", key.name, key.doc);
        if key.keys.is_empty() {
            let _ = write!(page, "\n{}; default {}.\n", capital(&key.kind), default_text(key));
            continue;
        }
        page.push_str("\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
        let prefix = if key.list { format!("{}[].", key.name) } else { format!("{}.", key.name) };
        visit(&key.keys, &prefix, &mut |path, key| {
            let doc = key.doc.replace('\n', " ").replace('|', "\\|");
            let kind = key.kind.replace('|', "\\|");
            let _ = writeln!(page, "| `{path}` | {kind} | {} | {doc} |", default_text(key));
        });
    }
    page
}

/// A file that sets every key to its default, with the doc comments; keys without a default are commented out.
#[must_use]
pub fn yaml(keys: &[Key]) -> String {
    let mut file = String::new();
    for key in keys {
        if !file.is_empty() {
            file.push('\n');
        }
        write_key(&mut file, key, key.default.as_ref(), 0, Prefix::KEY);
    }
    file
}

/// What stands in front of a key.
#[derive(Clone, Copy)]
struct Prefix(&'static str);

impl Prefix {
    const KEY: Self = Self("");
    /// The first key of a list's entry.
    const ENTRY: Self = Self("- ");
    /// A key that is not set.
    const COMMENT: Self = Self("# ");
}

fn write_key(file: &mut String, key: &Key, value: Option<&Value>, indent: usize, prefix: Prefix) {
    for line in key.doc.lines() {
        // The first key of an entry has its comment above the dash.
        let _ = writeln!(file, "{:indent$}# {}", "", line.trim_end());
    }
    let Prefix(before) = prefix;
    let inner = indent + if prefix.0 == Prefix::ENTRY.0 { 2 } else { 0 };
    let name = &key.name;
    match value {
        None | Some(Value::Null) => {
            let example = if key.keys.is_empty() { format!("<{}>", key.kind.replace('`', "")) } else { "{…}".into() };
            let _ = writeln!(file, "{:indent$}# {name}: {example}", "");
        }
        Some(Value::Array(entries)) if key.list && !key.keys.is_empty() && !entries.is_empty() => {
            let _ = writeln!(file, "{:indent$}{before}{name}:", "");
            for entry in entries {
                let mut first = Prefix::ENTRY;
                for each in &key.keys {
                    let set = entry.get(&each.name).filter(|value| !value.is_null());
                    let (place, prefix) = match (set.is_some(), first.0 == Prefix::ENTRY.0) {
                        (true, true) => (inner + 2, std::mem::replace(&mut first, Prefix::KEY)),
                        (true, false) => (inner + 4, Prefix::KEY),
                        (false, _) => (inner + 4, Prefix::COMMENT),
                    };
                    write_key(file, each, set, place, prefix);
                }
            }
        }
        Some(Value::Object(map)) if !key.keys.is_empty() => {
            let _ = writeln!(file, "{:indent$}{before}{name}:", "");
            for each in &key.keys {
                write_key(file, each, map.get(&each.name), inner + 2, Prefix::KEY);
            }
        }
        Some(value) => {
            let _ = writeln!(file, "{:indent$}{before}{name}: {}", "", scalar(value));
        }
    }
}

/// A value as YAML on one line.
fn scalar(value: &Value) -> String {
    match value.as_str() {
        Some(text) if is_plain(text) => text.to_owned(),
        _ => value.to_string(),
    }
}

/// Whether a text needs no quotes in YAML.
fn is_plain(text: &str) -> bool {
    let number =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | ':');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(inside)
        && !number
        && !text.ends_with(':')
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off")
}

fn visit(keys: &[Key], prefix: &str, each: &mut impl FnMut(&str, &Key)) {
    for key in keys {
        let path = format!("{prefix}{}", key.name);
        each(&path, key);
        let inner = if key.list { format!("{path}[].") } else { format!("{path}.") };
        visit(&key.keys, &inner, each);
    }
}

fn properties(schema: &Value) -> Vec<Key> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| key(name, schema)).collect()
}

fn key(name: &str, schema: &Value) -> Key {
    let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    let default = schema.get("default").filter(|value| !value.is_null()).cloned();
    let value = without_null(schema);
    let items = value.get("items").map(without_null);
    let keys = properties(items.unwrap_or(value));
    Key { name: name.to_owned(), doc, kind: kind(value), default, keys, list: items.is_some() }
}

/// The schema of the value of an optional key.
fn without_null(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let value = alternatives.and_then(|all| all.iter().find(|each| each.get("type") != Some(&Value::from("null"))));
    value.unwrap_or(schema)
}

/// What a value may be, in words.
fn kind(schema: &Value) -> String {
    if let Some(words) = choices(schema) {
        return words;
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(format @ ("bytes" | "duration")) => return format.to_owned(),
        Some(format) if !format.starts_with("uint") && !format.starts_with("int") => return format.to_owned(),
        _ => {}
    }
    let named = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().find(|name| **name != "null"),
        other => other,
    };
    match named.and_then(Value::as_str) {
        Some("array") => {
            format!("list of {}", schema.get("items").map_or("values".into(), |items| plural(&kind(items))))
        }
        Some("object") => "mapping".into(),
        Some("integer" | "number") => "number".into(),
        Some("boolean") => "`true`, `false`".into(),
        Some("string") => "text".into(),
        Some(other) => other.to_owned(),
        None => "value".into(),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        choices if choices.starts_with('`') => choices.to_owned(),
        other => format!("{other}s"),
    }
}

/// The words of an enumeration.
fn choices(schema: &Value) -> Option<String> {
    let of_list = |list: &Value| list.as_array().map(|all| all.iter().filter_map(Value::as_str).map(quoted).collect());
    let of_one = schema.get("oneOf").and_then(Value::as_array);
    let words: Vec<String> = match of_one {
        None => schema.get("enum").and_then(of_list)?,
        Some(all) => all
            .iter()
            .flat_map(|each| match (each.get("const").and_then(Value::as_str), each.get("enum").and_then(of_list)) {
                (Some(word), _) => vec![quoted(word)],
                (None, Some(words)) => words,
                (None, None) => Vec::new(),
            })
            .collect(),
    };
    (!words.is_empty()).then(|| words.join(", "))
}

fn quoted(word: &str) -> String {
    format!("`{word}`")
}

fn default_text(key: &Key) -> String {
    match &key.default {
        None => "none".into(),
        Some(Value::Object(_)) => "as below".into(),
        Some(Value::Array(entries)) if !key.keys.is_empty() && !entries.is_empty() => "as below".into(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
