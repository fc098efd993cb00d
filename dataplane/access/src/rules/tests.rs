use std::{fmt::Write, sync::Arc};

use super::*;
use crate::Scope;

fn rules(source: &str) -> Rules {
    Rules::parse(source, 1).unwrap()
}

fn alice() -> Principal {
    Principal::new("c1").with_username(Some("alice".into()))
}

fn publishes(rules: &Rules, principal: &Principal, topic: &str) -> bool {
    rules.publish(principal, topic, 0, false).allowed
}

fn subscribes(rules: &Rules, principal: &Principal, filter: &str) -> bool {
    rules.subscribe(principal, filter, 0, None).allowed
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(
        "rules:
  - allow: publish
    users: [alice]
    topics: [home/door]
  - deny: publish
    everyone: true
    topics: [home/#]
  - allow: all
    everyone: true
    topics: ['#']
",
    );
    let decision = rules.publish(&alice(), "home/door", 2, true);
    assert_eq!(decision, Decision { allowed: true, why: Why::Rule(2) });
    assert_eq!(rules.publish(&alice(), "home/window", 0, false), Decision { allowed: false, why: Why::Rule(5) });
    assert!(!publishes(&rules, &Principal::new("c1"), "home/door"));
    assert!(publishes(&rules, &Principal::new("c1"), "garden"));
    assert!(!publishes(&rules, &alice(), "$SYS/broker/version"));
}

#[test]
fn what_no_rule_allows_is_refused() {
    let rules = Rules::deny_all();
    assert_eq!(rules.publish(&alice(), "a", 0, false), Decision { allowed: false, why: Why::NoRule });
    assert_eq!(rules.subscribe(&alice(), "a", 0, None), Decision { allowed: false, why: Why::NoRule });
    assert!(!rules.deliver(&alice(), "a"));
    assert!(!rules.is_open(&alice()));
}

#[test]
fn f1_an_empty_or_comment_only_file_denies_all() {
    for source in ["", "\n\n", "# nothing\n", "---\n", "rules:\n", "rules: []\n"] {
        let rules = rules(source);
        assert!(rules.is_empty() && !rules.is_open(&alice()), "{source:?}");
        assert!(!publishes(&rules, &alice(), "a") && !subscribes(&rules, &alice(), "a"), "{source:?}");
    }
}

#[test]
fn rules_name_users_clients_groups_anonymous_clients_and_everyone() {
    let rules = rules(
        "rules:
  - {allow: publish, users: [alice], topics: [u]}
  - {allow: publish, clients: [c1], topics: [c]}
  - {allow: publish, groups: [ops], topics: [g]}
  - {allow: publish, anonymous: true, topics: [n]}
  - {allow: publish, everyone: true, topics: [e]}
  - {allow: publish, users: [bob], groups: [ops], topics: [either]}
",
    );
    let allowed = |principal: &Principal| -> String {
        let topics = ["u", "c", "g", "n", "e", "either"];
        topics.into_iter().filter(|topic| publishes(&rules, principal, topic)).collect::<Vec<_>>().join(" ")
    };
    let user = |name: &str| Principal::new("c2").with_username(Some(name.into()));
    assert_eq!(allowed(&user("alice")), "u e");
    assert_eq!(allowed(&alice()), "u c e");
    assert_eq!(allowed(&user("bob")), "e either");
    assert_eq!(allowed(&user("eve").with_groups([Arc::from("ops"), Arc::from("x")])), "g e either");
    assert_eq!(allowed(&Principal::new("c2")), "n e");
    assert_eq!(allowed(&Principal::new("c1")), "c n e");
}

#[test]
fn limits_of_an_allow_rule_refuse_what_is_beyond_them() {
    let rules = rules(
        "rules:
  - allow: all
    everyone: true
    topics: [a/#]
    qos_max: 1
    retain: false
    shared_groups: [workers]
  - allow: all
    everyone: true
    topics: ['#']
",
    );
    assert!(rules.publish(&alice(), "a/b", 1, false).allowed);
    assert_eq!(rules.publish(&alice(), "a/b", 2, false).why, Why::Limit(2));
    assert_eq!(rules.publish(&alice(), "a/b", 0, true).why, Why::Limit(2));
    assert!(rules.publish(&alice(), "b", 2, true).allowed);
    assert!(rules.subscribe(&alice(), "a/+", 1, None).allowed);
    assert!(rules.subscribe(&alice(), "a/+", 1, Some("workers")).allowed);
    assert_eq!(rules.subscribe(&alice(), "a/+", 1, Some("thieves")).why, Why::Limit(2));
    assert_eq!(rules.subscribe(&alice(), "a/+", 2, None).why, Why::Limit(2));
    assert_eq!(rules.subscribe(&alice(), "#", 2, None).why, Why::Limit(2));
    assert!(rules.subscribe(&alice(), "#", 1, None).allowed);
    assert!(rules.deliver(&alice(), "a/b"));
}

#[test]
fn a5_ids_are_literal_and_odd_ids_fit_no_placeholder() {
    let rules = rules(
        "rules:
  - {allow: all, everyone: true, topics: ['dev/%c/#', 'user/x-%u/data', '%c/own']}
",
    );
    let client = |id: &str, user: &str| Principal::new(id).with_username(Some(user.into()));
    let plain = client("c1", "alice");
    assert!(publishes(&rules, &plain, "dev/c1/x") && publishes(&rules, &plain, "user/x-alice/data"));
    assert!(publishes(&rules, &plain, "c1/own") && subscribes(&rules, &plain, "dev/c1/#"));
    assert!(!publishes(&rules, &plain, "dev/c2/x") && !publishes(&rules, &plain, "user/x-bob/data"));
    for odd in ["+", "#", "a/b", "a+", "", "a\0b"] {
        let odd_client = client(odd, odd);
        for topic in [format!("dev/{odd}/x"), "dev/a/x".into(), "dev/a/b/x".into(), format!("user/x-{odd}/data")] {
            assert!(!publishes(&rules, &odd_client, &topic), "{odd:?} {topic:?}");
        }
        for filter in ["dev/+/#", "dev/#", "dev/a/b/#", "dev/a/#", "user/+/data"] {
            assert!(!subscribes(&rules, &odd_client, filter), "{odd:?} {filter:?}");
        }
    }
}

#[test]
fn a5_a_client_id_cannot_lead_a_rule_into_dollar_topics() {
    let rules = rules("rules: [{allow: all, everyone: true, topics: ['%c/#', 'dev/%c/#']}]");
    let client = Principal::new("$SYS");
    assert!(!publishes(&rules, &client, "$SYS/broker") && !subscribes(&rules, &client, "$SYS/#"));
    assert!(publishes(&rules, &client, "dev/$SYS/x") && subscribes(&rules, &client, "dev/$SYS/#"));
}

#[test]
fn a5_an_odd_id_does_not_escape_a_deny_rule() {
    let rules = rules(
        "rules:
  - {deny: all, everyone: true, topics: ['private/%u/#']}
  - {allow: all, everyone: true, topics: ['#']}
",
    );
    for user in [Some("a/b"), Some("+"), None] {
        let client = Principal::new("c").with_username(user.map(Into::into));
        assert!(!publishes(&rules, &client, "private/x/y") && !subscribes(&rules, &client, "private/x/y"), "{user:?}");
        assert!(!subscribes(&rules, &client, "#"), "{user:?}");
        assert!(publishes(&rules, &client, "public/x"), "{user:?}");
    }
    assert!(!publishes(&rules, &alice(), "private/alice/y") && publishes(&rules, &alice(), "private/bob/y"));
}

#[test]
fn a12_a_wildcard_subscription_must_be_covered() {
    let rules = rules(
        "rules:
  - {allow: subscribe, users: [alice], topics: [a/b]}
  - {allow: subscribe, users: [bob], topics: ['a/#', 'b/+/c']}
",
    );
    for filter in ["#", "+/#", "a/+", "+/b", "a/#", "a/b/#", "+"] {
        assert!(!subscribes(&rules, &alice(), filter), "{filter}");
        assert!(!rules.subscribe(&alice(), filter, 0, Some("g")).allowed, "$share/g/{filter}");
    }
    assert!(subscribes(&rules, &alice(), "a/b"));
    let bob = Principal::new("c").with_username(Some("bob".into()));
    for filter in ["a/#", "a", "a/+", "a/+/#", "b/+/c", "b/x/c"] {
        assert!(subscribes(&rules, &bob, filter), "{filter}");
    }
    for filter in ["#", "+/b", "b/#", "b/+/+", "b/+/#"] {
        assert!(!subscribes(&rules, &bob, filter), "{filter}");
    }
}

#[test]
fn a12_a_deny_inside_the_filter_refuses_it_unless_an_earlier_allow_covers_that_part() {
    let source = |first: &str| {
        format!(
            "rules:
  - {{allow: subscribe, everyone: true, topics: [{first}]}}
  - {{deny: subscribe, everyone: true, topics: [a/secret/#]}}
  - {{allow: subscribe, everyone: true, topics: ['a/#']}}
"
        )
    };
    assert_eq!(rules(&source("other")).subscribe(&alice(), "a/#", 0, None).why, Why::Rule(3));
    assert_eq!(rules(&source("a/secret/x")).subscribe(&alice(), "a/#", 0, None).why, Why::Rule(3));
    assert!(subscribes(&rules(&source("a/secret/#")), &alice(), "a/#"));
    assert!(subscribes(&rules(&source("a/+/#")), &alice(), "a/#"));
    assert!(subscribes(&rules(&source("other")), &alice(), "a/open/#"));
}

#[test]
fn several_rules_together_may_cover_a_filter() {
    let rules = rules("rules: [{allow: subscribe, everyone: true, topics: [a, a/+, 'a/+/+/#']}]");
    assert!(subscribes(&rules, &alice(), "a/#"));
    assert!(!subscribes(&rules, &alice(), "#"));
}

#[test]
fn dollar_topics_need_a_rule_that_names_them() {
    let open = rules("rules: [{allow: subscribe, everyone: true, topics: ['#']}]");
    assert!(subscribes(&open, &alice(), "#") && !subscribes(&open, &alice(), "$SYS/#"));
    assert!(!open.deliver(&alice(), "$SYS/broker/uptime"));
    let system = rules("rules: [{allow: subscribe, everyone: true, topics: ['$SYS/#']}]");
    assert!(subscribes(&system, &alice(), "$SYS/broker/+") && system.deliver(&alice(), "$SYS/broker/uptime"));
    assert!(!subscribes(&system, &alice(), "+/broker"));
}

#[test]
fn a_superuser_and_open_rules_skip_the_rules_but_not_a_scope() {
    let superuser = alice().with_superuser(true);
    assert!(Rules::deny_all().is_open(&superuser) && Rules::allow_all().is_open(&alice()));
    assert!(subscribes(&Rules::deny_all(), &superuser, "#") && subscribes(&Rules::allow_all(), &alice(), "$SYS/#"));
    let filters = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect::<Vec<_>>();
    let scope = Scope::parse(Some(&filters(&["out/%c"])), Some(&filters(&["in", "in/+/#"]))).unwrap();
    for (rules, client) in [(Rules::deny_all(), superuser), (Rules::allow_all(), alice())] {
        let client = client.with_scope(Some(Arc::new(scope.clone())));
        assert!(!rules.is_open(&client));
        assert!(publishes(&rules, &client, "out/c1") && !publishes(&rules, &client, "out/c2"));
        assert!(subscribes(&rules, &client, "in/#") && !subscribes(&rules, &client, "#"));
        assert!(rules.deliver(&client, "in/x") && !rules.deliver(&client, "x"));
    }
}

#[test]
fn a_scope_never_grants_what_no_rule_allows() {
    let scope = Scope::parse(None, Some(&["#".to_owned()])).unwrap();
    let client = alice().with_scope(Some(Arc::new(scope)));
    let rules = rules("rules: [{allow: all, everyone: true, topics: [a]}]");
    assert!(subscribes(&rules, &client, "a") && !subscribes(&rules, &client, "b") && !subscribes(&rules, &client, "#"));
    assert!(publishes(&rules, &client, "a") && !publishes(&rules, &client, "b"));
    let nothing = Scope::parse(Some(&[]), None).unwrap();
    assert!(!publishes(&rules, &alice().with_scope(Some(Arc::new(nothing))), "a"));
}

#[test]
fn thousands_of_rules_decide_as_a_walk_through_them_does() {
    let mut source = String::from("rules:\n");
    for number in 0..3000 {
        let effect = if number % 7 == 0 { "deny" } else { "allow" };
        let topic = match number % 3 {
            0 => format!("site/{}/+", number % 50),
            1 => format!("site/{}/d{}", number % 50, number % 11),
            _ => format!("+/{}/%c", number % 50),
        };
        writeln!(source, "  - {{{effect}: all, everyone: true, topics: ['{topic}']}}").unwrap();
    }
    let rules = rules(&source);
    assert_eq!(rules.len(), 3000);
    for site in 0..60 {
        for device in ["d1", "d10", "c1", "zz"] {
            let topic = format!("site/{site}/{device}");
            let walked = rules.entries.iter().find(|entry| entry.matches(&topic, &alice()));
            let decision = rules.publish(&alice(), &topic, 0, false);
            assert_eq!(decision.allowed, walked.is_some_and(|entry| entry.allow), "{topic}");
            assert_eq!(decision.allowed, rules.deliver(&alice(), &topic), "{topic}");
            assert_eq!(decision.allowed, subscribes(&rules, &alice(), &topic), "{topic}");
        }
    }
}
