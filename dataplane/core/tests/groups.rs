//! Shared groups over several workers: each message to one member (I22), and never to nobody while a member could take
//! it or keep it (I23).

#![allow(clippy::expect_used, reason = "these are tests")]

mod broker;

use std::time::{Duration, Instant};

use broker::{Broker, Client, connect, put_publish};
use sluice_cluster::Sharding;
use sluice_dataplane_core::{Key, Settings, settings::Overflow};
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

/// What one member completed stays completed when the process dies, also when the member it was taken from holds older
/// messages of its own.
#[test]
fn what_another_member_completed_does_not_come_back_after_a_crash() {
    for workers in [1, 2, 3] {
        for other in ["other-1", "other-2", "other-3"] {
            let mut broker = Broker::new(workers, Settings::default());
            let (away, _) = broker.connect(&connect(Version::V5, "away", false));
            broker.subscribe(away, "own", QoS::ExactlyOnce);
            broker.subscribe(away, GROUP, QoS::ExactlyOnce);
            broker.hang_up(away);
            let from = publisher(&mut broker, "publisher");
            // In one turn, and so in one block of the store.
            broker.packet(from, |out, version| {
                for (packet_id, topic) in (1..).zip(["own", "t", "own", "t"]) {
                    let payload = packet_id.to_string();
                    put_publish(out, version, topic, QoS::ExactlyOnce, packet_id, payload.as_bytes(), false, false);
                }
            });
            let (there, _) = broker.connect(&connect(Version::V5, other, false));
            broker.subscribe(there, GROUP, QoS::ExactlyOnce);
            assert_eq!(broker.read(there), ["publish t 2 q2 #1", "publish t 4 q2 #2"]);
            for packet_id in [1, 2] {
                let ack = Ack::new(packet_id, ReasonCode::Success);
                broker.packet(there, |out, v| encode::pubrec(out, v, &ack));
                broker.packet(there, |out, v| encode::pubcomp(out, v, &ack));
            }
            broker.crash();
            let (away, _) = broker.connect(&connect(Version::V5, "away", false));
            let came: Vec<String> = broker.read(away).iter().map(|words| words[..13].to_owned()).collect();
            assert_eq!(came, ["publish own 1", "publish own 3"], "{workers} workers, {other}");
            let (there, _) = broker.connect(&connect(Version::V5, other, false));
            assert_eq!(broker.read(there), [] as [&str; 0]);
        }
    }
}

/// A session holds two messages that were sent and four that were not.
fn room_for_six(overflow: Overflow) -> Settings {
    Settings { inbox_messages_max: 4, outbound_window_max: 2, inbox_overflow: overflow, ..Settings::default() }
}

const OVERFLOWS: [Overflow; 3] = [Overflow::EndSession, Overflow::DropNewest, Overflow::DropOldest];

/// It had all that it can hold before the other came, whose queue takes the rest.
#[test]
fn a_member_whose_queue_is_full_takes_nothing_from_one_that_has_room() {
    for overflow in OVERFLOWS {
        let mut broker = Broker::new(1, room_for_six(overflow));
        let full = member(&mut broker, "full", true);
        let from = publisher(&mut broker, "publisher");
        let publish_some = |broker: &mut Broker, numbers: std::ops::RangeInclusive<u16>| {
            for n in numbers {
                publish(broker, from, n);
                broker.pass_ms(200);
            }
        };
        publish_some(&mut broker, 1..=6);
        let other = member(&mut broker, "other", true);
        publish_some(&mut broker, 7..=12);
        let mut got = take(&mut broker, full);
        got.extend(take(&mut broker, other));
        got.sort_unstable();
        got.dedup();
        assert_eq!(got, (1..=12).collect::<Vec<_>>(), "{overflow:?}");
    }
}

/// The one that is connected comes first, but not with what its queue cannot hold.
#[test]
fn a_member_whose_queue_is_full_takes_nothing_from_one_that_is_away_and_has_room() {
    for overflow in OVERFLOWS {
        let mut broker = Broker::new(1, room_for_six(overflow));
        let full = member(&mut broker, "full", true);
        let away = member(&mut broker, "away", true);
        broker.hang_up(away);
        let from = publisher(&mut broker, "publisher");
        for n in 1..=9 {
            publish(&mut broker, from, n);
            broker.pass_ms(200);
        }
        let (back, _) = broker.connect(&connect(Version::V5, "away", false));
        let mut got = take(&mut broker, full);
        got.extend(take(&mut broker, back));
        got.sort_unstable();
        got.dedup();
        assert_eq!(got, (1..=9).collect::<Vec<_>>(), "{overflow:?}");
    }
}

