use proptest::prelude::*;
use sluice_dataplane_core::Settings;
use sluice_service::config::reference;

use super::*;

fn read(text: &str) -> Result<NodeConfig, ConfigError> {
    NodeConfig::from_source(&Source::from_text("sluice.yaml", text))
}

fn refused(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

/// A file with this listener (one line of flow style) and a password file to check against.
fn listener(entry: &str) -> String {
    format!("auth: {{chain: [{{password: {{file: users}}}}]}}\nlisteners:\n  - {entry}\n")
}

#[test]
fn the_defaults_are_those_of_the_broker() {
    let settings = |config: &NodeConfig| Settings { listeners: Vec::new(), memory_bytes_max: 0, ..config.settings() };
    let mut config = NodeConfig::default();
    config.listeners[0].allow_anonymous = Some(true);
    let broker = Settings { listeners: Vec::new(), ..Settings::default() };
    assert_eq!(format!("{:?}", settings(&config)), format!("{broker:?}"));
    assert!(config.settings().memory_bytes_max > 0);
}

#[test]
fn a_listener_beyond_this_machine_says_who_may_come_in_or_is_refused() {
    let error = refused("node: {name: a}\nlisteners:\n  - bind: 0.0.0.0:1883\n");
    let expected =
        "sluice.yaml:3:5 listener 0.0.0.0:1883 accepts anyone  -> add auth: required or allow_anonymous: true";
    assert_eq!(error.lines().next(), Some(expected));
    assert!(error.ends_with("   3 |   - bind: 0.0.0.0:1883\n     |     ^"), "{error}");
    assert!(refused("").contains("listener [::]:1883 accepts anyone"));
    assert!(refused("listeners: [{bind: ':1883', auth: required}]").contains("nothing can check them"));
    assert!(refused("listeners: [{bind: ':1883', allow_anonymous: false}]").contains("add an auth.chain"));
    assert!(read("listeners: [{bind: ':1883', allow_anonymous: true}]").is_ok());
    assert!(read("listeners: [{bind: localhost:1883}]").is_ok());
    assert!(read("listeners: [{bind: unix:/run/x}]").is_ok());
    assert!(read(&listener("{bind: ':1883'}")).is_ok());
    assert!(refused(&listener("{bind: ':1883', auth: required, allow_anonymous: true}")).contains("says both"));
}

#[test]
fn f3_each_listener_has_its_own_policy() {
    let chain = "auth: {chain: [{password: {file: users}}]}\n";
    let listeners = "listeners: [{bind: ':1'}, {bind: ':2', allow_anonymous: true}, {bind: 'localhost:3'}]\n";
    let config = read(&format!("{chain}{listeners}")).unwrap();
    let open: Vec<OpenTo> = config.listeners.iter().map(|each| config.open_to(each)).collect();
    assert_eq!(open, [OpenTo::Authenticated, OpenTo::Anyone, OpenTo::Authenticated]);
    let anonymous: Vec<bool> = config.settings().listeners.iter().map(|each| each.allow_anonymous).collect();
    assert_eq!(anonymous, [false, true, false]);
}

#[test]
fn f4_settings_that_do_nothing_where_they_stand_are_refused() {
    for (entry, says) in [
        ("{bind: ':1', tls: {ca: x}}", "TLS without a certificate"),
        ("{bind: ':1', tls: {certificates: [{cert: a, key: b}], ca: x}}", "clients show no certificate"),
        ("{bind: ':1', tls: {certificates: [{cert: a, key: b}], client_auth: required}}", "no authority says"),
        ("{bind: ':1', tls: {certificates: [{cert: a, key: b}], crl: x}}", "revocation lists, but no authority"),
        ("{bind: ':1', tls: {certificates: [{cert: a}]}}", "missing key `key`"),
        ("{bind: ':1', websocket: {path: /mqtt}}", "add protocol: ws"),
        ("{bind: ':1', protocol: ws, websocket: {path: mqtt}}", "begin it with /"),
        ("{bind: ':1', proxy_protocol: required}", "would believe anyone's PROXY header"),
        ("{bind: ':1', trusted_cidrs: [10.0.0.0/8]}", "trusted_cidrs without PROXY protocol"),
        ("{bind: 'unix:/x', proxy_protocol: optional}", "no PROXY protocol on a Unix socket"),
        ("{bind: 'unix:/x', tls: {certificates: [{cert: a, key: b}]}}", "no TLS on a Unix socket"),
        ("{bind: ':1', identity_as_username: true}", "clients show no certificate here"),
        ("{bind: ':1', max_packet_size: 256MiB}", "is not between 128 and 268435455"),
        ("{bind: example.com:1}", "is no address to listen on"),
    ] {
        let error = refused(&listener(entry));
        assert!(error.starts_with("sluice.yaml:3:") && error.contains(says), "{entry}: {error}");
    }
    assert!(refused("listeners: []").contains("no client could come in"));
}

#[test]
fn two_listeners_share_neither_address_nor_name() {
    let error = refused("listeners:\n  - bind: localhost:1\n  - bind: 127.0.0.1:1\n");
    assert!(error.contains("sluice.yaml:3:5 listeners[0] is at 127.0.0.1:1 already"), "{error}");
    let error = refused("listeners: [{bind: 127.0.0.1:1}, {bind: 127.0.0.2:1}]");
    assert!(error.contains("has the name tcp-1 already"), "{error}");
    assert!(read("listeners: [{bind: localhost:0}, {bind: localhost:0}]").is_ok());
}

#[test]
fn a_check_is_of_one_kind_and_its_keys_fit_together() {
    let chain = |steps: &str| format!("listeners: [{{bind: localhost:1}}]\nauth:\n  chain:\n    - {steps}\n");
    for (step, says) in [
        ("{}", "a step of 0 kinds instead of one"),
        ("{password: {file: a}, jwt: {algorithms: [HS256], secret_file: b}}", "a step of 2 kinds"),
        ("{certificate: {}}", "no listener asks for them"),
        ("{jwt: {algorithms: []}}", "no signature would be accepted"),
        ("{jwt: {algorithms: [HS256]}}", "0 key files instead of one"),
        ("{jwt: {algorithms: [HS256, RS256], secret_file: a}}", "in one step"),
        ("{jwt: {algorithms: [HS256], public_key_file: a}}", "do not go with the kind of key"),
        ("{jwt: {algorithms: [none], secret_file: a}}", "unknown value `none`"),
        ("{pasword: {file: a}}", "did you mean `password`?"),
    ] {
        let error = refused(&chain(step));
        assert!(error.contains(says), "{step}: {error}");
    }
    for step in ["{jwt: {algorithms: [HS256], secret_file: a}}", "{jwt: {algorithms: [ES256], jwks_file: a}}"] {
        assert!(read(&chain(step)).is_ok(), "{step}");
    }
}

#[test]
fn limits_beyond_what_mqtt_can_say_are_refused() {
    for (key, says) in [
        ("mqtt: {max_packet_size: 268435456}", "is not between 128 and 268435455"),
        ("mqtt: {max_qos: 3}", "3 is not between 0 and 2"),
        ("mqtt: {receive_maximum: 0}", "0 is not between"),
        ("mqtt: {max_keepalive: 1d}", "longer than MQTT can say"),
        ("mqtt: {session_expiry_max: 60000d}", "longer than MQTT can say"),
        ("mqtt: {will_size_max: 1MiB}", "at most 65535 bytes"),
        ("limits: {connect_deadline: 10}", "a length of time with a unit"),
        ("workers: 0", "workers"),
        ("workers: 300", "300 is not between 1 and 256"),
        ("storage: {shards: 5000}", "5000 is not between 1 and 4096"),
        ("log: {level: loud}", "log level `loud` is not understood"),
        ("storage: {durabilty: async}", "did you mean `durability`?"),
    ] {
        let error = refused(&format!("listeners: [{{bind: localhost:1}}]\n{key}\n"));
        assert!(error.starts_with("sluice.yaml:2:") && error.contains(says), "{key}: {error}");
    }
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let error = read("mqtt: {max_qos: 3}\nlisteners:\n  - bind: ':1'\n  - bind: ':2'\n").unwrap_err();
    let lines: Vec<_> = error.errors.iter().map(|each| each.position.unwrap().0).collect();
    assert_eq!(lines, [1, 3, 4]);
}

#[test]
fn the_seeds_threshold_keeps_its_key() {
    let config =
        read("listeners: [{bind: localhost:1}]\ncluster:\n  etcd:\n    hybrid_retained_size_threshold: 2048\n");
    assert_eq!(config.unwrap().settings().hybrid_retained_size_threshold, 2048);
}

#[test]
fn relative_paths_are_taken_from_the_files_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.yaml");
    let text = "listeners: [{bind: localhost:1, tls: {certificates: [{cert: a.crt, key: /k}]}}]\n\
                access: {file: rules.yaml}\nnode: {data: data}\nauth: {chain: [{password: {file: users}}]}\n";
    std::fs::write(&file, text).unwrap();
    let config = NodeConfig::load(&file).unwrap();
    let tls = config.listeners[0].tls_files().unwrap();
    assert_eq!(tls.certificates[0].cert, dir.path().join("a.crt"));
    assert_eq!(tls.certificates[0].key, Path::new("/k"));
    assert_eq!(config.access.file, Some(dir.path().join("rules.yaml")));
    assert_eq!(config.store_path(), dir.path().join("data/store"));
    assert_eq!(config.auth.chain[0].password.as_ref().unwrap().file, dir.path().join("users"));
}

