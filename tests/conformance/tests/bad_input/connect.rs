//! C: CONNECT and who may come in.

use std::{sync::OnceLock, time::Instant};

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, auth, bytes, connect, fresh, id, node, node_file::user_line_of_cost, number,
    outgoing::Connect, property::raw, publish, user, will,
};

use crate::OLD;

/// A server that asks who is there.
fn guarded() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let node = node().listener("bind: '127.0.0.1:0', auth: required");
        node.user("alice", "secret").user("bob", "hidden").start_plain()
    })
}

fn alice(client_id: &str) -> Connect {
    connect(client_id).username("alice").password("secret")
}

#[test]
fn c1_unknown_protocols_are_refused() {
    let _others = Server::shared().bystander();
    for (name, level) in [("MQTX", 5), ("MQIsdp", 5), ("MQTT", 6), ("MQTT", 0x85), ("", 5), ("MQTT", 3)] {
        for version in Version::ALL {
            let mut client = Server::shared().open();
            client.send(connect(fresh("c")).version(version).protocol_name(name).level(level));
            client.expect_protocol_refused();
        }
    }
}

#[test]
fn c2_the_reserved_connect_flag_is_refused() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).flags(0x03)).expect_refused_or_closed(&[0x81]);
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).v311().flags(0x03)).expect_closed();
}

#[test]
fn c3_will_flags_that_contradict_each_other_are_refused() {
    for version in [Version::V311, Version::V5] {
        for flags in [0x0A, 0x12, 0x22, 0x3A] {
            let mut client = Server::shared().open();
            client.send(connect(fresh("c")).version(version).flags(flags)).expect_refused_or_closed(&[0x81]);
        }
        let mut client = Server::shared().open();
        let wrong = connect(fresh("c")).version(version).will(will("t", "x").qos(3));
        client.send(wrong).expect_refused_or_closed(&[0x81]);
    }
}

#[test]
fn c4_a_password_without_a_user_name_is_for_the_checks_to_decide() {
    let _ = Server::shared().client(connect(fresh("c")).password("p"));
    let mut client = guarded().open();
    client.send(connect(fresh("c")).password("secret")).expect_refused(&[0x86, 0x87]);
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).v311().password("p")).expect_closed();
}

#[test]
fn c5_a_second_connect_is_an_error() {
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send(connect(fresh("c")).version(version)).expect_thrown_out(&[0x82]);
    }
}

#[test]
fn c6_an_empty_client_id_without_clean_start() {
    let client = Server::shared().client(connect("").resume());
    assert!(!client.connack().session_present);
    assert!(client.connack().properties.has(id::ASSIGNED_CLIENT_ID));
    for version in OLD {
        let mut client = Server::shared().open();
        client.send(connect("").version(version).resume()).expect_refused(&[2]);
    }
}

#[test]
fn c7_a_client_id_over_the_limit_is_refused() {
    for length in [257, 60_000] {
        let mut client = Server::shared().open();
        client.send(connect("x".repeat(length))).expect_refused(&[0x85]);
        for version in OLD {
            let mut client = Server::shared().open();
            client.send(connect("x".repeat(length)).version(version)).expect_refused(&[2]);
        }
    }
    // 65,535 bytes make a CONNECT above its own limit of 64 KiB.
    let mut client = Server::shared().open();
    client.send(connect("x".repeat(65_535))).expect_refused_or_closed(&[0x85, 0x95]);
    let _ = Server::shared().client(connect("x".repeat(256)));
}

#[test]
fn c8_odd_client_ids_are_taken_or_refused_by_policy() {
    let odd = ["a+b", "a#", "a/b", "a\u{1}b", "\u{202E}abc"];
    for name in odd {
        let name = format!("{name}{}", fresh(""));
        let _ = Server::shared().client(connect(&name));
    }
    let mut client = Server::shared().open();
    client.send(connect("a\0b")).expect_refused_or_closed(&[0x81, 0x85]);
    let server = node().section("mqtt: {client_id_plain_only: true}").start_plain();
    for name in &odd[..4] {
        let mut client = server.open();
        client.send(connect(name)).expect_refused(&[0x85]);
        let mut client = server.open();
        client.send(connect(name).v311()).expect_refused_or_closed(&[2]);
    }
    let _ = server.client(connect("plain"));
}

