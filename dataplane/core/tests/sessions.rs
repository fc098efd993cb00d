//! Sessions, takeovers, wills, retained messages and groups.

mod broker;

use broker::{Broker, connect};
use sluice_dataplane_core::{OUTBOUND_WINDOW_MAX, Settings, stats::Dropped};
use sluice_mqtt::{Ack, Connect, ConnectProperties, QoS, ReasonCode, Version, Will, WillProperties, encode};

fn with_will<'a>(connect: Connect<'a>, topic: &'a str, delay: u32) -> Connect<'a> {
    let properties = WillProperties { delay: (delay > 0).then_some(delay), ..WillProperties::default() };
    let will = Will { qos: QoS::AtLeastOnce, retain: false, topic, payload: b"gone", properties };
    Connect { will: Some(will), ..connect }
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let mut broker = Broker::new(3, Settings::default());
    let (old, _) = broker.connect(&connect(Version::V5, "c", false));
    broker.subscribe(old, "t", QoS::AtLeastOnce);
    let (new, present) = broker.connect(&connect(Version::V5, "c", false));
    assert!(present);
    assert_eq!(broker.read(old), ["disconnect session_taken_over"]);
    assert!(!broker.is_open(old));
    broker.publish(new, "t", QoS::AtLeastOnce, 1, b"x");
    assert_eq!(broker.read(new), ["puback #1 success", "publish t x q1 #1"]);
}

#[test]
fn a_clean_start_ends_the_old_session() {
    let mut broker = Broker::new(1, Settings::default());
    let (client, _) = broker.connect(&connect(Version::V5, "c", false));
    broker.subscribe(client, "t", QoS::AtLeastOnce);
    broker.hang_up(client);
    let (client, present) = broker.connect(&connect(Version::V5, "c", true));
    assert!(!present);
    broker.publish(client, "t", QoS::AtLeastOnce, 1, b"x");
    assert_eq!(broker.read(client), ["puback #1 no_matching_subscribers"]);
    broker.hang_up(client);
    assert!(!broker.stored_keys().any(|k| !matches!(k, sluice_dataplane_core::Key::Shard(_))));
}

#[test]
fn a_session_expires_also_across_a_crash() {
    for crash in [false, true] {
        let mut broker = Broker::new(1, Settings::default());
        let (client, _) = broker.connect(&connect(Version::V5, "c", false));
        broker.hang_up(client);
        broker.pass_ms(1_800_000);
        if crash {
            broker.crash();
        }
        broker.pass_ms(1_900_000);
        let (_, present) = broker.connect(&connect(Version::V5, "c", false));
        assert!(!present);
        assert_eq!(broker.stats().sessions_expired, 1);
    }
}

#[test]
fn a_will_is_published_once_when_the_connection_is_lost() {
    for workers in [1, 4] {
        for persistent in [false, true] {
            let mut broker = Broker::new(workers, Settings::default());
            let (watcher, _) = broker.connect(&connect(Version::V5, "w", false));
            broker.subscribe(watcher, "will", QoS::AtLeastOnce);
            let (client, _) = broker.connect(&with_will(connect(Version::V5, "c", !persistent), "will", 0));
            broker.hang_up(client);
            assert_eq!(broker.read(watcher), ["publish will gone q1 #1"]);
            broker.crash();
            broker.pass_ms(10_000);
            let (watcher, _) = broker.connect(&connect(Version::V5, "w", false));
            assert_eq!(broker.read(watcher), ["publish will gone q1 #1 dup"], "workers {workers} {persistent}");
        }
    }
}

#[test]
fn a_will_is_published_when_the_broker_dies_with_the_connection() {
    for workers in [1, 3] {
        for persistent in [false, true] {
            let mut broker = Broker::new(workers, Settings::default());
            let (watcher, _) = broker.connect(&connect(Version::V5, "w", false));
            broker.subscribe(watcher, "will", QoS::AtLeastOnce);
            broker.connect(&with_will(connect(Version::V5, "c", !persistent), "will", 0));
            broker.crash();
            broker.pass_ms(10_000);
            broker.crash();
            broker.pass_ms(10_000);
            let (watcher, _) = broker.connect(&connect(Version::V5, "w", false));
            assert_eq!(broker.read(watcher), ["publish will gone q1 #1"], "workers {workers} {persistent}");
        }
    }
}

