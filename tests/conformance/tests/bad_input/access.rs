//! A: who may do what.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, connect, eventually, fresh, node,
    node_file::{user_line, write_private},
    outgoing::Connect,
    property::{id, number},
    publish, subscribe, will,
};

const OWN_TOPICS: &str = "rules:
  - allow: all
    everyone: true
    topics: ['own/%c/#', 'user/%u/#']
";

#[test]
fn a5_names_with_wildcards_stand_for_themselves_in_rules() {
    let server = node().rules(OWN_TOPICS).start_plain();
    let mut client = server.client(connect("honest"));
    client.subscribe("own/honest/#", 0).publish("own/honest/x", "x", 0).expect_message("own/honest/x", "x");
    for name in ["+", "#", "a/b", "honest/x", "+/x"] {
        let mut client = server.open();
        client.send(connect(name).username(name));
        match client.receive() {
            Incoming::Connack(connack) if connack.reason != 0 => continue,
            Incoming::Connack(_) => {}
            other => panic!("{other:?}"),
        }
        for filter in ["own/+/#", "own/#", "own/honest/#", "user/#", "user/+/#"] {
            client.send(subscribe(1).filter(filter, 0)).expect_suback(1, &[0x87]);
        }
        client.send(publish("own/honest/x", "forged").qos(1, 1));
        assert_eq!(client.expect_puback(1).reason, 0x87);
    }
    client.expect_nothing();
}

fn rules_without(topic: &str) -> String {
    format!(
        "rules:\n  - deny: all\n    everyone: true\n    topics: ['{topic}']\n  - allow: all\n    everyone: true\n    topics: ['#']\n"
    )
}

fn open_rules() -> String {
    rules_without("nothing/at/all")
}

/// Puts rules in force and waits until `probe` is denied.
fn revoke(server: &Server, rules: &str, probe: &str) {
    write_private(&server.folder().join("access.yaml"), rules.as_bytes());
    server.reload();
    let mut prober = server.connected(Version::V5);
    eventually("the new rules are in force", || {
        let packet_id = prober.fresh_packet_id();
        prober.send(publish(probe, "probe").qos(1, packet_id));
        prober.expect_puback(packet_id).reason == 0x87
    });
}

/// Publishes without minding a refusal.
fn try_publish(client: &mut Client, topic: &str) -> u8 {
    let packet_id = client.fresh_packet_id();
    client.send(publish(topic, "x").qos(1, packet_id));
    client.expect_puback(packet_id).reason
}

#[test]
fn a6_a_will_is_checked_when_it_fires() {
    let server = node().rules(&open_rules()).start_plain();
    let mut watcher = server.connected(Version::V5);
    watcher.subscribe("secret/will", 1);
    let dying = server.client(connect(fresh("c")).will(will("secret/will", "never")));
    revoke(&server, &rules_without("secret/#"), "secret/probe");
    dying.vanish();
    watcher.expect_nothing();
}

#[test]
fn a7_nobody_subscribes_to_what_is_retained_without_the_right() {
    let server = node().rules(&open_rules()).start_plain();
    let mut owner = server.connected(Version::V5);
    owner.retain("secret/kept", "x", 1).retain("public/kept", "x", 1);
    revoke(&server, &rules_without("secret/#"), "secret/probe");
    let mut reader = server.connected(Version::V5);
    reader.send(subscribe(1).filter("secret/kept", 0)).expect_suback(1, &[0x87]);
    reader.expect_nothing();
    reader.subscribe("public/#", 0).expect_message("public/kept", "x");
}

/// The subscription is granted and half of what is retained is delivered when the right goes.
#[test]
fn a7_a_retained_message_is_checked_when_it_is_delivered() {
    let server = node().rules(&open_rules()).start_plain();
    let mut owner = server.connected(Version::V5);
    for n in 0..50 {
        owner.retain(&format!("secret/{n}"), "x", 1);
    }
    let mut reader = server.client(connect(fresh("c")).receive_maximum(2));
    reader.subscribe("secret/#", 1);
    let (one, two) = (reader.expect_publish(), reader.expect_publish());
    revoke(&server, &rules_without("secret/#"), "secret/probe");
    // Five seconds are allowed for what is live.
    thread::sleep(Duration::from_secs(5));
    reader.acknowledge(&one);
    reader.acknowledge(&two);
    reader.expect_nothing();
}

