//! HAProxy in front of a node, telling it by the PROXY protocol who the client is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test")]

use std::{fs, net::SocketAddr, net::TcpStream, process::Command};

use sluice_tests_conformance::{
    Server, node,
    server::{eventually, free_port},
};
use sluice_tests_e2e::program::{Program, run, wanted};
use tempfile::TempDir;

/// HAProxy that forwards to a server, and where it listens.
struct Proxy {
    _program: Program,
    _folder: TempDir,
    address: SocketAddr,
}

fn proxy_to(server: SocketAddr, send: &str) -> Proxy {
    let folder = tempfile::tempdir().expect("a folder");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let file = folder.path().join("haproxy.cfg");
    let configuration = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen mqtt\n  bind {address}\n  server broker {server} {send}\n"
    );
    fs::write(&file, configuration).expect("a file");
    let program = Program::start(Command::new("haproxy").arg("-db").arg("-f").arg(&file));
    eventually("HAProxy listens", || TcpStream::connect(address).is_ok());
    Proxy { _program: program, _folder: folder, address }
}

fn server(proxy_protocol: &str) -> Server {
    node()
        .listener(&format!("bind: '127.0.0.1:0', proxy_protocol: {proxy_protocol}"))
        .section("log: {level: 'info,sluice_dataplane_server=debug,sluice=debug'}")
        .start_plain()
}

fn publish_from(source: &str, address: SocketAddr) -> Command {
    let mut command = Command::new("mosquitto_pub");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    command.args(["-A", source, "-h", &host, "-p", &port, "-q", "1", "-t", "t", "-m", "x", "-i", "behind-haproxy"]);
    command
}

#[test]
fn the_node_sees_the_address_of_the_client_behind_haproxy() {
    if !wanted("haproxy") {
        return;
    }
    for (mode, send) in [("required", "send-proxy-v2"), ("optional", "send-proxy-v2"), ("required", "send-proxy")] {
        let server = server(mode);
        let proxy = proxy_to(server.address("mqtt"), send);
        run(&mut publish_from("127.0.0.77", proxy.address));
        eventually("the log names the client's address", || {
            let output = server.output();
            output.lines().any(|line| line.contains("behind-haproxy") && line.contains("127.0.0.77"))
        });
    }
}

#[test]
fn a_listener_that_does_not_expect_the_header_says_what_to_set() {
    if !wanted("haproxy") {
        return;
    }
    let server = server("off");
    let proxy = proxy_to(server.address("mqtt"), "send-proxy-v2");
    assert!(!Program::start(&mut publish_from("127.0.0.1", proxy.address)).finish().0);
    eventually("the log says it", || server.output().contains("set its proxy_protocol to optional or required"));
}

#[test]
fn a_listener_that_misses_the_header_says_so() {
    if !wanted("haproxy") {
        return;
    }
    let server = server("required");
    let proxy = proxy_to(server.address("mqtt"), "");
    assert!(!Program::start(&mut publish_from("127.0.0.1", proxy.address)).finish().0);
    eventually("the log says it", || {
        server.output().lines().any(|line| line.contains("PROXY") && line.contains("connection closed"))
    });
}
