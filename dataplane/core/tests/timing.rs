//! How long messages take, as the histograms show it. Each worker times its first message; the rest is left to chance.

mod broker;

use std::cell::Cell;

use broker::{Broker, connect};
use sluice_dataplane_core::{Settings, stats::Histogram};
use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};

thread_local! {
    static CLOCK_NS: Cell<u64> = const { Cell::new(1_000_000) };
}

/// Stands still until a test lets time pass.
fn clock() -> u64 {
    CLOCK_NS.get()
}

fn pass_ns(ns: u64) {
    CLOCK_NS.set(CLOCK_NS.get() + ns);
}

/// Each reading takes 100 ns.
fn running_clock() -> u64 {
    pass_ns(100);
    clock()
}

/// How often, and how long together.
fn seen(histogram: &Histogram) -> (u64, u64) {
    (histogram.count(), histogram.sum_ns)
}

#[test]
fn a_message_that_is_stored_first_takes_as_long_as_the_disk() {
    for publisher_qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut broker = Broker::new(1, Settings::default());
        let (subscriber, _) = broker.connect(&connect(Version::V311, "s", false));
        broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
        let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
        broker.set_clock(clock);
        broker.sync_at_once = false;
        broker.publish(publisher, "t", publisher_qos, 1, b"x");
        pass_ns(4_000_000);
        assert_eq!(seen(&broker.stats().publish_duration), (0, 0));
        broker.sync();
        let stats = broker.stats();
        assert_eq!(broker.read(subscriber), ["publish t x q1 #1"]);
        assert_eq!(seen(&stats.publish_duration), (1, 4_000_000));
        assert_eq!(seen(&stats.delivery_duration), (1, 4_000_000));
        assert_eq!(seen(&stats.match_duration), (1, 0));
    }
}

#[test]
fn time_that_a_subscriber_takes_is_not_the_brokers() {
    let settings = Settings { outbound_window_max: 1, ..Settings::default() };
    let mut broker = Broker::new(1, settings);
    let (subscriber, _) = broker.connect(&connect(Version::V311, "s", false));
    broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
    let (publisher, _) = broker.connect(&connect(Version::V311, "p", true));
    broker.publish(publisher, "t", QoS::AtLeastOnce, 1, b"fills the window");
    broker.set_clock(clock);
    broker.publish(publisher, "t", QoS::AtLeastOnce, 2, b"waits");
    pass_ns(1_000_000_000);
    broker.packet(subscriber, |out, version| encode::puback(out, version, &Ack::new(1, ReasonCode::Success)));
    assert_eq!(broker.read(subscriber).len(), 2);
    let stats = broker.stats();
    assert_eq!((stats.publish_duration.count(), stats.delivery_duration.count()), (1, 0));
}

#[test]
fn a_message_for_another_worker_is_timed_until_that_has_queued_it() {
    let mut broker = Broker::new(4, Settings::default());
    let subscribers: Vec<_> = (0..8)
        .map(|n| {
            let (subscriber, _) = broker.connect(&connect(Version::V5, &format!("s{n}"), true));
            broker.subscribe(subscriber, "t", QoS::AtMostOnce);
            subscriber
        })
        .collect();
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    broker.set_clock(running_clock);
    broker.publish(publisher, "t", QoS::AtMostOnce, 0, b"x");
    for subscriber in subscribers {
        assert_eq!(broker.read(subscriber).len(), 1);
    }
    let stats = broker.stats();
    assert_eq!(stats.publish_duration.count(), 0, "QoS 0 is not acknowledged");
    assert_eq!((stats.delivery_duration.count(), stats.match_duration.count()), (4, 4), "one of each worker");
    assert!(stats.delivery_duration.sum_ns > stats.match_duration.sum_ns);
}

#[test]
fn an_acknowledgement_of_another_worker_is_waited_for() {
    let mut broker = Broker::new(2, Settings::default());
    let (publisher, _) = broker.connect(&connect(Version::V5, "p", true));
    for n in 0..4 {
        let (subscriber, _) = broker.connect(&connect(Version::V5, &format!("s{n}"), false));
        broker.subscribe(subscriber, "t", QoS::AtLeastOnce);
    }
    broker.set_clock(clock);
    broker.sync_at_once = false;
    broker.publish(publisher, "t", QoS::AtLeastOnce, 1, b"x");
    pass_ns(20_000);
    broker.sync();
    let stats = broker.stats();
    assert_eq!(seen(&stats.publish_duration), (1, 20_000));
    assert_eq!(seen(&stats.delivery_duration), (2, 40_000), "one of each worker");
}

#[test]
fn one_message_of_256_is_timed() {
    let mut broker = Broker::new(1, Settings::default());
    let (client, _) = broker.connect(&connect(Version::V311, "c", true));
    broker.set_clock(running_clock);
    let messages = 256 * 400;
    for n in 0..messages {
        broker.publish(client, "t", QoS::AtLeastOnce, n as u16 | 1, b"x");
    }
    let stats = broker.stats();
    assert!((300..500).contains(&stats.publish_duration.count()), "{}", stats.publish_duration.count());
    assert_eq!(stats.match_duration.count(), stats.publish_duration.count());
    assert_eq!(seen(&stats.delivery_duration), (0, 0), "nobody subscribes");
}

#[test]
fn nothing_is_timed_without_a_clock() {
    let mut broker = Broker::new(1, Settings::default());
    let (client, _) = broker.connect(&connect(Version::V311, "c", true));
    broker.subscribe(client, "t", QoS::AtMostOnce);
    for _ in 0..1000 {
        broker.publish(client, "t", QoS::AtMostOnce, 0, b"x");
    }
    let stats = broker.stats();
    let all = [stats.publish_duration, stats.delivery_duration, stats.match_duration];
    assert_eq!(all, [Histogram::default(); 3]);
}