#[test]
fn a8_a_live_subscription_ends_with_its_right() {
    // The publisher keeps its right; only `reader` loses the one to read.
    let rules = |deny: &str| {
        format!(
            "rules:\n  - deny: publish\n    everyone: true\n    topics: ['{deny}/probe']\n  - deny: subscribe\n    clients: [reader]\n    topics: ['{deny}/#']\n  - allow: all\n    everyone: true\n    topics: ['#']\n"
        )
    };
    let server = node().rules(&rules("nothing")).start_plain();
    let mut reader = server.client(connect("reader").expiry(300));
    reader.subscribe("secret/x", 1).subscribe("public/x", 1);
    let mut sender = server.connected(Version::V5);
    sender.publish("secret/x", "before", 1);
    reader.expect_message("secret/x", "before");
    revoke(&server, &rules("secret"), "secret/probe");
    // Five seconds are allowed for what is live.
    let revoked = Instant::now();
    loop {
        let reason = try_publish(&mut sender, "secret/x");
        if reader.drain().is_empty() {
            assert_eq!(reason, 0x10, "nobody wants it any more, and that is said");
            break;
        }
        assert!(revoked.elapsed() < Duration::from_secs(5), "it still comes");
    }
    for _ in 0..10 {
        assert_eq!(try_publish(&mut sender, "secret/x"), 0x10);
    }
    reader.expect_nothing();
    sender.publish("public/x", "still", 1);
    reader.expect_message("public/x", "still");
}

#[test]
fn a9_a_queued_message_is_checked_when_it_is_resent() {
    let server = node().rules(&open_rules()).start_plain();
    let name = fresh("c");
    let mut reader = server.client(connect(&name).persistent());
    reader.subscribe("secret/x", 1).subscribe("public/x", 1);
    let mut sender = server.connected(Version::V5);
    sender.publish("secret/x", "under way", 1);
    reader.expect_publish();
    reader.vanish();
    sender.publish("secret/x", "queued", 1).publish("public/x", "fine", 1);
    revoke(&server, &rules_without("secret/#"), "secret/probe");
    let mut reader = server.client(connect(&name).persistent());
    assert!(reader.connack().session_present);
    let topics: Vec<String> = reader
        .drain()
        .into_iter()
        .filter_map(|packet| match packet {
            Incoming::Publish(publish) => Some(publish.topic),
            _ => None,
        })
        .collect();
    assert_eq!(topics, ["public/x"]);
}

fn user(name: &str, password: &str, client_id: &str) -> Connect {
    connect(client_id).username(name).password(password)
}

#[test]
fn a10_a_session_is_resumed_by_its_principal_only() {
    let node = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").user("bob", "hidden");
    let server = node.start_plain();
    let name = fresh("c");
    let mut alice = server.client(user("alice", "secret", &name).persistent());
    alice.subscribe("t", 1);
    alice.leave();
    server.client(user("alice", "secret", &fresh("c"))).publish("t", "for alice", 1);
    for clean in [true, false] {
        let mut bob = server.open();
        let connect = user("bob", "hidden", &name).expiry(300);
        bob.send(if clean { connect } else { connect.resume() }).expect_refused(&[0x85, 0x87]);
    }
    let mut alice = server.client(user("alice", "secret", &name).persistent());
    assert!(alice.connack().session_present);
    alice.expect_message("t", "for alice");
}

#[test]
fn a12_a_wildcard_subscription_must_be_covered() {
    let rules = "rules:
  - deny: subscribe
    everyone: true
    topics: ['a/secret/#']
  - allow: all
    everyone: true
    topics: [a/b, 'c/#', 'a/+/d']
";
    let server = node().rules(rules).start_plain();
    let refused = ["#", "+/#", "+/b", "a/#", "a/+", "$share/g/#", "$share/g/a/+", "+"];
    for version in Version::ALL {
        let code = if version == Version::V5 { 0x87 } else { 0x80 };
        for filter in refused {
            let mut client = server.connected(version);
            client.send(subscribe(1).filter(filter, 0)).expect_suback(1, &[code]);
        }
        let mut client = server.connected(version);
        for granted in ["a/b", "c/#", "c/+/x", "c", "$share/g/a/b", "$share/g/c/#", "a/x/d"] {
            client.subscribe(granted, 0);
        }
        // `a/+/d` contains `a/secret/d`, which is denied.
        client.send(subscribe(1).filter("a/+/d", 0)).expect_suback(1, &[code]);
    }
}

