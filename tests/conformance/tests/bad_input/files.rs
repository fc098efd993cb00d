//! F: configuration, password and rule files.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sluice_tests_conformance::{
    Server, Version,
    certificates::Authority,
    connect, eventually, fresh, node,
    node_file::{user_line, write_private},
    publish,
    server::run_to_end,
};

const OPEN: &str = "rules:\n  - allow: all\n    everyone: true\n    topics: ['#']\n";

#[test]
fn f1_an_empty_rule_file_denies_everything() {
    for rules in ["", "# nothing but a comment\n", "rules:\n"] {
        let server = node().rules(rules).start_plain();
        let mut client = server.connected(Version::V5);
        client.send(publish("t", "x").qos(1, 1));
        assert_eq!(client.expect_puback(1).reason, 0x87);
        client.send(sluice_tests_conformance::subscribe(2).filter("t", 0)).expect_suback(2, &[0x87]);
    }
}

#[test]
fn f1_an_unknown_word_in_a_rule_file_refuses_the_start() {
    for rules in
        ["rules:\n  - permit: all\n    everyone: true\n    topics: ['#']\n", "rules: 5\n", "roles: []\n", "rules: [\n"]
    {
        let said = node().rules(rules).refused();
        assert!(said.contains("access.yaml"), "{said}");
    }
}

#[test]
fn f1_an_unknown_word_at_reload_keeps_the_old_rules() {
    let server = node().rules(OPEN).start_plain();
    write_private(&server.folder().join("access.yaml"), b"rules:\n  - permit: all\n");
    server.reload();
    eventually("the log says why", || server.output().contains("access.yaml"));
    let mut client = server.connected(Version::V5);
    client.subscribe("t", 0).publish("t", "x", 0).expect_message("t", "x");
}

