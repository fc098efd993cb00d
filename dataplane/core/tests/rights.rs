//! What clients see of access rules that changed while they were away.

mod broker;

use broker::{Broker, connect, rules};
use sluice_dataplane_core::{Settings, Verdict, auth::Accepted, settings::ListenerSettings};
use sluice_mqtt::{Packet, QoS, Version};

const EVERYTHING: &str = "  - allow: all\n    everyone: true\n    topics: ['#']\n";

/// Nobody but the group `press` reads the news.
const NEWS_FOR_THE_PRESS: &str = "  - allow: all
    groups: [press]
    topics: ['#']
  - allow: publish
    everyone: true
    topics: ['#']
  - allow: subscribe
    everyone: true
    topics: [public]
";

/// Publishes one message of each QoS on `news/x` and one that everybody may read.
fn publish_news(broker: &mut Broker) {
    let (publisher, _) = broker.connect(&connect(Version::V5, "publisher", true));
    for (packet_id, qos) in [(0, QoS::AtMostOnce), (1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        broker.publish(publisher, "news/x", qos, packet_id, b"news");
    }
    broker.publish(publisher, "public", QoS::AtLeastOnce, 3, b"public");
}

#[test]
fn a_right_that_was_taken_while_the_node_was_down_is_gone() {
    for workers in [1, 2, 3] {
        for filter in ["news/#", "news/x", "+/x", "#"] {
            for version in [Version::V311, Version::V5] {
                let mut broker = Broker::new(workers, Settings::default());
                broker.rules = rules(EVERYTHING);
                broker.crash();
                let (alice, _) = broker.connect(&connect(version, "alice", false));
                broker.subscribe(alice, filter, QoS::ExactlyOnce);
                broker.subscribe(alice, "public", QoS::AtMostOnce);
                broker.rules = rules(NEWS_FOR_THE_PRESS);
                broker.crash();
                // Once while she is away, and once while she is there.
                publish_news(&mut broker);
                let (alice, present) = broker.connect(&connect(version, "alice", false));
                assert!(present);
                publish_news(&mut broker);
                let told = broker.read(alice);
                assert!(!told.iter().any(|words| words.contains("news")), "{workers} workers, {filter}: {told:?}");
                assert!(told.contains(&"publish public public q0".to_owned()), "{told:?}");
            }
        }
    }
}

#[test]
fn a_client_that_comes_back_with_fewer_groups_has_their_rights_only() {
    for workers in [1, 2, 3] {
        let listeners = vec![ListenerSettings { allow_anonymous: false, ..ListenerSettings::default() }];
        let settings = Settings { has_authentication: true, listeners, ..Settings::default() };
        let mut broker = Broker::new(workers, settings);
        broker.rules = rules(NEWS_FOR_THE_PRESS);
        broker.crash();
        let in_groups = |groups: &[&str]| {
            let groups = groups.iter().map(|&group| group.into()).collect();
            Verdict::Accept(Box::new(Accepted { username: Some("alice".into()), groups, ..Accepted::default() }))
        };
        broker.verdict = in_groups(&["press"]);
        let (alice, _) = broker.connect(&connect(Version::V5, "alice", false));
        broker.subscribe(alice, "news/#", QoS::ExactlyOnce);
        broker.subscribe(alice, "public", QoS::AtMostOnce);
        publish_news(&mut broker);
        assert_eq!(broker.read(alice).len(), 4, "the press reads the news");
        broker.hang_up(alice);
        broker.verdict = in_groups(&[]);
        let (alice, present) = broker.connect(&connect(Version::V5, "alice", false));
        assert!(present);
        drop(broker.read(alice));
        publish_news(&mut broker);
        assert_eq!(broker.read(alice), ["publish public public q0"], "{workers} workers");
    }
}

/// The reason strings that a client was sent meanwhile.
fn reasons(broker: &mut Broker, client: broker::Client) -> Vec<String> {
    let of = |packet: &Packet<'_>| {
        let text = if let Packet::PubAck(ack) | Packet::PubRec(ack) = packet {
            ack.reason_string
        } else if let Packet::SubAck(suback) = packet {
            suback.reason_string
        } else {
            None
        };
        text.map(str::to_owned)
    };
    std::iter::from_fn(|| broker.take(client, of)).collect()
}

#[test]
fn a_reason_string_names_the_topic_or_the_first_filter_that_was_refused() {
    let mut broker = Broker::new(2, Settings::default());
    broker.rules = rules("  - allow: all\n    everyone: true\n    topics: [public]\n");
    broker.crash();
    let (alice, _) = broker.connect(&connect(Version::V5, "alice", true));
    broker.publish(alice, "secret/1", QoS::AtLeastOnce, 1, b"x");
    broker.publish(alice, &format!("secret/{}", "ü".repeat(200)), QoS::ExactlyOnce, 2, b"x");
    let told = reasons(&mut broker, alice);
    assert!(told[0].starts_with("secret/1: the access rules do not allow"), "{told:?}");
    assert!(told[1].starts_with(&format!("secret/{}…: the access", "ü".repeat(121))), "{told:?}");

    let filters: Vec<u8> = ["public", "secret/#", "secret/2"]
        .iter()
        .flat_map(|filter| [&[0, filter.len() as u8], filter.as_bytes(), &[0]].concat())
        .collect();
    let head = [0x82, 3 + filters.len() as u8, 0, 3, 0];
    broker.send(alice, &[&head[..], &filters].concat());
    let told = reasons(&mut broker, alice);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("secret/#: the access rules do not allow"), "{told:?}");
}
