//! Two regions 80 ms apart, with a network between them that loses a packet in a hundred.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]

use std::{net::SocketAddr, thread, time::Duration};

use sluice_mqtt::QoS;
use sluice_tests_e2e::{
    client::Hello,
    cluster::{
        traffic::{Publisher, Stream, Subscriber},
        until,
    },
    demo::Demo,
};

fn listen(at: SocketAddr, id: &str, filter: &str, qos: QoS) -> Subscriber {
    Subscriber::start(at, &Hello::transient(id), &[filter], qos)
}

#[test]
fn two_regions_are_one_broker_and_each_message_crosses_once() {
    let demo = Demo::start(&["--regions", "eu:2,us:2", "--rtt", "eu-us=80ms", "--loss", "eu-us=1%"]);
    a_message_crosses_once_whatever_the_number_of_subscribers_there(&demo);
    a_cut_between_regions_heals_without_loss(&demo);
    what_may_not_leave_its_region_stays(&demo);
    what_is_observed_is_suggested_until_it_is_done(&demo);
}

fn crossed(demo: &Demo, node: &str) -> f64 {
    let copies = demo.metric(node, "mqtt_forwarded_copies_total");
    copies.iter().filter(|(line, _)| line.contains("other_region")).map(|(_, count)| count).sum()
}

fn a_message_crosses_once_whatever_the_number_of_subscribers_there(demo: &Demo) {
    let far: Vec<_> = (0..12)
        .map(|nth| {
            let node = ["us1", "us2"][nth % 2];
            listen(demo.mqtt(node), &format!("far {nth}"), "crossing/#", QoS::ExactlyOnce)
        })
        .collect();
    let near = listen(demo.mqtt("eu2"), "near", "crossing/#", QoS::ExactlyOnce);
    let topic = |nth: usize| format!("crossing/{nth}");
    // What is announced to one node of a region may be on its way to the other region's.
    let mut scout = Publisher::start(demo.mqtt("eu1"), "scout");
    let mut tries = 0;
    until("the other region is known", || {
        scout.publish("crossing/scout", tries..tries + 1, QoS::AtLeastOnce);
        tries += 1;
        far.iter().all(|far| !far.numbers("crossing/scout").is_empty())
    });
    let before = crossed(demo, "eu1");
    let publish = |nth: usize| {
        let (address, topic) = (demo.mqtt("eu1"), topic(nth));
        let qos = if nth < 4 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        thread::spawn(move || Publisher::start(address, &format!("to {topic}")).publish(&topic, 0..30, qos))
    };
    let publishers: Vec<_> = (0..8).map(publish).collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    for nth in 0..8 {
        for subscriber in far.iter().chain([&near]) {
            subscriber.until_number(&topic(nth), 29);
            assert_eq!(subscriber.numbers(&topic(nth)), (0..30).collect::<Vec<_>>(), "{}", topic(nth));
        }
    }
    let copies = crossed(demo, "eu1") - before;
    // One may be sent again when its way changes.
    assert!((240.0..250.0).contains(&copies), "240 messages for 12 subscribers of the other region: {copies} copies");
    far.into_iter().chain([near]).for_each(|subscriber| drop(subscriber.stop()));
}

fn a_cut_between_regions_heals_without_loss(demo: &Demo) {
    let far = listen(demo.mqtt("us2"), "over the cut", "cut/#", QoS::ExactlyOnce);
    let near = listen(demo.mqtt("eu2"), "on this side", "cut/#", QoS::ExactlyOnce);
    let streams = [("eu1", "cut/1", QoS::AtLeastOnce), ("eu2", "cut/2", QoS::ExactlyOnce)]
        .map(|(node, topic, qos)| Stream::start(demo.mqtt(node), topic, qos));
    streams.iter().for_each(|stream| until("messages cross", || far.numbers(stream.topic()).len() > 5));
    demo.order(&["partition", "eu", "us"]);
    thread::sleep(Duration::from_secs(4));
    // The near side goes on with what does not concern the far one.
    let mut local = Publisher::start(demo.mqtt("eu1"), "local");
    let neighbour = listen(demo.mqtt("eu2"), "neighbour", "local/#", QoS::AtLeastOnce);
    local.publish("local/1", 0..20, QoS::AtLeastOnce);
    neighbour.until_number("local/1", 19);
    demo.order(&["heal"]);
    let sent_before_the_end = far.received().len();
    until("messages cross again", || far.received().len() > sent_before_the_end + 10);
    for stream in streams {
        let topic = stream.topic().to_owned();
        let count = stream.stop();
        near.until_number(&topic, count - 1);
        assert_eq!(near.numbers(&topic), (0..count).collect::<Vec<_>>(), "{topic}");
        until("the rest crosses", || far.numbers(&topic).last() == Some(&(count - 1)));
        // SUBACK does not wait for other regions: the first few may have been too early.
        let numbers = far.numbers(&topic);
        assert_eq!(numbers, (numbers[0]..count).collect::<Vec<_>>(), "{topic}");
        assert!(numbers[0] < 100, "{topic} begins with {}", numbers[0]);
    }
    [far, near, neighbour].into_iter().for_each(|subscriber| drop(subscriber.stop()));
}

