//! Records there and back, and what broken ones say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_cluster::{
    ClientAddress, Epoch, Home, Keyspace, Keyspaces, Labels, NodePhase, Policy, Process, ProtocolRange, Registration,
    RemoteSubscribers, ReplicaCount, Replicas, Selector, ShardId, ShardKey, Spread, Steer, SteerTo, Version, Weight,
};
use sluice_controlplane_core::{
    MoveBudget,
    ledger::{Revision, Transaction},
    record::{History, Intent, Leadership, NodeRecord, PlacementHead, PlanRecord, PolicyChange, ReplicaId},
};
use sluice_topic::{Limits, TopicFilter};

use super::*;

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| (label(key), label(value)))).unwrap()
}

fn policy(name: &str, home: Home) -> Policy {
    let filters = ["factory/+/line/#", "größe/+"].map(|text| TopicFilter::parse(text, &Limits::default()).unwrap());
    let keyspace = Keyspace::new(KeyspaceId(7), filters.to_vec(), 12).unwrap();
    let steer = Steer { to: SteerTo::Area, transient: home == Home::Anywhere };
    Policy {
        home,
        steer,
        replicas: ReplicaCount::new(3).unwrap(),
        spread: Spread::Label(label("rack")),
        fallback: vec![label("us"), label("ap")],
        hybrid_threshold_bytes: 77,
        remote_subscribers: RemoteSubscribers::Deny,
        ..Policy::new(label(name), keyspace)
    }
}

fn node(client_address: Option<ClientAddress>, phase: NodePhase) -> NodeRecord {
    let process = Process {
        peer_addresses: vec!["[::1]:7070".parse().unwrap(), "10.0.0.1:7070".parse().unwrap()],
        client_addresses: client_address.into_iter().collect(),
        build: "0.1.0+4f2a".parse().unwrap(),
        peer_protocol: ProtocolRange::new(1, 3).unwrap(),
        workers: 7,
    };
    let labels_of_its_own = labels(&[("region", "eu"), ("zone", "a")]);
    let registration = Registration { labels: labels_of_its_own, weight: Weight::new(200).unwrap(), process };
    let weight = (phase == NodePhase::Gone).then(|| Weight::new(1).unwrap());
    NodeRecord { registration, labels: labels(&[("disk", "nvme")]), weight, phase, since_ms: 1 << 50 }
}

fn replicas(voters: &[u64], learners: &[u64], leaving: &[u64], epoch: u64) -> Replicas {
    let ids = |numbers: &[u64]| numbers.iter().map(|&number| NodeId(number)).collect::<Vec<_>>();
    Replicas::new(ids(voters), ids(learners), ids(leaving), Epoch(epoch)).unwrap()
}

fn samples() -> Vec<(RecordKey, Record)> {
    let homes = [
        Home::Anywhere,
        Home::Region(label("eu")),
        Home::Nodes(BTreeSet::from([NodeId(1), NodeId(u64::MAX)])),
        Home::Selector(Selector::new(labels(&[("disk", "nvme")])).unwrap()),
    ];
    let leader = ReplicaId { name: label("c1"), life: u64::MAX - 1 };
    let policies = homes.map(|home| policy("eu/factory", home));
    let [first, second, ..] = policies.clone();
    let shards = BTreeMap::from([
        (ShardId(0), replicas(&[1, 2], &[3], &[2], 9)),
        (ShardId(4095), replicas(&[u64::MAX], &[], &[], u64::MAX)),
    ]);
    let id = label("p-1");
    let plan = PlanRecord {
        id: id.clone(),
        parent_intent: 4,
        parent_placement: Version::new(2, 9),
        by: label("anna"),
        at_ms: 12,
        changes: vec![PolicyChange::Put(first.clone()), PolicyChange::Delete(label("old"))],
    };
    let before = BTreeMap::from([(label("a"), None), (label("b"), Some(second))]);
    let history = History { intent: 3, by: label("anna"), at_ms: 12, what: "put \"a\"".into(), before };
    let head =
        PlacementHead { version: Version::new(u64::MAX, 1), keyspaces: Keyspaces::new([first.keyspace]).unwrap() };
    let given_up = BTreeMap::from([(ShardKey { keyspace: KeyspaceId(1), shard: ShardId(2) }, Epoch(3))]);
    let budget = MoveBudget { moves_max: 5, incoming_max: 6 };
    let intent = Intent { number: 8, is_paused: true, budget, next_keyspace: 9 };
    let address = "mqtts://mqtt.example.com:8883".parse::<ClientAddress>().unwrap();
    let phases = [NodePhase::Joining, NodePhase::Active, NodePhase::Cordoned, NodePhase::Draining, NodePhase::Gone];
    let nodes = phases.map(|phase| node(Some(address.clone()).filter(|_| phase != NodePhase::Active), phase));
    let mut samples = vec![
        (RecordKey::Leadership, Record::Leadership(Leadership { epoch: Epoch(3), leader })),
        (RecordKey::Intent, Record::Intent(intent)),
        (RecordKey::Placement, Record::Placement(head)),
        (RecordKey::Shards(KeyspaceId(7)), Record::Shards(shards)),
        (RecordKey::Plan(id), Record::Plan(plan)),
        (RecordKey::History(3), Record::History(history)),
        (RecordKey::Recover, Record::Recover(given_up)),
    ];
    samples.extend(nodes.map(|node| (RecordKey::Node(NodeId(0xfedc_ba98_7654_3210)), Record::Node(node))));
    samples.extend(policies.map(|policy| (RecordKey::Policy(label("eu/factory")), Record::Policy(policy))));
    samples
}

