//! Shared groups over several workers: each message to one member (I22), and never to nobody while a member could take
//! it or keep it (I23).

#![allow(clippy::expect_used, reason = "these are tests")]

mod broker;

use broker::{Broker, Client, connect};
use sluice_dataplane_core::{Key, Settings};
use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};

const GROUP: &str = "$share/g/t";

/// Who sends the messages. Its session ends with it.
fn publisher(broker: &mut Broker, name: &str) -> Client {
    broker.connect(&connect(Version::V5, name, true)).0
}

/// A member of the group, with a session that goes on without it or one that ends with it.
fn member(broker: &mut Broker, name: &str, persistent: bool) -> Client {
    let (client, _) = broker.connect(&connect(Version::V5, name, !persistent));
    broker.subscribe(client, GROUP, QoS::AtLeastOnce);
    client
}

fn publish(broker: &mut Broker, from: Client, packet_id: u16) -> Vec<String> {
    broker.publish(from, "t", QoS::AtLeastOnce, packet_id, packet_id.to_string().as_bytes());
    broker.read(from)
}

/// The payloads of what a client was sent, which it acknowledges.
fn take(broker: &mut Broker, client: Client) -> Vec<u16> {
    let mut payloads = Vec::new();
    loop {
        let packets = broker.read(client);
        if packets.is_empty() {
            return payloads;
        }
        for words in packets {
            let parts: Vec<&str> = words.split(' ').collect();
            assert_eq!(parts[0], "publish", "{words}");
            payloads.push(parts[2].parse().expect("a number"));
            let packet_id = parts[4].trim_start_matches('#').parse().expect("a packet id");
            broker.packet(client, |out, v| encode::puback(out, v, &Ack::new(packet_id, ReasonCode::Success)));
        }
    }
}

fn holds_messages(broker: &Broker) -> bool {
    broker.stored_keys().any(|key| matches!(key, Key::Block(..)))
}

#[test]
fn a_group_whose_members_are_all_away_keeps_what_any_worker_is_sent() {
    for workers in [1, 2, 3, 5] {
        let mut broker = Broker::new(workers, Settings::default());
        let away = member(&mut broker, "member", true);
        broker.hang_up(away);
        for n in 1..=8 {
            let from = publisher(&mut broker, &format!("publisher-{n}"));
            assert_eq!(publish(&mut broker, from, n), [format!("puback #{n} success")], "{workers} workers");
        }
        broker.crash();
        let (back, present) = broker.connect(&connect(Version::V5, "member", false));
        assert!(present);
        assert_eq!(take(&mut broker, back), (1..=8).collect::<Vec<_>>(), "{workers} workers");
        assert!(!holds_messages(&broker));
    }
}

#[test]
fn what_waits_for_members_that_are_away_goes_to_the_first_that_connects_on_any_worker() {
    for workers in [1, 2, 3, 5] {
        for other in ["other-1", "other-2", "other-3", "other-4"] {
            let mut broker = Broker::new(workers, Settings::default());
            let away = member(&mut broker, "member", true);
            broker.hang_up(away);
            let from = publisher(&mut broker, "publisher");
            for n in 1..=20 {
                publish(&mut broker, from, n);
            }
            broker.crash();
            let there = member(&mut broker, other, true);
            assert_eq!(take(&mut broker, there), (1..=20).collect::<Vec<_>>(), "{workers} workers, {other}");
            let (back, _) = broker.connect(&connect(Version::V5, "member", false));
            assert_eq!(take(&mut broker, back), [], "{workers} workers, {other}");
            assert!(!holds_messages(&broker), "{workers} workers, {other}");
        }
    }
}

#[test]
fn what_is_passed_on_when_the_process_dies_is_with_one_of_the_two() {
    for workers in [2, 3, 5] {
        for other in ["other-1", "other-2", "other-3", "other-4"] {
            let mut broker = Broker::new(workers, Settings::default());
            for name in [other, "member"] {
                let away = member(&mut broker, name, true);
                broker.hang_up(away);
            }
            let from = publisher(&mut broker, "publisher");
            for n in 1..=20 {
                publish(&mut broker, from, n);
            }
            // Its connection is stored; what it is given is not.
            broker.hold();
            let there = broker.begin_connect(&connect(Version::V5, other, false));
            broker.sync_at_once = false;
            broker.release();
            broker.sync_all_but(there);
            broker.sync_all_but(there);
            broker.crash();
            broker.sync_at_once = true;
            let (there, _) = broker.connect(&connect(Version::V5, other, false));
            let (back, _) = broker.connect(&connect(Version::V5, "member", false));
            let mut all = take(&mut broker, there);
            all.extend(take(&mut broker, back));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, (1..=20).collect::<Vec<_>>(), "{workers} workers, {other}");
        }
    }
}