/// One member acknowledges all it gets, the other nothing until its queue has been full for a while.
fn one_member_is_full(workers: u16, working: &str, overflow: Overflow) {
    let mut broker = Broker::new(workers, room_for_six(overflow));
    let full = member(&mut broker, "full", true);
    let other = member(&mut broker, working, true);
    let from = publisher(&mut broker, "publisher");
    let mut got = Vec::new();
    for n in 1..=40 {
        publish(&mut broker, from, n);
        broker.pass_ms(200);
        got.extend(take(&mut broker, other));
    }
    got.extend(take(&mut broker, full));
    got.extend(take(&mut broker, other));
    got.sort_unstable();
    got.dedup();
    assert_eq!(got, (1..=40).collect::<Vec<_>>(), "{workers} workers, {working}, {overflow:?}");
}

#[test]
fn a_member_whose_queue_is_full_takes_nothing_from_one_that_has_room_on_another_worker() {
    for workers in [2, 3] {
        for working in ["w-1", "w-2", "w-3"] {
            OVERFLOWS.into_iter().for_each(|overflow| one_member_is_full(workers, working, overflow));
        }
    }
}

/// How long `rounds` members take to come into a group of `members` others, be sent a message, and go.
fn coming_and_going(members: usize, rounds: usize) -> Duration {
    let mut broker = Broker::new(1, Settings { takeovers_per_minute_max: 0, ..Settings::default() });
    for n in 0..members {
        let name = format!("m{n}");
        let away = member(&mut broker, &name, n % 2 == 0);
        if n % 4 == 0 {
            broker.hang_up(away);
        }
    }
    let from = publisher(&mut broker, "publisher");
    let one_comes_and_goes = |broker: &mut Broker, n: usize| {
        let client = member(broker, "coming", n.is_multiple_of(2));
        publish(broker, from, 1);
        broker.hang_up(client);
    };
    one_comes_and_goes(&mut broker, 0);
    let start = Instant::now();
    (0..rounds).for_each(|n| one_comes_and_goes(&mut broker, n));
    start.elapsed()
}

/// A cost that grew with the group would be twenty times as high in the second.
#[test]
fn coming_and_going_costs_no_more_in_a_group_of_many() {
    let few = coming_and_going(1_000, 300).max(Duration::from_millis(1));
    let many = coming_and_going(20_000, 300);
    assert!(many < few * 6, "{few:?} among 1,000 members, {many:?} among 20,000");
}

#[test]
fn a_shard_that_has_a_message_for_a_session_takes_it_for_a_group_too() {
    for workers in [1, 2] {
        let mut broker = Broker::new(workers, Settings::default());
        let sharding = Sharding::new(64, workers);
        let names: Vec<String> = (0..2_000).map(|n| format!("c{n}")).collect();
        let shard = sharding.of_client(&names[0]);
        let mut together = names.iter().filter(|name| sharding.of_client(name) == shard);
        let (plain, shared) = (together.next().expect("a name"), together.next().expect("another one"));
        let elsewhere =
            |name: &&String| workers == 1 || sharding.worker_of(sharding.of_client(name)) != sharding.worker_of(shard);
        let publisher = names.iter().skip(1).find(|name| elsewhere(name) && *name != shared).expect("a third one");
        let (direct, _) = broker.connect(&connect(Version::V5, plain, false));
        broker.subscribe(direct, "t", QoS::ExactlyOnce);
        let (member, _) = broker.connect(&connect(Version::V5, shared, false));
        broker.subscribe(member, GROUP, QoS::ExactlyOnce);
        let (publisher, _) = broker.connect(&connect(Version::V5, publisher, false));
        broker.publish(publisher, "t", QoS::ExactlyOnce, 9, b"m");
        let got = [direct, member].map(|client| broker.read(client));
        assert!(got.iter().all(|words| words.len() == 1), "{workers} workers: {got:?}");
    }
}