/// A crash comes while a will is on its way to another worker, so that it is published once more after the start. Who
/// has it already must know it again, though nobody elsewhere wants it any more, or only its register was to have it.
#[test]
fn a_will_that_was_on_its_way_when_the_broker_died_comes_once_to_who_had_it() {
    for retain in [false, true] {
        let mut on_its_way = 0;
        for n in 0..12 {
            let mut broker = Broker::new(3, Settings::default());
            let (watcher, _) = broker.connect(&connect(Version::V5, &format!("w-{n}"), false));
            broker.subscribe(watcher, "will", QoS::ExactlyOnce);
            if !retain {
                let (other, _) = broker.connect(&connect(Version::V5, "other", false));
                broker.subscribe(other, "will", QoS::ExactlyOnce);
            }
            let name = format!("c-{n}");
            let mut mortal = with_will(connect(Version::V5, &name, false), "will", 0);
            mortal.will.iter_mut().for_each(|will| (will.qos, will.retain) = (QoS::ExactlyOnce, retain));
            let (client, _) = broker.connect(&mortal);
            broker.hold();
            broker.hang_up(client);
            on_its_way += usize::from(broker.share_a_worker(watcher, client) && broker.read(watcher).len() == 1);
            broker.crash();
            broker.connect(&connect(Version::V5, "other", true));
            broker.pass_ms(10_000);
            let (watcher, _) = broker.connect(&connect(Version::V5, &format!("w-{n}"), false));
            let got = broker.read(watcher);
            assert_eq!(got.len(), 1, "{n}: {got:?}");
        }
        assert!(on_its_way > 0, "no watcher was on the worker of the will");
    }
}

#[test]
fn a_delayed_will_is_not_published_when_the_client_comes_back_in_time() {
    let mut broker = Broker::new(1, Settings::default());
    let (watcher, _) = broker.connect(&connect(Version::V5, "w", true));
    broker.subscribe(watcher, "will", QoS::AtLeastOnce);
    let (client, _) = broker.connect(&with_will(connect(Version::V5, "c", false), "will", 60));
    broker.hang_up(client);
    broker.pass_ms(50_000);
    let (client, _) = broker.connect(&with_will(connect(Version::V5, "c", false), "will", 60));
    broker.pass_ms(50_000);
    assert_eq!(broker.read(watcher), [] as [&str; 0]);
    broker.hang_up(client);
    broker.pass_ms(61_000);
    assert_eq!(broker.read(watcher), ["publish will gone q1 #1"]);
}

#[test]
fn goodbye_takes_the_will_away() {
    let mut broker = Broker::new(1, Settings::default());
    let (watcher, _) = broker.connect(&connect(Version::V5, "w", true));
    broker.subscribe(watcher, "will", QoS::AtLeastOnce);
    let (client, _) = broker.connect(&with_will(connect(Version::V5, "c", false), "will", 0));
    broker.send(client, &[0xE0, 0]);
    broker.crash();
    broker.pass_ms(5_000_000);
    assert_eq!(broker.read(watcher), [] as [&str; 0]);
}

#[test]
fn retained_messages_reach_new_subscribers_of_every_worker_and_survive_a_crash() {
    for workers in [1, 4] {
        let mut broker = Broker::new(workers, Settings::default());
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
        for n in 0..2_000u16 {
            let topic = format!("r/{n}");
            broker.publish_with(publisher, &topic, QoS::AtLeastOnce, n % 50 + 1, b"old", true, false);
            broker.publish_with(publisher, &topic, QoS::AtLeastOnce, n % 50 + 1, b"new", true, false);
        }
        broker.publish_with(publisher, "r/7", QoS::AtMostOnce, 0, b"", true, false);
        for _ in 0..2 {
            let (subscriber, _) = broker.connect(&connect(Version::V5, "s", true));
            broker.subscribe(subscriber, "r/+", QoS::AtMostOnce);
            let mut got = broker.read(subscriber);
            assert_eq!(got.len(), 1_999, "{workers} workers");
            assert!(got.iter().all(|p| p.ends_with("new q0 retain")));
            got.sort();
            got.dedup();
            assert_eq!(got.len(), 1_999);
            broker.subscribe(subscriber, "r/8", QoS::AtMostOnce);
            assert_eq!(broker.read(subscriber), ["publish r/8 new q0 retain"]);
            broker.crash();
        }
    }
}

