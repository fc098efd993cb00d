//! Start, stop, reload.

use std::{fs, io::Read as _, net::TcpStream, thread, time::Duration};

use sluice_dataplane_server::{
    OnDamage,
    config::{Bind, NodeConfig, Protocol},
    start,
};

use crate::{
    Node,
    client::{Expect as _, connect_to, connect_v5, publish, subscribe},
    local,
};

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let node = Node::start(|_| {});
    let data = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::default();
    config.node.data = data.path().to_path_buf();
    config.listeners = vec![local(Protocol::Mqtt)];
    config.listeners[0].bind = Bind::Tcp(node.address());
    let error = start(&config, OnDamage::Refuse).err().unwrap();
    assert!(format!("{error:#}").contains(&node.address().to_string()), "{error:#}");
}

#[test]
fn a_store_in_use_is_an_error_and_leaves_nothing_running() {
    let node = Node::start(|_| {});
    let mut config = NodeConfig::default();
    config.node.data = node.data.path().to_path_buf();
    config.listeners = vec![local(Protocol::Mqtt)];
    assert!(start(&config, OnDamage::Refuse).is_err());
    let mut client = connect_to(node.address());
    client.begin("still served");
}

#[test]
fn shutdown_tells_clients_where_to_go_and_frees_the_port() {
    let node = Node::start(|_| {});
    let address = node.address();
    let mut client = connect_to(address);
    client.send(&connect_v5("v5"));
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    client.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
    node.running.shutdown(0, Duration::from_secs(5), Some("elsewhere:1883"));
    let farewell = client.expect_end();
    assert_eq!(farewell[0], 0xE0);
    assert_eq!(farewell[2], 0x9C, "use another server: {farewell:02x?}");
    assert!(farewell.ends_with(b"elsewhere:1883"));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::default();
    config.node.data = data.path().to_path_buf();
    config.listeners = vec![local(Protocol::Mqtt)];
    {
        let node = start(&config, OnDamage::Refuse).unwrap();
        let mut client = connect_to(node.address(0).unwrap());
        client.begin("writer");
        // Retained, QoS 1: PUBACK means stored.
        client.send(&[&[0x33, 8, 0, 1, b'r', 0, 9][..], b"kep"].concat());
        client.expect(&[0x40, 2, 0, 9]);
        node.shutdown(0, Duration::from_secs(5), None);
    }
    let node = start(&config, OnDamage::Refuse).unwrap();
    let mut client = connect_to(node.address(0).unwrap());
    client.begin("reader");
    client.send(&subscribe(1, "r", 0));
    client.expect(&[0x90, 3, 0, 1, 0]);
    client.expect(&[&[0x31, 6, 0, 1, b'r'][..], b"kep"].concat());
    node.shutdown(0, Duration::from_secs(5), None);
}

#[test]
fn f6_new_rules_take_effect_on_live_clients_and_broken_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.yaml");
    let rules = |topic: &str| format!("rules:\n  - allow: all\n    everyone: true\n    topics: [\"{topic}\"]\n");
    fs::write(&file, rules("a/#")).unwrap();
    let node = Node::start(|config| config.access.file = Some(file.clone()));
    let mut client = connect_to(node.address());
    client.begin("subject");
    client.send(&subscribe(1, "a/b", 0));
    client.expect(&[0x90, 3, 0, 1, 0]);
    fs::write(&file, "this is not a list of rules").unwrap();
    wait_for(|| !node.running.failing().is_empty());
    client.send(&publish("a/b", b"still"));
    client.expect(&publish("a/b", b"still"));
    fs::write(&file, rules("b/#")).unwrap();
    wait_for(|| node.running.failing().is_empty());
    // The file is read; the worker hears of it a moment later.
    for packet_id in 2..200 {
        client.send(&subscribe(packet_id, "a/c", 0));
        let mut suback = [0; 5];
        client.read_exact(&mut suback).unwrap();
        if suback[4] == 0x80 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the new rules had no effect");
}

fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing happened");
}
