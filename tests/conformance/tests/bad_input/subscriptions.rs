//! S: SUBSCRIBE, UNSUBSCRIBE and packets out of turn.

use sluice_tests_conformance::{
    Incoming, Server, Version, connect, disconnect, fresh, id, node, number, packet, puback, pubcomp, publish, pubrec,
    pubrel, subscribe, unsubscribe,
};

use crate::OLD;

#[test]
fn s1_malformed_subscribes_are_errors() {
    for version in Version::ALL {
        let topic = fresh("t/");
        let mut wrong = vec![subscribe(1), subscribe(0).filter(&topic, 0)];
        for options in [0x40, 0x80, 0x03] {
            wrong.push(subscribe(1).filter(&topic, options));
        }
        if version == Version::V5 {
            wrong.push(subscribe(1).filter(&topic, 0x30));
        }
        for wrong in wrong {
            let mut client = Server::shared().connected(version);
            client.send(wrong).expect_thrown_out(&[0x82, 0x81]);
        }
    }
}

#[test]
fn s2_too_many_filters_in_one_packet_are_refused() {
    let _others = Server::shared().bystander();
    for count in [1_001, 10_000] {
        for version in Version::ALL {
            let prefix = fresh("t");
            let many = (0..count).fold(subscribe(1), |packet, n| packet.filter(format!("{prefix}/{n}"), 0));
            let mut client = Server::shared().connected(version);
            client.send(many);
            let refused = if version == Version::V5 { 0x97 } else { 0x80 };
            match client.receive_or_end() {
                None => assert_ne!(version, Version::V5),
                Some(Incoming::Suback(suback)) => assert!(suback.reasons.iter().all(|reason| *reason == refused)),
                Some(Incoming::Disconnect(disconnect)) => assert!(matches!(disconnect.reason, 0x95 | 0x97)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn s2_subscriptions_over_the_quota_are_refused() {
    let server = node().section("mqtt: {subscriptions_max: 5}").start_plain();
    for version in Version::ALL {
        let refused = if version == Version::V5 { 0x97 } else { 0x80 };
        let mut client = server.connected(version);
        let six = (0..6).fold(subscribe(1), |packet, n| packet.filter(format!("t/{n}"), 0));
        client.send(six).expect_suback(1, &[0, 0, 0, 0, 0, refused]);
        client.send(subscribe(2).filter("t/0", 1)).expect_suback(2, &[1]);
        client.unsubscribe("t/1").subscribe("t/7", 0);
        client.send(subscribe(3).filter("t/8", 1)).expect_suback(3, &[refused]);
    }
}

#[test]
fn s3_packets_of_a_server_are_errors() {
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let servers: [(u8, &[u8]); 4] = [
            (0x20, if v5 { b"\x00\x00\x00" } else { b"\x00\x00" }),
            (0x90, if v5 { b"\x00\x01\x00\x00" } else { b"\x00\x01\x00" }),
            (0xB0, if v5 { b"\x00\x01\x00\x00" } else { b"\x00\x01" }),
            (0xD0, b""),
        ];
        for (first, body) in servers {
            let mut client = Server::shared().connected(version);
            client.send(packet(first, body)).expect_thrown_out(&[0x82]);
        }
    }
}

#[test]
fn s4_acknowledgements_of_nothing_are_answered_or_ignored() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(puback(9)).ping();
    client.send(pubcomp(9)).ping();
    client.send(pubrel(9));
    assert_eq!(client.expect_pubcomp(9).reason, 0x92);
    client.send(pubrec(9));
    assert_eq!(client.expect_pubrel(9).reason, 0x92);
    for version in OLD {
        let mut client = Server::shared().connected(version);
        client.send(puback(9)).ping();
        client.send(pubcomp(9)).ping();
        client.send(pubrel(9)).expect_pubcomp(9);
        client.send(pubrec(9)).expect_pubrel(9);
    }
}

#[test]
fn s5_the_wrong_acknowledgement_is_an_error() {
    for version in Version::ALL {
        let wrong: [fn(u16) -> _; 2] = [puback, pubcomp];
        for wrong in wrong {
            let topic = fresh("t/");
            let mut client = Server::shared().connected(version);
            client.subscribe(&topic, 2);
            Server::shared().connected(version).publish(&topic, "x", 2);
            let packet_id = client.expect_publish().packet_id;
            client.send(wrong(packet_id)).expect_thrown_out(&[0x82]);
        }
    }
}

#[test]
fn s5_a_refusing_pubrec_frees_the_identifier() {
    let topic = fresh("t/");
    let mut client = Server::shared().client(connect(fresh("c")).receive_maximum(1));
    client.subscribe(&topic, 2);
    let mut sender = Server::shared().connected(Version::V5);
    sender.publish(&topic, "1", 2).publish(&topic, "2", 2);
    let first = client.expect_publish();
    client.send(pubrec(first.packet_id).reason(0x80));
    client.expect_message(&topic, "2");
    client.expect_nothing();
}

#[test]
fn s6_a_filter_without_options_at_the_end_of_a_full_buffer_is_malformed() {
    for version in Version::ALL {
        let mut body = if version == Version::V5 { b"\x00\x01\x00".to_vec() } else { b"\x00\x01".to_vec() };
        let length = 1024 - body.len() - 2;
        body.extend_from_slice(&(length as u16).to_be_bytes());
        body.resize(1024, b't');
        let mut client = Server::shared().connected(version);
        client.send(packet(0x82, &body)).expect_thrown_out(&[0x81]);
    }
}

#[test]
fn s7_unsubscribing_what_is_not_there_removes_nothing() {
    let topic = fresh("t/");
    let shared = format!("$share/g/{topic}");
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.subscribe(&topic, 0);
        client.send(unsubscribe(9).topic(&shared)).expect_unsuback(9, &[0x11]);
        client.send(unsubscribe(9).topic("$share/other/t").topic("x")).expect_unsuback(9, &[0x11, 0x11]);
        client.publish(&topic, "x", 0).expect_message(&topic, "x");
    }
}

#[test]
fn s8_disconnect_cannot_give_a_session_that_was_transient_an_expiry() {
    let name = fresh("c");
    let mut client = Server::shared().client(connect(&name));
    client.send(disconnect(0).with(number(id::SESSION_EXPIRY, 100))).expect_disconnect_or_closed(&[0x82]);
    assert!(!Server::shared().client(connect(&name).resume()).connack().session_present);
}

#[test]
fn s9_data_after_disconnect_is_ignored() {
    let topic = fresh("t/");
    let mut watcher = Server::shared().connected(Version::V5);
    watcher.subscribe(&topic, 0);
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.send_together(&[&disconnect(0), &publish(&topic, "late"), &vec![0xC1, 0xFF]]).expect_closed();
    }
    watcher.expect_nothing();
}

#[test]
fn s10_subscription_identifier_zero_is_an_error() {
    let mut client = Server::shared().connected(Version::V5);
    client.send(subscribe(1).filter(fresh("t/"), 0).identifier(0)).expect_disconnect(&[0x82]);
}