#[test]
fn each_message_of_a_group_goes_to_one_member() {
    for workers in [1, 2, 4] {
        let mut broker = Broker::new(workers, Settings::default());
        let members: Vec<_> = (0..4)
            .map(|n| {
                let (client, _) = broker.connect(&connect(Version::V5, &format!("m{n}"), true));
                broker.subscribe(client, "$share/g/t", QoS::AtLeastOnce);
                client
            })
            .collect();
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
        for n in 1..=40u16 {
            broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
        }
        assert_eq!(broker.read(publisher).len(), 40);
        let got: Vec<usize> = members.iter().map(|&m| broker.read(m).len()).collect();
        assert_eq!(got.iter().sum::<usize>(), 40, "{workers} workers: {got:?}");
        assert!(got.iter().all(|&n| n >= 2), "{workers} workers: {got:?}");
    }
}

#[test]
fn what_a_lost_member_had_not_acknowledged_goes_to_another() {
    let mut broker = Broker::new(1, Settings::default());
    let (one, _) = broker.connect(&connect(Version::V5, "m1", true));
    broker.subscribe(one, "$share/g/t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    for n in 1..=10u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
    }
    let (two, _) = broker.connect(&connect(Version::V5, "m2", true));
    broker.subscribe(two, "$share/g/t", QoS::AtLeastOnce);
    broker.hang_up(one);
    let want: Vec<String> = (1..=10).map(|n| format!("publish t {n} q1 #{n}")).collect();
    assert_eq!(broker.read(two), want);
}

#[test]
fn a_full_inbox_ends_the_session_visibly() {
    let settings = Settings { inbox_messages_max: 5, ..Settings::default() };
    let mut broker = Broker::new(1, settings);
    let (client, _) = broker.connect(&connect(Version::V5, "c", false));
    broker.subscribe(client, "t", QoS::AtLeastOnce);
    broker.hang_up(client);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    for n in 1..=8u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, b"x");
    }
    let (_, present) = broker.connect(&connect(Version::V5, "c", false));
    assert!(!present);
}

#[test]
fn a_slow_reader_costs_a_bounded_outbox() {
    let mut broker = Broker::new(1, Settings::default());
    let (slow, _) = broker.connect(&connect(Version::V311, "slow", true));
    broker.subscribe(slow, "t", QoS::AtMostOnce);
    let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
    broker.block(slow, true);
    for _ in 0..1_000 {
        broker.publish(publisher, "t", QoS::AtMostOnce, 0, &[0; 1_000]);
    }
    broker.block(slow, false);
    let got = broker.read(slow).len();
    assert!((10..200).contains(&got), "{got}");
    let dropped: u64 = broker.stats().dropped.iter().sum();
    assert_eq!(dropped as usize + got, 1_000);
}

#[test]
fn a_silent_client_is_disconnected_after_one_and_a_half_keep_alives() {
    let mut broker = Broker::new(1, Settings::default());
    let (client, _) = broker.connect(&Connect { keep_alive: 10, ..connect(Version::V5, "c", true) });
    broker.pass_ms(14_900);
    assert!(broker.is_open(client));
    broker.send(client, &[0xC0, 0]);
    broker.pass_ms(14_900);
    assert!(broker.is_open(client));
    broker.pass_ms(200);
    assert!(!broker.is_open(client));
    assert_eq!(broker.read(client), ["pingresp", "disconnect keep_alive_timeout"]);
}

#[test]
fn what_waits_for_an_absent_member_goes_to_one_that_comes() {
    for crash in [false, true] {
        let mut broker = Broker::new(1, Settings::default());
        let (away, _) = broker.connect(&connect(Version::V5, "away", false));
        broker.subscribe(away, "$share/g/t", QoS::AtLeastOnce);
        broker.subscribe(away, "other", QoS::AtLeastOnce);
        broker.hang_up(away);
        let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
        for n in 1..=5u16 {
            broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
        }
        broker.publish(publisher, "other", QoS::AtLeastOnce, 9, b"mine");
        assert_eq!(broker.read(publisher).len(), 6);
        if crash {
            broker.crash();
        }
        let (here, _) = broker.connect(&connect(Version::V5, "here", true));
        broker.subscribe(here, "$share/g/t", QoS::AtLeastOnce);
        let want: Vec<String> = (1..=5).map(|n| format!("publish t {n} q1 #{n}")).collect();
        assert_eq!(broker.read(here), want);
        let (away, _) = broker.connect(&connect(Version::V5, "away", false));
        assert_eq!(broker.read(away), ["publish other mine q1 #6"]);
    }
}

