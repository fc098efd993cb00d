//! Several nodes: what clients of different nodes see of each other.

#![allow(clippy::expect_used, reason = "these are tests")]

mod broker;
mod cluster;

use cluster::{Cluster, payload_set, payloads};
use sluice_cluster::{Home, Keyspace, KeyspaceId, Label, Policies, Policy, RemoteSubscribers};
use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};
use sluice_topic::{Limits, TopicFilter};

#[test]
fn a_message_reaches_subscribers_of_other_nodes_at_every_qos() {
    for workers in [1, 3] {
        let mut cluster = Cluster::new(3, workers);
        let (publisher, _) = cluster.connect(0, "publisher", true);
        let (near, _) = cluster.connect(0, "near", true);
        let (far, _) = cluster.connect(1, "far", true);
        let (other, _) = cluster.connect(2, "other", true);
        cluster.subscribe(near, "a/+", QoS::ExactlyOnce);
        cluster.subscribe(far, "a/#", QoS::ExactlyOnce);
        cluster.subscribe(other, "b", QoS::ExactlyOnce);
        cluster.publish(publisher, "a/1", QoS::AtMostOnce, 0, "zero");
        cluster.publish(publisher, "a/1", QoS::AtLeastOnce, 1, "one");
        cluster.publish(publisher, "a/1", QoS::ExactlyOnce, 2, "two");
        assert_eq!(payloads(&cluster.read(near)), ["zero", "one", "two"], "{workers} workers");
        assert_eq!(payloads(&cluster.read(far)), ["zero", "one", "two"], "{workers} workers");
        assert_eq!(cluster.read(other), [""; 0]);
        assert_eq!(cluster.read(publisher), ["puback #1 success", "pubrec #2 success"]);
    }
}

#[test]
fn a_subscription_is_acknowledged_when_every_node_routes_to_it() {
    let mut cluster = Cluster::new(3, 2);
    let (subscriber, _) = cluster.connect(1, "subscriber", true);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    cluster.broker(0).hold();
    cluster.begin_subscribe(subscriber, "t", QoS::AtMostOnce);
    assert!(cluster.take_suback(subscriber), "frames between the workers of a node are not those of its gate");
    cluster.broker(0).release();
    cluster.cut(0, 1);
    cluster.begin_subscribe(subscriber, "u", QoS::AtLeastOnce);
    assert!(!cluster.take_suback(subscriber), "node 0 has not heard");
    cluster.mend(0, 1);
    assert!(cluster.take_suback(subscriber));
    cluster.publish(publisher, "u", QoS::AtLeastOnce, 1, "m");
    assert_eq!(payloads(&cluster.read(subscriber)), ["m"]);
}

#[test]
fn a_subscription_does_not_wait_for_ever_for_a_node_that_does_not_answer() {
    let mut cluster = Cluster::new(2, 1);
    let (subscriber, _) = cluster.connect(1, "subscriber", true);
    cluster.cut(0, 1);
    cluster.begin_subscribe(subscriber, "u", QoS::AtLeastOnce);
    cluster.pass_ms(4_900);
    assert!(!cluster.take_suback(subscriber));
    cluster.pass_ms(200);
    assert!(cluster.take_suback(subscriber));
    assert_eq!(cluster.gate(1).stats().barriers_missed, 1);
}

#[test]
fn what_was_published_while_a_link_was_down_arrives_once_and_in_order() {
    let mut cluster = Cluster::new(2, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (subscriber, _) = cluster.connect(1, "subscriber", true);
    cluster.subscribe(subscriber, "t", QoS::AtLeastOnce);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "1");
    cluster.cut(0, 1);
    for packet_id in 2..6u16 {
        cluster.publish(publisher, "t", QoS::AtLeastOnce, packet_id, &packet_id.to_string());
    }
    assert_eq!(cluster.read(publisher), ["puback #1 success"], "nobody has taken the others over");
    cluster.mend(0, 1);
    assert_eq!(payloads(&cluster.read(subscriber)), ["1", "2", "3", "4", "5"]);
    assert_eq!(cluster.read(publisher).len(), 4);
}