#[test]
fn a_message_that_comes_when_the_members_of_its_worker_have_left_goes_to_another_member() {
    let mut bounced = 0;
    for workers in [2, 3] {
        for first in 0..12 {
            let mut broker = Broker::new(workers, Settings::default());
            let leaves = member(&mut broker, &format!("leaves-{first}"), false);
            let stays = member(&mut broker, "stays", true);
            let from = publisher(&mut broker, "publisher");
            let mut got = Vec::new();
            for n in 1..=4 {
                broker.hold();
                broker.publish(from, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
                if n == 3 {
                    broker.hang_up(leaves);
                }
                broker.release();
                assert_eq!(broker.read(from), [format!("puback #{n} success")]);
                if n < 3 {
                    got.extend(take(&mut broker, leaves));
                }
                got.extend(take(&mut broker, stays));
            }
            bounced += u32::from(broker.bounced());
            got.sort_unstable();
            assert_eq!(got, [1, 2, 3, 4], "{workers} workers, {first}");
        }
    }
    assert!(bounced > 0, "no message had to come back");
}

#[test]
fn messages_are_shared_evenly_between_members_of_all_workers() {
    for workers in [1, 2, 4] {
        let mut broker = Broker::new(workers, Settings::default());
        let members: Vec<Client> = (0..4).map(|n| member(&mut broker, &format!("m-{n}"), n % 2 == 0)).collect();
        // Members that are away take no turns.
        for n in 0..200 {
            let away = member(&mut broker, &format!("away-{n}"), true);
            broker.hang_up(away);
        }
        let from = publisher(&mut broker, "publisher");
        let mut counts = [0; 4];
        for n in 1..=400 {
            publish(&mut broker, from, n);
            for (count, &client) in counts.iter_mut().zip(&members) {
                *count += take(&mut broker, client).len();
            }
        }
        assert_eq!(counts.iter().sum::<usize>(), 400, "{workers} workers: {counts:?}");
        assert!(counts.iter().all(|&count| (60..=160).contains(&count)), "{workers} workers: {counts:?}");
    }
}

#[test]
fn what_an_ended_session_did_not_acknowledge_goes_to_members_on_any_worker() {
    for workers in [1, 2, 3, 5] {
        for (other, online) in [("a", true), ("b", false), ("c", true), ("d", false)] {
            let mut broker = Broker::new(workers, Settings::default());
            let ends = member(&mut broker, "ends", true);
            let from = publisher(&mut broker, "publisher");
            for n in 1..=3 {
                publish(&mut broker, from, n);
            }
            assert_eq!(broker.read(ends).len(), 3, "sent, not acknowledged");
            broker.hang_up(ends);
            for n in 4..=6 {
                publish(&mut broker, from, n);
            }
            let mut there = member(&mut broker, other, true);
            let mut got = take(&mut broker, there);
            if online {
                // Its session expires.
                broker.pass_ms(3_700_000);
            } else {
                broker.hang_up(there);
                broker.connect(&connect(Version::V5, "ends", true));
                there = broker.connect(&connect(Version::V5, other, false)).0;
            }
            got.extend(take(&mut broker, there));
            got.sort_unstable();
            assert_eq!(got, (1..=6).collect::<Vec<_>>(), "{workers} workers, {other}");
            assert!(!holds_messages(&broker));
            let (_, present) = broker.connect(&connect(Version::V5, "ends", false));
            assert!(!present);
        }
    }
}

#[test]
fn a_crash_while_an_ended_session_is_passed_on_loses_nothing() {
    for workers in [1, 2, 3, 5] {
        for other in ["a", "b", "c", "d"] {
            let mut broker = Broker::new(workers, Settings::default());
            let ends = member(&mut broker, "ends", true);
            let from = publisher(&mut broker, "publisher");
            for n in 1..=5 {
                publish(&mut broker, from, n);
            }
            broker.hang_up(ends);
            let there = member(&mut broker, other, true);
            let mut got = take(&mut broker, there);
            // A fresh start under the same name ends it; what it leaves is not yet stored anywhere else.
            broker.hold();
            broker.sync_at_once = false;
            let fresh = broker.begin_connect(&connect(Version::V5, "ends", true));
            broker.release();
            broker.sync_all_but(there);
            broker.sync_all_but(there);
            drop(broker.read(fresh));
            broker.crash();
            broker.sync_at_once = true;
            broker.pass_ms(5_000);
            for name in [other, "ends"] {
                let (client, _) = broker.connect(&connect(Version::V5, name, false));
                got.extend(take(&mut broker, client));
            }
            got.sort_unstable();
            got.dedup();
            assert_eq!(got, (1..=5).collect::<Vec<_>>(), "{workers} workers, {other}");
        }
    }
}
