//! What clients see of a node that was killed and started again.

mod broker;

use broker::{Broker, connect};
use sluice_dataplane_core::Settings;
use sluice_mqtt::{PublishHead, QoS, Version, encode};

/// CONNECT and PUBLISH in one go, before the server has said a word.
fn hasty_publish(version: Version, client_id: &str, topic: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::connect(&mut bytes, &connect(version, client_id, false));
    let head = PublishHead {
        version,
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        packet_id: 1,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: &[],
        forward: &[],
        payload_len: 1,
    };
    encode::publish(&mut bytes, &head, b"x");
    bytes
}

#[test]
fn no_message_is_taken_before_every_worker_knows_what_the_others_want() {
    for publisher in ["a", "b", "c", "d", "e", "f"] {
        let mut broker = Broker::new(4, Settings::default());
        for subscriber in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            let (client, _) = broker.connect(&connect(Version::V5, subscriber, false));
            broker.subscribe(client, "t", QoS::AtLeastOnce);
        }
        broker.crash_and_serve_at_once();
        let hasty = broker.open(Version::V5);
        broker.send(hasty, &hasty_publish(Version::V5, publisher, "t"));
        assert_eq!(broker.read(hasty)[1..], ["puback #1 success"]);
        for subscriber in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            let (client, _) = broker.connect(&connect(Version::V5, subscriber, false));
            assert_eq!(broker.read(client), ["publish t x q1 #1"], "{subscriber}");
        }
    }
}

#[test]
fn what_may_have_been_sent_before_a_crash_comes_with_dup() {
    for crashes in [1, 2] {
        let mut broker = Broker::new(1, Settings::default());
        let (client, _) = broker.connect(&connect(Version::V5, "c", false));
        broker.subscribe(client, "t", QoS::ExactlyOnce);
        broker.sync_at_once = false;
        broker.publish(client, "t", QoS::AtLeastOnce, 1, b"x");
        broker.sync();
        assert_eq!(broker.read(client), ["puback #1 success", "publish t x q1 #1"]);
        // That it was sent is written and not stored.
        for _ in 0..crashes {
            broker.crash();
            broker.sync();
        }
        broker.sync_at_once = true;
        let (client, _) = broker.connect(&connect(Version::V5, "c", false));
        assert_eq!(broker.read(client), ["publish t x q1 #1 dup"], "after {crashes} crashes");
    }
}
