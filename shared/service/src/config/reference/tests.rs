use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::config::{Bytes, Duration, Source};

#[derive(Serialize, Deserialize, JsonSchema, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Threads.
    workers: Option<u16>,
    /// Where clients come in.
    listeners: Vec<Listener>,
    /// Bounds.
    limits: Limits,
    undocumented: bool,
}

#[derive(Serialize, Deserialize, JsonSchema, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Listener {
    /// For logs.
    name: Option<String>,
    /// Where to listen.
    bind: String,
    /// Certificates.
    tls: Option<Tls>,
    /// Which.
    mode: Mode,
}

#[derive(Serialize, Deserialize, JsonSchema, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    /// The file.
    ca: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema, Debug, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// All.
    OnTop,
}

#[derive(Serialize, Deserialize, JsonSchema, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    /// Of a packet.
    /// In bytes.
    packet: Bytes,
    /// Until then.
    deadline: Duration,
    /// Names.
    names: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let listeners = vec![Listener { bind: "[::]:1883".into(), ..Listener::default() }];
        Self { workers: None, listeners, limits: Limits::default(), undocumented: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet: Bytes::mib(2), deadline: Duration::secs(10), names: vec!["a".into()] }
    }
}

#[test]
fn the_file_of_defaults_reads_back_as_the_defaults() {
    let file = yaml(&keys::<Config>());
    let read: Config = Source::from_text("default", &file).parse().unwrap_or_else(|error| panic!("{error}\n{file}"));
    assert_eq!(read, Config::default(), "{file}");
    assert!(file.contains("# Threads.\n# workers: <number>\n"), "{file}");
    assert!(file.contains("\nlisteners:\n"), "{file}");
    assert!(file.contains("  # Where to listen.\n  - bind: \"[::]:1883\"\n"), "{file}");
    assert!(file.contains("    # Which.\n    mode: \"off\"\n"), "{file}");
    assert!(file.contains("  # Of a packet.\n  # In bytes.\n  packet: 2MiB\n"), "{file}");
}

#[test]
fn the_page_has_a_row_for_every_key() {
    let page = markdown(&keys::<Config>());
    assert!(page.contains("## `workers`\n\nThreads.\n\nNumber; default none.\n"), "{page}");
    assert!(page.contains("| `listeners[].tls.ca` | text | none | The file. |"), "{page}");
    assert!(page.contains("| `listeners[].mode` | `off`, `on_top` | `off` | Which. |"), "{page}");
    assert!(page.contains("| `limits.packet` | bytes | `2MiB` | Of a packet. In bytes. |"), "{page}");
    assert!(page.contains("| `limits.names` | list of texts | `[\"a\"]` | Names. |"), "{page}");
}

#[test]
fn keys_without_a_doc_comment_are_found() {
    assert_eq!(undocumented(&keys::<Config>()), ["undocumented"]);
}

#[test]
fn the_schema_refuses_unknown_keys() {
    assert_eq!(schema::<Config>()["additionalProperties"], false);
}