#[test]
fn every_record_comes_back_as_it_was() {
    for (key, record) in samples() {
        assert!(record.belongs_to(&key));
        assert_eq!(decode(&key, &encode(&record)).as_ref(), Ok(&record));
        assert_eq!(parse_key(&super::key(&key)).as_ref(), Some(&key));
    }
}

#[test]
fn the_layout_is_part_of_what_is_stored_and_stays_as_it_is() {
    let leadership = encode(&samples()[0].1);
    let said = String::from_utf8(leadership).unwrap();
    assert_eq!(said, r#"{"v":1,"epoch":3,"leader":"c1","life":"fffffffffffffffe"}"#);
    let shards = String::from_utf8(encode(&samples()[3].1)).unwrap();
    let first = r#""0":{"epoch":9,"voters":["0000000000000001","0000000000000002"],"learners":["0000000000000003"],"leaving":["0000000000000002"]}"#;
    assert!(shards.starts_with(&format!(r#"{{"v":1,"shards":{{{first},"#)), "{shards}");
    assert_eq!(key(&RecordKey::Shards(KeyspaceId(7))), "v1/state/shards/00007");
    assert_eq!(key(&RecordKey::History(3)), "v1/state/history/00000000000000000003");
}

#[test]
fn what_cannot_be_read_says_why() {
    let why = |key: RecordKey, bytes: &str| decode(&key, bytes.as_bytes()).unwrap_err();
    assert_eq!(why(RecordKey::Intent, r#"{"v":2}"#), "it is of layout 2, and this version knows 1");
    assert!(why(RecordKey::Intent, r#"{"v":1}"#).contains("missing field `number`"));
    assert!(why(RecordKey::Leadership, r#"{"v":1,"epoch":1,"leader":"a b","life":"0"}"#).contains("' '"));
    assert!(why(RecordKey::Leadership, r#"{"v":1,"epoch":1,"leader":"a","life":"0","x":1}"#).contains("unknown field"));
    let torn = r#"{"v":1,"shards":{"3":{"epoch":1,"voters":[]}}}"#;
    assert_eq!(why(RecordKey::Shards(KeyspaceId(0)), torn), "shard 3: a shard needs a voter");
    let foreign = r#"{"v":1,"shards":{"3":{"epoch":1,"voters":["12"]}}}"#;
    assert!(why(RecordKey::Shards(KeyspaceId(0)), foreign).contains("'12' is no node id"));
    assert!(why(RecordKey::Recover, "\u{0}").contains("expected value"));
}

#[test]
fn a_key_has_one_spelling_and_unknown_ones_are_told() {
    for text in ["v1/state/shards/7", "v1/state/nodes/1", "v1/state/nodes/FEDCBA9876543210", "v1/state/history/03"] {
        assert_eq!(parse_key(text), None, "{text}");
    }
    let change = |key: &str| Change { key: key.into(), entry: None };
    assert_eq!(read_change(change("v1/state/new/1")).found, Ok(None));
    let entry = Entry { key: "v1/state/new/1".into(), value: vec![], created: Revision(2), modified: Revision(2) };
    assert!(read(entry).found.unwrap_err().contains("does not know"));
}

#[test]
fn a_commit_becomes_a_transaction_of_the_same_keys() {
    let (at, record) = samples().swap_remove(1);
    let commit = Transaction::new().expect(at.clone(), Revision(4)).put(at, record.clone()).delete(RecordKey::Recover);
    let txn = txn(&commit);
    assert_eq!(txn.expects, BTreeMap::from([("v1/state/intent".to_owned(), Revision(4))]));
    let intent = Some(encode(&record));
    let writes = [("v1/state/intent".to_owned(), intent), ("v1/state/recover".to_owned(), None)];
    assert_eq!(txn.writes, BTreeMap::from(writes));
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(nth in 0usize..16, at in 0usize..400, with in any::<u8>(), cut in 0usize..400) {
        let all = samples();
        let (key, record) = &all[nth % all.len()];
        let mut bytes = encode(record);
        let length = bytes.len();
        bytes[at % length] = with;
        bytes.truncate(cut.max(1));
        if let Ok(read) = decode(key, &bytes) {
            // What is read can be written and read again.
            prop_assert_eq!(decode(key, &encode(&read)), Ok(read));
        }
    }

    #[test]
    fn no_key_brings_it_down(rest in "\\PC{0,40}", folder in 0usize..5) {
        let folder = [NODES, POLICIES, SHARDS, PLANS, HISTORY][folder];
        let text = format!("{STATE}{folder}{rest}");
        if let Some(parsed) = parse_key(&text) {
            prop_assert_eq!(super::key(&parsed), text);
        }
    }
}