#[test]
fn expired_messages_leave_the_queue_of_an_absent_session_and_the_disk() {
    let mut broker = Broker::new(1, Settings::default());
    let (away, _) = broker.connect(&connect(Version::V5, "away", false));
    broker.subscribe(away, "t", QoS::AtLeastOnce);
    broker.hang_up(away);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    // PUBLISH QoS 1, topic "t", packet id 1, Message Expiry Interval 2 s, payload "x".
    broker.send(publisher, &[0x32, 12, 0, 1, b't', 0, 1, 5, 2, 0, 0, 0, 2, b'x']);
    broker.publish(publisher, "t", QoS::AtLeastOnce, 2, b"stays");
    assert_eq!(broker.stats().queued_messages, 2);
    broker.pass_ms(6_000);
    assert_eq!(broker.stats().queued_messages, 1);
    let (away, _) = broker.connect(&connect(Version::V5, "away", false));
    assert_eq!(broker.read(away), ["publish t stays q1 #2"]);
}

#[test]
fn a_publisher_that_fills_a_connected_subscriber_is_slowed_down() {
    let settings = Settings { inbox_messages_max: 100, ..Settings::default() };
    let mut broker = Broker::new(1, settings);
    let (slow, _) = broker.connect(&connect(Version::V5, "slow", true));
    broker.subscribe(slow, "t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
    for n in 1..=1_000u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, b"x");
    }
    let taken = broker.read(publisher).len();
    assert!((200..220).contains(&taken), "{taken}");
    assert!(broker.is_open(slow));
    broker.pass_ms(200);
    assert!(broker.read(publisher).len() <= 11);
}

#[test]
fn what_waits_behind_a_member_that_acknowledges_nothing_goes_to_others() {
    let settings = Settings { outbound_window_max: 4, shared_stall_ms: 5_000, ..Settings::default() };
    let mut broker = Broker::new(1, settings);
    let (stuck, _) = broker.connect(&connect(Version::V5, "stuck", true));
    broker.subscribe(stuck, "$share/g/t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    for n in 1..=10u16 {
        broker.publish(publisher, "t", QoS::AtLeastOnce, n, n.to_string().as_bytes());
    }
    assert_eq!(broker.read(stuck).len(), 4);
    let (other, _) = broker.connect(&connect(Version::V5, "other", true));
    broker.subscribe(other, "$share/g/t", QoS::AtLeastOnce);
    broker.pass_ms(20_000);
    let mut got = broker.read(other);
    for n in 1..=4u16 {
        broker.packet(other, |out, v| {
            sluice_mqtt::encode::puback(out, v, &sluice_mqtt::Ack::new(n, sluice_mqtt::ReasonCode::Success));
        });
        got.extend(broker.read(other));
    }
    let want: Vec<String> = (5..=10).map(|n| format!("publish t {n} q1 #{}", n - 4)).collect();
    assert_eq!(got, want);
}

/// A session that is resumed with expiry 0 ends with its connection, and so does the delay of its will.
#[test]
fn a_delayed_will_of_a_session_that_ends_in_a_takeover_is_published() {
    for workers in [1, 3] {
        for was_persistent in [true, false] {
            let mut broker = Broker::new(workers, Settings::default());
            let (watcher, _) = broker.connect(&connect(Version::V5, "w", true));
            broker.subscribe(watcher, "will", QoS::AtLeastOnce);
            if was_persistent {
                let (client, _) = broker.connect(&connect(Version::V5, "c", false));
                broker.hang_up(client);
            }
            let transient = Connect { clean_start: false, ..connect(Version::V5, "c", true) };
            let (_, present) = broker.connect(&with_will(transient, "will", 5));
            assert_eq!(present, was_persistent);
            broker.connect(&transient);
            broker.pass_ms(6_000);
            assert_eq!(broker.read(watcher), ["publish will gone q1 #1"], "persistent before: {was_persistent}");
        }
    }
}

#[test]
fn a_wall_clock_that_jumps_ends_no_session() {
    for jump_while_attached in [false, true] {
        let mut broker = Broker::new(1, Settings::default());
        let half_an_hour =
            ConnectProperties { session_expiry: Some(1_800), ..connect(Version::V5, "c", false).properties };
        let connect = Connect { properties: half_an_hour, ..connect(Version::V5, "c", false) };
        let (client, _) = broker.connect(&connect);
        if !jump_while_attached {
            broker.hang_up(client);
        }
        broker.now.wall_ms += 3_600_000;
        if jump_while_attached {
            broker.hang_up(client);
        }
        broker.pass_ms(1_700_000);
        let (client, present) = broker.connect(&connect);
        assert!(present, "the session ended early");
        broker.hang_up(client);
        broker.now.wall_ms -= 7_200_000;
        broker.pass_ms(1_801_000);
        let (_, present) = broker.connect(&connect);
        assert!(!present, "a clock that is set back keeps no session");
    }
}