#[test]
fn f2_a_malformed_password_file_refuses_the_start() {
    for line in
        ["alice", "alice:plaintext", ":$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "alice:$argon2id$broken"]
    {
        let node = node().listener("bind: '127.0.0.1:0', auth: required").user("bob", "hidden");
        let said = node.user_line(line.to_owned()).refused();
        assert!(said.contains("users"), "{said}");
    }
}

#[test]
fn f2_a_missing_password_file_refuses_the_start() {
    let node = node().listener("bind: '127.0.0.1:0', auth: required").user("bob", "hidden");
    fs::remove_file(node.folder().join("users")).expect("a file");
    let said = node.refused();
    assert!(said.contains("users"), "{said}");
}

#[test]
fn f2_a_malformed_password_file_at_reload_keeps_the_old_users() {
    let server = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").start_plain();
    let users = server.folder().join("users");
    write_private(&users, format!("{}\nmallory\n", user_line("bob", "hidden")).as_bytes());
    server.reload();
    eventually("the log says why", || server.output().contains("users"));
    let _ = server.client(connect(fresh("c")).username("alice").password("secret"));
    let mut client = server.open();
    client.send(connect(fresh("c")).username("bob").password("hidden")).expect_refused(&[0x86]);
    write_private(&users, user_line("bob", "hidden").as_bytes());
    server.reload();
    eventually("the new users are in force", || {
        let mut client = server.open();
        client.send(connect(fresh("c")).username("bob").password("hidden"));
        matches!(client.receive_or_end(), Some(sluice_tests_conformance::Incoming::Connack(c)) if c.reason == 0)
    });
}

#[test]
fn f3_rules_and_authentication_hold_on_every_listener() {
    let rules = "rules:\n  - allow: all\n    users: [alice]\n    topics: [fine/#]\n";
    let node = node()
        .listener("bind: '127.0.0.1:0', auth: required")
        .listener("bind: '127.0.0.1:0', protocol: ws, auth: required")
        .listener("bind: 'unix:mqtt.sock', auth: required")
        .user("alice", "secret")
        .rules(rules);
    let server = node.start(&["mqtt", "ws"]);
    let unix = || {
        let path = server.folder().join("mqtt.sock");
        sluice_tests_conformance::Client::new(sluice_tests_conformance::stream::Stream::unix(&path))
    };
    for open in [&(|| server.open()) as &dyn Fn() -> _, &|| server.open_websocket(), &unix] {
        open().send(connect(fresh("c"))).expect_refused(&[0x86, 0x87]);
        open().send(connect(fresh("c")).username("alice").password("no")).expect_refused(&[0x86]);
        let mut client = open();
        client.send(connect(fresh("c")).username("alice").password("secret")).expect_connack();
        client.publish("fine/x", "x", 1).send(publish("other", "x").qos(1, 99));
        assert_eq!(client.expect_puback(99).reason, 0x87);
    }
}

#[test]
fn f4_a_listener_that_is_only_half_configured_refuses_the_start() {
    let half = [
        "bind: '127.0.0.1:0', tls: {certificates: []}",
        "bind: '127.0.0.1:0', tls: {ca: ca.pem}",
        "bind: '127.0.0.1:0', tls: {client_auth: required}",
        "bind: '127.0.0.1:0', protocol: ws, tls: {certificates: [{cert: server.crt, key: server.key}], client_auth: required}",
        "bind: '127.0.0.1:0', auth: required",
        "bind: '0.0.0.0:0'",
        "bind: '127.0.0.1:0', unknown_key: 1",
    ];
    let authority = Authority::new("files");
    let identity = authority.server();
    for listener in half {
        let node = node().listener(listener).file("ca.pem", authority.pem());
        let node = node.file("server.crt", &identity.certificate_pem).file("server.key", &identity.key_pem);
        let said = node.refused();
        assert!(said.contains("sluice.yaml"), "{said}");
    }
}

fn loosen(server_file: &std::path::Path) {
    fs::set_permissions(server_file, fs::Permissions::from_mode(0o644)).expect("permissions");
}

#[test]
fn f5_secrets_that_everybody_can_read_refuse_the_start() {
    let node_with_users = node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret");
    loosen(&node_with_users.folder().join("users"));
    let said = node_with_users.refused();
    assert!(said.contains("users"), "{said}");
    let identity = Authority::new("files").server();
    let listener = "bind: '127.0.0.1:0', tls: {certificates: [{cert: server.crt, key: server.key}]}";
    let node_with_key = node().listener(listener);
    let node_with_key =
        node_with_key.file("server.crt", &identity.certificate_pem).file("server.key", &identity.key_pem);
    loosen(&node_with_key.folder().join("server.key"));
    let said = node_with_key.refused();
    assert!(said.contains("server.key"), "{said}");
}

#[test]
fn f5_what_the_server_writes_is_for_its_owner_only() {
    let server = node().start_plain();
    server.connected(Version::V5).retain("t", "x", 1);
    let open_to_others = |path: &std::path::Path| {
        fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o007 != 0).unwrap_or(false)
    };
    let data = server.folder().join("data");
    // Either the directory keeps everybody out, or every file in it does.
    assert!(!open_to_others(&data), "{} is open to everybody", data.display());
}

#[test]
fn f6_a_broken_file_at_reload_changes_nothing() {
    let server =
        node().listener("bind: '127.0.0.1:0', auth: required").user("alice", "secret").rules(OPEN).start_plain();
    let mut live = server.client(connect(fresh("c")).username("alice").password("secret"));
    for (name, content) in [("access.yaml", &b"\xFF\xFE"[..]), ("users", b"\0\0\0"), ("sluice.yaml", b"listeners: [")] {
        write_private(&server.folder().join(name), content);
    }
    server.reload();
    eventually("the log says why", || server.output().contains("access.yaml") && server.output().contains("users"));
    live.subscribe("t", 0).publish("t", "x", 0).expect_message("t", "x");
    let _ = server.client(connect(fresh("c")).username("alice").password("secret"));
    let mut nobody: sluice_tests_conformance::Client = Server::open(&server);
    nobody.send(connect(fresh("c"))).expect_refused(&[0x86, 0x87]);
}

