//! Who is not let in, and that nothing of them stays.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    num::NonZeroU16,
};

use sluice_service::config::Duration;

use crate::{
    Node,
    client::{CONNACK, Expect as _, connect, connect_to, connect_v5},
};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn m1_two_thousand_connections_come_and_go_and_every_descriptor_returns() {
    let node = Node::start(|config| config.workers = NonZeroU16::new(2));
    let before = descriptors();
    for round in 0..4 {
        let mut clients: Vec<_> = (0..500).map(|_| connect_to(node.address())).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            match n % 5 {
                0 => client.send(&connect(&format!("c{round}-{n}"))),
                1 => client.send(&connect_v5(&format!("d{round}-{n}"))),
                2 => client.send(b"GET / HTTP/1.1\r\n\r\n"),
                3 => client.send(&[0x30, 0]),
                _ => {}
            }
        }
        for (n, client) in clients.iter_mut().enumerate() {
            match n % 5 {
                0 => client.expect(&CONNACK),
                2 | 3 => assert!(client.expect_end().is_empty()),
                _ => {}
            }
        }
        drop(clients);
        node.settles_at(0);
    }
    // Other tests of this process open and close descriptors too.
    assert!(descriptors() < before + 400, "{} descriptors, {before} before", descriptors());
    assert_eq!(node.running.stats().1.sockets, 0);
}

#[test]
fn p1_a_client_that_says_nothing_is_closed_at_the_connect_deadline() {
    let node = Node::start(|config| config.limits.connect_deadline = Duration::millis(200));
    let mut client = connect_to(node.address());
    assert!(client.expect_end().is_empty());
    node.settles_at(0);
}

#[test]
fn p16_other_protocols_are_closed_without_a_byte() {
    let node = Node::start(|_| {});
    for first in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut client = connect_to(node.address());
        client.send(first);
        assert!(client.expect_end().is_empty());
    }
}

#[test]
fn connections_beyond_the_maximum_are_closed_at_once() {
    let node = Node::start(|config| config.limits.connections_max = 2);
    let mut first = connect_to(node.address());
    first.begin("first");
    let mut second = connect_to(node.address());
    second.begin("second");
    let mut third = connect_to(node.address());
    assert!(third.expect_end().is_empty());
    drop(first);
    node.settles_at(1);
    let mut fourth = connect_to(node.address());
    fourth.begin("fourth");
    assert_eq!(node.running.stats().1.shed, [0, 1, 0, 0]);
}

#[test]
fn x6_an_address_that_connects_too_often_is_shed_and_counted() {
    let node = Node::start(|config| {
        config.workers = NonZeroU16::new(1);
        config.limits.accept_rate_per_address = 5;
    });
    let served = (0..50).filter(|n| is_served(node.address(), &format!("c{n}"))).count();
    assert!((10..=15).contains(&served), "{served} served");
    assert_eq!(node.running.stats().1.shed[0], 50 - served as u64);
}

fn is_served(address: std::net::SocketAddr, client_id: &str) -> bool {
    let mut client = connect_to(address);
    // A shed connection may be reset before or after the bytes are sent.
    let _ = client.write_all(&connect(client_id));
    let mut connack = [0; 4];
    client.read_exact(&mut connack).is_ok_and(|()| connack == CONNACK)
}

#[test]
fn a_client_that_is_gone_before_its_greeting_leaves_nothing() {
    let node = Node::start(|_| {});
    for _ in 0..100 {
        let client = TcpStream::connect(node.address()).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
    }
    node.settles_at(0);
}
