//! mosquitto_pub and mosquitto_sub, as Debian ships them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test")]

use std::{net::SocketAddr, process::Command, thread, time::Duration};

use sluice_tests_conformance::{Server, certificates::Authority, fresh, node};
use sluice_tests_e2e::program::{Program, run, wanted};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn tool(name: &str, address: SocketAddr, version: &str, args: &[&str]) -> Command {
    // What it prints comes line by line also through a pipe.
    let mut command = Command::new("stdbuf");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    command.args(["--output=L", name]).args(["-h", &host, "-p", &port, "-V", version]).args(args);
    command
}

fn publish(server: &Server, version: &str, args: &[&str]) -> Vec<String> {
    run(&mut tool("mosquitto_pub", server.address("mqtt"), version, args))
}

/// mosquitto_sub that has subscribed.
fn subscribe(server: &Server, version: &str, args: &[&str]) -> Program {
    let program = Program::start(tool("mosquitto_sub", server.address("mqtt"), version, args).args(["-d", "-v"]));
    program.wait_for("Subscribed (mid");
    program
}

/// mosquitto_sub that receives and ends by itself; what it printed.
fn receive(server: &Server, version: &str, args: &[&str]) -> Vec<String> {
    run(tool("mosquitto_sub", server.address("mqtt"), version, args).args(["-W", "20"]))
}

#[test]
fn every_version_publishes_to_every_version_at_every_qos() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    for from in VERSIONS {
        for to in VERSIONS {
            let topic = fresh("mosquitto/");
            let subscriber = subscribe(server, to, &["-t", &topic, "-q", "2", "-C", "3"]);
            for qos in ["0", "1", "2"] {
                publish(server, from, &["-t", &topic, "-q", qos, "-m", &format!("from {from} at {qos}")]);
                subscriber.wait_for(&format!("{topic} from {from} at {qos}"));
            }
            let (success, lines) = subscriber.finish();
            assert!(success, "{lines:?}");
            // d0, q1, r0: not a duplicate, at this QoS, not retained.
            for qos in ["0", "1", "2"] {
                let said = format!("(d0, q{qos}, r0, m");
                assert!(lines.iter().any(|line| line.contains(&said)), "{said} is not in {lines:?}");
            }
        }
    }
}

#[test]
fn a_retained_message_comes_to_later_subscribers_until_it_is_cleared() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    for version in VERSIONS {
        let topic = fresh("mosquitto/");
        publish(server, version, &["-t", &topic, "-q", "1", "-r", "-m", "kept"]);
        let lines = receive(server, version, &["-t", &topic, "-q", "1", "-C", "1", "-F", "%p retained=%r"]);
        assert_eq!(lines, ["kept retained=1"]);
        publish(server, version, &["-t", &topic, "-q", "1", "-r", "-n"]);
        let subscriber = subscribe(server, version, &["-t", &topic, "-C", "1"]);
        publish(server, version, &["-t", &topic, "-m", "live"]);
        subscriber.wait_for(&format!("{topic} live"));
        assert!(!subscriber.lines().iter().any(|line| line.contains("kept")));
    }
}

#[test]
fn the_will_of_a_client_that_dies_is_published() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    for version in VERSIONS {
        let (topic, other) = (fresh("mosquitto/will/"), fresh("mosquitto/"));
        let heir = subscribe(server, version, &["-t", &topic, "-q", "1", "-C", "1"]);
        let with_will = ["-t", &other, "--will-topic", &topic, "--will-payload", "gone", "--will-qos", "1"];
        subscribe(server, version, &with_will).kill();
        heir.wait_for(&format!("{topic} gone"));
    }
}