#[test]
fn f2_files_that_cannot_be_used_are_located_at_the_key_that_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.yaml");
    let text = "listeners:\n  - bind: localhost:1\n    tls: {certificates: [{cert: a, key: b}]}\n\
                access:\n  file: rules\nauth:\n  chain:\n    - password: {file: users}\n";
    std::fs::write(&file, text).unwrap();
    std::fs::write(dir.path().join("rules"), "nonsense: true\n").unwrap();
    assert!(NodeConfig::load(&file).is_ok(), "the file itself is good");
    let error = NodeConfig::check(&file).unwrap_err();
    let lines: Vec<_> = error.errors.iter().map(|each| each.position.unwrap().0).collect();
    assert_eq!(lines, [3, 5, 8], "{error}");
    let error = error.to_string();
    for says in ["a: cannot be read", "rules:1:1 ", "users"] {
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_listener_is_named_by_what_it_carries() {
    let at = |entry: &str| read(&listener(entry)).unwrap().listeners[0].label(None);
    assert_eq!(at("{bind: ':1883'}"), "tcp-1883");
    assert_eq!(at("{bind: ':8083', protocol: ws}"), "ws-8083");
    assert_eq!(at("{bind: ':8883', tls: {certificates: [{cert: a, key: b}]}}"), "tls-8883");
    assert_eq!(at("{bind: ':8084', protocol: ws, tls: {certificates: [{cert: a, key: b}]}}"), "wss-8084");
    assert_eq!(at("{bind: 'unix:/run/x'}"), "unix");
    assert_eq!(at("{bind: ':1883', name: plain}"), "plain");
    assert_eq!(Listener::at("localhost:0".parse().unwrap(), Protocol::Mqtt).label(Some(4711)), "tcp-4711");
}

#[test]
fn a_proxy_is_believed_only_from_where_it_stands() {
    let by = |entry: &str, from: &str| read(&listener(entry)).unwrap().listeners[0].trusts(from.parse().unwrap());
    let ranged = "{bind: ':1', proxy_protocol: required, trusted_cidrs: [10.0.0.0/8]}";
    assert!(by(ranged, "10.1.1.1") && !by(ranged, "127.0.0.1") && by(ranged, "::ffff:10.1.1.1"));
    let local = "{bind: 'localhost:1', proxy_protocol: required}";
    assert!(by(local, "127.0.0.1") && !by(local, "10.1.1.1"));
}

#[test]
fn every_key_is_documented() {
    assert_eq!(reference::undocumented(&reference::keys::<NodeConfig>()), Vec::<String>::new());
}

#[test]
fn the_file_of_defaults_reads_back_as_the_defaults() {
    let text = reference::yaml(&reference::keys::<NodeConfig>());
    let source = Source::from_text("default.yaml", text.clone());
    assert_eq!(source.parse::<NodeConfig>().unwrap(), NodeConfig::default(), "{text}");
    let error = NodeConfig::from_source(&source).unwrap_err().to_string();
    assert!(error.contains("listener [::]:1883 accepts anyone  -> add auth: required"), "{error}");
}

/// The reference page: what is written by hand above the line, and what comes from the code below it.
#[test]
fn the_reference_page_is_up_to_date_and_its_examples_load() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = page.split_once(GENERATED).expect("the page keeps its dividing line");
    let fresh = format!("{by_hand}{GENERATED}{}", reference::markdown(&reference::keys::<NodeConfig>()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == fresh, "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1");
    let examples = examples(&page);
    assert!(examples.len() >= 3);
    for example in examples {
        read(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

/// The page about authentication shows parts of files, without the listeners they go with.
#[test]
fn the_examples_of_authentication_have_the_keys_of_the_file() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authentication.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples = examples(&page);
    assert!(!examples.is_empty());
    for example in examples {
        let parsed = Source::from_text("example", example).parse::<NodeConfig>();
        parsed.unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

fn examples(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

const GENERATED: &str = "<!-- The rest of this page is generated from the code. -->\n";

proptest! {
    #[test]
    fn no_file_makes_the_node_panic(text in "(listeners|bind|tls|auth|chain|jwt|mqtt|limits|[-:{}\\[\\],'\" \n0-9a-z]){0,40}") {
        if let Ok(config) = read(&text) {
            let _ = config.settings();
        }
    }
}
