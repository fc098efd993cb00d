//! Bytes in, bytes out: however they are cut and however much there is.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    num::NonZeroU16,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use sluice_dataplane_server::config::Bind;

use crate::{
    Node,
    client::{
        CONNACK, DISCONNECT, Expect as _, PINGREQ, PINGRESP, connect, connect_to, connect_v5, publish, subscribe,
    },
};

fn workers(config: &mut sluice_dataplane_server::config::NodeConfig, workers: u16) {
    config.workers = NonZeroU16::new(workers);
}

#[test]
fn a_message_goes_from_one_client_to_another_on_every_worker() {
    let node = Node::start(|config| workers(config, 3));
    let mut clients: Vec<_> = (0..12).map(|_| connect_to(node.address())).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.begin(&format!("client-{n}"));
        client.send(&subscribe(1, "to/all", 0));
        client.expect(&[0x90, 3, 0, 1, 0]);
    }
    for n in 0..clients.len() {
        let message = publish("to/all", format!("from {n}").as_bytes());
        clients[n].send(&message);
        clients.iter_mut().for_each(|client| client.expect(&message));
    }
}

#[test]
fn p15_a_stream_means_the_same_in_segments_of_one_byte() {
    let node = Node::start(|config| workers(config, 2));
    let mut client = connect_to(node.address());
    let mut bytewise = |stream: &[u8], answer: &[u8]| {
        stream.iter().for_each(|byte| client.send(&[*byte]));
        client.expect(answer);
    };
    bytewise(&[connect("slow"), subscribe(1, "a", 0)].concat(), &[&CONNACK[..], &[0x90, 3, 0, 1, 0]].concat());
    bytewise(&[publish("a", b"x"), PINGREQ.to_vec()].concat(), &[publish("a", b"x"), PINGRESP.to_vec()].concat());
}

#[test]
fn many_packets_in_one_segment_are_all_handled() {
    let node = Node::start(|config| workers(config, 2));
    let mut client = connect_to(node.address());
    client.send(&[connect("burst"), PINGREQ.repeat(500)].concat());
    client.expect(&CONNACK);
    client.expect(&PINGRESP.repeat(500));
}

#[test]
fn more_bytes_than_a_turns_share_are_read_to_the_end() {
    let node = Node::start(|config| workers(config, 1));
    let mut sink = connect_to(node.address());
    sink.begin("sink");
    sink.send(&subscribe(1, "last", 0));
    sink.expect(&[0x90, 3, 0, 1, 0]);
    let mut source = connect_to(node.address());
    source.begin("source");
    let flood = publish("nobody/listens", &[7; 1000]).repeat(8_000);
    source.send(&flood);
    source.send(&publish("last", b"done"));
    sink.expect(&publish("last", b"done"));
    let (stats, driver) = node.running.stats();
    assert_eq!(stats.messages_received[0], 8_001);
    assert!(driver.reads < 1000, "{} reads for 8 MB", driver.reads);
}

#[test]
fn a_packet_larger_than_the_read_buffer_arrives_whole() {
    let node = Node::start(|config| workers(config, 2));
    let mut client = connect_to(node.address());
    client.begin("large");
    client.send(&subscribe(1, "large", 0));
    client.expect(&[0x90, 3, 0, 1, 0]);
    let payload: Vec<u8> = (0..1_500_000_u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let message = publish("large", &payload);
    let mut writer = client.try_clone().unwrap();
    let sent = message.clone();
    let writing = thread::spawn(move || writer.send(&[sent.clone(), sent].concat()));
    client.expect(&message);
    client.expect(&message);
    writing.join().unwrap();
    client.ping();
}

#[test]
fn s9_last_words_of_the_broker_reach_a_client_that_still_sends() {
    let node = Node::start(|_| {});
    let mut client = connect_to(node.address());
    client.send(&connect_v5("too-large"));
    let mut connack = [0; 2];
    client.read_exact(&mut connack).unwrap();
    client.expect_bytes(usize::from(connack[1]));
    // 3 MB: the header alone is refused, and the body is still on its way.
    client.send(&[0x30, 0xC0, 0x8D, 0xB7, 0x01]);
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || drop(writer.write_all(&vec![0; 3_000_000])));
    let rest = client.expect_end();
    assert_eq!(rest.first(), Some(&0xE0));
    assert!(rest.contains(&0x95), "{rest:02x?}");
    writing.join().unwrap();
    node.settles_at(0);
}

#[test]
fn m2_a_client_that_never_reads_and_one_that_is_half_closed_cost_no_turns() {
    let node = Node::start(|config| workers(config, 1));
    let mut source = connect_to(node.address());
    source.begin("source");
    let mut deaf = connect_to(node.address());
    deaf.begin("deaf");
    deaf.send(&subscribe(1, "flood", 0));
    deaf.expect(&[0x90, 3, 0, 1, 0]);
    let mut half = connect_to(node.address());
    half.begin("half");
    half.shutdown(Shutdown::Write).unwrap();
    for _ in 0..20 {
        source.send(&publish("flood", &[0; 60_000]).repeat(10));
        source.ping();
    }
    thread::sleep(Duration::from_millis(100));
    let (_, before) = node.running.stats();
    thread::sleep(Duration::from_millis(500));
    let (_, after) = node.running.stats();
    assert!(after.turns - before.turns < 10, "{} turns in half a second", after.turns - before.turns);
    source.ping();
}

#[test]
fn a_unix_socket_serves_and_is_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mqtt.sock");
    let node = Node::start(|config| {
        workers(config, 2);
        config.listeners[0].bind = Bind::Unix(path.clone());
    });
    for n in 0..4 {
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.begin(&format!("unix-{n}"));
        client.ping();
        client.send(&DISCONNECT);
        assert!(client.expect_end().is_empty());
    }
    drop(node);
    assert!(!path.exists());
}

trait ExpectBytes {
    fn expect_bytes(&mut self, count: usize);
}

impl<T: std::io::Read> ExpectBytes for T {
    fn expect_bytes(&mut self, count: usize) {
        self.read_exact(&mut vec![0; count]).unwrap();
    }
}
