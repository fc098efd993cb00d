use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::config::{Bytes, KeyPath};

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Config {
    workers: u16,
    name: String,
    listeners: Vec<Listener>,
    limits: Limits,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Listener {
    bind: String,
    packet: Bytes,
    mode: Mode,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Off,
    Required,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    rate: Option<u32>,
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Source::from_text("s.yaml", text).parse()
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn with_env(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Source::from_text("s.yaml", text).with_environment(variables).parse()
}

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "\n\n", "# nothing\n  # here\n", "{}"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn an_unknown_key_is_located_and_the_meant_one_named() {
    let error = refused("workers: 2\nlisteners:\n  - bnd: 0.0.0.0:1883\n");
    assert_eq!(
        error,
        "s.yaml:3:5 unknown key `bnd` in `listeners[0]`  -> did you mean `bind`?\n   \
         3 |   - bnd: 0.0.0.0:1883\n     |     ^"
    );
}

#[test]
fn a_wrong_type_is_located() {
    let error = refused("workers: 2\nlisteners:\n  - bind: x\n    packet: 2 parsecs\n");
    assert!(error.starts_with("s.yaml:4:13 listeners[0].packet: `2 parsecs` is not a number of bytes"), "{error}");
    assert!(refused("workers: many").starts_with("s.yaml:1:10 workers: invalid type: string \"many\", expected u16"));
    let error = refused("listeners: [{mode: requird}]");
    assert!(error.starts_with("s.yaml:1:20 unknown value `requird`"), "{error}");
    assert!(error.contains("did you mean `required`?"), "{error}");
}

#[test]
fn broken_yaml_and_repeated_keys_are_located() {
    let error = refused("workers: 2\n\tname: x\n");
    assert!(error.starts_with("s.yaml:2:1 "), "{error}");
    let error = refused("workers: 2\nname: a\nworkers: 3\n");
    assert!(error.contains("the same key twice: `workers`"), "{error}");
    assert!(refused("a: &x [*x]").starts_with("s.yaml:"));
}

#[test]
fn a_missing_file_is_an_error_that_says_so() {
    let error = Source::read(Path::new("/nonexistent/sluice.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/sluice.yaml: cannot be read: No such file"), "{error}");
}

#[test]
fn a_file_that_is_not_text_or_far_too_long_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, b"name: \xff\xfe").unwrap();
    assert!(Source::read(&path).unwrap_err().to_string().contains("not UTF-8 from byte 6"));
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert!(Source::read(&path).unwrap_err().to_string().contains("larger than 1 MiB"));
}

#[test]
fn the_environment_sets_single_keys() {
    let text = "listeners: [{bind: a}]\n";
    let config = with_env(
        text,
        &[
            ("SLUICE_WORKERS", "3"),
            ("SLUICE_NAME", "007"),
            ("SLUICE_LISTENERS__0__PACKET", "2MiB"),
            ("SLUICE_LISTENERS__1__BIND", "b"),
            ("SLUICE_LIMITS__RATE", "10"),
            ("PATH", "/bin"),
        ],
    );
    let config = config.unwrap();
    assert_eq!((config.workers, config.name.as_str(), config.limits.rate), (3, "007", Some(10)));
    assert_eq!(config.listeners[0], Listener { bind: "a".into(), packet: Bytes(2 << 20), mode: Mode::Off });
    assert_eq!(config.listeners[1].bind, "b");
}

#[test]
fn a_variable_that_fits_no_key_is_an_error_of_that_variable() {
    let error = |name, value| with_env("workers: 1", &[(name, value)]).unwrap_err().to_string();
    assert_eq!(error("SLUICE_WORKRS", "1"), "SLUICE_WORKRS: unknown key `workrs`  -> did you mean `workers`?");
    assert!(error("SLUICE_WORKERS", "many").starts_with("SLUICE_WORKERS: invalid type: string \"many\""));
    assert!(error("SLUICE_WORKERS__0", "1").contains("no list"));
    assert!(error("SLUICE_LISTENERS__3__BIND", "x").contains("entry 3 of a list that has 0 entries"));
    assert!(error("SLUICE_", "x").starts_with("SLUICE_: "));
}

#[test]
fn links_to_a_service_called_sluice_are_no_keys() {
    let links = [("SLUICE_SERVICE_HOST", "10.0.0.1"), ("SLUICE_PORT", "tcp://x"), ("SLUICE_NODE_PORT_1883_TCP", "x")];
    assert!(with_env("", &links).is_ok());
}

#[test]
fn what_the_client_of_operators_reads_is_no_key() {
    let client = ["SLUICE_SERVER", "SLUICE_TOKEN", "SLUICE_TOKEN_FILE", "SLUICE_CA", "SLUICE_CONTEXT"];
    assert!(with_env("", &client.map(|name| (name, "x"))).is_ok());
    assert!(with_env("", &[("SLUICE_SERVERS", "x")]).is_err());
}

#[test]
fn problems_found_later_are_located_in_the_file_or_the_environment() {
    let source = Source::from_text("s.yaml", "workers: 1\nlisteners:\n  - bind: a\n  - bind: a\n")
        .with_environment([("SLUICE_LIMITS__RATE".to_owned(), "1".to_owned())]);
    let listeners = KeyPath::root().key("listeners");
    let error = source
        .refuse(vec![
            Problem::new(listeners.index(1).key("bind"), "the same address twice").hint("remove one"),
            Problem::new(KeyPath::root().key("limits").key("rate"), "too low"),
        ])
        .unwrap_err();
    assert_eq!(error.errors[0].to_string(), "SLUICE_LIMITS__RATE: too low");
    assert!(error.errors[1].to_string().starts_with("s.yaml:4:5 the same address twice  -> remove one\n"));
    assert_eq!(source.refuse(Vec::new()), Ok(()));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", path in "[a-z.0-9]{0,20}") {
        let source = Source::from_text("x", text);
        let _ = source.parse::<Config>().map_err(|error| error.to_string());
        let problem = Problem::new(KeyPath::root().key("listeners").index(1).key(&path), "x");
        let _ = source.refuse(vec![problem]).map_err(|error| error.to_string());
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "([a-z]{1,4}|listeners|bind|[-:{}\\[\\],&*!|>'\"%@` \n\t#0-9]){0,60}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_environment_makes_the_reader_panic(name in "SLUICE_[A-Z0-9_]{0,20}", value in "\\PC{0,40}") {
        let _ = with_env("listeners: [{bind: a}]", &[(&name, &value)]).map_err(|error| error.to_string());
    }
}
