//! The files an operator writes.

use std::sync::Arc;

use sluice_dataplane_access::{Principal, Rules};
use sluice_dataplane_auth::{NodeSecret, PasswordFile};
use sluice_dataplane_server::config::NodeConfig;
use sluice_service::config::Source;
use sluice_topic::{Limits, TopicFilter, check_topic, matches};

/// The text of a node's file; after a NUL, one override of the environment. What is accepted survives being written
/// down and read again; what is refused says why and where.
pub fn fuzz_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, variable) = text.split_once('\0').unwrap_or((text, ""));
    let mut source = Source::from_text("sluice.yaml", text);
    if let Some((name, value)) = variable.split_once('=') {
        source = source.with_environment([(name.to_owned(), value.to_owned())]);
    }
    match NodeConfig::from_source(&source) {
        Ok(config) => {
            let written = serde_json::to_string(&config).expect("a configuration can be written");
            let again = NodeConfig::from_source(&Source::from_text("again.yaml", written));
            assert_eq!(again.ok(), Some(config), "a configuration says the same after it was written");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
}

/// Lines before the first empty one: client id, user name, group, a topic, a filter. Then a rule file. A subscription
/// that is allowed is one through which nothing comes that may not be delivered; a superuser may do everything.
pub fn fuzz_access_rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (asked, rules) = text.split_once("\n\n").unwrap_or(("", text));
    let rules = match Rules::parse(rules, 1) {
        Ok(rules) => rules,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            return;
        }
    };
    let mut lines = asked.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (client_id, username, group) = (line(), line(), line());
    let username = (!username.is_empty()).then(|| Arc::from(username));
    let principal = Principal::new(client_id).with_username(username).with_groups([Arc::from(group)]);
    check_questions(&rules, &principal, line(), line());
}

fn check_questions(rules: &Rules, principal: &Principal, topic: &str, filter: &str) {
    let limits = Limits::default();
    if check_topic(topic, &limits).is_err() {
        return;
    }
    let root = principal.clone().with_superuser(true);
    assert!(rules.publish(&root, topic, 2, true).allowed && rules.deliver(&root, topic));
    for qos in 1..3 {
        for retain in [false, true] {
            let stronger = rules.publish(principal, topic, qos, retain).allowed;
            assert!(!stronger || rules.publish(principal, topic, qos - 1, false).allowed, "less is allowed too");
        }
    }
    let exact = rules.subscribe(principal, topic, 0, None).allowed;
    assert!(!exact || rules.deliver(principal, topic), "what may be subscribed to may be delivered");
    if TopicFilter::parse(filter, &limits).is_ok() {
        let allowed = rules.subscribe(principal, filter, 0, None).allowed;
        assert!(
            !(allowed && matches(filter, topic)) || rules.deliver(principal, topic),
            "{filter} is allowed, and {topic} comes through it"
        );
    }
}

/// A password file. What is refused says in which line, and shows nothing of the line but a name.
pub fn fuzz_password_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match PasswordFile::parse(text, NodeSecret::new(&[7; 32])) {
        Ok(file) => assert!(file.len() <= text.lines().count()),
        Err(error) => {
            assert!(error.line >= 1 && error.line as usize <= text.lines().count().max(1));
            assert!(!error.what.is_empty());
        }
    }
}