#[test]
fn version_3_clients_are_held_to_the_longest_keep_alive() {
    for keep_alive in [0, 11, 65_535] {
        let mut broker = Broker::new(1, Settings { keep_alive_max_s: 10, ..Settings::default() });
        let (client, _) = broker.connect(&Connect { keep_alive, ..connect(Version::V311, "c", true) });
        broker.pass_ms(14_000);
        assert!(broker.is_open(client), "keep alive {keep_alive}");
        broker.pass_ms(1_500);
        assert!(!broker.is_open(client), "keep alive {keep_alive}");
    }
}

/// A session is sent more messages than there are packet ids, acknowledges none of them, and at last all.
fn longer_than_packet_ids(is_online: bool) {
    const MESSAGES: usize = 70_000;
    let settings = Settings {
        inbox_messages_max: 100_000_000,
        inbox_bytes_max: 1 << 40,
        outbound_window_max: OUTBOUND_WINDOW_MAX,
        ..Settings::default()
    };
    let mut broker = Broker::new(1, settings);
    let (client, _) = broker.connect(&connect(Version::V5, "c", false));
    broker.subscribe(client, "t", QoS::AtLeastOnce);
    if !is_online {
        broker.hang_up(client);
    }
    let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
    for _ in 0..MESSAGES / 1_000 {
        broker.publish_together(publisher, "t", QoS::AtLeastOnce, &vec![b"x".to_vec(); 1_000]);
    }
    assert_eq!(broker.read(publisher).len(), MESSAGES);
    broker.hang_up(client);
    for life in 0..2 {
        let (client, present) = broker.connect(&connect(Version::V5, "c", false));
        assert!(present);
        let sent = broker.read(client).len();
        assert!((1..=usize::from(OUTBOUND_WINDOW_MAX)).contains(&sent), "{sent} at one time in life {life}");
        broker.crash();
    }
    let (client, _) = broker.connect(&connect(Version::V5, "c", false));
    let mut received = 0;
    loop {
        let packets = broker.read(client);
        if packets.is_empty() {
            break;
        }
        received += packets.len();
        broker.packet(client, |out, version| {
            for words in packets {
                let packet_id = words.split(" #").nth(1).and_then(|rest| rest.split(' ').next());
                let packet_id = packet_id.and_then(|id| id.parse().ok()).unwrap_or(0);
                encode::puback(out, version, &Ack::new(packet_id, ReasonCode::Success));
            }
        });
    }
    assert_eq!(received, MESSAGES);
}

#[test]
fn a_queue_may_be_longer_than_there_are_packet_ids() {
    [false, true].into_iter().for_each(longer_than_packet_ids);
}

/// How many of a node's clients may hold the others up in one go.
const AT_ONCE: u64 = 1_000;

#[test]
fn sessions_that_expired_while_the_node_was_down_end_some_at_a_time() {
    const SESSIONS: u64 = 10_000;
    let mut broker = Broker::new(1, Settings::default());
    for n in 0..SESSIONS {
        let (client, _) = broker.connect(&connect(Version::V5, &format!("c{n}"), false));
        broker.hang_up(client);
    }
    broker.now.wall_ms += 7_200_000;
    broker.crash();
    broker.pass_ms(60_000);
    assert_eq!(broker.stats().sessions_expired, SESSIONS);
    assert!(broker.most_in_a_tick <= AT_ONCE, "{} ended in one tick", broker.most_in_a_tick);
}

#[test]
fn wills_that_fell_due_while_the_node_was_down_are_published_some_at_a_time_and_once_each() {
    const WILLS: u64 = 10_000;
    for persistent in [false, true] {
        let mut broker = Broker::new(1, Settings::default());
        for n in 0..WILLS {
            let name = format!("c{n}");
            broker.connect(&with_will(connect(Version::V5, &name, !persistent), "will", 0));
        }
        broker.crash();
        broker.pass_ms(60_000);
        let unwanted = broker.stats().dropped[Dropped::NoSubscriber as usize];
        assert_eq!(unwanted, WILLS, "persistent: {persistent}");
        assert!(broker.most_in_a_tick <= AT_ONCE, "{} published in one tick", broker.most_in_a_tick);
    }
}