fn what_may_not_leave_its_region_stays(demo: &Demo) {
    let far = listen(demo.mqtt("us1"), "far from home", "#", QoS::AtLeastOnce);
    let near = listen(demo.mqtt("eu2"), "at home", "#", QoS::AtLeastOnce);
    let policy = r#"{"apiVersion": "sluice/v1", "kind": "Placement", "metadata": {"name": "private"},
        "spec": {"topics": ["private/#"], "home": {"region": "eu"}, "remoteSubscribers": "deny"}}"#;
    let put = demo.control("PUT", "/api/v1/placements/private", policy);
    assert_eq!(put["metadata"]["name"], "private", "{put}");
    demo.until_synced(4);
    let mut publisher = Publisher::start(demo.mqtt("eu1"), "author");
    for number in 0..20 {
        publisher.publish("private/letters", number..number + 1, QoS::AtLeastOnce);
        publisher.publish("public/letters", number..number + 1, QoS::AtLeastOnce);
    }
    near.until_number("private/letters", 19);
    far.until_number("public/letters", 19);
    assert_eq!(near.numbers("private/letters"), (0..20).collect::<Vec<_>>());
    assert_eq!(far.numbers("public/letters"), (0..20).collect::<Vec<_>>());
    assert!(far.numbers("private/letters").is_empty(), "what may not leave its region did");
    [far, near].into_iter().for_each(|subscriber| drop(subscriber.stop()));
}

/// The suggestion about a prefix, if there is one.
fn suggested(demo: &Demo, prefix: &str) -> Option<serde_json::Value> {
    let answer = demo.control("GET", "/api/v1/placement/suggestions", "");
    answer["items"].as_array()?.iter().find(|item| item["prefix"] == prefix).cloned()
}

fn what_is_observed_is_suggested_until_it_is_done(demo: &Demo) {
    // Of device/7 nine in ten subscribers are in one region, of device/8 all are in the other.
    let listeners = |region: &str, filter: &str, count: usize| -> Vec<Subscriber> {
        let node = |nth: usize| demo.mqtt(&format!("{region}{}", 1 + nth % 2));
        (0..count).map(|nth| listen(node(nth), &format!("{region} {filter} {nth}"), filter, QoS::AtMostOnce)).collect()
    };
    let all = [listeners("eu", "device/7/#", 9), listeners("us", "device/7/#", 1), listeners("us", "device/8/#", 10)];
    let mut publisher = Publisher::start(demo.mqtt("us1"), "devices");
    let mut round = 0;
    until("the traffic is told", || {
        for topic in ["device/7/temp", "device/7/level", "device/8/temp", "device/8/level"] {
            publisher.publish(topic, round * 500..(round + 1) * 500, QoS::AtMostOnce);
        }
        round += 1;
        let is_seen = |prefix: &str| suggested(demo, prefix).is_some_and(|of| of["deliveries"].as_u64() > Some(15_000));
        is_seen("device/7/#") && is_seen("device/8/#")
    });
    let seven = suggested(demo, "device/7/#").expect("a suggestion");
    assert_eq!(
        (&seven["region"], &suggested(demo, "device/8/#").expect("another")["region"]),
        (&"eu".into(), &"us".into())
    );
    // By a message in 64, and when all nodes have told what they delivered of what was published.
    until("nine in ten deliveries are to eu", || {
        let then = suggested(demo, "device/7/#").and_then(|of| of["local_percent_then"].as_u64());
        then.is_some_and(|then| (80..=97).contains(&then))
    });
    let policy = &seven["policy"];
    assert_eq!((&policy["metadata"]["name"], &policy["spec"]["home"]["region"]), (&"device-7".into(), &"eu".into()));
    let put = demo.control("PUT", "/api/v1/placements/device-7", &policy.to_string());
    assert_eq!(put["metadata"]["name"], "device-7", "{put}");
    until("what is done is suggested no more", || {
        suggested(demo, "device/7/#").is_none() && suggested(demo, "device/8/#").is_some()
    });
    all.into_iter().flatten().for_each(|subscriber| drop(subscriber.stop()));
}