#[test]
fn a_retained_message_is_seen_by_every_later_subscription_wherever_it_is() {
    let mut cluster = Cluster::new(3, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let topics: Vec<String> = (0..3).map(|node| cluster.topic_at_home(node, 0)).collect();
    for (packet_id, topic) in (1..).zip(&topics) {
        cluster.retain(publisher, topic, packet_id, &format!("on-{topic}"));
    }
    assert_eq!(cluster.read(publisher).len(), 3);
    let expected = topics.iter().map(|topic| format!("on-{topic}")).collect();
    for node in 0..3 {
        let (all, _) = cluster.connect(node, &format!("all{node}"), true);
        cluster.subscribe(all, "t/#", QoS::AtLeastOnce);
        assert_eq!(payload_set(&cluster.read(all)), expected, "node {node}");
        let (one, _) = cluster.connect(node, &format!("one{node}"), true);
        for topic in &topics {
            cluster.subscribe(one, topic, QoS::AtMostOnce);
            assert_eq!(payloads(&cluster.read(one)), [format!("on-{topic}")], "node {node}");
        }
    }
}

#[test]
fn each_message_of_a_group_goes_to_one_member_wherever_the_members_are() {
    let mut cluster = Cluster::new(3, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let members: Vec<_> = (0..3)
        .map(|node| {
            let (member, _) = cluster.connect(node, &format!("member{node}"), true);
            cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
            member
        })
        .collect();
    for packet_id in 1..=30u16 {
        cluster.publish(publisher, "t", QoS::AtLeastOnce, packet_id, &packet_id.to_string());
    }
    assert_eq!(cluster.read(publisher).iter().filter(|words| words.ends_with("success")).count(), 30);
    let taken: Vec<Vec<String>> = members.iter().map(|&member| payloads(&cluster.read(member))).collect();
    assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 30, "{taken:?}");
    assert!(taken.iter().all(|payloads| payloads.len() == 10), "they take turns: {taken:?}");
    cluster.hang_up(members[1]);
    cluster.hang_up(members[2]);
    for packet_id in 31..=34u16 {
        cluster.publish(publisher, "t", QoS::AtLeastOnce, packet_id, &packet_id.to_string());
    }
    // What the others had not acknowledged comes first.
    let taken = payloads(&cluster.read(members[0]));
    assert_eq!(taken.len(), 24, "{taken:?}");
    assert_eq!(taken[20..], ["31", "32", "33", "34"]);
}

#[test]
fn a_group_without_members_near_the_publisher_is_served_elsewhere() {
    let mut cluster = Cluster::new(2, 1);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (member, _) = cluster.connect(1, "member", true);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    assert_eq!(payloads(&cluster.read(member)), ["m"]);
    assert_eq!(cluster.read(publisher), ["puback #1 success"]);
}

#[test]
fn a_client_id_is_one_connection_in_the_whole_cluster() {
    let mut cluster = Cluster::new(3, 2);
    for home in 0..3 {
        let name = cluster.client_at_home(home, 0);
        let (first, _) = cluster.connect(0, &name, true);
        let (second, _) = cluster.connect(1, &name, true);
        assert!(!cluster.is_open(first), "home {home}");
        assert_eq!(cluster.read(first), ["disconnect session_taken_over"]);
        let (third, _) = cluster.connect(2, &name, true);
        assert!(!cluster.is_open(second), "home {home}");
        let (fourth, _) = cluster.connect(2, &name, true);
        assert!(!cluster.is_open(third) && cluster.is_open(fourth));
        cluster.hang_up(fourth);
        let (fifth, _) = cluster.connect(0, &name, true);
        assert!(cluster.is_open(fifth), "home {home}");
    }
}

#[test]
fn a_claim_that_could_not_be_made_in_its_time_gives_way_to_a_session_that_was_made_meanwhile() {
    let mut cluster = Cluster::new(2, 2);
    let name = cluster.client_at_home(1, 0);
    cluster.cut(0, 1);
    let (early, _) = cluster.connect(0, &name, true);
    let (stored, _) = cluster.connect(1, &name, false);
    cluster.hang_up(stored);
    assert!(cluster.is_open(early), "nobody can tell it");
    cluster.mend(0, 1);
    assert!(!cluster.is_open(early));
    let (_, present) = cluster.connect(0, &name, false);
    assert!(present, "what was promised to it is kept");
}

#[test]
fn a_client_that_connects_to_two_nodes_at_once_has_one_connection_whatever_its_home_says_first() {
    let mut cluster = Cluster::new(3, 1);
    let name = cluster.client_at_home(2, 0);
    let (stored, _) = cluster.connect(0, &name, false);
    cluster.hang_up(stored);
    // The first claim ends the stored session and is answered when that is on disk. The second one comes before.
    cluster.broker(2).sync_at_once = false;
    let first = cluster.begin_connect(0, &broker::connect(Version::V5, &name, true));
    let second = cluster.begin_connect(1, &broker::connect(Version::V5, &name, true));
    cluster.broker(2).sync_at_once = true;
    cluster.broker(2).sync();
    cluster.settle();
    assert!(cluster.is_open(second) && cluster.take_connack(second).is_some());
    assert!(!cluster.is_open(first));
}

#[test]
fn a_connection_is_not_left_without_a_claim_when_a_later_one_of_its_client_is_given_up() {
    let mut cluster = Cluster::new(3, 1);
    let name = cluster.client_at_home(2, 0);
    let (stored, _) = cluster.connect(0, &name, false);
    cluster.hang_up(stored);
    cluster.broker(2).sync_at_once = false;
    let first = cluster.begin_connect(0, &broker::connect(Version::V5, &name, true));
    let second = cluster.begin_connect(0, &broker::connect(Version::V5, &name, true));
    cluster.hang_up(second);
    cluster.broker(2).sync_at_once = true;
    cluster.broker(2).sync();
    cluster.settle();
    let (third, _) = cluster.connect(1, &name, true);
    assert!(cluster.is_open(third) && !cluster.is_open(first));
}

#[test]
fn a_client_id_is_one_connection_also_where_a_node_learns_later_that_it_is_its_home() {
    let mut cluster = Cluster::new(2, 2);
    let name = cluster.client_at_home(1, 0);
    let (early, _) = cluster.connect(0, &name, true);
    // It has lost what it knew, and is told of the claim before it is told that it is the home.
    cluster.crash_without_placement(1);
    cluster.mend_all(1);
    let (late, _) = cluster.connect(1, &name, true);
    assert!(cluster.is_open(early), "nobody can tell it");
    cluster.place(1);
    assert!(!cluster.is_open(early) && cluster.is_open(late));
}

#[test]
fn a_persistent_session_is_found_from_any_node() {
    let mut cluster = Cluster::new(3, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    for home in 0..3 {
        let name = cluster.client_at_home(home, 1);
        let topic = format!("to/{name}");
        let (first, present) = cluster.connect(0, &name, false);
        assert!(!present);
        assert_eq!(cluster.served_at(first), home);
        cluster.subscribe(first, &topic, QoS::AtLeastOnce);
        cluster.hang_up(first);
        cluster.publish(publisher, &topic, QoS::AtLeastOnce, 9, "meanwhile");
        assert_eq!(cluster.read(publisher), ["puback #9 success"]);
        let (second, present) = cluster.connect(2, &name, false);
        assert!(present, "home {home}");
        assert_eq!(payloads(&cluster.read(second)), ["meanwhile"]);
        // A fresh start anywhere ends it.
        let (third, _) = cluster.connect(1, &name, true);
        assert!(!cluster.is_open(second) && cluster.is_open(third));
        cluster.hang_up(third);
        let (_, present) = cluster.connect(0, &name, false);
        assert!(!present, "home {home}");
    }
}

#[test]
fn a_message_for_a_stored_session_is_acknowledged_when_its_home_has_stored_it() {
    let mut cluster = Cluster::new(2, 1);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let name = cluster.client_at_home(1, 0);
    let (subscriber, _) = cluster.connect(1, &name, false);
    cluster.subscribe(subscriber, "t", QoS::AtLeastOnce);
    cluster.broker(1).sync_at_once = false;
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    assert_eq!(cluster.read(publisher), [""; 0], "it is not on disk");
    cluster.broker(1).sync();
    cluster.settle();
    assert_eq!(cluster.read(publisher), ["puback #1 success"]);
    cluster.broker(1).sync_at_once = true;
}

#[test]
fn a_node_that_was_killed_comes_back_with_what_it_had_acknowledged() {
    let mut cluster = Cluster::new(2, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let name = cluster.client_at_home(1, 0);
    let (subscriber, _) = cluster.connect(1, &name, false);
    cluster.subscribe(subscriber, "t", QoS::AtLeastOnce);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "before");
    cluster.crash(1);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 2, "meanwhile");
    assert_eq!(cluster.read(publisher), ["puback #1 success"], "the second is nowhere on disk");
    assert_eq!(cluster.refused_links, 1, "it would say that nobody wants anything");
    cluster.mend_all(1);
    assert_eq!(cluster.read(publisher), ["puback #2 success"]);
    let (subscriber, present) = cluster.connect(0, &name, false);
    assert!(present);
    assert_eq!(payloads(&cluster.read(subscriber)), ["before", "meanwhile"]);
}

#[test]
fn a_message_is_stored_once_at_qos_2_though_its_node_is_killed_before_it_can_say_so() {
    let mut cluster = Cluster::new(2, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let name = cluster.client_at_home(1, 0);
    let (subscriber, _) = cluster.connect(1, &name, false);
    cluster.subscribe(subscriber, "t", QoS::ExactlyOnce);
    cluster.hang_up(subscriber);
    cluster.publish_and_cut(publisher, "t", QoS::ExactlyOnce, 1, "m", 1);
    cluster.crash(1);
    assert_eq!(cluster.read(publisher), [""; 0]);
    cluster.mend_all(1);
    assert_eq!(cluster.read(publisher), ["pubrec #1 success"]);
    let (subscriber, _) = cluster.connect(1, &name, false);
    assert_eq!(payloads(&cluster.read(subscriber)), ["m"]);
}

#[test]
fn what_a_lost_node_would_have_stored_is_refused_and_what_it_would_not_is_forgotten() {
    let mut cluster = Cluster::new(3, 1);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let name = cluster.client_at_home(1, 0);
    let (stored, _) = cluster.connect(1, &name, false);
    cluster.subscribe(stored, "stored", QoS::AtLeastOnce);
    let (transient, _) = cluster.connect(1, "transient", true);
    cluster.subscribe(transient, "transient", QoS::AtLeastOnce);
    cluster.crash(1);
    cluster.publish(publisher, "stored", QoS::AtLeastOnce, 1, "s");
    cluster.publish(publisher, "transient", QoS::AtLeastOnce, 2, "t");
    assert_eq!(cluster.read(publisher), [""; 0]);
    cluster.pass_ms(10_100);
    assert_eq!(cluster.read(publisher), ["puback #1 quota_exceeded", "puback #2 success"]);
    cluster.publish(publisher, "stored", QoS::AtLeastOnce, 3, "s");
    assert_eq!(cluster.read(publisher), ["puback #3 quota_exceeded"], "at once");
    cluster.mend_all(1);
    cluster.publish(publisher, "stored", QoS::AtLeastOnce, 4, "s");
    assert_eq!(cluster.read(publisher), ["puback #4 success"]);
}

#[test]
fn one_copy_crosses_to_another_region_however_many_nodes_there_want_it() {
    let mut cluster = Cluster::with(&["eu", "us", "us", "us"], 2, sluice_dataplane_core::Settings::default());
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let subscribers: Vec<_> = (1..4)
        .map(|node| {
            let (subscriber, _) = cluster.connect(node, &format!("s{node}"), true);
            cluster.subscribe(subscriber, "t/#", QoS::AtLeastOnce);
            subscriber
        })
        .collect();
    cluster.settle();
    cluster.sent_bytes.clear();
    let payload = "x".repeat(10_000);
    for packet_id in 1..=5u16 {
        cluster.publish(publisher, &format!("t/{packet_id}"), QoS::AtLeastOnce, packet_id, &payload);
    }
    for &subscriber in &subscribers {
        assert_eq!(payloads(&cluster.read(subscriber)).len(), 5);
    }
    assert_eq!(cluster.read(publisher).len(), 5);
    let crossed: usize = (1..4).map(|node| cluster.sent_bytes.get(&(0, node)).copied().unwrap_or(0)).sum();
    assert!(crossed < 6 * payload.len(), "{crossed} bytes for five messages of {}", payload.len());
}

#[test]
fn messages_cross_through_the_gateways_that_were_chosen_and_through_others_when_those_are_away() {
    let mut cluster = Cluster::with(&["eu", "us", "us", "us"], 1, sluice_dataplane_core::Settings::default());
    cluster.set_gateways(&[2, 3]);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (subscriber, _) = cluster.connect(1, "subscriber", true);
    cluster.subscribe(subscriber, "t/#", QoS::AtMostOnce);
    let payload = "x".repeat(1_000);
    let mut packet_id = 0u16;
    let mut crossed = |cluster: &mut Cluster| -> [usize; 3] {
        cluster.sent_bytes.clear();
        for topic in 0..40 {
            packet_id += 1;
            cluster.publish(publisher, &format!("t/{topic}"), QoS::AtLeastOnce, packet_id, &payload);
            assert_eq!(payloads(&cluster.read(subscriber)).len(), 1);
            assert_eq!(cluster.read(publisher).len(), 1);
        }
        [1, 2, 3].map(|node| cluster.sent_bytes.get(&(0, node)).copied().unwrap_or(0) / payload.len())
    };
    let [other, one, two] = crossed(&mut cluster);
    assert!(other == 0 && one > 5 && two > 5, "both of those that were chosen: {other} {one} {two}");
    cluster.cut(0, 2);
    assert_eq!(crossed(&mut cluster), [0, 0, 40]);
    cluster.cut(0, 3);
    assert_eq!(crossed(&mut cluster), [40, 0, 0], "any is better than none");
    cluster.mend(0, 2);
    assert_eq!(crossed(&mut cluster), [0, 40, 0]);
}

#[test]
fn messages_that_wait_for_one_gateway_of_a_region_are_not_overtaken_through_another() {
    for gateway in [1, 2] {
        let mut cluster = Cluster::with(&["eu", "us", "us"], 1, sluice_dataplane_core::Settings::default());
        let (publisher, _) = cluster.connect(0, "publisher", true);
        let (subscriber, _) = cluster.connect(1, "subscriber", true);
        cluster.subscribe(subscriber, "t", QoS::AtLeastOnce);
        cluster.publish_and_lose(publisher, "t", QoS::AtLeastOnce, 1, "1", gateway);
        for packet_id in 2..5u16 {
            cluster.publish(publisher, "t", QoS::AtLeastOnce, packet_id, &packet_id.to_string());
        }
        cluster.mend(0, gateway);
        assert_eq!(payloads(&cluster.read(subscriber)), ["1", "2", "3", "4"], "cut from node {gateway}");
        assert_eq!(cluster.read(publisher).len(), 4);
        // Nothing waits there any more: the other one serves while the first is away.
        cluster.cut(0, gateway);
        cluster.publish(publisher, "t", QoS::AtLeastOnce, 5, "5");
        assert_eq!(payloads(&cluster.read(subscriber)), ["5"], "cut from node {gateway}");
    }
}

#[test]
fn a_message_reaches_a_transient_session_once_at_qos_2_wherever_the_link_breaks() {
    for arrives in [false, true] {
        let mut cluster = Cluster::new(2, 1);
        let (publisher, _) = cluster.connect(0, "publisher", true);
        let (subscriber, _) = cluster.connect(1, "subscriber", true);
        cluster.subscribe(subscriber, "t", QoS::ExactlyOnce);
        if arrives {
            cluster.publish_and_cut(publisher, "t", QoS::ExactlyOnce, 1, "m", 1);
        } else {
            cluster.publish_and_lose(publisher, "t", QoS::ExactlyOnce, 1, "m", 1);
        }
        assert_eq!(cluster.read(publisher), [""; 0]);
        cluster.mend(0, 1);
        assert_eq!(payloads(&cluster.read(subscriber)), ["m"], "it arrived before the link broke: {arrives}");
        assert_eq!(cluster.read(publisher), ["pubrec #1 success"]);
    }
}

#[test]
fn a_message_that_is_routed_again_after_a_crash_reaches_transient_sessions_once_at_qos_2() {
    for arrives in [false, true] {
        let mut cluster = Cluster::new(2, 1);
        let name = cluster.client_at_home(0, 0);
        let (publisher, _) = cluster.connect(0, &name, false);
        let (subscriber, _) = cluster.connect(1, "subscriber", true);
        cluster.subscribe(subscriber, "t", QoS::ExactlyOnce);
        if arrives {
            cluster.publish_and_cut(publisher, "t", QoS::ExactlyOnce, 1, "m", 1);
        } else {
            cluster.publish_and_lose(publisher, "t", QoS::ExactlyOnce, 1, "m", 1);
        }
        cluster.crash(0);
        cluster.mend_all(0);
        let (publisher, present) = cluster.connect(0, &name, false);
        assert!(present);
        cluster.publish(publisher, "t", QoS::ExactlyOnce, 1, "m");
        assert_eq!(cluster.read(publisher), ["pubrec #1 success"]);
        assert_eq!(payloads(&cluster.read(subscriber)), ["m"], "it arrived before the crash: {arrives}");
    }
}

#[test]
fn a_message_that_comes_again_is_known_also_when_another_session_has_taken_the_place_of_its_publisher() {
    let mut cluster = Cluster::with(&["eu", "us", "us"], 1, sluice_dataplane_core::Settings::default());
    cluster.set_gateways(&[2]);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let name = cluster.client_at_home(1, 0);
    let subscribers = [("subscriber", true), (&*name, false)].map(|(name, clean)| cluster.connect(1, name, clean).0);
    subscribers.iter().for_each(|&subscriber| cluster.subscribe(subscriber, "t/#", QoS::ExactlyOnce));
    // It is passed on, and the gateway dies before it can say so.
    cluster.publish_and_cut(publisher, "t/1", QoS::ExactlyOnce, 1, "m", 2);
    cluster.crash(2);
    cluster.hang_up(publisher);
    let (publisher, _) = cluster.connect(0, "another", true);
    cluster.publish(publisher, "t/2", QoS::ExactlyOnce, 1, "n");
    cluster.mend_all(2);
    for subscriber in subscribers {
        assert_eq!(payloads(&cluster.read(subscriber)), ["m", "n"]);
    }
}

#[test]
fn what_a_lost_node_refuses_comes_to_others_once_when_a_version_3_client_sends_it_again_at_qos_2() {
    let mut cluster = Cluster::new(2, 1);
    let connect = |cluster: &mut Cluster, node, name: &str| {
        let client = cluster.begin_connect(node, &broker::connect(Version::V311, name, false));
        assert!(cluster.take_connack(client).is_some());
        client
    };
    let name = cluster.client_at_home(0, 0);
    let publisher = connect(&mut cluster, 0, &name);
    let (near, _) = cluster.connect(0, "near", true);
    cluster.subscribe(near, "t", QoS::ExactlyOnce);
    let stored = cluster.client_at_home(1, 0);
    let (far, _) = cluster.connect(1, &stored, false);
    cluster.subscribe(far, "t", QoS::ExactlyOnce);
    cluster.crash(1);
    cluster.publish(publisher, "t", QoS::ExactlyOnce, 1, "m");
    cluster.pass_ms(10_100);
    assert!(!cluster.is_open(publisher), "it cannot be told otherwise");
    cluster.mend_all(1);
    let publisher = connect(&mut cluster, 0, &name);
    cluster.publish(publisher, "t", QoS::ExactlyOnce, 1, "m");
    assert_eq!(cluster.read(publisher), ["pubrec #1 success"]);
    assert_eq!(payloads(&cluster.read(near)), ["m"]);
    let (far, _) = cluster.connect(1, &stored, false);
    assert_eq!(payloads(&cluster.read(far)), ["m"]);
}

#[test]
fn a_message_on_its_way_to_another_member_is_not_sent_again_when_its_session_ends() {
    let mut cluster = Cluster::new(2, 1);
    let (publisher, _) = cluster.connect(1, "publisher", true);
    let [takes, leaves] = [0, 1].map(|node| cluster.client_at_home(node, 0));
    let (member, _) = cluster.connect(1, &leaves, false);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    cluster.hang_up(member);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    let (other, _) = cluster.connect(0, &takes, false);
    // The message goes to this member, which has not stored it yet.
    cluster.broker(0).sync_at_once = false;
    cluster.begin_subscribe(other, "$share/g/t", QoS::AtLeastOnce);
    cluster.connect(1, &leaves, true);
    cluster.broker(0).sync_at_once = true;
    cluster.broker(0).sync();
    cluster.settle();
    assert_eq!(payloads(&cluster.read(other)), ["m"]);
}

#[test]
fn a_message_of_a_group_waits_for_the_only_members_while_their_link_is_down() {
    let mut cluster = Cluster::new(2, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (member, _) = cluster.connect(1, "member", true);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    cluster.cut(0, 1);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    assert_eq!(cluster.read(publisher), [""; 0], "nobody has it");
    cluster.mend(0, 1);
    assert_eq!(payloads(&cluster.read(member)), ["m"]);
    assert_eq!(cluster.read(publisher), ["puback #1 success"]);
}

#[test]
fn a_group_is_served_by_others_while_a_node_is_lost_and_by_it_again_when_it_is_back() {
    let mut cluster = Cluster::new(3, 2);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let members = [1, 2].map(|node| {
        let (member, _) = cluster.connect(node, &format!("member{node}"), true);
        cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
        member
    });
    cluster.cut(0, 1);
    let publish = |cluster: &mut Cluster, ids: std::ops::Range<u16>| {
        ids.for_each(|id| cluster.publish(publisher, "t", QoS::AtLeastOnce, id, &id.to_string()));
    };
    cluster.cut(0, 2);
    publish(&mut cluster, 1..7);
    cluster.mend(0, 2);
    cluster.pass_ms(10_100);
    assert_eq!(cluster.read(publisher).len(), 6);
    assert_eq!(payloads(&cluster.read(members[1])).len(), 6, "those that waited for the lost node as well");
    cluster.cut(0, 2);
    cluster.pass_ms(10_100);
    publish(&mut cluster, 7..9);
    assert_eq!(cluster.read(publisher), ["puback #7 no_matching_subscribers", "puback #8 no_matching_subscribers"]);
    cluster.mend(0, 1);
    publish(&mut cluster, 9..11);
    assert_eq!(payloads(&cluster.read(members[0])), ["9", "10"]);
}

#[test]
fn a_gateway_that_has_not_heard_its_region_yet_does_not_say_that_nobody_is_there() {
    let mut cluster = Cluster::with(&["eu", "us", "us"], 1, sluice_dataplane_core::Settings::default());
    cluster.set_gateways(&[1]);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (member, _) = cluster.connect(2, "member", true);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    cluster.crash(1);
    cluster.mend(0, 1);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    assert_eq!(cluster.read(publisher), [""; 0], "somebody may be there");
    cluster.mend(1, 2);
    assert_eq!(payloads(&cluster.read(member)), ["m"]);
    assert_eq!(cluster.read(publisher), ["puback #1 success"]);
}

#[test]
fn a_gateway_does_not_wait_for_ever_for_a_node_of_its_region_that_says_nothing() {
    let mut cluster = Cluster::with(&["eu", "us", "us"], 1, sluice_dataplane_core::Settings::default());
    cluster.set_gateways(&[1]);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (member, _) = cluster.connect(2, "member", true);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    cluster.cut(0, 2);
    cluster.crash(1);
    cluster.mend(0, 1);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 1, "m");
    cluster.pass_ms(9_000);
    assert_eq!(cluster.read(publisher), [""; 0]);
    cluster.pass_ms(2_000);
    assert_eq!(cluster.read(publisher).len(), 1, "the node is lost");
}

#[test]
fn members_that_were_cut_off_from_the_gateway_are_found_again_though_they_say_nothing() {
    let mut cluster = Cluster::with(&["eu", "us", "us"], 1, sluice_dataplane_core::Settings::default());
    cluster.set_gateways(&[1]);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (member, _) = cluster.connect(2, "member", true);
    cluster.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    [0, 1].into_iter().for_each(|node| cluster.cut(node, 2));
    cluster.pass_ms(11_000);
    (1..3u16).for_each(|id| cluster.publish(publisher, "t", QoS::AtLeastOnce, id, "m"));
    let heard = cluster.read(publisher);
    assert_eq!(heard[1..], ["puback #2 no_matching_subscribers"], "the gateway counts them as lost");
    cluster.mend(1, 2);
    cluster.pass_ms(1_100);
    cluster.publish(publisher, "t", QoS::AtLeastOnce, 3, "m3");
    assert_eq!(payloads(&cluster.read(member)), ["m3"]);
    assert_eq!(cluster.read(publisher), ["puback #3 success"]);
}

#[test]
fn a_message_keeps_its_packet_exchange_across_nodes_at_qos_2() {
    let mut cluster = Cluster::new(2, 1);
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (subscriber, _) = cluster.connect(1, "subscriber", true);
    cluster.subscribe(subscriber, "t", QoS::ExactlyOnce);
    cluster.publish(publisher, "t", QoS::ExactlyOnce, 5, "m");
    // Sent again before PUBREL: the same exchange.
    cluster.publish(publisher, "t", QoS::ExactlyOnce, 5, "m");
    cluster.packet(publisher, |out, v| encode::pubrel(out, v, &Ack::new(5, ReasonCode::Success)));
    assert_eq!(payloads(&cluster.read(subscriber)), ["m"]);
    assert_eq!(cluster.read(publisher), ["pubrec #5 success", "pubrec #5 success", "pubcomp #5 success"]);
}

#[test]
fn a_base_table_takes_the_place_of_what_peers_have_said_and_loses_nobody() {
    let mut cluster = Cluster::with(&["eu", "eu", "us"], 2, sluice_dataplane_core::Settings::default());
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let subscribers: Vec<_> = (0..3)
        .map(|node| {
            let (subscriber, _) = cluster.connect(node, &format!("s{node}"), true);
            cluster.subscribe(subscriber, "t/+", QoS::AtLeastOnce);
            cluster.subscribe(subscriber, "$share/g/shared", QoS::AtLeastOnce);
            subscriber
        })
        .collect();
    assert_eq!(cluster.gate(0).overlay_len(), 4);
    cluster.push_routes("eu", 1);
    assert_eq!(cluster.gate(0).overlay_len(), 0);
    cluster.publish(publisher, "t/1", QoS::AtLeastOnce, 1, "m");
    for packet_id in 2..8u16 {
        cluster.publish(publisher, "shared", QoS::AtLeastOnce, packet_id, &packet_id.to_string());
    }
    let read: Vec<_> = subscribers.iter().map(|&subscriber| payloads(&cluster.read(subscriber))).collect();
    assert!(read.iter().all(|read| read[0] == "m" && read.len() == 3), "{read:?}");
    // Newer than the base.
    cluster.subscribe(subscribers[1], "new", QoS::AtLeastOnce);
    cluster.publish(publisher, "new", QoS::AtLeastOnce, 8, "new");
    assert_eq!(payloads(&cluster.read(subscribers[1])), ["new"]);
    // What is gone is gone with the next base.
    subscribers.iter().for_each(|&subscriber| cluster.hang_up(subscriber));
    cluster.push_routes("eu", 2);
    let before = cluster.gate(0).stats().forwarded;
    cluster.publish(publisher, "t/1", QoS::AtLeastOnce, 9, "m");
    cluster.publish(publisher, "shared", QoS::AtLeastOnce, 10, "m");
    assert_eq!(cluster.gate(0).stats().forwarded, before);
    let words = cluster.read(publisher);
    assert_eq!(words[words.len() - 2..], ["puback #9 no_matching_subscribers", "puback #10 no_matching_subscribers"]);
}

#[test]
fn messages_of_a_topic_that_is_denied_to_other_regions_stay_in_theirs() {
    let mut cluster = Cluster::with(&["eu", "eu", "us"], 1, sluice_dataplane_core::Settings::default());
    let (publisher, _) = cluster.connect(0, "publisher", true);
    let (near, _) = cluster.connect(1, "near", true);
    let (far, _) = cluster.connect(2, "far", true);
    let keyspace = Keyspace::new(KeyspaceId(2), vec![TopicFilter::parse("eu/#", &Limits::default()).unwrap()], 8);
    let policy = Policy {
        home: Home::Region(Label::parse("eu").unwrap()),
        remote_subscribers: RemoteSubscribers::Deny,
        ..Policy::new(Label::parse("eu-only").unwrap(), keyspace.unwrap())
    };
    cluster.set_policies(&Policies::new([policy]).unwrap());
    for subscriber in [near, far] {
        cluster.subscribe(subscriber, "#", QoS::AtLeastOnce);
    }
    cluster.publish(publisher, "eu/1", QoS::AtLeastOnce, 1, "secret");
    cluster.retain(publisher, "eu/2", 2, "kept");
    cluster.publish(publisher, "open", QoS::AtLeastOnce, 3, "open");
    assert_eq!(payloads(&cluster.read(near)), ["secret", "kept", "open"]);
    assert_eq!(payloads(&cluster.read(far)), ["open"]);
    let (late, _) = cluster.connect(2, "late", true);
    cluster.subscribe(late, "eu/#", QoS::AtLeastOnce);
    assert_eq!(cluster.read(late), [""; 0], "retained messages stay too");
    let (late, _) = cluster.connect(1, "late2", true);
    cluster.subscribe(late, "eu/#", QoS::AtLeastOnce);
    assert_eq!(payloads(&cluster.read(late)), ["kept"]);
}
