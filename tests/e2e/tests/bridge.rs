//! A mosquitto broker that bridges to Sluice, both ways.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test")]

use std::{fs, net::SocketAddr, net::TcpStream, process::Command, thread, time::Duration};

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, connect, fresh, node,
    server::{eventually, free_port},
    stream::Stream,
};
use sluice_tests_e2e::program::{Program, wanted};
use tempfile::TempDir;

/// mosquitto with a bridge to Sluice.
struct Bridge {
    sluice: Server,
    address: SocketAddr,
    program: Program,
    _folder: TempDir,
}

fn bridge(version: &str) -> Bridge {
    let sluice = node().section("log: {level: debug}").start_plain();
    let folder = tempfile::tempdir().expect("a folder");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (port, remote) = (address.port(), sluice.address("mqtt"));
    let configuration = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
         connection sluice\naddress {remote}\nbridge_protocol_version {version}\nremote_clientid the-bridge\n\
         cleansession false\nnotifications false\nrestart_timeout 1\n\
         topic both/# both 1\ntopic out/# out 1\ntopic in/# in 1\n"
    );
    let file = folder.path().join("mosquitto.conf");
    fs::write(&file, configuration).expect("a file");
    let program = Program::start(Command::new("mosquitto").arg("-v").arg("-c").arg(&file));
    eventually("mosquitto listens", || TcpStream::connect(address).is_ok());
    // The answer to the bridge's SUBSCRIBE: one code for each of two filters.
    program.wait_for("Received SUBACK from local");
    Bridge { sluice, address, program, _folder: folder }
}

impl Bridge {
    /// A client of mosquitto.
    fn near(&self) -> Client {
        let mut client = Client::new(Stream::tcp(self.address));
        client.send(connect(fresh("n"))).expect_connack();
        client
    }

    /// A client of Sluice.
    fn far(&self) -> Client {
        self.sluice.connected(Version::V5)
    }
}

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv50"];

#[test]
fn messages_cross_the_bridge_both_ways_once() {
    if !wanted("mosquitto") {
        return;
    }
    for version in VERSIONS {
        let bridge = bridge(version);
        let (mut near, mut far) = (bridge.near(), bridge.far());
        near.subscribe("#", 1);
        far.subscribe("#", 1);
        bridge.near().publish("both/a", "from mosquitto", 1);
        bridge.far().publish("both/b", "from sluice", 1);
        bridge.near().publish("out/c", "out", 1);
        bridge.far().publish("in/d", "in", 1);
        // These stay where they are.
        bridge.near().publish("in/e", "stays", 1);
        bridge.far().publish("out/f", "stays", 1);
        // A loop would have turned by then, many times.
        thread::sleep(Duration::from_millis(1_500));
        let of = |client: &mut Client| {
            let packets = client.drain();
            let mut topics: Vec<String> = packets.iter().filter_map(publish_topic).collect();
            topics.sort();
            topics
        };
        assert_eq!(of(&mut near), ["both/a", "both/b", "in/d", "in/e", "out/c"], "at mosquitto, {version}");
        assert_eq!(of(&mut far), ["both/a", "both/b", "in/d", "out/c", "out/f"], "at sluice, {version}");
    }
}

fn publish_topic(packet: &Incoming) -> Option<String> {
    match packet {
        Incoming::Publish(publish) => Some(publish.topic.clone()),
        _ => None,
    }
}

#[test]
fn a_retained_message_stays_retained_across_the_bridge() {
    if !wanted("mosquitto") {
        return;
    }
    for version in VERSIONS {
        let bridge = bridge(version);
        bridge.far().retain("both/kept", "by sluice", 1);
        bridge.near().retain("both/kept-too", "by mosquitto", 1);
        eventually("it is retained at mosquitto", || {
            let mut late = bridge.near();
            late.subscribe("both/kept", 1);
            thread::sleep(Duration::from_millis(100));
            late.drain().iter().any(|packet| publish_topic(packet).is_some())
        });
        let mut late = bridge.far();
        late.subscribe("both/kept-too", 1);
        assert!(late.expect_message("both/kept-too", "by mosquitto").retain);
    }
}

#[test]
fn a_bridge_that_was_cut_off_catches_up() {
    if !wanted("mosquitto") {
        return;
    }
    let Bridge { sluice, address, program, _folder } = bridge("mqttv311");
    let mut near = Client::new(Stream::tcp(address));
    near.send(connect(fresh("n"))).expect_connack();
    near.subscribe("in/#", 1);
    // The bridge's session is persistent: what comes while its broker is stopped waits at Sluice.
    let pause = |signal: &str| {
        assert!(Command::new("kill").args([signal, &program.id().to_string()]).status().expect("kill").success());
    };
    pause("-STOP");
    let mut far = sluice.connected(Version::V5);
    (0..20).for_each(|n| {
        far.publish("in/late", n.to_string(), 1);
    });
    pause("-CONT");
    for n in 0..20 {
        near.expect_message("in/late", n.to_string());
    }
}