#[test]
fn c9_oversized_or_ill_formed_credentials_are_refused() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).username("u".repeat(65_000)).password("p".repeat(65_000)));
    client.expect_refused_or_closed(&[0x81, 0x86, 0x95]);
    for version in [Version::V311, Version::V5] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).version(version).username(b"\xFF\xFE").password("p"));
        client.expect_refused_or_closed(&[0x81, 0x86, 4]);
    }
}

#[test]
fn c10_keep_alive_of_nothing_or_of_hours_is_bounded() {
    for seconds in [0, 65_535] {
        let client = Server::shared().client(connect(fresh("c")).keep_alive(seconds));
        let told = client.connack().properties.number(id::SERVER_KEEP_ALIVE);
        assert!(told.is_some_and(|told| (1..=3600).contains(&told)), "{told:?}");
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).v311().keep_alive(seconds));
        match client.receive_or_end() {
            Some(Incoming::Connack(connack)) => assert!(matches!(connack.reason, 0 | 2 | 5)),
            other => assert_eq!(other, None),
        }
    }
}

#[test]
fn c10_old_clients_are_held_to_the_longest_keep_alive() {
    let server = node().section("mqtt: {max_keepalive: 2s}").start_plain();
    for version in crate::OLD {
        for seconds in [0, 3, 65_535] {
            let mut silent = server.client(connect(fresh("c")).version(version).keep_alive(seconds));
            silent.expect_closed();
            let mut lively = server.client(connect(fresh("c")).version(version).keep_alive(seconds));
            for _ in 0..5 {
                std::thread::sleep(std::time::Duration::from_secs(1));
                lively.ping();
            }
        }
    }
}

#[test]
fn c11_an_endless_session_expiry_is_capped() {
    let client = Server::shared().client(connect(fresh("c")).expiry(0xFFFF_FFFF));
    let told = client.connack().properties.number(id::SESSION_EXPIRY);
    assert!(told.is_some_and(|told| told <= 7 * 24 * 3600), "{told:?}");
}

#[test]
fn c12_property_values_out_of_range_are_errors() {
    let wrong = [number(id::RECEIVE_MAXIMUM, 0), number(id::MAXIMUM_PACKET_SIZE, 0), number(id::REQUEST_PROBLEM, 2)];
    for property in wrong {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).with(property)).expect_refused_or_closed(&[0x82]);
    }
}

#[test]
fn c13_duplicate_unknown_and_misplaced_properties_are_errors() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).expiry(1).expiry(1)).expect_refused_or_closed(&[0x82]);
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).with(raw(0x7F, b"\x00"))).expect_refused_or_closed(&[0x81]);
    for property in [number(id::TOPIC_ALIAS, 1), bytes(id::CONTENT_TYPE, "x"), number(id::MESSAGE_EXPIRY, 1)] {
        let mut client = Server::shared().open();
        client.send(connect(fresh("c")).with(property)).expect_refused_or_closed(&[0x82, 0x81]);
    }
}

#[test]
fn c14_floods_of_user_properties_are_refused() {
    let _others = Server::shared().bystander();
    let flood = |count: usize, size: usize| {
        let value = "x".repeat(size);
        (0..count).fold(connect(fresh("c")), |connect, _| connect.with(user("k", &value)))
    };
    for (count, size) in [(65, 1), (10_000, 1), (3, 4_000), (16, 4_090)] {
        let mut client = Server::shared().open();
        client.send(flood(count, size)).expect_refused_or_closed(&[0x95, 0x97, 0x81]);
    }
    let _ = Server::shared().client(flood(64, 1));
}

#[test]
fn c15_authentication_data_without_a_known_method_is_refused() {
    let mut client = Server::shared().open();
    client.send(connect(fresh("c")).with(bytes(id::AUTH_DATA, "x"))).expect_refused_or_closed(&[0x82]);
    for server in [Server::shared(), guarded()] {
        let mut client = server.open();
        client.send(connect(fresh("c")).with(bytes(id::AUTH_METHOD, "X-UNKNOWN"))).expect_refused(&[0x8C]);
    }
}

#[test]
fn c16_auth_out_of_turn_is_an_error() {
    for reason in [0x00, 0x18, 0x19] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(auth(reason, "SCRAM-SHA-256")).expect_disconnect(&[0x82]);
        let mut client = guarded().client(alice(&fresh("c")));
        client.send(auth(reason, "SCRAM-SHA-256")).expect_disconnect(&[0x82]);
    }
}

