//! P: the stream of packets.

use std::{thread::sleep, time::Duration};

use sluice_tests_conformance::{
    Client, Outgoing as _, Server, Version, connect, eventually, fresh, id, node, packet, pingreq, publish, subscribe,
    wire::put_bytes,
};

use crate::impatient;

#[test]
fn p1_silence_after_accept_is_closed() {
    impatient().open().expect_closed_silently();
}

#[test]
fn p2_a_length_of_five_bytes_is_malformed() {
    let _others = Server::shared().bystander();
    let mut client = Server::shared().open();
    client.send([0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).expect_closed_silently();
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).expect_thrown_out(&[0x81]);
    }
    let mut client = Server::shared().connected(Version::V5);
    client.send(packet(0x30, b"\x00\x01t\xFF\xFF\xFF\xFF\x7F")).expect_thrown_out(&[0x81]);
}

#[test]
fn p3_a_huge_connect_is_closed_at_its_header() {
    // None of them is closed by the server's deadline or for want of room: the header is enough.
    let server = node().start_plain();
    let round = |clients: usize| {
        let mut clients: Vec<_> = (0..clients).map(|_| server.open()).collect();
        for client in &mut clients {
            client.send([0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0x00]);
        }
        clients.iter_mut().for_each(Client::expect_closed_silently);
    };
    round(20);
    let before = server.resident_kib();
    round(200);
    let grown = server.resident_kib().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib <= 200 * 4), "{grown:?} KiB more for 200 headers: 4 KiB each at most");
}

#[test]
fn p4_another_packet_first_is_closed() {
    let _others = Server::shared().bystander();
    for version in Version::ALL {
        let first = [
            publish("t", "x").encode(version),
            subscribe(1).filter("t", 0).encode(version),
            pingreq().to_vec(),
            vec![0x40, 0x02, 0x00, 0x01],
        ];
        for bytes in first {
            Server::shared().open().send_bytes(&bytes).expect_closed_silently();
        }
    }
}

#[test]
fn p5_a_length_smaller_than_the_fields_need_is_malformed() {
    for version in Version::ALL {
        let body = connect(fresh("c")).version(version).body();
        for length in [0, 1, 5, 9, body.len() - 1] {
            let mut client = Server::shared().open();
            client.send(packet(0x10, &body[..length])).expect_refused_or_closed(&[0x81]);
        }
        let mut client = Server::shared().connected(version);
        client.send(packet(0x30, b"\x00\x09topic")).expect_thrown_out(&[0x81]);
    }
}

#[test]
fn p6_a_truncated_qos_1_publish_is_malformed() {
    for version in Version::ALL {
        for body in [&b"\x00"[..], b"\x00\x05to", b"\x00\x01t", b"\x00\x01t\x00"] {
            let mut client = Server::shared().connected(version);
            client.send(packet(0x32, body)).expect_thrown_out(&[0x81]);
        }
    }
}

#[test]
fn p7_a_packet_that_never_ends_runs_into_a_deadline() {
    let mut client = impatient().connected(Version::V5);
    client.send([0x30, 0x20, 0x00, 0x01]).expect_disconnect_or_closed(&[0x8D]);
    let mut client = impatient().connected(Version::V311);
    client.send([0x30, 0x20, 0x00, 0x01]).expect_closed();
}

#[test]
fn p8_reserved_packet_types_are_malformed() {
    let mut client = Server::shared().connected(Version::V5);
    client.send([0x00, 0x00]).expect_thrown_out(&[0x81]);
    for version in crate::OLD {
        for first in [0x00, 0xF0] {
            let mut client = Server::shared().connected(version);
            client.send([first, 0x00]).expect_thrown_out(&[]);
        }
    }
}

#[test]
fn p9_wrong_fixed_flags_are_malformed() {
    for version in Version::ALL {
        let filter = subscribe(1).filter("t", 0).encode(version);
        let wrong = [[&[0x80], &filter[1..]].concat(), vec![0x60, 2, 0, 1], vec![0xC1, 0]];
        for bytes in wrong {
            let mut client = Server::shared().connected(version);
            client.send(bytes).expect_thrown_out(&[0x81]);
        }
    }
}

