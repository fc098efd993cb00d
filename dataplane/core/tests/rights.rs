//! What clients see of access rules that changed while they were away.

mod broker;

use broker::{Broker, connect, rules};
use sluice_dataplane_core::{Settings, Verdict, auth::Accepted, settings::ListenerSettings};
use sluice_mqtt::{QoS, Version};

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