#[test]
fn c17_wrong_passwords_get_the_same_answer_as_unknown_users_and_are_slowed_down() {
    let server = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").user("bob", "hidden");
    let server = server.start_plain();
    let refusals = |name: &str| {
        let tries = (0..12).map(|_| {
            let mut client = server.open();
            client.send(connect(fresh("c")).username(name).password("wrong")).expect_refused(&[0x86, 0x97, 0x9F]).reason
        });
        tries.collect::<Vec<u8>>()
    };
    let (known, unknown) = (refusals("alice"), refusals("nobody"));
    assert_eq!(known[0], 0x86);
    assert_eq!(known, unknown, "an answer must not tell whether the user exists");
    // Somebody else at the same address is not affected.
    let _ = server.client(connect(fresh("c")).username("bob").password("hidden"));
    let mut client = server.open();
    client.send(connect(fresh("c")).v311().username("bob").password("wrong")).expect_refused(&[4, 5]);
}

/// Users of each kind.
const TRIES: usize = 15;

#[test]
fn c17_an_unknown_user_takes_as_long_as_a_wrong_password() {
    // Hashes that cost what those of `sluice password` cost, so that the time for them stands out.
    let lines = (0..TRIES).map(|n| user_line_of_cost(&format!("known{n}"), "secret", 19_456, 2));
    let node = node().listener("bind: '127.0.0.1:0', auth: required");
    let server = lines.fold(node, sluice_tests_conformance::node_file::NodeFile::user_line).start_plain();
    let took = |name: String| {
        let mut client = server.open();
        let connect = connect(fresh("c")).username(name).password("wrong");
        let start = Instant::now();
        client.send(connect).expect_refused(&[0x86]);
        start.elapsed()
    };
    // Each name once, so that none is slowed down for guessing; in turns, so that a busy machine slows both kinds.
    let pairs = (0..TRIES).map(|n| (took(format!("known{n}")), took(format!("unknown{n}"))));
    let (mut known, mut unknown): (Vec<_>, Vec<_>) = pairs.unzip();
    known.sort_unstable();
    unknown.sort_unstable();
    let (known, unknown) = (known[TRIES / 2], unknown[TRIES / 2]);
    assert!(known < unknown * 4 && unknown < known * 4, "{known:?} for a known user, {unknown:?} for an unknown one");
}

fn victim(server: &Server, topic: &str) -> (Client, String) {
    let name = fresh("c");
    let will = will(topic, "the victim is gone");
    let mut client = server.client(alice(&name).expiry(300).will(will));
    client.subscribe(&fresh("t/"), 1);
    (client, name)
}

fn assert_untouched(server: &Server, mut client: Client, name: &str, watcher: &mut Client) {
    client.ping();
    watcher.expect_nothing();
    client.leave();
    assert!(server.client(alice(name).resume()).connack().session_present);
}

#[test]
fn c18_another_users_client_id_is_refused_and_its_session_untouched() {
    let topic = fresh("will/");
    let mut watcher = guarded().client(alice(&fresh("c")));
    watcher.subscribe(&topic, 0);
    let (client, name) = victim(guarded(), &topic);
    for clean in [true, false] {
        let intruder = |version| connect(&name).version(version).username("bob").password("hidden");
        let intruder = |version| if clean { intruder(version) } else { intruder(version).resume() };
        let mut bob = guarded().open();
        bob.send(intruder(Version::V5)).expect_refused(&[0x85, 0x87]);
        let mut bob = guarded().open();
        bob.send(intruder(Version::V311)).expect_refused(&[2, 5]);
    }
    assert_untouched(guarded(), client, &name, &mut watcher);
}

#[test]
fn c19_a_bad_password_does_not_touch_the_session_it_names() {
    let topic = fresh("will/");
    let mut watcher = guarded().client(alice(&fresh("c")));
    watcher.subscribe(&topic, 0);
    let (client, name) = victim(guarded(), &topic);
    let mut intruder = guarded().open();
    intruder.send(connect(&name).username("alice").password("guess")).expect_refused(&[0x86, 0x97, 0x9F]);
    let mut intruder = guarded().open();
    intruder.send(connect(&name).v311().username("carol").password("guess")).expect_refused(&[4, 5]);
    assert_untouched(guarded(), client, &name, &mut watcher);
}

#[test]
fn c5_a_second_connect_does_not_take_effect() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 0);
    let mut client = Server::shared().client(connect(&name));
    client.send_together(&[&connect(fresh("c")).will(will(&topic, "never")), &publish(&topic, "never")]);
    client.expect_disconnect(&[0x82]);
    watcher.expect_nothing();
}