#[test]
fn a12_qos_and_retain_limits_of_a_rule_hold() {
    let rules = "rules:
  - allow: publish
    everyone: true
    topics: ['low/#']
    qos_max: 1
    retain: false
  - allow: subscribe
    everyone: true
    topics: ['#']
";
    let server = node().rules(rules).start_plain();
    let mut client = server.connected(Version::V5);
    client.publish("low/x", "x", 1);
    client.send(publish("low/x", "x").qos(2, 50));
    assert_eq!(client.expect_pubrec(50).reason, 0x87);
    client.send(publish("low/x", "x").qos(1, 51).retain());
    assert_eq!(client.expect_puback(51).reason, 0x87);
}

#[test]
fn a13_a_check_that_cannot_be_made_is_a_refusal() {
    // The password file goes away while the server runs: what was loaded stays, and nobody else gets in.
    let server = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").start_plain();
    std::fs::remove_file(server.folder().join("users")).expect("a file");
    server.reload();
    eventually("the log says why", || server.output().contains("users"));
    let mut nobody = server.open();
    nobody.send(user("bob", "hidden", &fresh("c"))).expect_refused(&[0x86]);
    let mut nobody = server.open();
    nobody.send(connect(fresh("c"))).expect_refused(&[0x86, 0x87]);
    let _ = server.client(user("alice", "secret", &fresh("c")));
}

/// Puts users in force: reads of the file are announced in the log.
fn replace_users(server: &Server, lines: &[String]) {
    write_private(&server.folder().join("users"), lines.join("\n").as_bytes());
    server.reload();
}

#[test]
fn a8_a_user_that_is_removed_loses_its_connections() {
    let node = node().listener("bind: '127.0.0.1:0', auth: required");
    let (alice, bob) = (user_line("alice", "secret"), user_line("bob", "hidden"));
    let server = node.user_line(alice.clone()).user_line(bob.clone()).user("carol", "old").start_plain();
    let mut clients: Vec<Client> = Version::ALL
        .iter()
        .map(|version| server.client(user("alice", "secret", &fresh("c")).version(*version)))
        .collect();
    let mut bob = (server.client(user("bob", "hidden", &fresh("c"))), bob);
    let mut carol = server.client(user("carol", "old", &fresh("c")));
    replace_users(&server, &[bob.1, user_line("carol", "new")]);
    for client in &mut clients {
        client.expect_thrown_out(&[0x87]);
    }
    carol.expect_disconnect(&[0x87]);
    bob.0.ping();
    // A broken file changes nothing for those who are there.
    replace_users(&server, &["mallory".to_owned()]);
    eventually("the log says why", || server.output().contains("the old state stays in force"));
    bob.0.ping();
    replace_users(&server, &[alice]);
    bob.0.expect_disconnect(&[0x87]);
    let _ = server.client(user("alice", "secret", &fresh("c")));
}

#[test]
fn a8_the_groups_of_a_live_session_are_those_of_the_file() {
    let rules = "rules:\n  - allow: all\n    groups: [staff]\n    topics: ['staff/#']\n  - allow: all\n    everyone: true\n    topics: [open]\n";
    let line = |rest: &str| format!("{} {rest}", user_line("alice", "secret"));
    let node = node().listener("bind: '127.0.0.1:0', auth: required").user_line(line("groups=staff")).rules(rules);
    let server = node.start_plain();
    let mut alice = server.client(user("alice", "secret", &fresh("c")));
    alice.subscribe("staff/x", 1).publish("staff/x", "x", 1).expect_message("staff/x", "x");
    replace_users(&server, &[line("groups=guests")]);
    eventually("the group is gone", || try_publish(&mut alice, "staff/y") == 0x87);
    alice.publish("open", "x", 1).expect_nothing();
    replace_users(&server, &[line("superuser")]);
    eventually("a superuser may", || try_publish(&mut alice, "anything") != 0x87);
    replace_users(&server, &[line("")]);
    eventually("a superuser no more", || try_publish(&mut alice, "anything") == 0x87);
}

