use super::*;

fn filter(text: &str) -> TopicFilter {
    sluice_topic::ParsedFilter::parse(text, &sluice_topic::Limits::default()).unwrap().filter
}

fn subscriber(session: u32, qos: u8, id: u32) -> Subscriber {
    Subscriber { session, id, options: SubscribeOptions::new(qos, false, false, false) }
}

#[test]
fn a_session_with_overlapping_filters_is_one_target_with_the_highest_qos_and_all_ids() {
    let mut subscriptions = Subscriptions::new(1);
    subscriptions.insert(&filter("a/+"), subscriber(7, 1, 10));
    subscriptions.insert(&filter("a/b"), subscriber(7, 0, 20));
    subscriptions.insert(&filter("#"), subscriber(8, 0, 0));
    let matched = subscriptions.matched("a/b");
    assert_eq!(matched.targets.len(), 2);
    assert_eq!((matched.targets[0].session, matched.targets[0].options.qos()), (7, 1));
    let mut ids = matched.targets[0].ids(&matched).to_vec();
    ids.sort_unstable();
    assert_eq!(ids, [10, 20]);
    assert_eq!(matched.targets[1].ids(&matched), [] as [u32; 0]);
}

#[test]
fn a_change_is_seen_by_the_next_match_of_a_cached_topic() {
    let mut subscriptions = Subscriptions::new(1);
    subscriptions.insert(&filter("t"), subscriber(1, 0, 0));
    for _ in 0..3 {
        assert_eq!(subscriptions.matched("t").targets.len(), 1);
    }
    subscriptions.insert(&filter("+"), subscriber(2, 0, 0));
    assert_eq!(subscriptions.matched("t").targets.len(), 2);
    subscriptions.remove(&filter("t"), 1);
    assert_eq!(subscriptions.matched("t").targets.len(), 1);
}

#[test]
fn interest_changes_with_the_first_and_last_subscriber_only() {
    let mut subscriptions = Subscriptions::new(1);
    let wanted = Interest { wanted: true, durable: false };
    assert_eq!(subscriptions.insert(&filter("t"), subscriber(1, 0, 0)), (Interest::default(), wanted));
    assert_eq!(subscriptions.insert(&filter("t"), subscriber(2, 0, 0)), (wanted, wanted));
    assert_eq!(subscriptions.remove(&filter("t"), 1), Some((wanted, wanted)));
    assert_eq!(subscriptions.remove(&filter("t"), 1), None);
    assert_eq!(subscriptions.remove(&filter("t"), 2), Some((wanted, Interest::default())));
    assert_eq!(subscriptions.matched("t").targets.len(), 0);
}

#[test]
fn peers_and_groups_keep_a_filter_alive_without_subscribers() {
    let mut subscriptions = Subscriptions::new(1);
    let interest = Interest { wanted: true, durable: true };
    subscriptions.set_peer(&filter("t"), WorkerId(3), interest);
    let group = subscriptions.group_for("g", &filter("t"));
    let matched = subscriptions.matched("t");
    assert_eq!((matched.peers, matched.durable_peers, &matched.groups[..]), (8, 8, &[group][..]));
    subscriptions.set_peer(&filter("t"), WorkerId(3), Interest::default());
    subscriptions.drop_group_if_empty(group);
    assert_eq!(*subscriptions.matched("t"), Matched::default());
    assert!(subscriptions.index.is_empty());
}