/// Flips a bit in the middle of the largest log of a node's store.
fn damage_the_log(folder: &std::path::Path) {
    let files = fs::read_dir(folder.join("data/store")).expect("a store").map(|entry| entry.expect("an entry").path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = logs.max_by_key(|path| fs::metadata(path).expect("a log").len()).expect("a log");
    let mut bytes = fs::read(&log).expect("a log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).expect("a log");
}

#[test]
fn f6_a_damaged_log_refuses_the_start_until_the_operator_accepts_the_loss() {
    let server = node().start_plain();
    let name = fresh("c");
    let mut reader = server.client(connect(&name).persistent());
    reader.subscribe("t", 1);
    reader.leave();
    let mut sender = server.connected(Version::V5);
    for _ in 0..100 {
        sender.publish("t", "x".repeat(1000), 1);
    }
    let folder = server.kill();
    damage_the_log(folder.path());
    for _ in 0..2 {
        let (code, said) = run_to_end(folder.path());
        assert!(code.is_some_and(|code| code != 0), "{said}");
        assert!(said.contains("is damaged") && said.contains("--accept-loss"), "{said}");
    }
    let server = Server::node_with(folder, &["mqtt"], &["--accept-loss"]);
    assert!(server.output().contains("is lost"), "{}", server.output());
    let mut reader = server.client(connect(&name).persistent());
    assert!(reader.connack().session_present);
    assert!((1..100).contains(&reader.drain().len()));
    reader.leave();
    // The loss was accepted once; the flag is of no more use.
    let server = Server::node(server.kill(), &["mqtt"]);
    assert!(server.client(connect(&name).persistent()).connack().session_present);
}

#[test]
fn f3_checking_a_file_says_what_holds_at_each_listener() {
    let node = node()
        .listener("bind: '127.0.0.1:1883', auth: required, max_packet_size: 2KiB, connections_max: 7")
        .listener("bind: '127.0.0.1:8083', name: web, protocol: ws, allow_anonymous: true")
        .listener("bind: '127.0.0.1:1884', proxy_protocol: required, trusted_cidrs: [10.0.0.0/8]")
        .user("alice", "secret")
        .rules(OPEN);
    let said = node.checked();
    let (tcp, rest) = said.split_once("listener web").expect("two listeners");
    let (web, proxied) = rest.split_once("listener tcp-1884").expect("three listeners");
    for (part, says) in [
        (
            tcp,
            &["listener tcp-1883", "credentials required, checked by password (", "packets up to 2KiB", "7 conn"][..],
        ),
        (tcp, &["encryption  none", "PROXY       off", "access.yaml"]),
        (web, &["anonymous let in; credentials that are shown are checked by password (", "WebSocket", "/mqtt"]),
        (proxied, &["PROXY       required, believed from 10.0.0.0/8", "credentials required"]),
    ] {
        for says in says {
            assert!(part.contains(says), "{says}: {said}");
        }
    }
}

#[test]
fn f3_checking_a_file_says_whose_certificates_count() {
    let (authority, devices) = (Authority::new("servers"), Authority::new("devices"));
    let identity = authority.server();
    let certificates = "certificates: [{cert: server.crt, key: server.key}]";
    let said = node()
        .listener(&format!(
            "bind: '127.0.0.1:8883', identity_as_username: true, \
             tls: {{{certificates}, client_auth: required, ca: devices.pem, crl: devices.crl}}"
        ))
        .listener(&format!("bind: '127.0.0.1:8884', tls: {{{certificates}}}"))
        .step("certificate: {identity: dns}")
        .user("alice", "secret")
        .file("server.crt", &identity.certificate_pem)
        .file("server.key", &identity.key_pem)
        .file("devices.pem", devices.pem())
        .file("devices.crl", devices.revocation_list(&[]))
        .checked();
    let (first, second) = said.split_once("listener tls-8884").expect("two listeners");
    for says in ["client certificates required", "devices.pem", "devices.crl", "the DNS name of the client certificate"]
    {
        assert!(first.contains(says), "{says}: {said}");
    }
    assert!(second.contains("not asked for certificates") && !second.contains("certificate (DNS"), "{said}");
    assert!(second.contains("checked by password ("), "{said}");
}