#[test]
fn a_persistent_session_keeps_what_was_published_while_its_client_was_away() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    for (version, qos) in VERSIONS.into_iter().flat_map(|version| [(version, "1"), (version, "2")]) {
        let (topic, client) = (fresh("mosquitto/"), fresh("m"));
        let session = ["-t", &topic, "-q", "2", "-c", "-i", &client];
        let (success, lines) =
            Program::start(tool("mosquitto_sub", server.address("mqtt"), version, &session).arg("-E")).finish();
        assert!(success, "{lines:?}");
        for n in 0..10 {
            publish(server, version, &["-t", &topic, "-q", qos, "-m", &n.to_string()]);
        }
        let lines = receive(server, version, &[&session[..], &["-C", "10"]].concat());
        assert_eq!(lines, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn members_of_a_shared_group_get_each_message_once_between_them() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    for version in ["mqttv311", "mqttv5"] {
        let topic = fresh("mosquitto/");
        let filter = format!("$share/group/{topic}");
        let members = [(); 2].map(|()| subscribe(server, version, &["-t", &filter, "-q", "1"]));
        let mut publisher = Program::start(&mut tool(
            "mosquitto_pub",
            server.address("mqtt"),
            version,
            &["-t", &topic, "-q", "1", "-l"],
        ));
        publisher.input(&(0..20).map(|n| format!("message-{n}\n")).collect::<String>());
        assert!(publisher.finish().0);
        let got = |member: &Program| member.lines().iter().filter(|line| line.starts_with(&topic)).count();
        sluice_tests_conformance::server::eventually("all messages come", || {
            members.iter().map(got).sum::<usize>() == 20
        });
        thread::sleep(Duration::from_millis(100));
        let each = members.each_ref().map(got);
        assert_eq!(each, [10, 10], "they take turns");
        let mut all: Vec<String> = members.iter().flat_map(Program::lines).filter(|l| l.starts_with(&topic)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }
}

#[test]
fn the_broker_tells_about_itself() {
    if !wanted("mosquitto") {
        return;
    }
    let server = node().section("sys_interval: 1s").start_plain();
    let version = receive(&server, "mqttv5", &["-t", "$SYS/broker/version", "-C", "1"]);
    assert!(version[0].to_lowercase().contains("sluice"), "{version:?}");
    for topic in ["$SYS/broker/uptime", "$SYS/broker/clients/connected", "$SYS/broker/messages/received"] {
        let lines = receive(&server, "mqttv311", &["-t", topic, "-C", "1"]);
        assert!(lines[0].starts_with(|c: char| c.is_ascii_digit()), "{topic}: {lines:?}");
    }
}

#[test]
fn properties_of_version_5_arrive() {
    if !wanted("mosquitto") {
        return;
    }
    let server = Server::shared();
    let topic = fresh("mosquitto/");
    let subscriber = subscribe(server, "mqttv5", &["-t", &topic, "-C", "1", "-F", "%p|%C|%R|%D|%E|%P"]);
    let property = |name, value| ["-D", "publish", name, value];
    publish(
        server,
        "mqttv5",
        &[
            &["-t", &topic, "-m", "hello"][..],
            &property("content-type", "text/plain"),
            &property("response-topic", "answers"),
            &property("correlation-data", "id-7"),
            &property("message-expiry-interval", "60"),
            &["-D", "publish", "user-property", "b", "2"],
            &["-D", "publish", "user-property", "a", "1"],
        ]
        .concat(),
    );
    let line = subscriber.wait_for("hello|");
    let expected = |left: u32| format!("hello|text/plain|answers|id-7|{left}|b:2 a:1");
    assert!((58..=60).any(|left| line.trim() == expected(left)), "{line}");
}

#[test]
fn tls_with_and_without_a_client_certificate() {
    if !wanted("mosquitto") {
        return;
    }
    let (authority, devices) = (Authority::new("server CA"), Authority::new("devices CA"));
    let (identity, device) = (authority.server(), devices.client("device-7"));
    let tls = "certificates: [{cert: server.crt, key: server.key}]";
    let server = node()
        .file("server.crt", &identity.certificate_pem)
        .file("server.key", &identity.key_pem)
        .file("devices.pem", devices.pem())
        .file("ca.pem", authority.pem())
        .file("device.crt", &device.certificate_pem)
        .file("device.key", &device.key_pem)
        .listener(&format!("bind: '127.0.0.1:0', name: open, allow_anonymous: true, tls: {{{tls}}}"))
        .listener(&format!(
            "bind: '127.0.0.2:0', name: mutual, identity_as_username: true, auth: required, \
             tls: {{{tls}, client_auth: required, ca: devices.pem}}"
        ))
        .step("certificate: {identity: common_name}")
        .start(&["mqtts"]);
    let addresses: Vec<SocketAddr> = server
        .output()
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("mqtts://")?.trim_end_matches(',').parse().ok())
        .collect();
    let of = |ip: &str| *addresses.iter().find(|a| a.ip().to_string() == ip).expect("a listener");
    let path = |name: &str| server.folder().join(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("device.crt"), path("device.key"));
    // The certificate is for localhost; what is checked here is who signed it.
    let trust = ["--cafile", &ca, "--insecure", "-q", "1", "-t", "tls/topic", "-m", "secret"];
    for version in ["mqttv311", "mqttv5"] {
        run(&mut tool("mosquitto_pub", of("127.0.0.1"), version, &trust));
        let known = [&trust[..], &["--cert", &cert, "--key", &key]].concat();
        run(&mut tool("mosquitto_pub", of("127.0.0.2"), version, &known));
        let (success, lines) = Program::start(&mut tool("mosquitto_pub", of("127.0.0.2"), version, &trust)).finish();
        assert!(!success, "without a certificate: {lines:?}");
    }
}
