//! The `$SYS` topics as clients see them.

mod broker;

use broker::{Broker, connect};
use sluice_dataplane_core::{Input, Settings, Stats, stats::Dropped};
use sluice_mqtt::{QoS, Version};

fn tell(broker: &mut Broker, stats: Stats) {
    broker.tell_all(&Input::NodeStats(Box::new(stats)));
}

#[test]
fn who_subscribes_gets_all_values_retained_and_then_what_changes() {
    let mut broker = Broker::new(1, Settings::default());
    tell(&mut broker, Stats { sessions_connected: 1, ..Stats::default() });
    let (client, _) = broker.connect(&connect(Version::V311, "c", true));
    broker.subscribe(client, "$SYS/broker/clients/+", QoS::AtMostOnce);
    let mut values = broker.read(client);
    broker.subscribe(client, "$SYS/broker/uptime", QoS::AtMostOnce);
    values.extend(broker.read(client));
    assert_eq!(values.len(), 8);
    assert!(values.iter().all(|packet| packet.ends_with(" retain")), "{values:?}");
    broker.pass_ms(10_000);
    tell(&mut broker, Stats { sessions_connected: 1, sessions_expired: 3, ..Stats::default() });
    let values = broker.read(client);
    assert_eq!(values, ["publish $SYS/broker/uptime 11 seconds q0", "publish $SYS/broker/clients/expired 3 q0"]);
}

#[test]
fn values_that_nobody_wants_are_no_messages_that_were_dropped() {
    let mut broker = Broker::new(1, Settings::default());
    tell(&mut broker, Stats::default());
    assert_eq!(broker.stats().dropped, [0; Dropped::COUNT]);
}

#[test]
fn packets_of_all_kinds_are_counted_once_on_whichever_worker() {
    let mut broker = Broker::new(4, Settings::default());
    for n in 0..8 {
        let (client, _) = broker.connect(&connect(Version::V5, &format!("c{n}"), true));
        broker.publish(client, "t", QoS::AtLeastOnce, 1, b"x");
        broker.send(client, &[0xE0, 0]);
    }
    let stats = broker.stats();
    assert_eq!((stats.connects_received, stats.packets_received, stats.packets_sent()), (8, 24, 16));
}