#[test]
fn a8_a_key_that_is_removed_ends_the_sessions_of_its_tokens() {
    let (first, second) = (issuer_key(), issuer_key());
    let server = node()
        .listener("bind: '127.0.0.1:0', auth: required")
        .step("jwt: {algorithms: [EdDSA], jwks_file: issuer.json}")
        .file("issuer.json", key_set(&[("first", &first), ("second", &second)]))
        .start_plain();
    let client = |id: &str, key: &KeyPair| server.client(user("", &token(id, key), &fresh("c")));
    let (mut old, mut kept) = (client("first", &first), client("second", &second));
    write_private(&server.folder().join("issuer.json"), key_set(&[("second", &second)]).as_bytes());
    server.reload();
    old.expect_disconnect(&[0x87]);
    kept.ping();
}

fn issuer_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("a key")
}

fn key_set(keys: &[(&str, &KeyPair)]) -> String {
    let key = |(id, key): &(&str, &KeyPair)| {
        let x = URL_SAFE_NO_PAD.encode(key.der_bytes());
        format!(r#"{{"kty": "OKP", "crv": "Ed25519", "kid": "{id}", "x": "{x}"}}"#)
    };
    format!(r#"{{"keys": [{}]}}"#, keys.iter().map(key).collect::<Vec<_>>().join(", "))
}

fn token(id: &str, key: &KeyPair) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg": "EdDSA", "kid": "{id}"}}"#));
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub": "alice", "exp": 9999999999}"#);
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).expect("a signature"));
    format!("{signed}.{signature}")
}

#[test]
fn a12_a_refusal_says_why_in_words_where_the_client_wants_to_hear_them() {
    let server = node().rules(&rules_without("secret/#")).start_plain();
    let problem = |wanted: u32| server.client(connect(fresh("c")).with(number(id::REQUEST_PROBLEM, wanted)));
    for (mut client, told) in [(problem(1), true), (server.connected(Version::V5), true), (problem(0), false)] {
        client.send(publish("secret/x", "x").qos(1, 1));
        let why = client.expect_puback(1).properties.text(id::REASON_STRING);
        assert_eq!(why.as_deref().is_some_and(|why| why.contains("publish") && why.contains("access rules")), told);
        client.send(publish("secret/x", "x").qos(2, 2));
        assert_eq!(client.expect_pubrec(2).properties.has(id::REASON_STRING), told);
        client.send(subscribe(3).filter("other", 0).filter("secret/#", 0));
        let why = client.expect_suback(3, &[0, 0x87]).properties.text(id::REASON_STRING);
        assert_eq!(why.as_deref().is_some_and(|why| why.contains("subscribe")), told);
        client.send(sluice_tests_conformance::unsubscribe(4).topic("a/#/b"));
        assert_eq!(client.expect_unsuback(4, &[0x8F]).properties.has(id::REASON_STRING), told);
        client.send(publish("open", "x").qos(1, 5));
        assert!(!client.expect_puback(5).properties.has(id::REASON_STRING), "nothing was refused");
        client.send(connect(fresh("c")));
        assert!(client.expect_disconnect(&[0x82]).properties.has(id::REASON_STRING));
    }
}

#[test]
fn a12_no_words_make_a_packet_too_large_for_its_client() {
    let server = node().rules(&rules_without("secret/#")).start_plain();
    let small = |size: u32| connect(fresh("c")).with(number(id::MAXIMUM_PACKET_SIZE, size));
    for (size, told) in [(64, false), (1000, true)] {
        let mut client = server.client(small(size));
        client.send(publish("secret/x", "x").qos(1, 1));
        assert_eq!(client.expect_puback(1).properties.has(id::REASON_STRING), told);
        client.send(subscribe(3).filter("secret/#", 0));
        assert_eq!(client.expect_suback(3, &[0x87]).properties.has(id::REASON_STRING), told);
        let mut client = server.open();
        let refused = small(size).will(will("$SYS/x", "x"));
        let connack = client.send(refused).expect_refused(&[0x90, 0x87]);
        assert_eq!(connack.properties.has(id::REASON_STRING), told);
    }
}

#[test]
fn c17_a_refused_connect_says_the_same_of_unknown_users_and_wrong_passwords() {
    let server = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").start_plain();
    let why = |connect: Connect| {
        let connack = server.open().send(connect).expect_refused(&[0x86, 0x87]);
        connack.properties.text(id::REASON_STRING).expect("words")
    };
    let wrong = why(user("alice", "wrong", &fresh("c")));
    assert!(wrong.contains("password"), "{wrong}");
    assert_eq!(wrong, why(user("nobody", "wrong", &fresh("c"))));
    assert!(why(connect(fresh("c"))).contains("credentials"));
}