#[test]
fn p10_qos_3_is_malformed() {
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send(publish("t", "x").qos(3, 1)).expect_thrown_out(&[0x81]);
    }
}

#[test]
fn p11_qos_0_with_dup_is_malformed() {
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send(publish("t", "x").dup()).expect_thrown_out(&[0x81, 0x82]);
    }
}

#[test]
fn p12_bytes_after_the_last_field_are_malformed() {
    for version in Version::ALL {
        let tail: &[u8] = if version == Version::V5 { b"\x00\x01\x00\x00\x00" } else { b"\x00\x01\x00" };
        for (first, body) in [(0xC0, &b"\x00"[..]), (0x40, tail), (0x62, tail)] {
            let mut client = Server::shared().connected(version);
            client.send(packet(first, body)).expect_thrown_out(&[0x81]);
        }
    }
}

#[test]
fn p13_packet_over_maximum() {
    let _others = Server::shared().bystander();
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        // The header alone: the server need not see the body.
        client.send([0x30, 0xFF, 0xFF, 0xFF, 0x7F]).expect_thrown_out(&[0x95]);
    }
}

#[test]
fn p14_a_connect_that_comes_byte_by_byte_runs_into_the_deadline() {
    let mut client = impatient().open();
    for byte in connect(fresh("c")).encode(Version::V5).iter().take(12) {
        client.send_bytes(&[*byte]);
        sleep(Duration::from_millis(150));
    }
    client.expect_closed_silently();
}

#[test]
fn p15_cutting_the_stream_changes_nothing() {
    for version in Version::ALL {
        let topic = fresh("t/");
        let mut bytes = connect(fresh("c")).version(version).encode(version);
        bytes.extend(subscribe(1).filter(&topic, 1).encode(version));
        bytes.extend(publish(&topic, "one").encode(version));
        bytes.extend(publish(&topic, "x".repeat(300)).encode(version));
        for cut in [1, 2, 13, bytes.len()] {
            let mut client = Server::shared().open();
            client.speak(version);
            for piece in bytes.chunks(cut) {
                client.send_bytes(piece);
            }
            client.expect_connack();
            client.expect_suback(1, &[1]);
            client.expect_message(&topic, "one");
            client.expect_message(&topic, "x".repeat(300));
        }
    }
}

#[test]
fn p16_other_protocols_get_no_reply() {
    let _others = Server::shared().bystander();
    let mut hello = b"\x16\x03\x01\x00\x2A\x01\x00\x00\x26\x03\x03".to_vec();
    hello.resize(47, 7);
    let strangers = [b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(), hello, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()];
    for bytes in strangers {
        Server::shared().open().send_bytes(&bytes).expect_closed_silently();
    }
}

#[test]
fn p5_a_will_that_runs_past_the_end_is_malformed() {
    for version in Version::ALL {
        let mut body = connect(fresh("c")).version(version).flags(0x06).body();
        if version == Version::V5 {
            body.push(0);
        }
        put_bytes(&mut body, b"topic");
        body.extend_from_slice(b"\x00\x09will");
        let mut client = Server::shared().open();
        client.send(packet(0x10, &body)).expect_refused_or_closed(&[0x81]);
    }
}

#[test]
fn p13_what_is_too_large_is_named_to_the_client_and_in_the_log_with_the_key_to_raise() {
    let server = node().section("mqtt: {max_packet_size: 4KiB}").start_plain();
    let name = fresh("c");
    let mut client = server.client(connect(&name));
    client.send(publish("far/too/much", "x".repeat(5000)));
    let why = client.expect_disconnect(&[0x95]).properties.text(id::REASON_STRING).expect("words");
    assert!(why.contains("4096") && why.contains("mqtt.max_packet_size"), "{why}");
    eventually("the log says so too", || {
        let log = server.output();
        let mut lines = log.lines().filter(|line| line.contains("packet larger than allowed"));
        lines.any(|line| {
            [name.as_str(), "far/too/much", "mqtt.max_packet_size", "4096"].iter().all(|it| line.contains(it))
        })
    });
}
